"""A store of so many keys: companies, users, notified people, keys in every state, last uses. The same in every run.

It is written by bare SQL into the product's own tables, because making a million keys one by one would take hours. Ten
thousand of the keys are real: their secrets are known here, all are accepted, and they lie evenly over the table.
"""

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

from store import database, installation, migrations, peppers
from store.fields import seconds
from store.installation import Installation
from store.peppers import Peppers
from store.rules import calendar, expiry, key_format
from store.rules.acceptance import Asked
from store.rules.key_format import Environment

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
TODAY: Final = date(2026, 11, 23)
ZONE: Final = "Europe/Oslo"  # of two companies in three
KEYS_PER_COMPANY: Final = 100
USERS_PER_COMPANY: Final = 25
_REAL: Final = 10_000  # at most

_ZONES: Final = (ZONE, "Europe/Copenhagen", ZONE, ZONE, "Europe/Helsinki", ZONE)
_FIRST: Final = ("Åse", "Bjørn", "Cecilie", "Dag", "Eiríkur", "Frøydis", "Gunnar", "Hægne", "Iðunn", "Jörg", "Käthe")
_LAST: Final = ("Berg", "Dahl", "Eng", "Friis", "Grøn", "Häkkinen", "Ødegård", "Straßmann", "Þórsson", "Virtanen")
_RIGHTS: Final = tuple(json.dumps(sorted(rights), separators=(",", ":")) for rights in (
    ["projects.read", "hours.write"], ["hours.read"], ["invoices.read", "projects.read", "projects.write"],
    ["hours.read", "hours.write", "invoices.read", "invoices.write", "projects.read"],
))  # fmt: skip
_LONG_AGO: Final = seconds(NOW) - 900 * 86400
_ENVIRONMENTS: Final[tuple[Environment, ...]] = ("prod", "sandbox", "all")
_ASKED: Final[dict[Environment, Asked]] = {"prod": "prod", "sandbox": "sandbox", "all": "prod"}
_LIFETIME: Final = 730  # days

# Everybody has heard of what was due until yesterday, as in every night but the first: threshold, first day, last day.
_TOLD: Final = ((-1, -40, -2), (3, -1, 2), (14, 3, 13))
_TELL: Final = """
    WITH due AS MATERIALIZED (
        SELECT id, company_id, resource_id, expires_on FROM api_key
         WHERE expires_on BETWEEN ? AND ? AND revoked_at IS NULL AND rotated_at IS NULL
    ),
    told AS (
        SELECT due.id, due.expires_on, u.email_ascii AS address
          FROM due JOIN company_user u ON u.id = due.resource_id WHERE u.deactivated_at IS NULL
        UNION
        SELECT due.id, due.expires_on, u.email_ascii
          FROM due JOIN integration_user n ON n.integration_id = due.company_id JOIN company_user u ON u.id = n.user_id
        UNION
        SELECT due.id, due.expires_on, e.ascii FROM due JOIN integration_email e ON e.integration_id = due.company_id
    )
    INSERT INTO notice (key_id, expires_on, threshold, recipient, state, created_at)
    SELECT id, expires_on, ?, address, 'mailed', ? FROM told
"""


@dataclass(frozen=True)
class RealKey:
    """A key that is accepted for `environment`."""

    id: int
    secret: str = field(repr=False)
    environment: Asked


@dataclass(frozen=True)
class World:
    """A store that is ready, with the settings by which the `keydesk` command opens it."""

    size: int
    path: Path
    settings: Path
    peppers: Peppers
    real: tuple[RealKey, ...]

    @property
    def named(self) -> str:
        """Its size, as measures are named."""
        return f"{self.size:,} keys"


def build(folder: Path, size: int) -> World:
    """Make the store in a new folder; it is left unbound."""
    folder.mkdir(mode=0o700, parents=True)
    path, settings, pepper_file = folder / "keydesk.db", folder / "keydesk.toml", folder / "keydesk.pepper"
    settings.write_text(f'[store]\nlocation = "{path}"\n\n[keys]\npepper_file = "{pepper_file}"\n', encoding="utf-8")
    made = peppers.make(pepper_file)
    empty_store(path, made)
    chance = random.Random(size)
    real: list[RealKey] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        _fill(store, size, made, chance, real)
    return World(size, path, settings, made, tuple(real))


def empty_store(path: Path, made: Peppers) -> None:
    """A store that was set up and holds nothing yet."""
    database.private_file(path)
    database.bind(str(path))
    migrations.migrate(NOW - timedelta(days=900))
    with database.session():
        installation.set_up(Installation(vendor="Fjord Software"), NOW - timedelta(days=900), peppers=made)
    database.dispose()


def _fill(store: sqlite3.Connection, size: int, made: Peppers, chance: random.Random, real: list[RealKey]) -> None:
    """All rows in one transaction; indexes are made again at the end, when their rows can be sorted."""
    companies = max(1, size // KEYS_PER_COMPANY)
    store.execute("PRAGMA synchronous = off")
    store.execute("PRAGMA cache_size = -65536")
    store.execute("BEGIN")
    indexes = store.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    for name, _ in indexes:
        store.execute(f'DROP INDEX "{name}"')
    _insert(store, "company", _company_rows(companies))
    _insert(store, "licence", ((c, c, _LONG_AGO, USERS_PER_COMPANY, _LONG_AGO) for c in _to(companies)))
    _insert(store, "integration", ((c, c, "api_access", _LONG_AGO) for c in _to(companies)))
    _insert(store, "integration_span", ((c, c, _LONG_AGO, None) for c in _to(companies)))
    _insert(store, "integration_user", ((c, c, (c - 1) * USERS_PER_COMPANY + 1) for c in _to(companies)))
    drift = ((c, c, f"drift@c{c}.example", f"drift@c{c}.example") for c in _to(companies))
    _insert(store, "integration_email", drift)
    _insert(store, "company_user", _user_rows(companies, chance))
    _insert(store, "api_key", _key_rows(size, made, chance, real))
    store.execute("INSERT INTO key_span (key_id, started_at, ended_at) SELECT id, created_at, ends_at FROM api_key")
    store.execute(
        "INSERT INTO last_use (key_id, at, address, uses) "
        "SELECT id, ? - id % 4000000, '10.' || id % 256 || '.7.1', id % 9000 FROM api_key WHERE id % 3 = 0",
        (seconds(NOW),),
    )
    for _, text in indexes:
        store.execute(text)
    for threshold, first, last in _TOLD:
        days = [(TODAY + timedelta(days=day)).isoformat() for day in (first, last)]
        store.execute(_TELL, (*days, threshold, _LONG_AGO))
    store.execute("COMMIT")


def _insert(store: sqlite3.Connection, table: str, rows: Iterator[tuple[Any, ...]]) -> None:
    """Rows in the order of the table's columns, `id` first."""
    first = next(rows)
    store.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(first))})", chain([first], rows))


def _to(number: int) -> range:
    return range(1, number + 1)


def _company_rows(companies: int) -> Iterator[tuple[Any, ...]]:
    for c in _to(companies):
        name = f"{_LAST[c % len(_LAST)]} & {_FIRST[c % len(_FIRST)]} {c} AS"
        yield (
            c, f"c{c}", name, name.casefold(), _ZONES[c % len(_ZONES)], "NOK", "en", f"PO-{c}", "API", "S", "25",
            _LONG_AGO, None,
        )  # fmt: skip


def _user_rows(companies: int, chance: random.Random) -> Iterator[tuple[Any, ...]]:
    for u in _to(companies * USERS_PER_COMPANY):
        company, of_company = (u - 1) // USERS_PER_COMPANY + 1, (u - 1) % USERS_PER_COMPANY + 1
        name = f"{chance.choice(_FIRST)} {chance.choice(_LAST)}"
        address = f"u{u}@c{company}.example"
        yield (
            u, company, f"u{u}", name, name.casefold(), address, address, chance.choice(_RIGHTS), _LONG_AGO,
            _LONG_AGO if of_company == 20 else None, None if of_company in {10, 20} else _LONG_AGO,
        )  # fmt: skip


def _key_rows(size: int, made: Peppers, chance: random.Random, real: list[RealKey]) -> Iterator[tuple[Any, ...]]:
    """One in a hundred is revoked, one rotated; no real one is, nor is its resource inactive or without licence."""
    every = max(2, size // _REAL)
    for k in _to(size):
        is_real = k % every == 0
        company = (k - 1) % max(1, size // KEYS_PER_COMPANY) + 1
        of_company = chance.randrange(1, 10) if is_real else chance.randrange(1, USERS_PER_COMPANY + 1)
        environment = _ENVIRONMENTS[k % 3]
        if is_real:
            secret = key_format.generate("kd", environment, chance.choice)
            real.append(RealKey(k, secret, _ASKED[environment]))
            digest, (first, last) = key_format.digest(secret, made.secrets[made.current]), key_format.shown(secret)
        else:
            digest = chance.randbytes(32)
            text = digest.hex()
            first, last = f"kd{environment[0]}_{text[:4]}", text[4:8]
        expires_on = TODAY + timedelta(days=chance.randrange(30, 690) if is_real else chance.randrange(-40, 690))
        set_on = expires_on - timedelta(days=_LIFETIME)
        ends_at = _ends_at(expires_on, _ZONES[company % len(_ZONES)])
        fate = 0 if is_real else k % 100
        revoked_at = seconds(NOW) - k if fate == 1 else None
        rotated_at = seconds(NOW) - k if fate == 2 else None
        label = f"erp-sync {k}"
        yield (
            k, company, (company - 1) * USERS_PER_COMPANY + of_company, f"key_{k:016x}", label, label, environment,
            "standard", digest, made.current, first, last, ends_at - _LIFETIME * 86400, "olav", expires_on.isoformat(),
            set_on.isoformat(), _LIFETIME, ends_at, revoked_at, revoked_at and "olav", revoked_at and "left",
            rotated_at, None,
        )  # fmt: skip


@cache
def _ends_at(expires_on: date, zone: str) -> int:
    return seconds(expiry.ends_at(expires_on, calendar.zone(zone)))
