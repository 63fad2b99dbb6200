"""A store on PostgreSQL: what its URL may say, and how it is connected to."""

import os
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

from playhouse.pool import PooledPostgresqlDatabase

from store.errors import SettingsWrong

_LOOPBACK = {"", "localhost", "127.0.0.1", "::1"}
# Of libpq's options those that say neither who logs in, nor where (but `host`, for a socket), nor a secret.
_URL_OPTIONS = {
    "host", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "ssl_min_protocol_version", "channel_binding",
    "gssencmode", "krbsrvname", "passfile", "options", "target_session_attrs", "tcp_user_timeout", "keepalives",
    "keepalives_idle", "keepalives_interval", "keepalives_count",
}  # fmt: skip
_NOT_IN_THE_URL = (
    "The store's URL holds a password; put it into a file of mode 0600 and name that in `store.password_file`."
)


def postgresql_at(url: str, password: str | None, lock_wait_seconds: int) -> PooledPostgresqlDatabase:
    """A pool of connections to `postgresql://user@host:port/name?sslmode=verify-full`; none is opened yet.

    `lock_wait_seconds` is how long a statement waits for a lock. Raises SettingsWrong for a URL that holds a password,
    leads over a network unverified, or sets what it may not.
    """
    if find_spec("psycopg") is None:
        raise SettingsWrong("PostgreSQL's driver is not installed: run `pip install 'keydesk[postgres]'`.")
    parts = urlsplit(url)
    if parts.password:
        raise SettingsWrong(_NOT_IN_THE_URL)
    try:
        port, name = parts.port, unquote(parts.path.lstrip("/"))
    except ValueError as error:
        raise SettingsWrong(f"The port in the store's URL cannot be used ({error}); correct it.") from None
    if not name:
        raise SettingsWrong("The store's URL names no database; write it like postgresql://user@host/name.")
    options = _url_options(parts.query)
    for variable in ("PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE"):
        if os.environ.get(variable):
            raise SettingsWrong(
                f"The variable {variable} would lead past the store's URL; take it out and name the host there."
            )
    host = options.pop("host", "") or unquote(parts.hostname or "") or os.environ.get("PGHOST", "")
    loopback = all(one in _LOOPBACK or one.startswith("/") for one in host.split(","))
    # A program that is paused in the middle of a transaction does not keep the others waiting for ever.
    given = f"-c idle_in_transaction_session_timeout=300s {options.get('options', '')}".strip()
    # What is read behind a lock, and again after a conflict, must be as of that moment, whatever the server's default.
    isolation = r"-c default_transaction_isolation=read\ committed"
    options["options"] = f"{given} -c lock_timeout={lock_wait_seconds}s {isolation}"
    # A server that has vanished without a word is noticed within a minute, and not after a quarter of an hour.
    network = {
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "60000",
    }
    options = network | options
    mode = options.pop("sslmode", "prefer" if loopback else "")
    if not loopback and mode != "verify-full":
        raise SettingsWrong(
            "PostgreSQL over a network must be verified: add `?sslmode=verify-full` to the store's URL."
        )
    return PooledPostgresqlDatabase(
        name,
        user=unquote(parts.username) if parts.username else None,
        password=password,
        host=host or None,
        port=port,
        sslmode=mode,
        connect_timeout=5,
        application_name="keydesk",
        prefer_psycopg3=True,
        max_connections=16,
        stale_timeout=300,
        timeout=10,
        autoconnect=False,
        **options,
    )


def _url_options(query: str) -> dict[str, str]:
    """What follows the question mark of the store's URL. SettingsWrong for what is not written there."""
    options = {}
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        if name == "password":
            raise SettingsWrong(_NOT_IN_THE_URL)
        if name not in _URL_OPTIONS or not equals:
            raise SettingsWrong(
                f"The store's URL cannot set {name}; after the question mark stand {', '.join(sorted(_URL_OPTIONS))}."
            )
        options[name] = unquote(value)
    return options
