"""`keydesk sandbox`: what any refresh pipeline needs, in JSON; and people, to see and hold sandboxes."""

import argparse
import json
import os
import socket
import sys
from collections.abc import Callable
from datetime import datetime, timedelta

from keydesk.errands import sandbox_list
from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import clock_seen, companies, installation, markers, restored, sandbox_callers, sandbox_holds
from store.database import session
from store.errors import Refused
from store.listings import sandboxes
from store.markers import LeaseLost, Report
from store.rules.text import visible
from store.tables import Company

_LONGEST_LEASE_MINUTES = markers.LONGEST_LEASE // timedelta(minutes=1)
_MAY_BE_DONE_NOW = frozenset({"due", "failed", "missed", "held"})  # the newest night, by `again`
LEASE_LOST = 75  # EX_TEMPFAIL of sysexits.h: somebody else has it, and that is no fault


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Exit status 0 done, 75 when the claim is no longer the caller's."""
    open_store(settings)
    with session():
        if given.act in {"list", "show"}:
            sandbox_list.run(given, clock())
        elif given.act in {"hold", "release", "again"}:
            act = {"hold": _hold, "release": _release, "again": _again}[given.act]
            company = companies.by_external_id(given.company)
            told = act(company, given, clock())
            if given.json:
                sandbox_list.show_object(company.id, clock())
            else:
                sys.stdout.write(f"{told}\n")
        else:
            verb = {"next": _next, "heartbeat": _heartbeat, "done": _done, "fail": _fail}[given.act]
            try:
                verb(given, clock())
            except LeaseLost as lost:
                sys.stderr.write(f"keydesk: {lost}\n")
                return LEASE_LOST
    return 0


def _next(given: argparse.Namespace, now: datetime) -> None:
    if given.limit < 1:
        raise Refused("The limit must be at least 1.")
    restored.require_released()
    clock_seen.require_near(now, clock_seen.of_server())
    claimant = f"{socket.gethostname()}:{os.getppid()}"
    at_once = installation.get().refresh_at_once
    for claim in markers.claim(local_actor(), given.limit, _lease(given), now, claimant, at_once=at_once):
        said = {
            "token": claim.token,
            "company": claim.company,
            "name": claim.name,
            "night": claim.night.isoformat(),
            "attempt": claim.attempt,
            "lease_until": claim.lease_until.isoformat(),
        }
        sys.stdout.write(json.dumps(said) + "\n")


def _heartbeat(given: argparse.Namespace, now: datetime) -> None:
    clock_seen.require_near(now, clock_seen.of_server())
    until = markers.heartbeat(local_actor(), given.token, _lease(given), now)
    sys.stdout.write(json.dumps({"lease_until": until.isoformat()}) + "\n")


def _done(given: argparse.Namespace, now: datetime) -> None:
    _reported(markers.done(local_actor(), given.token, given.message, clock_seen.believable(now)))


def _fail(given: argparse.Namespace, now: datetime) -> None:
    retry_in = None if given.retry_in is None else timedelta(minutes=given.retry_in)
    at = clock_seen.believable(now)
    _reported(markers.fail(local_actor(), given.token, given.message, at, retry_in=retry_in))


def _reported(report: Report) -> None:
    said = {
        "company": report.company,
        "night": report.night.isoformat(),
        "attempt": report.attempt,
        "state": report.state,
        "due_at": report.due_at.isoformat() if report.due_at else None,
        "failures": report.failures,
        "quarantined": report.quarantined,
    }
    sys.stdout.write(json.dumps(said) + "\n")


def _hold(company: Company, given: argparse.Namespace, now: datetime) -> str:
    held = sandbox_holds.hold(local_actor(), company.id, given.reason, given.until, now)
    until = f"through the night of {held.last_night}" if held.last_night else "until it is released"
    return f"The sandbox of {visible(company.name)} is held {until}."


def _release(company: Company, _given: argparse.Namespace, now: datetime) -> str:
    name = visible(company.name)
    if not sandbox_holds.release(local_actor(), company.id, now):
        return f"The sandbox of {name} is neither held nor in quarantine; nothing was changed."
    why = sandbox_callers.why_none(company, now)
    coming = _from_the_next_night(why)
    if why is None and sandboxes.of(company.id).marked in _MAY_BE_DONE_NOW:
        coming += f"; `keydesk sandbox again {visible(company.external_id)}` does it now"
    return f"The sandbox of {name} {coming}."


def _from_the_next_night(why_not: str | None) -> str:
    if why_not is None:
        return "is refreshed from the next night on"
    return f"is let go, and no night is marked for it: {why_not}"


def _again(company: Company, _given: argparse.Namespace, now: datetime) -> str:
    again = sandbox_holds.again_for(local_actor(), company.id, now)
    ended = "Its quarantine is over. " if again.released else ""
    if again.night is None:
        coming = _from_the_next_night(sandbox_callers.why_none(company, now))
        return f"{ended}The sandbox of {visible(company.name)} {coming}."
    state = "running" if again.state == "running" else "due now"
    return f"{ended}The refresh of {visible(company.name)} for the night of {again.night} is {state}."


def _lease(given: argparse.Namespace) -> timedelta:
    if not 1 <= given.lease_minutes <= _LONGEST_LEASE_MINUTES:
        raise Refused(f"The lease must be from 1 to {_LONGEST_LEASE_MINUTES:,} minutes (a week).")
    return timedelta(minutes=given.lease_minutes)
