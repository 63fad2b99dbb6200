"""Refresh markers: that a company's sandbox is to be, is being, or has been refreshed from production for one night.

Any pipeline may take them: `claim`, `heartbeat` while it works, then `done` or `fail`, each with the claim's token.
A token whose lease was given to somebody else finishes nothing.
"""

import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from store import companies
from store.actors import Actor, require
from store.change import Change, change
from store.database import backend, run_sql, session, transact, writing
from store.errors import NotFound, Refused
from store.fields import seconds
from store.mail_contexts import owed
from store.outbox import queue
from store.recipients import recipients
from store.rules import calendar
from store.rules.key_format import redact
from store.rules.text import one_line
from store.tables import RefreshMarker

_REMEMBERED_NIGHTS = 31  # after a longer downtime older nights are not recorded one by one
_STALE_AFTER_NIGHTS = 3
_MAIL_IS_USEFUL_FOR = timedelta(days=3)
_MESSAGE_LIMIT = 600
_CLAIM_LOCK = 0x6B647266  # one PostgreSQL claimant at a time, where there is a limit


class LeaseLost(Refused):
    """The claim is over: its lease ran out and the marker went to somebody else, or is due again."""


@dataclass(frozen=True)
class Claim:
    """A marker that was taken: what a pipeline needs to refresh one company's sandbox."""

    token: str
    company: str  # the company's id in the main system
    name: str
    night: date
    attempt: int
    lease_until: datetime


@dataclass(frozen=True)
class Freshness:
    """How old a sandbox is: its newest marker, and the night that it was last refreshed for."""

    night: date
    state: str
    message: str | None
    last_done: date | None
    last_done_at: datetime | None


def create(zone_name: str, night: date, now: datetime, *, hour: int = 2, window: int = 0) -> int:
    """Mark every sandbox of the zone that is to be refreshed for that night; the number of markers written.

    A company gets one when, at `hour` local time, it was active with API Access enabled and had a live key that covers
    Sandbox. It falls due within `window` minutes from then on, each company at its own minute. Older markers that
    nobody took, and nights since the last marked one on which no worker ran, are missed.
    """
    zone = calendar.zone(zone_name)
    with session(), writing():
        run_sql(_GIVE_UP_OLDER, (seconds(now), night.isoformat(), zone_name))
        written = 0
        for missed in _nights_without_worker(zone_name, night):
            at = seconds(calendar.at_local(missed, hour, 0, zone))
            written += run_sql(_MISSED, (missed.isoformat(), at, seconds(now), zone_name, *[at] * 6)).rowcount
        at = seconds(calendar.at_local(night, hour, 0, zone))
        written += run_sql(_DUE, (night.isoformat(), at, max(1, window * 60), zone_name, *[at] * 5)).rowcount
        _tell_of_stale(zone_name, night, now)
        return int(written)


def claim(
    actor: Actor, limit: int, lease: timedelta, now: datetime, claimed_by: str, *, at_once: int = 0
) -> list[Claim]:
    """Take up to `limit` due markers, oldest first, for as long as the lease. Two claimants never get the same one.

    With `at_once`, no more than so many are claimed at the same time, by whomever.
    Nobody's data is copied who has left or switched API Access off meanwhile: such a marker is left, and missed later.
    """

    def take() -> list[Claim]:
        require(actor, "sandbox.refresh", None)
        return_expired(now)
        query = _NEXT + (" FOR UPDATE OF m SKIP LOCKED" if backend() == "postgresql" else "")
        taken = []
        most = min(limit, _left(at_once)) if at_once else limit
        for marker_id, company, name, night, attempt in run_sql(query, (seconds(now), most)).fetchall():
            token = f"{marker_id}.{secrets.token_urlsafe(15)}"
            run_sql(_TAKE, (token, claimed_by[:64], seconds(now + lease), seconds(now), marker_id))
            taken.append(Claim(token, company, name, date.fromisoformat(night), attempt + 1, now + lease))
        return taken

    with session():
        return transact(take)


def _left(at_once: int) -> int:
    """How many more may be claimed; whoever asks next waits for what this transaction takes."""
    if backend() == "postgresql":
        run_sql("SELECT pg_advisory_xact_lock(?)", (_CLAIM_LOCK,))
    return max(0, at_once - int(run_sql(_RUNNING).fetchone()[0]))


def heartbeat(actor: Actor, token: str, lease: timedelta, now: datetime) -> datetime:
    """Hold a claim for another lease from now on; gives its new end. LeaseLost when it is over."""
    with session(), writing():
        require(actor, "sandbox.refresh", None)
        marker = _of(token)
        changed = run_sql(
            "UPDATE refresh_marker SET lease_until = ? WHERE id = ? AND token = ? AND state = 'running'",
            (seconds(now + lease), marker.id, token),
        ).rowcount
        if changed != 1:
            raise _lost()
        return now + lease


def done(actor: Actor, token: str, message: str, now: datetime) -> None:
    """Report that the sandbox was refreshed. Said twice, it is the same as once."""
    with change(actor, "sandbox.refresh", None, now) as made:
        _finish(made, token, "done", message)


def fail(actor: Actor, token: str, message: str, now: datetime) -> None:
    """Report that the refresh failed, and why; those to notify get one mail about this attempt, said twice or once."""
    with change(actor, "sandbox.refresh", None, now) as made:
        marker = _finish(made, token, "failed", message)
        if marker is not None:
            _tell(
                marker.company_id,
                f"sandbox_failed:{marker.id}:{marker.attempt}",
                marker.night,
                str(marker.message),
                now,
            )


def put_back(actor: Actor, token: str) -> None:
    """Give a claim back unfinished; the marker is due at once, or missed where a newer night has been marked since."""
    with session(), writing():
        require(actor, "sandbox.refresh", None)
        marker = _of(token)
        if run_sql(_RETURN.replace("lease_until <= ?", "id = ?"), (marker.id,)).rowcount != 1:
            raise _lost()


def again(actor: Actor, marker_id: int, now: datetime) -> None:
    """Make a marker due once more. Refused unless it failed or was missed and is the company's newest."""
    marker = RefreshMarker.get_or_none(RefreshMarker.id == marker_id)
    if marker is None:
        raise NotFound("There is no such refresh marker any more; go back and look again.")
    with change(actor, "sandbox.refresh", marker.company_id, now) as made:
        changed = run_sql(_AGAIN, (seconds(now), marker_id)).rowcount
        if changed != 1:
            raise Refused(
                "Only the newest night of a company can be refreshed again, once it has failed or was missed."
            )
        night = f"sandbox night {marker.night}"
        made.event("sandbox.again", night, marker.company_id, before={"state": marker.state}, after={"state": "due"})


def return_expired(now: datetime) -> int:
    """Let go of claims whose lease is over: due again, or missed where a newer night has been marked since."""
    with session(), writing():
        return int(run_sql(_RETURN, (seconds(now),)).rowcount)


def freshness(company_id: int) -> Freshness | None:
    """How fresh the company's sandbox is; None when it was never marked."""
    with session():
        rows = RefreshMarker.select().where(RefreshMarker.company == company_id)
        newest = rows.order_by(RefreshMarker.night.desc()).first()
        if newest is None:
            return None
        last = rows.where(RefreshMarker.state == "done").order_by(RefreshMarker.night.desc()).first()
    return Freshness(
        newest.night,
        newest.state,
        newest.message,
        last.night if last else None,
        last.finished_at if last else None,
    )


def _finish(made: Change, token: str, state: str, message: str) -> RefreshMarker | None:
    """Close the marker; None when the same was reported before."""
    marker = _of(token)
    if marker.state == state:
        return None
    said = one_line(redact(message), _MESSAGE_LIMIT)
    changed = run_sql(
        "UPDATE refresh_marker SET state = ?, message = ?, finished_at = ?, lease_until = NULL "
        "WHERE id = ? AND token = ? AND state = 'running'",
        (state, said, seconds(made.now), marker.id, token),
    ).rowcount
    if changed != 1:
        if marker.state in {"done", "failed"}:
            raise Refused(f"This refresh was reported as {marker.state} before; nothing was changed.")
        raise _lost()
    after = {"state": state, "message": said, "claimed_by": marker.claimed_by}
    made.event(f"sandbox.{state}", f"sandbox night {marker.night}", marker.company_id, after=after)
    marker.state, marker.message = state, said
    return marker


def _of(token: str) -> RefreshMarker:
    """The marker that the token was given for, as it stands in this transaction. LeaseLost when it has another now."""
    number = token.partition(".")[0]
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise Refused("This is not a token of a claim; `keydesk sandbox next` prints one.")
    query = RefreshMarker.select().where(RefreshMarker.id == int(number))
    marker = (query.for_update() if backend() == "postgresql" else query).first()
    if marker is None or not hmac.compare_digest((marker.token or "").encode(), token.encode()):
        raise _lost()
    found: RefreshMarker = marker
    return found


def _lost() -> LeaseLost:
    return LeaseLost("The lease of this claim is lost: the refresh is due again or somebody else has taken it.")


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
    """One mail for each time that a sandbox which used to be refreshed is left alone."""
    recent, limit = night - timedelta(days=_REMEMBERED_NIGHTS), night - timedelta(days=_STALE_AFTER_NIGHTS)
    values = (zone_name, night.isoformat(), recent.isoformat(), limit.isoformat())
    for company_id, last in run_sql(_STALE, values).fetchall():
        message = f"No refresh has been reported since the night of {last}."
        _tell(int(company_id), f"sandbox_stale:{company_id}:{last}", night - timedelta(days=1), message, now)


def _tell(company_id: int, reason: str, night: date, message: str, now: datetime) -> None:
    company = companies.get(company_id)
    last_done = run_sql(_LAST_DONE, (company_id,)).fetchone()[0]
    context = {
        "company": company.name,
        "zone": company.time_zone,
        "night": night.isoformat(),
        "message": message,
        "data_from": last_done,
    }
    mails = (owed("sandbox_failed", company, each, reason, context) for each in recipients(company_id))
    queue([replace(mail, useless_after=now + _MAIL_IS_USEFUL_FOR) for mail in mails], now)


_DUE = """
    INSERT INTO refresh_marker (company_id, night, state, due_at, attempt)
    SELECT c.id, ?, 'due', ? + (c.id * 48271) % ?, 0
      FROM company c
      JOIN integration i ON i.company_id = c.id AND i.code = 'api_access'
     WHERE c.time_zone = ? AND (c.deactivated_at IS NULL OR c.deactivated_at > ?) AND i.enabled_at <= ?
       AND EXISTS (SELECT 1 FROM api_key k
                    WHERE k.company_id = c.id AND k.environment IN ('sandbox', 'all') AND k.created_at <= ?
                      AND k.ends_at > ? AND (k.revoked_at IS NULL OR k.revoked_at > ?))
     ORDER BY c.id
    ON CONFLICT (company_id, night) DO NOTHING
"""

# As things stood on a past night: a key may have been given a new date since, API Access switched.
_MISSED = """
    INSERT INTO refresh_marker (company_id, night, state, due_at, finished_at, attempt)
    SELECT c.id, ?, 'missed', ?, ?, 0
      FROM company c
      JOIN integration i ON i.company_id = c.id AND i.code = 'api_access'
     WHERE c.time_zone = ? AND c.created_at <= ? AND (c.deactivated_at IS NULL OR c.deactivated_at > ?)
       AND EXISTS (SELECT 1 FROM integration_span s
                    WHERE s.integration_id = i.id AND s.started_at <= ? AND (s.ended_at IS NULL OR s.ended_at > ?))
       AND EXISTS (SELECT 1 FROM api_key k JOIN key_span s ON s.key_id = k.id
                    WHERE k.company_id = c.id AND k.environment IN ('sandbox', 'all')
                      AND s.started_at <= ? AND s.ended_at > ?)
     ORDER BY c.id
    ON CONFLICT (company_id, night) DO NOTHING
"""

_GIVE_UP_OLDER = """
    UPDATE refresh_marker SET state = 'missed', finished_at = ?
     WHERE state IN ('due', 'running') AND state = 'due' AND night < ?
       AND company_id IN (SELECT id FROM company WHERE time_zone = ?)
"""

_LAST_MARKED = """
    SELECT max(m.night) FROM refresh_marker m JOIN company c ON c.id = m.company_id
     WHERE c.time_zone = ? AND m.night < ?
"""

# The list of states is that of the partial index; SQLite uses it only where it stands word for word.
_NEXT = """
    SELECT m.id, c.external_id, c.name, m.night, m.attempt
      FROM refresh_marker m JOIN company c ON c.id = m.company_id
     WHERE m.state IN ('due', 'running') AND m.state = 'due' AND m.due_at <= ? AND c.deactivated_at IS NULL
       AND EXISTS (SELECT 1 FROM integration i
                    WHERE i.company_id = c.id AND i.code = 'api_access' AND i.enabled_at IS NOT NULL)
     ORDER BY m.due_at, m.id
     LIMIT ?
"""

_RUNNING = "SELECT count(*) FROM refresh_marker WHERE state IN ('due', 'running') AND state = 'running'"

_TAKE = """
    UPDATE refresh_marker
       SET state = 'running', attempt = attempt + 1, token = ?, claimed_by = ?, lease_until = ?, started_at = ?
     WHERE id = ? AND state = 'due'
"""

_RETURN = """
    UPDATE refresh_marker
       SET state = CASE WHEN EXISTS (SELECT 1 FROM refresh_marker newer
                                      WHERE newer.company_id = refresh_marker.company_id
                                        AND newer.night > refresh_marker.night)
                        THEN 'missed' ELSE 'due' END,
           token = NULL, lease_until = NULL
     WHERE state IN ('due', 'running') AND state = 'running' AND lease_until <= ?
"""

_AGAIN = """
    UPDATE refresh_marker
       SET state = 'due', due_at = ?, token = NULL, finished_at = NULL, message = NULL
     WHERE id = ? AND state IN ('failed', 'missed')
       AND NOT EXISTS (SELECT 1 FROM refresh_marker newer
                        WHERE newer.company_id = refresh_marker.company_id AND newer.night > refresh_marker.night)
"""

_LAST_DONE = "SELECT max(night) FROM refresh_marker WHERE company_id = ? AND state = 'done'"

_STALE = """
    SELECT m.company_id, max(d.night)
      FROM refresh_marker m
      JOIN company c ON c.id = m.company_id AND c.time_zone = ?
      JOIN refresh_marker d ON d.company_id = m.company_id AND d.state = 'done'
     WHERE m.night = ? AND d.night >= ?
       AND NOT EXISTS (SELECT 1 FROM refresh_marker f
                        WHERE f.company_id = m.company_id AND f.state = 'failed' AND f.night > d.night)
     GROUP BY m.company_id
    HAVING max(d.night) <= ?
"""
