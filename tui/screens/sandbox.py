"""The nights of a company's sandbox."""

from datetime import datetime
from itertools import zip_longest
from typing import ClassVar
from zoneinfo import ZoneInfo

from rich.text import Text
from textual.app import ComposeResult

from store import sandbox_holds
from store.errors import KeydeskError
from store.listings import nights, sandboxes
from store.listings.companies import CompanyRow
from store.listings.nights import NightRow
from store.listings.sandboxes import SandboxRow
from store.rules import calendar
from store.sandbox_holds import QUARANTINED_AFTER
from tui import cells, foreign
from tui.background import begin
from tui.dialogs.read_text import ReadTextDialog
from tui.screens import key_acts
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.line import Line
from tui.widgets.window_table import Column


class Sandbox(Section):
    """How fresh it is and whether it is left alone; below, when it was refreshed and what went wrong."""

    kind: ClassVar[str] = "company.sandbox"
    caption: ClassVar[str] = "Sandbox"

    def __init__(self, desk: Surroundings, company: CompanyRow) -> None:
        self.company = company
        self.zone = calendar.zone(company.zone)
        self.lines = (Line(), Line(), Line())
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
                "No nights yet. A company with a key that is accepted in Sandbox gets one each night at 02:00.",
            ),
        )

    def compose(self) -> ComposeResult:
        """How it is above, its nights below."""
        yield from self.lines
        yield from super().compose()

    def opened(self) -> None:
        """How it is, and its nights."""
        begin(self, self._read_sandbox, group="sandbox", alone=True)
        super().opened()

    def stored_change(self) -> None:
        """How it is, and its nights."""
        begin(self, self._read_sandbox, group="sandbox", alone=True)
        super().stored_change()

    async def _read_sandbox(self) -> None:
        try:
            row = await self.desk.reader.read(lambda: sandboxes.of(self.company.id))
        except KeydeskError as fault:
            self.post_message(self.Said(str(fault), "bold"))
            return
        said = [freshness(row, self.desk.clock()), *left_alone(row, self.zone)]
        for line, text in zip_longest(self.lines, said):
            line.display = text is not None
            line.say(Text.assemble(" ", text or ""))

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
        """Refresh once more; a quarantine ends with it."""
        begin(self, self._again, self.row, group="act")

    async def _again(self, row: NightRow) -> None:
        desk = self.desk
        await key_acts.carried_out(self.app, desk, lambda: sandbox_holds.again(desk.actor, row.id, desk.clock()))

    def do_hold_sandbox(self) -> None:
        """Leave it as it is."""
        begin(self, self._hold, group="act")

    async def _hold(self) -> None:
        from tui.dialogs.hold_sandbox import HoldSandboxDialog

        desk, company, now = self.desk, self.company, self.desk.clock()
        row = await desk.reader.read(lambda: sandboxes.of(company.id))
        dialog = HoldSandboxDialog(company.name, freshness(row, now).plain, calendar.local_day(now, self.zone))
        draft = await self.app.push_screen_wait(dialog)
        if draft is not None:
            await key_acts.carried_out(
                self.app,
                desk,
                lambda: sandbox_holds.hold(desk.actor, company.id, draft.reason, draft.last_night, desk.clock()),
            )

    def do_release_sandbox(self) -> None:
        """From the next night on it is refreshed."""
        begin(self, self._release, group="act")

    async def _release(self) -> None:
        desk, company = self.desk, self.company
        ended = await key_acts.carried_out(
            self.app, desk, lambda: sandbox_holds.release(desk.actor, company.id, desk.clock())
        )
        if ended is not None:
            said = (
                "It is refreshed from the next night on; a does not wait." if ended else "Nothing holds this sandbox."
            )
            self.post_message(self.Said(said))


def freshness(row: SandboxRow, now: datetime) -> Text:
    """How old what the sandbox holds is."""
    nights_old = row.nights_old(now)
    if nights_old is None:
        return Text("It has never been refreshed from production.", "yellow" if row.night else "dim")
    old = {0: "last night's", 1: "1 night old"}.get(nights_old, f"{nights_old:,} nights old")
    return Text(f"Data from the night of {row.last_done}, {old}.", "green" if nights_old < 2 else "yellow")


def left_alone(row: SandboxRow, zone: ZoneInfo) -> list[Text]:
    """What keeps it from being refreshed, or how near it is to that; at most two lines."""
    said = []
    if row.quarantine is not None:
        since = cells.spelled(row.quarantine.since, zone)
        said.append(Text(f"In quarantine since {since}: {row.quarantine.reason}", "bold red"))
    if row.hold is not None:
        hold, since = row.hold, cells.spelled(row.hold.since, zone)
        until = f"through {hold.last_night}" if hold.last_night else "until released"
        said.append(foreign.text(f"Held by {hold.by} {until}: {hold.reason} (since {since})", "yellow"))
    if not said and row.failures:
        said.append(
            Text(f"Failures in a row: {row.failures}; the {QUARANTINED_AFTER}rd stops the refreshes.", "yellow")
        )
    return said
