"""What was mailed, remembered outside the store: a store that is restored from a backup has forgotten it.

A file that only grows, on SQLite beside the store. Each mail that a relay took adds one line: the instant, its
Message-ID and a hash of each thing that it told. It is synced before the store says `sent`, so that it never knows
less than the store. A line that a power cut tore is harmless: hashes are looked for, lines are not counted.
"""

import errno
import hashlib
import mmap
import os
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from store import beside
from store.database import session, sqlite_path
from store.fields import canonical, instant, seconds
from store.mail_truth import Confirmed
from store.tables import Email, Event, Setting

RELEASED = "released_at"  # the setting that says when a person let a restored store go on
_LINE = re.compile(rb"(?m)^([0-9]{1,12}) (\S{1,128})(?: [0-9a-f]{32})+\n")
_THING = re.compile(rb"(?<= )[0-9a-f]{32}(?=[ \n]|\Z)")
_DIGITS = 16  # of a hash that are enough to tell it from others
_CLOCKS_ARE_APART = 86_400  # seconds at most, that of whoever let the store go on and that of the worker
_KEYS_ONE_BY_ONE = 200
_TAIL = 16_384  # bytes at the end in which the newest whole line is looked for

_named: Path | None = None


def use(path: Path | None) -> None:
    """Keep the record in this file; None: beside the store on SQLite, and nowhere on PostgreSQL."""
    global _named  # noqa: PLW0603 - one process, one store
    _named = path


def path() -> Path | None:
    """Where the record is, or will be; None when none is kept."""
    store = sqlite_path()
    return _named or (store.with_name(store.name + ".sent") if store is not None else None)


def told(mail: Email, confirmed: Confirmed) -> tuple[str, ...]:
    """A hash of each thing that the mail tells its recipient; equal in a restored store that owes it once more.

    A digest tells of key, expiry and threshold, whichever day it is written for; one of very many keys is one thing.
    Any other mail is its reason and its content: numbers of rows are used again after a restore, so the reason alone
    could be another's.
    """
    things: list[Any] = [list(each) for each in confirmed.told]
    if len(things) > _KEYS_ONE_BY_ONE:
        things = [things]
    if not things:
        things = [[mail.message_id, {name: value for name, value in confirmed.said.items() if name != "roles"}]]
    recipient = mail.recipient.lower()
    return tuple(hashlib.sha256(canonical([mail.kind, recipient, each]).encode()).hexdigest()[:32] for each in things)


def add(mail: Email, things: Sequence[str], now: datetime) -> bool:
    """Write that the relay took a mail; a process that is killed has written it, and `sync` brings it to the disk.

    False where no record is kept. Raises OSError.
    """
    where = path()
    if where is None:
        return False
    line = f"{seconds(now)} {mail.message_id} {' '.join(things)}\n".encode()
    is_new = not where.exists()
    with _opened(where, os.O_RDWR | os.O_APPEND | os.O_CREAT) as descriptor:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a full disk or a power cut left half a line
            line = b"\n" + line
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if is_new:
        _sync(where.parent, os.O_RDONLY)
    return True


def sync() -> None:
    """Bring to the disk what was added; may be called by any thread. Raises OSError."""
    where = path()
    if where is not None:
        _sync(where, os.O_WRONLY)


def told_at(things: Sequence[str]) -> datetime | None:
    """When the last of these was told; None unless all of them were."""
    where = path()
    if where is None or not things or not where.exists() or where.stat().st_size == 0:
        return None
    with where.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as record:
        found = [record.rfind(thing.encode()) for thing in things]
        if min(found) < 0:
            return None
        line = record[record.rfind(b"\n", 0, max(found)) + 1 : max(found)]
    stamp = re.match(rb"[0-9]{1,12}(?= )", line)
    return instant(int(stamp[0])) if stamp else None


def may_know(things: Sequence[str], told: tuple[datetime, datetime]) -> bool:
    """Whether these may have been told between these instants; the record is read once for all who ask.

    False is certain. True is for `told_at` to judge.
    """
    where = path()
    if where is None or not things or not where.exists():
        return False
    known = _told_between(where, *told)

    def is_there(thing: str) -> bool:
        number = int(thing[:_DIGITS], 16)
        place = bisect_left(known, number)
        return place < len(known) and known[place] == number

    return all(is_there(thing) for thing in things)


@lru_cache(maxsize=1)
def _told_between(where: Path, since: datetime, until: datetime) -> "array[int]":
    """The beginnings of the hashes, as numbers in order; of a line whose instant cannot be read, too."""
    found = array("Q")
    earliest, latest = (at.timestamp() for at in (since, until))
    with where.open("rb") as file:
        for line in file:
            stamp = re.match(rb"[0-9]{1,12}(?= )", line)
            if stamp is None or earliest - _CLOCKS_ARE_APART <= int(stamp[0]) <= latest + _CLOCKS_ARE_APART:
                found.extend(int(thing[:_DIGITS], 16) for thing in _THING.findall(line))
    return array("Q", sorted(found))


def taken_at(message_id: str, since: datetime) -> datetime | None:
    """When a relay took the mail of that Message-ID, if the record knows it and it was not before `since`."""
    where = path()
    if where is None or not where.exists() or where.stat().st_size == 0:
        return None
    with where.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as record:
        found = record.rfind(f" {message_id} ".encode())
        if found < 0:
            return None
        stamp = re.fullmatch(rb"[0-9]{1,12}", record[record.rfind(b"\n", 0, found) + 1 : found])
    return instant(int(stamp[0])) if stamp and int(stamp[0]) >= seconds(since) else None


def check() -> None:
    """See whether the next mail can be written down. Raises OSError; changes nothing."""
    where = path()
    if where is None:
        return
    if where.exists():
        with _opened(where, os.O_RDWR | os.O_APPEND):
            return
    if not where.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if not os.access(where.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def is_ahead() -> bool:
    """Whether the store has forgotten one of the newest mails of the record: it was restored, by whatever means.

    A worker that was killed between record and store leaves a mail in its hands, which is no sign of it; neither is a
    mail that a person lets go again, or a record that an earlier store in the same place has left behind.
    """
    lines = _newest_lines()
    if not lines:
        return False
    with session():
        first = Event.get_or_none(Event.seq == 1)
        if first is None or first.at > lines[-1][1] or _released_since(lines[-1][1]):
            return False
        taken = [message_id for message_id, at in lines if first.at <= at and not _released_since(at)]
        mails = Email.select(Email.message_id, Email.state, Email.resends).where(Email.message_id << taken)
        known = {mail.message_id: mail for mail in mails}
    return any(
        (mail := known.get(message_id)) is None or (mail.state in {"queued", "claimed"} and not mail.resends)
        for message_id in taken
    )


def _newest_lines() -> list[tuple[str, datetime]]:
    """Message-ID and instant of each whole line at the record's end, the newest last."""
    where = path()
    if where is None or not where.exists():
        return []
    with where.open("rb") as file:
        file.seek(max(0, where.stat().st_size - _TAIL))
        lines = _LINE.findall(file.read())
    return [(message_id.decode("ascii", "replace"), instant(int(at))) for at, message_id in lines]


def _released_since(at: datetime) -> bool:
    """Whether a person has let a restored store go on since then, knowing what it has forgotten."""
    released = Setting.get_or_none(Setting.name == RELEASED)
    return released is not None and datetime.fromisoformat(released.value) >= at


def _sync(what: Path, how: int) -> None:
    with _opened(what, how) as descriptor:
        os.fsync(descriptor)


@contextmanager
def _opened(what: Path, how: int) -> Iterator[int]:
    store = sqlite_path()
    if store is not None and how & os.O_CREAT:
        descriptor = beside.opened(what, how & ~os.O_CREAT, store)
    else:
        descriptor = os.open(what, how | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
