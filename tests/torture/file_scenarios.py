"""What is done to the store's file as a whole: made, migrated, copied, put back. It is there whole or not at all."""

import argparse
import io
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from cast import OLAV

from keydesk.errands import backup, init
from keydesk.settings import Settings, load
from store import database, installation, keys, migrations, peppers, restored, restoring, sent_record
from store.backup import backup_sqlite
from store.database import db, run_sql, session
from store.installation import Installation
from store.migrations import MIGRATIONS, Migration
from store.tables import Key
from torture.acts import NOW, the_same_secrets
from torture.crash_points import LOOKED_AT, Restart, Scenario, World, judge_equal
from torture.found import Found
from torture.scenarios import one_company

SECOND = timedelta(seconds=1)
FJORD = Installation(vendor="Fjord Software")
PEPPER, KEPT, OLDER = "keydesk.pepper", "kept.db", "older.db"


def settings(world: World) -> Settings:
    """Those of a user whose home is the world's folder."""
    os.environ["HOME"] = str(world.folder)
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        os.environ.pop(variable, None)
    places = {"KEYDESK_STORE_LOCATION": world.store, "KEYDESK_KEYS_PEPPER_FILE": str(world.folder / PEPPER)}
    return load(None, places)


def again(name: str, act: Callable[[World], None]) -> tuple[Restart, ...]:
    return (Restart(name, act),)


# A new installation


def make(world: World) -> None:
    with the_same_secrets():
        init.set_up(settings(world), FJORD, NOW)


def installed(world: World) -> list[str]:
    """Whether the pepper is the one that the store was set up with."""
    pepper = world.folder / PEPPER
    with session():
        if not pepper.exists() or installation.read() is None:
            return ["not set up"]
        installation.check_peppers(peppers.load(pepper))
        return ["set up with its pepper"]


def judge_made(left: Found, found: Found, wanted: Found) -> list[str]:
    """Whoever is killed begins again, and is then set up with a pepper that works."""
    told = [] if found.files[LOOKED_AT] == ["set up with its pepper"] else [str(found.files[LOOKED_AT])]
    return told + judge_equal(left, found, wanted)


# Migrations


def of_the_first_version() -> None:
    """A store with a company, as the first version made it."""
    one_company()
    for statement in (
        "DROP TABLE machine_boot",
        "DROP INDEX refresh_marker_running",
        "DELETE FROM schema_step WHERE version > 1",
    ):
        run_sql(statement)


def _colour() -> None:
    run_sql("CREATE TABLE colour (company_id BIGINT NOT NULL, name VARCHAR(16) NOT NULL)")
    run_sql("INSERT INTO colour SELECT id, 'red' FROM company")


def _paler() -> None:
    run_sql("ALTER TABLE colour ADD COLUMN shade INTEGER NOT NULL DEFAULT 0")
    run_sql("UPDATE colour SET name = 'pink', shade = 1")


STEPS = (*MIGRATIONS, Migration(98, "a colour", _colour), Migration(99, "paler", _paler))
VERSIONS = {"at its version", "brought to version 99"}


def migrate(world: World) -> None:
    (world.folder / "backups").mkdir(exist_ok=True)
    migrations.migrate(NOW, STEPS, world.folder / "backups")


def migrated(world: World) -> list[str]:
    """Which of the two versions the store has, whole; and that each backup is the older one."""
    for path in (world.folder / "backups").glob("*.db"):
        if _rows(path, "SELECT max(version), (SELECT count(*) FROM company) FROM schema_step") != [(1, 1)]:
            return [f"the backup {path.name} is not what was there"]
    version = migrations.version()
    with session():
        has_colour = db.table_exists("colour")
        if version == 99 and run_sql("SELECT name, shade FROM colour").fetchall() == [("pink", 1)]:
            return ["brought to version 99"]
    return ["at its version"] if version == 1 and not has_colour else [f"half way: version {version}"]


def judge_migrated(left: Found, found: Found, wanted: Found) -> list[str]:
    told = [] if set(left.files[LOOKED_AT]) <= VERSIONS else left.files[LOOKED_AT]
    return told + judge_equal(left, found, wanted)


# Backups


def with_pepper() -> None:
    """A store with its pepper beside it."""
    one_company()
    folder = Path(database.location()).parent
    chosen = peppers.make(folder / PEPPER)
    installation.remember_peppers(OLAV, chosen, NOW)


def back_up(world: World) -> None:
    sys.stdout = io.StringIO()
    given = argparse.Namespace(file=world.folder / KEPT, with_pepper=True)
    backup.run(given, settings(world), lambda: NOW)


def back_up_again(world: World) -> None:
    """Under the name that was given first, if nothing is there; the pepper is copied by itself if only that lacks."""
    if not (world.folder / KEPT).exists():
        back_up(world)
    elif not (world.folder / f"{KEPT}.pepper").exists():
        (world.folder / KEPT).unlink()
        back_up(world)


def backed_up(world: World) -> list[str]:
    """What stands under the final names."""
    told = []
    copy, pepper = world.folder / KEPT, world.folder / f"{KEPT}.pepper"
    if copy.exists():
        rows = _rows(copy, "PRAGMA integrity_check") + _rows(copy, "SELECT count(*) FROM api_key")
        whole = rows == [("ok",), (1,)]
        told.append("a whole copy" if whole else "a copy that is not whole")
    if pepper.exists():
        told.append("its pepper" if pepper.read_bytes() == (world.folder / PEPPER).read_bytes() else "half a pepper")
    return told


def judge_backup(left: Found, found: Found, wanted: Found) -> list[str]:
    """Nothing stands under a final name that is not whole."""
    told = [each for each in left.files[LOOKED_AT] if each not in {"a whole copy", "its pepper"}]
    return told + judge_equal(left, found, wanted)


# Restoring


def older_and_newer() -> None:
    """A backup, and the store that has gone on since: its key was revoked."""
    with_pepper()
    backup_sqlite(Path(database.location()).parent / OLDER)
    keys.revoke(OLAV, Key.get().id, "no longer used", NOW)


def put_back(world: World) -> None:
    _restore(world, NOW)


def _restore(world: World, now: object) -> None:
    def bind(place: str) -> None:
        database.bind(place)
        sent_record.use(world.folder / "sent-record")

    chosen = peppers.load(world.folder / PEPPER)
    restoring.restore(world.folder / OLDER, Path(world.store), bind, chosen, OLAV, now)  # type: ignore[arg-type]
    world.bind()


def put_back_again(world: World) -> None:
    with session():
        if restored.held() is not None:
            return
    _restore(world, NOW + SECOND)


def restored_to(world: World) -> list[str]:
    """Which of the two stores is in place, and that what is kept of the other is whole."""
    for path in world.folder.glob("keydesk-before-restore-*.db"):
        if _rows(path, "SELECT count(*) FROM api_key WHERE revoked_at IS NOT NULL") != [(1,)]:
            return [f"{path.name} is not the store that was there"]
    with session():
        if run_sql("PRAGMA integrity_check").fetchall() != [("ok",)]:
            return ["a broken store"]
        revoked = Key.select().where(Key.revoked_at.is_null(False)).exists()
        either = {(True, False): "the old store", (False, True): "the backup, held"}
        return [either.get((revoked, restored.held() is not None), "neither")]


def judge_restored(left: Found, found: Found, wanted: Found) -> list[str]:
    told = [] if left.files[LOOKED_AT][0] in {"the old store", "the backup, held"} else left.files[LOOKED_AT]
    return told + judge_equal(left, _whenever(found), _whenever(wanted))


def _whenever(found: Found) -> Found:
    """Without when the store was put back: who has to do it again does so a second later."""
    rows = [row | {"value": "then"} if row["name"] == "restored_at" else row for row in found.tables["setting"]]
    return replace(found, tables=found.tables | {"setting": rows})


def _rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


SCENARIOS = (
    Scenario(
        "make an installation",
        lambda: None,
        make,
        again("who did it does it again", make),
        {"setting": 11, "event": 1},
        judge=judge_made,
        watches_files=True,
        look=installed,
        is_set_up=False,
        changes_tables=True,
    ),
    Scenario(
        "migrate",
        of_the_first_version,
        migrate,
        again("who did it does it again", migrate),
        {"company": 1},
        judge=judge_migrated,
        watches_files=True,
        look=migrated,
        changes_tables=True,
    ),
    Scenario(
        "back up",
        with_pepper,
        back_up,
        again("who did it does it again", back_up_again),
        {"api_key": 1},
        judge=judge_backup,
        watches_files=True,
        look=backed_up,
        backends=("sqlite",),
    ),
    Scenario(
        "restore",
        older_and_newer,
        put_back,
        (Restart("who did it does it again", put_back_again, same_instant=False),),
        {"api_key": 1},
        judge=judge_restored,
        watches_files=True,
        look=restored_to,
        backends=("sqlite",),
    ),
)
