"""`keydesk key accept|show|revoke`."""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import datetime

from keydesk.opening import local_actor, open_peppers, open_store
from keydesk.settings import Settings
from store import companies, keys, users
from store.accepting import Acceptor
from store.database import session
from store.errors import NotFound, Refused, StoreUnavailable
from store.listings import keys as listings
from store.rules.acceptance import REASONS
from store.tables import Key

_LONGEST_LINE = 4096  # far beyond any key; a caller that pipes a film in is not read to its end


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Exit status 0 done or accepted, 3 not accepted."""
    open_store(settings)
    with session():
        if given.act == "accept":
            return _accept(given, settings, clock())
        key = _by_handle(given.handle)
        if given.act == "revoke":
            keys.revoke(local_actor(), key.id, given.reason, clock())
            sys.stdout.write(f"{key.first}…{key.last} is revoked. Nothing accepts it any more.\n")
            return 0
        _show(key, clock())
        return 0


def _accept(given: argparse.Namespace, settings: Settings, now: datetime) -> int:
    text = sys.stdin.buffer.readline(_LONGEST_LINE).decode("utf-8", "replace").strip()
    acceptor = Acceptor(open_peppers(settings))
    answer = acceptor.accept(text, given.environment, now, given.address)
    said: dict[str, object] = {"accepted": answer.accepted}
    if answer.accepted:
        said |= {"company": answer.company, "resource": answer.resource, "rights": list(answer.rights)}
    elif given.why:
        said |= {"reason": answer.reason, "why": REASONS.get(answer.reason, "This is not written like a key.")}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    try:
        acceptor.last_uses.flush()
    except StoreUnavailable as fault:  # the answer stands: the last use is information, not a right
        sys.stderr.write(f"keydesk: The last use was not kept. {fault}\n")
    return 0 if answer.accepted else 3


def _show(key: Key, now: datetime) -> None:
    company = companies.get(key.company_id)
    resource = users.get(key.resource_id)
    used = keys.impact(key.id)
    state = listings.rows([key.id], now)[key.id].state
    said = {
        "handle": key.handle,
        "shown": f"{key.first}…{key.last}",
        "label": key.label,
        "company": company.external_id,
        "resource": resource.external_id,
        "environment": key.environment,
        "kind": key.kind,
        "state": state,
        "created_at": key.created_at.isoformat(),
        "created_by": key.created_by,
        "expires_on": key.expires_on.isoformat(),
        "ends_at": key.ends_at.isoformat(),
        "last_used_at": used.last_used_at.isoformat() if used.last_used_at else None,
        "last_used_from": used.address or None,
        "uses": used.uses,
        "revoked_reason": key.revoked_reason,
    }
    # ASCII, so that a hostile label cannot speak to the terminal.
    sys.stdout.write(json.dumps(said, indent=2) + "\n")


def _by_handle(handle: str) -> Key:
    if not handle.startswith("key_"):
        raise Refused(
            "Name the key by its handle (key_…, the desk shows it); a key itself never stands on a command line."
        )
    found: Key | None = Key.get_or_none(Key.handle == handle)
    if found is None:
        raise NotFound(f"There is no key with the handle {handle}.")
    return found
