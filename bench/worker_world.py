"""A store before a night's work: companies with ten keys each, in two zones, whose keys expire on every day.

Made by SQL inside the database, alike on SQLite and PostgreSQL and in every run. Of a hundred keys one was revoked and
one rotated. Each company has three users; its first one and an address beside are to be notified. Everybody has heard
of what was due until yesterday, as in every night but the first.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from bench.filling import Execute, digest, filling, numbers, set_up
from store.fields import seconds
from store.rules import calendar, expiry

TODAY: Final = date(2026, 11, 23)
NOW: Final = datetime(2026, 11, 23, 6, tzinfo=UTC)  # 07:00 or 08:00 there: mails go
ZONES: Final = ("Europe/Oslo", "Europe/Helsinki")
THRESHOLDS: Final = (14, 3, -1)
KEYS_PER_COMPANY: Final = 10
USERS_PER_COMPANY: Final = 3
_FIRST_DAY: Final = -40  # of expiry, counted from today
_DAYS: Final = 730
_SETUP: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
_LONG_AGO: Final = seconds(datetime(2024, 10, 1, tzinfo=UTC))
# What was due until yesterday: threshold, first and last day of expiry from today.
_TOLD: Final = ((-1, -40, -2), (3, -1, 2), (14, 3, 13))

# A day as the keys that end on it need it: the instants at which they do, one for each zone.
_DAY_TABLE: Final = "CREATE TEMPORARY TABLE bench_day (number INT, expires_on TEXT, set_on TEXT, first INT, second INT)"
_FACTS: Final = (
    """
    INSERT INTO company (id, external_id, name, folded, time_zone, currency, language, billing_reference, price_list,
                         vat_category, vat_rate, created_at)
    SELECT i, 'c' || i, 'Company ' || i, 'company ' || i, CASE i % 2 WHEN 0 THEN '{first}' ELSE '{second}' END,
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
    SELECT i, (i - 1) / {users_per_company} + 1, 'u' || i, 'Åse Berg ' || i, 'åse berg ' || i, 'u' || i || '@c.example',
           'u' || i || '@c.example', '[]', {long_ago}, {long_ago} FROM {users}
    """,
    """
    INSERT INTO integration_user (integration_id, user_id) SELECT i, (i - 1) * {users_per_company} + 1 FROM {companies}
    """,
    """
    INSERT INTO integration_email (integration_id, address, ascii)
    SELECT i, 'drift@c' || i || '.example', 'drift@c' || i || '.example' FROM {companies}
    """,
    """
    INSERT INTO api_key (id, company_id, resource_id, handle, label, folded, environment, kind, digest, pepper_version,
                         first, last, created_at, created_by, expires_on, expiry_set_on, lifetime_days, ends_at,
                         revoked_at, rotated_at)
    SELECT i, company, (company - 1) * {users_per_company} + i % {users_per_company} + 1, 'key_' || i, 'erp-sync ' || i,
           'erp-sync ' || i, CASE i % 3 WHEN 0 THEN 'prod' WHEN 1 THEN 'sandbox' ELSE 'all' END, 'standard',
           {digest}, 1, 'kdp_abcd', 'wxyz', {long_ago} + i % 1000000, 'olav', d.expires_on, d.set_on, {days},
           CASE company % 2 WHEN 0 THEN d.first ELSE d.second END,
           CASE i % 100 WHEN 1 THEN {long_ago} + 2000000 END, CASE i % 100 WHEN 2 THEN {long_ago} + 2000000 END
    FROM (SELECT i, (i - 1) / {keys_per_company} + 1 AS company, i % 730 * 7919 % 730 AS day FROM {keys}) AS numbered
    JOIN bench_day AS d ON d.number = numbered.day ORDER BY i
    """,
    "INSERT INTO key_span (key_id, started_at, ended_at) SELECT id, created_at, ends_at FROM api_key ORDER BY id",
    """
    INSERT INTO last_use (key_id, at, address, uses)
    SELECT id, {now} - id % 4000000, '10.1.7.1', id % 9000 FROM api_key WHERE id % 3 = 0 ORDER BY id
    """,
)
_TELL: Final = """
    WITH due AS (
        SELECT id, company_id, resource_id, expires_on FROM api_key
        WHERE expires_on BETWEEN '{first_day}' AND '{last_day}' AND revoked_at IS NULL AND rotated_at IS NULL
    ),
    told AS (
        SELECT due.id, due.expires_on, u.email_ascii AS address FROM due JOIN company_user u ON u.id = due.resource_id
        UNION
        SELECT due.id, due.expires_on, u.email_ascii
          FROM due JOIN integration_user n ON n.integration_id = due.company_id JOIN company_user u ON u.id = n.user_id
        UNION
        SELECT due.id, due.expires_on, e.ascii FROM due JOIN integration_email e ON e.integration_id = due.company_id
    )
    INSERT INTO notice (key_id, expires_on, threshold, recipient, state, created_at)
    SELECT id, expires_on, {threshold}, address, 'mailed', {long_ago} FROM told ORDER BY id, address
"""


def build(location: str, companies: int) -> None:
    """Fill an empty place: a file's path, or an empty database's URL. It is left unbound, and all of it on disk."""
    on_sqlite = set_up(location, _SETUP)
    words = {
        "first": ZONES[0],
        "second": ZONES[1],
        "long_ago": _LONG_AGO,
        "now": seconds(NOW),
        "days": _DAYS,
        "keys_per_company": KEYS_PER_COMPANY,
        "users_per_company": USERS_PER_COMPANY,
        "companies": numbers(companies),
        "users": numbers(companies * USERS_PER_COMPANY),
        "keys": numbers(companies * KEYS_PER_COMPANY),
        "digest": digest(on_sqlite=on_sqlite),
    }
    with filling(location, on_sqlite=on_sqlite) as execute:
        _write_days(execute)
        for text in _FACTS:
            execute(text.format(**words))
        for threshold, first, last in _TOLD:
            first_day, last_day = (_day(number).isoformat() for number in (first, last))
            execute(_TELL.format(first_day=first_day, last_day=last_day, threshold=threshold, long_ago=_LONG_AGO))


def _write_days(execute: Execute) -> None:
    execute(_DAY_TABLE)
    zones = [calendar.zone(name) for name in ZONES]
    rows = []
    for number in range(_DAYS):
        day = _day(_FIRST_DAY + number)
        first, second = (seconds(expiry.ends_at(day, zone)) for zone in zones)
        rows.append(f"({number}, '{day}', '{day - timedelta(days=_DAYS)}', {first}, {second})")
    execute(f"INSERT INTO bench_day VALUES {', '.join(rows)}")


def _day(number: int) -> date:
    return TODAY + timedelta(days=number)
