"""The store's version: what each step adds, under a lock, after a backup, never half."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from store import database, triggers
from store.backup import backup_sqlite
from store.database import db, run_sql, session, sqlite_path, writing
from store.errors import OtherVersion, StoreUnavailable
from store.tables import TABLES, MachineBoot, UsageDay


@dataclass(frozen=True)
class Migration:
    """One step. `apply` runs inside the transaction that records it."""

    version: int
    name: str
    apply: Callable[[], None]


def _first_schema() -> None:
    UsageDay._meta.without_rowid = database.backend() == "sqlite"  # noqa: SLF001
    db.create_tables([table for table in TABLES if table not in _LATER], safe=False)
    triggers.create()


def _machine_boots() -> None:
    db.create_tables([MachineBoot], safe=False)


def _one_refresh_at_a_time() -> None:
    run_sql(_ONE_IS_LEFT_RUNNING)
    run_sql(
        "CREATE UNIQUE INDEX IF NOT EXISTS refresh_marker_running ON refresh_marker (company_id) "
        "WHERE state = 'running'"
    )


_LATER = frozenset({MachineBoot})  # tables that a later step makes
MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "the first schema", _first_schema),
    Migration(2, "when machines were started", _machine_boots),
    Migration(3, "one refresh of a sandbox at a time", _one_refresh_at_a_time),
)


def newest(steps: Sequence[Migration] = MIGRATIONS) -> int:
    """The version that this program writes."""
    return steps[-1].version


def version() -> int:
    """The store's version; 0 when it holds no Keydesk tables yet."""
    with session():
        if not db.table_exists("schema_step"):
            return 0
        row = run_sql("SELECT max(version) FROM schema_step").fetchone()
        return int(row[0] or 0)


def check(steps: Sequence[Migration] = MIGRATIONS) -> None:
    """Raise OtherVersion, or StoreUnavailable for an empty store, unless it has exactly this program's version."""
    found = version()
    if found == 0:
        raise StoreUnavailable(f"The store {database.location()} is empty. Run `keydesk init` to set it up.")
    if found > newest(steps):
        raise OtherVersion(
            f"The store {database.location()} is version {found}, newer than this program knows ({newest(steps)}). "
            "Install the newer Keydesk; nothing was changed.",
        )
    if found < newest(steps):
        raise OtherVersion(
            f"The store {database.location()} is version {found}, older than this program ({newest(steps)}). "
            "Run `keydesk init` to bring it up to date; a backup is made first.",
        )


def migrate(now: datetime, steps: Sequence[Migration] = MIGRATIONS, backups: Path | None = None) -> list[str]:
    """Bring the store to this program's version and return the names of the steps taken.

    All steps are one transaction under a lock that a second runner waits for; each is recorded in it. A SQLite store
    that already holds something is copied into `backups` first (beside the store by default).
    """
    with session():
        found = version()
        if found > newest(steps):
            check(steps)
        if found == newest(steps):
            return []
        path = sqlite_path()
        if found and path is not None:
            backup_sqlite(
                _free_name((backups or path.parent) / f"{path.stem}-before-{newest(steps)}-{now:%Y%m%dT%H%M%SZ}")
            )
        taken: list[str] = []
        with writing():
            if path is None:
                run_sql("SELECT pg_advisory_xact_lock(?)", (0x6B657964,))
            run_sql(
                "CREATE TABLE IF NOT EXISTS schema_step "
                "(version INTEGER NOT NULL PRIMARY KEY, name VARCHAR(80) NOT NULL, applied_at BIGINT NOT NULL)",
            )
            done = {int(row[0]) for row in run_sql("SELECT version FROM schema_step").fetchall()}
            for step in steps:
                if step.version not in done:
                    step.apply()
                    run_sql("INSERT INTO schema_step VALUES (?, ?, ?)", (step.version, step.name, int(now.timestamp())))
                    taken.append(step.name)
        return taken


def _free_name(wanted: Path) -> Path:
    """The name with `.db`, or with a number too: whoever was killed in this second may have left a backup."""
    named = (wanted.with_name(f"{wanted.name}{number}.db") for number in ("", *(f"-{n}" for n in range(2, 100))))
    return next(path for path in named if not path.exists())


_ONE_IS_LEFT_RUNNING = """
    UPDATE refresh_marker SET state = 'missed', token = NULL, lease_until = NULL
     WHERE state = 'running'
       AND EXISTS (SELECT 1 FROM refresh_marker newer
                    WHERE newer.company_id = refresh_marker.company_id AND newer.state = 'running'
                      AND newer.night > refresh_marker.night)
"""
