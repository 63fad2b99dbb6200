"""The published price lists, and two of them side by side."""

from array import array
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text

from store.listings import price_lists
from store.listings.selection import Ids
from tui import cells, foreign
from tui.background import begin
from tui.screens.page import Page
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.window_table import Column

if TYPE_CHECKING:
    from store.listings.price_list_rows import PriceListRow
    from store.rules.price_comparison import PriceDifference


class PriceLists(Section):
    """Enter compares a version with the one before it, or with the one that was marked."""

    kind: ClassVar[str] = "prices"
    caption: ClassVar[str] = "Prices"

    def __init__(self, desk: Surroundings) -> None:
        self.marked: int | None = None
        columns = (
            Column("", 1, lambda row: Text("•" if row.id == self.marked else " ")),
            Column("List", 8, lambda row: foreign.text(row.code), grow=1),
            Column("Cur", 3, lambda row: foreign.text(row.currency)),
            Column("No", 3, lambda row: cells.number(row.version), right=True),
            Column("From", 10, lambda row: Text(row.effective_from.isoformat())),
            Column("Until", 10, self._until),
            Column("Access", 18, lambda row: foreign.text(row.access), grow=1),
            Column("Extra key", 9, lambda row: foreign.text(row.extra_key), right=True),
            Column("Published UTC", 16, lambda row: cells.moment(row.published_at), wide=100),
            Column("By", 12, lambda row: foreign.text(row.published_by), wide=100),
        )
        super().__init__(
            desk,
            Listing(
                "version",
                "versions",
                columns,
                lambda needle, _, limit: price_lists.ids(needle, limit),
                _rows,
                grammar=price_lists.GRAMMAR,
                empty="No prices are published yet. Do it with: keydesk prices publish FILE",
            ),
        )

    def do_mark(self) -> None:
        """Compare others with this one; once more takes the mark away."""
        self.marked = None if self.marked == self.row.id else self.row.id
        self.table.refresh()
        of = f"{self.row.code} {self.row.currency} {self.row.version}"
        self.post_message(
            self.Said("The mark is taken away." if self.marked is None else f"Enter compares a version with {of}.")
        )

    def do_policy(self) -> None:
        """How the terms are read."""
        from tui.screens.policy import PolicyPage

        self.app.push_screen(PolicyPage(self.desk))

    def do_open(self) -> None:
        """Side by side."""
        begin(self, self._open, self.row, self.marked, group="open")

    def _until(self, row: "PriceListRow") -> Text:
        today = self.desk.clock().date()
        if row.effective_from > today:
            return Text("to come", "yellow")
        return Text("in force", "green") if row.until is None or row.until > today else Text(f"{row.until}")

    async def _open(self, row: "PriceListRow", marked: int | None) -> None:
        before = await self.desk.reader.read(lambda: price_lists.before(row.id) if marked is None else marked)
        now = self.desk.clock()
        older = {} if before is None else await self.desk.reader.read(lambda: _rows([before], now))
        self.app.push_screen(ComparisonPage(self.desk, None if before is None else older.get(before), row))


class Comparison(Section):
    """Item by item."""

    kind: ClassVar[str] = "comparison"
    caption: ClassVar[str] = "Comparison"

    def __init__(self, desk: Surroundings, before: "PriceListRow | None", after: "PriceListRow") -> None:
        self._before = None if before is None else before.id
        self._after = after.id
        self._differences: tuple[PriceDifference, ...] = ()
        super().__init__(desk, Listing("price", "prices", _COMPARED, self._ids, self._rows))

    def _ids(self, _needle: str, _now: datetime, _limit: int | None) -> Ids:
        from store.listings import price_list_rows

        self._differences = price_list_rows.difference(self._before, self._after)
        return array("q", range(len(self._differences)))

    def _rows(self, wanted: Sequence[int], _: datetime) -> "dict[int, PriceDifference]":
        return {each: self._differences[each] for each in wanted if each < len(self._differences)}


class ComparisonPage(Page):
    """The two versions in the crumbs, their prices below."""

    def __init__(self, desk: Surroundings, before: "PriceListRow | None", after: "PriceListRow") -> None:
        self._named = [_named(row) for row in (before, after) if row is not None]
        super().__init__(desk, [Comparison(desk, before, after)])

    def places(self) -> list[str]:
        """Prices, before, after."""
        return ["Prices", *self._named]


def _rows(wanted: Sequence[int], _: datetime) -> "dict[int, PriceListRow]":
    """Prices are read only by who looks at them: what reads them is imported then."""
    from store.listings import price_list_rows

    return price_list_rows.rows(wanted)


def _named(row: "PriceListRow") -> str:
    return f"{row.code} {row.currency} {row.version} ({row.effective_from:%Y-%m})"


def _change(row: "PriceDifference") -> Text:
    if row.percent:
        return foreign.text(row.percent, "yellow" if row.percent.startswith("+") else "green")
    if not row.before:
        return Text("new")
    return Text("" if row.after else "gone")


_COMPARED = (
    Column("Price", 24, lambda row: foreign.text(row.item), grow=3),
    Column("Before", 14, lambda row: foreign.text(row.before), right=True),
    Column("After", 14, lambda row: foreign.text(row.after), right=True),
    Column("Change", 10, _change, right=True),
)
