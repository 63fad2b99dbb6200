"""The latest instant that a worker has believed, so that a clock that leaps far past it is noticed."""

from datetime import datetime, timedelta

from store.database import backend, run_alone, run_sql, session, writing
from store.fields import instant, seconds

_EVERY = timedelta(minutes=1)  # often enough to notice a clock put back, seldom enough to cost nothing


def latest() -> datetime | None:
    """The latest believed instant; None before the first worker."""
    with session():
        found = run_sql("SELECT max_seen FROM clock_seen WHERE id = 1").fetchone()
    return instant(found[0]) if found else None


def of_server() -> datetime | None:
    """What the clock of PostgreSQL's machine says; None on SQLite, where all workers go by one machine's clock."""
    if backend() == "sqlite":
        return None
    with session():
        return instant(int(run_sql("SELECT extract(epoch FROM clock_timestamp())").fetchone()[0]))


def advance(now: datetime, seen: datetime | None) -> None:
    """Remember that `now` was believed. `seen` is what `latest` gave; nothing is written within a minute of it."""
    if seen is not None and now - seen < _EVERY:
        return
    text = """
        INSERT INTO clock_seen (id, max_seen) VALUES (1, ?)
        ON CONFLICT (id) DO UPDATE SET max_seen = excluded.max_seen WHERE clock_seen.max_seen < excluded.max_seen
    """
    with session():
        run_alone(text, (seconds(now),))


def set_to(now: datetime) -> None:
    """Believe this instant, whatever was seen: a person has said that the clock is right."""
    text = """
        INSERT INTO clock_seen (id, max_seen) VALUES (1, ?)
        ON CONFLICT (id) DO UPDATE SET max_seen = excluded.max_seen
    """
    with session(), writing():
        run_sql(text, (seconds(now),))
