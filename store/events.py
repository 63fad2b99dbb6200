"""The audit log: one line for every change, in the change's own transaction, chained by hashes."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.actors import Actor
from store.database import backend, db, run_many, run_sql, session
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
    if backend() == "postgresql":
        run_sql("SELECT pg_advisory_xact_lock(?)", (_CHAIN_LOCK,))
    last = run_sql("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1").fetchone()
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


def verify() -> tuple[int, str | None]:
    """How many events were read, and a sentence about the first that does not fit, None when all do."""
    link, expected = "", 1
    for row in _stored():
        if row["seq"] != expected:
            return expected - 1, f"Event {expected} is missing: the log goes from {expected - 1} to {row['seq']}."
        link = chained(link, row)
        if link != row["hash"]:
            return expected, f"Event {expected} was changed after it was written: its hash does not fit."
        expected += 1
    return expected - 1, None


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
