"""Who gets in over SSH, to what, and what is left behind? A real sshd with the files of deploy/ssh answers."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cast import OLAV
from ssh_door import SshDoor, Terminal, gone, missing
from ssh_store import set_up_store

from store import admins, database
from store.tables import AdminKey, Event, Key

NOW = datetime.now(UTC).replace(microsecond=0)  # sshd and the desk read the real clock


@pytest.fixture
def door(tmp_path: Path) -> Iterator[SshDoor]:
    """Anna is an operator, Ben too; Carl is Nordlys' own admin; Dag audits. Eve is a stranger."""
    why = missing()
    if why:
        if os.environ.get("CI") and os.geteuid() == 0:
            pytest.fail(f"The SSH door was not tested: {why}.")
        pytest.skip(f"THE SSH DOOR IS NOT TESTED: {why}.")
    scratch = tmp_path / "ssh"
    scratch.mkdir(mode=0o700)
    door = SshDoor(scratch, set_up_store(tmp_path / "home", NOW))
    try:
        with database.session():
            for name, role, of in (
                ("anna", "operator", None),
                ("ben", "operator", None),
                ("carl", "company-admin", "nordlys"),
                ("dag", "auditor", None),
            ):
                admins.add(OLAV, name, role, of, door.keygen(name), NOW)
        door.keygen("eve")
        yield door
    finally:
        door.close()
        database.dispose()


def told(act: str) -> list[tuple[str, str, str, str]]:
    """Who did it, as what, from where, to what."""
    with database.session():
        found = Event.select().where(Event.act == act).order_by(Event.seq)
        return [(event.actor, event.role, event.origin, event.subject) for event in found]


def revoke(terminal: Terminal, label: str, place: int) -> None:
    about_to_revoke(terminal, label, place)
    terminal.type("\x13")


def about_to_revoke(terminal: Terminal, label: str, place: int) -> None:
    """By keys alone: all keys, the one in that place, revoke, why, its last four characters; but for the last key."""
    with database.session():
        last = Key.get(Key.label == label).last
    terminal.type("2")
    terminal.shows("1 of 2 keys")
    if place == 2:
        terminal.type("j")
        terminal.shows("2 of 2 keys")
    terminal.type("x")
    terminal.shows(f"{label} .*\\n.*\\n.*From the moment you confirm")
    terminal.type("leaked")
    terminal.shows("Reason +leaked")
    terminal.moves("\t", f"Write {last}")
    terminal.type(last)
    terminal.shows(f"Write {last} +{last}")


def test_two_admins_work_at_once_and_the_events_know_them_apart(door: SshDoor) -> None:
    anna, ben = Terminal(door, "anna"), Terminal(door, "ben", term="evil\nroot logged in\x1b]0;PWN\x07")
    anna.shows("Nordlys AS")
    ben.shows("Sydlys ApS")

    revoke(anna, "sydlys-sync", 1)
    revoke(ben, "nordlys-sync", 2)
    anna.shows("is revoked")
    ben.shows("is revoked")
    for terminal in (anna, ben):
        terminal.type("\x11")
        assert terminal.end() == 0

    assert [(who, role, where) for who, role, where, _ in sorted(told("key.revoke"))] == [
        ("anna", "operator", "ssh 127.0.0.1"),
        ("ben", "operator", "ssh 127.0.0.1"),
    ]
    assert (
        sorted(told("session.begin"))
        == sorted(told("session.end"))
        == [
            ("anna", "operator", "ssh 127.0.0.1", "session"),
            ("ben", "operator", "ssh 127.0.0.1", "session"),
        ]
    )


def test_a_company_admin_sees_one_company_and_an_auditor_changes_nothing(door: SshDoor) -> None:
    carl, dag = Terminal(door, "carl"), Terminal(door, "dag")

    assert "Sydlys" not in carl.shows("Nordlys AS")
    carl.type("2")
    assert "sydlys" not in carl.shows("nordlys-sync")
    carl.type("3")
    carl.shows("your login reaches one")
    dag.shows("Sydlys ApS")
    dag.type("2")
    dag.shows("sydlys-sync")
    dag.type("x")
    dag.shows("read-only")

    for terminal in (carl, dag):
        terminal.type("\x11")
        assert terminal.end() == 0
    assert b"ydlys ApS" not in carl.raw
    assert b"sydlys-sync" not in carl.raw


def test_a_stranger_gets_nothing_not_even_a_line_in_the_events(door: SshDoor) -> None:
    said = door.run("ssh", "eve", "127.0.0.1", "echo FREE SHELL")

    assert (said.returncode, said.stdout) == (255, "")
    assert "Permission denied" in said.stderr
    assert told("session.begin") == []


def test_an_admin_gets_the_desk_and_nothing_else(door: SshDoor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("contraband")
    target = f"{tmp_path}/arrived"
    attempts = {
        "a command": lambda: door.run("ssh", "anna", "127.0.0.1", f"echo FREE SHELL; touch {target}"),
        "a command in disguise": lambda: door.run("ssh", "anna", "127.0.0.1", f"\n\x1b[2J$(touch {target})"),
        "no terminal": lambda: door.run("ssh", "anna", "127.0.0.1"),
        "sftp": lambda: door.run("sftp", "anna", "127.0.0.1"),
        "scp": lambda: door.run("scp", "anna", "-O", str(tmp_path / "file"), f"127.0.0.1:{target}"),
        "a tunnel in": lambda: door.run("ssh", "anna", "-W", f"127.0.0.1:{door.port}", "127.0.0.1"),
        "a tunnel out": lambda: door.run(
            "ssh", "anna", "-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", "127.0.0.1"
        ),
    }

    with ThreadPoolExecutor(4) as pool:
        results = dict(zip(attempts, pool.map(lambda attempt: attempt(), attempts.values()), strict=True))

    for name, said in results.items():
        assert said.returncode != 0, name
        assert "FREE SHELL" not in said.stdout + said.stderr, name
        assert "SSH-2.0" not in said.stdout, name

    assert not Path(target).exists()
    assert results["a command"].stderr == (
        "keydesk: Only the desk opens here; log in without a command (no scp, no sftp).\n"
    )
    assert told("session.begin") == []


def test_nothing_of_the_client_s_environment_reaches_the_desk(door: SshDoor, tmp_path: Path) -> None:
    written = tmp_path / "textual.log"
    hostile = {
        "LD_PRELOAD": "/nowhere/evil.so",
        "PYTHONPATH": str(tmp_path),
        "TEXTUAL_LOG": str(written),
        "TEXTUAL_DRIVER": "evil:Driver",
        "KEYDESK_STORE_LOCATION": "/nowhere/other.db",
        "SSH_USER_AUTH": "/nowhere/auth",
        "HOME": "/nowhere",
        "LOGNAME": "ben",
    }
    pairs = " ".join(f"{name}={value}" for name, value in hostile.items())
    anna = Terminal(door, "anna", "-o", f"SetEnv={pairs}")
    anna.shows("Nordlys AS")

    (session,) = door.sessions()
    entries = Path(f"/proc/{session}/environ").read_bytes().decode().rstrip("\0").split("\0")

    environment = dict(entry.split("=", 1) for entry in entries)
    assert sorted(environment) == [
        "HOME", "KEYDESK_SETTINGS", "LANG", "PATH", "SSH_CONNECTION", "SSH_ORIGINAL_COMMAND", "SSH_USER_AUTH", "TERM",
    ]  # fmt: skip
    assert not set(hostile.values()) & set(environment.values())
    anna.type("\x11")
    assert anna.end() == 0
    assert not written.exists()
    assert [who for who, *_ in told("session.end")] == ["anna"]


def test_a_key_that_is_taken_away_is_refused_at_once_and_its_session_ends(door: SshDoor) -> None:
    anna = Terminal(door, "anna")
    anna.shows("Nordlys AS")

    with database.session():
        admins.remove_key(OLAV, AdminKey.get(AdminKey.comment == "anna").fingerprint, NOW)

    assert "Permission denied" in door.run("ssh", "anna", "127.0.0.1").stderr
    anna.shows("log in again")
    assert anna.end() == 1


def test_a_disabled_admin_changes_nothing_more_and_the_session_ends(door: SshDoor) -> None:
    anna = Terminal(door, "anna")
    anna.shows("Nordlys AS")
    about_to_revoke(anna, "sydlys-sync", 1)

    with database.session():
        admins.disable(OLAV, "anna", NOW)
    anna.type("\x13")

    anna.shows("log in again")
    assert anna.end() == 1
    with database.session():
        assert [key.revoked_at for key in Key.select()] == [None, None]
        assert Event.get(Event.act == "session.end").after == {"status": 143}


def test_a_line_that_breaks_ends_the_session_and_says_so(door: SshDoor) -> None:
    anna = Terminal(door, "anna")
    anna.shows("Nordlys AS")
    (session,) = door.sessions()

    anna.tear()

    assert gone(session)
    with database.session():
        ended = Event.get(Event.act == "session.end")
    assert (ended.actor, ended.after) == ("anna", {"status": 129})
