"""Every key, what it does, and why it does nothing just now."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from tui import foreign
from tui.dialogs.dialog import Dialog
from tui.widgets.field import Field
from tui.widgets.short_list import ShortList


@dataclass(frozen=True, slots=True)
class HelpLine:
    """One act. `why_not` is the reason it cannot be done here and now; empty when it can."""

    keys: str
    title: str
    why_not: str = ""


class HelpDialog(Dialog[None]):
    """A search over the keys; below them, in full, why the one under the cursor does nothing now."""

    DEFAULT_CSS = """
    HelpDialog .why { height: 2; text-style: italic; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "move(-14)", "Page up", show=False),
        Binding("pagedown", "move(14)", "Page down", show=False),
    ]
    caption: str = "Keys"
    accepting: str = "Close"
    cancelling: str | None = None
    keys: str = "write to search · ↑↓ move · enter or esc closes"

    def __init__(self, lines: Sequence[HelpLine]) -> None:
        super().__init__()
        self._lines = tuple(lines)
        self._needle = Field(placeholder="search")
        self._list = ShortList(14)
        self._found: list[HelpLine] = []
        self._count = Static()
        self._why = Static(classes="why")  # two rows, so that nothing moves while one goes through the keys

    def fields(self) -> ComposeResult:
        """The search and what it leaves."""
        yield self._needle
        yield self._list
        yield self._count
        yield self._why

    def on_mount(self) -> None:
        """Begin with all."""
        self._list.light(lit=True)
        self._filter()

    def answer(self) -> None:
        """There is none."""

    def action_advance(self) -> None:
        """Enter closes."""
        self.leave(None)

    def action_move(self, steps: int) -> None:
        """Move through the lines."""
        self._list.move(steps)
        self._explain()

    @on(Input.Changed)
    def _filter(self) -> None:
        words = self._needle.value.casefold().split()
        found = self._found = [
            line for line in self._lines if all(word in f"{line.keys} {line.title}".casefold() for word in words)
        ]
        width = max((len(line.keys) for line in found), default=0) + 2
        self._list.show(len(found), lambda place: _drawn(found[place], width))
        self._count.update(f"{len(found)} of {len(self._lines)}" if found else "Nothing matches.")
        self._explain()

    @on(ShortList.Clicked)
    def _explain(self) -> None:
        self._why.update(foreign.text(self._found[self._list.cursor].why_not if self._found else ""))


def _drawn(line: HelpLine, width: int) -> Text:
    drawn = Text().append_text(foreign.text(line.keys.ljust(width), "bold"))
    drawn.append_text(foreign.text(line.title, "dim" if line.why_not else ""))
    return drawn.append_text(foreign.text(f"  ({line.why_not})", "italic")) if line.why_not else drawn
