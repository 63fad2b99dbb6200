"""Is a backup what it seems, can it be put back, and does a restored store neither mail twice nor bill unasked?"""

import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from command import NOW, Home, as_an_ordinary_owner, one_sentence, right_now
from smtp_server import smtp_server

from store import database, peppers, restoring, workers
from store.actors import Actor
from store.errors import Refused

DAY = timedelta(days=1)
OLAV = Actor("olav", "operator", "test")


def relay(port: int) -> dict[str, str]:
    return {
        "KEYDESK_MAIL_HOST": "localhost",
        "KEYDESK_MAIL_PORT": str(port),
        "KEYDESK_MAIL_TLS": "none",
        "KEYDESK_MAIL_SENDER": "keys@example.com",
    }


@pytest.fixture
def backup(home: Home) -> Path:
    """A backup of a store with one key, whose mails have not been sent."""
    home.issue(at=NOW - 10 * DAY, days=20)
    assert home.keydesk("backup", home.path / "kept.db").status == 0
    return home.path / "kept.db"


def sent_and_owed(home: Home) -> tuple[int, int]:
    found = dict(home.sql("SELECT state, count(*) FROM email GROUP BY state"))
    return int(str(found.get("sent", 0))), int(str(found.get("queued", 0)))


def test_a_sound_backup_is_described_and_nothing_is_changed(home: Home, backup: Path) -> None:
    before = {path: path.read_bytes() for path in home.store.parent.iterdir() if path.suffix == ".db"}

    said = home.keydesk("restore", backup, "--check")

    lines = said.out.splitlines()
    assert (said.status, said.err) == (0, "")
    assert lines[0] == f"{backup} is sound: a store of Fjord Software, version 3, for this pepper."
    assert lines[1].startswith("Rows: ")
    assert ", 1 api key, " in lines[1]
    assert lines[2].startswith("Its log is one unbroken chain until ")
    assert lines[3] == "Nothing was changed."
    assert {path: path.read_bytes() for path in home.store.parent.iterdir() if path.suffix == ".db"} == before
    assert [path for path in home.store.parent.iterdir() if path.name.startswith(".restoring")] == []


def test_a_backup_that_was_cut_short_is_not_sound(home: Home, backup: Path) -> None:
    backup.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])

    said = home.keydesk("restore", backup, "--check")

    assert one_sentence(home, said.status, said.err).startswith("~/kept.db is not ")


def test_what_is_no_store_of_keydesk_is_refused(home: Home) -> None:
    other = home.path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE something (id INTEGER)")
    connection.close()
    text = home.path / "text.db"
    text.write_text("not a database, and long enough to be looked at " * 40)

    said = [home.keydesk("restore", path, "--check") for path in (other, text, home.path / "nothing.db")]

    assert [one_sentence(home, each.status, each.err) for each in said] == [
        "~/other.db holds no store of Keydesk; take another file.",
        "~/text.db is not a sound SQLite file; take another backup.",
        "~/nothing.db is no file; name one that `keydesk backup` made.",
    ]


@pytest.mark.parametrize("log", ["-wal", "-journal"])
def test_a_copy_of_a_store_whose_log_lies_beside_it_is_no_backup(home: Home, backup: Path, log: str) -> None:
    backup.with_name(backup.name + log).write_bytes(b"what is not in the file yet")

    said = home.keydesk("restore", backup, "--check")

    assert one_sentence(home, said.status, said.err) == (
        f"~/kept.db{log} lies beside it, so this is no finished backup; make one with `keydesk backup`."
    )


def test_a_backup_with_a_changed_event_or_for_another_pepper_is_refused(home: Home, backup: Path) -> None:
    pepper = home.pepper.read_text(encoding="ascii")
    home.pepper.write_text("1:" + "ab" * 32 + "\n", encoding="ascii")
    other_pepper = home.keydesk("restore", backup)
    home.pepper.write_text(pepper, encoding="ascii")
    no_file = home.keydesk("restore", backup, "--check", KEYDESK_KEYS_PEPPER_FILE=str(home.path))
    with sqlite3.connect(backup) as connection:
        connection.execute("UPDATE event SET actor = 'nobody' WHERE seq = 3")
    connection.close()
    changed = home.keydesk("restore", backup)

    assert one_sentence(home, other_pepper.status, other_pepper.err).startswith(
        "The pepper file ~/.config/keydesk/keydesk.pepper has a version 1 with another secret than the one that keys "
    )
    assert one_sentence(home, no_file.status, no_file.err) == (
        "The pepper file ~ is a directory; name the file itself."
    )
    assert one_sentence(home, changed.status, changed.err) == (
        "~/kept.db: Event 3 was changed after it was written: its hash does not fit. Take another backup."
    )


def test_a_restored_store_is_that_of_the_backup_and_the_other_is_kept(home: Home, backup: Path) -> None:
    home.keydesk("import", home.path / "more.csv")
    home.sql("UPDATE company SET name = 'After the backup' WHERE external_id = 'fjell-1001'")

    said = home.keydesk("restore", backup)

    assert (said.status, said.err) == (0, "")
    (kept,) = home.store.parent.glob("keydesk-before-restore-*.db")
    assert f"The store that was there is kept as {kept}." in said.out
    names = []
    for path in (home.store, kept):
        with sqlite3.connect(path) as connection:
            names.append(connection.execute("SELECT name FROM company WHERE external_id = 'fjell-1001'").fetchone()[0])
        connection.close()
    assert names[1] == "After the backup"
    assert names[0] != "After the backup"
    assert stat.S_IMODE(home.store.stat().st_mode) == 0o600
    assert home.is_sound()
    assert home.keydesk("events", "verify").status == 0
    assert home.sql("SELECT act FROM event ORDER BY seq DESC LIMIT 1") == [("store.restored",)]


def test_it_is_refused_while_a_worker_or_a_desk_uses_the_store(home: Home, backup: Path) -> None:
    with home.opened():
        name = workers.register(workers.this_host(), "0.1.0", right_now(), os.getpid())
    by_worker = home.keydesk("restore", backup)
    with home.opened():
        workers.stop(name, NOW)
    desk = sqlite3.connect(home.store)
    desk.execute("SELECT count(*) FROM company").fetchone()
    by_desk = home.keydesk("restore", backup)
    desk.close()

    assert one_sentence(home, by_worker.status, by_worker.err) == (
        f"The worker {name} uses the store ~/.local/share/keydesk/keydesk.db; stop it, and restore then."
    )
    assert one_sentence(home, by_desk.status, by_desk.err) == (
        "A desk or another program has the store ~/.local/share/keydesk/keydesk.db open; close it, and restore then."
    )
    assert home.keydesk("restore", backup).status == 0


READER = """
import sqlite3, sys
store = sqlite3.connect(sys.argv[1], timeout=0)
try:
    store.execute("PRAGMA journal_mode = wal")  # as each program of Keydesk does
    print(store.execute("SELECT count(*) FROM company").fetchone()[0], flush=True)
    sys.stdin.read()
except sqlite3.OperationalError as error:
    print(error, flush=True)
"""


@contextmanager
def opened_when(name: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What another program hears that opens the store when that function of the system is called for the first time."""
    heard: list[str] = []
    real = getattr(os, name)
    program = subprocess.Popen(["true"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def called(*arguments: object, **named: object) -> object:
        nonlocal program
        if not heard:
            program.communicate()
            program = subprocess.Popen(
                [sys.executable, "-c", READER, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert program.stdout is not None
            heard.append(program.stdout.readline().strip())
        return real(*arguments, **named)

    monkeypatch.setattr(os, name, called)
    try:
        yield heard
    finally:
        program.communicate("")


def put_back(home: Home, backup: Path) -> None:
    restoring.restore(backup, home.store, database.bind, peppers.load(home.pepper), OLAV, NOW)


def test_it_is_refused_also_when_a_desk_was_opened_while_the_copy_was_looked_at(
    home: Home, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        opened_when("fsync", home.store, monkeypatch) as heard,
        pytest.raises(Refused, match="A desk or another program has the store"),
    ):
        put_back(home, backup)

    assert heard == ["12"]  # companies
    assert list(home.store.parent.glob("*before-restore*")) == []


def test_nobody_opens_the_old_store_while_the_new_one_takes_its_place(
    home: Home, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened_when("link", home.store, monkeypatch) as heard:
        put_back(home, backup)

    assert heard == ["database is locked"]
    assert home.sql("SELECT act FROM event ORDER BY seq DESC LIMIT 1") == [("store.restored",)]


def test_a_store_that_is_broken_can_be_replaced_and_its_log_does_not_get_into_the_new_one(
    home: Home, backup: Path
) -> None:
    home.store.write_bytes(b"broken" * 1000)
    home.store.with_name("keydesk.db-wal").write_bytes(b"left behind")

    said = home.keydesk("restore", backup)

    assert (said.status, said.err) == (0, "")
    assert home.is_sound()
    (kept,) = home.store.parent.glob("keydesk-before-restore-*.db")
    assert kept.read_bytes() == b"broken" * 1000


def test_a_restored_store_neither_sends_nor_plans_until_it_is_released(home: Home, backup: Path) -> None:
    home.keydesk("restore", backup)

    with smtp_server() as server:
        worker = home.keydesk("worker", "--once", **relay(server.port))
        by_hand = home.keydesk("run", "deliver-mail", **relay(server.port))
        billed = home.keydesk("run", "invoice-lines")
        told = home.keydesk("doctor", **relay(server.port))
        assert server.received == []
        assert home.sql("SELECT count(*) FROM run") == [(0,)]

        released = home.keydesk("restore", "--release")
        home.keydesk("worker", "--once", **relay(server.port))
        sent = len(server.received)

    assert '"fact":"store.held"' in worker.out.replace(" ", "")
    assert one_sentence(home, by_hand.status, by_hand.err).startswith("This store was restored at ")
    assert one_sentence(home, billed.status, billed.err).startswith("This store was restored at ")
    assert [line.split()[0] for line in told.out.splitlines() if " restored " in line][:1] == ["look"]
    assert released.out == "The store sends and bills again.\n"
    assert sent > 0
    assert home.sql("SELECT act FROM event WHERE act LIKE 'store.%' ORDER BY seq") == [
        ("store.restored",),
        ("store.released",),
    ]
    again = home.keydesk("restore", "--release")
    assert one_sentence(home, again.status, again.err) == (
        "This store is not held after a restore; there is nothing to release."
    )


def test_what_was_mailed_since_the_backup_is_not_mailed_again(home: Home, backup: Path) -> None:
    with smtp_server() as server:
        home.keydesk("run", "expiry-notices")
        home.sql("UPDATE email SET next_at = 0")  # not only in the morning
        assert home.keydesk("run", "deliver-mail", **relay(server.port)).status == 0
        first = [(mail.recipient, str(mail.message["Subject"])) for mail in server.received]
        sent, owed = sent_and_owed(home)
        home.keydesk("restore", backup)
        home.keydesk("worker", "--once", "--resume", **relay(server.port))
        home.keydesk("run", "expiry-notices")
        home.sql("UPDATE email SET next_at = 0 WHERE state = 'queued'")
        again = home.keydesk("run", "deliver-mail", **relay(server.port))
        received = [(mail.recipient, str(mail.message["Subject"])) for mail in server.received]

    assert (sent, owed) == (len(first), 0)
    assert any(" days" in subject for _, subject in first)
    assert received == first
    assert again.status == 0
    assert sent_and_owed(home) == (len(first), 0)


def test_a_store_that_somebody_put_back_by_hand_is_held_too(home: Home, backup: Path) -> None:
    with smtp_server() as server:
        home.keydesk("run", "deliver-mail", **relay(server.port))
        before = len(server.received)
        home.store.write_bytes(backup.read_bytes())
        for log in ("-wal", "-shm"):
            home.store.with_name("keydesk.db" + log).unlink(missing_ok=True)
        by_hand = home.keydesk("run", "deliver-mail", **relay(server.port))
        night = home.keydesk("sandbox", "next")
        told = home.keydesk("doctor", **relay(server.port))
        home.keydesk("worker", "--once", **relay(server.port))
        held = len(server.received)
        resumed = home.keydesk("worker", "--once", "--resume", **relay(server.port))
        home.keydesk("worker", "--once", **relay(server.port))
        received = [(mail.recipient, str(mail.message["Subject"])) for mail in server.received]

    assert 0 < before == held
    waits = "More was mailed than this store knows: it is older than the record of what was sent ("
    for refused in (by_hand, night):
        assert one_sentence(home, refused.status, refused.err).startswith(waits)
    assert [line.split("  ")[0] for line in told.out.splitlines() if waits in line] == ["look"]
    assert len(set(received)) == len(received)
    assert re.search(r'"fact": "store.released", "restored_at": "20', resumed.out)
    assert home.sql("SELECT act FROM event WHERE act LIKE 'store.%' ORDER BY seq") == [
        ("store.restored",),
        ("store.released",),
    ]


def test_whoever_may_not_read_the_record_is_kept_from_nothing(home: Home) -> None:
    private = home.path / "private"
    private.mkdir()
    (private / "sent").touch()
    private.chmod(0)

    said = home.keydesk("sandbox", "next", before=as_an_ordinary_owner, KEYDESK_STORE_SENT_RECORD=str(private / "sent"))
    private.chmod(0o700)

    assert (said.status, said.err) == (0, "")


@pytest.mark.parametrize("asked", [("run", "deliver-mail"), ("run", "housekeeping"), ("worker", "--once")])
def test_who_does_a_workers_work_is_refused_where_the_record_cannot_be_read(home: Home, asked: tuple[str, ...]) -> None:
    record = home.store.with_name("keydesk.db.sent")
    record.touch()
    record.chmod(0)
    before = home.counts()

    with smtp_server() as server:
        said = home.keydesk(*asked, before=as_an_ordinary_owner, **relay(server.port))

    assert one_sentence(home, said.status, said.err) == (
        "The record of what was sent, ~/.local/share/keydesk/keydesk.db.sent, cannot be read (Permission denied): "
        "nobody knows whether this store is older than it, and would send and bill again. Give that file and its "
        "directory to the worker's account, or mount what is missing."
    )
    assert server.received == []
    assert home.counts() == before
    assert home.sql("SELECT count(*) FROM worker") == [(0,)]


def test_a_new_store_where_another_one_was_is_not_held(home: Home) -> None:
    home.store.with_name("keydesk.db.sent").write_text("1000000000 kd." + "a" * 32 + " " + "b" * 32 + "\n")

    home.keydesk("worker", "--once")

    assert home.sql("SELECT count(*) FROM setting WHERE name = 'restored_at'") == [(0,)]


def test_the_record_of_what_was_sent_is_for_its_owner_alone(home: Home, backup: Path) -> None:
    with smtp_server() as server:
        home.keydesk("run", "deliver-mail", **relay(server.port))
        sent = len(server.received)

    record = home.store.with_name("keydesk.db.sent")
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert len(record.read_text(encoding="ascii").splitlines()) == sent


def test_the_pepper_is_copied_only_when_asked(home: Home) -> None:
    without = home.keydesk("backup", home.path / "a.db")
    with_pepper = home.keydesk("backup", home.path / "b.db", "--with-pepper")

    beside = home.path / "b.db.pepper"
    assert (without.status, with_pepper.status) == (0, 0)
    assert [path.name for path in sorted(home.path.glob("*.pepper"))] == ["b.db.pepper"]
    assert beside.read_bytes() == home.pepper.read_bytes()
    assert stat.S_IMODE(beside.stat().st_mode) == 0o600


def test_postgresql_is_told_its_own_way(home: Home, backup: Path) -> None:
    home.has_driver = True
    said = home.keydesk("restore", backup, KEYDESK_STORE_LOCATION="postgresql:///keydesk?host=/nowhere")

    assert one_sentence(home, said.status, said.err).startswith("This store is PostgreSQL: stop the workers")
