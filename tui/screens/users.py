"""The co-workers of a company."""

from typing import ClassVar

from rich.text import Text

from store.listings import users
from store.listings.users import UserRow
from tui import cells, foreign
from tui.background import begin
from tui.dialogs.new_key import ResourceChoice
from tui.dialogs.read_text import ReadTextDialog
from tui.screens import key_acts
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.window_table import Column

_COLUMNS = (
    Column("Name", 14, lambda row: foreign.text(row.name, "" if row.active else "dim"), grow=2),
    Column("Email", 16, lambda row: foreign.text(row.email or "none", "" if row.email else "dim"), grow=2),
    Column("State", 8, lambda row: cells.state("active" if row.active else "inactive")),
    Column("Licensed", 8, lambda row: Text("yes" if row.licensed else "no", "" if row.licensed else "yellow")),
    Column("Keys", 5, lambda row: cells.number(row.keys_working), right=True),
    Column("Notified", 8, lambda row: Text("yes" if row.notified else ""), wide=76),
    Column("Rights", 16, lambda row: foreign.text(", ".join(row.rights)), grow=2, wide=110),
    Column("Number", 10, lambda row: foreign.text(row.external_id), wide=130),
)


class Users(Section):
    """Who can be a resource, and who can be told."""

    kind: ClassVar[str] = "company.users"
    caption: ClassVar[str] = "Users"

    def __init__(self, desk: Surroundings, company_id: int) -> None:
        self.company_id = company_id
        super().__init__(
            desk,
            Listing(
                "user",
                "users",
                _COLUMNS,
                lambda needle, _, limit: users.ids(company_id, needle, limit),
                users.rows,
                grammar=users.GRAMMAR,
                empty="This company has no users yet. They come from your main system: keydesk import FILE.",
            ),
        )

    def do_open(self) -> None:
        """Everything known of the user."""
        self.app.push_screen(ReadTextDialog("User", (self.row.name,), "\n".join(_facts(self.row))))

    def do_new_key(self) -> None:
        """A key for the user under the cursor, when he can have one."""
        begin(self, key_acts.new_key, self.app, self.desk, self.company_id, _resource(self.row), group="act")


def _resource(row: UserRow | None) -> ResourceChoice | None:
    usable = row is not None and row.active and row.licensed
    return ResourceChoice(row.id, row.name, row.email) if row is not None and usable else None


def _facts(row: UserRow) -> list[str]:
    facts = [
        ("Email", row.email or "none; nothing can be mailed to this user"),
        ("Number", row.external_id),
        ("State", "active" if row.active else "inactive"),
        ("Licensed", "yes" if row.licensed else "no; keys of this resource are not accepted"),
        ("Rights", ", ".join(row.rights) or "none"),
        ("Keys", f"{row.keys_working} that work by themselves"),
        ("Notified", "yes, as a user to notify" if row.notified else "only about own keys"),
        ("Known since", cells.spelled(row.created_at)),
    ]
    return [f"{name:<12} {said}" for name, said in facts]
