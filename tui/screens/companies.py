"""The list of companies."""

from typing import ClassVar

from rich.text import Text

from store.listings import companies
from store.listings.companies import CompanyRow
from tui import cells, foreign
from tui.background import begin
from tui.screens import key_acts
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.window_table import Column


def _keys(row: CompanyRow) -> Text:
    return Text(f"{row.keys_working:,}{'+' if row.keys_capped else ''}", "" if row.keys_working else "dim")


def _sandbox(row: CompanyRow) -> Text:
    if row.sandbox is None:
        return Text("–", "dim")
    said = cells.state(row.sandbox)
    return said if row.sandbox == "quarantined" or row.night is None else said.append(f" {row.night}", "dim")


_COLUMNS = (
    Column("Company", 14, lambda row: foreign.text(row.name, "" if row.active else "dim"), grow=3),
    Column("Number", 10, lambda row: foreign.text(row.external_id), grow=1, wide=90),
    Column("API Access", 10, lambda row: cells.state("on") if row.api_access else Text("off", "dim")),
    Column("Keys", 5, _keys, right=True),
    Column("Licences", 8, lambda row: cells.number(row.licences), right=True),
    Column("Sandbox", 18, _sandbox),
    Column("Time zone", 20, lambda row: foreign.text(row.zone), wide=110),
    Column("Currency", 8, lambda row: foreign.text(row.currency), wide=120),
    Column("State", 8, lambda row: cells.state("active" if row.active else "inactive"), wide=100),
)


class Companies(Section):
    """Enter opens a company on its keys, or on its integrations while API Access is off."""

    kind: ClassVar[str] = "companies"
    caption: ClassVar[str] = "Companies"

    def __init__(self, desk: Surroundings) -> None:
        only = desk.actor.company_id
        super().__init__(
            desk,
            Listing(
                "company",
                "companies",
                _COLUMNS,
                lambda needle, _, limit: companies.ids(only, needle, limit),
                companies.rows,
                lambda needle, _, after_id: companies.newer(only, needle, after_id),
                companies.GRAMMAR,
                "There are no companies yet.\n\nThey come from your main system: keydesk import FILE (CSV or JSON).",
            ),
        )

    def do_open(self) -> None:
        """To the company's page, which is imported when the first one is opened."""
        from tui.screens.company import CompanyPage

        self.app.push_screen(CompanyPage(self.desk, self.row))

    def do_new_key(self) -> None:
        """For the company under the cursor."""
        begin(self, key_acts.new_key, self.app, self.desk, self.row.id, group="act")
