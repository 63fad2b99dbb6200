"""A store before its monthly run: companies with ten keys each, and thirty days of usage of every key.

Made by SQL inside the database, alike on SQLite and PostgreSQL, because a hundred thousand companies have thirty
million rows of usage. Half of the companies live in each of two zones.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from bench.filling import digest, filling, numbers, set_up
from store.fields import seconds

MONTH: Final = "2026-11"
DRAFTED: Final = datetime(2026, 12, 1, 12, tzinfo=UTC)
CLOSED: Final = datetime(2026, 12, 5, 12, tzinfo=UTC)
ZONES: Final = ("Europe/Oslo", "Europe/Copenhagen")
KEYS_PER_COMPANY: Final = 10
DAYS: Final = 30

_SETUP: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
_LONG_AGO: Final = seconds(datetime(2025, 12, 1, tzinfo=UTC))
_DAY: Final = 86400
_MIDDLE: Final = seconds(datetime(2026, 11, 15, 9, tzinfo=UTC))

# {companies} and {keys} are tables of the numbers from 1 on. Nine keys of ten are standard and one is a test key; each
# fourth company has rotated one in the middle of the month, and another company in four had one that ended then.
_FACTS: Final = (
    """
    INSERT INTO company (id, external_id, name, folded, time_zone, currency, language, billing_reference, price_list,
                         vat_category, vat_rate, created_at)
    SELECT i, 'c' || i, 'Company ' || i, 'company ' || i, CASE i % 2 WHEN 0 THEN '{zone}' ELSE '{other_zone}' END,
           'NOK', 'en', 'PO-' || i, 'API', 'S', '25', {long_ago} FROM {companies}
    """,
    """
    INSERT INTO licence (company_id, at, licences, recorded_at) SELECT i, {long_ago}, 6 + i % 5, {long_ago}
    FROM {companies}
    """,
    """
    INSERT INTO integration (id, company_id, code, enabled_at) SELECT i, i, 'api_access', {long_ago} FROM {companies}
    """,
    """
    INSERT INTO integration_span (integration_id, started_at) SELECT i, {long_ago} FROM {companies}
    """,
    """
    INSERT INTO company_user (id, company_id, external_id, name, folded, email, email_ascii, rights, created_at,
                              licensed_at)
    SELECT i, i, 'u' || i, 'Åse Berg', 'åse berg', 'u' || i || '@c.example', 'u' || i || '@c.example', '[]',
           {long_ago}, {long_ago} FROM {companies}
    """,
    """
    INSERT INTO integration_user (integration_id, user_id) SELECT i, i FROM {companies}
    """,
    """
    INSERT INTO api_key (id, company_id, resource_id, handle, label, folded, environment, kind, digest, pepper_version,
                         first, last, created_at, created_by, expires_on, expiry_set_on, lifetime_days, ends_at,
                         rotated_at, rotated_from_id)
    SELECT i, company, company, 'key_' || i, 'erp-sync ' || i, 'erp-sync ' || i, 'prod',
           CASE place WHEN 10 THEN 'test' ELSE 'standard' END, {digest}, 1, 'kdp_abcd', 'wxyz',
           CASE WHEN place = 8 AND company % 4 = 0 THEN {middle} + company % 80000
                ELSE {long_ago} + (company * 37 + place * 911) % 20000000 END,
           'olav', '2027-10-31', '2025-12-01', 699,
           CASE WHEN place = 7 AND company % 4 = 0 THEN {middle} + 2 * {day} + company % 80000
                WHEN place = 9 AND company % 4 = 1 THEN {middle} + 15 * 3600 ELSE {middle} + 350 * {day} END,
           CASE WHEN place = 7 AND company % 4 = 0 THEN {middle} + company % 80000 END,
           CASE WHEN place = 8 AND company % 4 = 0 THEN i - 1 END
    FROM (SELECT i, (i - 1) / {keys_per_company} + 1 AS company, (i - 1) % {keys_per_company} + 1 AS place
          FROM {keys}) AS numbered ORDER BY i
    """,
    "INSERT INTO key_span (key_id, started_at, ended_at) SELECT id, created_at, ends_at FROM api_key ORDER BY id",
)
# Each tenth company needs more than its licences include.
_USED: Final = """
    (key_id * 7919 + day_number * 13) % CASE company_id % 10 WHEN 0 THEN 900 ELSE 250 END + 1,
    (key_id * 104729 + day_number * 131) % 3000000
"""
_USAGE: Final = "INSERT INTO usage_day (company_id, day, key_id, environment, batch_id, requests, bytes)"
# Rows that lie in the order of their primary key are written in it.
_USAGE_SQLITE: Final = f"""
    {_USAGE} SELECT company_id, day, key_id, 'prod', day_number, {_USED}
    FROM (SELECT c.id AS company_id, b.first_day AS day, (c.id - 1) * {KEYS_PER_COMPANY} + k.i AS key_id,
                 b.id AS day_number
          FROM company AS c CROSS JOIN usage_batch AS b CROSS JOIN {{places}} AS k)
"""
# Elsewhere they lie in the order in which the days came.
_USAGE_POSTGRESQL: Final = f"""
    {_USAGE} SELECT company_id, '{{day}}', key_id, 'prod', day_number, {_USED}
    FROM (SELECT company_id, id AS key_id, {{number}} AS day_number FROM api_key) AS used
"""


def build(location: str, companies: int) -> None:
    """Fill an empty place: a file's path, or an empty database's URL. It is left unbound, and all of it on disk."""
    on_sqlite = set_up(location, _SETUP)
    with filling(location, on_sqlite=on_sqlite) as execute:
        words = {
            "zone": ZONES[0],
            "other_zone": ZONES[1],
            "long_ago": _LONG_AGO,
            "middle": _MIDDLE,
            "day": _DAY,
            "keys_per_company": KEYS_PER_COMPANY,
            "companies": numbers(companies),
            "keys": numbers(companies * KEYS_PER_COMPANY),
            "digest": digest(on_sqlite=on_sqlite),
        }
        for text in _FACTS:
            execute(text.format(**words))
        _fill_usage(execute, on_sqlite=on_sqlite)


def _fill_usage(execute: Any, *, on_sqlite: bool) -> None:
    first = date.fromisoformat(f"{MONTH}-01")
    days = [(first + timedelta(days=number)).isoformat() for number in range(DAYS)]
    for number, day in enumerate(days, 1):
        came = seconds(datetime.fromisoformat(f"{day}T00:30:00+00:00")) + _DAY
        values = f"{number}, 'gateway', 'batch {number}', '', {came}, 1, 0, '{day}', '{day}'"
        execute(
            "INSERT INTO usage_batch (id, source, batch, sha256, received_at, rows, rejected, first_day, last_day) "
            f"VALUES ({values})"
        )
    if on_sqlite:
        execute(_USAGE_SQLITE.format(places=numbers(KEYS_PER_COMPANY).removesuffix(" AS counted_out")))
        return
    execute("ALTER TABLE usage_day DROP CONSTRAINT usage_day_pkey")
    for number, day in enumerate(days, 1):
        execute(_USAGE_POSTGRESQL.format(day=day, number=number))
    execute("ALTER TABLE usage_day ADD PRIMARY KEY (company_id, day, key_id, environment, batch_id)")
