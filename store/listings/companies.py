"""The list of companies, with what one must see at a glance: API Access, keys, licences, the sandbox."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.database import run_sql
from store.fields import instant, seconds
from store.filters import Grammar, one_of, parse
from store.listings.selection import Conditions, Ids, count, marks, read_ids

SANDBOXES = ("quarantined", "due", "running", "done", "failed", "missed", "held")
GRAMMAR: Grammar = {"access": ("on", "off"), "state": ("active", "inactive"), "sandbox": SANDBOXES, "zone": None}
COUNTED = 1000  # a company's newest keys that are looked at; a list must not read a million rows to show one number

_ENABLED = """EXISTS (SELECT 1 FROM integration i
    WHERE i.company_id = c.id AND i.code = 'api_access' AND i.enabled_at IS NOT NULL)"""
_SANDBOX = """COALESCE(
    (SELECT CASE max(h.kind) WHEN 'quarantine' THEN 'quarantined' WHEN 'hold' THEN 'held' END
       FROM sandbox_hold h WHERE h.company_id = c.id AND h.ended_at IS NULL),
    (SELECT m.state FROM refresh_marker m WHERE m.company_id = c.id ORDER BY m.night DESC LIMIT 1))"""


@dataclass(frozen=True, slots=True)
class CompanyRow:
    """A company as the list shows it."""

    id: int
    external_id: str
    name: str
    zone: str
    currency: str
    api_access: bool
    active: bool
    keys: int  # of the newest COUNTED
    keys_working: int  # of those: neither revoked nor ended
    keys_capped: bool  # there may be more
    licences: int
    sandbox: str | None  # quarantined or held, otherwise the newest night's state
    night: str | None
    created_at: datetime


def ids(only: int | None, needle: str = "", limit: int | None = None) -> Ids:
    """The companies by name. `only`: the one company that the admin may see."""
    return read_ids("SELECT c.id FROM company c", _conditions(only, needle), "c.folded, c.id", limit)


def newer(only: int | None, needle: str, after_id: int) -> int:
    """How many companies that the filter leaves came after the given one."""
    if only is not None:
        return 0
    conditions = _conditions(only, needle)
    conditions.add("c.id > ?", after_id)
    return count("SELECT COUNT(*) FROM company c", conditions)


def _conditions(only: int | None, needle: str) -> Conditions:
    conditions = Conditions()
    if only is not None:
        conditions.add("c.id = ?", only)
    for term in parse(needle, GRAMMAR):
        if term.field == "access":
            on = one_of(term, ("on", "off"))
            conditions.add_term(term, _either(on, {"on": _ENABLED, "off": f"NOT {_ENABLED}"}))
        elif term.field == "state":
            wanted = one_of(term, ("active", "inactive"))
            texts = {"active": "c.deactivated_at IS NULL", "inactive": "c.deactivated_at IS NOT NULL"}
            conditions.add_term(term, _either(wanted, texts))
        elif term.field == "sandbox":
            states = one_of(term, SANDBOXES)
            conditions.add_term(term, f"{_SANDBOX} IN ({marks(states)})", *states)
        elif term.field == "zone":
            conditions.add_words(term, ("lower(c.time_zone)",))
        else:
            conditions.add_words(term, ("c.folded", "lower(c.external_id)"))
    return conditions


def _either(chosen: tuple[str, ...], texts: dict[str, str]) -> str:
    return " OR ".join(f"({texts[choice]})" for choice in chosen)


_ROWS = f"""
    SELECT c.id, c.external_id, c.name, c.time_zone, c.currency, {_ENABLED}, c.deactivated_at, c.created_at,
           (SELECT l.licences FROM licence l WHERE l.company_id = c.id AND l.at <= ? ORDER BY l.at DESC LIMIT 1),
           {_SANDBOX},
           (SELECT m.night FROM refresh_marker m WHERE m.company_id = c.id ORDER BY m.night DESC LIMIT 1)
    FROM company c WHERE c.id IN ({{marks}})
"""
_KEYS = f"""
    SELECT COUNT(*), COUNT(CASE WHEN revoked_at IS NULL AND ends_at > ? THEN 1 END)
    FROM (SELECT revoked_at, ends_at FROM api_key WHERE company_id = ?
          ORDER BY created_at DESC LIMIT {COUNTED + 1}) newest
"""


def rows(wanted: Sequence[int], now: datetime) -> dict[int, CompanyRow]:
    """The rows of these companies by id."""
    at = seconds(now)
    found = run_sql(_ROWS.format(marks=marks(wanted)), [at, *wanted]).fetchall()
    return {int(row[0]): _row(row, *run_sql(_KEYS, (at, row[0])).fetchone()) for row in found}


def _row(row: Sequence[Any], keys: int, working: int) -> CompanyRow:
    return CompanyRow(
        id=row[0],
        external_id=row[1],
        name=row[2],
        zone=row[3],
        currency=row[4],
        api_access=bool(row[5]),
        active=row[6] is None,
        keys=min(keys, COUNTED),
        keys_working=min(working, COUNTED),
        keys_capped=keys > COUNTED,
        licences=row[8] or 0,
        sandbox=row[9],
        night=row[10],
        created_at=instant(row[7]),
    )
