"""What a company owes for API Access, month by month: this month so far, its forecast, and what is stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from rich.text import Text

from store.listings import invoice_months
from store.listings.invoice_months import MonthRow
from store.listings.selection import Ids
from store.rules import money
from tui import cells, foreign
from tui.background import begin
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.window_table import Column


def unrated(row: MonthRow) -> bool:
    """Whether there is no amount, because a price list is missing; its error says so."""
    return bool(row.error) and row.state != "held"


def net(row: MonthRow) -> Text:
    """Nothing for a month that could not be rated."""
    return Text("") if unrated(row) else foreign.text(money.amount(row.net_minor, row.currency))


def _vat(row: MonthRow) -> Text:
    return Text("") if unrated(row) else foreign.text(money.amount(row.vat_minor, row.currency))


def _gross(row: MonthRow) -> Text:
    return Text("") if unrated(row) else foreign.text(money.amount(row.gross_minor, row.currency))


def correction(row: MonthRow) -> str:
    """Such as "correction 1"; empty for a month as it was first invoiced."""
    return f"correction {row.revision - 1}" if row.revision > 1 else ""


def _note(row: MonthRow) -> Text:
    return foreign.text(row.error, "red") if row.error else Text(correction(row), "yellow")


def waiting(row: MonthRow) -> Text:
    """How many lines wait for a decision."""
    return Text(f"{row.waiting:,}", "yellow") if row.waiting else Text("")


_COLUMNS = (
    Column("Month", 7, lambda row: foreign.text(row.month)),
    Column("State", 8, lambda row: cells.state(row.state)),
    Column("Net", 15, net, right=True),
    Column("VAT", 14, _vat, right=True, wide=100),
    Column("With VAT", 15, _gross, right=True, wide=70),
    Column("Lines", 5, lambda row: cells.number(row.lines), right=True),
    Column("To decide", 9, waiting, right=True),
    Column("Note", 8, _note, grow=1),
)


class Invoices(Section):
    """Enter opens a month's lines. The first two rows are worked out when they are looked at, and never stored."""

    kind: ClassVar[str] = "company.invoices"
    caption: ClassVar[str] = "Invoice lines"

    def __init__(self, desk: Surroundings, company_id: int) -> None:
        self.company_id = company_id
        super().__init__(
            desk, Listing("month", "months", _COLUMNS, self._ids, self._rows, grammar=invoice_months.OF_COMPANY)
        )

    def do_open(self) -> None:
        """The month's lines."""
        from tui.screens.invoice_month import MonthPage

        self.app.push_screen(MonthPage(self.desk, self.row))

    def do_plot(self) -> None:
        """Twelve months, and this month's usage."""
        from tui.screens import billing_acts

        begin(self, billing_acts.plot_company, self.app, self.desk, self.company_id, group="open")

    def do_release_month(self) -> None:
        """It was looked at."""
        from tui.screens import billing_acts

        begin(self, billing_acts.release_month, self.app, self.desk, self.row, group="act")

    def do_credit_month(self) -> None:
        """It was wrong."""
        from tui.screens import billing_acts

        begin(self, billing_acts.credit_month, self.app, self.desk, self.row, group="act")

    def _ids(self, needle: str, _: datetime, limit: int | None) -> Ids:
        stored = invoice_months.of_company(self.company_id, needle, limit)
        if not needle.strip():
            for first in (invoice_months.FORECAST, invoice_months.SO_FAR):
                stored.insert(0, first)
        return stored

    def _rows(self, wanted: Sequence[int], now: datetime) -> dict[int, MonthRow]:
        from store.listings import present_month

        rows = invoice_months.rows([each for each in wanted if each > 0])
        if any(each < 0 for each in wanted):
            rows |= present_month.rows(self.company_id, now)
        return rows

    def _rows_at_once(self, ids: Sequence[int]) -> Mapping[int, Any] | None:
        """Rating takes its time, and is left to the reader."""
        return None if any(each < 0 for each in ids) else super()._rows_at_once(ids)
