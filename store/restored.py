"""A store that was restored sends and bills nothing until a person says that it may.

What happened after the backup is forgotten in it: people look first, then let it go on.
"""

import json
from datetime import UTC, datetime

from store import sent_record
from store.actors import WORKER, Actor
from store.change import change
from store.database import backend, run_sql, session
from store.errors import Refused
from store.mail_contexts import instant_text
from store.sent_record import RELEASED
from store.tables import Setting

_RESTORED = "restored_at"
_FORGOTTEN = "forgotten_since"


def held() -> str | None:
    """The instant (as text) at which a store that is still held was restored; None when it may work."""
    found = _settings()
    return None if RELEASED in found else found.get(_RESTORED)


def forgotten() -> tuple[datetime, datetime] | None:
    """From when to when more may have been mailed than this store knows: from a backup until it was let go on.

    From the first such backup, where it is known, until the last time. None: it was never restored.
    """
    found = _settings()
    if _RESTORED not in found:
        return None
    begin, end = found.get(_FORGOTTEN), found.get(RELEASED)
    return (
        datetime.fromisoformat(begin) if begin else datetime.min.replace(tzinfo=UTC),
        datetime.fromisoformat(end) if end else datetime.max.replace(tzinfo=UTC),
    )


def hold(actor: Actor, why: str, now: datetime, *, since: datetime | None = None) -> None:
    """Let the store send and bill nothing from now on; `why` is kept. Nothing happens when it is held already.

    `since`: nothing that happened before is missing in the store. Not given, nobody knows.
    """
    with change(actor, "store.restored", None, now) as made:
        _alone()
        if held() is None:
            is_first = forgotten() is None
            Setting.delete().where(Setting.name << (_RESTORED, RELEASED)).execute()
            Setting.create(name=_RESTORED, value=instant_text(now))
            if is_first and since is not None:
                Setting.create(name=_FORGOTTEN, value=instant_text(since))
            made.event("store.restored", "store", None, after={"why": why})


def release(actor: Actor, now: datetime) -> str:
    """Let a restored store send and bill again; since when it was held. Refused when it is not held."""
    with change(actor, "store.released", None, now) as made:
        _alone()
        since = held()
        if since is None:
            raise Refused("This store is not held after a restore; there is nothing to release.")
        Setting.create(name=RELEASED, value=instant_text(now))
        made.event("store.released", "store", None, before={"restored_at": since})
        return since


def compare(now: datetime) -> None:
    """Hold the store when it has forgotten what the record of sent mails knows.

    Refused when that cannot be read: it may be so, and whoever goes on would mail and bill twice.
    """
    if held() is not None:
        return
    try:
        is_ahead = sent_record.is_ahead()
    except OSError as error:
        raise Refused(
            f"The record of what was sent, {sent_record.path()}, cannot be read ({error.strerror}): nobody knows "
            "whether this store is older than it, and would send and bill again. Give that file and its directory to "
            "the worker's account, or mount what is missing."
        ) from error
    if is_ahead:
        hold(WORKER, "more was mailed than this store knows: it is older than the record of it", now)


def require_released() -> None:
    """Refused while the store is held, or ought to be: when it has forgotten what the record of sent mails knows."""
    waits = why_it_waits()
    if waits is not None:
        raise Refused(waits)


def why_it_waits() -> str | None:
    """Why nothing may be sent, refreshed or billed from this store, and what to do; None when it may be."""
    since = held()
    if since is not None:
        return (
            f"This store was restored at {since}: it neither sends nor bills, and gives out no sandbox. Look what is "
            "missing since the backup, then run `keydesk restore --release`."
        )
    try:
        is_ahead = sent_record.is_ahead()
    except PermissionError:  # it may be for the worker's account alone, which looks when it starts
        is_ahead = False
    if is_ahead:
        return (
            "More was mailed than this store knows: it is older than the record of what was sent "
            f"({sent_record.path()}). Run `keydesk restore --hold`, look what is missing, then run "
            "`keydesk restore --release`."
        )
    return None


def _settings() -> dict[str, str]:
    names = (_RESTORED, RELEASED, _FORGOTTEN)
    with session():
        found = run_sql("SELECT name, value FROM setting WHERE name IN (?, ?, ?)", names).fetchall()
    return {str(name): json.loads(value) for name, value in found}


def _alone() -> None:
    if backend() == "postgresql":
        run_sql("LOCK TABLE setting IN SHARE ROW EXCLUSIVE MODE")
