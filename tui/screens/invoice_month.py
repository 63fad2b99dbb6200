"""One company's month, line by line."""

from array import array
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult

from store.errors import KeydeskError
from store.listings import invoice_lines, invoice_months, present_month
from store.listings.invoice_lines import LineRow
from store.listings.invoice_months import MonthRow
from store.listings.selection import Ids
from store.rules import money
from tui import cells, foreign
from tui.background import begin
from tui.screens import billing_acts
from tui.screens.invoices import correction, unrated
from tui.screens.page import Page
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.line import Line
from tui.widgets.window_table import Column

_COLUMNS = (
    Column("Line", 18, lambda row: foreign.text(row.description), grow=3),
    Column("Quantity", 8, lambda row: foreign.text(row.quantity), right=True),
    Column("Price", 9, lambda row: foreign.text(row.unit_price), right=True),
    Column("Net", 15, lambda row: foreign.text(money.amount(row.net_minor, row.currency)), right=True),
    Column("Status", 9, billing_acts.status),
    Column("Transfer", 15, lambda row: foreign.text(row.transfer.replace("-", " ")), wide=110),
    Column("Why", 20, lambda row: foreign.text(row.because, "dim"), grow=4, wide=100),
)


class MonthLines(Section):
    """The lines; above them what the month comes to, and why it is held or could not be rated."""

    kind: ClassVar[str] = "month"
    caption: ClassVar[str] = "Lines"

    def __init__(self, desk: Surroundings, month: MonthRow) -> None:
        self.month = month
        self.sum = Line()
        self.note = Line()
        self._unstored: dict[int, LineRow] = {}
        stored = month.id > 0
        super().__init__(
            desk,
            Listing(
                "line",
                "lines",
                _COLUMNS,
                self._ids,
                self._rows,
                grammar=invoice_lines.OF_MONTH if stored else None,
                empty="Nothing is invoiced for this month.",
            ),
        )

    def compose(self) -> ComposeResult:
        """The sums above the lines."""
        yield self.sum
        yield self.note
        yield from super().compose()

    def opened(self) -> None:
        """Sums and lines."""
        begin(self, self._read_sum, group="sums", alone=True)
        super().opened()

    def stored_change(self) -> None:
        """A decision changes the totals too, and a month may have become final; its lines are few."""
        begin(self, self._read_sum, group="sums", alone=True)
        self.reload()

    def do_open(self) -> None:
        """How the line came about."""
        from tui.screens.invoice_line import LinePage

        self.app.push_screen(LinePage(self.desk, self.row))

    def do_decide(self) -> None:
        """Yes, or waived."""
        begin(self, billing_acts.decide, self.app, self.desk, self.row, group="act")

    def do_plot(self) -> None:
        """The month's usage."""
        begin(self, billing_acts.plot_month, self.app, self.desk, self.month, group="open")

    @property
    def month_row(self) -> MonthRow:
        """The month that the section is about."""
        return self.month

    def do_release_month(self) -> None:
        """It was looked at."""
        begin(self, billing_acts.release_month, self.app, self.desk, self.month, group="act")

    def do_credit_month(self) -> None:
        """It was wrong."""
        begin(self, billing_acts.credit_month, self.app, self.desk, self.month, group="act")

    def do_hold_back(self) -> None:
        """Not for accounting."""
        begin(self, billing_acts.hold_back, self.app, self.desk, self.row, group="act")

    def do_let_go(self) -> None:
        """For accounting after all."""
        begin(self, billing_acts.let_go, self.app, self.desk, self.row, group="act")

    async def _read_sum(self) -> None:
        wanted, of, now = self.month.id, self.month.company_id, self.desk.clock()
        try:
            rows = await self.desk.reader.read(
                lambda: present_month.rows(of, now) if wanted < 0 else invoice_months.rows([wanted])
            )
        except KeydeskError as fault:
            self.post_message(self.Said(str(fault), "bold"))
            return
        self.month = rows.get(wanted, self.month)
        self.sum.say(_sum(self.month))
        note = _note(self.month)
        self.note.display = bool(note)
        self.note.say(note)
        self.post_message(self.Changed())

    def _ids(self, needle: str, now: datetime, limit: int | None) -> Ids:
        month = self.month
        if month.id > 0:
            return invoice_lines.of_month(month.company_id, month.month, month.revision, needle, limit)
        try:
            lines = present_month.lines(month.id, month.company_id, now)
        except KeydeskError:
            lines = []  # why, the note above says
        self._unstored = {line.id: line for line in lines}
        return array("q", [line.id for line in lines])

    def _rows(self, wanted: Sequence[int], _: datetime) -> dict[int, LineRow]:
        if self.month.id > 0:
            return invoice_lines.rows(wanted)
        return {each: self._unstored[each] for each in wanted if each in self._unstored}


class MonthPage(Page):
    """The lines alone."""

    def __init__(self, desk: Surroundings, month: MonthRow) -> None:
        self.month = month
        super().__init__(desk, [MonthLines(desk, month)])

    def places(self) -> list[str]:
        """Companies, the company, the month."""
        return ["Companies", self.month.company, " ".join([self.month.month, correction(self.month)]).strip()]

    def company_id(self) -> int:
        """The month's."""
        return self.month.company_id


def _sum(month: MonthRow) -> Text:
    if unrated(month):
        return Text.assemble(f" {month.month} ", cells.state(month.state), ": it could not be rated.")
    net, vat, gross = (
        money.amount(minor, month.currency) for minor in (month.net_minor, month.vat_minor, month.gross_minor)
    )
    return Text.assemble(f" {month.month} ", cells.state(month.state), foreign.text(f": {net} + {vat} VAT = {gross}"))


def _note(month: MonthRow) -> Text:
    """Why it is held or could not be rated; else what is not in the sum."""
    if month.error:
        return foreign.text(f" {month.error}", "red")
    lines = "1 line waits" if month.waiting == 1 else f"{month.waiting} lines wait"
    return Text(f" {lines} for a decision (d), not in the sum." if month.waiting else "", "yellow")
