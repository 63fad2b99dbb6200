"""May this account use the SQLite store? If not, is the very file named, and is all well once that is mended?"""

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from command import NOW, Home, as_an_ordinary_owner, one_sentence
from doctor_visit import relay
from other_account import as_root, user
from small_disk import Ballast, mounted
from smtp_server import smtp_server

from keydesk.errands.init import set_up
from keydesk.opening import open_store
from store import database
from store.database import session, writing
from store.errors import StoreUnavailable


def refused(home: Home, *verb: str) -> str:
    """What its owner, who is not root, is told."""
    said = home.keydesk(*(verb or ("mail", "test", "ase@example.com")), before=as_an_ordinary_owner)
    return one_sentence(home, said.status, said.err)


def beside(store: Path) -> dict[str, int]:
    """The modes of the files of a store."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.parent.glob("keydesk.db*")}


@pytest.mark.parametrize("verb", [("mail", "list"), ("sandbox", "list"), ("worker", "--once"), ("doctor",)])
def test_a_store_that_was_read_only_for_a_while_is_well_when_it_may_be_written_again(
    home: Home, verb: tuple[str, ...]
) -> None:
    home.store.chmod(0o400)
    first, second = (home.keydesk(*verb, before=as_an_ordinary_owner) for _ in range(2))
    left = beside(home.store)
    home.store.chmod(0o600)

    assert (first.status, first.err) == (second.status, second.err)
    assert {mode for name, mode in left.items() if name != "keydesk.db"} <= {0o600}
    assert home.keydesk("mail", "test", "ase@example.com", before=as_an_ordinary_owner).status == 0
    assert beside(home.store) == {"keydesk.db": 0o600, "keydesk.db.gate": 0o600}


def test_a_store_that_is_read_only_can_be_read_and_backed_up(home: Home) -> None:
    home.store.chmod(0o400)

    assert home.keydesk("backup", home.path / "copy.db", before=as_an_ordinary_owner).status == 0
    assert refused(home) == (
        "The store ~/.local/share/keydesk/keydesk.db is read-only; nothing was changed. "
        "Run `chmod 600 ~/.local/share/keydesk/keydesk.db`."
    )


@pytest.mark.parametrize("is_open", [True, False])
def test_in_a_read_only_directory_a_store_is_read_while_somebody_has_it_open(home: Home, is_open: bool) -> None:
    with home.opened() if is_open else nullcontext():
        if is_open:
            database.run_sql("SELECT count(*) FROM company").fetchone()
        home.store.parent.chmod(0o500)
        status = [
            home.keydesk(*verb, before=as_an_ordinary_owner).status
            for verb in (("mail", "list"), ("sandbox", "list"), ("backup", home.path / "copy.db"))
        ]
        home.store.parent.chmod(0o700)

    assert status == [0 if is_open else 1] * 3


@pytest.mark.parametrize("is_open", [True, False])
def test_on_a_full_disk_a_store_is_read_while_somebody_has_it_open(home: Home, tmp_path: Path, is_open: bool) -> None:
    with mounted(tmp_path / "disk", megabytes=6) as disk:
        moved = shutil.copy2(home.store, disk / "keydesk.db")
        there = {"KEYDESK_STORE_LOCATION": str(moved)}
        database.bind(str(moved))
        with session() if is_open else nullcontext():
            if is_open:
                database.run_sql("SELECT count(*) FROM company").fetchone()
            Ballast(disk).load()
            status = [
                home.keydesk(*verb, **there).status
                for verb in (("mail", "list"), ("sandbox", "list"), ("backup", home.path / "copy.db"))
            ]
        database.dispose()

    assert status == [0 if is_open else 1] * 3


def test_a_read_only_store_whose_log_finds_no_room_is_well_when_both_are_mended(home: Home, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", megabytes=6) as disk:
        moved, ballast = shutil.copy2(home.store, disk / "keydesk.db"), Ballast(disk)
        there = {"KEYDESK_STORE_LOCATION": str(moved)}
        ballast.load()
        moved.chmod(0o400)
        status = [home.keydesk("mail", "list", before=as_an_ordinary_owner, **there).status]
        moved.chmod(0o600)
        ballast.throw_off()
        status.append(home.keydesk("mail", "test", "a@b.example", before=as_an_ordinary_owner, **there).status)

    assert status == [1, 0]


def test_logs_that_may_not_be_written_are_named(home: Home) -> None:
    logs = [home.store.with_name(home.store.name + end) for end in ("-wal", "-shm")]
    for log in logs:  # not empty: of those that are, SQLite sets the mode right
        log.write_bytes(b"left")
        log.chmod(0o400)
    told = refused(home)
    for log in logs:
        log.chmod(0o600)

    named = "~/.local/share/keydesk/keydesk.db"
    assert told == (
        f"{named}-wal and {named}-shm beside the store may not be written; nothing was changed. "
        f"Run `chmod 600 {named}-wal {named}-shm`."
    )
    assert home.keydesk("mail", "test", "ase@example.com", before=as_an_ordinary_owner).status == 0


@pytest.mark.parametrize("verb", [("mail", "list"), ("mail", "test", "ase@example.com")])
def test_a_directory_that_may_not_be_written_is_named(home: Home, verb: tuple[str, ...]) -> None:
    home.store.parent.chmod(0o500)
    told = refused(home, *verb)
    home.store.parent.chmod(0o700)

    assert told == (
        "The directory of the store ~/.local/share/keydesk/keydesk.db is read-only; nothing was changed. "
        "Run `chmod 700 ~/.local/share/keydesk`."
    )


@pytest.fixture
def anothers() -> Iterator[Home]:
    """The home of the account 1001, in which nothing but a fresh store is."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    home = Home(folder / "home")
    home.path.mkdir()
    assert home.keydesk("init", "--vendor", "Fjord Software").status == 0
    home.store.with_name("keydesk.db.gate").unlink()
    for path in (home.path, *home.path.rglob("*")):
        os.chown(path, 1001, 1001)
    yield home
    shutil.rmtree(folder)


def owners(store: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_uid, path.stat().st_gid) for path in store.parent.glob("keydesk.db*")}


@as_root
def test_what_root_makes_beside_the_store_belongs_to_the_owner_of_the_store(anothers: Home) -> None:
    backup = anothers.path / "backup.db"
    with smtp_server() as server:
        for verb in (("mail", "test", "ase@example.com"), ("worker", "--once"), ("backup", backup)):
            assert anothers.keydesk(*verb, **relay(server.port)).status == 0
    made = owners(anothers.store)
    assert anothers.keydesk("restore", backup).status == 0
    restored = owners(anothers.store)
    for path in anothers.store.parent.glob("keydesk*.db*"):
        path.unlink()
    assert anothers.keydesk("restore", backup).status == 0

    assert made == dict.fromkeys(("keydesk.db", "keydesk.db.gate", "keydesk.db.sent"), (1001, 1001))
    assert restored == made
    assert owners(anothers.store) == dict.fromkeys(("keydesk.db", "keydesk.db.gate"), (1001, 1001))


@as_root
@pytest.mark.parametrize("is_there", ["a file of root's", "nothing yet"])
def test_what_a_name_beside_the_store_leads_to_is_not_given_away(anothers: Home, is_there: str, tmp_path: Path) -> None:
    led_to = tmp_path / "root's"
    if is_there != "nothing yet":
        led_to.touch()
    anothers.store.with_name("keydesk.db.gate").symlink_to(led_to)

    assert anothers.keydesk("mail", "test", "ase@example.com").status == 0
    assert led_to.stat().st_uid == 0


@as_root
def test_a_gate_that_root_has_left_is_named_with_its_owner(anothers: Home) -> None:
    gate = anothers.store.with_name("keydesk.db.gate")
    gate.touch(mode=0o600)
    database.bind(str(anothers.store))

    with user(1001), pytest.raises(StoreUnavailable) as refusal, session(), writing():
        pytest.fail("root has the gate")
    database.dispose()

    assert str(refusal.value) == (
        f"{gate} beside the store may not be written; nothing was changed. "
        f"It belongs to root; run `chown 1001 {gate}` as root."
    )


def told(home: Home) -> str:
    """What the account 1002 is told of a store that is 1001's."""
    settings = home.settings()
    with user(1002), pytest.raises(StoreUnavailable) as refusal:
        open_store(settings)
    with user(1002), pytest.raises(StoreUnavailable, match=f"^{re.escape(str(refusal.value))}$"):
        set_up(settings, None, NOW)
    return str(refusal.value).replace(str(home.path), "~")


@as_root
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
def test_another_accounts_store_is_said_to_be_whose_it_is(anothers: Home, mode: int) -> None:
    anothers.store.chmod(mode)
    for folder in anothers.store.relative_to(anothers.path.parent).parents:
        (anothers.path.parent / folder).chmod(0o755)

    assert told(anothers) == (
        "The store ~/.local/share/keydesk/keydesk.db belongs to 1001, and this is 1002. Run this as 1001."
    )
    assert set(beside(anothers.store)) == {"keydesk.db"}


@as_root
def test_a_directory_that_hides_another_accounts_store_is_named(anothers: Home) -> None:
    anothers.path.chmod(0o700)

    assert told(anothers) == (
        "The store ~/.local/share/keydesk/keydesk.db is in ~, which belongs to 1001 and which 1002 may not enter. "
        "Run this as the account that the store belongs to."
    )


def test_a_directory_of_ones_own_that_cannot_be_entered_is_named(home: Home) -> None:
    home.store.parent.chmod(0o600)
    told = refused(home)
    home.store.parent.chmod(0o700)

    assert told == (
        "The store ~/.local/share/keydesk/keydesk.db is in ~/.local/share/keydesk, which cannot be entered. "
        "Run `chmod 700 ~/.local/share/keydesk`."
    )
