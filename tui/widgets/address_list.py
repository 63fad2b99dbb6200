"""A few email addresses, added and taken out one by one."""

import re
from collections.abc import Iterable
from typing import ClassVar, Final

from rich.text import Text
from textual import events, on
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input, Static

from store.errors import FormatWrong, KeydeskError
from store.rules.addresses import Address, check_address
from tui import foreign
from tui.widgets.field import Field
from tui.widgets.short_list import ListOwner, ShortList

_ROWS: Final = 4
_BETWEEN: Final = re.compile(r"[\s,;]+")


class AddressList(ListOwner):
    """A field that adds on Enter, and the addresses as they will be used. In the empty field, Delete takes one out.

    Several addresses may be pasted at once, with line ends, commas or semicolons between them.
    """

    DEFAULT_CSS = """
    AddressList { width: 1fr; height: auto; }
    AddressList > .note { height: auto; color: $text-muted; }
    AddressList.-wrong > .note { color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("delete", "remove", "Remove", priority=True),
    ]

    class Changed(Message):
        """An address was added or taken out."""

    def __init__(self, addresses: Iterable[str] = ()) -> None:
        super().__init__()
        self._addresses: list[Address] = []
        wrong: list[str] = []
        for address in addresses:
            try:
                self._addresses.append(check_address(address))
            except FormatWrong:
                wrong.append(address)  # kept from a time with other rules: it waits in the field to be corrected
        self._field = _PastedList(" ".join(wrong), "name@example.com")
        self._list = ShortList(_ROWS)
        self._note = Static(classes="note")

    def compose(self) -> ComposeResult:
        """The field, the addresses, what was wrong or how it is done."""
        yield self._field
        yield self._list
        yield self._note

    def on_mount(self) -> None:
        """Show what is there."""
        self._show()

    def checked(self) -> tuple[str, ...]:
        """The addresses with what still stands in the field; KeydeskError when that is not one."""
        self._add()
        return tuple(address.shown for address in self._addresses)

    def action_move(self, steps: int) -> None:
        """Move among the addresses; without any the form moves."""
        if not self._addresses:
            raise SkipAction
        self._list.move(steps)

    def action_remove(self) -> None:
        """Take the address under the cursor out; while something is written, Delete edits that."""
        if self._field.value or not self._addresses:
            raise SkipAction
        gone = self._addresses.pop(self._list.cursor)
        self._show(f"{gone.shown} was taken out.")
        self.post_message(self.Changed())

    @on(Input.Changed)
    def _written(self, event: Input.Changed) -> None:
        event.stop()
        self._say()

    @on(Input.Submitted)
    async def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if not self._field.value.strip():
            await self.run_action("screen.advance")
            return
        try:
            self._add()
        except KeydeskError as wrong:
            self._say(str(wrong), wrong=True)

    def _add(self) -> None:
        """Take over what is written; the first that is not an address stays in the field with all after it."""
        waiting = [part for part in _BETWEEN.split(self._field.value) if part]
        while waiting:
            try:
                self._take(check_address(waiting[0]))
            except FormatWrong:
                with self._field.prevent(Input.Changed):
                    self._field.value = " ".join(waiting)
                raise
            waiting.pop(0)
        with self._field.prevent(Input.Changed):
            self._field.value = ""

    def _take(self, address: Address) -> None:
        known = [one.key for one in self._addresses]
        if address.key in known:
            self._list.move(known.index(address.key) - self._list.cursor)
            self._say(f"{address.shown} is in the list already.")
            return
        self._addresses.append(address)
        self._show()
        self.post_message(self.Changed())

    def _show(self, note: str = "") -> None:
        shown = tuple(address.shown for address in self._addresses)
        self._list.show(len(shown), lambda place: foreign.text(shown[place]), len(shown) - 1)
        self._say(note)

    def _say(self, note: str = "", *, wrong: bool = False) -> None:
        how = "enter adds · ↑↓ move · del takes out" if self._addresses else "enter adds"
        counted = f"{len(self._addresses)} {'address' if len(self._addresses) == 1 else 'addresses'} · {how}"
        self._note.update(foreign.text(note) if note else Text(counted))
        self.set_class(wrong, "-wrong")


class _PastedList(Field):
    """Takes all lines of a paste, not only the first."""

    def on_paste(self, event: events.Paste) -> None:
        """Put the lines behind one another."""
        event.prevent_default()
        event.stop()
        self.insert_text_at_cursor(" ".join(event.text.split()))
