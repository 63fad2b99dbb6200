"""Of which keys nobody was told that they have expired, because no day was swept within the time in which that is news.

A sweep tells of ends that are not older than that. So what ended between one sweep and the next, and longer than that
before the next, was never told of.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain

from store import installation, zones
from store.database import run_sql, session
from store.fields import seconds
from store.rules import calendar
from store.rules.notices import EXPIRED, EXPIRED_IS_NEWS_FOR_DAYS

_SAID_FOR_DAYS = 30
_NEWS = timedelta(days=EXPIRED_IS_NEWS_FOR_DAYS)
_FARTHEST_ZONES = timedelta(days=2)  # a local day begins and ends within that of the same day in UTC


@dataclass(frozen=True)
class Untold:
    """How many keys, their first and last expiry dates, and the local day on which the sweeps began again."""

    keys: int
    first: date
    last: date
    since: date

    @property
    def said_until(self) -> date:
        """The last day on which this is spoken of."""
        return self.since + timedelta(days=_SAID_FOR_DAYS)


def find(now: datetime) -> Untold | None:
    """Those of the zones whose sweeps began again in the last 30 days; None when there are none.

    Only keys that a sweep in time would have told of, as their companies and API Access are and were then. Where there
    was no such gap no key is looked at.
    """
    if EXPIRED not in installation.get().notice_days:
        return None
    with session():
        found = [_between(last, back, names) for (last, back), names in _gaps(now).items()]
    untold = [one for one in found if one is not None]
    if not untold:
        return None
    return Untold(
        sum(one.keys for one in untold),
        min(one.first for one in untold),
        max(one.last for one in untold),
        max(one.since for one in untold),
    )


def _gaps(now: datetime) -> dict[tuple[date, date], list[str]]:
    """The last day swept before a gap and the first after it, with the zones in which that was so."""
    asked = []
    for scope in zones.in_use():
        day = calendar.local_day(now, calendar.zone(scope.zone)) - timedelta(days=_SAID_FOR_DAYS)
        asked.append((scope.name, day.isoformat()))
    gaps: dict[tuple[date, date], list[str]] = defaultdict(list)
    if asked:
        text = _SWEEPS.replace("{asked}", ", ".join(["(?, ?)"] * len(asked)))
        for name, back, last in run_sql(text, [*chain.from_iterable(asked)]).fetchall():
            if last is not None and date.fromisoformat(back) - date.fromisoformat(last) > _NEWS:
                gaps[date.fromisoformat(last), date.fromisoformat(back)].append(name)
    return gaps


def _between(last: date, back: date, names: list[str]) -> Untold | None:
    """What ended from the day of the last sweep on, of which that one could not tell, until it was no news any more."""
    until = back - _NEWS - timedelta(days=1)
    ends = (
        seconds(calendar.start_of_day(last, calendar.zone("UTC")) - _FARTHEST_ZONES),
        seconds(calendar.start_of_day(until, calendar.zone("UTC")) + _FARTHEST_ZONES),
    )
    text = _UNTOLD.replace("{zones}", ", ".join("?" * len(names)))
    values = (*ends, last.isoformat(), until.isoformat(), *names, EXPIRED)
    count, first, newest = run_sql(text, values).fetchone()
    return Untold(int(count), date.fromisoformat(first), date.fromisoformat(newest), back) if count else None


_SWEEPS = """
    WITH asked (scope, since) AS (VALUES {asked}),
         back AS (
        SELECT scope, (SELECT min(period) FROM run
                        WHERE job = 'expiry-notices' AND scope = asked.scope AND state = 'done'
                          AND period >= asked.since) AS period
          FROM asked)
    SELECT scope, period, (SELECT max(period) FROM run
                            WHERE job = 'expiry-notices' AND scope = back.scope AND state = 'done'
                              AND period < back.period)
      FROM back
     WHERE period IS NOT NULL
"""

# By the index of what ends when; crossed in the order in which it is to be read.
_UNTOLD = """
    SELECT count(*), min(k.expires_on), max(k.expires_on)
      FROM api_key k CROSS JOIN company c CROSS JOIN integration i
     WHERE k.ends_at BETWEEN ? AND ? AND k.expires_on BETWEEN ? AND ?
       AND k.revoked_at IS NULL AND k.rotated_at IS NULL
       AND c.id = k.company_id AND c.time_zone IN ({zones}) AND c.deactivated_at IS NULL
       AND i.company_id = c.id AND i.code = 'api_access' AND i.enabled_at <= k.ends_at
       AND NOT EXISTS (SELECT 1 FROM notice n
                        WHERE n.key_id = k.id AND n.expires_on = k.expires_on AND n.threshold = ?)
"""
