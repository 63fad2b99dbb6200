"""What was agreed with one company: prices, discounts, waivers, included amounts, each with its reference."""

from typing import ClassVar

from rich.text import Text

from store.listings import contract_terms
from store.listings.contract_terms import TermRow
from store.rules import calendar
from tui import foreign
from tui.background import begin
from tui.dialogs.contract_term import KIND_WORDS, LINE_WORDS
from tui.screens import billing_acts
from tui.screens.page import Page
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.window_table import Column


def value(row: TermRow) -> Text:
    """With its unit, where the kind has one."""
    return foreign.text(f"{row.value} %" if row.kind == "discount_percent" else row.value)


class Terms(Section):
    """A term is never changed: it is ended, and another one added."""

    kind: ClassVar[str] = "terms"
    caption: ClassVar[str] = "Contract terms"

    def __init__(self, desk: Surroundings, company_id: int) -> None:
        self.company_id = company_id
        columns = (
            Column("Line", 17, lambda row: foreign.text(LINE_WORDS.get(row.line, row.line)), grow=1),
            Column("Term", 16, lambda row: foreign.text(KIND_WORDS.get(row.kind, row.kind)), grow=1),
            Column("Value", 10, value, right=True),
            Column("From", 7, lambda row: foreign.text(row.first_month)),
            Column("To", 7, self._last),
            Column("Reference", 12, lambda row: foreign.text(row.reference), grow=3),
        )
        super().__init__(
            desk,
            Listing(
                "term",
                "terms",
                columns,
                lambda needle, _, limit: contract_terms.ids(company_id, needle, limit),
                lambda wanted, _: contract_terms.rows(wanted),
                grammar=contract_terms.GRAMMAR,
                empty="Nothing was agreed: the price list holds. Press n to add a term.",
            ),
        )

    def do_add_term(self) -> None:
        """Another agreement."""
        begin(self, billing_acts.add_term, self.app, self.desk, self.company_id, group="act")

    def do_end_term(self) -> None:
        """Its last month."""
        begin(self, billing_acts.end_term, self.app, self.desk, self.row, group="act")

    def _last(self, row: TermRow) -> Text:
        if not row.last_month:
            return Text("–", "dim")
        past = row.last_month < calendar.month_of(self.desk.clock().date())
        return foreign.text(row.last_month, "dim" if past else "")


class TermsPage(Page):
    """The terms alone."""

    def __init__(self, desk: Surroundings, company_id: int, company: str) -> None:
        self._company_id = company_id
        self._company = company
        super().__init__(desk, [Terms(desk, company_id)])

    def places(self) -> list[str]:
        """Companies, the company, its terms."""
        return ["Companies", self._company, self.section.caption]

    def company_id(self) -> int:
        """Theirs."""
        return self._company_id
