"""What if the disk of a SQLite store is full, or its file is locked, moved, replaced or on another machine's disk?"""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cast import LONG_AGO, arrive, enable, key_of
from fault_world import FaultWorld
from peewee import QueryEvent, SqliteDatabase
from small_disk import Ballast, Quota, mounted
from smtp_server import smtp_server

from store import database, events, file_system, unavailable
from store.database import run_sql, session, writing
from store.errors import SettingsWrong, StoreUnavailable
from store.gate import GateMissingError, WriteGate
from store.tables import Event, Key

MOST_DAYS = 60
# Every fifth statement, so that it takes seconds; `make torture` tries each (torture/each_statement.py).
EVERY_NTH = int(os.environ.get("KEYDESK_EVERY_NTH", "5"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    with mounted(tmp_path / "disk", megabytes=6) as disk:
        yield disk


@pytest.fixture
def store(tmp_path: Path, sqlite_template: Path) -> Iterator[Path]:
    """An empty store with this process bound to it."""
    path = tmp_path / "keydesk.db"
    shutil.copy(sqlite_template, path)
    database.bind(str(path), lock_wait_seconds=0)
    yield path
    database.dispose()


def write() -> None:
    with session(), writing():
        run_sql("INSERT INTO clock_seen (max_seen) VALUES (0)")


def written() -> int:
    with session():
        return int(run_sql("SELECT count(*) FROM clock_seen").fetchone()[0])


def refusal(path: Path) -> str:
    """What a person is told who wants to write, without the place."""
    with pytest.raises(StoreUnavailable) as refused:
        write()
    return str(refused.value).replace(str(path), "STORE")


@pytest.fixture(params=["disk", "quota"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Ballast | Quota]]:
    """A directory, and what leaves no room in it: a small disk takes root, a limit of this process nothing."""
    if request.param == "disk":
        with mounted(tmp_path / "disk", megabytes=6) as disk:
            yield disk, Ballast(disk)
        return
    quota = Quota()
    yield tmp_path, quota
    quota.throw_off()


def test_a_disk_that_is_full_after_any_statement_costs_nothing_but_a_beat(
    filled: tuple[Path, Ballast | Quota], sqlite_template: Path
) -> None:
    path, weight = filled[0] / "keydesk.db", filled[1]
    shutil.copy(sqlite_template, path)
    database.bind(str(path))
    with smtp_server() as relay:
        world = FaultWorld(relay, days=MOST_DAYS * 5 // EVERY_NTH)
        while world.day_with_a_fault((world.days + 1) * EVERY_NTH, weight.load, weight.throw_off):
            pass
    books, right = world.books(), world.right_books()
    with session():
        sound = run_sql("PRAGMA integrity_check").fetchone()
    database.dispose()

    assert (books, sound) == (right, ("ok",))
    (told,) = {fact["error"] for fact in world.said.named("beat.failed")}
    assert told == "StoreUnavailable: " + weight.sentence(path)


def test_what_an_admin_does_on_a_full_disk_is_done_whole_or_not_at_all(
    filled: tuple[Path, Ballast | Quota], sqlite_template: Path
) -> None:
    path, weight = filled[0] / "keydesk.db", filled[1]
    shutil.copy(sqlite_template, path)
    database.bind(str(path))
    with session():
        people = arrive()
        enable(people.nordlys, people.ase, now=LONG_AGO)
    statements = made = 0
    told: set[str] = set()

    def count(_: QueryEvent) -> None:
        nonlocal statements
        statements += 1
        if statements == made + 1:  # one later with each key
            weight.load()

    while statements >= made:
        statements = 0
        database.db.query_hooks.append(count)
        try:
            with session():
                key_of(people.ase, label=f"k{made}")
        except StoreUnavailable as refused:
            told.add(str(refused))
        database.db.query_hooks.clear()
        weight.throw_off()
        with session():
            if Key.select().count() == made:  # nothing of it was kept; now there is room
                key_of(people.ase, label=f"k{made}")
            made += 1
            assert Key.select().count() == Event.select().where(Event.act == "key.create").count() == made
    with session():
        assert (events.verify().fault, told) == (None, {weight.sentence(path)})
    database.dispose()


def test_a_disk_that_was_made_read_only_is_one_sentence(small_disk: Path, sqlite_template: Path) -> None:
    path = small_disk / "keydesk.db"
    shutil.copy(sqlite_template, path)
    database.bind(str(path))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    told = refusal(path)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    write()

    assert written() == 1
    assert told == (
        "The store STORE cannot be opened. Check that the file and its directory belong to you, and that the disk is "
        "not read-only."
    )
    database.dispose()


@contextmanager
def locked_by_another(path: Path) -> Iterator[None]:
    """Another process has the store for itself and has changed something; it is killed at the end."""
    ready, held = os.pipe()
    stranger = os.fork()
    if stranger == 0:  # pragma: no cover - the child
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("DELETE FROM setting")
        os.write(held, b"1")
        signal.pause()
    os.read(ready, 1)
    try:
        yield
    finally:
        os.kill(stranger, signal.SIGKILL)
        os.waitpid(stranger, 0)
        os.close(ready)
        os.close(held)


@pytest.mark.parametrize("seconds", [0, 1])  # that a beat waits for the lock, which is held for longer
def test_a_store_that_another_program_has_locked_costs_the_worker_nothing_but_beats(
    tmp_path: Path, sqlite_template: Path, seconds: int
) -> None:
    path = tmp_path / "keydesk.db"
    shutil.copy(sqlite_template, path)
    with smtp_server() as relay:
        database.bind(str(path), lock_wait_seconds=seconds)
        world = FaultWorld(relay, days=1)
        world.next_day()
        with locked_by_another(path):
            world.beats()
        world.beats()
        books, right = world.books(), world.right_books()
    database.dispose()

    assert books == right
    told = (
        f"StoreUnavailable: The store {path} has been locked by another program for more than {seconds} s; "
        "nothing was changed. Close that program and try again."
    )
    assert [(fact["beat"], fact["error"]) for fact in world.said.named("beat.failed")] == [
        ("work", told),
        ("tick", told),
    ]  # no mail is due, none claimed


def test_who_holds_the_lock_and_is_killed_lets_go(store: Path) -> None:
    with locked_by_another(store):
        locked = refusal(store)
    write()

    assert locked.startswith("The store STORE has been locked by another program for more than 0 s; ")
    assert written() == 1


def test_a_log_that_was_deleted_while_the_store_was_open_is_not_written_past(store: Path) -> None:
    with session():
        write()
        (store.parent / "keydesk.db-wal").unlink()

        told = refusal(store)

    assert told.startswith("The log STORE-wal was removed or replaced while the store was in use; nothing was changed.")
    write()
    assert written() == 2  # whoever closes last has put the first one into the file


def test_a_log_that_is_deleted_while_nobody_has_the_store_open_is_empty_and_no_loss(store: Path) -> None:
    write()

    assert sorted(path.name for path in store.parent.glob("keydesk.db*")) == ["keydesk.db", "keydesk.db.gate"]
    assert written() == 1


def test_a_file_that_was_put_in_the_place_of_the_store_is_not_written_to(store: Path) -> None:
    write()
    other = store.with_name("other.db")
    shutil.copy(store, other)
    with session():
        written()
        other.replace(store)
        inside = refusal(store)
    outside = refusal(store)

    assert (
        inside
        == outside
        == (
            "The file of the store STORE was removed or replaced while this program had it; nothing was changed. "
            "Start the program again."
        )
    )
    database.bind(str(store))  # the program is started again
    write()
    assert written() == 2


def test_a_store_that_was_deleted_is_not_made_anew_by_a_program_that_had_it(store: Path) -> None:
    write()
    store.unlink()

    assert refusal(store).startswith("The file of the store STORE was removed or replaced ")
    assert not store.exists()


def as_it_is_opened(monkeypatch: pytest.MonkeyPatch, moment: str, act: Callable[[], object]) -> None:
    """Let something happen once, right before or after the next opening of the store's file."""
    opening = SqliteDatabase._connect  # type: ignore[attr-defined] # the stubs leave it out

    def _connect(self: SqliteDatabase) -> object:
        monkeypatch.undo()
        if moment == "before":
            act()
        connection: object = opening(self)
        if moment == "after":
            act()
        return connection

    monkeypatch.setattr(SqliteDatabase, "_connect", _connect)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_store_that_goes_away_while_it_is_opened_is_not_made_anew(
    store: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    as_it_is_opened(monkeypatch, moment, lambda: store.rename(store.with_name("away.db")))

    told = [refusal(store), refusal(store)]

    assert [sentence.partition(" while ")[0] for sentence in told] == [
        "The file of the store STORE was removed or replaced",
    ] * 2
    assert not store.exists()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_file_that_takes_the_place_of_the_store_while_that_is_opened_is_not_written_to(
    store: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    other = store.with_name("other.db")
    shutil.copy(store, other)
    database.bind(str(store))  # whoever opens it for the first time is told as well
    as_it_is_opened(monkeypatch, moment, lambda: other.replace(store))

    told = refusal(store)

    assert told.startswith("The file of the store STORE was removed or replaced ")
    assert written() == 1


@pytest.mark.parametrize(
    ("magic", "kind"),
    [
        (0x6969, "NFS"),
        (0xFF534D42, "CIFS"),
        (-11317950, "CIFS"),
        (0xFE534D42, "SMB"),
        (0x65735546, "FUSE"),
        (0xC36400, "Ceph"),
    ],
)
def test_a_store_on_a_shared_file_system_is_refused(magic: int, kind: str) -> None:
    with pytest.raises(SettingsWrong) as refused:
        file_system.check(magic, Path("/srv/keydesk.db"))

    assert str(refused.value) == (
        f"The store /srv/keydesk.db is on a shared file system ({kind}), where SQLite loses what two write at once. "
        "Put it on a disk of this machine, or use PostgreSQL."
    )


def test_no_process_is_bound_to_a_store_on_a_shared_file_system(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, to_be_made = tmp_path / "there.db", tmp_path / "to-be-made.db"
    there.touch()
    monkeypatch.setattr(file_system, "magic_of", {there: 0x6969, tmp_path: 0x6969}.get)  # as the kernel says of NFS

    for path in (there, to_be_made):
        with pytest.raises(SettingsWrong, match=r"^The store .*\.db is on a shared file system \(NFS\), where SQLite"):
            database.bind(str(path))


@pytest.mark.parametrize("magic", [0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630, 0x2FC12FC1, 0xF2F52010])
def test_a_disk_of_this_machine_is_taken(magic: int) -> None:
    file_system.check(magic, Path("/srv/keydesk.db"))  # ext4, xfs, btrfs, tmpfs, overlayfs, zfs, f2fs


def test_the_kernel_tells_on_which_file_system_a_place_is(small_disk: Path) -> None:
    assert file_system.magic_of(small_disk) == 0x01021994  # tmpfs
    assert file_system.magic_of(Path("/proc")) == 0x9FA0
    assert file_system.magic_of(small_disk / "nowhere") is None


@pytest.mark.parametrize(
    ("why", "sentence"),
    [
        (errno.ENOSPC, "The disk of the store STORE is full; nothing was changed. Free some space and try again."),
        (errno.EROFS, "The store STORE is read-only; nothing was changed. Check the owner and mode of the file and "),
        (errno.EACCES, "The store STORE is read-only; nothing was changed. Check the owner and mode of the file and "),
        (errno.EMFILE, "The store STORE cannot be opened. Check that the file and its directory belong to you, and "),
    ],
)
def test_a_gate_that_cannot_be_made_says_why_nothing_can_be_written(why: int, sentence: str) -> None:
    assert unavailable.of_file(OSError(why, "…"), "STORE").startswith(sentence)


def test_a_directory_that_is_not_there_any_more_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(GateMissingError), WriteGate(tmp_path / "gone" / "keydesk.db.gate", 1).held():
        pytest.fail("there is no gate")
