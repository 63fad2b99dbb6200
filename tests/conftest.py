"""A fresh store for each test, on SQLite and on PostgreSQL."""

import gc
import shutil
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command import Home, copied, furnish
from postgres_server import PostgresServer
from rewound_store import RewoundStore

from store import database, migrations, sent_record

SETUP = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pytest_configure() -> None:
    """A run that a script puts into the background ignores Ctrl-C, and so would every command that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First those that fork a thousand times: what that costs grows with what the tests before have left in memory."""
    items.sort(key=lambda item: item.path.name not in {"test_crash_points.py", "test_chaos.py"})


def pytest_collection_finish() -> None:
    """The tests live as long as the run: the search for garbage need not look through them, nor come so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.sql("CREATE DATABASE template_keydesk")
    database.bind(server.url("template_keydesk"))
    migrations.migrate(SETUP)
    database.dispose()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "keydesk.db"
    database.bind(str(path))
    migrations.migrate(SETUP)
    with database.session():
        database.run_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.dispose()
    return path


@pytest.fixture(scope="session")
def rewound(postgres: PostgresServer) -> Iterator[RewoundStore]:
    store = RewoundStore(postgres)
    yield store
    store.connection.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a migrated, empty store is that this process is bound to; nothing is open yet."""
    if request.param == "sqlite":
        location = str(tmp_path / "keydesk.db")
        shutil.copy(request.getfixturevalue("sqlite_template"), location)
        Path(location).chmod(0o600)
    else:
        rewound: RewoundStore = request.getfixturevalue("rewound")
        location = rewound.rewind()
    database.bind(location)
    yield location
    database.dispose()


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    """The database `faults`, the test's own: commits are on disk before they are acknowledged, as an operator's are."""
    postgres.sql("CREATE DATABASE faults TEMPLATE template_keydesk STRATEGY file_copy")
    postgres.sql("ALTER DATABASE faults SET synchronous_commit = on")
    database.bind(postgres.url("faults"))
    yield postgres.url("faults")
    database.dispose()
    postgres.sql("DROP DATABASE faults WITH (FORCE)")


@pytest.fixture
def empty_store(store_location: str) -> Iterator[str]:
    """The same, with a session open for the test's thread."""
    with database.session():
        yield store_location


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Path]:
    """The record of what was sent, which on PostgreSQL is kept only where it is named."""
    sent_record.use(tmp_path / "sent")
    yield tmp_path / "sent"
    sent_record.use(None)


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return furnish(tmp_path_factory.mktemp("furnished") / "home")


@pytest.fixture(scope="session", autouse=True)
def _furnished_first(request: pytest.FixtureRequest) -> None:
    """Before any other test: what is in a home must not be minutes later than the instant at which the tests began."""
    if any("furnished" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("furnished")


@pytest.fixture
def home(furnished: Home, tmp_path: Path) -> Home:
    """A user's home with a store that holds the examples: the command is called in it."""
    return copied(furnished, tmp_path / "home")
