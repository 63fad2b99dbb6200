"""What the bench found: the table that people read, the JSON that other programs read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Goal:
    """What was promised of a measure: `of` says whether of its ratio or of our own number, in the measure's unit."""

    sense: Literal["at most", "at least"]
    bound: float
    of: Literal["ratio", "ours"] = "ratio"

    def met(self, value: float) -> bool:
        """Whether the value keeps the promise; the bound itself does."""
        return value <= self.bound if self.sense == "at most" else value >= self.bound


@dataclass(frozen=True)
class Measure:
    """One comparison of one run. Without a goal it is there to be known."""

    name: str
    ours: float
    reference: float
    unit: str
    goal: Goal | None = None

    @property
    def ratio(self) -> float:
        """How many times the reference ours is: of times less is better, of counts more."""
        return self.ours / self.reference

    @property
    def promise(self) -> str:
        """The goal in words."""
        if self.goal is None:
            return "to know"
        unit = "×" if self.goal.of == "ratio" else self.unit
        return f"{self.goal.sense} {self.goal.bound:g} {unit}"

    @property
    def verdict(self) -> str:
        """Whether the goal was met: yes, no, or nothing to meet."""
        if self.goal is None:
            return ""
        return "yes" if self.goal.met(self.ratio if self.goal.of == "ratio" else self.ours) else "NO"


def table(measures: Sequence[Measure]) -> str:
    """All measures, a line each, numbers right-aligned under their heading."""
    rows = [
        (m.name, number(m.ours), number(m.reference), m.unit, f"{m.ratio:.2f}", m.promise, m.verdict) for m in measures
    ]
    head = ("", "ours", "reference", "unit", "ratio", "goal", "met")
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if column in {1, 2, 4} else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def number(value: float) -> str:
    """Three figures that mean something, and no more."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def write(measures: Sequence[Measure], path: Path) -> None:
    """A list of {name, ours, reference, unit, ratio, goal}; the goal is text."""
    found = [
        {
            "name": measure.name,
            "ours": round(measure.ours, 3),
            "reference": round(measure.reference, 3),
            "unit": measure.unit,
            "ratio": round(measure.ratio, 3),
            "goal": measure.promise,
        }
        for measure in measures
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
