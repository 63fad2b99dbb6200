"""What is sshd told of a key, whom does a session believe, and what does `keydesk admin` say?"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ssh_store import set_up_store

from keydesk.command import main
from keydesk.errands import ssh
from store import database
from store.errors import NotAllowed

NOW = datetime.now(UTC).replace(microsecond=0)  # the command reads the real clock
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFpbXF1eX2BhYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5 anna"


@pytest.fixture
def settings_file(tmp_path: Path) -> Iterator[Path]:
    yield set_up_store(tmp_path / "home", NOW)
    database.dispose()


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


@pytest.fixture
def keydesk(settings_file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The command, with its exit status and what it wrote."""

    def run(*arguments: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(["--settings", str(settings_file), *arguments])
        return Said(int(ended.value.code or 0), *capsys.readouterr())

    return run


def test_sshd_is_told_of_an_admin_s_key_in_one_line_and_of_a_stranger_s_in_none(
    keydesk: Callable[..., Said], tmp_path: Path
) -> None:
    (tmp_path / "anna.pub").write_text(PUBLIC + "\n")
    said = keydesk("admin", "add", "anna", "--role", "operator", "--key", str(tmp_path / "anna.pub"))
    assert said == Said(0, "anna may log in now.\n", "")
    before = stored()

    known = keydesk("ssh", "authorized-keys", *PUBLIC.split(" ")[:2])
    strange = keydesk("ssh", "authorized-keys", "ssh-ed25519", PUBLIC.split(" ")[1][:-4] + "AAAA")

    assert known == Said(0, f"restrict,pty {PUBLIC.rsplit(' ', 1)[0]}\n", "")
    assert strange == Said(0, "", "")
    assert stored() == before


@pytest.mark.parametrize(
    ("key_type", "blob"),
    [
        ("ssh-ed25519", "x\ncommand"),
        ("ssh-ed25519\nssh-rsa", "AAAA"),
        ("ssh-ed25519", "' OR 1=1; --"),
        ("ssh-dss", "AAAA"),
        ("", ""),
    ],
)
def test_nothing_that_a_client_offers_gets_anything_else_out(
    keydesk: Callable[..., Said], key_type: str, blob: str
) -> None:
    assert keydesk("ssh", "authorized-keys", key_type, blob) == Said(0, "", "")


def test_a_store_that_cannot_be_read_lets_nobody_in(keydesk: Callable[..., Said], settings_file: Path) -> None:
    (settings_file.parent / "keydesk.db").unlink()

    said = keydesk("ssh", "authorized-keys", *PUBLIC.split(" ")[:2])

    assert (said.status, said.out) == (1, "")


def test_answering_sshd_does_not_wait_for_the_desk_the_mails_or_the_scheduler() -> None:
    look = (
        "import sys, keydesk.errands.ssh; print([n for n in ('textual', 'jinja2', 'apscheduler') if n in sys.modules])"
    )

    said = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True, timeout=30)

    assert said.stdout == "[]\n"


def stored() -> list[object]:
    with database.session():
        return [database.run_sql(f"SELECT * FROM {table}").fetchall() for table in ("admin", "admin_key", "event")]


@pytest.mark.parametrize(
    "said",
    ["", "password\n", f"publickey {PUBLIC}\npublickey {PUBLIC}\n", f"keyboard-interactive {PUBLIC}\n", "publickey\n"],
)
def test_a_session_needs_one_key_that_sshd_has_checked(tmp_path: Path, said: str) -> None:
    (tmp_path / "auth").write_text(said)

    with pytest.raises(NotAllowed, match="One public key says who somebody is"):
        ssh.proven_key({"SSH_USER_AUTH": str(tmp_path / "auth")})


@pytest.mark.parametrize("environment", [{}, {"SSH_USER_AUTH": "/nowhere/auth"}, {"USER": "anna", "LOGNAME": "anna"}])
def test_no_name_in_the_environment_stands_for_a_checked_key(environment: dict[str, str]) -> None:
    with pytest.raises(NotAllowed, match="sshd"):
        ssh.proven_key(environment)


def test_the_checked_key_is_read_from_the_file_that_sshd_names(tmp_path: Path) -> None:
    (tmp_path / "auth").write_text(f"publickey {PUBLIC.rsplit(' ', 1)[0]}\n")

    key = ssh.proven_key({"SSH_USER_AUTH": str(tmp_path / "auth")})

    assert (key.type, key.blob) == tuple(PUBLIC.split(" ")[:2])


@pytest.mark.parametrize(
    ("connection", "shown"),
    [
        ("192.0.2.7 40000 192.0.2.1 22", "ssh 192.0.2.7"),
        ("2001:db8::7 40000 2001:db8::1 22", "ssh 2001:db8::7"),
        ("fe80::7%eth0 40000 fe80::1%eth0 22", "ssh fe80::7"),
    ],
)
def test_the_origin_is_the_client_s_address(connection: str, shown: str) -> None:
    assert ssh.origin({"SSH_CONNECTION": connection}) == shown


@pytest.mark.parametrize("connection", ["", "UNKNOWN 65535 UNKNOWN 65535", "a\x1b[2J 1 2 3", "192.0.2.7\n 1 2 3"])
def test_without_an_address_there_is_no_session(connection: str) -> None:
    with pytest.raises(NotAllowed, match="where this login comes from"):
        ssh.origin({"SSH_CONNECTION": connection})


@pytest.mark.parametrize(
    ("named", "used"),
    [
        ("xterm", "xterm"),
        ("screen.xterm-256color", "screen.xterm-256color"),
        ("t" * 32, "t" * 32),
        ("t" * 33, "xterm-256color"),
        ("", "xterm-256color"),
        ("evil\nroot logged in\x1b]0;PWN\x07", "xterm-256color"),
        ("../../etc/passwd", "xterm-256color"),
    ],
)
def test_a_terminal_that_is_no_plain_name_becomes_a_common_one(named: str, used: str) -> None:
    assert ssh.terminal(named) == used


def test_the_admins_are_listed_with_the_keys_that_log_in(keydesk: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "anna.pub").write_text(PUBLIC + "\n")
    keydesk("admin", "add", "anna", "--role", "company-admin", "--company", "nordlys")
    fingerprint = "SHA256:gUH7tKMZBiZRAG2PmJiJ5IEvA1ZDLThkjx8Qxe+Msqg"
    for arguments, told in (
        (("add-key", "anna", "--key", str(tmp_path / "anna.pub")), f"anna may log in with {fingerprint} now."),
        (("list",), f"anna: company-admin of nordlys\n  {fingerprint} ssh-ed25519 anna"),
        (("remove-key", fingerprint), f"anna no longer logs in with {fingerprint}."),
        (("disable", "anna"), "anna no longer logs in, and a session that is open can change nothing more."),
        (("list",), f"anna: company-admin of nordlys, disabled {NOW:%Y-%m-%d}\n  no key"),
    ):
        assert keydesk("admin", *arguments) == Said(0, told + "\n", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("add", "anna", "--role", "operator", "--key", "/nowhere.pub"), "cannot be read (No such file or directory)"),
        (("add", "anna", "--role", "operator", "--key", "/proc/self/exe"), "cannot be read (it is not text)"),
        (("add", "anna", "--role", "company-admin"), "name it (`--company`, its external id)"),
        (("disable", "nobody"), "no admin with that name"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    keydesk: Callable[..., Said], arguments: tuple[str, ...], sentence: str
) -> None:
    said = keydesk("admin", *arguments)

    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("keydesk: ")
    assert sentence in said.err
    assert said.err.count("\n") == 1
