"""What a clock is compared with: the latest instant that a worker has believed, the boot, the clock of PostgreSQL."""

from datetime import datetime, timedelta

from store.database import backend, run_alone, run_sql, session, writing
from store.errors import Refused
from store.fields import instant, seconds

# From the server's clock. So the clocks of two machines are at most twice that apart, and of a lease of 5 minutes, the
# shortest, 3 are left whoever looks at it.
FARTHEST_APART = timedelta(minutes=1)
_BELIEVE = "run `keydesk worker --believe-clock --once`."
_EVERY = timedelta(minutes=1)  # often enough to notice a clock put back, seldom enough to cost nothing


def latest() -> datetime | None:
    """The latest believed instant; None before the first worker."""
    with session():
        found = run_sql("SELECT max_seen FROM clock_seen WHERE id = 1").fetchone()
    return instant(found[0]) if found else None


def boot_began(boot_id: str) -> datetime | None:
    """When this boot of a machine began, by a clock that was believed since; None where no worker has said so."""
    with session():
        found = run_sql("SELECT began_at FROM machine_boot WHERE boot_id = ?", (boot_id,)).fetchone()
    return instant(found[0]) if found else None


def note_boot(boot_id: str, began_at: datetime) -> None:
    """Remember when this boot began, by a clock that is believed."""
    text = """
        INSERT INTO machine_boot (boot_id, began_at) VALUES (?, ?)
        ON CONFLICT (boot_id) DO UPDATE SET began_at = excluded.began_at
    """
    with session():
        run_alone(text, (boot_id, seconds(began_at)))


def of_server() -> datetime | None:
    """What the clock of PostgreSQL's machine says; None on SQLite, where all workers go by one machine's clock."""
    if backend() == "sqlite":
        return None
    with session():
        return instant(int(run_sql("SELECT extract(epoch FROM clock_timestamp())").fetchone()[0]))


def is_apart(now: datetime, server: datetime | None) -> bool:
    """Whether this clock is so far from the server's that no lease may be written or judged by it."""
    return server is not None and abs(now - server) > FARTHEST_APART


def told_apart(now: datetime, server: datetime) -> str:
    """By how much they differ, and what to do."""
    return (
        f"Here it is {now:%Y-%m-%d %H:%M:%S}Z, {abs(now - server)} {'more' if now > server else 'less'} than on "
        "PostgreSQL's machine. Set both by the same time service (chrony, systemd-timesyncd)."
    )


def told_back(seen: datetime, now: datetime) -> str:
    """That this clock is behind what was believed, and what to do."""
    return (
        f"A worker has already lived through {seen:%Y-%m-%d %H:%M:%S}Z, and here it is {now:%Y-%m-%d %H:%M:%S}Z: until "
        f"then nothing is planned. Set the clock right. If it is right, and was ahead then, {_BELIEVE}"
    )


def told_leap(seen: datetime, now: datetime) -> str:
    """That this clock is far ahead of what the machine has run since one was believed, and what to do."""
    return (
        f"Here it is {now:%Y-%m-%d %H:%M:%S}Z, and the clock was last believed at {seen:%Y-%m-%d %H:%M:%S}Z: this "
        "machine has not run for so long since then. Nothing is run or sent until the clock is set right. If it is "
        f"right, as after a pause of a virtual machine, {_BELIEVE}"
    )


def require_near(now: datetime, server: datetime | None) -> None:
    """Refused when by this clock no lease may be written: to others it would be over at once, or much too late."""
    if server is not None and is_apart(now, server):
        raise Refused(
            f"{told_apart(now, server)} Until they agree to a minute, nothing can be claimed or held from here."
        )


def believable(now: datetime) -> datetime:
    """This instant, or the server's where the clock here is too far from it: by which a report is dated."""
    server = of_server()
    return server if server is not None and is_apart(now, server) else now


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
    """Believe this instant, whatever was seen before: a person has said that the clock is right."""
    text = """
        INSERT INTO clock_seen (id, max_seen) VALUES (1, ?)
        ON CONFLICT (id) DO UPDATE SET max_seen = excluded.max_seen
    """
    with session(), writing():
        run_sql(text, (seconds(now),))
        run_sql("DELETE FROM machine_boot")
