"""Refresh markers: that a company's sandbox is to be, is being, or has been refreshed from production for one night.

Any pipeline may take them: `claim`, `heartbeat` while it works, then `done` or `fail`, each with the claim's token.
A token whose lease was given to somebody else finishes nothing.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from store import companies, sandbox_holds, sandbox_mails
from store.actors import Actor, require
from store.change import Change, change
from store.database import backend, run_alone, run_many, run_sql, session, transact, writing
from store.errors import Refused
from store.fields import instant, seconds
from store.mail_contexts import instant_text
from store.rules.key_format import redact
from store.rules.text import one_line, visible

_SOONEST_RETRY, _LATEST_RETRY = timedelta(minutes=1), timedelta(days=1)
_MESSAGE_LIMIT = 600
LONGEST_LEASE = timedelta(days=7)
_CLOCKS_ARE_APART = timedelta(days=1)  # at most; a lease that ends later than that was given by a clock gone wrong
_CLAIM_LOCK = 0x6B647266  # one PostgreSQL claimant at a time sees which sandboxes are being refreshed


class LeaseLost(Refused):
    """The claim is over: it was reported, or its lease ran out and the marker is due again or somebody else's."""


@dataclass(frozen=True)
class Report:
    """What a report has made of a claim."""

    company: str  # the company's id in the main system
    night: date
    attempt: int
    state: str  # done, failed; due: it is tried again at `due_at`
    failures: int  # in a row
    due_at: datetime | None
    quarantined: bool


@dataclass
class _Marker:
    """A marker as it stands in this transaction, and its company's id in the main system."""

    id: int
    company_id: int
    company: str
    night: date
    due_at: datetime
    state: str
    attempt: int
    failures: int | None
    token: str | None
    claimed_by: str | None
    message: str | None
    quarantined: bool  # its company's sandbox


@dataclass(frozen=True)
class Claim:
    """A marker that was taken: what a pipeline needs to refresh one company's sandbox."""

    token: str
    company: str  # the company's id in the main system
    name: str
    night: date
    attempt: int
    lease_until: datetime


def claim(
    actor: Actor, limit: int, lease: timedelta, now: datetime, claimed_by: str, *, at_once: int = 0
) -> list[Claim]:
    """Take up to `limit` due markers, oldest first, for as long as the lease. Two claimants never get the same one.

    With `at_once`, no more than so many are claimed at the same time, by whomever. One company's sandbox never is more
    than once: its next night waits until the last claim is over.
    Nobody's data is copied who has left or switched API Access off meanwhile: such a marker is left, and missed later.
    """

    def take() -> list[Claim]:
        require(actor, "sandbox.refresh", None)
        if backend() == "postgresql":
            run_sql("SELECT pg_advisory_xact_lock(?)", (_CLAIM_LOCK,))
        run_sql(_RETURN, _over(now))
        query = _NEXT + (" FOR UPDATE OF m SKIP LOCKED" if backend() == "postgresql" else "")
        taken, rows = [], []
        most = min(limit, _left(at_once)) if at_once else limit
        for marker_id, company, name, night, attempt in run_sql(query, (seconds(now), most)).fetchall():
            token = f"{marker_id}.{secrets.token_urlsafe(15)}"
            rows.append((token, claimed_by[:64], seconds(now + lease), seconds(now), marker_id))
            taken.append(Claim(token, company, name, date.fromisoformat(night), attempt + 1, now + lease))
        run_many(_TAKE, rows)
        return taken

    with session():
        if run_sql(_WAITING, (seconds(now), *_over(now))).fetchone() is None:
            require(actor, "sandbox.refresh", None)
            return []  # who asks again and again while nothing is due never takes the write lock
        return transact(take)


def _left(at_once: int) -> int:
    """How many more may be claimed."""
    return max(0, at_once - int(run_sql(_RUNNING).fetchone()[0]))


def heartbeat(actor: Actor, token: str, lease: timedelta, now: datetime) -> datetime:
    """Hold a claim for another lease from now on; gives its new end. LeaseLost when it is over."""

    def hold() -> datetime:
        require(actor, "sandbox.refresh", None)
        marker = _of(token)
        changed = run_sql(
            "UPDATE refresh_marker SET lease_until = ? WHERE id = ? AND token = ? AND state = 'running'",
            (seconds(now + lease), marker.id, token),
        ).rowcount
        if changed != 1:
            raise _ended(marker)
        return now + lease

    with session():
        return transact(hold)


def done(actor: Actor, token: str, message: str, now: datetime) -> Report:
    """Report that the sandbox was refreshed. Said twice, it is the same as once."""
    with change(actor, "sandbox.refresh", None, now) as made:
        marker = _of(token)
        if marker.state != "done":
            _finish(made, marker, "done", message, failures=0)
        return _report(marker)


def fail(actor: Actor, token: str, message: str, now: datetime, *, retry_in: timedelta | None = None) -> Report:
    """Report that the refresh failed, and why. Said twice, it is the same as once.

    Refused when another try is asked for only the second time, and could have been had the first time.
    With `retry_in` the night is due again after that, unless a newer one has been marked, and nobody is mailed.
    Without, those to notify get one mail about this attempt. Too many failures in a row put the sandbox in quarantine:
    it is not tried again until a person lets it go, and that is mailed whatever was asked for.
    """
    if retry_in is not None and not _SOONEST_RETRY <= retry_in <= _LATEST_RETRY:
        raise Refused("A refresh is tried again after 1 to 1,440 minutes (a day).")
    with change(actor, "sandbox.refresh", None, now) as made:
        companies.held(_company(token))  # of two failures of a company the later counts the earlier
        marker = _of(token)
        if marker.state in {"running", "done"}:  # whatever else carries a token was reported as failed before
            _fail(made, marker, message, retry_in)
        elif retry_in is not None and marker.state == "failed" and not marker.quarantined and _may_be_retried(marker):
            raise Refused(
                "This refresh was reported as failed before, without another try; nothing was changed. `keydesk "
                f"sandbox again {visible(marker.company)}` has it tried again."
            )
        return _report(marker)


def put_back(actor: Actor, token: str) -> None:
    """Give a claim back unfinished; the marker is due at once, or missed where a newer night has been marked since."""
    with session(), writing():
        require(actor, "sandbox.refresh", None)
        marker = _of(token)
        if run_sql(_RETURN.replace(_OVER, "id = ?"), (marker.id,)).rowcount != 1:
            raise _ended(marker)


def return_expired(now: datetime) -> int:
    """Let go of claims whose lease is over: due again, or missed where a newer night has been marked since."""
    with session():
        return run_alone(_RETURN, _over(now))


def _over(now: datetime) -> tuple[int, int]:
    """Until when, and from when on, the leases end that are over."""
    return seconds(now), seconds(now + LONGEST_LEASE + _CLOCKS_ARE_APART)


def _fail(made: Change, marker: _Marker, message: str, retry_in: timedelta | None) -> None:
    failures = 1 + int(run_sql(_FAILED_BEFORE, (marker.company_id, marker.night.isoformat())).fetchone()[0])
    too_many = failures >= sandbox_holds.QUARANTINED_AFTER
    retried = retry_in is not None and not too_many and _may_be_retried(marker)
    if retried and retry_in is not None:
        _finish(made, marker, "due", message, failures=failures, due_at=made.now + retry_in)
    else:
        _finish(made, marker, "failed", message, failures=failures)
    if too_many:
        sandbox_holds.quarantine(made, marker.company_id, failures)
        marker.quarantined = True
    if not retried:
        reason = f"sandbox_failed:{marker.id}:{marker.attempt}"
        told = failures if too_many else 0
        sandbox_mails.tell(marker.company_id, reason, marker.night, str(marker.message), made.now, failures=told)


def _may_be_retried(marker: _Marker) -> bool:
    """Whether the night is the newest and nobody holds it."""
    return run_sql(_MAY_BE_RETRIED, (marker.id,)).fetchone() is not None


def _finish(
    made: Change, marker: _Marker, state: str, message: str, *, failures: int, due_at: datetime | None = None
) -> None:
    """Close the marker, or with `due_at` let it wait for its next try."""
    marker.message = one_line(redact(message), _MESSAGE_LIMIT)
    at = made.now if due_at is None else None
    values = (state, marker.message, failures, at and seconds(at), due_at and seconds(due_at), marker.id, marker.token)
    if run_sql(_FINISH, values).rowcount != 1:
        if marker.state == "running":
            raise _lost()
        raise Refused(f"This refresh was reported as {_said(marker)} before; nothing was changed.")
    marker.state, marker.failures, marker.due_at = state, failures, due_at or marker.due_at
    after = {"state": state, "message": marker.message, "claimed_by": marker.claimed_by}
    if due_at is not None:
        after["due_at"] = instant_text(due_at)
    act = "sandbox.done" if state == "done" else "sandbox.failed"
    made.event(act, f"sandbox night {marker.night}", marker.company_id, after=after)


def _report(marker: _Marker) -> Report:
    return Report(
        company=marker.company,
        night=marker.night,
        attempt=marker.attempt,
        state=marker.state,
        failures=marker.failures or 0,
        due_at=marker.due_at if marker.state == "due" else None,
        quarantined=bool(marker.quarantined),
    )


def _number(token: str) -> int:
    """Of the marker that the token names; Refused when it can be no token."""
    number = token.partition(".")[0]
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise Refused("This is not a token of a claim; `keydesk sandbox next` prints one.")
    return int(number)


def _company(token: str) -> int:
    found = run_sql("SELECT company_id FROM refresh_marker WHERE id = ?", (_number(token),)).fetchone()
    if found is None:
        raise _lost()
    return int(found[0])


def _of(token: str) -> _Marker:
    """The marker that the token was given for, as it stands in this transaction. LeaseLost when it has another now."""
    query = _MARKER + (" FOR UPDATE OF m" if backend() == "postgresql" else "")
    found = run_sql(query, (_number(token),)).fetchone()
    if found is None or not hmac.compare_digest((found[8] or "").encode(), token.encode()):
        raise _lost()
    number, company_id, company, night, due_at, *others = found
    return _Marker(number, company_id, company, date.fromisoformat(night), instant(due_at), *others)


def _said(marker: _Marker) -> str:
    """What was reported of a marker that still has its token and does not run."""
    return "done" if marker.state == "done" else "failed"


def _ended(marker: _Marker) -> LeaseLost:
    """Why a claim that still has its token is held no longer."""
    if marker.state == "running":
        return _lost()
    return LeaseLost(f"This refresh was reported as {_said(marker)} before; its claim is over.")


def _lost() -> LeaseLost:
    return LeaseLost("The lease of this claim is lost: the refresh is due again or somebody else has taken it.")


_MARKER = """
    SELECT m.id, m.company_id, c.external_id, m.night, m.due_at, m.state, m.attempt, m.failures, m.token, m.claimed_by,
           m.message, EXISTS ({quarantined})
      FROM refresh_marker m JOIN company c ON c.id = m.company_id
     WHERE m.id = ?
""".replace("{quarantined}", sandbox_holds.quarantined("m.company_id"))

# The list of states is that of the partial index; SQLite uses it only where it stands word for word.
_NEXT = """
    SELECT m.id, c.external_id, c.name, m.night, m.attempt
      FROM refresh_marker m JOIN company c ON c.id = m.company_id
     WHERE m.state IN ('due', 'running') AND m.state = 'due' AND m.due_at <= ? AND c.deactivated_at IS NULL
       AND EXISTS (SELECT 1 FROM integration i
                    WHERE i.company_id = c.id AND i.code = 'api_access' AND i.enabled_at IS NOT NULL)
       AND NOT EXISTS (SELECT 1 {open})
       AND NOT EXISTS (SELECT 1 FROM refresh_marker r WHERE r.company_id = c.id AND r.state = 'running')
       AND NOT EXISTS (SELECT 1 FROM refresh_marker newer WHERE newer.company_id = c.id AND newer.night > m.night)
     ORDER BY m.due_at, m.id
     LIMIT ?
""".replace("{open}", sandbox_holds.standing_at("c.id", "m.night"))

_OVER = "(lease_until <= ? OR lease_until > ?)"

_WAITING = """
    SELECT 1 FROM refresh_marker
     WHERE state IN ('due', 'running') AND ((state = 'due' AND due_at <= ?) OR (state = 'running' AND {over}))
     LIMIT 1
""".replace("{over}", _OVER)

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
                        THEN CASE WHEN failures IS NULL OR message IS NULL THEN 'missed' ELSE 'failed' END
                        WHEN EXISTS (SELECT 1 {open}) THEN 'held'
                        ELSE 'due' END,
           token = NULL, lease_until = NULL
     WHERE state IN ('due', 'running') AND state = 'running' AND (lease_until <= ? OR lease_until > ?)
""".replace("{open}", sandbox_holds.standing_at("refresh_marker.company_id", "refresh_marker.night"))

_FINISH = """
    UPDATE refresh_marker
       SET state = ?, message = ?, failures = ?, finished_at = ?, due_at = COALESCE(?, due_at), lease_until = NULL
     WHERE id = ? AND token = ? AND state = 'running'
"""

# What was reported last, for this night or one before it; where nobody has reported since a person let go: 0.
_FAILED_BEFORE = """
    SELECT COALESCE((SELECT failures FROM refresh_marker
                      WHERE company_id = ? AND night <= ? AND failures IS NOT NULL ORDER BY night DESC LIMIT 1), 0)
"""

_MAY_BE_RETRIED = """
    SELECT m.id FROM refresh_marker m
     WHERE m.id = ?
       AND NOT EXISTS (SELECT 1 FROM refresh_marker newer
                        WHERE newer.company_id = m.company_id AND newer.night > m.night)
       AND NOT EXISTS (SELECT 1 {open})
""".replace("{open}", sandbox_holds.standing_at("m.company_id", "m.night"))
