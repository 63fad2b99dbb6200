"""`keydesk admin add|add-key|remove-key|disable|list`."""

import argparse
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import admins
from store.errors import FormatWrong
from store.rules.text import visible

_LONGEST_FILE = 64 * 1024  # far beyond any public key; what is longer is a slip of the hand


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Say what was done, in one sentence; or list who may log in."""
    open_store(settings)
    sys.stdout.write(_listed() if given.act == "list" else _changed(given, clock()) + "\n")
    return 0


def _changed(given: argparse.Namespace, now: datetime) -> str:
    actor = local_actor()
    if given.act == "add":
        text = None if given.key is None else _read(given.key)
        admins.add(actor, given.name, given.role, given.company, text, now)
        if text is None:
            return f"{given.name} is an admin and cannot log in yet: `keydesk admin add-key {given.name} --key FILE`."
        return f"{given.name} may log in now."
    if given.act == "add-key":
        key = admins.add_key(actor, given.name, _read(given.key), now)
        return f"{given.name} may log in with {key.fingerprint} now."
    if given.act == "remove-key":
        key = admins.remove_key(actor, given.fingerprint, now)
        return f"{key.admin.name} no longer logs in with {key.fingerprint}."
    admins.disable(actor, given.name, now)
    return f"{given.name} no longer logs in, and a session that is open can change nothing more."


def _listed() -> str:
    found = admins.listed()
    if not found:
        return "Nobody logs in over SSH yet. `keydesk admin add NAME --role operator --key FILE` lets somebody in.\n"
    lines = []
    for admin in found:
        reach = f" of {visible(admin.company)}" if admin.company else ""
        ended = f", disabled {admin.disabled_at:%Y-%m-%d}" if admin.disabled_at else ""
        lines.append(f"{admin.name}: {admin.role}{reach}{ended}")
        lines += [f"  {key.fingerprint} {key.type} {visible(key.comment)}".rstrip() for key in admin.keys]
        if not admin.keys:
            lines.append("  no key")
    return "\n".join(lines) + "\n"


def _read(path: Path) -> str:
    try:
        if str(path) == "-":
            return sys.stdin.read(_LONGEST_FILE)
        with path.open(encoding="utf-8") as file:
            return file.read(_LONGEST_FILE)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise FormatWrong(f"The key file {path} cannot be read ({reason}); name a .pub file.") from None
