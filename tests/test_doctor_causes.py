"""Does the doctor see what would keep a worker from its work, and what is not to be believed, and say what to do?"""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command import NOW, Home, as_an_ordinary_owner
from doctor_visit import findings, found, relay
from smtp_server import smtp_server

from store import database, workers
from store.errors import StoreUnavailable
from store.write_check import check_writable

ONE_SECOND = {"KEYDESK_STORE_LOCK_WAIT_SECONDS": "1"}
READ_ONLY = (
    "wrong  store      The store ~/.local/share/keydesk/keydesk.db is read-only; nothing was changed. "
    "Run `chmod 600 ~/.local/share/keydesk/keydesk.db`."
)
DIRECTORY_READ_ONLY = (
    "wrong  store      The directory of the store ~/.local/share/keydesk/keydesk.db is read-only; nothing was changed. "
    "Run `chmod 700 ~/.local/share/keydesk`."
)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


LOOK_MAIL = ("look", "mail")
SETTLE_AMBIGUOUS = (
    "Mails that may or may not have arrived: 1. Look in the relay's log, then settle them at the desk, under Mails, or "
    "by command: `keydesk mail list --state ambiguous`, then `keydesk mail resend NUMBER` or "
    "`keydesk mail dismiss NUMBER --reason TEXT` for each."
)
SETTLE_FAILED = (
    "Mails that no server took: 1. The desk says why, under Mails, and so does `keydesk mail show NUMBER`. Mend that, "
    "then settle them there or by command: `keydesk mail list --state failed`, then `keydesk mail resend NUMBER` or "
    "`keydesk mail dismiss NUMBER --reason TEXT` for each."
)


@pytest.fixture
def well(home: Home) -> Iterator[Home]:
    """A home with a worker that is alive."""
    with home.opened():
        workers.register(workers.this_host(), "0.1.0", NOW)
    yield home
    database.dispose()


def lines(home: Home, about: str, **variables: str) -> list[str]:
    """What an owner who is not root reads about one thing."""
    said = home.keydesk("doctor", before=as_an_ordinary_owner, **variables)
    assert said.err == ""
    return [line.replace(str(home.path), "~") for line in said.out.splitlines() if line.split()[1] == about]


# The store


@pytest.mark.parametrize("gate", ["there", "not there"])
def test_a_store_whose_file_may_only_be_read_is_wrong(well: Home, gate: str) -> None:
    if gate == "not there":
        well.store.with_name("keydesk.db.gate").unlink()
    well.store.chmod(0o400)

    assert lines(well, "store") == [READ_ONLY]
    assert " is read-only; " in well.keydesk("worker", "--once", before=as_an_ordinary_owner).err


@pytest.mark.parametrize("gate", ["there", "not there"])
def test_a_store_whose_directory_may_only_be_read_is_wrong_also_while_somebody_has_it_open(
    well: Home, gate: str
) -> None:
    if gate == "not there":
        well.store.with_name("keydesk.db.gate").unlink()
    with well.opened():
        database.run_sql("SELECT count(*) FROM company").fetchone()
        well.store.parent.chmod(0o500)
        opened = lines(well, "store")
        well.store.parent.chmod(0o700)
    well.store.parent.chmod(0o500)
    closed = lines(well, "store")
    well.store.parent.chmod(0o700)

    assert opened == closed == [DIRECTORY_READ_ONLY]


def test_to_look_whether_the_store_can_be_changed_changes_and_makes_nothing(well: Home) -> None:
    well.store.with_name("keydesk.db.gate").unlink()
    before = {path.name: path.read_bytes() for path in well.store.parent.iterdir()}

    assert "store" not in found(well)

    database.dispose()
    assert {path.name: path.read_bytes() for path in well.store.parent.iterdir()} == before


def test_another_keydesk_that_writes_for_long_is_no_fault_of_the_store(well: Home) -> None:
    with well.store.with_name("keydesk.db.gate").open("wb") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        said = found(well, **ONE_SECOND)["store"]

    assert said == (
        "look",
        (
            "It can be read; whether it can be written to was not seen. Another process of Keydesk has been writing to "
            "the store ~/.local/share/keydesk/keydesk.db for more than 1 s; nothing was changed. Try again when its "
            "import or migration is done, or end it."
        ),
    )


def test_another_program_that_has_locked_the_store_is_no_fault_of_it(well: Home) -> None:
    with closing(sqlite3.connect(well.store, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        (line,) = lines(well, "store", **ONE_SECOND)

    assert line.startswith("look   store      It can be read; whether it can be written to was not seen. ")
    assert line.endswith(" for more than 1 s; nothing was changed. Close that program and try again.")


def test_a_store_that_takes_changes_is_left_as_it_is(empty_store: str) -> None:
    before = database.run_sql("SELECT count(*), max(max_seen) FROM clock_seen").fetchone()

    check_writable()

    assert database.run_sql("SELECT count(*), max(max_seen) FROM clock_seen").fetchone() == before
    assert not database.db.in_transaction()


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("SET default_transaction_read_only = on", " takes no changes: it is a standby, or was made read-only. "),
        ("SET ROLE pg_read_all_data", "PostgreSQL lets Keydesk's login do too little in "),
    ],
)
def test_a_postgresql_that_takes_no_changes_of_this_login_is_wrong(
    empty_store: str, statement: str, sentence: str
) -> None:
    database.run_sql(statement)

    with pytest.raises(StoreUnavailable) as refused:
        check_writable()

    database.run_sql("RESET ALL")
    database.run_sql("RESET ROLE")
    assert sentence in str(refused.value)
    assert not refused.value.is_busy


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
def test_a_postgresql_login_that_lacks_one_right_to_one_table_is_wrong_and_told_which(empty_store: str) -> None:
    for statement in ("CREATE ROLE partly", "GRANT ALL ON ALL TABLES IN SCHEMA public TO partly"):
        database.run_sql(statement)
    database.run_sql("REVOKE DELETE ON email FROM partly")
    database.run_sql("SET ROLE partly")

    with pytest.raises(StoreUnavailable) as refused:
        check_writable()

    for statement in ("RESET ROLE", "DROP OWNED BY partly", "DROP ROLE partly"):
        database.run_sql(statement)
    assert str(refused.value).endswith("Make it the owner of the database and its tables. It may not DELETE email.")


# Workers and their clocks


def called(home: Home, at: datetime) -> None:
    with home.opened():
        workers.stop(workers.register(workers.this_host(), "0.1.0", at, kind="pass"), at)


@pytest.mark.parametrize(
    ("tick", "unwell"),
    [(NOON + timedelta(minutes=1), False), (NOON + timedelta(minutes=1, seconds=1), True)],
)
def test_a_pass_that_is_still_to_come_was_written_by_a_clock_that_was_ahead(
    home: Home, tick: datetime, unwell: bool
) -> None:
    called(home, tick)

    said = found(home, NOON).get("worker")

    assert said == (
        (
            "wrong",
            (
                "`keydesk worker --once` was last heard at 12:01:01Z, and here it is 2026-11-23 12:00:00Z: its clock "
                "is or was ahead. Set it right if it still is, then have it called every 5 minutes, by its timer or by "
                "cron."
            ),
        )
        if unwell
        else None
    )
    database.dispose()


def test_a_worker_whose_tick_is_still_to_come_does_not_count_as_alive(home: Home) -> None:
    with home.opened():
        name = workers.register(workers.this_host(), "0.1.0", NOON + timedelta(days=40))

    assert found(home, NOON)["worker"] == (
        "wrong",
        (
            f"Worker {name} was last heard at 2027-01-02 12:00:00Z, and here it is 2026-11-23 12:00:00Z: its clock is "
            "or was ahead. Set it right if it still is, then restart it."
        ),
    )
    database.dispose()


def test_a_pass_that_came_by_since_counts_whatever_a_clock_that_was_ahead_has_left(home: Home) -> None:
    called(home, NOON + timedelta(days=40))
    called(home, NOON - timedelta(minutes=5))

    assert ("ok", "worker", "`keydesk worker --once` came by at 11:55:00Z") in findings(home, NOON)
    database.dispose()


def test_a_worker_that_is_ahead_beside_one_that_lives_is_named(home: Home) -> None:
    with home.opened():
        ahead = workers.register(workers.this_host(), "0.1.0", NOON + timedelta(hours=2), pid=4242)
        alive = workers.register(workers.this_host(), "0.1.0", NOON)

    assert found(home, NOON)["worker"] == (
        "look",
        (
            f"{alive}, last tick 12:00:00Z. Its clock is or was ahead: {ahead} (2026-11-23 14:00Z); set it right if it "
            "still is, then restart it."
        ),
    )
    database.dispose()


def test_a_tick_of_another_day_is_said_with_its_day(home: Home) -> None:
    midnight = datetime(2026, 11, 24, tzinfo=UTC)
    called(home, midnight - timedelta(minutes=5))

    assert (
        "ok",
        "worker",
        "`keydesk worker --once` came by at 2026-11-23 23:55:00Z",
    ) in findings(home, midnight)
    database.dispose()


# Sandboxes


def script(folder: Path, mode: int, first_line: bytes = b"#!/bin/sh\n") -> Path:
    path = folder / "refresh"
    path.write_bytes(first_line)
    path.chmod(mode)
    return path


def test_a_command_that_refreshes_is_found_by_its_path_and_on_the_path(
    well: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = script(well.path, 0o700)
    monkeypatch.setenv("PATH", str(well.path))

    by_path = findings(well, KEYDESK_SANDBOX_COMMAND=f"{path} --fast")
    by_name = findings(well, KEYDESK_SANDBOX_COMMAND="refresh --fast")

    assert ("ok", "sandboxes", "~/refresh refreshes them") in by_path
    assert ("ok", "sandboxes", "~/refresh refreshes them") in by_name


def test_a_command_that_is_not_there_or_cannot_be_run_is_wrong(well: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(well.path))
    path = script(well.path, 0o600)

    not_executable = found(well, KEYDESK_SANDBOX_COMMAND=str(path))["sandboxes"]
    not_there = found(well, KEYDESK_SANDBOX_COMMAND=f"{well.path}/refrehs --fast")["sandboxes"]
    not_on_the_path = found(well, KEYDESK_SANDBOX_COMMAND="refrehs --fast")["sandboxes"]

    assert not_executable == (
        "wrong",
        "[sandbox] command: ~/refresh cannot be run; make it executable (`chmod +x ~/refresh`).",
    )
    assert not_there == (
        "wrong",
        "[sandbox] command: there is no program ~/refrehs; correct the settings, or install it.",
    )
    assert not_on_the_path == (
        "wrong",
        (
            "[sandbox] command: there is no program refrehs on the PATH here (~), and a worker's may be another. "
            "Write its whole path into the settings, or install it."
        ),
    )


@pytest.mark.parametrize(
    ("first_line", "lacking"),
    [
        (b"#!/bin/sh -eu\n", None),
        (b"#! /bin/sh", None),
        (b"#!/usr/bin/env sh\n", None),
        (b"#!/usr/bin/env -S NIGHT=1 sh -eu\n", None),
        (b"echo fresh\n", None),
        (b"", None),
        (b"#!\n", None),
        (b"#!/opt/none/bash\n", "/opt/none/bash"),
        (b"#!/usr/bin/env no-such-shell\n", "no-such-shell"),
        (b"#!/usr/bin/env -S no-such-shell -x\n", "no-such-shell"),
        (b"#!/opt/none/env sh\n", "/opt/none/env"),
        (b"#!/bin/sh\r\n", "/bin/sh\u2039000D\u203a"),  # written on another system
        (b"#!/usr/bin/env sh\r\n", "sh\u2039000D\u203a"),
        (b"#!/opt/\xff\n", "/opt/\u2039DCFF\u203a"),
    ],
)
def test_a_script_whose_interpreter_cannot_be_run_is_wrong(well: Home, first_line: bytes, lacking: str | None) -> None:
    path = script(well.path, 0o700, first_line)

    told = found(well, KEYDESK_SANDBOX_COMMAND=str(path)).get("sandboxes")

    correct = "install it, or correct the first line of the script."
    wrong = ("wrong", f"[sandbox] command: ~/refresh asks for {lacking}, which cannot be run; {correct}")
    assert told == (wrong if lacking else None)


def test_sandboxes_whose_last_refresh_failed_are_counted_and_those_in_quarantine_are_not_among_them(
    well: Home,
) -> None:
    with well.opened():
        database.run_sql(
            "INSERT INTO refresh_marker (company_id, night, state, due_at, attempt, message)"
            " SELECT id, '2026-11-22', 'failed', 1, 1, 'no disk' FROM company ORDER BY id LIMIT 6"
        )
        database.run_sql(
            "INSERT INTO refresh_marker (company_id, night, state, due_at, attempt)"
            " SELECT id, '2026-11-23', 'done', 1, 1 FROM company ORDER BY id LIMIT 1"
        )
        database.run_sql(
            "INSERT INTO sandbox_hold (company_id, kind, reason, started_at, started_by)"
            " SELECT id, 'quarantine', 'failures', 1, 'worker' FROM company ORDER BY id LIMIT 1 OFFSET 1"
        )
        counted = [str(row[0]) for row in database.run_sql("SELECT external_id FROM company ORDER BY id LIMIT 6")]

    said = [text for verdict, about, text in findings(well) if (verdict, about) == ("look", "sandboxes")]

    assert len(said) == 2
    assert said[0].startswith("Whose last refresh failed: 4 (")
    assert set(said[0].partition("(")[2].partition(", …)")[0].split(", ")) < set(counted[2:])
    assert said[0].endswith(
        "`keydesk sandbox list --state failed` says why; `keydesk sandbox again COMPANY` tries once more before the "
        "next night."
    )
    assert said[1].startswith(f"Not refreshed any more after failures in a row: 1 ({counted[1]}). ")


# Mails


def test_mails_that_wait_for_a_person_can_be_settled_by_command_as_well(well: Home) -> None:
    for number, state in enumerate(("ambiguous", "failed")):
        well.keydesk("mail", "test", f"ase{number}@example.com")
        well.sql("UPDATE email SET state = ? WHERE recipient = ?", state, f"ase{number}@example.com")

    with smtp_server() as server:
        said = [text for verdict, about, text in findings(well, **relay(server.port)) if (verdict, about) == LOOK_MAIL]

    assert said == [SETTLE_AMBIGUOUS, SETTLE_FAILED]


def test_a_record_of_what_was_sent_that_takes_no_line_is_wrong(well: Home) -> None:
    def said(record: Path) -> list[str]:
        settings = {"KEYDESK_STORE_SENT_RECORD": str(record), **relay(25)}
        return [text for verdict, about, text in findings(well, **settings) if "The record of what was sent" in text]

    (well.path / "sent").mkdir()
    (well.path / "well.sent").touch()

    assert said(well.path / "share" / "sent") == [
        (
            "The record of what was sent, ~/share/sent, cannot be written (No such file or directory): if the store is "
            "ever restored, what is mailed meanwhile goes out twice. Give that file and its directory to the worker's "
            "account, or mount what is missing."
        )
    ]
    assert ["(Is a directory)" in text for text in said(well.path / "sent")] == [True]
    assert said(well.path / "well.sent") == said(well.path / "new.sent") == []
    assert not (well.path / "new.sent").exists()


# Looks that fail


def test_a_secret_file_that_is_a_directory_is_named_and_the_visit_goes_on(well: Home) -> None:
    folder = well.path / "secrets"
    folder.mkdir(mode=0o700)

    said = found(well, KEYDESK_KEYS_PEPPER_FILE=str(folder), **relay(25, KEYDESK_MAIL_PASSWORD_FILE=str(folder)))
    seen = [about for _, about, _ in findings(well, KEYDESK_KEYS_PEPPER_FILE=str(folder))]

    assert said["pepper"] == ("wrong", "The pepper file ~/secrets is a directory; name the file itself.")
    assert said["mail"] == ("wrong", "The mail password file ~/secrets is a directory; name the file itself.")
    assert seen == ["settings", "store", "pepper", "clock", "worker", "mail", "events"]


def test_a_look_that_fails_is_a_finding_and_the_others_go_on(well: Home) -> None:
    well.sql("UPDATE setting SET value = 'hunter2 is no JSON' WHERE name = 'vendor'")

    said = well.keydesk("doctor")

    (line,) = [line for line in said.out.splitlines() if line.split()[1] == "store"]
    assert (said.status, said.err) == (1, "")
    assert line.startswith("wrong  store      This is a fault of Keydesk 0.1.0; ")
    assert " Report: JSONDecodeError at " in line
    assert "hunter2" not in said.out
    assert said.out.splitlines()[-1].startswith("ok     events ")
