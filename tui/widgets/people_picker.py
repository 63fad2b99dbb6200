"""Pick any number of people out of thousands."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input, Static

from tui import foreign
from tui.widgets.field import Field
from tui.widgets.short_list import ListOwner, ShortList

_ROWS: Final = 6


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can be picked."""

    id: int
    name: str
    email: str


class PeoplePicker(ListOwner):
    """A filter over people with a box each, the picked first. Up and down move, Enter ticks, Tab goes on."""

    DEFAULT_CSS = """
    PeoplePicker { width: 1fr; height: auto; }
    PeoplePicker > .count { height: 1; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "move(-6)", "Page up", show=False),
        Binding("pagedown", "move(6)", "Page down", show=False),
    ]

    class Changed(Message):
        """Somebody was ticked or unticked."""

    def __init__(self, people: Sequence[Person], picked: Iterable[int] = ()) -> None:
        super().__init__()
        self.picked = set(picked)
        self._people = tuple(people)
        self._folded = [f"{person.name}\n{person.email}".casefold() for person in people]
        self._shown: list[Person] = []
        self._field = Field(placeholder="filter by name or email")
        self._list = ShortList(_ROWS)
        self._count = Static(classes="count")

    def compose(self) -> ComposeResult:
        """The filter, the people it leaves, how many are picked."""
        yield self._field
        yield self._list
        yield self._count

    def on_mount(self) -> None:
        """Begin with the picked ones on top."""
        self._filter()

    def action_move(self, steps: int) -> None:
        """Move among the people."""
        self._list.move(steps)

    @on(Input.Changed)
    def _written(self, event: Input.Changed) -> None:
        event.stop()
        self._filter()

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self._toggle()

    @on(ShortList.Clicked)
    def _clicked(self, event: ShortList.Clicked) -> None:
        event.stop()
        self._toggle()

    def _toggle(self) -> None:
        if self._shown:
            self.picked ^= {self._shown[self._list.cursor].id}
            self._list.refresh()
            self._say()
            self.post_message(self.Changed())

    def _filter(self) -> None:
        words = self._field.value.casefold().split()
        matching = [
            person
            for person, folded in zip(self._people, self._folded, strict=True)
            if all(word in folded for word in words)
        ]
        self._shown = sorted(matching, key=lambda person: person.id not in self.picked)
        self._list.show(len(self._shown), self._line)
        self._say()

    def _line(self, place: int) -> Text:
        person = self._shown[place]
        box = Text("[x] " if person.id in self.picked else "[ ] ")
        return box.append_text(foreign.text(person.name)).append("  ").append_text(foreign.text(person.email, "dim"))

    def _say(self) -> None:
        matching = f"{len(self._shown):,} shown" if self._shown else "nobody matches"
        self._count.update(Text(f"{len(self.picked):,} ticked · {matching} · ↑↓ move · enter ticks"))
