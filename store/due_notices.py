"""Which notices are owed in one time zone on one local day, to whom: read, not written.

The query finds the pairs of key and recipient that have no notice yet; what is due is decided by `store.rules.notices`.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from store.database import one_of, run_planned, run_sql
from store.fields import Canonical, canonical, instant, seconds
from store.mail_contexts import instant_text
from store.rules import calendar
from store.rules.notices import EXPIRED_IS_NEWS_FOR_DAYS, due_threshold


@dataclass(frozen=True)
class DueKey:
    """A key that owes a notice: the tightest threshold that is due, and the wider ones that it covers."""

    key_id: int
    expires_on: date
    threshold: int
    covered: tuple[int, ...]
    noticed: Canonical  # the key and its last use, as the mail says them


@dataclass(frozen=True)
class Owing:
    """One mail that is owed: all keys of one company that one recipient has to hear of for one reason."""

    kind: str  # key_expiring, key_expired
    company_id: int
    company: str
    zone: str
    language: str
    recipient: str  # the address as sent to; empty when nobody can be reached
    recipient_name: str
    roles: tuple[str, ...]
    keys: tuple[DueKey, ...]

    @property
    def address(self) -> str:
        """What is equal for one mailbox, however its address was written."""
        return self.recipient.lower()


# Everybody who hears of the keys listed in `due`: (key_id, address, sent_to, role, name). Here and below tables are
# crossed in the order in which they are to be read: SQLite knows nothing of their sizes and keeps to it.
REACH = """
    SELECT due.key_id, lower(u.email_ascii) AS address, u.email_ascii AS sent_to, 'resource' AS role, u.name
      FROM due CROSS JOIN company_user u
     WHERE u.id = due.resource_id AND u.deactivated_at IS NULL AND u.email_ascii <> ''
    UNION ALL
    SELECT due.key_id, lower(u.email_ascii), u.email_ascii, 'user-to-notify', u.name
      FROM due CROSS JOIN integration_user iu CROSS JOIN company_user u
     WHERE iu.integration_id = due.integration_id AND u.id = iu.user_id
       AND u.deactivated_at IS NULL AND u.email_ascii <> ''
    UNION ALL
    SELECT due.key_id, lower(ie.ascii), ie.ascii, 'email-to-notify', ''
      FROM due CROSS JOIN integration_email ie
     WHERE ie.integration_id = due.integration_id
"""

# The same asked the other way round, of the key `k`, its integration `i` and one address (`n.recipient`).
REACHES = """
    EXISTS (SELECT 1 FROM company_user u
             WHERE u.id = k.resource_id AND u.deactivated_at IS NULL AND lower(u.email_ascii) = n.recipient)
 OR EXISTS (SELECT 1 FROM integration_user iu JOIN company_user u ON u.id = iu.user_id
             WHERE iu.integration_id = i.id AND u.deactivated_at IS NULL AND lower(u.email_ascii) = n.recipient)
 OR EXISTS (SELECT 1 FROM integration_email ie WHERE ie.integration_id = i.id AND lower(ie.ascii) = n.recipient)
"""

_KEYS_A_PAGE = 1000
MOST_NAMED = 30_000  # PostgreSQL takes no more than 65,535 values with a statement
_WHEN = "WHEN k.expires_on BETWEEN ? AND ? AND k.lifetime_days > ? THEN CAST(? AS INTEGER) "

_OWED = """
    WITH due AS MATERIALIZED (
        SELECT k.id AS key_id, k.company_id, k.resource_id, i.id AS integration_id,
               k.expires_on, CASE {when} END AS threshold
          FROM api_key k CROSS JOIN company c CROSS JOIN integration i
         WHERE c.id = k.company_id AND i.company_id = c.id AND i.code = 'api_access'
           AND c.time_zone = ? AND c.deactivated_at IS NULL AND i.enabled_at IS NOT NULL
           AND k.revoked_at IS NULL AND k.rotated_at IS NULL
           AND k.ends_at >= ? AND k.ends_at <= ? {among}
    ),
    reach AS MATERIALIZED ({reach})
    SELECT c.id, c.name, c.time_zone, c.language,
           coalesce(r.address, ''), coalesce(r.sent_to, ''), r.role, coalesce(r.name, ''),
           k.id, k.expiry_set_on, k.first, k.last, k.label, owner.name, k.environment, k.kind, k.expires_on,
           l.at, l.address, l.uses
      FROM due
      JOIN company c ON c.id = due.company_id
      JOIN api_key k ON k.id = due.key_id
      JOIN company_user owner ON owner.id = due.resource_id
      LEFT JOIN last_use l ON l.key_id = due.key_id
      LEFT JOIN reach r ON r.key_id = due.key_id
      LEFT JOIN notice n ON n.key_id = due.key_id AND n.expires_on = due.expires_on
                        AND n.threshold = due.threshold AND n.recipient = coalesce(r.address, '')
     WHERE due.threshold IS NOT NULL AND (n.id IS NULL OR n.state = 'withdrawn')
     ORDER BY c.id, coalesce(r.address, ''), k.expires_on, k.id
"""

# The keys for which anything can be due, however much of it is told already.
_CANDIDATES = """
    SELECT k.company_id, k.id
      FROM api_key k CROSS JOIN company c
     WHERE c.id = k.company_id AND c.time_zone = ? AND c.deactivated_at IS NULL
       AND k.revoked_at IS NULL AND k.rotated_at IS NULL AND k.ends_at >= ? AND k.ends_at <= ? AND k.company_id > ?
     ORDER BY k.company_id, k.id
"""

_ROLES = ("resource", "user-to-notify", "email-to-notify")


def owing(
    zone_name: str,
    day: date,
    thresholds: Sequence[int],
    among: Sequence[int] = (),
    companies: tuple[int, int] | None = None,
) -> list[Owing]:
    """Every mail owed by enabled, active companies of that zone on that local day, by company and recipient.

    Keys that were revoked or rotated owe nothing. `thresholds` are days before expiry; -1 stands for "has expired".
    With `among` only the keys of these ids are looked at; they must be all that a company has, or it gets more mails.
    With `companies` only those from the first id to the last.
    """
    if not thresholds:
        return []
    oldest = day - timedelta(days=EXPIRED_IS_NEWS_FOR_DAYS)
    values: list[Any] = []
    for days in sorted(thresholds):
        first = oldest if days < 0 else day
        values += [first.isoformat(), (day + timedelta(days=days)).isoformat(), days, days]
    named, ids = one_of(among)
    values += [zone_name, *_ends(zone_name, day, thresholds), *(ids if among else ()), *(companies or ())]
    query = _OWED.replace("{when}", _WHEN * len(thresholds)).replace("{reach}", REACH)
    limits = f"AND k.id {named} " if among else ""
    limits += "AND k.company_id BETWEEN ? AND ?" if companies else ""
    query = query.replace("{among}", limits)
    mails: list[Owing] = []
    known: dict[int, DueKey | None] = {}
    for _, rows in groupby(run_planned(query, values).fetchall(), key=itemgetter(0, 4)):
        mails.extend(_mails(list(rows), day, tuple(thresholds), known))
    return mails


def by_company(zone_name: str, day: date, thresholds: Sequence[int], after: int = 0) -> Iterator[Owing]:
    """The same mails for the companies after `after`, by their ids; read a page of keys at a time."""
    if not thresholds:
        return
    values = (zone_name, *_ends(zone_name, day, thresholds), after)
    companies, keys = array("q"), array("q")
    for company_id, key_id in run_sql(_CANDIDATES, values).fetchall():
        companies.append(company_id)
        keys.append(key_id)
    begin = 0
    while begin < len(keys):
        end = min(begin + _KEYS_A_PAGE, len(keys))
        while end < len(keys) and companies[end] == companies[end - 1]:
            end += 1
        if end - begin > MOST_NAMED:  # one company has very many
            yield from owing(zone_name, day, thresholds, companies=(companies[begin], companies[end - 1]))
        else:
            yield from owing(zone_name, day, thresholds, keys[begin:end])
        begin = end


def _ends(zone_name: str, day: date, thresholds: Sequence[int]) -> tuple[int, int]:
    """Between which instants a key ends about which something may be owed that day."""
    zone = calendar.zone(zone_name)
    oldest = day - timedelta(days=EXPIRED_IS_NEWS_FOR_DAYS)
    farthest = day + timedelta(days=max(thresholds) + 2)
    return seconds(calendar.start_of_day(oldest, zone)), seconds(calendar.start_of_day(farthest, zone))


def noticed(row: Sequence[Any]) -> dict[str, Any]:
    """A key and its last use as a digest says them, from the ten columns `first` … `uses`."""
    first, last, label, resource, environment, kind, expires_on, used_at, address, uses = row
    used = None
    if used_at is not None:
        used = {"at": instant_text(instant(used_at)), "address": address, "calls": int(uses)}
    return {
        "key": {
            "first": first, "last": last, "label": label, "resource": resource,
            "environment": environment, "kind": kind, "expires_on": expires_on,
        },
        "last_use": used,
    }  # fmt: skip


def _mails(rows: list[Any], day: date, thresholds: tuple[int, ...], known: dict[int, DueKey | None]) -> Iterator[Owing]:
    """The mails, at most one of each kind, of one company for one recipient; a key has a row for each of his roles.

    `known` keeps what is due about a key, which each of its recipients is told.
    """
    company_id, company, zone, language, _, sent_to = rows[0][:6]
    expiring: dict[int, DueKey] = {}
    expired: dict[int, DueKey] = {}
    for row in rows:
        key_id = row[8]
        if key_id not in known:
            known[key_id] = _due_key(row, day, thresholds)
        key = known[key_id]
        if key is not None:
            (expired if key.threshold < 0 else expiring)[key_id] = key
    found = {row[6] for row in rows}
    for kind, keys in (("key_expired", expired), ("key_expiring", expiring)):
        if keys:
            yield Owing(
                kind, company_id, company, zone, language, sent_to,
                recipient_name=next((row[7] for row in rows if row[7]), ""),
                roles=tuple(role for role in _ROLES if role in found),
                keys=tuple(keys.values()),
            )  # fmt: skip


def _due_key(row: Sequence[Any], day: date, thresholds: tuple[int, ...]) -> DueKey | None:
    expires_on, threshold, covered = _due(thresholds, day, row[16], row[9])
    if threshold is None:
        return None
    return DueKey(row[8], expires_on, threshold, covered, Canonical(canonical(noticed(row[10:20]))))


@lru_cache(maxsize=4096)
def _due(
    thresholds: tuple[int, ...], day: date, expires_on: str, set_on: str
) -> tuple[date, int | None, tuple[int, ...]]:
    """What the rule says of all keys with these days; the expiry date, too."""
    last_day = date.fromisoformat(expires_on)
    threshold, covered = due_threshold(thresholds, today=day, expires_on=last_day, set_on=date.fromisoformat(set_on))
    return last_day, threshold, covered
