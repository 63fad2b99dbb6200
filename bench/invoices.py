"""The monthly run of many companies, drafts and finals, against bare SQL: the same facts read, the same rows written.

`python -m bench.invoices [--quick | --full]` measures it alone.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal

from bench import postgres, report, steps
from bench.invoice_places import OnPostgresql, OnSqlite, Place
from bench.invoice_step import INVOICES, WRITTEN
from bench.invoice_world import CLOSED, DRAFTED, MONTH, ZONES
from bench.report import Goal, Measure
from bench.timing import order
from store import database, runs
from store.fields import seconds
from store.rules import calendar
from store.runs import Planned

Step = Literal["drafts", "finals"]
SIZES: Final = {"quick": (100, 1_000), "default": (1_000, 10_000), "full": (1_000, 10_000, 100_000)}
_JOBS: Final[dict[Step, str]] = {"drafts": "invoice-lines", "finals": "invoice-final"}
_AT: Final = {"drafts": DRAFTED, "finals": CLOSED}
_OUTCOME: Final = (
    "SELECT count(*) FROM invoice_month WHERE state = 'final'",
    "SELECT count(*) FROM invoice_line",
    "SELECT sum(net_minor) FROM invoice_line",
    "SELECT count(*) FROM event WHERE act = 'invoice.final'",
    "SELECT count(*) FROM email",
)
_MEGABYTE: Final = 1e6
_PROMISED_FROM: Final = 10_000  # companies
_FILLED_FROM: Final = 100_000  # companies, whose run fills SQLite's cache early


@dataclass(frozen=True)
class Took:
    """How long a step took, and the most memory that one of its processes had of its own: in each half of the time."""

    wall: float
    cpu: float
    memory: tuple[float, float]


@dataclass
class Found:
    """What was found at one size; the lists hold a number for each turn."""

    companies: int
    ours: dict[Step, list[float]] = field(default_factory=lambda: {"drafts": [], "finals": []})
    bare: dict[Step, list[float]] = field(default_factory=lambda: {"drafts": [], "finals": []})
    cpu: dict[str, list[float]] = field(default_factory=lambda: {"ours": [], "bare": []})
    two: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    reread: list[float] = field(default_factory=list)
    lines: int = 0
    outcome: tuple[int, ...] = ()

    @property
    def whole(self) -> float:
        """Seconds of our drafts and finals."""
        return sum(median(each) for each in self.ours.values())

    @property
    def bare_whole(self) -> float:
        """The same of the other side."""
        return sum(median(each) for each in self.bare.values())


def against_bare(folder: Path, sizes: Sequence[int]) -> Iterator[Measure]:
    """All sizes on both databases, one store on the disk at a time."""
    places: tuple[AbstractContextManager[Any], ...] = (nullcontext(), postgres.running())
    for server in places:
        with server as running:
            place: Place = OnSqlite(folder) if running is None else OnPostgresql(running)
            smaller: Found | None = None
            for companies in sizes:
                print(f"building {companies:,} companies on {place.name} ...", flush=True)
                place.build(companies)
                print("running their month ...", flush=True)
                found = _found(place, companies, turns=_turns(companies))
                told = f"{found.whole:.1f} s, bare SQL {found.bare_whole:.1f} s, two workers {sum(found.two):.1f} s"
                print(told, flush=True)
                place.drop()
                yield from _measures(f"month of {companies:,} companies, {place.name}", found, smaller, place)
                smaller = found


def _turns(companies: int) -> int:
    """The longer a run takes, the less does what else happens disturb it."""
    return 3 if companies <= 1_000 else 2 if companies <= 10_000 else 1


def _found(place: Place, companies: int, turns: int) -> Found:
    found = Found(companies)
    for turn in range(turns):
        for which in order(turn):
            if which == 0:
                _ours(place, found, first=turn == 0)
            else:
                _bare(place, found)
    place.fresh()
    steps: tuple[Step, ...] = ("drafts", "finals")
    for step in steps:
        _plan(place, step)
        found.two.append(_run(place, step, 2).wall)
    _check(place, found)
    return found


def _ours(place: Place, found: Found, *, first: bool) -> None:
    """The month in one process; the first time also what drafting again takes, and what is kept for the other side."""
    place.fresh()
    _plan(place, "drafts")
    drafts = _run(place, "drafts")
    if first:
        place.keep(WRITTEN["drafts"])
        with _bound(place):
            found.lines = int(database.run_sql("SELECT count(*) FROM invoice_line").fetchone()[0])
        _again(place)
        found.again.append(_run(place, "drafts").wall)
        with _newer_usage(place):
            _again(place)
            found.reread.append(_run(place, "drafts").wall)
    _plan(place, "finals")
    finals = _run(place, "finals")
    found.ours["drafts"].append(drafts.wall)
    found.ours["finals"].append(finals.wall)
    found.cpu["ours"].append(drafts.cpu + finals.cpu)
    found.memory.append(max(drafts.memory, finals.memory, key=max))
    _check(place, found)
    if first:
        place.keep(WRITTEN["finals"])


def _check(place: Place, found: Found) -> None:
    """Every run must have made every month final, and have billed, told and mailed the same."""
    with _bound(place):
        outcome = tuple(int(database.run_sql(text).fetchone()[0]) for text in _OUTCOME)
    found.outcome = found.outcome or outcome
    if outcome != found.outcome or outcome[0] != found.companies:
        raise AssertionError(f"Of {found.companies} companies: {outcome}, before {found.outcome}.")


def _bare(place: Place, found: Found) -> None:
    place.fresh()
    took = {step: _run(place, step, side="bare", companies=found.companies) for step in found.bare}
    for step, each in took.items():
        found.bare[step].append(each.wall)
    found.cpu["bare"].append(sum(each.cpu for each in took.values()))


def _run(place: Place, step: Step, workers: int = 1, side: str = "ours", companies: int = 0) -> Took:
    """One step in so many processes, which begin together once all of them are ready."""
    asked = {
        "location": place.location,
        "kept": place.kept,
        "step": step,
        "side": side,
        "companies": companies,
        "now": _AT[step].isoformat(),
    }
    took = steps.run("bench.invoice_step", asked, workers)
    first, second = max((each["memory"] for each in took), key=max)
    return Took(max(each["wall"] for each in took), max(each["cpu"] for each in took), (first, second))


@contextmanager
def _bound(place: Place) -> Iterator[None]:
    database.bind(place.location)
    try:
        with database.session():
            yield
    finally:
        database.dispose()


def _plan(place: Place, step: Step) -> None:
    """Put the step's run into the ledger for each zone, as planning would once its time has come."""
    (job,) = (each for each in INVOICES if each.name == _JOBS[step])
    with _bound(place):
        runs.plan(
            [
                Planned(job.name, zone, MONTH, "due", _AT[step], job.cadence.bounds(MONTH, calendar.zone(zone)))
                for zone in ZONES
            ],
            _AT[step],
        )


def _again(place: Place) -> None:
    """Make due what is done."""
    with _bound(place):
        for run in runs.listed(states=("done",)):
            runs.reopen(run.id, DRAFTED)


@contextmanager
def _newer_usage(place: Place) -> Iterator[None]:
    """As if a file of usage had just come that may tell of every company, and says nothing new."""
    with _bound(place):
        before = database.run_sql("SELECT received_at FROM usage_batch WHERE id = 1").fetchone()[0]
        _received(seconds(DRAFTED))
    yield
    with _bound(place):
        _received(before)


def _received(at: int) -> None:
    with database.writing():
        database.run_sql("UPDATE usage_batch SET received_at = ? WHERE id = 1", (at,))


def _measures(name: str, found: Found, smaller: Found | None, place: Place) -> Iterator[Measure]:
    """A month of few companies takes no time worth a promise: what a run costs by itself is most of it."""
    drafts, bare_drafts = median(found.ours["drafts"]), median(found.bare["drafts"])
    whole, bare_whole = found.whole, found.bare_whole
    promised = found.companies >= _PROMISED_FROM
    yield Measure(name, whole, bare_whole, "s", Goal("at most", 3) if promised else None)
    yield Measure(f"{name}, drafts alone", drafts, bare_drafts, "s")
    if isinstance(place, OnSqlite):
        yield Measure(f"{name}, CPU", median(found.cpu["ours"]), median(found.cpu["bare"]), "CPU s")
    yield Measure(f"{name}, of {found.lines:,} lines", found.lines / whole, found.lines / bare_whole, "lines/s")
    yield Measure(f"{name}, two workers against one", sum(found.two), whole, "s")
    unchanged = Goal("at most", 0.1) if promised else None
    yield Measure(f"{name}, drafted again unchanged", median(found.again), drafts, "s", unchanged)
    yield Measure(f"{name}, drafted again after new usage", median(found.reread), drafts, "s")
    if smaller is not None:
        than = f"against {smaller.companies:,}"
        ours, before = (_cost(place, each) / each.companies * 1e6 for each in (found, smaller))
        yield Measure(f"{name}, a company {than}", ours, before, _unit(place, "µs"), Goal("at most", 1.1))
        most, most_before = (median(map(max, each.memory)) / _MEGABYTE for each in (found, smaller))
        flat = Goal("at most", 1.1) if isinstance(place, OnPostgresql) and promised else None
        yield Measure(f"{name}, memory {than}", most, most_before, "MB", flat)
    early, late = (median(each[half] for each in found.memory) / _MEGABYTE for half in (0, 1))
    filled = found.companies >= _FILLED_FROM if isinstance(place, OnSqlite) else promised
    yield Measure(f"{name}, memory of its second half", late, early, "MB", Goal("at most", 1.1) if filled else None)


def _cost(place: Place, found: Found) -> float:
    """Seconds of CPU where the process does all itself, else of wall time."""
    return median(found.cpu["ours"]) if isinstance(place, OnSqlite) else found.whole


def _unit(place: Place, unit: str) -> str:
    return f"CPU {unit}" if isinstance(place, OnSqlite) else unit


def main() -> None:
    """Measure the invoices alone and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.invoices", description="The monthly run against bare SQL.")
    parser.add_argument("--quick", dest="sizes", action="store_const", const="quick", help="small numbers")
    parser.add_argument("--full", dest="sizes", action="store_const", const="full", help="100,000 companies too")
    sizes = SIZES[parser.parse_args().sizes or "default"]
    build = steps.ROOT / "build"
    build.mkdir(exist_ok=True)
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=build) as folder:
        for measure in against_bare(Path(folder), sizes):
            found.append(measure)
            print(f"  {measure.name}: {report.number(measure.ours)} {measure.unit}, {measure.ratio:.2f} ×", flush=True)
    print(f"\n{report.table(found)}\n\n{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
