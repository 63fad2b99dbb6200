"""`keydesk init`: store, pepper and settings of a new installation, or an older store brought up to date."""

import argparse
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from keydesk.opening import local_actor
from keydesk.settings import Settings, default_file
from store import database, installation, migrations, peppers
from store.database import private_directory, private_file, session
from store.errors import Refused
from store.installation import Installation
from store.peppers import Peppers

_FILE = """\
# Settings of Keydesk, explained in docs/settings.md. Environment variables (KEYDESK_MAIL_HOST) win over them.

[store]
location = "{store}"

[keys]
pepper_file = "{pepper}"

# [mail]                      # without it mails wait in the outbox
# host = "relay.example.com"
# sender = "keys@example.com"
# username = "keydesk"
# password_file = "/etc/keydesk/mail-password"   # mode 0600
"""


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Make what is missing; what is there is left alone."""
    wanted = None
    if given.vendor:
        wanted = Installation(vendor=given.vendor, prefix=given.prefix, time_zone=given.time_zone)
    for line in set_up(settings, wanted, clock()):
        sys.stdout.write(line + "\n")
    return 0


def set_up(settings: Settings, wanted: Installation | None, now: datetime) -> list[str]:
    """Make the store, the pepper and the settings file, and say each thing that was done.

    `wanted` are the choices of a new store; Refused when they are needed and not given.
    """
    said = []
    location = settings.store_location()
    if "://" not in location:
        path = Path(location).expanduser()
        location = str(path)
        if not path.exists() and wanted is None:
            raise Refused("A new store needs your company's name: `keydesk init --vendor 'Fjord Software'`.")
        private_directory(path.parent)
        private_file(path)
    database.bind(location, password=settings.store_password())
    taken = migrations.migrate(now)
    said += [f"The store {location} now has {step}." for step in taken]
    with session():
        if installation.read() is None:
            if wanted is None:
                raise Refused("This store needs your company's name: `keydesk init --vendor 'Fjord Software'`.")
            made = _pepper(settings, said)
            installation.set_up(wanted, now, local_actor(), made)
            said.append(f"It is the desk of {wanted.vendor}; keys begin with {wanted.prefix}.")
            if settings.source is None:
                said.append(_write_settings(settings))
    return said or [f"The store {location} is up to date; nothing was changed."]


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
    path.write_text(_FILE.format(store=settings.store_location(), pepper=settings.pepper_path()), encoding="utf-8")
    return f"The settings are in {path}."
