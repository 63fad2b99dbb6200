"""One company: its integrations, keys, users, invoice lines, sandbox nights and log."""

from typing import ClassVar

from store.errors import KeydeskError
from store.listings import companies
from store.listings.companies import CompanyRow
from tui.background import begin
from tui.screens import key_acts
from tui.screens.event_log import EventLog
from tui.screens.integrations import Integrations
from tui.screens.invoices import Invoices
from tui.screens.key_list import KeyList
from tui.screens.page import Page
from tui.screens.sandbox import Sandbox
from tui.screens.section import Section
from tui.screens.users import Users
from tui.surroundings import Surroundings


class CompanyKeys(KeyList):
    """The keys of the company."""

    kind: ClassVar[str] = "company.keys"


class CompanyPage(Page):
    """The tabs of one company. API keys is among them only while API Access is enabled."""

    def __init__(self, desk: Surroundings, company: CompanyRow, kind: str = "") -> None:
        self.company = company
        of = company.id
        super().__init__(
            desk,
            [
                Integrations(desk, company),
                CompanyKeys(desk, of),
                Users(desk, of),
                Invoices(desk, of),
                Sandbox(desk, company),
                EventLog(desk, company),
            ],
        )
        first = kind or ("company.keys" if company.api_access else "company.integrations")
        self.section = self.sections[first if first in self.open_kinds() else "company.integrations"]

    def places(self) -> list[str]:
        """Companies, the company, the tab."""
        left = "" if self.company.active else " (inactive)"
        return ["Companies", self.company.name + left, self.section.caption]

    def open_kinds(self) -> list[str]:
        """Without API Access there is no menu for its keys."""
        return [kind for kind in self.sections if kind != "company.keys" or self.company.api_access]

    def company_id(self) -> int:
        """This one, whatever is under the cursor."""
        return self.company.id

    def api_access(self) -> bool:
        """Of this company."""
        return self.company.api_access

    def stored_change(self) -> None:
        """The menu follows the integration at once."""
        begin(self, self._read_company, group="company", alone=True)
        super().stored_change()

    def outdated(self) -> None:
        """The menu follows the integration at once."""
        begin(self, self._read_company, group="company", alone=True)
        super().outdated()

    async def _read_company(self) -> None:
        of, now = self.company.id, self.desk.clock()
        try:
            found = await self.desk.reader.read(lambda: companies.rows([of], now))
        except KeydeskError as fault:
            self.tell(str(fault), "bold")
            return
        company = found.get(of)
        if company is None or company == self.company:
            return
        self.company = company
        if self.section.kind not in self.open_kinds():
            self.open("company.integrations")
        self.draw_frame()

    def do_new_key(self) -> None:
        """A key for one of the company's resources."""
        begin(self, key_acts.new_key, self.app, self.desk, self.company.id, group="act")

    def do_licences(self) -> None:
        """How many licensed users the company pays for."""
        from tui.screens import billing_acts

        begin(self, billing_acts.set_licences, self.app, self.desk, self.company.id, group="act")

    def do_terms(self) -> None:
        """What was agreed with the company."""
        from tui.screens.contract_terms import TermsPage

        self.app.push_screen(TermsPage(self.desk, self.company.id, self.company.name))


async def open_company(section: Section, company_id: int) -> None:
    """Put a company's page in front."""
    now = section.desk.clock()
    found = await section.desk.reader.read(lambda: companies.rows([company_id], now))
    if company_id in found:
        section.app.push_screen(CompanyPage(section.desk, found[company_id]))
