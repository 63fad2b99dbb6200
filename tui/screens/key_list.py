"""A list of API keys, and what can be done to the one under the cursor."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import ClassVar

from rich.text import Text

from store.filters import Grammar
from store.listings import events, keys
from store.listings.keys import KeyRow, KeyScope
from store.listings.selection import Ids
from store.rules import calendar
from tui import cells, clipboard, foreign
from tui.background import begin
from tui.screens import key_acts
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.window_table import Column

SORTS = {"newest": "newest first", "expiry": "next to expire first"}
_ENDED = {"expired", "retired", "revoked"}


def columns(*, with_company: bool) -> tuple[Column, ...]:
    """Label, resource, environment, kind, expiry, last used, state; more where there is room."""
    company = Column("Company", 12, lambda key: foreign.text(key.company), grow=2)
    return (
        Column("Label", 11, lambda key: foreign.text(key.label), grow=3),
        *((company,) if with_company else ()),
        Column("Resource", 9, lambda key: foreign.text(key.resource), grow=2, wide=70),
        Column("Key", 13, lambda key: foreign.text(f"{key.first}…{key.last}"), wide=125),
        Column("Env", 7, lambda key: Text(cells.ENVIRONMENTS[key.environment])),
        Column("Kind", 4, lambda key: Text("test" if key.kind == "test" else "std"), wide=70),
        Column("Expires", 18, partial(_expires, short=True), below=100),
        Column("Expires", 22, partial(_expires, short=False), wide=100),
        Column("Last used", 10, _used, wide=0 if not with_company else 90),
        Column("From", 15, lambda key: foreign.text(key.used_from or ""), wide=150),
        Column("State", 8, lambda key: cells.state(key.state)),
        Column("Created", 16, lambda key: cells.moment(key.created_at, calendar.zone(key.zone)), wide=140),
    )


def _expires(key: KeyRow, *, short: bool) -> Text:
    left = "" if key.state in {"revoked", "retired"} else cells.days(key.days_left, short=short)
    return Text.assemble(key.expires_on.isoformat(), (f" {left}", "dim" if key.state == "live" else ""))


def _used(key: KeyRow) -> Text:
    if key.used_at is None:
        return Text("never", "dim")
    return Text(f"{key.used_at.astimezone(calendar.zone(key.zone)):%Y-%m-%d}")


def _grammar(*, with_company: bool) -> Grammar:
    return {name: values for name, values in keys.GRAMMAR.items() if with_company or name != "company"}


class KeyList(Section):
    """Keys of one company, or of all that the admin may see. `company_id` None: all."""

    caption: ClassVar[str] = "API keys"

    def __init__(self, desk: Surroundings, company_id: int | None) -> None:
        self.company_id = company_id
        self.order = "newest"
        empty = (
            "This company has no API keys yet. Press n to make the first one."
            if company_id is not None
            else "There are no API keys yet. Open a company (1), enable API Access, and press n to make the first one."
        )
        super().__init__(
            desk,
            Listing(
                "key",
                "keys",
                columns(with_company=company_id is None),
                self._ids,
                keys.rows,
                self._newer,
                _grammar(with_company=company_id is None),
                empty,
            ),
        )

    def _scope(self, now: datetime) -> KeyScope:
        return KeyScope(self.company_id, now)

    def _ids(self, needle: str, now: datetime, limit: int | None) -> Ids:
        return keys.ids(self._scope(now), needle, self.order, limit)

    def _newer(self, needle: str, now: datetime, after_id: int) -> int:
        return keys.newer(self._scope(now), needle, after_id)

    def place(self) -> str:
        """Where one is, and in which order."""
        return super().place() + (f", {SORTS[self.order]}" if self.order != "newest" else "")

    # Acts

    def do_sort(self) -> None:
        """The other order."""
        self.order = "expiry" if self.order == "newest" else "newest"
        self.reload(from_start=True)
        self.post_message(self.Said(f"Sorted: {SORTS[self.order]}."))

    def do_open(self) -> None:
        """Everything known of the key, and what happened to it."""
        begin(self, open_key, self, self.row, group="open")

    def do_edit_expiry(self) -> None:
        """Another last day."""
        self._change(key_acts.edit_expiry)

    def do_rotate(self) -> None:
        """A successor."""
        self._change(key_acts.rotate)

    def do_revoke(self) -> None:
        """The end."""
        self._change(key_acts.revoke)

    def do_copy_handle(self) -> None:
        """The handle is no secret."""
        clipboard.copy(self.app, self.row.handle, tmux=key_acts.in_tmux())
        self.post_message(
            self.Said(f"{self.row.handle} was sent to your terminal; if it did not take it, Enter shows it to select.")
        )

    def _change(self, act: key_acts.KeyAct) -> None:
        begin(self, act, self.app, self.desk, self.row, group="act")


async def open_key(section: Section, key: KeyRow) -> None:
    """Everything known of a key, and what happened to it, over the section."""
    from tui.dialogs.read_text import ReadTextDialog

    happened = await section.desk.reader.read(lambda: events.about(key.first, key.last, key.company_id))
    section.app.push_screen(ReadTextDialog("API key", _head(key), "\n".join((*_facts(key), "", *_told(happened, key)))))


def _head(key: KeyRow) -> tuple[str, ...]:
    return (f"{key.label} · {key.resource} · {key.company}",)


def _facts(key: KeyRow) -> list[str]:
    zone = calendar.zone(key.zone)
    left = "" if key.state in _ENDED else f" ({cells.days(key.days_left)})"
    facts = [
        ("State", key.state if key.refusal is None else f"{key.state}: {key.refusal}"),
        ("Key", f"{key.first}…{key.last}"),
        ("Handle", key.handle),
        ("Environment", cells.ENVIRONMENTS[key.environment]),
        ("Kind", key.kind),
        ("Expires", f"{key.expires_on}{left}; refused from {cells.spelled(key.ends_at, zone)} {key.zone}"),
        ("Created", f"{cells.spelled(key.created_at, zone)} by {key.created_by}"),
        ("Last used", _use(key)),
    ]
    if key.rotated_at is not None:
        facts.append(
            ("Rotated", f"{cells.spelled(key.rotated_at, zone)}; the overlap ends {cells.spelled(key.ends_at, zone)}")
        )
    if key.revoked_at is not None:
        facts.append(("Revoked", f"{cells.spelled(key.revoked_at, zone)} by {key.revoked_by}: {key.revoked_reason}"))
    return [f"{name:<12} {value}" for name, value in facts]


def _use(key: KeyRow) -> str:
    if key.used_at is None:
        return "never"
    at = cells.spelled(key.used_at, calendar.zone(key.zone))
    return f"{at} from {key.used_from}, {key.uses:,} times in all"


def _told(happened: Sequence[events.EventRow], key: KeyRow) -> list[str]:
    zone = calendar.zone(key.zone)
    return ["What happened", *(f"{cells.spelled(event.at, zone)}  {event.act}  by {event.actor}" for event in happened)]
