"""A sandbox in PostgreSQL: production is dumped into a new database, masked there, and swapped in by its name."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

from jobs.refreshers.rules import Rule, Rules
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
        """A session in which every statement is its own transaction."""
        return psycopg.connect(self.url, password=self.password, autocommit=True, connect_timeout=10)

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
    """What was done: how many columns were masked, and the databases of before that are kept, the newest first."""

    columns: int
    kept: tuple[str, ...]


def refresh(
    source: Place, target: Place, rules: Rules, *, keep: int, programs: Path | None, now: datetime
) -> Refreshed:
    """Replace the target database by a masked copy of the source; `keep` databases of before stay.

    Refused, with the target as it was, when the target is not allowed or is the source, when the source's login may
    write, when a rule fits nothing, or while another one refreshes it. Sessions at the target are ended by the swap.
    What a refresh that was killed has left is dropped first.
    """
    stamp = f"{now:%Y%m%dT%H%M%S}"
    rules.require_target(target.name)
    if len(target.name) > _LONGEST_NAME:
        raise Refused(f"The name {target.name} is too long to keep the database of before beside it.")
    try:
        with source.connect() as reader, target.other("postgres").connect() as server:
            _guard(reader, source, server, target)
            chosen = rules.matched(_columns(reader))  # before anything is copied
            _be_alone(server, target.name)
            new = f"{target.name}_new_{stamp}"
            try:
                server.execute(SQL("CREATE DATABASE {} TEMPLATE template0").format(Identifier(new)))
                server.execute(SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(Identifier(new)))
                _copy(source, target.other(new), programs)
                with target.other(new).connect() as copy:
                    _mask(copy, chosen)
                _swap(server, target.name, new, stamp)
            except BaseException:
                with suppress(psycopg.Error):  # the next refresh drops it then
                    server.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(new)))
                raise
            return Refreshed(len(chosen), _forget_older(server, target.name, keep))
    except psycopg.Error as error:
        said = str(error).strip().split("\n", 1)[0]
        raise StoreUnavailable(f"The sandbox {target.name} was not refreshed: {said}") from None


def _guard(reader: Any, source: Place, server: Any, target: Place) -> None:
    reader.execute("SET default_transaction_read_only = on")
    role = reader.execute("SELECT rolsuper, rolname FROM pg_roles WHERE rolname = current_user").fetchone()
    writable = reader.execute(_WRITABLE).fetchone()
    if _identity(reader, source.name) == _identity(server, target.name):
        raise Refused(f"{target.name} is the source itself; nothing was touched.")
    if role[0] or writable is not None:
        what = "everything, as a superuser" if role[0] else writable[0]
        raise Refused(f"The source's login {role[1]} may write {what}; use one that may only read (pg_read_all_data).")


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


def _columns(reader: Any) -> Iterator[tuple[str, str]]:
    """Every column that can be written; of partitioned tables the parent's. Tables outside `public` as schema.table."""
    for schema, table, column in reader.execute(_COLUMNS).fetchall():
        yield (table if schema == "public" else f"{schema}.{table}"), column


def _copy(source: Place, new: Place, programs: Path | None) -> None:
    """pg_dump into pg_restore: nothing unmasked is ever written to a file of ours."""
    dump = ["pg_dump", "--format=custom", "--compress=0", "--no-owner", "--no-privileges"]
    dump += ["--no-publications", "--no-subscriptions", f"--dbname={source.url}"]
    put = ["pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={new.url}"]
    if programs is not None:
        dump[0], put[0] = str(programs / dump[0]), str(programs / put[0])
    with tempfile.TemporaryFile() as said:
        with _started(dump, source, said, stdout=subprocess.PIPE) as dumping:
            with _started(put, new, said, stdin=dumping.stdout) as putting:
                if dumping.stdout is not None:
                    dumping.stdout.close()
                putting.wait()
            dumping.wait()
        if dumping.returncode or putting.returncode:
            said.seek(0)
            words = said.read().decode("utf-8", "replace").strip().split("\n")[0][:300]
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


def _mask(copy: "psycopg.Connection[Any]", chosen: list[tuple[str, str, Rule]]) -> None:
    """All or nothing, without triggers; then nothing of what was masked is left in old rows or statistics."""
    with copy.transaction():
        copy.execute(_UNKNOWN_TO_ALL)
        triggers = copy.execute(_TRIGGERS).fetchall()
        for schema, table, trigger, _ in triggers:
            copy.execute(_alter("ALTER TABLE {} DISABLE TRIGGER {}", schema, table, trigger))
        for table, masked in groupby(chosen, key=itemgetter(0)):
            setting = [SQL("{} = ").format(Identifier(column)) + _value(column, rule) for _, column, rule in masked]
            copy.execute(SQL("UPDATE {} SET ").format(_table(table)) + SQL(", ").join(setting))
        for schema, table, trigger, enabled in triggers:
            how = {"R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}.get(enabled, "ENABLE")
            copy.execute(_alter("ALTER TABLE {} " + how + " TRIGGER {}", schema, table, trigger))
    for table in dict.fromkeys(table for table, _, _ in chosen):
        copy.execute(SQL("VACUUM (FULL, ANALYZE) {}").format(_table(table)))
    for schema, view in copy.execute(_MATERIALISED).fetchall():
        copy.execute(SQL("REFRESH MATERIALIZED VIEW {}").format(Identifier(schema, view)))


def _value(column: str, rule: Rule) -> Composed:
    if rule.way in {"fixed", "null"}:
        return Composed([Literal(rule.value)])
    hashed = SQL(
        "left(encode(sha256((SELECT secret FROM masking_secret) || convert_to({}::text, 'UTF8')), 'hex'), 24)"
    ).format(Identifier(column))
    return hashed + SQL(" || '@masked.invalid'") if rule.way == "mail" else Composed([hashed])


def _alter(text: str, schema: str, table: str, trigger: str) -> Composed:
    return SQL(text).format(Identifier(schema, table), Identifier(trigger))


def _table(name: str) -> Identifier:
    schema, dot, table = name.partition(".")
    return Identifier(schema, table) if dot else Identifier("public", name)


def _swap(server: "psycopg.Connection[Any]", name: str, new: str, stamp: str) -> None:
    """Both names change in one transaction of one session, or neither does. Whoever is at the old one is sent away."""
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
                    kept = f"{name}_before_{stamp}"
                    server.execute(SQL("ALTER DATABASE {} RENAME TO {}").format(Identifier(name), Identifier(kept)))
                server.execute(SQL("ALTER DATABASE {} RENAME TO {}").format(Identifier(new), Identifier(name)))
        except psycopg.errors.ObjectInUse:
            if last:
                raise
        else:
            return


def _there(server: "psycopg.Connection[Any]", name: str) -> bool:
    return server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def _forget_older(server: "psycopg.Connection[Any]", name: str, keep: int) -> tuple[str, ...]:
    names = _stamped(server, f"{name}_before_")
    for old in names[keep:]:
        server.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(old)))
    return tuple(names[:keep])


def _stamped(server: "psycopg.Connection[Any]", prefix: str) -> list[str]:
    """The databases whose names are that and an instant, the newest first."""
    found = server.execute(
        "SELECT datname FROM pg_database WHERE left(datname, length(%s)) = %s "
        "AND substr(datname, length(%s) + 1) ~ '^[0-9]{8}T[0-9]{6}$' ORDER BY datname DESC",
        (prefix,) * 3,
    ).fetchall()
    return [str(row[0]) for row in found]


# Made where it is used, and gone with the transaction: nobody can try values against it afterwards.
_UNKNOWN_TO_ALL = """
    CREATE TEMPORARY TABLE masking_secret ON COMMIT DROP AS
    SELECT sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')) AS secret
"""

_WRITABLE = """
    SELECT n.nspname || '.' || c.relname
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'f', 'v') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
       AND n.nspname NOT LIKE 'pg\\_%' AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
     LIMIT 1
"""

_COLUMNS = """
    SELECT n.nspname, c.relname, a.attname
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
       AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
     ORDER BY 1, 2, a.attnum
"""

_TRIGGERS = """
    SELECT n.nspname, c.relname, t.tgname, t.tgenabled::text
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgparentid = 0 AND c.relkind IN ('r', 'p')
"""

_MATERIALISED = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'm' ORDER BY c.oid
"""
