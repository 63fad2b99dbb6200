"""The state that a list shows for a key: in Python for a row, in SQL for a filter; a test holds the two equal."""

from datetime import date, datetime, timedelta
from typing import Any

from store.database import run_sql
from store.fields import seconds
from store.rules import acceptance, calendar

STATES = ("live", "expiring", "expired", "retiring", "retired", "revoked", "off")


def refusal_of(facts: acceptance.Facts[datetime], now: datetime) -> str | None:
    """Why the key is refused in an environment that it covers; None when it is accepted."""
    return acceptance.refusal(facts, "sandbox" if facts.environment == "sandbox" else "prod", now)


def state_of(refusal: str | None, *, rotated: bool, days_left: int, expiring_days: int) -> str:
    """One word. `off`: the key itself is good, but API Access, its company or its resource is not."""
    if refusal in {"revoked", "expired", "retired"}:
        return refusal
    if refusal is not None:
        return "off"
    if rotated:
        return "retiring"
    return "expiring" if days_left <= expiring_days else "live"


_OFF = """
    c.deactivated_at IS NOT NULL OR u.deactivated_at IS NOT NULL OR u.licensed_at IS NULL
    OR NOT EXISTS (SELECT 1 FROM integration i
                   WHERE i.company_id = k.company_id AND i.code = 'api_access' AND i.enabled_at IS NOT NULL)
"""
_WORKS_BY_ITSELF = "k.revoked_at IS NULL AND k.ends_at > ?"


def state_condition(state: str, now: datetime, expiring_days: int) -> tuple[str, list[Any]]:
    """A condition on `api_key k JOIN company c JOIN company_user u`, and its values."""
    at = seconds(now)
    if state == "revoked":
        return "k.revoked_at IS NOT NULL", []
    if state in {"expired", "retired"}:
        rotated = "NOT NULL" if state == "retired" else "NULL"
        return f"k.revoked_at IS NULL AND k.ends_at <= ? AND k.rotated_at IS {rotated}", [at]
    if state == "off":
        return f"{_WORKS_BY_ITSELF} AND ({_OFF})", [at]
    accepted = f"{_WORKS_BY_ITSELF} AND NOT ({_OFF})"
    if state == "retiring":
        return f"{accepted} AND k.rotated_at IS NOT NULL", [at]
    soon, values = _expires_by(now, expiring_days)
    compared = "<=" if state == "expiring" else ">"
    return f"{accepted} AND k.rotated_at IS NULL AND k.expires_on {compared} {soon}", [at, *values]


def _expires_by(now: datetime, days: int) -> tuple[str, list[Any]]:
    """The last expiry date that counts as soon, as an expression: it is a different day in different zones."""
    zones: dict[date, list[str]] = {}
    for (name,) in run_sql("SELECT DISTINCT time_zone FROM company").fetchall():
        day = calendar.local_day(now, calendar.zone(name)) + timedelta(days=days)
        zones.setdefault(day, []).append(name)
    if not zones:
        return "''", []
    cases = " ".join(f"WHEN c.time_zone IN ({', '.join('?' * len(names))}) THEN ?" for names in zones.values())
    values = [value for day, names in zones.items() for value in (*names, day.isoformat())]
    return f"(CASE {cases} END)", values
