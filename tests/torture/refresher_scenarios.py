"""The two refreshers that Keydesk brings along: whoever is killed leaves a whole sandbox, and nothing that others read.

Production holds the letters and addresses of the Haraldssons. There is a sandbox, and one that was kept before it. What
is found is told in the same words for both: `sandbox` is the one in place, `kept` those of before, the newest first,
`new` what is not finished.
"""

import os
import sqlite3
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import psycopg
from postgres_server import binaries
from psycopg.sql import SQL, Identifier

from jobs.refreshers import postgres, sqlite
from jobs.refreshers.postgres import Place
from jobs.refreshers.rules import Rule, Rules
from torture.acts import NOW
from torture.crash_points import LOOKED_AT, Restart, Scenario, World
from torture.found import Found

BEFORE, LONG_BEFORE, MASKED = "the one of before", "the one of long before", "a masked copy"
WHOLE = {
    (BEFORE, LONG_BEFORE),
    (BEFORE, BEFORE),  # a file that has two names for a moment
    (MASKED, BEFORE),
    (MASKED, f"{BEFORE}, {LONG_BEFORE}"),
}
MASKS = (
    Rule("customer", "email", "mail"),
    Rule("customer", "number", "hash"),
    Rule("visit", "note", "fixed", "met"),
    Rule("letter", "body", "hash"),
)
READ_BY_ALL = {"empty, open", f"{MASKED}, open"}
PATIENCE_SECONDS = 10


def judge_refreshed(left: Found, found: Found, wanted: Found) -> list[str]:
    """One of the two is in place, whole; what is not finished is hidden; and after the next refresh it is gone."""
    before, after = _told(left), _told(found)
    told = [] if (before.pop("sandbox"), before.pop("kept")) in WHOLE else ["it was neither the old nor the new one"]
    new = before.pop("new", "closed")
    if not new.endswith("closed") and new not in READ_BY_ALL:
        told.append("what is not finished can be read")
    for harmless in ("log", "programs"):
        before.pop(harmless, None)
    production = {"production": _told(wanted)["production"]}
    if before != production:
        told.append("there is more, or production was changed")
    if after != production | {"sandbox": MASKED, "kept": _told(left)["sandbox"]}:
        told.append(f"after the next refresh there is {after}")
    return [f"{each}: {_told(left)}" for each in told]


def _told(found: Found) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in found.files[LOOKED_AT])


def next_refresh(act: Any) -> tuple[Restart]:
    return (Restart("the next refresh", act),)


# SQLite: both files are as a program that writes ahead leaves them.

PRODUCTION_FILE = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, email TEXT UNIQUE, number TEXT);
CREATE TABLE visit (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customer, note TEXT);
CREATE TABLE log (said TEXT);
CREATE VIRTUAL TABLE letter USING fts5(body);
CREATE VIRTUAL TABLE noted USING fts5(note, content=visit, content_rowid=id);
CREATE TRIGGER remember AFTER UPDATE ON customer BEGIN INSERT INTO log VALUES (old.email); END;
INSERT INTO customer VALUES (1, 'ase@haraldsson.example', 'haraldsson 1'), (2, 'bo@haraldsson.example', 'haraldsson 2');
INSERT INTO visit VALUES (1, 1, 'haraldsson owes us');
INSERT INTO letter VALUES ('Dear haraldsson'), ('haraldsson again');
INSERT INTO noted (noted) VALUES ('rebuild');
"""
MASKED_FILE = """
SELECT (SELECT count(*) FROM customer WHERE email GLOB '?*@masked.invalid' AND length(number) = 24),
       (SELECT count(*) FROM visit WHERE note = 'met'), (SELECT count(*) FROM letter WHERE length(body) = 24),
       (SELECT count(*) FROM noted WHERE noted MATCH 'met'), (SELECT count(*) FROM log),
       (SELECT count(*) FROM sqlite_schema WHERE type = 'trigger')
"""


@cache
def file_of(script: str) -> bytes:
    """A database made by such statements, closed by who made it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(script)
        return path.read_bytes()


def files_beside(world: World) -> None:
    sandboxes = world.folder / "sandbox"
    sandboxes.mkdir()
    (world.folder / "production.db").write_bytes(file_of(PRODUCTION_FILE))
    for name, said in (("nordlys.db", BEFORE), ("nordlys.db.previous", LONG_BEFORE)):
        (sandboxes / name).write_bytes(file_of(f"CREATE TABLE sandbox AS SELECT '{said}' AS said"))
        (sandboxes / name).chmod(0o644)


def refresh_file(world: World) -> None:
    sandbox = world.folder / "sandbox" / "nordlys.db"
    sqlite.refresh(world.folder / "production.db", sandbox, Rules((str(sandbox),), MASKS))


def files_found(world: World) -> list[str]:
    """Looked at in a copy: to open a file is to clear away what was left beside it."""
    sandboxes = world.folder / "sandbox"
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "copied"
        copytree(sandboxes, copied, ignore=ignore_patterns(".refreshing-*"))
        told = [
            f"sandbox: {_which_file(copied / 'nordlys.db')}",
            f"kept: {_which_file(copied / 'nordlys.db.previous')}",
        ]
    for path in sandboxes.iterdir():
        if path.name.startswith(".refreshing-"):
            told.append(f"new: {'closed' if stat.S_IMODE(path.stat().st_mode) == 0o700 else 'open'}")
        elif path.name in {"nordlys.db-wal", "nordlys.db-shm"} and not (sandboxes / "nordlys.db-wal").stat().st_size:
            told.append("log: empty")  # which any reader leaves that is killed
        elif path.name not in {"nordlys.db", "nordlys.db.previous"}:
            told.append(f"{path.name}: left over")
    is_as_it_was = (world.folder / "production.db").read_bytes() == file_of(PRODUCTION_FILE)
    return [*told, f"production: {'as it was' if is_as_it_was else 'changed'}"]


def _which_file(path: Path) -> str:
    if not path.exists():
        return "missing"
    if b"haraldsson" in path.read_bytes().lower():
        return "not masked"
    with closing(sqlite3.connect(path)) as connection:
        if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            return "broken"
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sandbox'").fetchone():
            return str(connection.execute("SELECT said FROM sandbox").fetchone()[0])
        return MASKED if connection.execute(MASKED_FILE).fetchone() == (2, 1, 2, 1, 0, 1) else "half a copy"


# PostgreSQL

PRODUCTION, SANDBOX = "crash_production", "crash_sandbox"
PRODUCTION_DATABASE = """
CREATE TABLE customer (id int PRIMARY KEY, email text UNIQUE, number text);
CREATE FUNCTION slowly(note text) RETURNS boolean LANGUAGE plpgsql
    AS $$ BEGIN IF note <> 'met' THEN PERFORM pg_sleep(0.3); END IF; RETURN true; END $$;
CREATE TABLE visit (customer int REFERENCES customer, note text CHECK (slowly(note)));
CREATE TABLE letter (body text);
CREATE TABLE log (said text);
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO log VALUES (old.email); RETURN new; END $$;
CREATE TRIGGER remember AFTER UPDATE ON customer FOR EACH ROW EXECUTE FUNCTION remember();
INSERT INTO customer VALUES (1, 'ase@haraldsson.example', 'haraldsson 1'), (2, 'bo@haraldsson.example', 'haraldsson 2');
INSERT INTO visit VALUES (1, 'haraldsson owes us');
INSERT INTO letter SELECT 'Dear haraldsson ' || n FROM generate_series(1, 500) n;
CREATE MATERIALIZED VIEW addresses AS SELECT email FROM customer;
"""
MASKED_DATABASE = """
SELECT (SELECT count(*) FROM customer WHERE email LIKE '_%@masked.invalid' AND length(number) = 24),
       (SELECT count(*) FROM visit WHERE note = 'met'), (SELECT count(*) FROM letter WHERE length(body) = 24),
       (SELECT count(*) FROM addresses WHERE email LIKE '_%@masked.invalid'), (SELECT count(*) FROM log),
       (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'O'),
       (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated)
"""
NOT_MASKED = """
SELECT 1 FROM customer WHERE email LIKE '%haraldsson%' OR number LIKE 'haraldsson%'
 UNION SELECT 1 FROM visit WHERE note LIKE '%haraldsson%' UNION SELECT 1 FROM letter WHERE body LIKE '%haraldsson%'
"""
ROW_VERSIONS = """
SELECT md5(string_agg(version, ' ' ORDER BY version))
  FROM (SELECT format('%s %s %s', xmin, ctid, customer) FROM customer
         UNION ALL SELECT format('%s %s %s', xmin, ctid, visit) FROM visit
         UNION ALL SELECT format('%s %s %s', xmin, ctid, letter) FROM letter
         UNION ALL SELECT format('%s %s %s', xmin, ctid, log) FROM log) rows (version)
"""


def databases_beside(world: World) -> None:
    """Production is made once, since nobody changes it."""
    with closing(_at(world, "postgres").connect()) as server:
        if not _named(server, PRODUCTION):
            server.execute("CREATE ROLE crash_reader LOGIN IN ROLE pg_read_all_data")
            _make(world, server, PRODUCTION, PRODUCTION_DATABASE)
        for name in _named(server, f"{SANDBOX}%"):
            server.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
        for name, said in ((SANDBOX, BEFORE), (f"{SANDBOX}_before_20261203T120500", LONG_BEFORE)):
            _make(world, server, name, f"CREATE TABLE sandbox AS SELECT '{said}' AS said")


def refresh_database(world: World) -> None:
    _reach_half_way(world)
    _refresh(world, NOW)


def _reach_half_way(world: World) -> None:
    """One point more, while rows come: the two programs outlive who began them, and nothing is masked yet."""
    wait = subprocess.Popen.wait

    def waits(process: Any, *given: Any, **named: Any) -> int:
        if process.args[0].endswith("pg_restore"):  # the first; the second has no rows
            subprocess.Popen.wait = wait
            _wait_while(lambda: not any(f"{SANDBOX}_new_" in line and "COPY" in line for line in _command_lines()))
            world.points.reach("half of the rows are there")
        return wait(process, *given, **named)

    subprocess.Popen.wait = waits


def refresh_database_again(world: World) -> None:
    """At once, while the programs of the one that was killed still run; they come to an end by themselves."""
    _refresh(world, NOW + timedelta(minutes=1))
    _wait_while(_programs)


def _refresh(world: World, now: datetime) -> None:
    """No password is asked for, but one is handed to the programs."""
    tempfile.tempdir = str(world.folder)
    production = Place(_at(world, PRODUCTION).url.replace("keydesk@", "crash_reader@"), "s3cret")
    rules = Rules((SANDBOX,), MASKS)
    postgres.refresh(production, _at(world, SANDBOX), rules, keep=1, programs=binaries(), now=now)


def databases_found(world: World) -> list[str]:
    told = [f"programs: {each}" for each in _programs()]
    with closing(_at(world, "postgres").connect()) as server:
        # The server learns a little later that somebody was killed; until then nobody else may refresh.
        _wait_while(lambda: server.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'").fetchone())
        kept = [_which_database(world, name) for name in _named(server, f"{SANDBOX}_before_%")]
        told += [f"sandbox: {_which_database(world, SANDBOX)}", f"kept: {', '.join(kept)}"]
        told += _unfinished(world, server)
    with closing(_at(world, PRODUCTION).connect()) as production:
        told += [f"production: {row[0]}" for row in production.execute(ROW_VERSIONS)]
    return told + [f"{path.name}: left over" for path in world.folder.iterdir()]


def _unfinished(world: World, server: Any) -> Iterator[str]:
    for name in _named(server, f"{SANDBOX}_new_%"):
        which = _which_database(world, name)
        (is_open,) = server.execute("SELECT has_database_privilege('public', %s, 'CONNECT')", (name,)).fetchone()
        yield f"new: {which}, {'open' if is_open else 'closed'}"


def _which_database(world: World, name: str) -> str:
    try:
        with closing(_at(world, name).connect()) as connection:
            tables = {row[0] for row in connection.execute("SELECT relname FROM pg_class WHERE relkind = 'r'")}
            if "sandbox" in tables:
                return str(connection.execute("SELECT said FROM sandbox").fetchall()[0][0])
            if not tables & {"customer", "visit", "letter", "log"}:
                return "empty"
            if connection.execute(NOT_MASKED).fetchone():
                return "not masked"
            found = connection.execute(MASKED_DATABASE).fetchone()
            return MASKED if found == (2, 1, 500, 2, 0, 1, 1) else "half a copy"
    except (psycopg.errors.UndefinedTable, psycopg.errors.ObjectNotInPrerequisiteState):  # a view without its rows
        return "half a copy"
    except psycopg.OperationalError:
        return "missing"


def _at(world: World, name: str) -> Place:
    return Place(world.store).other(name)


def _make(world: World, server: Any, name: str, script: str) -> None:
    server.execute(SQL("CREATE DATABASE {} TEMPLATE template0 STRATEGY file_copy").format(Identifier(name)))
    with closing(_at(world, name).connect()) as connection:
        connection.execute(script)


def _named(server: Any, pattern: str) -> list[str]:
    """The newest first."""
    found = server.execute("SELECT datname FROM pg_database WHERE datname LIKE %s ORDER BY 1 DESC", (pattern,))
    return [row[0] for row in found]


def _programs() -> list[str]:
    """Those that copy from production or into a sandbox, whoever has started them."""
    names = {Path(line.split(" ")[0]).name for line in _command_lines() if "/crash_" in line}
    found = sorted(names & {"pg_dump", "pg_restore"})
    return [", ".join(found)] if found else []


def _command_lines() -> Iterator[str]:
    """Of every process; a session of the server says what it does."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            yield os.fsdecode(path.read_bytes()).replace("\0", " ")


def _wait_while(is_so: Callable[[], Any]) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while is_so():
        if time.monotonic() > give_up:
            raise AssertionError(f"It is so for {PATIENCE_SECONDS} seconds: {is_so()}")
        time.sleep(0.01)


SCENARIOS = (
    Scenario(
        "refresh into SQLite",
        lambda: None,
        refresh_file,
        next_refresh(refresh_file),
        {},
        judge=judge_refreshed,
        watches_files=True,
        look=files_found,
        backends=("sqlite",),
        is_set_up=False,
        beside=files_beside,
    ),
)
MORE_SCENARIOS = (
    Scenario(
        "refresh into PostgreSQL",
        lambda: None,
        refresh_database,
        next_refresh(refresh_database_again),
        {},
        judge=judge_refreshed,
        watches_files=True,
        look=databases_found,
        backends=("postgresql",),
        is_set_up=False,
        beside=databases_beside,
    ),
)
