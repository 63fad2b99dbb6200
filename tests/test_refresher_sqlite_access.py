"""May the same people use a SQLite sandbox after its refresh as before it, and nobody else?"""

import os
import shutil
import sqlite3
import stat
import struct
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from other_account import as_root, user

from jobs.refreshers import sqlite
from jobs.refreshers.rules import Rule, Rules
from store.errors import Refused

ACCESS_LIST = "system.posix_acl_access"


@pytest.fixture
def sandbox() -> Iterator[Path]:
    """A sandbox of before beside its production, where other users can go too."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "sandbox").mkdir()
    for path in (folder / "production.db", folder / "sandbox" / "nordlys.db"):
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("CREATE TABLE customer (email TEXT); INSERT INTO customer VALUES ('a@b.example')")
        path.chmod(0o644)
    yield folder / "sandbox" / "nordlys.db"
    shutil.rmtree(folder)


def refresh(sandbox: Path) -> None:
    rules = Rules((f"{sandbox.parent}/*.db",), (Rule("customer", "email", "mail"),))
    sqlite.refresh(sandbox.parent.parent / "production.db", sandbox, rules)


def access(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def application(source: Path, user_id: int) -> sqlite3.Connection:
    """What writes to the source by a log (WAL)."""
    os.chown(source, user_id, user_id)
    with user(user_id):
        connection = sqlite3.connect(source, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("INSERT INTO customer VALUES ('b@b.example')")
    return connection


@as_root
@pytest.mark.parametrize("may_write_beside_it", [True, False])
def test_a_source_whose_log_would_be_made_for_another_user_is_left_alone(
    sandbox: Path, may_write_beside_it: bool
) -> None:
    source = sandbox.parent.parent / "production.db"
    os.chown(source.parent, 1001, 1001)
    source.parent.chmod(0o777 if may_write_beside_it else 0o755)
    application(source, 1001).close()
    for path in (sandbox.parent, sandbox):
        os.chown(path, 65534, 65534)

    with user(65534), pytest.raises(Refused) as refused:
        refresh(sandbox)

    assert str(refused.value) == (
        f"{source} is in WAL mode and nobody has it open, so SQLite would make its log for this user (65534), and the "
        "application could not write any more; nothing was touched. Refresh while the application has it open, or as "
        "its user (1001)."
    )
    assert not list(source.parent.glob("production.db-*"))
    application(source, 1001).close()


@as_root
@pytest.mark.parametrize(
    ("mode", "group", "why", "otherwise"),
    [
        (
            0o555,
            1001,
            "SQLite would have to make its log in {folder}, where this user (1001) may not write",
            "let this user write there",
        ),
        (
            0o755,
            1002,
            "SQLite would make its log for this user (1001), and the application could not write any more",
            "with its group (1002)",
        ),
    ],
    ids=["nothing can be made there", "its group writes"],
)
def test_its_own_user_is_told_what_else_keeps_the_log_from_being_made(
    sandbox: Path, mode: int, group: int, why: str, otherwise: str
) -> None:
    source = sandbox.parent.parent / "production.db"
    for path in (source.parent, sandbox.parent, sandbox):
        os.chown(path, 1001, 1001)
    application(source, 1001).close()
    os.chown(source, 1001, group)
    source.chmod(0o664)
    source.parent.chmod(mode)

    with user(1001), pytest.raises(Refused) as refused:
        refresh(sandbox)

    assert str(refused.value) == (
        f"{source} is in WAL mode and nobody has it open, so {why.format(folder=source.parent)}; nothing was touched. "
        f"Refresh while the application has it open, or {otherwise}."
    )
    assert not list(source.parent.glob("production.db-*"))


@as_root
def test_a_source_that_its_application_has_open_is_copied_by_another_user_and_can_be_written_to_afterwards(
    sandbox: Path,
) -> None:
    source = sandbox.parent.parent / "production.db"
    os.chown(source.parent, 1001, 1001)
    for path in (sandbox.parent, sandbox):
        os.chown(path, 65534, 65534)
    with closing(application(source, 1001)) as open_there:
        with user(65534):
            refresh(sandbox)
        with user(1001):
            open_there.execute("INSERT INTO customer VALUES ('c@b.example')")

    with closing(sqlite3.connect(sandbox)) as connection:
        emails = [email for (email,) in connection.execute("SELECT email FROM customer")]
    assert [email.endswith("@masked.invalid") for email in emails] == [True, True]


@as_root
def test_a_source_that_nobody_has_open_is_copied_by_its_own_user_and_can_be_written_to_afterwards(
    sandbox: Path,
) -> None:
    source = sandbox.parent.parent / "production.db"
    for path in (source.parent, sandbox.parent, sandbox):
        os.chown(path, 1001, 1001)
    application(source, 1001).close()

    with user(1001):
        refresh(sandbox)

    application(source, 1001).close()


@as_root
def test_owner_group_and_mode_stay_as_they_were(sandbox: Path) -> None:
    os.chown(sandbox, 65534, 1001)
    sandbox.chmod(0o660)

    refresh(sandbox)

    assert access(sandbox) == (65534, 1001, 0o660)
    assert access(sandbox.with_name("nordlys.db.previous")) == (65534, 1001, 0o660)


@as_root
@pytest.mark.parametrize(
    ("owner", "group", "commands"),
    [
        (65534, 1001, "chown 1001 {sandbox}"),
        (1001, 1002, "chgrp 1002 {folder}; chmod g+s {folder}"),
        (65534, 1002, "chown 1001 {sandbox}; chgrp 1002 {folder}; chmod g+s {folder}"),
    ],
)
def test_one_who_may_not_give_a_file_away_is_told_what_to_do_before_anything_is_copied(
    sandbox: Path, owner: int, group: int, commands: str
) -> None:
    os.chown(sandbox.parent, 1001, 1001)
    os.chown(sandbox, owner, group)
    sandbox.chmod(0o666)

    with user(1001), pytest.MonkeyPatch.context() as patched:
        patched.setattr(sqlite, "_PAGES_AT_ONCE", "nothing is copied")
        with pytest.raises(Refused) as refused:
            refresh(sandbox)

    assert str(refused.value) == (
        f"{sandbox} belongs to user {owner} and group {group}, and this user may not give them the file that comes in "
        "its place; nothing was changed. Run this as root, or once: "
        + commands.format(sandbox=sandbox, folder=sandbox.parent)
    )
    assert access(sandbox) == (owner, group, 0o666)
    assert [path.name for path in sandbox.parent.iterdir()] == ["nordlys.db"]


@as_root
def test_a_directory_that_hands_its_group_on_lets_a_user_without_rights_keep_it(sandbox: Path) -> None:
    os.chown(sandbox.parent, 1001, 1002)
    sandbox.parent.chmod(0o2755)
    os.chown(sandbox, 1001, 1002)
    sandbox.chmod(0o660)

    with user(1001):
        refresh(sandbox)

    assert access(sandbox) == (1001, 1002, 0o660)


def test_an_access_list_stays_and_the_group_gets_no_more_than_it_had(sandbox: Path) -> None:
    everyone_else = 2**32 - 1
    entries = [(0x01, 6, everyone_else), (0x02, 6, 65534), (0x04, 0, everyone_else)]  # owner, user 65534, group
    entries += [(0x10, 6, everyone_else), (0x20, 0, everyone_else)]  # mask, which stands for the group in the mode
    listed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(sandbox, ACCESS_LIST, listed)
    except OSError:
        pytest.skip("this file system has no access lists")

    refresh(sandbox)

    assert os.getxattr(sandbox, ACCESS_LIST) == listed
    assert access(sandbox)[2] == 0o660


def test_an_access_list_that_the_directory_hands_on_is_not_taken(sandbox: Path) -> None:
    everyone_else = 2**32 - 1
    entries = [(0x01, 7, everyone_else), (0x02, 7, 65534), (0x04, 5, everyone_else)]
    entries += [(0x10, 7, everyone_else), (0x20, 5, everyone_else)]
    listed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    sandbox.chmod(0o640)
    try:
        os.setxattr(sandbox.parent, "system.posix_acl_default", listed)
    except OSError:
        pytest.skip("this file system has no access lists")

    refresh(sandbox)

    assert access(sandbox)[2] == 0o640
    assert ACCESS_LIST not in os.listxattr(sandbox)
