"""Which workers live, on which machine, and what becomes of what a dead one held?"""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from store import installation, runs, workers
from store.errors import Refused
from store.installation import Installation
from store.tables import Worker
from store.workers import Host

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HERE = Host("skog", "boot-1")


def test_a_worker_says_that_it_lives_and_that_it_stops(empty_store: str) -> None:
    name = workers.register(HERE, "0.1.0", NOON, pid=4242)
    workers.tick(name, NOON + MINUTE, "RuntimeError: no")
    workers.tick(name, NOON + 2 * MINUTE)
    alive = [row.name for row in workers.alive(NOON + 2 * MINUTE)]
    workers.stop(name, NOON + 3 * MINUTE)

    (row,) = workers.listed()
    assert alive == [name]
    assert (row.host, row.pid, row.version, row.started_at, row.last_tick, row.stopped_at, row.last_error) == (
        "skog", 4242, "0.1.0", NOON, NOON + 3 * MINUTE, NOON + 3 * MINUTE, "RuntimeError: no",
    )  # fmt: skip
    assert workers.alive(NOON + 3 * MINUTE) == []


def test_a_worker_that_is_quiet_for_five_minutes_is_not_alive(empty_store: str) -> None:
    workers.register(HERE, "0.1.0", NOON)

    assert len(workers.alive(NOON + 5 * MINUTE - timedelta(seconds=1))) == 1
    assert workers.alive(NOON + 5 * MINUTE) == []


@pytest.mark.parametrize(
    ("second", "later", "refused"),
    [
        (Host("skog", "boot-1"), MINUTE, False),  # another worker on the same machine
        (Host("skog", "boot-2"), MINUTE, False),  # the machine was started anew
        (Host("3f9a1c", "boot-1"), MINUTE, False),  # another container on it
        (Host("fjell", "boot-9"), MINUTE, True),
        (Host("fjell", "boot-9"), 5 * MINUTE, False),  # the first has been dead for long enough
    ],
)
def test_a_second_machine_is_refused_on_sqlite_and_welcome_on_postgresql(
    empty_store: str, second: Host, later: timedelta, refused: bool
) -> None:
    workers.register(HERE, "0.1.0", NOON)

    if refused and not empty_store.startswith("postgresql"):
        with pytest.raises(
            Refused, match=r"^A worker on skog uses this SQLite store, and SQLite is safe on one machine"
        ):
            workers.register(second, "0.1.0", NOON + later)
    else:
        workers.register(second, "0.1.0", NOON + later)

    assert Worker.select().count() == (1 if refused and not empty_store.startswith("postgresql") else 2)


def test_a_worker_that_was_killed_is_buried_by_the_next_on_its_machine(empty_store: str) -> None:
    import os

    killed = workers.register(HERE, "0.1.0", NOON, pid=2**22 + 1)  # beyond the kernel's highest
    same_pid = workers.register(HERE, "0.1.0", NOON, pid=os.getpid())  # a container's first process
    workers.register(HERE, "0.1.0", NOON, pid=os.getppid())  # lives
    workers.register(Host("skog", "boot-0"), "0.1.0", NOON, pid=2**22 + 1)  # not for us to say

    assert sorted(workers.bury(HERE, NOON)) == sorted([killed, same_pid])
    assert workers.bury(HERE, NOON) == []


def test_a_worker_that_a_clock_far_ahead_has_written_keeps_nobody_out(empty_store: str) -> None:
    workers.register(HERE, "0.1.0", NOON + timedelta(days=7300))

    workers.register(Host("fjell", "boot-9"), "0.1.0", NOON)

    assert [row.host for row in workers.alive(NOON)] == ["fjell"]


def test_containers_of_one_name_do_not_bury_each_other(empty_store: str) -> None:
    one, other = Host("skog", "boot-1", 4026531836), Host("skog", "boot-1", 4026532201)
    lives_in_its_own = workers.register(one, "0.1.0", NOON, pid=2**22 + 1)  # a number that the other does not have

    assert workers.bury(other, NOON) == []
    assert [row.name for row in workers.alive(NOON)] == [lives_in_its_own]
    assert workers.bury(one, NOON) == [lives_in_its_own]


def test_a_process_in_a_pid_namespace_of_its_own_is_on_another_host() -> None:
    program = "from store import workers; print(workers.this_host().pid_namespace)"
    inside = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", program]

    here = workers.this_host()
    done = subprocess.run(inside, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    if done.returncode != 0:
        pytest.skip(f"PID namespaces may not be made here: {done.stderr}")

    assert here.pid_namespace not in {0, int(done.stdout)}


def test_workers_that_have_been_gone_for_long_are_forgotten(empty_store: str) -> None:
    workers.register(HERE, "0.1.0", NOON)

    assert (workers.forget(NOON), workers.forget(NOON + MINUTE)) == (0, 1)


def test_this_machine_has_a_name_and_a_boot_id() -> None:
    host = workers.this_host()

    assert host.name
    assert 0 < len(host.boot_id) <= 40
    assert host == workers.this_host()


@pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)  # PostgreSQL has no write lock to take
def test_a_quiet_worker_takes_no_write_lock(empty_store: str) -> None:
    installation.set_up(Installation(vendor="Fjord Software"), NOON)
    import sqlite3

    busy = sqlite3.connect(empty_store, isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")
    assert runs.claim("one", ["tea"], NOON) is None
    busy.execute("ROLLBACK")
    busy.close()
