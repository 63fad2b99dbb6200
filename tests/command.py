"""The installed command in a home of its own, as its user meets it."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cast import OLAV

from keydesk.settings import Settings, load
from store import database, integrations, keys, peppers
from store.errors import KeydeskError
from store.rules.key_format import Environment
from store.tables import Company, User

EXAMPLES = Path(__file__).parent.parent / "examples"
WITHOUT_POSTGRESQL = Path(__file__).parent / "without_postgresql"
NOW = datetime.now(UTC).replace(microsecond=0)  # when the tests began; the command reads the real clock


def right_now() -> datetime:
    """For what is old after minutes."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Said:
    """What one call answered."""

    status: int
    out: str
    err: str


@dataclass
class Home:
    """A user's home. `heard` is everything that its calls have said so far.

    `has_driver` tells whether PostgreSQL's is installed; without it each call takes half as long.
    """

    path: Path
    has_driver: bool = False
    heard: str = ""

    @property
    def store(self) -> Path:
        return self.path / ".local" / "share" / "keydesk" / "keydesk.db"

    @property
    def pepper(self) -> Path:
        return self.path / ".config" / "keydesk" / "keydesk.pepper"

    def keydesk(
        self,
        *arguments: str | Path,
        stdin: str = "",
        before: Callable[[], None] | None = None,
        **variables: str,
    ) -> Said:
        """Call it; `before` runs in the child before it becomes Keydesk."""
        done = subprocess.run(
            [sys.executable, "-m", "keydesk", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
            cwd=self.path,
            env=self.environment(**variables),
            preexec_fn=before,
        )
        said = Said(done.returncode, done.stdout, done.stderr)
        self.heard += said.out + said.err
        return said

    def environment(self, **variables: str) -> dict[str, str]:
        own = {"HOME": str(self.path), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "COLUMNS": "100"}
        if not self.has_driver:
            own["PYTHONPATH"] = str(WITHOUT_POSTGRESQL)
        return own | variables

    def settings(self, **variables: str) -> Settings:
        """What the command reads here, for a test that calls an errand itself."""
        own = {"KEYDESK_STORE_LOCATION": str(self.store), "KEYDESK_KEYS_PEPPER_FILE": str(self.pepper)}
        return load(None, own | variables)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """The test's own process at the store."""
        database.bind(str(self.store))
        try:
            with database.session():
                yield
        finally:
            database.dispose()

    def sql(self, text: str, *values: object) -> list[tuple[object, ...]]:
        """A statement of a stranger's, past every rule."""
        with self.opened():
            return list(database.run_sql(text, values).fetchall())

    def issue(
        self, *, environment: Environment = "prod", at: datetime = NOW - timedelta(days=3), days: int = 200
    ) -> keys.Created:
        """API Access for Fjellbekk, and a key of Kari's, by store functions as the desk calls them."""
        with self.opened():
            company = Company.get(Company.external_id == "fjell-1001")
            kari = User.get(User.company == company, User.external_id == "u-003")
            integrations.save_api_access(OLAV, company.id, enabled=True, user_ids=[kari.id], emails=[], now=at)
            return keys.create(
                OLAV,
                peppers.load(self.pepper),
                company_id=company.id,
                resource_id=kari.id,
                environment=environment,
                kind="standard",
                label="erp-sync",
                expires_on=at.date() + timedelta(days=days),
                now=at,
            )

    def make_key(self, before: Callable[[], None] | None = None) -> Said:
        """As `issue` does, in a process of its own, which says what the command would say of an error."""
        done = subprocess.run(
            [sys.executable, __file__, str(self.path)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
            env=self.environment(),
            preexec_fn=before,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def is_sound(self) -> bool:
        return self.sql("PRAGMA integrity_check") == [("ok",)]

    def counts(self) -> dict[str, int]:
        """How many rows stand in the tables that people fill."""
        tables = ("company", "company_user", "licence", "api_key", "event", "email", "price_list")
        counts = " UNION ALL ".join(f"SELECT '{table}', count(*) FROM {table}" for table in tables)
        return {str(table): int(str(count)) for table, count in self.sql(counts)}


def furnish(path: Path) -> Home:
    """A home with a store that holds the examples and their prices."""
    path.mkdir()
    home = Home(path)
    for call in (
        ("init", "--vendor", "Fjord Software"),
        ("import", *(EXAMPLES / f"{name}.csv" for name in ("companies", "users", "licences"))),
        ("prices", "publish", EXAMPLES / "prices.toml"),
    ):
        said = home.keydesk(*call)
        assert (said.status, said.err) == (0, "")
    return home


def copied(template: Home, path: Path) -> Home:
    """The same home at another place; its settings file, which names the first place, is left out."""
    shutil.copytree(template.path, path)
    (path / ".config" / "keydesk" / "keydesk.toml").unlink()
    return Home(path)


def as_an_ordinary_owner() -> None:
    """Take root's leave to read and write whatever it likes from the program that is started next."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def one_sentence(home: Home, status: int, err: str) -> str:
    """What was said, without the places, which differ from run to run."""
    assert status == 1
    assert err.startswith("keydesk: ")
    assert err.count("\n") == 1
    return err.removeprefix("keydesk: ").rstrip("\n").replace(str(home.path), "~")


if __name__ == "__main__":
    try:
        Home(Path(sys.argv[1])).issue()
    except KeydeskError as error:
        sys.exit(f"keydesk: {error}")
