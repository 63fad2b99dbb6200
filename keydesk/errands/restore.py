"""`keydesk restore`: a backup is looked at or put in place; the store then waits until it is released."""

import argparse
import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from keydesk.opening import bind, local_actor, open_store, refuse_anothers
from keydesk.settings import Settings
from store import database, restored, restoring, sent_record
from store.database import session
from store.errors import Refused
from store.restoring import Looked
from store.rules.text import visible

_SHOWN = ("company", "company_user", "api_key", "email", "notice", "invoice_line", "event")


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Exit status 0 when the backup is sound, is in place, or the store was released."""
    now = clock()
    if given.release or given.hold:
        return _turn(given, settings, now)
    if given.file is None:
        raise Refused("Name the backup: `keydesk restore FILE`, or `keydesk restore FILE --check` to look only.")
    if "://" in settings.store_location():
        raise Refused(
            "This store is PostgreSQL: stop the workers, put the dump back with `pg_restore`, then run "
            "`keydesk restore --hold`, so that nothing is sent or billed before you have looked."
        )
    backup, store = given.file.expanduser().absolute(), Path(settings.store_location()).expanduser().absolute()
    refuse_anothers(store)
    opened = partial(bind, settings=settings)
    if given.check:
        looked = restoring.check(backup, store, opened, settings.peppers(), now)
        _say(*_told(backup, looked), "Nothing was changed.")
        return 0
    placed = restoring.restore(backup, store, opened, settings.peppers(), local_actor(), now)
    _say(*_told(backup, placed.looked), f"It is in place as {store}.")
    if placed.kept is not None:
        _say(f"The store that was there is kept as {placed.kept}.")
    bind(str(store), settings)
    known = sent_record.path()
    if known is None or not known.exists():
        _say(f"There is no {known}: what was mailed since the backup is not known and may be mailed again.")
    database.dispose()
    _say(
        "It sends and bills nothing until you say so. Revoke again what was revoked since the backup, then run "
        "`keydesk restore --release`."
    )
    return 0


def _turn(given: argparse.Namespace, settings: Settings, now: datetime) -> int:
    if given.file is not None:
        raise Refused("--release and --hold are about the store that is in place; name no file.")
    open_store(settings)
    with session():
        if given.release:
            restored.release(local_actor(), now)
            _say("The store sends and bills again.")
        else:
            restored.hold(local_actor(), "said by a person", now)
            _say("The store sends and bills nothing until `keydesk restore --release`.")
    return 0


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{visible(line)}\n" for line in lines)


def _told(backup: Path, looked: Looked) -> tuple[str, ...]:
    rows = ", ".join(f"{looked.rows[table]:,} {table.replace('_', ' ')}" for table in _SHOWN)
    until = f"{looked.newest_event:%Y-%m-%d %H:%M:%S}Z" if looked.newest_event else "never"
    return (
        f"{backup} is sound: a store of {looked.vendor}, version {looked.version}, for this pepper.",
        f"Rows: {rows}.",
        f"Its log is one unbroken chain until {until}, head {looked.head}",
    )
