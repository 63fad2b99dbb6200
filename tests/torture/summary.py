"""What the chaos did and what it found, as a table that can be quoted."""

from collections.abc import Iterable, Iterator

from torture.chaos import Result

_COLUMNS = (
    ("database", 10), ("seed", 4), ("days", 4), ("keys", 6), ("workers", 7), ("passes", 7), ("kills", 5), ("stops", 5),
    ("clocks", 6), ("acts", 5), ("runs", 6), ("notices", 7), ("mails", 6), ("cut", 5), ("twice", 5), ("lost", 4),
    ("extra", 5), ("doubled", 7), ("unnamed", 7), ("CPU s", 6), ("s", 5),
)  # fmt: skip
LEGEND = """
clocks: steps of a clock, each put right later.  acts: what people did meanwhile.
cut: mails whose answer was cut by the relay or by the worker's end.  twice: mails that a mailbox got once more than
wanted, each after such a cut or a relay that took a mail and refused it.  doubled: twice without such a reason.
unnamed: ambiguous without an answer that was cut, or cut and not named as ambiguous.
""".strip()


def table(results: Iterable[Result]) -> Iterator[str]:
    """The heading, a line for each run, and what the columns mean."""
    yield heading()
    for result in results:
        yield row(result)
    yield ""
    yield LEGEND


def heading() -> str:
    """The names of the columns."""
    return "  ".join(f"{name:>{width}}" for name, width in _COLUMNS)


def row(result: Result) -> str:
    """One run."""
    chosen, tally, faults = result.chosen, result.tally, result.faults
    measure = chosen.measure
    values = (
        result.backend, chosen.seed, measure.days, measure.keys, measure.workers, result.passes, result.kills,
        result.stops, result.clock_steps, result.acts, result.runs, result.notices.total(), tally.mails, tally.cut,
        tally.twice, len(faults.lost), len(faults.extra), len(faults.doubled), len(faults.misjudged),
        round(result.cpu_seconds), round(result.seconds),
    )  # fmt: skip
    return "  ".join(f"{value:>{width}}" for value, (_, width) in zip(values, _COLUMNS, strict=True))
