"""One month of all companies: what each owes, the largest first."""

from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult

from store.errors import KeydeskError
from store.listings import invoice_months
from store.listings.invoice_months import MonthRow, MonthTotal
from store.listings.selection import Ids
from store.rules import money
from tui import cells, foreign
from tui.background import begin
from tui.screens.invoices import correction, net, waiting
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.line import Line
from tui.widgets.window_table import Column

_BAR = 24  # cells of the largest company's bar
_MOST = 6  # currencies whose sums are shown


class AllInvoices(Section):
    """Left and right go to the month before and after."""

    kind: ClassVar[str] = "invoices"
    caption: ClassVar[str] = "Invoices"

    def __init__(self, desk: Surroundings) -> None:
        self.month = ""
        self.months: tuple[str, ...] = ()
        self.largest: dict[str, int] = {}
        self.sums = tuple(Line() for _ in range(_MOST))
        columns = (
            Column("Company", 16, _company, grow=3),
            Column("State", 7, lambda row: cells.state(row.state)),
            Column("Net", 16, net, right=True),
            Column("", 12, self._bar, grow=1, below=110),
            Column("", _BAR, self._bar, wide=110),
            Column("To decide", 9, waiting, right=True),
            Column("Note", 10, lambda row: foreign.text(row.error, "red"), grow=3, wide=100),
        )
        super().__init__(
            desk,
            Listing(
                "company",
                "companies",
                columns,
                self._ids,
                lambda wanted, _: invoice_months.rows(wanted),
                grammar=invoice_months.OF_MONTH,
                empty="No month was invoiced yet. The worker writes last month's lines on the 1st.",
            ),
        )

    def compose(self) -> ComposeResult:
        """The sums above the companies."""
        yield from self.sums
        yield from super().compose()

    def opened(self) -> None:
        """Companies and sums."""
        super().opened()
        self._sum_up()

    def reload(self, *, from_start: bool = False) -> None:
        """Companies and sums."""
        super().reload(from_start=from_start)
        self._sum_up()

    def do_open(self) -> None:
        """The month's lines."""
        from tui.screens.invoice_month import MonthPage

        self.app.push_screen(MonthPage(self.desk, self.row))

    def do_go_company(self) -> None:
        """To the company, on its months."""
        from tui.screens.company import open_company

        begin(self, open_company, self, self.row.company_id, group="open")

    def do_earlier(self) -> None:
        """The month before."""
        self._step(-1)

    def do_later(self) -> None:
        """The month after."""
        self._step(1)

    def _step(self, steps: int) -> None:
        place = self.months.index(self.month) + steps if self.month in self.months else -1
        if 0 <= place < len(self.months):
            self.month = self.months[place]
            self.reload(from_start=True)
        else:
            self.post_message(self.Said("There is no invoiced month beyond this one."))

    def do_release_month(self) -> None:
        """It was looked at."""
        from tui.screens import billing_acts

        begin(self, billing_acts.release_month, self.app, self.desk, self.row, group="act")

    def do_credit_month(self) -> None:
        """It was wrong."""
        from tui.screens import billing_acts

        begin(self, billing_acts.credit_month, self.app, self.desk, self.row, group="act")

    def _ids(self, needle: str, _: datetime, limit: int | None) -> Ids:
        only = self.desk.actor.company_id
        self.months = invoice_months.months(only)
        if self.month not in self.months:
            self.month = self.months[-1] if self.months else ""
        return invoice_months.of_month(self.month, only, needle, limit)

    def _sum_up(self) -> None:
        begin(self, self._read_sums, group="sums", alone=True)

    async def _read_sums(self) -> None:
        only = self.desk.actor.company_id
        try:
            totals = await self.desk.reader.read(lambda: invoice_months.totals(self.month, only))
        except KeydeskError:
            return  # the list says it
        self.largest = {total.currency: total.largest_minor for total in totals}
        for place, line in enumerate(self.sums):
            line.display = place < len(totals)
            if place < len(totals):
                line.say(_sum(self.month if not place else "", totals[place]))
        self.table.refresh()

    def _bar(self, row: MonthRow) -> Text:
        largest = self.largest.get(row.currency, 0)
        if row.net_minor <= 0 or largest <= 0:
            return Text("")
        width = _BAR if self.size.width >= 110 else 12
        eighths = max(1, min(width * 8, row.net_minor * width * 8 // largest))
        return Text("█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip(), "cyan")


def _company(row: MonthRow) -> Text:
    """A correction is a row of its own."""
    what = correction(row)
    return Text.assemble((f"{what} ", "yellow"), foreign.text(row.company)) if what else foreign.text(row.company)


def _sum(month: str, total: MonthTotal) -> Text:
    companies = f"{total.companies:,} {'company' if total.companies == 1 else 'companies'}"
    text = foreign.text(f" {month:<9}{money.amount(total.net_minor, total.currency):>18} net  {companies}")
    if total.waiting:
        text.append(f", {total.waiting:,} to look at", "yellow")
    return text
