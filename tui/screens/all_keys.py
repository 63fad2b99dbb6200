"""All keys of all companies, or of the one that the admin may see."""

from typing import ClassVar

from tui.background import begin
from tui.screens import key_acts
from tui.screens.key_list import KeyList
from tui.surroundings import Surroundings


class AllKeys(KeyList):
    """A million of them open as fast as ten."""

    kind: ClassVar[str] = "keys"
    caption: ClassVar[str] = "All keys"

    def __init__(self, desk: Surroundings) -> None:
        super().__init__(desk, desk.actor.company_id)

    def do_go_company(self) -> None:
        """To the page of the key's company."""
        from tui.screens.company import open_company

        begin(self, open_company, self, self.row.company_id, group="open")

    def do_new_key(self) -> None:
        """For the company of the key under the cursor."""
        begin(self, key_acts.new_key, self.app, self.desk, self.row.company_id, group="act")
