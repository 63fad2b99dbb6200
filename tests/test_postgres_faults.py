"""What if PostgreSQL ends a session, starts anew, has no connection left or breaks off a transaction?"""

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from cast import LONG_AGO, arrive, company, enable, key_of, user
from fault_world import FaultWorld
from peewee import QueryEvent
from postgres_server import PostgresServer
from smtp_server import smtp_server

from store import ambiguous_mails, database, markers, marking, notices, outbox, outgoing, runs, unavailable
from store.actors import WORKER
from store.change import change
from store.database import run_sql, session, transact, writing
from store.errors import StoreUnavailable
from store.last_use import LastUses
from store.outbox import Owed
from store.outgoing import Bound, Going, Taken
from store.runs import Planned
from store.tables import Email, Event, LastUse, Notice, RefreshMarker, Run

MOST_DAYS = 40
# Every ninth statement, so that it takes seconds; `make torture` tries each (torture/each_statement.py).
EVERY_NTH = int(os.environ.get("KEYDESK_EVERY_NTH", "9"))
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HALF_AN_HOUR = 30 * MINUTE


def set_to(postgres: PostgresServer, name: str, value: str) -> None:
    postgres.sql(f"ALTER DATABASE faults SET {name} = '{value}'")


def refusal(postgres: PostgresServer, act: Callable[[], object]) -> str:
    """What a person is told, without the place."""
    with pytest.raises(StoreUnavailable) as refused:
        act()
    return str(refused.value).replace(str(postgres.sockets), "SOCKETS")


def at_the_same_time(*bodies: Callable[[], object]) -> list[object]:
    """Each body in a transaction of a thread of its own, again where PostgreSQL breaks it off; what each gave."""
    given: list[object] = [None] * len(bodies)

    def run(number: int) -> None:
        with session():
            given[number] = transact(bodies[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return given


def who_waited_for(held: Callable[[], object], *bodies: Callable[[], object]) -> list[Any]:
    """What each gave that began, in a thread of its own, while somebody held what all of them came to wait for."""
    given: list[object] = [None] * len(bodies)

    def run(number: int) -> None:
        with session():
            given[number] = bodies[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(bodies))]
    with session(), writing():
        held()
        for number, thread in enumerate(threads, 1):
            thread.start()
            until_waiting(number)
    for thread in threads:
        thread.join(30)
    return given


def until_waiting(sessions: int) -> None:
    """Until so many wait for a lock."""
    deadline = time.monotonic() + 20
    while run_sql("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted").fetchone()[0] < sessions:
        assert time.monotonic() < deadline


@pytest.fixture
def broken_off(url: str) -> list[str]:
    """The statements of this process that PostgreSQL breaks off for a deadlock."""
    found: list[str] = []

    def note(event: QueryEvent) -> None:
        if unavailable.sqlstate(event.exception) == "40P01":
            found.append(event.sql)

    database.db.query_hooks.append(note)
    return found


def handed_over(owner: str, number: int) -> list[int]:
    """The ids of so many mails that a worker is handing over, each of which was due before the one made before it."""
    with session():
        for made in range(number):
            context = {"by": "olav", "at": "2026-11-23T11:00:00Z", "roles": ["operator"]}
            mail = Owed("test_mail", "olav@fjord.example", "", f"test {made}", context, not_before=NOON - made * MINUTE)
            outbox.queue([mail], NOON - HALF_AN_HOUR)
        mails = sorted(mail.id for mail in outgoing.claim(owner, number, HALF_AN_HOUR, NOON))
        outgoing.hand_over(owner, HALF_AN_HOUR, NOON, [Going(mail, Bound("a subject", b"bytes")) for mail in mails])
        run_sql("ANALYZE email")  # of a table that it has never looked at, PostgreSQL does not go by what is asked for
    return mails


def test_a_session_that_is_ended_after_any_statement_costs_nothing_but_a_beat(
    postgres: PostgresServer, url: str
) -> None:
    with psycopg.connect(f"host={postgres.sockets} user=keydesk dbname=postgres", autocommit=True) as admin:

        def end_session() -> None:
            mine = database.db.connection().info.backend_pid
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", (mine,))

        with smtp_server() as relay:
            world = FaultWorld(relay, days=MOST_DAYS * 9 // EVERY_NTH)
            while world.day_with_a_fault((world.days + 1) * EVERY_NTH, end_session, lambda: None):
                pass

    assert world.books() == world.right_books()


@pytest.mark.parametrize("after", [3, 17, 40])
def test_a_server_that_crashes_and_comes_back_costs_nothing_but_a_beat(
    postgres: PostgresServer, url: str, after: int
) -> None:
    with smtp_server() as relay:
        world = FaultWorld(relay, days=1)

        assert world.day_with_a_fault(after, postgres.restart, lambda: None)

    assert world.books() == world.right_books()


def test_a_pool_that_is_used_up_is_waited_for_and_then_one_sentence(
    postgres: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = database.db.obj  # type: ignore[attr-defined]
    monkeypatch.setattr(pool, "_wait_timeout", 0.1)
    monkeypatch.setattr(pool, "_max_connections", 2)
    go_on, opened = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        with session():
            opened.release()
            go_on.wait(10)

    holders = [threading.Thread(target=hold) for _ in range(2)]
    for holder in holders:
        holder.start()
        opened.acquire()
    told = refusal(postgres, lambda: session().__enter__())
    go_on.set()
    for holder in holders:
        holder.join()

    assert told == (
        "PostgreSQL at postgresql://keydesk@/faults?host=SOCKETS has no connection left to give; nothing was changed. "
        "Try again; if it stays so, raise its max_connections or end what holds them."
    )
    with session():
        assert run_sql("SELECT 1").fetchone() == (1,)


def test_a_server_without_a_connection_left_is_one_sentence(postgres: PostgresServer, url: str) -> None:
    postgres.sql("CREATE ROLE few LOGIN CONNECTION LIMIT 1")
    database.bind(url.replace("keydesk@", "few@"))
    with psycopg.connect(f"host={postgres.sockets} user=few dbname=faults"):
        told = refusal(postgres, lambda: session().__enter__())
        postgres.sql("ALTER ROLE few CONNECTION LIMIT 5")  # a session that ends is counted for a moment longer
        with session():
            again = run_sql("SELECT 1").fetchone()
    database.dispose()
    postgres.sql("DROP ROLE few")

    assert told.startswith("PostgreSQL at postgresql://few@/faults?host=SOCKETS has no connection left to give; ")
    assert again == (1,)


def test_a_statement_that_the_server_ends_changes_nothing_and_says_why(postgres: PostgresServer, url: str) -> None:
    set_to(postgres, "statement_timeout", "50ms")

    def slowly() -> None:
        with session(), writing():
            run_sql("INSERT INTO clock_seen (id, max_seen) VALUES (1, 0)")
            run_sql("SELECT pg_sleep(2)")

    assert refusal(postgres, slowly) == (
        "PostgreSQL at postgresql://keydesk@/faults?host=SOCKETS ended a statement that took longer than its "
        "statement_timeout, or that somebody cancelled; nothing was changed. Try again, or raise the limit for "
        "Keydesk's login."
    )
    with session():
        assert run_sql("SELECT count(*) FROM clock_seen").fetchone() == (0,)


def test_a_standby_is_told_from_a_file_that_cannot_be_written(postgres: PostgresServer, url: str) -> None:
    set_to(postgres, "default_transaction_read_only", "on")

    def write() -> None:
        with session(), writing():
            run_sql("INSERT INTO clock_seen (id, max_seen) VALUES (1, 0)")

    assert refusal(postgres, write).startswith(
        "PostgreSQL at postgresql://keydesk@/faults?host=SOCKETS takes no changes: it is a standby, "
    )


def test_a_deadlock_is_broken_and_both_have_their_way(postgres: PostgresServer, url: str) -> None:
    set_to(postgres, "deadlock_timeout", "20ms")
    both_hold_one = threading.Barrier(2)
    tries: list[int] = []
    with session():
        run_sql("INSERT INTO setting (name, value) VALUES ('one', '0'), ('two', '0')")

    def lock(first: str, second: str) -> str:
        tries.append(1)
        run_sql("UPDATE setting SET value = '1' WHERE name = ?", (first,))
        if len(tries) <= 2:
            both_hold_one.wait(10)
        run_sql("UPDATE setting SET value = '1' WHERE name = ?", (second,))
        return f"{first} and {second}"

    had = at_the_same_time(lambda: lock("one", "two"), lambda: lock("two", "one"))

    assert had == ["one and two", "two and one"]
    assert len(tries) >= 3  # one began anew; when it is quicker than the other wakes, they meet again


def test_planning_that_meets_a_person_who_lets_runs_go_in_another_order_has_its_way(
    postgres: PostgresServer, url: str
) -> None:
    days = ("2026-11-21", "2026-11-22")
    set_to(postgres, "deadlock_timeout", "300ms")  # of who plans: it is the one that is broken off
    changed: list[int] = []

    def plan(state: str) -> None:
        with session():
            changed.append(runs.plan([Planned("tea", "all", day, state, NOON, {}) for day in days], NOON))

    def lock(day: str) -> None:
        run_sql("UPDATE run SET not_before = 0 WHERE period = ?", (day,))

    plan("held")
    planning = threading.Thread(target=plan, args=("due",))
    with session(), writing():
        run_sql("SET LOCAL deadlock_timeout = '20s'")
        lock(days[1])
        planning.start()
        until_waiting(1)
        lock(days[0])
    planning.join(30)

    assert changed == [2, 2]


def test_two_sweeps_that_have_both_read_what_is_owed_write_each_notice_once(postgres: PostgresServer, url: str) -> None:
    with session():
        cast = arrive()
        owners = [cast.ase, cast.dorte, *(user(company(f"c{n}", f"C {n}"), "ase", "Åse") for n in range(6))]
        for owner in owners:
            enable(owner.company, owner, now=LONG_AGO)
            for number in range(3):
                key_of(owner, label=f"k{number}", expires_on=date(2026, 12, 1), now=LONG_AGO)

    def sweep() -> int:
        return notices.sweep("Europe/Oslo", date(2026, 11, 23), NOON, (14, 3, -1))

    written = who_waited_for(lambda: run_sql("LOCK TABLE email IN SHARE MODE"), sweep, sweep)  # it may still be read

    assert sorted(written) == [0, 7 * 3]  # the eighth company lives in Copenhagen
    with session():
        assert Notice.select().count() == 7 * 3
        assert Email.select().where(Email.kind == "key_expiring").count() == 7


def test_two_who_plan_the_same_runs_from_opposite_ends_write_each_once_and_none_is_broken_off(
    postgres: PostgresServer, url: str, broken_off: list[str]
) -> None:
    set_to(postgres, "deadlock_timeout", "20ms")
    days = [Planned("tea", "all", f"2026-11-{day}", "due", NOON, {}) for day in (21, 22, 23)]

    planned = who_waited_for(
        lambda: runs.plan([days[1]], NOON),
        lambda: runs.plan(days, NOON),
        lambda: runs.plan(days[::-1], NOON),
    )

    assert (sorted(planned), broken_off) == ([0, 2], [])
    with session():
        assert [run.period for run in Run.select().order_by(Run.id)] == ["2026-11-22", "2026-11-21", "2026-11-23"]


def test_two_gates_that_saw_the_same_keys_in_opposite_orders_both_write_their_last_uses(
    postgres: PostgresServer, url: str
) -> None:
    set_to(postgres, "deadlock_timeout", "20ms")
    with session():
        owner = arrive().ase
        enable(owner.company, owner, now=LONG_AGO)
        keys = [key_of(owner, label=label).key.id for label in ("one", "two", "three")]
    gates = LastUses(), LastUses()
    for gate, seen in zip(gates, (keys, keys[::-1]), strict=True):
        for key_id in seen:
            gate.note(key_id, NOON, "192.0.2.7")
    meanwhile = LastUses()
    meanwhile.note(keys[1], NOON, "192.0.2.8")

    flushed = who_waited_for(meanwhile.flush, gates[0].flush, gates[1].flush)

    assert flushed == [3, 3]
    with session():
        assert [(row.key_id, row.uses) for row in LastUse.select().order_by(LastUse.key)] == list(
            zip(keys, (2, 3, 2), strict=True)
        )


def test_what_a_worker_tells_of_the_same_mails_in_opposite_orders_is_written_once_and_none_is_broken_off(
    postgres: PostgresServer, url: str, broken_off: list[str]
) -> None:
    set_to(postgres, "deadlock_timeout", "20ms")
    mails = handed_over("one", 3)
    taken = [Taken(mail, "250", NOON) for mail in mails]

    not_ours = who_waited_for(
        lambda: run_sql("SELECT 1 FROM email WHERE id = ? FOR UPDATE", (mails[1],)),
        lambda: outgoing.all_sent("one", taken),
        lambda: outgoing.hand_over("one", HALF_AN_HOUR, NOON, [], taken[::-1]),
    )

    assert (sorted(map(len, not_ours)), broken_off) == ([0, 3], [])
    with session():
        assert [(mail.state, mail.attempts) for mail in Email.select()] == [("sent", 1)] * 3


def test_mails_that_are_told_as_sent_while_their_worker_is_buried_from_the_other_end_become_one_of_both(
    postgres: PostgresServer, url: str, broken_off: list[str]
) -> None:
    set_to(postgres, "deadlock_timeout", "20ms")
    mails = handed_over("one", 3)  # the last of them was due first, and is buried first
    taken = [Taken(mail, "250", NOON) for mail in mails]

    not_ours, ambiguous = who_waited_for(
        lambda: run_sql("SELECT 1 FROM email WHERE id = ? FOR UPDATE", (mails[1],)),
        lambda: outgoing.all_sent("one", taken),
        lambda: ambiguous_mails.bury("one", NOON),
    )

    assert len(broken_off) >= 1  # or they have not met
    with session():
        became = [(mail.state, mail.attempts) for mail in Email.select()]
    assert (not_ours, ambiguous, became) in (
        (set(), [], [("sent", 1)] * 3),
        (set(mails), mails[::-1], [("ambiguous", 0)] * 3),
    )


def test_a_serialisation_that_failed_is_tried_again(postgres: PostgresServer, url: str) -> None:
    both_have_read = threading.Barrier(2)
    tries: list[int] = []
    with session():
        run_sql("INSERT INTO clock_seen (id, max_seen) VALUES (1, 0)")

    def count() -> None:
        tries.append(1)
        run_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        seen = run_sql("SELECT max_seen FROM clock_seen").fetchone()[0]
        if len(tries) <= 2:
            both_have_read.wait(10)
        run_sql("UPDATE clock_seen SET max_seen = ?", (seen + 1,))

    at_the_same_time(count, count)

    with session():
        assert run_sql("SELECT max_seen FROM clock_seen").fetchone() == (2,)
    assert len(tries) == 3


def test_acts_at_the_same_time_are_written_one_after_the_other_whatever_isolation_the_database_prefers(
    postgres: PostgresServer, url: str
) -> None:
    set_to(postgres, "default_transaction_isolation", "repeatable read")
    database.dispose()
    both_are_there = threading.Barrier(2)

    def act() -> None:
        for number in range(20):
            with session(), change(WORKER, "sandbox.refresh", None, NOON) as made:
                both_are_there.wait(10)
                made.event("sandbox.refresh", f"number {number}", None)

    acting = [threading.Thread(target=act) for _ in range(2)]
    for thread in acting:
        thread.start()
    for thread in acting:
        thread.join(30)

    with session():
        assert Event.select().count() == 40


def test_a_lease_whose_extension_is_broken_off_is_extended_all_the_same(postgres: PostgresServer, url: str) -> None:
    with session():
        runs.plan([Planned("tea", "all", "2026-11-23", "due", NOON, {})], NOON)
        run = runs.claim("one", ["tea"], NOON)
        assert run is not None
        postgres.break_off_once("faults", "run")
        runs.extend(run, NOON + HALF_AN_HOUR)

        assert Run.get().lease_until == NOON + HALF_AN_HOUR + timedelta(minutes=5)


def test_a_refresh_whose_heartbeat_is_broken_off_is_held_all_the_same(postgres: PostgresServer, url: str) -> None:
    with session():
        cast = arrive()
        enable(cast.nordlys, cast.ase, now=LONG_AGO)
        key_of(cast.ase, environment="sandbox", expires_on=date(2027, 12, 31), now=LONG_AGO)
        marking.create("Europe/Oslo", date(2026, 11, 23), NOON)
        (claim,) = markers.claim(WORKER, 1, HALF_AN_HOUR, NOON, "one")
        postgres.break_off_once("faults", "refresh_marker")

        until = markers.heartbeat(WORKER, claim.token, HALF_AN_HOUR, NOON + HALF_AN_HOUR / 2)

        assert RefreshMarker.get().lease_until == until == NOON + HALF_AN_HOUR * 3 / 2


def test_who_finds_the_same_rows_changed_again_and_again_lets_others_go_first_and_is_told_to_try_later(
    postgres: PostgresServer, url: str
) -> None:
    tried: list[float] = []

    def in_vain() -> None:
        tried.append(time.monotonic())
        run_sql("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")

    with session():
        told = refusal(postgres, lambda: transact(in_vain))

    assert told == (
        "Others were changing the same in the store postgresql://keydesk@/faults?host=SOCKETS again and again; "
        "nothing was changed. Try again."
    )
    waited = [after - before for before, after in pairwise(tried)]
    assert len(waited) == 4
    assert all(each >= least for each, least in zip(waited, (0.01, 0.02, 0.04, 0.08), strict=True))
