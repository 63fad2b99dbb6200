"""What a company can switch on: Setup > Settings > Integrations."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from store import integrations, users
from store.integrations import ApiAccess, NotifiedUser
from store.listings.companies import CompanyRow
from store.listings.selection import Ids
from store.recipients import API_ACCESS
from store.rules import calendar
from tui import cells, foreign
from tui.background import begin
from tui.dialogs.api_access import ApiAccessDialog, ApiAccessDraft, ApiAccessShown
from tui.dialogs.read_text import ReadTextDialog
from tui.screens import key_acts
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.people_picker import Person
from tui.widgets.window_table import Column


@dataclass(frozen=True, slots=True)
class IntegrationRow:
    """An integration as the company has it. `told` says who is notified, in one line."""

    id: int
    company_id: int
    code: str
    title: str
    summary: str
    enabled_at: datetime | None
    told: str


class Integrations(Section):
    """Few rows, each with its form."""

    kind: ClassVar[str] = "company.integrations"
    caption: ClassVar[str] = "Integrations"

    def __init__(self, desk: Surroundings, company: CompanyRow) -> None:
        self.company = company
        zone = calendar.zone(company.zone)
        columns = (
            Column("Integration", 12, lambda row: foreign.text(row.title)),
            Column("State", 7, lambda row: cells.state("on" if row.enabled_at else "off")),
            Column("Since", 16, lambda row: cells.moment(row.enabled_at, zone)),
            Column("Notified", 20, lambda row: foreign.text(row.told), grow=1),
            Column("What it is", 57, lambda row: foreign.text(row.summary, "dim"), wide=130),
        )
        super().__init__(desk, Listing("integration", "integrations", columns, _ids, self._rows))

    def _rows(self, wanted: Sequence[int], now: datetime) -> dict[int, IntegrationRow]:
        del now
        found: dict[int, IntegrationRow] = {}
        for number, (kind, enabled_at) in enumerate(integrations.listed(self.company.id), 1):
            told = _told(integrations.api_access(self.company.id)) if kind.code == API_ACCESS else ""
            row = IntegrationRow(number, self.company.id, kind.code, kind.title, kind.summary, enabled_at, told)
            found |= {number: row} if number in wanted else {}
        return found

    def do_open(self) -> None:
        """The form; for those who may not change it, what it says."""
        refusal = self._refusal()
        if refusal:
            begin(self, self._show_only, refusal, group="open")
        else:
            begin(self, self._edit, group="act")

    async def _show_only(self, refusal: str) -> None:
        of, zone = self.company.id, calendar.zone(self.company.zone)
        access = await self.desk.reader.read(lambda: integrations.api_access(of))
        said = [
            "Enabled",
            f"  since {cells.spelled(access.enabled_at, zone)}" if access.enabled_at else "  no",
            "",
            "Users to notify",
            *([f"  {_named(user)}, {user.email or 'no address'}" for user in access.users] or ["  none"]),
            "",
            "Emails to notify",
            *([f"  {address}" for address in access.emails] or ["  none"]),
            "",
            refusal,
        ]
        self.app.push_screen(ReadTextDialog("API Access", (self.company.name,), "\n".join(said)))

    def _refusal(self) -> str:
        if self.desk.read_only:
            return "This desk was opened read-only; nothing can be changed."
        if not self.desk.actor.may("integration.edit", self.company.id):
            return f"{self.desk.actor.name} ({self.desk.actor.role}) may not change integrations; ask an operator."
        return ""

    async def _edit(self) -> None:
        desk, of = self.desk, self.company.id
        shown = await desk.reader.read(lambda: _shown(of, desk.clock()))
        people = await desk.reader.read(
            lambda: tuple(Person(user.id, user.name, user.email) for user in users.active(of))
        )
        draft = await self.app.push_screen_wait(ApiAccessDialog(self.company.name, shown, people))
        if draft is not None:
            await self._save(draft)

    async def _save(self, draft: ApiAccessDraft) -> None:
        desk, of = self.desk, self.company.id
        saved = await key_acts.carried_out(
            self.app,
            desk,
            lambda: integrations.save_api_access(
                desk.actor,
                of,
                enabled=draft.enabled,
                user_ids=draft.user_ids,
                emails=draft.emails,
                now=desk.clock(),
            ),
        )
        if saved is not None:
            now_on = "API Access is on; its keys are under API keys." if saved.enabled_at else "API Access is off."
            self.post_message(self.Said(f"Saved. {now_on}"))


def _ids(needle: str, now: datetime, limit: int | None) -> Ids:
    del needle, now, limit
    return array("q", range(1, len(integrations.CATALOGUE) + 1))


def _shown(company_id: int, now: datetime) -> ApiAccessShown:
    access = integrations.api_access(company_id)
    people = tuple(Person(user.id, user.name, user.email) for user in access.users)
    return ApiAccessShown(
        access.enabled_at is not None,
        people,
        access.emails,
        integrations.keys_stopped(company_id, now),
    )


def _told(access: ApiAccess) -> str:
    return ", ".join((*map(_named, access.users), *access.emails)) or "nobody"


def _named(user: NotifiedUser) -> str:
    return user.name if user.active else f"{user.name} (has left)"
