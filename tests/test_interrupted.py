"""Can the statement of another thread be ended, whatever connection it runs on by then?"""

import threading
from collections.abc import Callable

import pytest
from peewee import DatabaseError

from store import database
from store.database import run_sql, session
from store.errors import StoreUnavailable

LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT max(i) FROM n"


def nothing() -> None:
    """The session stays as it is."""


def another() -> None:
    """What was let go of is closed, and the next session is on another connection."""
    database.let_go()


@pytest.mark.parametrize("before", [nothing, another, database.renew])
def test_a_statement_ends_where_it_runs_though_the_connection_is_another_than_the_first(
    empty_store: str, before: Callable[[], None]
) -> None:
    runs, ended = threading.Event(), threading.Event()
    told: list[BaseException] = []

    def work() -> None:
        with session():
            before()
            try:
                with session():
                    runs.set()
                    run_sql(LONG).fetchone()
            except (DatabaseError, StoreUnavailable) as error:
                told.append(error)
        ended.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert runs.wait(10)
    for _ in range(100):
        database.interrupt()  # which harms nothing that does not run yet
        if ended.wait(0.1):
            break

    assert len(told) == 1


def test_who_interrupts_is_not_interrupted_and_neither_is_what_comes_later(empty_store: str) -> None:
    with session():
        database.interrupt()
        mine = run_sql("SELECT 1").fetchone()
    database.interrupt()
    with session():
        later = run_sql("SELECT 2").fetchone()

    assert (mine, later) == ((1,), (2,))
