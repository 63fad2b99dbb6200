"""Keys whose usage is told, and what was written of it, for the tests of usage."""

from datetime import UTC, date, datetime
from io import BufferedReader, BytesIO
from typing import Any
from zoneinfo import available_timezones

import cast

from store import usage
from store.actors import Actor
from store.tables import Key, UsageDay, User
from store.usage import Batch, Options, Refusals
from store.usage_files import UsageFile

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MADE = datetime(2026, 11, 1, tzinfo=UTC)
OLAV = Actor("olav", "operator", "test")
HANDLE = "key_00000000000000a1"
ZONES = sorted(available_timezones() - {"Factory", "localtime", "posixrules"})
HEADER = "key,at,requests,bytes,status\n"


def key_of(resource: User, handle: str, shown: str = "kdp_Ab12…9zYx", **chosen: Any) -> Key:
    made = cast.key_of(resource, expires_on=date(2027, 11, 1), now=MADE, **chosen).key
    Key.update(handle=handle, first=shown[:8], last=shown[-4:]).where(Key.id == made.id).execute()
    return Key.get_by_id(made.id)


def file(text: str, name: str = "u.csv") -> UsageFile:
    return UsageFile(name, BufferedReader(BytesIO(text.encode())))  # type: ignore[arg-type]


def take(*texts: str, now: datetime = NOON, actor: Actor = OLAV, **options: Any) -> list[Batch]:
    files = [file(text, f"{'abc'[number]}.csv") for number, text in enumerate(texts)]
    return usage.take(actor, files, now, Options(**options))


def refused(text: str, **options: Any) -> list[str]:
    """What is told of the rows that are refused beside one that is sound."""
    refusals = Refusals()
    sound = f"{HANDLE},2026-11-23T11:00:00Z,1,0,200\n"
    usage.take(OLAV, [file(HEADER + text + "\n" + sound)], NOON, Options(**options), refusals=refusals)
    return refusals.first


def days() -> list[tuple[str, str, str, int, int]]:
    found = (
        UsageDay.select(UsageDay, Key).join(Key).order_by(UsageDay.batch, UsageDay.company, UsageDay.day, UsageDay.key)
    )
    return [(row.key.handle, row.day.isoformat(), row.environment, row.requests, row.bytes) for row in found]
