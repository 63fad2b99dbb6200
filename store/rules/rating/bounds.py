"""What is too strange to be invoiced before somebody has looked at it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from store.rules.money import amount

MOST_LINES = 60  # tiers of access, four more, and adjustments of earlier months


@dataclass(frozen=True, slots=True)
class Billed:
    """One line as the bounds look at it."""

    line_key: str
    quantity: int
    net_minor: int


def median(numbers: Iterable[int]) -> int:
    """The middle one; of two the smaller, so that it stays a whole number."""
    ordered = sorted(numbers)
    return ordered[(len(ordered) - 1) // 2]


def strange(
    lines: Iterable[Billed], keys: int, usual: Mapping[str, int], *, limit: int, currency: str
) -> tuple[str, ...]:
    """A sentence for each thing that cannot be, or is far from what it was.

    `keys` is how many keys the company ever had, `usual` what each line came to in the months before, and `limit` how
    many times that is too much (0: nothing is).
    """
    lines = list(lines)
    found = []
    if len(lines) > MOST_LINES:
        found.append(f"It has {len(lines)} lines, more than a month can have ({MOST_LINES}).")
    extra = sum(line.quantity for line in lines if line.line_key in {"extra_key", "extra_test_key"})
    if extra > keys:
        found.append(f"It has {extra:,} extra keys, but the company has only {keys:,} keys.")
    for line in lines:
        before = usual.get(line.line_key, 0)
        if limit and before > 0 and line.net_minor > limit * before:
            now, was = amount(line.net_minor, currency), amount(before, currency)
            found.append(f"The line {line.line_key} is {now}, more than {limit} times the {was} that it was before.")
    total = sum(line.net_minor for line in lines)
    if total < 0:
        found.append(f"Its total is negative: {amount(total, currency)}.")
    return tuple(found)
