"""Sandboxes that are left alone: held by a person, or in quarantine because too many refreshes failed in a row."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from store import companies, events, sandbox_callers
from store.actors import WORKER, Actor
from store.change import Change, change
from store.database import backend, run_sql, session
from store.errors import NotFound, Refused
from store.events import Fact
from store.fields import seconds
from store.rules.text import check_name, visible
from store.tables import Company, RefreshMarker, SandboxHold

QUARANTINED_AFTER = 3  # failures in a row
_REASON_LIMIT = 200

# What a marker says of the hold `h` that it was held by.
SAID = "CASE h.kind WHEN 'hold' THEN 'Held: ' ELSE 'In quarantine: ' END || h.reason"


@dataclass(frozen=True)
class Again:
    """The night that is to be refreshed once more; None when the last one went well and the next is waited for."""

    night: date | None
    state: str
    released: bool  # a quarantine has ended with it


def hold(actor: Actor, company_id: int, reason: str, last_night: date | None, now: datetime) -> SandboxHold:
    """Refresh the company's sandbox no more, through the night of `last_night` or until it is released.

    Said twice, it is the same as once; said with another reason or night, that holds from then on. A refresh that runs
    is not stopped.
    """
    with change(actor, "sandbox.hold", company_id, now) as made:
        company = companies.held(company_id)
        why = check_name(reason, "The reason", limit=_REASON_LIMIT)
        today = companies.today(company, now)
        if last_night is not None and last_night < today:
            raise Refused(f"The last night that is held must not be over; name {today} or a later day, or none.")
        found = _open(company_id, "hold")
        before = _facts(found) if found is not None else None
        if found is None:
            values = {"company": company, "kind": "hold", "started_at": now, "started_by": actor.name[:64]}
            found = SandboxHold.create(reason=why, last_night=last_night, **values)
        elif before != {"reason": why, "last_night": last_night and last_night.isoformat()}:
            found.reason, found.last_night = why, last_night
            found.save()
        if before != _facts(found):
            made.event("sandbox.hold", "sandbox", company_id, before=before, after=_facts(found))
        _hold_due(company_id, last_night, f"Held: {why}")
        return found


def release(actor: Actor, company_id: int, now: datetime) -> list[SandboxHold]:
    """End hold and quarantine: the next night is refreshed. Gives what was ended; nothing when nothing stood."""
    with change(actor, "sandbox.release", company_id, now) as made:
        companies.held(company_id)
        ended = [each for kind in ("hold", "quarantine") if (each := _open(company_id, kind)) is not None]
        for each in ended:
            _end(made, each, now)
        return ended


def quarantine(made: Change, company_id: int, failures: int) -> bool:
    """Leave the sandbox alone until a person lets it go; whether this was the failure that began it."""
    reason = f"{failures} refreshes failed in a row."
    values = (company_id, reason, seconds(made.now), made.actor.name[:64])
    if run_sql(_QUARANTINE, values).rowcount != 1:
        return False
    made.event("sandbox.quarantine", "sandbox", company_id, after={"failures": failures})
    _hold_due(company_id, None, f"In quarantine: {reason}")
    return True


def again(actor: Actor, marker_id: int, now: datetime) -> Again:
    """Make a marker due at once, and end a quarantine.

    Refused unless it is the company's newest and failed, was missed or held, or waits for a later instant.
    """
    marker = RefreshMarker.get_or_none(RefreshMarker.id == marker_id)
    if marker is None:
        raise NotFound("There is no such refresh marker any more; go back and look again.")
    with change(actor, "sandbox.refresh", marker.company_id, now) as made:
        released = _let_go(made, marker.company_id, marker.night)
        state = _due_at_once(made, marker_id)
        if state is None and marker.state == "due":
            raise Refused("This night is due already; it waits for whoever takes it.")
        if state is None:
            raise Refused(
                "Only the newest night of a company can be refreshed again, once it has failed or was missed or held."
            )
        return Again(marker.night, "due", released)


def again_for(actor: Actor, company_id: int, now: datetime) -> Again:
    """Make the company's newest night due at once, and end a quarantine. Nothing changes when it is due or runs."""
    with change(actor, "sandbox.refresh", company_id, now) as made:
        newest = RefreshMarker.select().where(RefreshMarker.company == company_id)
        marker = newest.order_by(RefreshMarker.night.desc()).first()
        if marker is None:
            why = sandbox_callers.why_none(companies.get(company_id), now)
            next_one = "; it is marked for its next night" if why is None else f": {why}"
            raise Refused(f"This company's sandbox was never to be refreshed{next_one}.")
        released = _let_go(made, company_id, marker.night)
        state = _due_at_once(made, marker.id) or str(marker.state)
        if state == "done" and not released:
            why = sandbox_callers.why_none(companies.get(company_id), now)
            next_one = "; the next one is refreshed by itself" if why is None else f", and no other is marked: {why}"
            raise Refused(f"The night of {marker.night} is done{next_one}.")
        return Again(None if state == "done" else marker.night, state, released)


def standing_at(company: str, night: str) -> str:
    """For other statements: FROM and WHERE of the holds `h` that stand now and cover a night, as SQL expressions."""
    covers = f"(h.last_night IS NULL OR h.last_night >= {night})"
    return f"FROM sandbox_hold h WHERE h.company_id = {company} AND h.ended_at IS NULL AND {covers}"


def end_past(zone_name: str, night: date, now: datetime) -> None:
    """End the holds of the zone whose last night lies before this one, within the transaction that marks it."""
    query = _PAST + (" FOR UPDATE OF h" if backend() == "postgresql" else "")  # or one that is extended just now ends
    rows = run_sql(query, (zone_name, night.isoformat())).fetchall()
    for hold_id, _, _ in rows:
        run_sql(_END, (seconds(now), WORKER.name, hold_id))
    if rows:
        events.append(WORKER, now, _ended_by_themselves(rows))


def standing(company_id: int) -> dict[str, SandboxHold]:
    """What stands now, by kind."""
    with session():
        return {
            str(each.kind): each
            for each in SandboxHold.select().where(SandboxHold.company == company_id, SandboxHold.ended_at.is_null())
        }


def quarantined(company: str) -> str:
    """For other statements: finds something when the sandbox of a company, an SQL expression, is in quarantine now."""
    standing = "h.kind = 'quarantine' AND h.ended_at IS NULL"
    return f"SELECT 1 FROM sandbox_hold h WHERE h.company_id = {company} AND {standing}"  # noqa: S608 - ours


def counts() -> dict[str, int]:
    """How many sandboxes of active companies are held, and how many in quarantine."""
    with session():
        found = run_sql(_COUNTS).fetchall()
    by_kind = {str(kind): int(count) for kind, count in found}
    return {"held": by_kind.get("hold", 0), "quarantined": by_kind.get("quarantine", 0)}


def in_quarantine(limit: int) -> list[Company]:
    """The active companies whose sandboxes have been in quarantine longest."""
    with session():
        rows = SandboxHold.select(SandboxHold, Company).join(Company)
        open_ones = rows.where(
            SandboxHold.kind == "quarantine", SandboxHold.ended_at.is_null(), Company.deactivated_at.is_null()
        )
        return [row.company for row in open_ones.order_by(SandboxHold.started_at, SandboxHold.id).limit(limit)]


def _open(company_id: int, kind: str) -> SandboxHold | None:
    found: SandboxHold | None = SandboxHold.get_or_none(
        SandboxHold.company == company_id, SandboxHold.kind == kind, SandboxHold.ended_at.is_null()
    )
    return found


def _facts(held: SandboxHold) -> dict[str, Any]:
    return {"reason": held.reason, "last_night": held.last_night.isoformat() if held.last_night else None}


def _end(made: Change, held: SandboxHold, now: datetime) -> None:
    run_sql(_END, (seconds(now), made.actor.name[:64], held.id))
    made.event("sandbox.release", f"sandbox {held.kind}", held.company_id, before=_facts(held))
    if held.kind == "quarantine":
        run_sql(_COUNT_ANEW, (held.company_id, held.company_id))


def _let_go(made: Change, company_id: int, night: date) -> bool:
    """End the quarantine, if there is one. Refused while a person holds that night."""
    company = companies.held(company_id)
    held = _open(company_id, "hold")
    if held is not None and (held.last_night is None or held.last_night >= night):
        raise Refused(f"The sandbox of {visible(company.name)} is held ({visible(held.reason)}); release it first.")
    standing_one = _open(company_id, "quarantine")
    if standing_one is not None:
        _end(made, standing_one, made.now)
    return standing_one is not None


def _due_at_once(made: Change, marker_id: int) -> str | None:
    """The marker's new state, None when it may not become due."""
    before = RefreshMarker.get_by_id(marker_id)
    if run_sql(_AGAIN, (seconds(made.now), marker_id, seconds(made.now))).rowcount != 1:
        return None
    subject = f"sandbox night {before.night}"
    made.event("sandbox.again", subject, before.company_id, before={"state": before.state}, after={"state": "due"})
    return "due"


def _hold_due(company_id: int, last_night: date | None, message: str) -> None:
    night = last_night.isoformat() if last_night else None
    run_sql(_HOLD_DUE, (message, company_id, night, night))


def _ended_by_themselves(rows: list[tuple[Any, ...]]) -> Iterator[Fact]:
    for _, company_id, last_night in rows:
        yield Fact("sandbox.release", "sandbox hold", company_id, {"last_night": last_night})


_QUARANTINE = """
    INSERT INTO sandbox_hold (company_id, kind, reason, started_at, started_by) VALUES (?, 'quarantine', ?, ?, ?)
    ON CONFLICT (company_id, kind) WHERE ended_at IS NULL DO NOTHING
"""
_COUNTS = """
    SELECT h.kind, count(*) FROM sandbox_hold h JOIN company c ON c.id = h.company_id
     WHERE h.ended_at IS NULL AND c.deactivated_at IS NULL GROUP BY h.kind
"""
_END = "UPDATE sandbox_hold SET ended_at = ?, ended_by = ? WHERE id = ? AND ended_at IS NULL"
_PAST = """
    SELECT h.id, h.company_id, h.last_night FROM sandbox_hold h JOIN company c ON c.id = h.company_id
     WHERE h.ended_at IS NULL AND c.time_zone = ? AND h.last_night < ? ORDER BY h.id
"""
# The list of states is that of the partial index; SQLite uses it only where it stands word for word.
_HOLD_DUE = """
    UPDATE refresh_marker SET state = 'held', message = ?, token = NULL
     WHERE state IN ('due', 'running') AND state = 'due' AND company_id = ?
       AND (CAST(? AS VARCHAR) IS NULL OR night <= ?)
"""
_AGAIN = """
    UPDATE refresh_marker
       SET state = 'due', due_at = ?, token = NULL, finished_at = NULL, message = NULL
     WHERE id = ? AND (state IN ('failed', 'missed', 'held') OR (state = 'due' AND due_at > ?))
       AND NOT EXISTS (SELECT 1 FROM refresh_marker newer
                        WHERE newer.company_id = refresh_marker.company_id AND newer.night > refresh_marker.night)
"""
_COUNT_ANEW = """
    UPDATE refresh_marker SET failures = 0
     WHERE company_id = ? AND night = (SELECT max(night) FROM refresh_marker WHERE company_id = ?)
"""
