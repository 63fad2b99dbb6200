"""What is different for mails that go side by side, over several connections?"""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from pathlib import Path
from threading import Event, Thread

import pytest
from cast import NOON, arrive
from hooked_hand_over import around_the_record
from smtp_server import ScriptedServer, smtp_server

from jobs.delivery import Outcome, Relay, Sender, deliver_slice
from jobs.json_log import JsonLog
from jobs.smtp_session import Conversation, SmtpSession, Timeouts
from store import database, outbox, outgoing, sent_record
from store.outbox import Owed
from store.tables import Email

HOUR = timedelta(hours=1)
SENDER = Sender("keys@fjord.example", "")
PATIENT = Timeouts()
GREETS = "421 4.7.0 Too many connections from you"


def owe(number: int, kind: str = "test_mail") -> None:
    """So many mails to a0@x.example, a1@x.example …"""
    context = {"by": "olav", "at": "2026-11-23T11:00:00Z", "roles": ["operator"]}
    outbox.queue([Owed(kind, f"a{place}@x.example", "", f"{place:02}", context) for place in range(number)], NOON)


def send(
    server: ScriptedServer,
    relay: Relay,
    *,
    hours: float = 0,
    owner: str = "worker-1",
    timeouts: Timeouts = PATIENT,
    log: JsonLog | None = None,
    kind: type[SmtpSession] = SmtpSession,
) -> Outcome:
    now = NOON + hours * HOUR
    return deliver_slice(
        lambda: kind("localhost", server.port, tls="none", timeouts=timeouts),
        SENDER,
        lambda: now,
        owner=owner,
        relay=relay,
        log=log,
    )


def states() -> Counter[str]:
    return Counter(mail.state for mail in Email.select())


@contextmanager
def record_in(path: Path) -> Iterator[Path]:
    sent_record.use(path)
    try:
        yield path
    finally:
        sent_record.use(None)


def test_the_relay_gets_the_next_bodies_before_it_has_answered_to_the_first(empty_store: str) -> None:
    arrive()
    owe(12)

    with smtp_server(*["all three"] * 12) as server:
        outcome = send(server, Relay(connections=3))

    assert len(outcome.sent) == len({mail.recipient for mail in server.received}) == 12
    assert server.connections == 3


@pytest.mark.parametrize(("mails", "connections"), [(1, 1), (5, 1), (6, 2), (10, 2), (11, 3), (40, 3)])
def test_another_connection_is_opened_for_each_five_mails_and_no_more_than_are_wanted(
    empty_store: str, mails: int, connections: int
) -> None:
    arrive()
    owe(mails)

    with smtp_server() as server:
        outcome = send(server, Relay(connections=3))

    assert (len(outcome.sent), server.connections) == (mails, connections)


def test_what_becomes_of_one_is_nothing_to_the_others(empty_store: str) -> None:
    arrive()
    owe(12)

    with smtp_server("550 rcpt", "ok", "450 rcpt", "ok", "552 dot", "ok", "drop before dot") as server:
        relay = Relay(connections=3)
        first = send(server, relay)
        for hours in (1, 2, 3, 4):
            send(server, relay, hours=hours)

    assert (len(first.failed), len(first.later)) == (1, 2)
    assert states() == {"sent": 11, "failed": 1}
    assert len(server.received) == len({mail.recipient for mail in server.received}) == 11


def test_of_those_on_their_way_only_the_one_whose_answer_is_lost_is_ambiguous(empty_store: str) -> None:
    arrive()
    owe(12)

    with smtp_server("ok", "drop after dot", "ok") as server:
        relay = Relay(connections=3)
        outcome = send(server, relay)
        closed = relay.is_closed(NOON)
        send(server, relay, hours=1)

    assert (len(outcome.sent), len(outcome.ambiguous), closed) == (2, 1, True)
    assert states() == {"sent": 11, "ambiguous": 1}


def test_refusals_of_one_moment_leave_the_relay_alone_as_long_as_one_of_them(empty_store: str) -> None:
    arrive()
    owe(12)
    relay = Relay(connections=3)

    with smtp_server(*["550 mail"] * 3) as server:
        send(server, relay)

    assert relay.closed_until == NOON + timedelta(minutes=1)
    assert states() == {"queued": 12}
    assert {mail.attempts for mail in Email.select()} == {0}


def test_a_relay_that_takes_fewer_connections_gets_all_mails_over_those_and_is_asked_again_in_an_hour(
    empty_store: str,
) -> None:
    arrive()
    said, relay = StringIO(), Relay(connections=3)

    with smtp_server() as server:
        server.most_connections = 2
        owe(12)
        first = send(server, relay, log=JsonLog(said, clock=lambda: NOON))
        came = [server.connections]
        for hours in (0.9, 1.1):
            Email.delete().execute()
            owe(12)
            send(server, relay, hours=hours)
            came.append(server.connections)

    assert (len(first.sent), first.stopped, first.later) == (12, "", [])
    assert {mail.attempts for mail in Email.select()} == {1}
    assert came == [3, 5, 8]
    facts = [json.loads(line) for line in said.getvalue().splitlines()]
    (fewer,) = [fact for fact in facts if fact["fact"] == "mail.fewer-connections"]
    assert (fewer["level"], fewer["connections"], fewer["reply"]) == ("warning", 2, GREETS)


def test_a_relay_that_takes_no_connection_is_left_alone(empty_store: str) -> None:
    arrive()
    owe(12)
    relay = Relay(connections=3)

    with smtp_server() as server:
        server.most_connections = 0
        outcome = send(server, relay)

    assert (outcome.stopped, relay.closed_until) == (GREETS, NOON + timedelta(minutes=1))
    assert states() == {"queued": 12}


def test_what_another_worker_has_taken_over_meanwhile_does_not_go_and_the_others_do(empty_store: str) -> None:
    arrive()
    owe(12)

    class Robbed(SmtpSession):
        def hand_over(self, sender: str, recipient: str, raw: bytes) -> Conversation:
            def rob() -> None:
                Email.update(owner="quick").where(Email.recipient == "a1@x.example").execute()

            return around_the_record(super().hand_over(sender, recipient, raw), before=rob)

    with smtp_server() as server:
        outcome = send(server, Relay(connections=3), kind=Robbed)

    assert len(outcome.sent) == len(server.received) == 11
    assert (Email.get(Email.owner == "quick").recipient, states()) == ("a1@x.example", {"sent": 11, "claimed": 1})


def test_an_answer_is_in_the_record_while_another_is_still_waited_for(empty_store: str, tmp_path: Path) -> None:
    arrive()
    owe(11)
    record, lines, tick = tmp_path / "record", [0], Event()
    record.touch()

    with record_in(record), smtp_server("ok", "slow", "ok") as server:

        def watch() -> None:
            while lines[-1] < 2 and len(lines) < 2000:
                tick.wait(0.005)
                lines.append(record.read_bytes().count(b"\n"))
            server.release()

        watching = Thread(target=watch)
        watching.start()
        outcome = send(server, Relay(connections=3))
        watching.join()

    assert lines[-1] == 2
    assert len(outcome.sent) == 11


def test_an_answer_that_never_comes_keeps_no_other_from_being_known(empty_store: str) -> None:
    arrive()
    owe(11)

    with smtp_server("ok", "slow", "ok") as server:
        outcome = send(server, Relay(connections=3), timeouts=Timeouts(connect=2, command=60, dot=0.2, offer=60))

    assert (len(outcome.sent), len(outcome.ambiguous)) == (2, 1)
    assert states() == {"sent": 2, "ambiguous": 1, "queued": 8}


class Dying(SmtpSession):
    """The process is killed when three bodies have gone."""

    gone = 0

    def hand_over(self, sender: str, recipient: str, raw: bytes) -> Conversation:
        for step in super().hand_over(sender, recipient, raw):
            Dying.gone += step == "gone"
            if Dying.gone == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            yield step
        raise AssertionError


def dies(location: str, act: Callable[[], object]) -> None:
    child = os.fork()
    if child == 0:
        try:
            database.bind(location)
            with database.session():
                act()
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # the child uses none of the threads
def test_a_worker_that_is_killed_leaves_those_ambiguous_that_were_on_their_way_and_no_other(empty_store: str) -> None:
    arrive()
    owe(12)

    with smtp_server(*["all three"] * 3) as server:
        dies(empty_store, lambda: send(server, Relay(connections=3), owner="killed", kind=Dying))
        with database.session():
            ambiguous = outgoing.bury("killed", NOON)
            rest = send(server, Relay(connections=3))

    assert (len(ambiguous), len(rest.sent)) == (3, 9)
    assert states() == {"ambiguous": 3, "sent": 9}
    taken = Counter(mail.recipient for mail in server.received)
    assert len(taken) == 12
    assert set(taken.values()) == {1}
