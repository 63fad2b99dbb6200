"""The first page: companies, all keys, mails, worker, invoices, prices."""

from tui.screens.all_invoices import AllInvoices
from tui.screens.all_keys import AllKeys
from tui.screens.companies import Companies
from tui.screens.mails import Mails
from tui.screens.page import Page
from tui.screens.price_lists import PriceLists
from tui.screens.worker import WorkerState
from tui.surroundings import Surroundings


class HomePage(Page):
    """Its sections have the keys 1 to 6."""

    def __init__(self, desk: Surroundings) -> None:
        super().__init__(
            desk,
            [Companies(desk), AllKeys(desk), Mails(desk), WorkerState(desk), AllInvoices(desk), PriceLists(desk)],
        )

    def tab_title(self, kind: str) -> str:
        """With the key that opens it."""
        return f"{list(self.sections).index(kind) + 1} {self.sections[kind].caption}"

    def open_kinds(self) -> list[str]:
        """The others are about all companies."""
        everything = self.desk.actor.company_id is None
        return [kind for kind in self.sections if everything or kind in {"companies", "keys"}]
