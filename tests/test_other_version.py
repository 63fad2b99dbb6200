"""What happens when a store is brought to another version while programs of the one before still have it open?"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cast import NOON, OLAV, arrive
from command import Home, right_now

from store import database, migrations, workers
from store.change import change
from store.database import run_sql, session
from store.errors import OtherVersion
from store.tables import Company, Event, Worker

HERE = Path(__file__).parent


@pytest.fixture
def worker(empty_store: str) -> Iterator[subprocess.Popen[str]]:
    """A worker as a process, which has planned and run what is due."""
    arrive()
    Company.update(created_at=NOON).execute()  # no months are owed
    child = subprocess.Popen(
        [sys.executable, str(HERE / "worker_process.py"), empty_store],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=HERE.parent,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    read_up_to(child, "run.done")
    yield child
    child.kill()
    child.communicate()


def read_up_to(child: subprocess.Popen[str], fact: str) -> dict[str, object]:
    assert child.stdout is not None
    for text in child.stdout:
        line: dict[str, object] = json.loads(text)
        if line["fact"] == fact:
            return line
    raise AssertionError(f"The worker ended without {fact}: {child.communicate()[1]}")


def test_a_worker_ends_with_a_sentence_and_writes_no_more_not_even_goodbye(worker: subprocess.Popen[str]) -> None:
    run_sql("INSERT INTO schema_step VALUES (99, 'the future', 0)")

    told = read_up_to(worker, "store.other-version")
    after, _ = worker.communicate(timeout=20)

    assert worker.returncode == 1
    assert "is version 99, newer than this program knows" in str(told["error"])
    assert [json.loads(line)["fact"] for line in after.splitlines()] == []
    assert [row.stopped_at for row in Worker.select()] == [None]


def test_a_desk_that_was_open_changes_nothing_and_is_told_why(empty_store: str) -> None:
    people = arrive()
    events = Event.select().count()
    run_sql("INSERT INTO schema_step VALUES (99, 'the future', 0)")

    with (
        pytest.raises(OtherVersion, match="newer than this program knows"),
        change(OLAV, "company.edit", people.nordlys.id, NOON) as made,
    ):
        made.event("company.edit", "nothing", people.nordlys.id)

    assert Event.select().count() == events


def as_of_the_first_version(home: Home) -> None:
    for statement in (
        "DROP TABLE machine_boot",
        "DROP INDEX refresh_marker_running",
        "DELETE FROM schema_step WHERE version > 1",
    ):
        home.sql(statement)


def test_a_store_is_not_brought_up_to_date_while_a_worker_runs(home: Home) -> None:
    with home.opened():
        name = workers.register(workers.this_host(), "0.0.1", right_now())
    as_of_the_first_version(home)

    refused = home.keydesk("init")
    with home.opened(), closing(database.db):
        found = migrations.version()

    assert (refused.status, refused.out, found) == (1, "", 1)
    assert refused.err == (
        f"keydesk: Still running: {name}. Stop every worker and desk first, on all machines; one that was killed "
        "elsewhere is taken for dead after 5 minutes. Nothing was changed.\n"
    )


def test_a_worker_that_said_goodbye_or_was_killed_here_or_is_silent_is_in_nobodys_way(home: Home) -> None:
    with home.opened(), session():
        here, now = workers.this_host(), right_now()
        workers.stop(workers.register(here, "0.0.1", now), now)
        workers.register(here, "0.0.1", now, pid=2**22 + 1)
        silent = workers.register(here, "0.0.1", now)
        run_sql("UPDATE worker SET host = 'elsewhere', last_tick = last_tick - 301 WHERE name = ?", (silent,))
    as_of_the_first_version(home)

    said = home.keydesk("init")

    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines() == [
        f"The store {home.store} now keeps when machines were started.",
        f"The store {home.store} now keeps one refresh of a sandbox at a time.",
    ]
