"""Whether this process could change the store, found out without changing it."""

import errno
from contextlib import suppress
from typing import NoReturn

from store import database, unavailable
from store.database import db, explained, run_sql, writing
from store.errors import StoreUnavailable
from store.file_access import may_write
from store.tables import TABLES


class _UndoneError(Exception):
    """Ends a transaction that is to leave nothing behind."""


def check_writable() -> None:
    """Raise StoreUnavailable when this process cannot change the store. Needs a session.

    Where there is no gate yet none is made: nothing is left of having looked.
    """
    path = database.sqlite_path()
    if path is not None and not may_write(path.parent):  # its log comes and goes there
        raise StoreUnavailable(unavailable.of_file(PermissionError(errno.EACCES, ""), database.location()))
    with suppress(_UndoneError):
        if path is not None and not path.with_name(path.name + ".gate").exists():
            with explained(), db.atomic():
                _change_nothing()
        with writing():
            _change_nothing()


def _change_nothing() -> NoReturn:
    """Wants the right to change, which SQLite does not ask for at the transaction's beginning, and takes no row."""
    run_sql("UPDATE clock_seen SET max_seen = max_seen WHERE 1 = 0")
    if database.backend() == "postgresql":
        _check_rights()
    raise _UndoneError


def _check_rights() -> None:
    """Raise StoreUnavailable when the login may not do to each table what Keydesk does to any."""
    names = sorted(table._meta.table_name for table in TABLES)  # noqa: SLF001 - peewee has no other way
    lacking = run_sql(_LACKING, (names,)).fetchone()
    if lacking is not None:
        raise StoreUnavailable(unavailable.of_rights(database.location(), *lacking))


_LACKING = """
    SELECT may, named FROM unnest(CAST(? AS text[])) AS named
     CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS may
     WHERE NOT has_table_privilege(quote_ident(named), may) ORDER BY named LIMIT 1
"""
