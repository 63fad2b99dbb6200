"""The audit log: one line for every change, in the change's own transaction, chained by hashes."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.actors import Actor
from store.database import db, row_behind_lock, run_many, session
from store.fields import canonical, seconds
from store.tables import Event

_CHAIN_LOCK = 0x6B646576  # one PostgreSQL writer at a time extends the chain
_COLUMNS = ("seq", "at", "actor", "role", "origin", "company_id", "act", "subject", "before", "after")
_BATCH = 1000  # events that are held in memory at once
_INSERT = """
    INSERT INTO event (seq, at, actor, role, origin, company_id, act, subject, before, after, hash)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


@dataclass(frozen=True)
class Fact:
    """What an event says beyond who and when. `before` and `after` are JSON values without secrets."""

    act: str
    subject: str
    company_id: int | None
    before: Any = None
    after: Any = None


def append(actor: Actor, now: datetime, facts: Iterable[Fact]) -> None:
    """Write one event for each fact, in order. Must run inside the transaction of the change."""
    if not db.in_transaction():
        raise RuntimeError("An event is written in the transaction of its change.")
    last = row_behind_lock(_CHAIN_LOCK, "SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1")
    seq, link = (int(last[0]), str(last[1])) if last else (0, "")
    rows: list[tuple[Any, ...]] = []
    for fact in facts:
        seq += 1
        row: dict[str, Any] = {
            "seq": seq,
            "at": seconds(now),
            "actor": actor.name,
            "role": actor.role,
            "origin": actor.origin,
            "company_id": fact.company_id,
            "act": fact.act,
            "subject": fact.subject[:160],
            "before": fact.before,
            "after": fact.after,
        }
        link = chained(link, row)
        row["before"], row["after"] = _stored_json(fact.before), _stored_json(fact.after)
        rows.append((*row.values(), link))
        if len(rows) == _BATCH:
            run_many(_INSERT, rows)
            rows = []
    run_many(_INSERT, rows)


def _stored_json(value: Any) -> str | None:
    return None if value is None else canonical(value)


def chained(previous: str, row: dict[str, Any]) -> str:
    """SHA-256 over the previous event's hash and this row's canonical JSON, as hex."""
    return hashlib.sha256((previous + canonical([row[name] for name in _COLUMNS])).encode()).hexdigest()


@dataclass(frozen=True)
class Chain:
    """What was found: how many events fit, the hash of the last of them, a sentence about the first that does not."""

    events: int
    head: str
    fault: str | None = None


def verify(known: tuple[int, str] | None = None) -> Chain:
    """Read the whole log. `known` is the number and hash of an event as it was noted elsewhere.

    A chain alone cannot show that its end was cut off, or that all of it was written anew; a noted head does.
    """
    link, count = "", 0
    for row in _stored():
        if row["seq"] != count + 1:
            return Chain(count, link, f"Event {count + 1} is missing: the log goes from {count} to {row['seq']}.")
        following = chained(link, row)
        if following != row["hash"]:
            return Chain(count, link, f"Event {count + 1} was changed after it was written: its hash does not fit.")
        link, count = following, count + 1
        if known is not None and known[0] == count and known[1] != link:
            return Chain(count, link, f"Event {count} is not the one that was noted: the log was written anew.")
    if known is not None and known[0] > count:
        return Chain(
            count, link, f"The log ends with event {count}, but event {known[0]} was noted: its end is cut off."
        )
    return Chain(count, link)


def _stored() -> Iterator[dict[str, Any]]:
    with session():
        after = 0
        while True:
            page = list(Event.select().where(Event.seq > after).order_by(Event.seq).limit(5000))
            if not page:
                return
            for event in page:
                yield {
                    **{name: getattr(event, name) for name in _COLUMNS},
                    "at": seconds(event.at),
                    "hash": event.hash,
                }
            after = page[-1].seq
