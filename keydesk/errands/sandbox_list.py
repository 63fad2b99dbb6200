"""`keydesk sandbox list|show`: how sandboxes are, for people and as JSON."""

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from store import companies
from store.errors import FormatWrong
from store.listings import sandboxes
from store.listings.sandboxes import STATES, SandboxRow, Stop
from store.rules import calendar
from store.rules.text import visible


def run(given: argparse.Namespace, now: datetime) -> None:
    """One line or object for each sandbox; all that is known of one."""
    if given.act == "show":
        row = sandboxes.of(companies.by_external_id(given.company).id)
        lines = iter([_object(row, now)]) if given.json else _shown(row, now)
    elif given.json:
        lines = (_object(row, now) for row in sandboxes.every(_states(given.state)))
    else:
        lines = _listed(_states(given.state), now)
    for line in lines:
        sys.stdout.write(f"{line}\n")


def show_object(company_id: int, now: datetime) -> None:
    """All that is known of one, as JSON."""
    sys.stdout.write(f"{_object(sandboxes.of(company_id), now)}\n")


def _object(row: SandboxRow, now: datetime) -> str:
    return json.dumps(_facts(row, now))


def _states(text: str) -> tuple[str, ...]:
    """`quarantined,failed`; all of them where nothing is said."""
    wanted = tuple(text.split(",")) if text else ()
    for each in wanted:
        if each not in STATES:
            raise FormatWrong(f"{each[:64]!a} is no state of a sandbox; there are {', '.join(STATES)}.")
    return wanted


def _listed(wanted: tuple[str, ...], now: datetime) -> Iterator[str]:
    none = True
    for row in sandboxes.every(wanted):
        none = False
        night = row.night or "-"
        name, why = visible(row.name), _why(row)
        told = f"{name}: {why}" if why else name
        yield f"{visible(row.company):<12}  {row.state:<11}  {night!s:<10}  {_age(row, now)}  {told}"
    if none:
        yield "No sandbox is in that state." if wanted else "No sandbox was ever to be refreshed."


def _shown(row: SandboxRow, now: datetime) -> Iterator[str]:
    zone = calendar.zone(row.zone)
    yield f"{visible(row.name)} ({visible(row.company)}), {row.zone}"
    yield f"state       {row.state}"
    yield f"data        {_age(row, now)}"
    yield f"night       {row.night or 'never marked'}" + (f", {row.marked}, tries: {row.attempt}" if row.night else "")
    if row.marked == "due" and row.due_at is not None:
        yield f"due         {row.due_at.astimezone(zone):%Y-%m-%d %H:%M}"
    yield f"failures    {row.failures} in a row"
    for name, stop in (("held", row.hold), ("quarantine", row.quarantine)):
        if stop is not None:
            until = f", through the night of {stop.last_night}" if stop.last_night else ""
            since = f"since {stop.since.astimezone(zone):%Y-%m-%d %H:%M}, by {visible(stop.by)}{until}"
            yield f"{name:<12}{since}: {visible(stop.reason)}"
    if row.message:
        yield f"message     {visible(row.message)}"


def _age(row: SandboxRow, now: datetime) -> str:
    nights = row.nights_old(now)
    if nights is None:
        return "never refreshed"
    old = {0: "last night's", 1: "1 night old"}.get(nights, f"{nights} nights old")
    return f"of {row.last_done}, {old}"


def _why(row: SandboxRow) -> str:
    stop = row.quarantine or row.hold
    return visible(stop.reason if stop is not None else row.message)


def _facts(row: SandboxRow, now: datetime) -> dict[str, Any]:
    return {
        "company": row.company,
        "name": row.name,
        "state": row.state,
        "night": _text(row.night),
        "marker": row.marked,
        "due_at": _text(row.due_at) if row.marked == "due" else None,
        "attempt": row.attempt,
        "message": row.message,
        "last_done": _text(row.last_done),
        "last_done_at": _text(row.last_done_at),
        "nights_old": row.nights_old(now),
        "failures": row.failures,
        "hold": _stop(row.hold),
        "quarantine": _stop(row.quarantine),
    }


def _stop(stop: Stop | None) -> dict[str, Any] | None:
    if stop is None:
        return None
    return {"reason": stop.reason, "by": stop.by, "since": _text(stop.since), "last_night": _text(stop.last_night)}


def _text(value: date | datetime | None) -> str | None:
    return None if value is None else value.isoformat()
