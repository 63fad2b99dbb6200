"""What becomes of a mail when PostgreSQL cuts a step off, or goes away while the relay has its say?"""

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Thread

import pytest
from cast import NOON
from fault_world import FaultWorld
from peewee import OperationalError, QueryEvent
from postgres_server import PostgresServer
from smtp_server import smtp_server

from jobs.smtp_session import Conversation, SmtpSession
from store import ambiguous_mails, database, outbox, outgoing
from store.database import session
from store.outbox import Owed
from store.outgoing import Bound, Taken
from store.tables import Email

HALF_AN_HOUR = timedelta(minutes=30)


class CutOff(SmtpSession):
    """The store's session is ended when the relay has answered, so that the answer cannot be written down."""

    times = 0
    end_session: Callable[[], object] = bool

    def hand_over(self, sender: str, recipient: str, raw: bytes) -> Conversation:
        answer = yield from super().hand_over(sender, recipient, raw)
        if CutOff.times:
            CutOff.times -= 1
            type(self).end_session()
        return answer


@pytest.fixture
def cut_off(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> type[CutOff]:
    def end_session() -> None:
        postgres.sql(f"SELECT pg_terminate_backend({database.db.connection().info.backend_pid}, 5000)")

    monkeypatch.setattr(CutOff, "times", 1)
    monkeypatch.setattr(CutOff, "end_session", end_session)
    return CutOff


def owe_a_test_mail(at: datetime) -> None:
    context = {"by": "olav", "at": "2026-11-23T11:00:00Z", "roles": ["operator"]}
    with session():
        outbox.queue([Owed("test_mail", "olav@fjord.example", "", "test", context)], at)


def mails() -> list[tuple[str, str, int, int]]:
    """Kind and state of each, how often it was tried and sent again."""
    with session():
        return [(mail.kind, mail.state, mail.attempts, mail.resends) for mail in Email.select().order_by(Email.id)]


@pytest.mark.parametrize("cut_offs", [1, 2])
def test_what_the_relay_took_and_could_not_be_written_down_is_written_with_the_next_beat_that_can(
    postgres: PostgresServer, url: str, cut_off: type[CutOff], cut_offs: int
) -> None:
    cut_off.times = cut_offs
    with smtp_server() as relay:
        world = FaultWorld(relay, days=1, kind=cut_off)
        owe_a_test_mail(world.now)
        world.next_day()
        world.beats()
        postgres.sql("ALTER DATABASE faults ALLOW_CONNECTIONS false")
        world.beats()
        postgres.sql("ALTER DATABASE faults ALLOW_CONNECTIONS true")
        for _ in range(3):
            world.now += timedelta(seconds=5)
            world.beats()

    assert world.books() == world.right_books()
    assert mails() == [("test_mail", "sent", 1, 0), ("key_expiring", "sent", 1, 0)]


@pytest.mark.parametrize(
    ("word", "became"),
    [("552 dot", ("queued", 1)), ("451 dot", ("queued", 1)), ("550 rcpt", ("failed", 1)), ("421 rcpt", ("queued", 0))],
)
def test_a_refusal_that_could_not_be_written_down_is_written_with_the_next_beat(
    postgres: PostgresServer, url: str, cut_off: type[CutOff], word: str, became: tuple[str, int]
) -> None:
    with smtp_server(word, word) as relay:
        world = FaultWorld(relay, days=0, kind=cut_off)
        owe_a_test_mail(world.now)
        world.beats()
        world.now += timedelta(seconds=5)
        world.beats()

    assert mails() == [("test_mail", *became, 0)]


def test_a_body_that_did_not_go_since_the_store_did_not_confirm_it_goes_with_the_next_beat(
    postgres: PostgresServer, url: str
) -> None:
    def unconfirmed(event: QueryEvent) -> None:
        if "SET state = 'handing-over'" in event.sql:
            database.db.query_hooks.remove(unconfirmed)
            raise OperationalError("server closed the connection unexpectedly")  # after it had committed

    with smtp_server() as relay:
        world = FaultWorld(relay, days=0)
        owe_a_test_mail(world.now)
        database.db.query_hooks.append(unconfirmed)
        world.beats()
        before = mails()
        world.beats()

    assert before == [("test_mail", "handing-over", 0, 0)]
    assert mails() == [("test_mail", "sent", 1, 0)]


def test_a_worker_that_ends_after_a_beat_that_was_cut_off_says_first_what_the_relay_took(
    postgres: PostgresServer, url: str, cut_off: type[CutOff]
) -> None:
    with smtp_server() as relay:
        world = FaultWorld(relay, days=0, kind=cut_off)
        owe_a_test_mail(world.now)
        world.beats()
        before = mails()
        world.worker.end(world.now)

    assert before == [("test_mail", "handing-over", 0, 0)]
    assert mails() == [("test_mail", "sent", 1, 0)]


@pytest.mark.parametrize(
    ("act", "becomes"),
    [
        (lambda mail: outgoing.hand_over("one", HALF_AN_HOUR, NOON, [], [Taken(mail, "250", NOON)]), "sent"),
        (lambda mail: outgoing.all_sent("one", [Taken(mail, "250", NOON)]), "sent"),
        (lambda mail: outgoing.later(mail, "one", NOON, "450", attempted=True), "queued"),
        (lambda mail: outgoing.behind(mail, "one", "421", NOON), "queued"),
        (lambda mail: ambiguous_mails.answer_lost(mail, "one", "", NOON), "ambiguous"),
        (lambda _: ambiguous_mails.find(NOON + HALF_AN_HOUR), "ambiguous"),
        (lambda _: ambiguous_mails.bury("one", NOON), "ambiguous"),
    ],
    ids=["hand_over", "all_sent", "later", "behind", "answer_lost", "find", "bury"],
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
