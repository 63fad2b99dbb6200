"""May this account use the SQLite store? If not, is the very file named, and is all well once that is mended?"""

import stat
from pathlib import Path

import pytest
from command import Home, as_an_ordinary_owner, one_sentence


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
        f"What belongs to the store, {named}-wal and {named}-shm, is read-only; nothing was changed. "
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
