"""Look one thing up by writing a part of its name."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final, Generic, Protocol, TypeVar

from rich.text import Text
from textual import on
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input, Static

from store.errors import KeydeskError
from store.rules.text import visible
from tui import foreign
from tui.background import begin
from tui.widgets.field import Field
from tui.widgets.short_list import ListOwner, ShortList

if TYPE_CHECKING:
    from textual.timer import Timer

_MATCHES: Final = 8
_PAUSE: Final = 0.12  # seconds without a keystroke before a look-up starts


class Findable(Protocol):
    """What can be looked up."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    @property
    def detail(self) -> str:
        """What tells it from another of the same name."""


Found = TypeVar("Found", bound=Findable)


class Finder(ListOwner, Generic[Found]):
    """A field and at most eight matches under it. Up and down move, Enter picks and goes on; writing on unpicks.

    `search` gives the best matches first for what was written, also for nothing; a late answer is dropped.
    """

    DEFAULT_CSS = """
    Finder { width: 1fr; height: auto; }
    Finder > ShortList, Finder > .found { display: none; height: auto; }
    Finder.-open.-here > ShortList, Finder.-told > .found { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
    ]

    class Changed(Message):
        """Something was picked, or unpicked."""

    def __init__(
        self,
        search: Callable[[str], Awaitable[Sequence[Found]]],
        *,
        nothing: str,
        placeholder: str = "",
        picked: Found | None = None,
    ) -> None:
        super().__init__()
        self.picked = picked
        self._search = search
        self._nothing = nothing
        self._field = Field(visible(picked.name) if picked else "", placeholder)
        self._list = ShortList(_MATCHES)
        self._note = Static(classes="found")
        self._matches: list[Found] = []
        self._pause: Timer | None = None
        self._looking = False
        self._pick_first = False

    def compose(self) -> ComposeResult:
        """The field, its matches, and what was picked or went wrong."""
        yield self._field
        yield self._list
        yield self._note

    def on_mount(self) -> None:
        """Offer the first few, unless something is picked already."""
        if self.picked is None:
            self._look()
        else:
            self._tell(_line(self.picked, "✓ "))

    def action_move(self, steps: int) -> None:
        """Move among the matches; without any the form moves instead."""
        if not self.has_class("-open"):
            raise SkipAction
        self._list.move(steps)

    @on(Input.Changed)
    def _written(self, event: Input.Changed) -> None:
        event.stop()
        if self.picked is not None:
            self.picked = None
            self.post_message(self.Changed())
        self._tell(None)
        self._looking = True
        self._pick_first = False
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(_PAUSE, self._look)

    @on(Input.Submitted)
    async def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if self._looking:
            self._pick_first = True
        elif self.picked is None and self._matches:
            await self._pick(self._matches[self._list.cursor])
        elif self.picked is not None:
            await self.run_action("screen.advance")

    @on(ShortList.Clicked)
    async def _clicked(self, event: ShortList.Clicked) -> None:
        event.stop()
        await self._pick(self._matches[self._list.cursor])

    def _look(self) -> None:
        self._looking = True
        begin(self, self._find, self._field.value.strip(), group="find", alone=True)

    async def _find(self, needle: str) -> None:
        try:
            found = list(await self._search(needle))[:_MATCHES]
        except KeydeskError as wrong:
            found, note = [], str(wrong)
        else:
            note = "" if found else self._nothing
        if needle != self._field.value.strip() or self.picked is not None:
            return
        self._looking = False
        self._matches = found
        self._list.show(len(found), lambda place: _line(found[place]))
        self.set_class(bool(found), "-open")
        self._tell(foreign.text(note) if note else None)
        if found and self._pick_first:
            await self._pick(found[0])

    async def _pick(self, found: Found) -> None:
        self.picked = found
        self._pick_first = False
        with self._field.prevent(Input.Changed):
            self._field.value = visible(found.name)
        self.remove_class("-open")
        self._tell(_line(found, "✓ "))
        self.post_message(self.Changed())
        if self._field.has_focus:
            await self.run_action("screen.advance")

    def _tell(self, note: Text | None) -> None:
        self._note.update(note or Text())
        self.set_class(note is not None, "-told")


def _line(found: Findable, mark: str = "") -> Text:
    return Text(mark).append_text(foreign.text(found.name)).append("  ").append_text(foreign.text(found.detail, "dim"))
