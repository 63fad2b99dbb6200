"""Rules of the product, each broken on purpose in a worker: the chaos has to notice every one of them."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from store import ambiguous_mails, mail_truth, outgoing
from store.database import run_sql, session, writing
from store.outgoing import Going, Taken


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


def what_a_dead_worker_claimed_stays_claimed() -> None:
    """Nobody takes it over."""
    outgoing._NEXT = outgoing._NEXT.replace("state = 'claimed' AND", "1 = 0 AND")
    ambiguous_mails.bury = lambda *_given: []
    outgoing.release = lambda *_given: 0


FLAWS: tuple[Callable[[], None], ...] = (
    handed_over_without_a_word,
    truth_is_not_asked_again,
    what_a_dead_worker_claimed_stays_claimed,
)
