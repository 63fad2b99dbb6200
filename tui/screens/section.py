"""A part of a page that is a list: read in the reader's thread, shown by a window table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from peewee import DatabaseError
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from store import database
from store.errors import KeydeskError
from store.filters import Grammar
from store.listings.selection import Ids
from tui.background import begin
from tui.surroundings import Surroundings
from tui.widgets.window_table import Column, WindowTable

FIRST_PAGE = 200  # rows shown before all ids are known


@dataclass(frozen=True)
class Listing:
    """What a list reads and shows. `ids(needle, now, limit)` gives its order, `rows(ids, now)` what can be seen."""

    one: str
    many: str
    columns: tuple[Column, ...]
    ids: Callable[[str, datetime, int | None], Ids]
    rows: Callable[[Sequence[int], datetime], Mapping[int, Any]]
    newer: Callable[[str, datetime, int], int] | None = None  # how many came after an id
    grammar: Grammar | None = None
    empty: str = "Nothing here yet."


class Section(Vertical):
    """One list of a page. Its acts are the methods `do_<act>`."""

    DEFAULT_CSS = """
    Section { height: 1fr; }
    """
    kind: ClassVar[str]
    caption: ClassVar[str]

    class Changed(Message):
        """The row under the cursor, the count, or what can be done is another."""

    class Said(Message):
        """Something for the status line."""

        def __init__(self, text: str, style: str = "") -> None:
            super().__init__()
            self.text = text
            self.style = style

    class Swapped(Message):
        """The section lists other things now."""

    def __init__(self, desk: Surroundings, listing: Listing) -> None:
        super().__init__()
        self.desk = desk
        self.listing = listing
        self.needle = ""
        self.fresh = 0  # rows that came since the list was read
        self.table = WindowTable(listing.columns, self._rows_at_once)
        self._newest = 0
        self._stale = True
        self._wish: int | None = None
        self._complete = True  # all ids are known
        self._fault = ""

    def compose(self) -> ComposeResult:
        """The table alone."""
        yield self.table

    # What the page asks

    @property
    def row(self) -> Any:
        """The row under the cursor."""
        return self.table.cursor_row

    def place(self) -> str:
        """Where in the list the cursor is."""
        total = len(self.table.ids)
        if not total:
            return f"no {self.listing.many}"
        if not self._complete:
            return f"{self.table.cursor + 1:,} of {total:,}+ {self.listing.many}"
        count = f"{self.table.cursor + 1:,} of {total:,} {self.listing.one if total == 1 else self.listing.many}"
        return f"{count}  +{self.fresh:,} new (^r)" if self.fresh else count

    def opened(self) -> None:
        """The section is shown: read it when it has not been, or has changed since."""
        if self._stale:
            self.reload()
        else:
            self.stored_change()
        self.screen.set_focus(self.table)

    def narrow(self, needle: str) -> None:
        """Show what another filter leaves."""
        self.needle = needle
        self.reload(from_start=True)

    def reload(self, *, from_start: bool = False) -> None:
        """Read the list again, in the background; a read that is under way is given up."""
        self._stale = False
        begin(self, partial(self._read, from_start=from_start), group="read", alone=True)

    def stored_change(self) -> None:
        """Somebody wrote: the rows on the screen are read again, the others when they come into sight."""
        if not self.table.ids:
            self.reload()
            return
        ids = self.table.visible_ids
        begin(self, self._read_rows, ids, group="rows", alone=True)
        if self.listing.newer is not None:
            begin(self, self._count_fresh, self.listing.newer, group="fresh", alone=True)

    def outdated(self) -> None:
        """What was changed elsewhere in the desk may show here: read again when it is opened."""
        self._stale = True

    def wish(self, row_id: int) -> None:
        """Put the cursor on this row when it is among those that are read next."""
        self._wish = row_id

    def do_renew(self) -> None:
        """Show what is new."""
        self.reload()

    # Reading

    async def _read(self, *, from_start: bool) -> None:
        needle, now, listing = self.needle, self.desk.clock(), self.listing
        try:
            if from_start or not self.table.ids:
                first = await self.desk.reader.read(lambda: listing.ids(needle, now, FIRST_PAGE))
                self._complete = len(first) < FIRST_PAGE
                self._show(first, from_start=True)
                if len(first) < FIRST_PAGE:
                    self._newest = max(first, default=0)
                    return
            ids, newest = await self.desk.reader.read(lambda: _with_newest(listing.ids(needle, now, None)))
        except KeydeskError as fault:
            self._say_fault(str(fault))
            return
        self._newest, self._complete = newest, True
        self._show(ids, from_start=False)
        await self._read_rows(self.table.visible_ids)

    def _show(self, ids: Ids, *, from_start: bool) -> None:
        self.fresh = 0
        empty = self.empty_text()
        self.table.show(ids, empty, from_start=from_start)
        if self._wish is not None and self._wish in ids:
            self.table.move_to(ids.index(self._wish))
            self._wish = None
        self._say_fault("")
        self.post_message(self.Changed())

    def _say_fault(self, sentence: str) -> None:
        """Say what is wrong, and take it back once it is not; what else is said stays."""
        if sentence != self._fault:
            self._fault = sentence
            self.post_message(self.Said(sentence, "bold"))

    def empty_text(self) -> Text:
        """What an empty list says."""
        return Text(f"Nothing matches this {self.listing.one} filter." if self.needle.strip() else self.listing.empty)

    async def _read_rows(self, ids: Sequence[int]) -> None:
        now = self.desk.clock()
        try:
            rows = await self.desk.reader.read(lambda: self.listing.rows(ids, now))
        except KeydeskError as fault:
            self._say_fault(str(fault))
        else:
            self._say_fault("")
            self.table.put(rows, ids)

    async def _count_fresh(self, newer: Callable[[str, datetime, int], int]) -> None:
        needle, now, newest = self.needle, self.desk.clock(), self._newest
        try:
            fresh = await self.desk.reader.read(lambda: newer(needle, now, newest))
        except KeydeskError:
            return
        if fresh != self.fresh:
            self.fresh = fresh
            self.post_message(self.Changed())

    def _rows_at_once(self, ids: Sequence[int]) -> Mapping[int, Any] | None:
        """A block by primary key: 0.3 ms on a local SQLite file. From a server it comes later."""
        if database.backend() != "sqlite" or database.db.is_closed():
            return None
        try:
            return self.listing.rows(ids, self.desk.clock())
        except (KeydeskError, DatabaseError):
            return None  # the reader tries again and says what is wrong

    @on(WindowTable.Wanted)
    def _wanted(self, event: WindowTable.Wanted) -> None:
        event.stop()
        begin(self, self._read_rows, event.ids, group="wanted")

    @on(WindowTable.Moved)
    def _moved(self, event: WindowTable.Moved) -> None:
        event.stop()
        self.post_message(self.Changed())


def _with_newest(ids: Ids) -> tuple[Ids, int]:
    return ids, max(ids, default=0)
