"""What becomes of a mail when PostgreSQL cuts a step off?"""

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Thread

import pytest
from cast import NOON
from peewee import QueryEvent
from postgres_server import PostgresServer

from store import ambiguous_mails, database, outbox, outgoing
from store.database import session
from store.outbox import Owed
from store.outgoing import Bound, Taken
from store.tables import Email

HALF_AN_HOUR = timedelta(minutes=30)


def owe_a_test_mail(at: datetime) -> None:
    context = {"by": "olav", "at": "2026-11-23T11:00:00Z", "roles": ["operator"]}
    with session():
        outbox.queue([Owed("test_mail", "olav@fjord.example", "", "test", context)], at)


def mails() -> list[tuple[str, str, int, int]]:
    """Kind and state of each, how often it was tried and sent again."""
    with session():
        return [(mail.kind, mail.state, mail.attempts, mail.resends) for mail in Email.select().order_by(Email.id)]


@pytest.mark.parametrize(
    ("act", "becomes"),
    [
        (lambda mail: outgoing.hand_over("one", HALF_AN_HOUR, NOON, [], [Taken(mail, "250", NOON)]), "sent"),
        (lambda mail: outgoing.all_sent("one", [Taken(mail, "250", NOON)]), "sent"),
        (lambda mail: outgoing.later(mail, "one", NOON, "450", attempted=True), "queued"),
        (lambda mail: ambiguous_mails.answer_lost(mail, "one", "", NOON), "ambiguous"),
        (lambda _: ambiguous_mails.find(NOON + HALF_AN_HOUR), "ambiguous"),
        (lambda _: ambiguous_mails.bury("one", NOON), "ambiguous"),
    ],
    ids=["hand_over", "all_sent", "later", "answer_lost", "find", "bury"],
)
def test_a_step_of_a_mail_that_is_broken_off_is_tried_again_unnoticed(
    postgres: PostgresServer, url: str, act: Callable[[int], object], becomes: str
) -> None:
    owe_a_test_mail(NOON)
    with session():
        (mail,) = outgoing.claim("one", 1, HALF_AN_HOUR, NOON)
        outgoing.handing_over(mail.id, "one", HALF_AN_HOUR, NOON, Bound("a subject", b"bytes"))
        postgres.break_off_once("faults", "email")
        act(mail.id)

    assert [state for _, state, _, _ in mails()] == [becomes]


def test_of_two_who_find_the_same_lost_mail_one_settles_it_and_what_goes_on_then_is_left_alone(
    postgres: PostgresServer, url: str
) -> None:
    owe_a_test_mail(NOON)
    later, looked = NOON + HALF_AN_HOUR, 0

    def other() -> None:
        with session():
            ambiguous_mails.find(later)
            for mail in outgoing.claim("other", 1, HALF_AN_HOUR, later):
                outgoing.handing_over(mail.id, "other", HALF_AN_HOUR, later)

    def meanwhile(event: QueryEvent) -> None:
        nonlocal looked
        looked += "state = 'handing-over'" in event.sql and "SELECT id" in event.sql
        if looked == 2:  # it has read what it is going to settle
            database.db.query_hooks.remove(meanwhile)
            thread = Thread(target=other)
            thread.start()
            thread.join(30)

    with session():
        Email.update(kind="key_created").execute()
        (mail,) = outgoing.claim("dead", 1, HALF_AN_HOUR, NOON)
        outgoing.handing_over(mail.id, "dead", HALF_AN_HOUR, NOON, Bound("a subject", b"bytes"))
        database.db.query_hooks.append(meanwhile)
        found = ambiguous_mails.find(later)

    assert (looked, found) == (2, [mail.id])
    assert mails() == [("key_created", "queued", 0, 1)]
