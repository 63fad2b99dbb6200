"""Upright bars in block characters, with a line to measure them against."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text
from textual.widget import Widget

from tui import foreign

_EIGHTHS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar. `style` marks one that a person should look at; what it means is said in words elsewhere."""

    label: str
    value: int
    style: str = ""


def drawn(
    bars: Sequence[Bar], width: int, height: int, write: Callable[[int], str], limit: int | None = None
) -> list[Text]:
    """`height` rows of `width` cells: the bars and, below them, as many labels as fit side by side.

    `write` spells the highest value, and that of `limit`, at the left edge. A value below zero has no bar.
    """
    rows = max(1, height - 1)
    top = max([1, *(bar.value for bar in bars), limit or 0])
    edge = max(cell_len(write(each)) for each in (top, limit or 0)) + 1
    each, gap = _widths(width - edge, len(bars))
    at_limit = None if limit is None else rows - max(1, -(-limit * rows // top))
    picture = []
    for row in range(rows):
        name = write(top) if row == 0 else write(limit) if row == at_limit and limit is not None else ""
        line = Text(f"{name:>{edge - 1}}│", "dim")
        empty = "┄" if row == at_limit else " "
        for bar in bars:
            eighths = max(0, min(8, bar.value * rows * 8 // top - (rows - 1 - row) * 8))
            if row == rows - 1 and bar.value > 0:
                eighths = max(1, eighths)  # little is not nothing
            line.append((_EIGHTHS[eighths] if eighths else empty) * each, bar.style if eighths else "dim")
            line.append(empty * gap, "dim")
        picture.append(line)
    return [*picture, _labels(bars, edge, each + gap)]


def _widths(room: int, count: int) -> tuple[int, int]:
    """Of a bar, and of the gap behind it."""
    step = max(1, min(12, room // max(1, count)))
    gap = 1 if step > 1 else 0
    return step - gap, gap


def _labels(bars: Sequence[Bar], edge: int, step: int) -> Text:
    """Each label under its bar's start, where the one before it leaves room."""
    line = Text(" " * edge)
    for place, bar in enumerate(bars):
        label = foreign.text(bar.label)
        start = edge + place * step
        if place == 0 or cell_len(line.plain) < start:
            line.append(" " * (start - cell_len(line.plain))).append_text(label)
    return line


class Plot(Widget):
    """As large as its place; drawn once, and again when that changes."""

    DEFAULT_CSS = """
    Plot { width: 1fr; height: 1fr; min-height: 4; text-wrap: nowrap; text-overflow: clip; }
    """

    def __init__(self, bars: Sequence[Bar], write: Callable[[int], str], limit: int | None = None) -> None:
        super().__init__()
        self._bars = tuple(bars)
        self._write = write
        self._limit = limit

    def render(self) -> Text:
        """All of it."""
        return Text("\n").join(drawn(self._bars, self.size.width, self.size.height, self._write, self._limit))
