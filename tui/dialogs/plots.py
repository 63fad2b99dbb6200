"""Plots to look at, one below the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.dialogs.dialog import Dialog, said
from tui.widgets.plot import Plot


@dataclass(frozen=True, slots=True)
class Titled:
    """A plot with the sentence that says what it shows; without a plot there is nothing to show, and why."""

    title: str
    plot: Plot | None


class PlotsDialog(Dialog[None]):
    """Enter and Escape close it."""

    DEFAULT_CSS = """
    PlotsDialog > .panel { max-width: 120; height: 100%; }
    PlotsDialog .body { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,p,backspace", "cancel", "Close", show=False)]
    cancelling: str | None = None
    accepting: str = "Close"
    keys: str = "enter or esc closes"

    def __init__(self, caption: str, plots: Sequence[Titled]) -> None:
        super().__init__()
        self.caption = caption
        self._plots = tuple(plots)

    def fields(self) -> ComposeResult:
        """Each with its sentence above it."""
        for titled in self._plots:
            yield said(titled.title, style="bold")
            if titled.plot is not None:
                yield titled.plot

    def answer(self) -> None:
        """There is none."""
