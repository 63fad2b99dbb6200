"""Opening the store for a verb, and saying who acts at this machine."""

import getpass
import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from keydesk.settings import Settings
from store import database, file_access, installation, migrations, sellers, sent_record
from store.actors import Actor
from store.database import session
from store.errors import SettingsWrong, StoreUnavailable
from store.peppers import Peppers


def open_store(settings: Settings) -> None:
    """Bind this process to the store and check that it is there, whole, and of this program's version."""
    location = settings.store_location()
    if "://" not in location:
        path = Path(location).expanduser()
        refuse_anothers(path)
        if not path.exists():
            raise StoreUnavailable(
                f"There is no store at {path}. Run `keydesk init` to make one, or `keydesk demo` to look."
            )
        if path.stat().st_mode & 0o077:
            raise SettingsWrong(f"The store {path} can be read by others. Run `chmod 600 {path}`.")
        location = str(path)
    bind(location, settings)
    migrations.check()


def refuse_anothers(path: Path) -> None:
    """Raise StoreUnavailable when the file belongs to another account; root may use everybody's."""
    told = file_access.of_another(path)
    if told is not None:
        raise StoreUnavailable(told)


def bind(location: str, settings: Settings) -> None:
    """Make `location` the store of this process, as the settings want it."""
    database.bind(location, password=settings.store_password(), lock_wait_seconds=settings.store.lock_wait_seconds)
    sellers.use(asdict(settings.seller))
    sent_record.use(Path(settings.store.sent_record).expanduser() if settings.store.sent_record else None)


def open_peppers(settings: Settings, now: datetime | None = None) -> Peppers:
    """The peppers, held against what the store remembers of them.

    Who is about to make keys says when: a version that is new is then remembered, as an event.
    """
    loaded = settings.peppers()
    with session():
        if now is None:
            installation.check_peppers(loaded)
        else:
            installation.remember_peppers(local_actor(), loaded, now)
    return loaded


def local_actor() -> Actor:
    """The person at this machine, who owns the store: an operator under the login name."""
    origin = "local " + (os.ttyname(0).removeprefix("/dev/") if os.isatty(0) else "command")
    return Actor(getpass.getuser(), "operator", origin)
