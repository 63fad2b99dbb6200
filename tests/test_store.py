"""Does the store keep what was acknowledged, refuse what it cannot take, and say in one sentence why?"""

import re
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest
from cast import company
from peewee import IntegrityError
from peewee import sqlite3 as the_stores_own  # of another library the locks would not be seen in one process
from postgres_server import PostgresServer

from store import database, migrations
from store.backup import backup_sqlite
from store.database import bind, dispose, run_sql, session, writing
from store.errors import Refused, SettingsWrong, StoreUnavailable
from store.migrations import Migration
from store.tables import TABLES, ClockSeen

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_every_table_that_is_listed_exists_and_can_be_read(empty_store: str) -> None:
    assert [table.select().count() for table in TABLES] == [0] * 31


def test_an_instant_comes_back_as_the_same_moment_in_utc_whatever_zone_it_was_given_in(empty_store: str) -> None:
    row = ClockSeen.create(max_seen=datetime(2026, 11, 23, 13, 0, tzinfo=timezone(timedelta(hours=1))))

    assert ClockSeen.get_by_id(row.id).max_seen == NOON


def test_an_instant_without_a_zone_is_refused(empty_store: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        ClockSeen.create(max_seen=datetime(2026, 11, 23, 12))


def test_a_change_that_fails_half_way_leaves_nothing(empty_store: str) -> None:
    with pytest.raises(ZeroDivisionError), writing():
        ClockSeen.create(max_seen=NOON)
        1 / 0  # noqa: B018

    assert ClockSeen.select().count() == 0


def test_a_second_migration_runs_once_after_a_backup_and_is_recorded(empty_store: str, tmp_path: Path) -> None:
    steps = (*migrations.MIGRATIONS, Migration(99, "a colour", lambda: run_sql("CREATE TABLE colour (id INTEGER)")))

    (tmp_path / "backups").mkdir()
    first = migrations.migrate(NOON, steps, tmp_path / "backups")
    again = migrations.migrate(NOON, steps, tmp_path / "backups")

    assert (first, again, migrations.version()) == (["a colour"], [], 99)
    copies = [path.name for path in (tmp_path / "backups").glob("*")]
    assert copies == (["keydesk-before-99-20261123T120000Z.db"] if database.backend() == "sqlite" else [])


def test_a_store_of_the_first_version_keeps_what_it_holds_and_gets_what_was_added_since(tmp_path: Path) -> None:
    bind(str(tmp_path / "keydesk.db"))
    migrations.migrate(NOON, migrations.MIGRATIONS[:1])
    with session():
        ClockSeen.create(max_seen=NOON)

    taken = migrations.migrate(NOON)

    with session():
        assert (taken, ClockSeen.get().max_seen) == (
            ["when machines were started", "one refresh of a sandbox at a time"],
            NOON,
        )
        assert [table.select().count() for table in TABLES] == [int(table is ClockSeen) for table in TABLES]
    assert [path.name for path in tmp_path.glob("*-before-*")] == ["keydesk-before-3-20261123T120000Z.db"]
    dispose()


def test_of_two_refreshes_of_one_sandbox_that_ran_in_the_first_version_the_newer_runs_on(tmp_path: Path) -> None:
    bind(str(tmp_path / "keydesk.db"))
    migrations.migrate(NOON, migrations.MIGRATIONS[:1])
    with session():
        run_sql("DROP INDEX refresh_marker_running")  # of which that version knew nothing
        for name in ("nordlys", "sydlys"):
            company(name, name)
        for of, night, state in ((1, 22, "running"), (1, 23, "running"), (2, 22, "running"), (2, 23, "due")):
            values = (of, f"2026-11-{night}", state, f"{of}.{night}")
            run_sql(
                "INSERT INTO refresh_marker (company_id, night, state, due_at, attempt, token) "
                "VALUES (?, ?, ?, 0, 1, ?)",
                values,
            )

    migrations.migrate(NOON)

    with session():
        found = run_sql("SELECT company_id, state, token FROM refresh_marker ORDER BY company_id, night").fetchall()
        with pytest.raises(IntegrityError):
            run_sql("UPDATE refresh_marker SET state = 'running'")
    assert found == [(1, "missed", None), (1, "running", "1.23"), (2, "running", "2.22"), (2, "due", "2.23")]
    dispose()


def test_a_migration_that_fails_leaves_the_old_version(empty_store: str) -> None:
    def broken() -> None:
        run_sql("CREATE TABLE half (id INTEGER)")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        migrations.migrate(NOON, (*migrations.MIGRATIONS, Migration(99, "broken", broken)))

    assert migrations.version() == 3
    assert not database.db.table_exists("half")


def test_a_store_newer_than_the_program_is_refused_and_left_alone(empty_store: str) -> None:
    run_sql("INSERT INTO schema_step VALUES (99, 'the future', 0)")

    with pytest.raises(StoreUnavailable, match=r"version 99, newer than this program knows \(3\)\. Install the newer"):
        migrations.check()


def runners(location: str) -> list["subprocess.Popen[str]"]:
    """Two programs that bring a store to their version, and say which steps they took."""
    program = (
        "import sys, datetime; from store import database, migrations;"
        f"database.bind({location!r});"
        "print(migrations.migrate(datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)))"
    )
    return [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]


ALL_STEPS = "['the first schema', 'when machines were started', 'one refresh of a sandbox at a time']"


def test_two_runners_migrate_once(tmp_path: Path) -> None:
    said = sorted(runner.communicate()[0].strip() for runner in runners(str(tmp_path / "new.db")))

    assert said == [ALL_STEPS, "[]"]


def test_two_runners_that_both_find_a_postgresql_database_empty_migrate_it_once(postgres: PostgresServer) -> None:
    postgres.sql("CREATE DATABASE two_runners")
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with psycopg.connect(postgres.url("two_runners"), autocommit=True) as held:
        held.execute("SELECT pg_advisory_lock(1801812324)")  # the one behind which a store is migrated
        both = runners(postgres.url("two_runners"))
        while held.execute(waiting).fetchone() != (2,) and all(runner.poll() is None for runner in both):
            pass
    said = sorted(runner.communicate()[0].strip() for runner in both)
    steps = postgres.sql("SELECT version FROM schema_step ORDER BY version", "two_runners")
    postgres.sql("DROP DATABASE two_runners")

    assert (said, steps) == ([ALL_STEPS, "[]"], [(1,), (2,), (3,)])


def test_a_new_store_is_waited_for_while_another_program_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind(str(tmp_path / "keydesk.db"))
    with closing(the_stores_own.connect(tmp_path / "keydesk.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE half (id INTEGER)")
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(time, "sleep", lambda _: other.execute("COMMIT"))

        with session():
            assert run_sql("PRAGMA journal_mode").fetchone() == ("wal",)


def test_writers_stand_in_line_and_none_is_turned_away(tmp_path: Path, sqlite_template: Path) -> None:
    bind(str(tmp_path / "keydesk.db"))
    migrations.migrate(NOON)

    def write_often() -> None:
        with session():
            for _ in range(25):
                with writing():
                    seen = ClockSeen.get_or_none()
                    ClockSeen.create(max_seen=NOON) if seen is None else None
                    ClockSeen.update(max_seen=ClockSeen.max_seen + 1).execute()

    threads = [threading.Thread(target=write_often) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    with session():
        assert ClockSeen.get().max_seen == NOON + timedelta(seconds=100)
    dispose()


def test_a_backup_of_a_live_store_is_whole_private_and_never_overwrites(tmp_path: Path) -> None:
    bind(str(tmp_path / "keydesk.db"))
    migrations.migrate(NOON)
    with session():
        ClockSeen.create(max_seen=NOON)
    target = tmp_path / "copies" / "monday.db"
    target.parent.mkdir()

    backup_sqlite(target)

    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with sqlite3.connect(target) as copy:
        assert copy.execute("SELECT max_seen FROM clock_seen").fetchall() == [(1795435200,)]
    copy.close()
    with pytest.raises(Refused, match=re.escape(f"{target} is there already")):
        backup_sqlite(target)
    assert [path.name for path in target.parent.iterdir()] == ["monday.db"]
    dispose()


@pytest.mark.parametrize("log", ["-wal", "-journal"])
def test_a_backup_never_takes_a_name_whose_log_of_before_would_be_read_into_it(tmp_path: Path, log: str) -> None:
    bind(str(tmp_path / "keydesk.db"))
    migrations.migrate(NOON)
    target = tmp_path / "copies" / "monday.db"
    target.parent.mkdir()
    left = target.with_name(f"monday.db{log}")
    left.write_bytes(b"of another file")

    with pytest.raises(Refused) as refused:
        backup_sqlite(target)

    assert str(refused.value) == (
        f"{left} is left of another file and would be read into this one; move it away, or name another."
    )
    assert list(target.parent.iterdir()) == [left]
    left.write_bytes(b"")
    assert backup_sqlite(target).exists()
    dispose()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://keydesk:secret@db.example/keydesk", "holds a password"),
        ("postgresql://keydesk@db.example/keydesk", "must be verified"),
        ("postgresql://keydesk@db.example/keydesk?sslmode=require", "must be verified"),
        ("postgresql:///keydesk?host=/run/postgresql,db.example", "must be verified"),
        ("postgresql:///keydesk?hostaddr=192.0.2.7", "cannot set hostaddr"),
        ("postgresql:///keydesk?service=elsewhere", "cannot set service"),
        ("postgresql:///keydesk?password=secret", "holds a password"),
        ("postgresql:///keydesk?user=secret", "cannot set user"),
        ("postgresql:///keydesk?sslmode", "cannot set sslmode"),
    ],
)
def test_a_url_that_would_give_a_secret_away_or_say_the_same_twice_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(SettingsWrong, match=sentence) as refusal:
        bind(url)

    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("variable", ["PGHOSTADDR", "PGSERVICE"])
def test_a_variable_that_leads_past_the_url_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "203.0.113.7")

    with pytest.raises(SettingsWrong, match=f"{variable} would lead past the store's URL"):
        bind("postgresql:///keydesk")


def test_a_host_that_only_the_environment_names_must_be_verified_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")

    with pytest.raises(SettingsWrong, match="must be verified"):
        bind("postgresql:///keydesk")


def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    bind(f"postgresql://keydesk@/keydesk?host={tmp_path}")

    with pytest.raises(StoreUnavailable, match=r"does not answer\. Check that it runs"), session():
        pass


def test_a_file_that_is_not_a_store_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "keydesk.db").write_bytes(b"Dear diary, " * 100)
    bind(str(tmp_path / "keydesk.db"))

    with pytest.raises(StoreUnavailable, match="is not a sound SQLite store"):
        migrations.version()
    dispose()
