"""Each night: which companies' sandboxes are to be refreshed, and what became of the nights that nobody took."""

from datetime import date, datetime, timedelta
from typing import Any

from store import sandbox_holds, sandbox_mails
from store.database import run_sql, session, writing
from store.fields import seconds
from store.rules import calendar

_REMEMBERED_NIGHTS = 31  # after a longer downtime older nights are not recorded one by one
_STALE_AFTER_NIGHTS = 3


def create(zone_name: str, night: date, now: datetime, *, hour: int = 2, window: int = 0) -> int:
    """Mark every sandbox of the zone that is to be refreshed for that night; the number of markers written.

    A company gets one when, at `hour` local time, it was active with API Access enabled and had a key that would be
    accepted in Sandbox: alive, and its resource active and licensed. It falls due within `window` minutes from then on,
    each company at its own minute; where the sandbox is left alone it is held instead. Older markers that nobody took,
    and nights since the last marked one on which no worker ran, are missed.
    """
    zone = calendar.zone(zone_name)
    with session(), writing():
        sandbox_holds.end_past(zone_name, night, now)
        run_sql(_GIVE_UP_OLDER, (seconds(now), night.isoformat(), zone_name))
        written = 0
        for missed in _nights_without_worker(zone_name, night):
            at = seconds(calendar.at_local(missed, hour, 0, zone))
            values = (missed.isoformat(), at, at, missed.isoformat(), at, seconds(now), zone_name, *[at] * 8)
            written += run_sql(_MISSED, values).rowcount
        at = seconds(calendar.at_local(night, hour, 0, zone))
        spread = max(1, window * 60)
        values = (night.isoformat(), night.isoformat(), at, spread, night.isoformat(), zone_name, *[at] * 7)
        written += run_sql(_DUE, values).rowcount
        _tell_of_stale(zone_name, night, now)
        return int(written)


def _nights_without_worker(zone_name: str, night: date) -> list[date]:
    last = run_sql(_LAST_MARKED, (zone_name, night.isoformat())).fetchone()[0]
    if last is None:
        return []
    first = max(date.fromisoformat(last) + timedelta(days=1), night - timedelta(days=_REMEMBERED_NIGHTS))
    zone = calendar.zone(zone_name)
    nights = [first + timedelta(days=days) for days in range((night - first).days)]
    return [each for each in nights if _exists(each, zone)]


def _exists(day: date, zone: Any) -> bool:
    """Whether the zone had that day at all."""
    return calendar.start_of_day(day, zone) < calendar.start_of_day(day + timedelta(days=1), zone)


def _tell_of_stale(zone_name: str, night: date, now: datetime) -> None:
    """One mail for each time that a sandbox which used to be refreshed is left alone, and nobody wanted it to be."""
    recent, limit = night - timedelta(days=_REMEMBERED_NIGHTS), night - timedelta(days=_STALE_AFTER_NIGHTS)
    values = (zone_name, night.isoformat(), recent.isoformat(), limit.isoformat(), _STALE_AFTER_NIGHTS - 1)
    for company_id, last in run_sql(_STALE, values).fetchall():
        message = f"No refresh has been reported since the night of {last}."
        reason = f"sandbox_stale:{company_id}:{last}"
        sandbox_mails.tell(int(company_id), reason, night - timedelta(days=1), message, now)


_KEYS_THEN = """
    SELECT 1 FROM api_key k JOIN company_user u ON u.id = k.resource_id {more}
     WHERE k.company_id = c.id AND k.environment IN ('sandbox', 'all')
       AND u.licensed_at <= ? AND (u.deactivated_at IS NULL OR u.deactivated_at > ?)
"""

_DUE = """
    INSERT INTO refresh_marker (company_id, night, state, due_at, attempt, message)
    SELECT c.id, ?,
           CASE WHEN EXISTS (SELECT 1 {open}) THEN 'held' ELSE 'due' END,
           ? + (c.id * 48271) % ?, 0,
           (SELECT {said} {open} ORDER BY h.kind LIMIT 1)
      FROM company c
      JOIN integration i ON i.company_id = c.id AND i.code = 'api_access'
     WHERE c.time_zone = ? AND (c.deactivated_at IS NULL OR c.deactivated_at > ?) AND i.enabled_at <= ?
       AND EXISTS ({keys}
                      AND k.created_at <= ? AND k.ends_at > ? AND (k.revoked_at IS NULL OR k.revoked_at > ?))
     ORDER BY c.id
    ON CONFLICT (company_id, night) DO NOTHING
"""
for _mark, _text in (
    ("{said}", sandbox_holds.SAID),
    ("{open}", sandbox_holds.standing_at("c.id", "?")),
    ("{keys}", _KEYS_THEN.replace("{more}", "")),
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
     WHERE c.time_zone = ? AND c.created_at <= ? AND (c.deactivated_at IS NULL OR c.deactivated_at > ?)
       AND EXISTS (SELECT 1 FROM integration_span s
                    WHERE s.integration_id = i.id AND s.started_at <= ? AND (s.ended_at IS NULL OR s.ended_at > ?))
       AND EXISTS ({keys}
                      AND s.started_at <= ? AND s.ended_at > ?)
     ORDER BY c.id
    ON CONFLICT (company_id, night) DO NOTHING
""".replace("{keys}", _KEYS_THEN.replace("{more}", "JOIN key_span s ON s.key_id = k.id"))

_GIVE_UP_OLDER = """
    UPDATE refresh_marker
       SET state = CASE WHEN failures IS NULL OR message IS NULL THEN 'missed' ELSE 'failed' END,
           token = NULL, finished_at = ?
     WHERE state IN ('due', 'running') AND state = 'due' AND night < ?
       AND company_id IN (SELECT id FROM company WHERE time_zone = ?)
"""

_LAST_MARKED = """
    SELECT max(m.night) FROM refresh_marker m JOIN company c ON c.id = m.company_id
     WHERE c.time_zone = ? AND m.night < ?
"""

_STALE = """
    SELECT m.company_id, max(d.night)
      FROM refresh_marker m
      JOIN company c ON c.id = m.company_id AND c.time_zone = ?
      JOIN refresh_marker d ON d.company_id = m.company_id AND d.state = 'done'
     WHERE m.night = ? AND m.state <> 'held' AND d.night >= ?
       AND NOT EXISTS (SELECT 1 FROM refresh_marker f
                        WHERE f.company_id = m.company_id AND f.state = 'failed' AND f.night > d.night)
     GROUP BY m.company_id
    HAVING max(d.night) <= ?
       AND (SELECT count(*) FROM refresh_marker g
             WHERE g.company_id = m.company_id AND g.state = 'missed' AND g.night > max(d.night)) >= ?
"""
