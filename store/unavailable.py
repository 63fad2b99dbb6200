"""What a driver says of the store as a whole, as one sentence for people: what is wrong, and what to do about it.

PostgreSQL is judged by its code (its words are in the server's language), everything else by its words.
"""

import errno
import re
import shutil
from pathlib import Path
from typing import Final

from store import file_access
from store.rules.text import one_line

_FULL: Final = "The disk of the store {where} is full; nothing was changed. Free some space and try again."
_BROKEN: Final = (
    "The disk of the store {where} takes no more, or is broken; nothing was changed. "
    "Free some space, look at quota and disk, and try again."
)
_READ_ONLY: Final = (
    "The store {where} is read-only; nothing was changed. Check the owner and mode of the file and its directory."
)
_CLOSED: Final = (
    "The store {where} cannot be opened. Check that the file and its directory belong to you, and that the disk is not "
    "read-only."
)
_LOCKED: Final = (
    "The store {where} has been locked by another program for more than {seconds} s; nothing was changed. "
    "Close that program and try again."
)
_SILENT: Final = "PostgreSQL at {where} does not answer. Check that it runs and can be reached."
_NO_HOST: Final = "No machine is known by the host's name in {where}. Check the name, and whether DNS can be reached."
_NO_TLS: Final = "PostgreSQL at {where} offers no TLS, which `sslmode` demands. Set `ssl = on` in its postgresql.conf."
_OTHER_NAME: Final = (
    "The certificate of PostgreSQL at {where} is for another name. Name the host as its certificate does."
)
_NOT_LET_IN: Final = (
    "PostgreSQL at {where} lets this user in from nowhere, or not from this machine. "
    "Add a line for it to pg_hba.conf and reload."
)
_NOT_CONNECTED: Final = "PostgreSQL at {where} cannot be connected to: {words}"
_LOGIN: Final = "PostgreSQL refused the login for {where}. Check the user and the password file."
_NO_DATABASE: Final = "PostgreSQL has no such database: {where}. Create it (`createdb`) and run `keydesk init`."
_NO_CONNECTION: Final = (
    "PostgreSQL at {where} has no connection left to give; nothing was changed. "
    "Try again; if it stays so, raise its max_connections or end what holds them."
)
_TOO_LONG: Final = (
    "PostgreSQL at {where} ended a statement that took longer than its statement_timeout, or that somebody cancelled; "
    "nothing was changed. Try again, or raise the limit for Keydesk's login."
)
_STANDBY: Final = (
    "PostgreSQL at {where} takes no changes: it is a standby, or was made read-only. "
    "Name the primary, or several hosts with target_session_attrs=read-write, in the store's URL."
)
_CONTENDED: Final = (
    "Others were changing the same in the store {where} again and again; nothing was changed. Try again."
)
_NO_RIGHT: Final = (
    "PostgreSQL lets Keydesk's login do too little in {where}. Make it the owner of the database and its tables."
)

_REFUSED_OPTIONS: Final = (
    "What answers for PostgreSQL at {where} refuses the settings that Keydesk begins a session with. "
    "In PgBouncer's settings write pool_mode = session and ignore_startup_parameters = options."
)
_MIXED_SESSIONS: Final = (
    "What answers for PostgreSQL at {where} does not keep a connection to its session; nothing was changed. "
    "In PgBouncer's settings write pool_mode = session."
)

# By PostgreSQL's five characters, or by the first two of them, its class.
_CODES: Final = {
    "53100": _FULL,
    "53300": _NO_CONNECTION,
    "55P03": _LOCKED,
    "57014": _TOO_LONG,
    "25006": _STANDBY,
    "40001": _CONTENDED,
    "40P01": _CONTENDED,
    "42501": _NO_RIGHT,
    "3D000": _NO_DATABASE,
    "26000": _MIXED_SESSIONS,
    "42P05": _MIXED_SESSIONS,
    "28": _LOGIN,
    "08": _SILENT,
    "57P0": _SILENT,
    "58": _BROKEN,
}

# Peewee hides a full disk behind "cannot rollback", so the causes are read too.
_WORDS: Final = (
    ("database or disk is full|no space left", _FULL),
    ("readonly database|read-only", _READ_ONLY),
    ("database is locked|database table is locked|lock timeout", _LOCKED),
    ("unable to open database file", _CLOSED),
    (
        "file is not a database|malformed",
        "{where} is not a sound SQLite store. Restore a backup (`keydesk backup` makes them).",
    ),
    ("disk i/o error", _BROKEN),  # what SQLite says of a quota and of a limit on a file's size, too
    ("authentication failed|no password supplied|not permitted to log in|role .* does not exist", _LOGIN),
    (r"pg_hba\.conf", _NOT_LET_IN),
    ("failed to resolve host|could not translate host name", _NO_HOST),
    ("does not match host name", _OTHER_NAME),
    ("server does not support ssl", _NO_TLS),
    ('database "[^"]*" does not exist', _NO_DATABASE),
    ("too many (clients|connections)|remaining connection slots|max(imum)? connections", _NO_CONNECTION),
    ("unsupported startup parameter", _REFUSED_OPTIONS),
    (
        "root certificate|certificate verify|ssl error|ssl connection is required",
        "The certificate of PostgreSQL at {where} could not be verified. Check sslmode and sslrootcert.",
    ),
    (
        (
            "connection (refused|timed out|timeout|reset|is lost|is closed)|timeout expired|server closed"
            "|could not (connect|receive)|terminating connection|shutting down|starting up|no such file or directory"
            "|consuming input failed|sending query failed|eof detected|no route to host|network is unreachable"
        ),
        _SILENT,
    ),
)

_ERRNOS: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.EIO: _BROKEN,
}


# What Linux and SQLite say when a file cannot grow: no room, a quota, a limit on a file's size.
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_ROOM_OF_SQLITE: Final = ("SQLITE_FULL", "SQLITE_IOERR")
_NOT_READ: Final = ("SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_CORRUPTFS")  # what is there already


def sentence(error: BaseException, where: str, seconds: float) -> str | None:
    """What is wrong with the store at `where`; None when the error is about rows and not about the store.

    `seconds` is how long a lock is waited for.
    """
    template = _by_code(sqlstate(error)) or _by_words(error)
    words = "" if template is not None else _of_no_connection(error)
    if words:
        template = _NOT_CONNECTED
    return None if template is None else _filled(template, where, seconds, words)


def is_busy(error: BaseException) -> bool:
    """Whether the store is only locked by somebody else."""
    return (_by_code(sqlstate(error)) or _by_words(error)) is _LOCKED


def of_file(error: OSError, where: str) -> str:
    """The same for a file beside the store that cannot be opened or made."""
    return _filled(_ERRNOS.get(error.errno or 0, _CLOSED), where)


def of_rights(where: str, may: str, table: str) -> str:
    """That PostgreSQL's login may not do something (SELECT, INSERT …) to a table."""
    return f"{_NO_RIGHT.format(where=where)} It may not {may} {table}."


def _filled(template: str, where: str, seconds: float = 0, words: str = "") -> str:
    """What nothing but an owner or a mode explains is said of the very file."""
    of_the_file = file_access.told(Path(where)) if template in {_READ_ONLY, _CLOSED} and "://" not in where else None
    return of_the_file or template.format(where=where, seconds=seconds, words=words)


def has_no_room(error: BaseException | None) -> bool:
    """Whether a file could not grow, or its disk is broken, by the error or what it was raised from."""
    while error is not None:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(_NO_ROOM_OF_SQLITE) and name not in _NOT_READ:
            return True
        if getattr(error, "errno", 0) in _NO_ROOM:
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def of_directory(directory: Path, needed: int) -> str:
    """That what takes so many bytes finds no room in a directory."""
    free = shutil.disk_usage(directory).free
    told = f"about {needed:,} bytes are needed there"
    if free < needed:
        return (
            f"The disk of {directory} is full: {told}, {free:,} are free; nothing was changed. "
            "Free some space and try again."
        )
    return (
        f"The disk of {directory} takes no more, or is broken: {told}; nothing was changed. "
        "Look at quota and disk, and try again."
    )


def sqlstate(error: BaseException | None) -> str | None:
    """PostgreSQL's five-character code, from the error or what it was raised from."""
    while error is not None:
        code = getattr(error, "sqlstate", None)
        if code:
            return str(code)
        error = error.__cause__ or error.__context__
    return None


def _of_no_connection(error: BaseException | None) -> str:
    """What libpq says of a connection that it did not get, or lost: it has no code then. Empty for anything else."""
    while error is not None:
        if type(error).__module__.startswith("psycopg") and type(error).__name__ == "OperationalError":
            said = str(error).strip().split("\n", 1)[0]
            return one_line(said.rsplit(" failed: ", 1)[-1], 200)
        error = error.__cause__ or error.__context__
    return ""


def _by_code(code: str | None) -> str | None:
    return None if code is None else _CODES.get(code) or _CODES.get(code[:4]) or _CODES.get(code[:2])


def _by_words(error: BaseException) -> str | None:
    seen: BaseException | None = error
    while seen is not None:
        text = str(seen).lower()
        for pattern, template in _WORDS:
            if re.search(pattern, text):
                return template
        seen = seen.__cause__ or seen.__context__
    return None
