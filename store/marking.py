"""Each night: which companies' sandboxes are to be refreshed, and what became of the nights that nobody took."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from store import sandbox_holds, sandbox_mails
from store.database import run_sql, session, transact
from store.fields import seconds
from store.rules import calendar
from store.sandbox_callers import KEYS_THEN

_REMEMBERED_NIGHTS = 31  # after a longer downtime older nights are not recorded one by one
_STALE_AFTER_NIGHTS = 3
_SLICE = 1500  # markers in one transaction, which takes some hundredths of a second
_FEWEST = 10  # companies in one transaction, however many nights they have missed
_MAILED_ABOUT = 20  # companies in one transaction

GoOn = Callable[[int, int], object]
"""Notes how far a slice comes and what it wrote, in its transaction."""


def create(zone_name: str, night: date, now: datetime, *, hour: int = 2, window: int = 0) -> int:
    """Mark every sandbox of the zone that is to be refreshed for that night; the number of markers written.

    A company gets one when, at `hour` local time, it was active with API Access enabled and had a key that would be
    accepted in Sandbox: alive, and its resource active and licensed. It falls due within `window` minutes from then on,
    each company at its own minute; where the sandbox is left alone it is held instead. Older markers that nobody took,
    and nights since the last marked one on which no worker ran, are missed.
    """
    with session():
        last = run_sql(_LAST_MARKED, (zone_name, night.isoformat())).fetchone()[0]
        since = None if last is None else date.fromisoformat(last)
        return sum(create_in_slices(zone_name, night, now, hour=hour, window=window, since=since))


def create_in_slices(
    zone_name: str,
    night: date,
    now: datetime,
    *,
    hour: int,
    window: int,
    since: date | None,
    after: int = 0,
    go_on: GoOn | None = None,
) -> Iterator[int]:
    """The same for the companies after `after`, by their ids, in transactions that keep nobody waiting for long.

    `since` is the last night that was marked. Yields after each transaction how many markers it wrote; `go_on` is
    called in it with the company up to which all is done, and that number.
    """
    note = go_on or _nothing
    nights = _Nights(zone_name, night, now, hour, window, _nights_between(zone_name, since, night))
    with session():
        transact(lambda: sandbox_holds.end_past(zone_name, night, now))
        while (upto := nights.end_of_slice(after)) is not None:
            yield from _slice(nights, (after, upto), note)
            after = upto


def _nothing(_company_id: int, _written: int) -> None:
    return


def _slice(nights: "_Nights", between: tuple[int, int], go_on: GoOn) -> Iterator[int]:
    """One slice, and then the mails about what was left alone for long: all of it is done with the last of them."""
    after, upto = between

    def mark() -> tuple[int, list[tuple[int, str]]]:
        written, stale = nights.write(between), nights.stale(between)
        go_on(after if stale else upto, written)
        return written, stale

    written, stale = transact(mark)
    yield written
    for start in range(0, len(stale), _MAILED_ABOUT):
        some = stale[start : start + _MAILED_ABOUT]
        reached = upto if start + _MAILED_ABOUT >= len(stale) else after
        transact(partial(_tell_of_stale, some, nights, partial(go_on, reached, 0)))
        yield 0


def _tell_of_stale(stale: Sequence[tuple[int, str]], nights: "_Nights", go_on: Callable[[], object]) -> None:
    """One mail for each time that a sandbox which used to be refreshed is left alone, and nobody wanted it to be."""
    for company_id, last in stale:
        message = f"No refresh has been reported since the night of {last}."
        reason = f"sandbox_stale:{company_id}:{last}"
        sandbox_mails.tell(company_id, reason, nights.night - timedelta(days=1), message, nights.now)
    go_on()


@dataclass(frozen=True)
class _Nights:
    """A zone's night, and those before it on which no worker ran."""

    zone_name: str
    night: date
    now: datetime
    hour: int
    window: int
    missed: Sequence[date]

    def end_of_slice(self, after: int) -> int | None:
        """The last company of the slice that begins after one; None when there is none."""
        companies = max(_FEWEST, _SLICE // (1 + len(self.missed)))
        found = run_sql(_END_OF_SLICE, (self.zone_name, after, companies)).fetchone()[0]
        return None if found is None else int(found)

    def write(self, between: tuple[int, int]) -> int:
        """Write the markers of some companies; how many."""
        run_sql(_GIVE_UP_OLDER, (seconds(self.now), self.night.isoformat(), self.zone_name, *between))
        written = 0
        for missed in self.missed:
            at = self._at(missed)
            values = (missed.isoformat(), at, at, missed.isoformat(), at, seconds(self.now), self.zone_name, *between)
            written += run_sql(_MISSED, (*values, *[at] * 8)).rowcount
        at, spread, night = self._at(self.night), max(1, self.window * 60), self.night.isoformat()
        due = (night, night, at, spread, night, self.zone_name, *between, *[at] * 7)
        return int(written + run_sql(_DUE, due).rowcount)

    def stale(self, between: tuple[int, int]) -> list[tuple[int, str]]:
        """Which companies' sandboxes nobody has refreshed for some nights, and the last night that somebody did."""
        recent = self.night - timedelta(days=_REMEMBERED_NIGHTS)
        limit = self.night - timedelta(days=_STALE_AFTER_NIGHTS)
        days = (self.night.isoformat(), recent.isoformat(), limit.isoformat())
        rows = run_sql(_STALE, (self.zone_name, *between, *days, _STALE_AFTER_NIGHTS - 1)).fetchall()
        return [(int(company_id), str(last)) for company_id, last in rows]

    def _at(self, night: date) -> int:
        return seconds(calendar.at_local(night, self.hour, 0, calendar.zone(self.zone_name)))


def _nights_between(zone_name: str, since: date | None, night: date) -> list[date]:
    """The nights after the last marked one, on which no worker ran."""
    if since is None:
        return []
    first = max(since + timedelta(days=1), night - timedelta(days=_REMEMBERED_NIGHTS))
    zone = calendar.zone(zone_name)
    nights = [first + timedelta(days=days) for days in range((night - first).days)]
    return [each for each in nights if _exists(each, zone)]


def _exists(day: date, zone: Any) -> bool:
    """Whether the zone had that day at all."""
    return calendar.start_of_day(day, zone) < calendar.start_of_day(day + timedelta(days=1), zone)


_DUE = """
    INSERT INTO refresh_marker (company_id, night, state, due_at, attempt, message)
    SELECT c.id, ?,
           CASE WHEN EXISTS (SELECT 1 {open}) THEN 'held' ELSE 'due' END,
           ? + (c.id * 48271) % ?, 0,
           (SELECT {said} {open} ORDER BY h.kind LIMIT 1)
      FROM company c
      JOIN integration i ON i.company_id = c.id AND i.code = 'api_access'
     WHERE c.time_zone = ? AND c.id > ? AND c.id <= ?
       AND (c.deactivated_at IS NULL OR c.deactivated_at > ?) AND i.enabled_at <= ?
       AND EXISTS ({keys}
                      AND k.created_at <= ? AND k.ends_at > ? AND (k.revoked_at IS NULL OR k.revoked_at > ?))
     ORDER BY c.id
    ON CONFLICT (company_id, night) DO NOTHING
"""
for _mark, _text in (
    ("{said}", sandbox_holds.SAID),
    ("{open}", sandbox_holds.standing_at("c.id", "?")),
    ("{keys}", KEYS_THEN.replace("{more}", "")),
):
    _DUE = _DUE.replace(_mark, _text)

# As things stood on a past night: a key may have been given a new date since, API Access switched, a hold ended.
# Of a resource only what is so now is known.
_MISSED = """
    INSERT INTO refresh_marker (company_id, night, state, due_at, finished_at, attempt)
    SELECT c.id, ?,
           CASE WHEN EXISTS (SELECT 1 FROM sandbox_hold h
                              WHERE h.company_id = c.id AND h.started_at <= ? AND (h.ended_at IS NULL OR h.ended_at > ?)
                                AND (h.last_night IS NULL OR h.last_night >= ?)) THEN 'held' ELSE 'missed' END,
           ?, ?, 0
      FROM company c
      JOIN integration i ON i.company_id = c.id AND i.code = 'api_access'
     WHERE c.time_zone = ? AND c.id > ? AND c.id <= ?
       AND c.created_at <= ? AND (c.deactivated_at IS NULL OR c.deactivated_at > ?)
       AND EXISTS (SELECT 1 FROM integration_span s
                    WHERE s.integration_id = i.id AND s.started_at <= ? AND (s.ended_at IS NULL OR s.ended_at > ?))
       AND EXISTS ({keys}
                      AND s.started_at <= ? AND s.ended_at > ?)
     ORDER BY c.id
    ON CONFLICT (company_id, night) DO NOTHING
""".replace("{keys}", KEYS_THEN.replace("{more}", "JOIN key_span s ON s.key_id = k.id"))

_GIVE_UP_OLDER = """
    UPDATE refresh_marker
       SET state = CASE WHEN failures IS NULL OR message IS NULL THEN 'missed' ELSE 'failed' END,
           token = NULL, finished_at = ?
     WHERE state IN ('due', 'running') AND state = 'due' AND night < ?
       AND company_id IN (SELECT id FROM company WHERE time_zone = ? AND id > ? AND id <= ?)
"""

_LAST_MARKED = """
    SELECT max(m.night) FROM refresh_marker m JOIN company c ON c.id = m.company_id
     WHERE c.time_zone = ? AND m.night < ?
"""

_END_OF_SLICE = """
    SELECT max(id) FROM (SELECT id FROM company WHERE time_zone = ? AND id > ? ORDER BY id LIMIT ?) AS slice
"""

_STALE = """
    SELECT m.company_id, max(d.night)
      FROM company c CROSS JOIN refresh_marker m CROSS JOIN refresh_marker d
     WHERE c.time_zone = ? AND c.id > ? AND c.id <= ?
       AND m.company_id = c.id AND d.company_id = m.company_id AND d.state = 'done'
       AND m.night = ? AND m.state <> 'held' AND d.night >= ?
       AND NOT EXISTS (SELECT 1 FROM refresh_marker f
                        WHERE f.company_id = m.company_id AND f.state = 'failed' AND f.night > d.night)
     GROUP BY m.company_id
    HAVING max(d.night) <= ?
       AND (SELECT count(*) FROM refresh_marker g
             WHERE g.company_id = m.company_id AND g.state = 'missed' AND g.night > max(d.night)) >= ?
"""
