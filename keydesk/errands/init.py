"""`keydesk init`: store, pepper and settings of a new installation, or an older store brought up to date."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from keydesk.opening import bind, local_actor, refuse_anothers
from keydesk.settings import Settings, default_file
from store import installation, migrations, peppers, workers
from store.database import private_directory, private_file, session
from store.errors import Refused
from store.installation import Installation
from store.peppers import Peppers
from store.rules.text import visible

_CHOICES = (
    "notice_days",
    "overlap_days",
    "refresh_hour",
    "invoice_hour",
    "grace_days",
    "refresh_window",
    "refresh_at_once",
)
_FILE = """\
# Settings of Keydesk, explained in docs/settings.md. Environment variables (KEYDESK_MAIL_HOST) win over them.

[store]
location = {store}

[keys]
pepper_file = {pepper}

# [mail]                      # without it mails wait in the outbox
# host = "relay.example.com"
# sender = "keys@example.com"
# username = "keydesk"
# password_file = "/etc/keydesk/mail-password"   # mode 0600
"""


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Make what is missing; what is there is left alone, except for the choices that are named."""
    choices = {name: told for name in _CHOICES if (told := getattr(given, name)) is not None}
    wanted = None
    if given.vendor:
        wanted = Installation(vendor=given.vendor, prefix=given.prefix, time_zone=given.time_zone, **choices)
    said = set_up(settings, wanted, clock(), choices)
    said = said or [f"The store {settings.store_location()} is up to date; nothing was changed."]
    sys.stdout.writelines(f"{visible(line)}\n" for line in said)
    return 0


def set_up(
    settings: Settings, wanted: Installation | None, now: datetime, choices: Mapping[str, Any] | None = None
) -> list[str]:
    """Make what is missing as `wanted`, change the `choices` of a store that is there; say each thing that was done.

    Refused, with nothing made, when a new store needs choices and none were given.
    """
    location = Path(settings.store_location()).expanduser()
    is_file = "://" not in settings.store_location()
    if is_file:
        refuse_anothers(location)
    if wanted is None and is_file and not location.exists():
        raise Refused("A new store needs your company's name: `keydesk init --vendor 'Fjord Software'`.")
    if wanted is not None:
        installation.checked(wanted)
    said, made = prepare(settings, now)
    with session():
        before = installation.read()
        if before is None:
            if wanted is None:
                raise Refused("This store needs your company's name: `keydesk init --vendor 'Fjord Software'`.")
            installation.set_up(wanted, now, local_actor(), made)
            said += [
                f"It is the desk of {wanted.vendor}; keys begin with {wanted.prefix}.",
                "Next: `keydesk import` companies and users, `keydesk prices publish` what they pay, then `keydesk`.",
            ]
        elif choices and installation.edit(local_actor(), choices, now) != before:
            said.append("The choices of the installation are changed; they hold from now on.")
    return said


def prepare(settings: Settings, now: datetime) -> tuple[list[str], Peppers]:
    """Make store, pepper and settings file where they are missing; what was done, and the peppers."""
    said: list[str] = []
    location = settings.store_location()
    if "://" not in location:
        path = Path(location).expanduser()
        location = str(path)
        private_directory(path.parent)
        private_file(path)
    bind(location, settings)
    found = migrations.version()
    is_made = found == 0
    if 0 < found < migrations.newest():
        _refuse_workers(now)
    steps = migrations.migrate(now)
    said += (
        [f"The store {location} is made."] if is_made else [f"The store {location} now keeps {step}." for step in steps]
    )
    with session():
        is_new = installation.read() is None
    made = _pepper(settings, said) if is_new else settings.peppers()
    if is_new and settings.source is None:
        said.append(_write_settings(settings))
    return said, made


def _refuse_workers(now: datetime) -> None:
    """A worker of the version before would go on writing into the new store until its next beat."""
    running = workers.running(now)
    if running:
        raise Refused(
            f"Still running: {', '.join(running)}. Stop every worker and desk first, on all machines; one that was "
            "killed elsewhere is taken for dead after 5 minutes. Nothing was changed."
        )


def _pepper(settings: Settings, said: list[str]) -> Peppers:
    path = settings.pepper_path()
    if path.exists():
        return peppers.load(path)
    said.append(f"The pepper is in {path}. Back it up, apart from the store: without it no key works.")
    return peppers.make(path)


def _write_settings(settings: Settings) -> str:
    path = default_file()
    private_directory(path.parent)
    private_file(path)
    places = {"store": settings.store_location(), "pepper": str(settings.pepper_path())}
    text = _FILE.format(**{name: json.dumps(place, ensure_ascii=False) for name, place in places.items()})  # TOML's too
    path.write_text(text, encoding="utf-8")
    return f"The settings are in {path}."
