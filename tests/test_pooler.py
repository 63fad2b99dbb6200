"""Can PgBouncer stand between Keydesk and PostgreSQL, and what is said of one that is set up wrongly?"""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import needed
import psycopg
import pytest
from fault_world import FaultWorld
from postgres_server import PostgresServer
from smtp_server import smtp_server

from store import database
from store.database import run_sql, session
from store.errors import StoreUnavailable

PORT = 6432  # the name of a socket in a folder of the server's own; no port is opened
Pooler = Callable[..., str]


@pytest.fixture
def pooler(postgres: PostgresServer) -> Iterator[Pooler]:
    """Starts PgBouncer with these settings before a new store, and binds that; gives what psycopg connects to."""
    pgbouncer = needed.program("pgbouncer", "pgbouncer")
    postgres.sql("CREATE DATABASE pooled TEMPLATE template_keydesk STRATEGY file_copy")
    settings_file = postgres.base / "pgbouncer.ini"
    started: list[subprocess.Popen[bytes]] = []

    def start(**settings: str) -> str:
        settings_file.write_text(_settings(postgres, settings))
        settings_file.chmod(0o644)
        started.append(
            subprocess.Popen(
                [pgbouncer, "-q", str(settings_file)], preexec_fn=postgres.as_child, stdin=subprocess.DEVNULL
            )
        )
        _wait_for(postgres.sockets / f".s.PGSQL.{PORT}")
        database.bind(f"postgresql://keydesk@:{PORT}/pooled?host={postgres.sockets}")
        return f"host={postgres.sockets} port={PORT} user=keydesk dbname=pooled"

    yield start
    database.dispose()
    for process in started:
        process.kill()
        process.wait(10)
    (postgres.sockets / f".s.PGSQL.{PORT}").unlink(missing_ok=True)
    postgres.sql("DROP DATABASE pooled WITH (FORCE)")


def _settings(postgres: PostgresServer, settings: dict[str, str]) -> str:
    users = postgres.base / "pgbouncer.users"
    users.write_text('"keydesk" ""\n')
    users.chmod(0o644)
    fixed = {
        "unix_socket_dir": str(postgres.sockets),
        "listen_port": str(PORT),
        "auth_type": "trust",
        "auth_file": str(users),
    }
    lines = [f"{name} = {value}" for name, value in {**fixed, **settings}.items()]
    return "\n".join(["[databases]", f"pooled = host={postgres.sockets}", "[pgbouncer]", *lines, ""])


def _wait_for(socket: Path) -> None:
    deadline = time.monotonic() + 20
    while not socket.exists():
        assert time.monotonic() < deadline, "PgBouncer did not start"
        time.sleep(0.02)


def test_a_pooler_that_keeps_sessions_changes_nothing_of_what_a_worker_does(pooler: Pooler) -> None:
    pooler(pool_mode="session", ignore_startup_parameters="options")

    with smtp_server() as relay:
        world = FaultWorld(relay, days=8)
        for _ in range(8):
            world.next_day()
            world.beats()

    assert world.books() == world.right_books()


def test_a_pooler_that_refuses_the_sessions_settings_is_told_what_to_allow(pooler: Pooler) -> None:
    pooler(pool_mode="session")

    with pytest.raises(StoreUnavailable, match="write pool_mode = session and ignore_startup_parameters = options"):
        session().__enter__()


def test_a_pooler_that_mixes_sessions_is_told_to_keep_them(pooler: Pooler) -> None:
    address = pooler(pool_mode="transaction", default_pool_size="1", ignore_startup_parameters="options")
    with psycopg.connect(address, autocommit=True) as other:
        other.execute("SELECT 1", prepare=True)

        with pytest.raises(StoreUnavailable, match="write pool_mode = session"), session():
            for number in range(20):
                run_sql("SELECT CAST(? AS INT)", (number,))
