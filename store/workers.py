"""The worker processes, as each last said of itself."""

import os
import socket
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from store.database import backend, run_alone, run_sql, session, writing
from store.errors import Refused
from store.fields import seconds
from store.tables import Worker

QUIET_AFTER = timedelta(minutes=5)  # a worker that has said nothing for so long is taken for dead
AHEAD = timedelta(minutes=1)  # a tick that is later than that was written by another clock, or by one put back since
_NEVER_SO_FAR = timedelta(
    days=1
)  # by which a living worker's clock may be ahead; what is farther was written by mistake
CALLED_EVERY = timedelta(minutes=15)  # a timer that calls `keydesk worker --once` more seldom is taken for broken
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")

Kind = Literal["stays", "pass", "job"]
"""A process that goes on; one pass, called by a timer; one job, called by a person."""


@dataclass(frozen=True)
class Host:
    """A machine as it runs now. Its containers share the boot id; over a boot it keeps the name.

    A process's number means something within one PID namespace only: containers of one name must not judge by it
    whether the other's worker lives. 0 where the kernel does not tell.
    """

    name: str
    boot_id: str
    pid_namespace: int = 0


def this_host() -> Host:
    """The machine that this process runs on; where there is no boot id, its network address stands in."""
    boot = this_boot() or f"node-{uuid.getnode():x}"
    try:
        pid_namespace = _PID_NAMESPACE.stat().st_ino
    except OSError:
        pid_namespace = 0
    return Host(socket.gethostname()[:64], boot, pid_namespace)


def this_boot() -> str | None:
    """The id of the boot of this machine, another one after each; None where the kernel does not tell."""
    try:
        return _BOOT_ID.read_text().strip()[:40]
    except OSError:
        return None


def register(host: Host, version: str, now: datetime, pid: int | None = None, kind: Kind = "stays") -> str:
    """Enter a worker that starts, and give its name.

    Refused on SQLite while a worker of another machine is alive: SQLite's locks do not reach over machines.
    """
    pid = os.getpid() if pid is None else pid
    name = f"{host.name[:40]}:{pid}:{uuid.uuid4().hex[:8]}"
    with session(), writing():
        if backend() == "sqlite":
            _refuse_second_host(host, now)
        Worker.create(
            name=name,
            host=host.name,
            boot_id=host.boot_id,
            pid_namespace=host.pid_namespace,
            pid=pid,
            kind=kind,
            version=version[:16],
            started_at=now,
            last_tick=now,
        )
    return name


def _refuse_second_host(host: Host, now: datetime) -> None:
    # A reboot keeps the name, a container keeps the boot id: only a machine where both differ is another one.
    other = Worker.get_or_none(
        (Worker.stopped_at >> None)
        & (Worker.last_tick > now - QUIET_AFTER)
        & (Worker.last_tick < now + _NEVER_SO_FAR)
        & (Worker.host != host.name)
        & (Worker.boot_id != host.boot_id),
    )
    if other is not None:
        minutes = QUIET_AFTER // timedelta(minutes=1)
        raise Refused(
            f"A worker on {other.host} uses this SQLite store, and SQLite is safe on one machine only. Stop that "
            f"worker (or, if it is dead, wait {minutes} minutes), or move the store to PostgreSQL.",
        )


def bury(host: Host, now: datetime, pid: int | None = None) -> list[str]:
    """Mark as stopped the workers of this machine whose process is gone, and give their names.

    What cannot be known from here (another machine, another PID namespace) is left to the leases.
    """
    own = os.getpid() if pid is None else pid
    with session(), writing():
        living = Worker.select().where(Worker.stopped_at >> None, Worker.host == host.name)
        dead = [row.name for row in living if is_of(host, row) and (row.pid == own or not is_running(row.pid))]
        Worker.update(stopped_at=now, last_error="It was killed.").where(Worker.name << dead).execute()
    return dead


def is_of(host: Host, row: Worker) -> bool:
    """Whether that worker's process number can be judged from here."""
    return (row.host, row.boot_id, row.pid_namespace) == (host.name, host.boot_id, host.pid_namespace)


def is_running(pid: int) -> bool:
    """Whether this machine has such a process, and it is more than what a parent has not asked about yet (a zombie)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1] not in {b"Z", b"X"}
    except OSError:  # it has just gone, or processes of others are hidden
        return True


def is_gone(row: Worker) -> bool:
    """Whether it is known here that the worker's process has ended, whatever it said last."""
    return is_of(this_host(), row) and not is_running(row.pid)


def living_here() -> frozenset[str]:
    """The workers of this machine whose process is there: what they hold they may still finish, by whatever clock."""
    host = this_host()
    rows = Worker.select().where(Worker.stopped_at >> None, Worker.host == host.name)
    return frozenset(row.name for row in rows if is_of(host, row) and is_running(row.pid))


def tick(name: str, now: datetime, error: str | None = None) -> None:
    """Say that the worker is alive, and its last error; None leaves the one before standing."""
    text = "UPDATE worker SET last_tick = ?, last_error = COALESCE(?, last_error) WHERE name = ?"
    with session():
        run_alone(text, (seconds(now), error, name))


def stop(name: str, now: datetime) -> None:
    """Say that the worker has stopped by its own will."""
    with session(), writing():
        run_sql("UPDATE worker SET last_tick = ?, stopped_at = ? WHERE name = ?", (seconds(now), seconds(now), name))


def listed(limit: int = 50) -> list[Worker]:
    """The workers, the one heard of last first."""
    with session():
        return list(Worker.select().order_by(Worker.last_tick.desc(), Worker.id.desc()).limit(limit))


def alive(now: datetime) -> list[Worker]:
    """The workers that have neither stopped nor been quiet for too long."""
    lately = now - QUIET_AFTER
    return [row for row in listed() if row.stopped_at is None and lately < row.last_tick < now + _NEVER_SO_FAR]


def running(now: datetime) -> list[str]:
    """The names of those alive, without those of this machine whose process is gone; of a store of any version."""
    named = Worker.select(Worker.name, Worker.host, Worker.boot_id, Worker.pid_namespace, Worker.pid)
    lately = (Worker.last_tick > now - QUIET_AFTER) & (Worker.last_tick < now + _NEVER_SO_FAR)
    with session():
        return [row.name for row in named.where(Worker.stopped_at >> None, lately) if not is_gone(row)]


def forget(before: datetime) -> int:
    """Delete the workers that were last heard of before an instant, and the boots that no other had. How many rows."""
    with session(), writing():
        gone = int(run_sql("DELETE FROM worker WHERE last_tick < ?", (seconds(before),)).rowcount)
        boots = run_sql("DELETE FROM machine_boot WHERE boot_id NOT IN (SELECT boot_id FROM worker)").rowcount
    return gone + int(boots)
