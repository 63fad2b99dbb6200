"""`keydesk sandbox next|done|fail|heartbeat`: what any refresh pipeline needs, in JSON."""

import argparse
import json
import os
import socket
import sys
from collections.abc import Callable
from datetime import datetime, timedelta

from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import installation, markers
from store.database import session
from store.errors import Refused
from store.markers import LeaseLost

_LONGEST_LEASE_MINUTES = 7 * 24 * 60
LEASE_LOST = 75  # EX_TEMPFAIL of sysexits.h: somebody else has it, and that is no fault


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Exit status 0 done, 75 when the claim is no longer the caller's."""
    open_store(settings)
    actor = local_actor()
    with session():
        try:
            if given.act == "next":
                return _next(given, clock())
            if given.act == "heartbeat":
                until = markers.heartbeat(actor, given.token, _lease(given), clock())
                sys.stdout.write(json.dumps({"lease_until": until.isoformat()}) + "\n")
            elif given.act == "done":
                markers.done(actor, given.token, given.message, clock())
            else:
                markers.fail(actor, given.token, given.message, clock())
        except LeaseLost as lost:
            sys.stderr.write(f"keydesk: {lost}\n")
            return LEASE_LOST
    return 0


def _next(given: argparse.Namespace, now: datetime) -> int:
    if given.limit < 1:
        raise Refused("The limit must be at least 1.")
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
    return 0


def _lease(given: argparse.Namespace) -> timedelta:
    if not 1 <= given.lease_minutes <= _LONGEST_LEASE_MINUTES:
        raise Refused(f"The lease must be from 1 to {_LONGEST_LEASE_MINUTES:,} minutes (a week).")
    return timedelta(minutes=given.lease_minutes)
