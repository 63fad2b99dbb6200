"""How many mails leave in a minute, and what makes them fewer?"""

import threading
from datetime import timedelta

import pytest
from cast import NOON, arrive
from smtp_server import ScriptedServer, smtp_server

from jobs import queues
from jobs.delivery import Outcome, Relay, Sender, deliver_slice
from jobs.smtp_answers import TryLater, refused
from jobs.smtp_session import SmtpSession
from store import outbox, outgoing
from store.database import session
from store.outbox import Owed
from store.outgoing import Bound
from store.tables import Email

LEASE = timedelta(minutes=30)
SECOND = timedelta(seconds=1)
BYTES = Bound("A subject", b"the bytes")
SENDER = Sender("keys@fjord.example", "")


def owe(number: int) -> None:
    context = {"by": "olav", "at": "2026-11-23T11:00:00Z", "roles": ["operator"]}
    outbox.queue(
        [Owed("test_mail", f"{place}@x.example", "", f"test:{place}", context) for place in range(number)], NOON
    )


def send(server: ScriptedServer, seconds: int, relay: Relay) -> Outcome:
    now = NOON + seconds * SECOND
    return deliver_slice(
        lambda: SmtpSession("localhost", server.port, tls="none"), SENDER, lambda: now, owner="worker-1", relay=relay
    )


def handed_over(owner: str, second: int, per_minute: int) -> int:
    """Claim and hand over all that may go at that second; how many."""
    now = NOON + second * SECOND
    mails = outgoing.claim(owner, 50, LEASE, now, per_minute)
    for mail in mails:
        outgoing.handing_over(mail.id, owner, LEASE, now, BYTES)
        outgoing.sent(mail.id, owner, "250", now)
    return len(mails)


def test_no_more_leave_in_any_minute_than_the_relay_takes(empty_store: str) -> None:
    arrive()
    owe(9)
    relay = Relay(per_minute=4)

    with smtp_server() as server:
        sent = [len(send(server, seconds, relay).sent) for seconds in (0, 5, 59, 60, 119, 120, 180)]

    assert sent == [4, 0, 0, 4, 0, 1, 0]


def test_two_workers_share_the_minute(empty_store: str) -> None:
    owe(100)
    second_begins = threading.Barrier(2)

    def work(owner: str) -> None:
        with session():
            for second in range(0, 180, 3):
                second_begins.wait(30)
                handed_over(owner, second, 10)

    threads = [threading.Thread(target=work, args=(owner,)) for owner in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    instants = sorted(mail.handed_over_at for mail in Email.select().where(Email.state == "sent"))
    assert 20 <= len(instants) <= 30
    for start in instants:
        assert sum(start <= instant < start + timedelta(minutes=1) for instant in instants) <= 10


def test_what_another_worker_has_claimed_is_taken_off_the_minute(empty_store: str) -> None:
    owe(10)

    claimed = [len(outgoing.claim(owner, 4, LEASE, NOON, 6)) for owner in ("one", "two", "three")]
    outgoing.release("one")

    assert claimed == [4, 2, 0]
    assert len(outgoing.claim("three", 10, LEASE, NOON, 6)) == 4


def test_a_clock_that_was_put_back_stops_nothing(empty_store: str) -> None:
    owe(2)
    assert handed_over("one", 3600, 1) == 1

    assert handed_over("one", 0, 1) == 1


def test_a_limit_of_nothing_is_no_limit(empty_store: str) -> None:
    owe(60)

    assert [handed_over("one", 0, 0), handed_over("one", 0, 0)] == [50, 10]


def test_what_is_too_many_costs_no_try_and_half_as_many_go_at_once_until_all_is_well_again(empty_store: str) -> None:
    arrive()
    owe(20)
    relay = Relay()

    with smtp_server(*["ok"] * 8, "451 too many") as server:
        first = send(server, 0, relay)
        rest = [len(send(server, seconds, relay).sent) for seconds in (30, 60, 65, 70)]

    assert (len(first.sent), first.stopped) == (8, "451 4.7.0 Too many mails, slow down")
    assert rest == [0, 4, 8, 0]
    assert relay.most == 16
    assert {mail.attempts for mail in Email.select()} == {1}


def test_a_slowed_relay_gets_one_slice_a_beat(empty_store: str) -> None:
    arrive()
    owe(6)

    with smtp_server("ok", "ok", "451 too many") as server:
        queue = queues.mails(lambda: SmtpSession("localhost", server.port, tls="none"), SENDER)
        queue(lambda: NOON, "worker-1", lambda: False)
        went_on = queue(lambda: NOON + timedelta(minutes=2), "worker-1", lambda: False)

    assert (went_on, len(server.received)) == (0, 3)


@pytest.mark.parametrize(
    ("code", "text", "is_too_many"),
    [
        (421, "4.7.0 Too many messages from this host", True),
        (450, "4.2.1 The user you are trying to contact is receiving mail at a rate that prevents delivery", False),
        (451, "4.7.1 Rate limit exceeded", True),
        (454, "Throttling failure: Maximum sending rate exceeded.", True),
        (452, "4.2.2 Mailbox quota exceeded", False),
        (450, "4.7.1 Greylisted, come back in 5 minutes", False),
        (432, "4.3.2 Concurrent connections limit exceeded", True),
        (550, "5.7.1 Too many mails", False),
    ],
)
def test_too_many_is_told_from_what_concerns_one_recipient(code: int, text: str, is_too_many: bool) -> None:
    answer = refused("dot", code, text)

    assert (isinstance(answer, TryLater) and answer.too_many) is is_too_many
