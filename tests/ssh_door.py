"""A real sshd on a loopback port with the files of deploy/ssh, and terminals that log in through it."""

import ctypes
import os
import pty
import pwd
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path

import pyte

DEPLOYED = Path(__file__).parent.parent / "deploy" / "ssh"
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
ME = pwd.getpwuid(os.geteuid()).pw_name
PR_SET_PDEATHSIG = 1
PATIENCE = 20  # seconds; everything here takes far less


def missing() -> str | None:
    """Why no door can be opened on this machine."""
    if SSHD is None or shutil.which("ssh") is None:
        return "OpenSSH is not installed (Debian: openssh-server)"
    if os.geteuid() != 0:
        return "sshd takes an AuthorizedKeysCommand only from root's hands, and this is not root"
    return None


class SshDoor:
    """sshd, sending this user to the two programs of deploy/ssh, which are pointed at the store of `settings`."""

    def __init__(self, scratch: Path, settings: Path) -> None:
        self.scratch = scratch
        # sshd refuses a program below a directory that others may write, as temporary ones are.
        self.base = Path(tempfile.mkdtemp(prefix="keydesk-test-", dir="/usr/local/lib"))
        self.base.chmod(0o755)
        self.settings = settings
        paths = {
            "/usr/local/libexec/keydesk": str(self.base),
            "/opt/keydesk/bin/python": sys.executable,
            "/etc/keydesk/keydesk.toml": str(settings),
            "/var/lib/keydesk": str(scratch),
            "Match User keydesk": f"Match User {ME}",
            "AuthorizedKeysCommandUser keydesk": f"AuthorizedKeysCommandUser {ME}",
        }
        for name in ("authorized-keys", "session", "keydesk.conf"):
            text = (DEPLOYED / name).read_text()
            for shipped, here in paths.items():
                text = text.replace(shipped, here)
            (self.base / name).write_text(text)
            (self.base / name).chmod(0o755)
        self.keygen("host")
        self.port = _free_port()
        host_key = (scratch / "host.pub").read_text()
        (scratch / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}")
        (scratch / "sshd_config").write_text(self._config())
        self.log = (scratch / "sshd.log").open("wb")
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.process = subprocess.Popen(
            [SSHD or "", "-D", "-e", "-f", scratch / "sshd_config"],
            stderr=self.log,
            preexec_fn=self._child,
        )
        self._wait()

    def _child(self) -> None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # gone with the test run, even when that is killed

    def _config(self) -> str:
        # AcceptEnv is wider than anybody would make it: the session must not care.
        return f"""
            Port {self.port}
            ListenAddress 127.0.0.1
            HostKey {self.scratch}/host
            PidFile none
            UsePAM no
            PermitRootLogin prohibit-password
            AcceptEnv *
            Subsystem sftp internal-sftp
            Include {self.base}/keydesk.conf
        """

    def keygen(self, name: str) -> str:
        """Make a key pair in the scratch directory; its public line."""
        file = self.scratch / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file], check=True, timeout=20)
        return file.with_suffix(".pub").read_text()

    def options(self, key: str) -> list[str]:
        return [
            "-F", "none", "-i", str(self.scratch / key), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
            "-o", f"UserKnownHostsFile={self.scratch}/known_hosts", "-o", "StrictHostKeyChecking=yes",
            "-o", f"Port={self.port}", "-o", f"User={ME}", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
        ]  # fmt: skip

    def run(self, program: str, key: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """An OpenSSH client without a terminal, to its end."""
        return subprocess.run(
            [program, *self.options(key), *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    def sessions(self) -> list[int]:
        """The process ids of the desks that are open."""
        ours = f"KEYDESK_SETTINGS={self.settings}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words[-3:] == [b"ssh", b"session", b""] and ours in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def said(self) -> str:
        """What sshd has logged."""
        return (self.scratch / "sshd.log").read_text(errors="replace")

    def close(self) -> None:
        for session in self.sessions():
            os.kill(session, signal.SIGKILL)
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.log.close()
        shutil.rmtree(self.base)

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"sshd did not start: {self.said()}") from None
                time.sleep(0.02)
            else:
                return


class Terminal:
    """Somebody at a terminal of 100 columns and 30 lines, who types and reads."""

    def __init__(self, door: SshDoor, key: str, *arguments: str, term: str = "xterm-256color") -> None:
        self.screen = _Screen(100, 30)
        self._stream = pyte.ByteStream(self.screen)
        self._mine, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.process = subprocess.Popen(
            ["ssh", *door.options(key), "-tt", *arguments, "127.0.0.1"],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={"PATH": os.environ["PATH"], "HOME": str(door.scratch), "TERM": term},
        )  # fmt: skip
        os.close(theirs)
        self.raw = b""

    def type(self, keys: str) -> None:
        os.write(self._mine, keys.encode())

    def shows(self, pattern: str) -> str:
        """Wait until the screen matches, and give it."""
        self._until(lambda: re.search(pattern, self.text()) is not None, f"{pattern!r} was never shown")
        return self.text()

    def moves(self, keys: str, line: str) -> None:
        """Type what moves the focus, and wait until the line that holds `line` looks it."""
        number = next(number for number, text in enumerate(self.screen.display) if line in text)
        before = self._look(number)
        self.type(keys)
        self._until(lambda: self._look(number) != before, f"{keys!r} did not lead to {line!r}")

    def end(self) -> int:
        """Wait until ssh has ended; its exit status."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        status = self.process.wait(PATIENCE)
        os.close(self._mine)
        return status

    def tear(self) -> None:
        """The network is gone, without a goodbye."""
        self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self._mine)

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def _look(self, line: int) -> list[tuple[str, str, bool]]:
        cells = self.screen.buffer[line]
        return [(cells[column].fg, cells[column].bg, cells[column].reverse) for column in range(self.screen.columns)]

    def _until(self, holds: Callable[[], bool], fault: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline or not self._read(deadline):
                raise AssertionError(f"{fault}; the screen was:\n{self.text()}")

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._mine], [], [], max(0.0, deadline - time.monotonic()))
        try:
            got = os.read(self._mine, 65536) if ready else b""
        except OSError:  # Linux's way of saying that the other end is closed
            got = b""
        self.raw += got
        self._stream.feed(got)
        return bool(got)


class _Screen(pyte.Screen):
    """pyte gives some sequences an argument that its own screen does not take."""

    def report_device_attributes(self, *_: object, **__: object) -> None:
        """Nobody answers here."""

    def report_device_status(self, *_: object, **__: object) -> None:
        """Nobody answers here."""


def gone(pid: int) -> bool:
    """Wait until a process has ended; False when it does not within ten seconds."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
