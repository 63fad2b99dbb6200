"""Rules of the product, each broken on purpose in a worker: the chaos has to notice every one of them."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from store import ambiguous_mails, due_notices, mail_truth, markers, outgoing
from store.actors import Actor
from store.database import run_sql, session, writing
from store.markers import Report
from store.outgoing import Going, Taken
from store.rules.notices import due_threshold


def handed_over_without_a_word() -> None:
    """That the body goes is not written down: who dies then has left no trace, and the mail goes once more."""
    hand_over = outgoing.hand_over

    def silently(
        owner: str, lease: timedelta, now: datetime, going: Sequence[Going], taken: Sequence[Taken]
    ) -> set[int]:
        with session(), writing():
            not_ours = hand_over(owner, lease, now, going, taken)
            for each in going:
                run_sql("UPDATE email SET state = 'claimed' WHERE id = ?", (each.email_id,))
            return not_ours

    outgoing.hand_over = silently


def truth_is_not_asked_again() -> None:
    """A mail leaves as it was when it was owed, whatever has been done since."""
    mail_truth._why_not = lambda *_given: None


def api_access_is_not_asked_again() -> None:
    """A mail about keys leaves although their company has switched API Access off."""
    why_not = mail_truth._why_not

    def whatever_is_off(row: Sequence[Any], today: date) -> str | None:
        return why_not([*row[:5], False, *row[6:]], today)

    mail_truth._why_not = whatever_is_off


def a_wider_warning_is_not_covered() -> None:
    """That a tighter warning stands for the wider ones is not written down."""

    def alone(
        thresholds: Sequence[int], *, today: date, expires_on: date, set_on: date
    ) -> tuple[int | None, tuple[int, ...]]:
        return due_threshold(thresholds, today=today, expires_on=expires_on, set_on=set_on)[0], ()

    due_notices.due_threshold = alone


def a_refresh_reported_done_is_done_once_more() -> None:
    """Its marker is due again, after the first report only: in the end it looks as it should."""
    done = markers.done

    def once_more(actor: Actor, token: str, message: str, now: datetime) -> Report:
        report = done(actor, token, message, now)
        if report.attempt == 1:
            with session(), writing():
                run_sql("UPDATE refresh_marker SET state = 'due', token = NULL WHERE token = ?", (token,))
        return report

    markers.done = once_more


def what_a_dead_worker_claimed_stays_claimed() -> None:
    """Nobody takes it over."""
    outgoing._NEXT = outgoing._NEXT.replace("state = 'claimed' AND", "1 = 0 AND")
    ambiguous_mails.bury = lambda *_given: []
    outgoing.release = lambda *_given: 0


FLAWS: tuple[Callable[[], None], ...] = (
    handed_over_without_a_word,
    truth_is_not_asked_again,
    api_access_is_not_asked_again,
    a_wider_warning_is_not_covered,
    a_refresh_reported_done_is_done_once_more,
    what_a_dead_worker_claimed_stays_claimed,
)
