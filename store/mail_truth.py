"""What a queued mail says, as it is true now: asked once more before it goes, and when something about it changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from operator import itemgetter
from typing import Any

from store.database import one_of_few, run_sql, session, writing
from store.due_notices import REACHES, noticed
from store.errors import KeydeskError
from store.mail_kinds import DIGESTS, KEYS_TOLD
from store.rules import calendar
from store.tables import Email


class NoLongerTrue(KeydeskError):
    """Nothing of a queued mail is true any more; the text says why, `fallen` names its (notice, key) pairs."""

    def __init__(self, reason: str, fallen: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__(reason)
        self.fallen = tuple(fallen)


@dataclass(frozen=True)
class Confirmed:
    """What a mail says as it is true now. Of a digest also what it tells of, and whose keys these are."""

    said: dict[str, Any]
    told: tuple[tuple[str, str, int], ...] = ()  # each key's handle, its expiry date and the threshold
    company: tuple[str, str] | None = None  # its external id and time zone


def still_true(email: Email, now: datetime) -> Confirmed:
    """What the mail says, as it is true at `now`: keys that do not owe it any more have gone, last uses are today's.

    Raises NoLongerTrue when nothing is left. Mails about what somebody did are always true. Nothing is written.
    """
    return _judged(email, now)[0]


def unchanged(email: Email, now: datetime, truth: list[Any] | None = None) -> Confirmed | None:
    """What the mail says when all of it is still true, else None; `truth` as for confirm. Nothing is written."""
    try:
        confirmed, fallen = _judged(email, now, truth)
    except NoLongerTrue:
        return None
    return None if fallen else confirmed


def truths(emails: Sequence[Email]) -> dict[int, list[Any]]:
    """What is to be known of the keys of these mails, by the mail, for those who confirm them at once."""
    found: dict[int, list[Any]] = {email.id: [] for email in emails if email.kind in DIGESTS}
    if found:
        named, ids = one_of_few(list(found))
        for email_id, *row in run_sql(_TRUTH.replace("{mails}", named), ids):
            found[email_id].append(row)
    return found


def confirm(email: Email, now: datetime, truth: list[Any] | None = None) -> Confirmed:
    """The same, for the worker that is about to hand the mail over; `truth` is what it has read of it just now.

    Notices that have fallen are recorded as withdrawn, so that they are owed again should their reason come back.
    """
    with session():
        try:
            confirmed, fallen = _judged(email, now, truth)
        except NoLongerTrue as reason:
            with writing():
                _let_go(reason.fallen)
            raise
        if fallen:
            with writing():
                _let_go(fallen)
        return confirmed


def uncover(key_ids: set[int]) -> None:
    """What was covered only by a notice that has been withdrawn is owed again, should its reason come back."""
    for key_id in sorted(key_ids):
        run_sql(_COVERED_BY_NOTHING, (key_id,))


def _judged(email: Email, now: datetime, truth: list[Any] | None = None) -> tuple[Confirmed, list[tuple[int, int]]]:
    """The mail as it is true now, and the (notice, key) that have fallen."""
    context: dict[str, Any] = email.context
    if email.kind not in DIGESTS:
        return Confirmed(context), []
    kept: list[Sequence[Any]] = []
    fallen: list[tuple[int, int]] = []
    company = ("", str(context["zone"]))  # as it was; each key says it anew
    first_reason = "the keys of this mail were taken out of it"
    for row in truths([email])[email.id] if truth is None else truth:
        reason = _why_not(row, calendar.local_day(now, calendar.zone(row[7])))
        if reason is None:
            kept.append(row)
            company = (str(row[21]), str(row[7]))
        else:
            first_reason = first_reason if fallen else reason
            fallen.append((int(row[0]), int(row[19])))
    if not kept:
        raise NoLongerTrue(first_reason, fallen)
    told = tuple((str(row[20]), str(row[2]), int(row[1])) for row in sorted(kept, key=itemgetter(0)))
    keys = [noticed(row[9:19]) for row in kept[:KEYS_TOLD]]
    said = {**context, "zone": company[1], "keys": keys, "more": max(0, len(kept) - KEYS_TOLD)}
    return Confirmed(said, told, company), fallen


def _let_go(fallen: Sequence[tuple[int, int]]) -> None:
    for notice_id, _ in fallen:
        run_sql("UPDATE notice SET state = 'withdrawn' WHERE id = ? AND state = 'mailed'", (notice_id,))
    uncover({key_id for _, key_id in fallen})


def _why_not(row: Sequence[Any], today: date) -> str | None:
    """Why a key does not owe its notice any more, None while it does."""
    _, threshold, noticed_for, revoked, rotated, off, inactive, _, told = row[:9]
    expires_on = row[15]
    faults = (
        (revoked, "the key was revoked"),
        (rotated, "the key was rotated"),
        (expires_on != noticed_for, "the key has a new expiry date"),
        (inactive, "the company is not active any more"),
        (off, "API Access is disabled"),
        (threshold >= 0 and expires_on < today.isoformat(), "the key has expired meanwhile"),
        (not told, "the recipient is not to be told any more"),
    )
    return next((reason for fault, reason in faults if fault), None)


_COVERED_BY_NOTHING = """
    UPDATE notice SET state = 'withdrawn'
     WHERE key_id = ? AND state = 'covered'
       AND NOT EXISTS (SELECT 1 FROM notice m
                        WHERE m.key_id = notice.key_id AND m.expires_on = notice.expires_on
                          AND m.recipient = notice.recipient AND m.threshold < notice.threshold AND m.state = 'mailed')
"""

_TRUTH = """
    SELECT n.email_id, n.id, n.threshold, n.expires_on, k.revoked_at IS NOT NULL, k.rotated_at IS NOT NULL,
           i.enabled_at IS NULL, c.deactivated_at IS NOT NULL, c.time_zone,
           n.recipient <> '' AND ({reaches}),
           k.first, k.last, k.label, owner.name, k.environment, k.kind, k.expires_on, l.at, l.address, l.uses, k.id,
           k.handle, c.external_id
      FROM notice n
      JOIN api_key k ON k.id = n.key_id
      JOIN company c ON c.id = k.company_id
      JOIN company_user owner ON owner.id = k.resource_id
      LEFT JOIN integration i ON i.company_id = c.id AND i.code = 'api_access'
      LEFT JOIN last_use l ON l.key_id = k.id
     WHERE n.email_id {mails} AND n.state = 'mailed'
     ORDER BY k.expires_on, k.id
""".replace("{reaches}", REACHES)
