"""The nights of a company's sandbox."""

from typing import ClassVar

from store import sandbox_holds
from store.listings import nights
from store.listings.companies import CompanyRow
from store.listings.nights import NightRow
from store.rules import calendar
from tui import cells, foreign
from tui.background import begin
from tui.dialogs.read_text import ReadTextDialog
from tui.screens import key_acts
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.window_table import Column


class Sandbox(Section):
    """When it was refreshed from production, and what went wrong."""

    kind: ClassVar[str] = "company.sandbox"
    caption: ClassVar[str] = "Sandbox"

    def __init__(self, desk: Surroundings, company: CompanyRow) -> None:
        self.zone = calendar.zone(company.zone)
        columns = (
            Column("Night", 10, lambda row: foreign.text(row.night)),
            Column("State", 7, lambda row: cells.state(row.state)),
            Column("Began", 16, lambda row: cells.moment(row.started_at, self.zone)),
            Column("Ended", 16, lambda row: cells.moment(row.finished_at, self.zone)),
            Column("Tries", 5, lambda row: cells.number(row.attempt), right=True, wide=76),
            Column("Message", 12, lambda row: foreign.text(row.message), grow=1),
            Column("By", 24, lambda row: foreign.text(row.claimed_by, "dim"), wide=120),
        )
        super().__init__(
            desk,
            Listing(
                "night",
                "nights",
                columns,
                lambda needle, _, limit: nights.ids(company.id, needle, limit),
                lambda wanted, _: nights.rows(wanted),
                lambda needle, _, after_id: nights.newer(company.id, needle, after_id),
                nights.GRAMMAR,
                "No nights yet. A company with a key that covers Sandbox gets one each night at 02:00.",
            ),
        )

    def do_open(self) -> None:
        """The whole message."""
        row: NightRow = self.row
        facts = [
            f"state    {row.state}",
            f"due      {cells.spelled(row.due_at, self.zone)}",
            f"began    {cells.spelled(row.started_at, self.zone)}",
            f"ended    {cells.spelled(row.finished_at, self.zone)}",
            f"tries    {row.attempt}, last by {row.claimed_by or 'nobody'}",
            "",
            row.message,
        ]
        self.app.push_screen(ReadTextDialog("Sandbox night", (f"{row.night}",), "\n".join(facts)))

    def do_again(self) -> None:
        """Refresh once more."""
        begin(self, self._again, self.row, group="act")

    async def _again(self, row: NightRow) -> None:
        desk = self.desk
        await key_acts.carried_out(self.app, desk, lambda: sandbox_holds.again(desk.actor, row.id, desk.clock()))
