"""A sandbox in PostgreSQL: production is dumped into a new database, masked there, and swapped in by its name."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Identifier

from jobs.refreshers import own_store, postgres_masking
from jobs.refreshers.rules import Rules
from store.errors import Refused, SettingsWrong, StoreUnavailable

_LONGEST_NAME = 63 - len("_before_20261123T120000")
_SWAP_TRIES = 5
_REFRESH_LOCK = 0x6B64_7372  # one refresh of a database at a time


@dataclass(frozen=True)
class Place:
    """A database: its URL without a password, and the password apart."""

    url: str
    password: str | None = None

    @property
    def name(self) -> str:
        """The database's name."""
        name = unquote(urlsplit(self.url).path.lstrip("/"))
        if not self.url.startswith(("postgresql://", "postgres://")) or not name:
            raise SettingsWrong("A place is postgresql://user@host/name; write it so.")
        if urlsplit(self.url).password:
            raise SettingsWrong("The URL holds a password; put it into a file of mode 0600 and name that.")
        return name

    def other(self, name: str) -> "Place":
        """Another database of the same server and login."""
        return replace(self, url=urlunsplit(urlsplit(self.url)._replace(path="/" + name)))

    def connect(self) -> "psycopg.Connection[Any]":
        """A session in which every statement is its own transaction, and that lasts as long as any copy does."""
        connection = psycopg.connect(self.url, password=self.password, autocommit=True, connect_timeout=10)
        connection.execute(_NO_TIME_LIMITS)
        return connection

    @contextmanager
    def environment(self) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
        """For a program of PostgreSQL's, with the descriptors that it inherits.

        The password is in a file in memory that only these processes have: whoever is killed leaves none behind.
        """
        found = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL") if name in os.environ}
        if self.password is None:
            yield found, ()
            return
        file = os.memfd_create("password", os.MFD_CLOEXEC)
        try:
            os.fchmod(file, 0o600)  # libpq takes no other
            escaped = self.password.replace("\\", "\\\\").replace(":", "\\:")
            os.write(file, f"*:*:*:*:{escaped}\n".encode())
            yield {**found, "PGPASSFILE": f"/dev/fd/{file}"}, (file,)
        finally:
            os.close(file)


@dataclass(frozen=True)
class Refreshed:
    """What was done: how many columns were masked, and the databases of before, the newest first.

    `stuck` were to be dropped and could not be; a later refresh drops them.
    """

    columns: int
    kept: tuple[str, ...]
    stuck: tuple[str, ...] = ()


def refresh(
    source: Place, target: Place, rules: Rules, *, keep: int, programs: Path | None, now: datetime
) -> Refreshed:
    """Replace the target database by a masked copy of the source; `keep` databases of before stay.

    Refused, with the target as it was, when the target is not allowed or is the source, when the source is a Keydesk
    store or its login may write, when a rule fits nothing, or while another one refreshes it. Sessions at the target
    are ended by the swap. What a refresh that was killed has left is dropped first. Whatever fails after the swap is no
    failure.
    """
    stamp = f"{now:%Y%m%dT%H%M%S}"
    rules.require_target(target.name)
    if len(target.name) > _LONGEST_NAME:
        raise Refused(f"The name {target.name} is too long to keep the database of before beside it.")
    try:
        with closing(source.connect()) as reader, closing(target.other("postgres").connect()) as server:
            _guard(reader, source, server, target)
            _be_alone(server, target.name)
            before = _stamped(server, f"{target.name}_before_")
            new = target.other(f"{target.name}_new_{stamp}")
            try:
                columns = _copied(reader, source, server, new, rules, programs)
                before[:0] = _swap(server, target.name, new.name, stamp)
            except BaseException:
                with suppress(psycopg.Error):  # the next refresh drops it then
                    server.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(new.name)))
                raise
            return Refreshed(columns, tuple(before[:keep]), _drop(server, before[keep:]))
    except psycopg.Error as error:
        said = str(error).strip().split("\n", 1)[0]
        raise StoreUnavailable(f"The sandbox {target.name} was not refreshed: {said}") from None


def _guard(reader: Any, source: Place, server: Any, target: Place) -> None:
    reader.execute("SET default_transaction_read_only = on")
    if _identity(reader, source.name) == _identity(server, target.name):
        raise Refused(f"{target.name} is the source itself; nothing was touched.")
    if any(own_store.is_one(tables) for (tables,) in reader.execute(_TABLES)):
        raise own_store.refused(source.name)
    found = reader.execute(_MIGHTY).fetchone() or reader.execute(_WRITABLE).fetchone()
    if found is not None:
        login, role, may = found
        member = "" if login == role else f", as a member of {role}"
        raise Refused(f"The source's login {login} may {may}{member}; use one that may only read (pg_read_all_data).")


def _be_alone(server: "psycopg.Connection[Any]", name: str) -> None:
    """No other refresh of this database until the session ends; and no unmasked copy of one that was killed."""
    alone = server.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_REFRESH_LOCK, name)).fetchone()
    if alone != (True,):
        raise Refused(f"Another refresh of {name} is under way; nothing was touched.")
    for left in _stamped(server, f"{name}_new_"):
        server.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(left)))


def _identity(connection: Any, name: str) -> tuple[int, int] | None:
    """Which database that is, in all the world: the cluster's own number, and the database's in it."""
    found = connection.execute(
        "SELECT c.system_identifier, d.oid FROM pg_control_system() c, pg_database d WHERE d.datname = %s", (name,)
    ).fetchone()
    return (int(found[0]), int(found[1])) if found else None


def _copied(
    reader: "psycopg.Connection[Any]",
    source: Place,
    server: "psycopg.Connection[Any]",
    new: Place,
    rules: Rules,
    programs: Path | None,
) -> int:
    """A masked copy in a new database; how many columns were masked.

    What PostgreSQL's programs call post-data comes after the masking: triggers, rules and policies cannot divert it,
    foreign keys and unique indexes are held against the masked values, and materialised views are made of them.
    """
    # The rules and both dumps see the source of one instant.
    reader.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    masked = postgres_masking.tables(reader, rules)  # before anything is copied
    server.execute(SQL("CREATE DATABASE {} TEMPLATE template0").format(Identifier(new.name)))
    server.execute(SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(Identifier(new.name)))
    snapshot = reader.execute("SELECT pg_export_snapshot()").fetchone()
    dump = _dump(source, programs, snapshot[0] if snapshot else "")
    with tempfile.TemporaryFile() as definitions:
        _run(source, [*dump, "--section=post-data"], stdout=definitions)
        _copy(source, [*dump, "--section=pre-data", "--section=data"], new, _restore(new, programs))
        reader.close()  # masking takes long, and production would keep old rows for this transaction
        with closing(new.connect()) as copy:
            postgres_masking.mask(copy, masked)
            definitions.seek(0)
            _run(new, _restore(new, programs), stdin=definitions)
            postgres_masking.forget_statistics(copy)
    return sum(len(table.masks) for table in masked)


def _dump(source: Place, programs: Path | None, snapshot: str) -> list[str]:
    program = "pg_dump" if programs is None else str(programs / "pg_dump")
    return [
        *(program, "--format=custom", "--compress=0", "--no-owner", "--no-privileges"),
        *("--no-publications", "--no-subscriptions", f"--snapshot={snapshot}", f"--dbname={source.url}"),
    ]


def _restore(new: Place, programs: Path | None) -> list[str]:
    program = "pg_restore" if programs is None else str(programs / "pg_restore")
    return [program, "--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={new.url}"]


def _copy(source: Place, dump: list[str], new: Place, restore: list[str]) -> None:
    """One into the other: no row is ever written to a file of ours."""
    with tempfile.TemporaryFile() as said:
        with _started(dump, source, said, stdout=subprocess.PIPE) as dumping:
            with _started(restore, new, said, stdin=dumping.stdout) as putting:
                if dumping.stdout is not None:
                    dumping.stdout.close()
                putting.wait()
            dumping.wait()
        _require_done(said, dumping, putting)


def _run(place: Place, arguments: list[str], **streams: Any) -> None:
    with tempfile.TemporaryFile() as said:
        with _started(arguments, place, said, **streams) as running:
            running.wait()
        _require_done(said, running)


def _require_done(said: IO[bytes], *processes: "subprocess.Popen[bytes]") -> None:
    if any(process.returncode for process in processes):
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").strip().split("\n")
        words = next((line for line in lines if "error:" in line), lines[0])[:300]
        raise StoreUnavailable(f"The copy failed and the sandbox is as it was: {words}")


@contextmanager
def _started(arguments: list[str], place: Place, said: Any, **streams: Any) -> Iterator["subprocess.Popen[bytes]"]:
    try:
        with place.environment() as (environment, inherited):
            process = subprocess.Popen(  # noqa: S603 - no shell reads it
                arguments, env=environment, stderr=said, pass_fds=inherited, **streams
            )
    except OSError as error:
        raise SettingsWrong(
            f"{arguments[0]} cannot be started ({error.strerror}); name its folder by --programs."
        ) from None
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _swap(server: "psycopg.Connection[Any]", name: str, new: str, stamp: str) -> list[str]:
    """Both names change in one transaction of one session, or neither does. Whoever is at the old one is sent away.

    The name that the database of before has then, if there was one.
    """
    kept = f"{name}_before_{stamp}"
    old = (
        server.execute("SELECT has_database_privilege('public', %s, 'CONNECT')", (name,))
        if _there(server, name)
        else None
    )
    is_open = old is None or bool((old.fetchone() or (True,))[0])
    if is_open:
        server.execute(SQL("GRANT CONNECT ON DATABASE {} TO PUBLIC").format(Identifier(new)))
    for last in (False,) * (_SWAP_TRIES - 1) + (True,):
        try:
            with server.transaction():
                if old is not None:
                    server.execute(
                        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE datname = %s", (name,)
                    )
                    server.execute(SQL("ALTER DATABASE {} RENAME TO {}").format(Identifier(name), Identifier(kept)))
                server.execute(SQL("ALTER DATABASE {} RENAME TO {}").format(Identifier(new), Identifier(name)))
        except psycopg.errors.ObjectInUse:
            if last:
                raise
        else:
            break
    return [] if old is None else [kept]


def _there(server: "psycopg.Connection[Any]", name: str) -> bool:
    return server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def _drop(server: "psycopg.Connection[Any]", names: list[str]) -> tuple[str, ...]:
    """Drop them; those that could not be dropped, as when somebody is there whom the login may not send away."""
    stuck = []
    for name in names:
        try:
            server.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
        except psycopg.Error:
            stuck.append(name)
    return tuple(stuck)


def _stamped(server: "psycopg.Connection[Any]", prefix: str) -> list[str]:
    """The databases whose names are that and an instant, the newest first."""
    found = server.execute(
        "SELECT datname FROM pg_database WHERE left(datname, length(%s)) = %s "
        "AND substr(datname, length(%s) + 1) ~ '^[0-9]{8}T[0-9]{6}$' ORDER BY datname DESC",
        (prefix,) * 3,
    ).fetchall()
    return [str(row[0]) for row in found]


# While the programs run the sessions wait, and a large table takes long: as pg_dump does for its own.
_NO_TIME_LIMITS = """
    SELECT set_config(name, '0', false) FROM pg_settings
     WHERE name IN ('idle_in_transaction_session_timeout', 'idle_session_timeout', 'statement_timeout',
                    'transaction_timeout')
"""

# Of each schema: Keydesk may have been given one in a database that it shares.
_TABLES = """
    SELECT array_agg(relname::text) FROM pg_class WHERE relkind IN ('r', 'p') GROUP BY relnamespace
"""

# A role that the login is a member of counts whether its rights are inherited or taken by SET ROLE.
_MIGHTY = """
    SELECT session_user, rolname, CASE WHEN rolsuper THEN 'write everything, as a superuser'
                                       WHEN rolcreaterole THEN 'make roles that write' ELSE 'write everything' END
      FROM pg_roles
     WHERE pg_has_role(session_user, oid, 'MEMBER')
       AND (rolsuper OR rolcreaterole
            OR rolname IN ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program'))
     ORDER BY rolsuper DESC, rolname <> session_user
     LIMIT 1
"""

_WRITABLE = """
    WITH mine AS (SELECT oid, rolname FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')),
         place AS (SELECT oid, nspname, coalesce(nspacl, acldefault('n', nspowner)) AS acl FROM pg_namespace
                    WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'),
         may (role, what) AS (
        SELECT mine.rolname, 'write ' || place.nspname || '.' || c.relname
          FROM mine CROSS JOIN place JOIN pg_class c ON c.relnamespace = place.oid
         WHERE c.relkind IN ('r', 'p', 'f', 'v', 'S')
           AND (has_table_privilege(mine.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
                OR c.relkind <> 'S' AND has_any_column_privilege(mine.oid, c.oid, 'INSERT, UPDATE'))
         UNION ALL
        SELECT mine.rolname, format('create in %s (REVOKE CREATE ON %s FROM %s)', made.place, made.place,
                                    coalesce(quote_ident(mine.rolname), 'PUBLIC'))
          FROM (SELECT format('schema %I', nspname), acl FROM place
                 UNION ALL
                SELECT format('database %I', datname), coalesce(datacl, acldefault('d', datdba))
                  FROM pg_database WHERE datname = current_database()) made (place, acl)
         CROSS JOIN aclexplode(made.acl) a LEFT JOIN mine ON mine.oid = a.grantee
         WHERE a.privilege_type = 'CREATE' AND (a.grantee = 0 OR mine.oid IS NOT NULL)
    )
    SELECT session_user, coalesce(role, session_user), what FROM may
     ORDER BY coalesce(role <> session_user, false), what DESC LIMIT 1
"""
