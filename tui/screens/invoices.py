"""What a company owes for API Access, month by month, each line with its derivation."""

import json
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult

from store.errors import KeydeskError
from store.listings import invoice_lines
from store.listings.invoice_lines import LineRow, MonthSum
from store.rules import money
from tui import cells, foreign
from tui.background import begin
from tui.dialogs.read_text import ReadTextDialog
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.line import Line
from tui.widgets.window_table import Column

_COLUMNS = (
    Column("Month", 7, lambda row: foreign.text(row.month)),
    Column("Line", 16, lambda row: foreign.text(row.description), grow=3),
    Column("Quantity", 10, lambda row: foreign.text(f"{row.quantity} {row.unit}"), right=True),
    Column("Price", 9, lambda row: foreign.text(row.unit_price), right=True, wide=70),
    Column("Net", 14, lambda row: foreign.text(money.amount(row.net_minor, row.currency)), right=True),
    Column("State", 7, lambda row: cells.state(row.month_state)),
    Column("Why", 20, lambda row: foreign.text(row.because, "dim"), grow=3, wide=120),
)


class Invoices(Section):
    """The lines; above them what the newest months come to, and why one could not be rated."""

    kind: ClassVar[str] = "company.invoices"
    caption: ClassVar[str] = "Invoice lines"

    def __init__(self, desk: Surroundings, company_id: int) -> None:
        self.company_id = company_id
        self.sums = Line()
        super().__init__(
            desk,
            Listing(
                "line",
                "lines",
                _COLUMNS,
                lambda needle, _, limit: invoice_lines.ids(company_id, needle, limit),
                lambda wanted, _: invoice_lines.rows(wanted),
                lambda needle, _, after_id: invoice_lines.newer(company_id, needle, after_id),
                invoice_lines.GRAMMAR,
                "No invoice lines yet. The worker writes last month's on the 1st.",
            ),
        )

    def compose(self) -> ComposeResult:
        """The sums above the lines."""
        yield self.sums
        yield from super().compose()

    def opened(self) -> None:
        """Sums and lines."""
        begin(self, self._read_sums, group="sums", alone=True)
        super().opened()

    def stored_change(self) -> None:
        """Sums and lines."""
        begin(self, self._read_sums, group="sums", alone=True)
        super().stored_change()

    async def _read_sums(self) -> None:
        of = self.company_id
        try:
            months = await self.desk.reader.read(lambda: invoice_lines.months(of, limit=3))
        except KeydeskError as fault:
            self.post_message(self.Said(str(fault), "bold"))
        else:
            self.sums.display = bool(months)
            self.sums.say(Text.assemble(" ", Text("   ").join(_sum(month) for month in months)))

    def do_open(self) -> None:
        """How the line came about."""
        row: LineRow = self.row
        head = (f"{row.month} ({row.month_state}): {row.description}", money.amount(row.net_minor, row.currency))
        facts = [
            row.because,
            "",
            f"quantity    {row.quantity} {row.unit}",
            f"unit price  {row.unit_price} {row.currency}",
            f"discount    {money.amount(row.discount_minor, row.currency)}",
            f"price list  {row.price_list}",
            f"reason      {row.reason}, {row.status}, revision {row.revision}",
            "",
            *json.dumps(row.explain, indent=2, ensure_ascii=False, sort_keys=True).splitlines(),
        ]
        self.app.push_screen(ReadTextDialog("Invoice line", head, "\n".join(facts)))


def _sum(month: MonthSum) -> Text:
    if month.state == "parked":
        return Text.assemble(f"{month.month} ", cells.state("parked"), ": ", foreign.text(month.error))
    net, gross = (money.amount(minor, month.currency) for minor in (month.net_minor, month.gross_minor))
    return Text.assemble(f"{month.month} ", cells.state(month.state), foreign.text(f" {net} net, {gross} with VAT"))
