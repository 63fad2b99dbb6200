"""What was done to a company, by whom and when."""

import json
from typing import ClassVar
from zoneinfo import ZoneInfo

from store.listings import events
from store.listings.companies import CompanyRow
from store.listings.events import EventRow
from store.rules import calendar
from tui import cells, foreign
from tui.dialogs.read_text import ReadTextDialog
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.window_table import Column


class EventLog(Section):
    """The events, newest first."""

    kind: ClassVar[str] = "company.log"
    caption: ClassVar[str] = "Log"

    def __init__(self, desk: Surroundings, company: CompanyRow) -> None:
        self.zone = calendar.zone(company.zone)
        columns = (
            Column("When", 16, lambda row: cells.moment(row.at, self.zone)),
            Column("Who", 10, lambda row: foreign.text(row.actor)),
            Column("What", 16, lambda row: foreign.text(row.act)),
            Column("On", 16, lambda row: foreign.text(row.subject), grow=2),
            Column("From where", 18, lambda row: foreign.text(row.origin, "dim"), wide=110),
            Column("Event", 8, lambda row: cells.number(row.seq), right=True, wide=130),
        )
        super().__init__(
            desk,
            Listing(
                "event",
                "events",
                columns,
                lambda needle, _, limit: events.ids(company.id, needle, limit),
                lambda wanted, _: events.rows(wanted),
                lambda needle, _, after_id: events.newer(company.id, needle, after_id),
                events.GRAMMAR,
                "Nothing has happened here yet.",
            ),
        )

    def do_open(self) -> None:
        """Before and after."""
        row = self.row
        self.app.push_screen(ReadTextDialog("Event", (f"{row.act}: {row.subject}",), "\n".join(_parts(row, self.zone))))


def _parts(row: EventRow, zone: ZoneInfo) -> list[str]:
    parts = [
        f"event    {row.seq}",
        f"when     {cells.spelled(row.at, zone)}",
        f"who      {row.actor} ({row.role}), {row.origin}",
    ]
    for name, value in (("before", row.before), ("after", row.after)):
        if value is not None:
            parts += ["", name, *json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True).splitlines()]
    return parts
