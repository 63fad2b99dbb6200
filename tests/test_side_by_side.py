"""What is different for mails that go side by side, over several connections?"""

import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest
from cast import NOON, arrive
from hooked_hand_over import around_the_record
from peewee import InterfaceError, QueryEvent
from postgres_server import PostgresServer
from smtp_server import ScriptedServer, smtp_server

from jobs import queues
from jobs.delivery import Outcome, Relay, Sender, deliver_slice
from jobs.json_log import JsonLog
from jobs.side_by_side import HandOver, Ready, first_answered
from jobs.smtp_answers import AnswerLost
from jobs.smtp_session import Conversation, SmtpSession, Timeouts
from store import ambiguous_mails, database, outbox
from store.errors import StoreUnavailable
from store.outbox import Owed
from store.tables import Email

HOUR = timedelta(hours=1)
SENDER = Sender("keys@fjord.example", "")
PATIENT = Timeouts()
GREETS = "421 4.7.0 Too many connections from you"


def owe(number: int, of: int = 0) -> None:
    """So many mails to a0@x.example, a1@x.example …; with `of`, to a0@x1.example …"""
    context = {"by": "olav", "at": "2026-11-23T11:00:00Z", "roles": ["operator"]}
    to = [f"a{place}@x{of or ''}.example" for place in range(number)]
    outbox.queue([Owed("test_mail", each, "", each, context) for each in to], NOON)


def send(
    server: ScriptedServer,
    relay: Relay,
    *,
    hours: float = 0,
    owner: str = "worker-1",
    timeouts: Timeouts = PATIENT,
    log: JsonLog | None = None,
    kind: type[SmtpSession] = SmtpSession,
    clock: Callable[[], datetime] | None = None,
) -> Outcome:
    now = NOON + hours * HOUR
    return deliver_slice(
        lambda: kind("localhost", server.port, tls="none", timeouts=timeouts),
        SENDER,
        clock or (lambda: now),
        owner=owner,
        relay=relay,
        log=log,
    )


def states() -> Counter[str]:
    return Counter(mail.state for mail in Email.select())


def test_the_relay_gets_the_next_bodies_before_it_has_answered_to_the_first(empty_store: str) -> None:
    arrive()
    owe(12)

    with smtp_server(*["all three"] * 12) as server:
        outcome = send(server, Relay(connections=3))

    assert len(outcome.sent) == len({mail.recipient for mail in server.received}) == 12
    assert server.connections == 3


class Told(SmtpSession):
    """Does something when a body has gone, and when its answer is there."""

    gone: Callable[[], object] = bool
    answered: Callable[[], object] = bool

    def hand_over(self, sender: str, recipient: str, raw: bytes) -> Conversation:
        steps = super().hand_over(sender, recipient, raw)
        with closing(steps):
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    type(self).answered()
                    return end.value
                if step == "gone":
                    type(self).gone()
                yield step


def test_while_the_relay_makes_up_its_mind_about_one_the_next_is_written(empty_store: str) -> None:
    arrive()
    owe(3)
    happened: list[str] = []

    class Watched(Told):
        gone = lambda: happened.append("gone")  # noqa: E731
        answered = lambda: happened.append("answered")  # noqa: E731

    def watch(event: QueryEvent) -> None:
        if "FROM company" in event.sql:  # who writes a mail asks for its company
            happened.append("written")

    database.db.query_hooks.append(watch)
    with smtp_server() as server:
        send(server, Relay(connections=1), kind=Watched)
    database.db.query_hooks.remove(watch)

    assert happened == ["written", "gone", "written", "answered", "gone", "written", "answered", "gone", "answered"]


def test_nothing_is_written_down_about_the_next_while_an_answer_may_be_there(empty_store: str) -> None:
    arrive()
    owe(2)
    Email.update(useless_after=NOON - HOUR).where(Email.recipient == "a1@x.example").execute()
    happened: list[str] = []

    class Watched(Told):
        gone = lambda: happened.append("gone")  # noqa: E731
        answered = lambda: happened.append("answered")  # noqa: E731

    def watch(event: QueryEvent) -> None:
        if not event.sql.lstrip().startswith("SELECT"):
            happened.append("written")

    with smtp_server() as server:
        database.db.query_hooks.append(watch)
        outcome = send(server, Relay(connections=1), kind=Watched)
        database.db.query_hooks.remove(watch)

    assert (len(outcome.sent), len(outcome.withdrawn)) == (1, 1)
    between = happened[happened.index("gone") : happened.index("answered") + 1]
    assert between == ["gone", "answered"]


def test_by_a_clock_that_leaps_while_an_answer_is_waited_for_nothing_comes_too_late(empty_store: str) -> None:
    arrive()
    owe(2)
    Email.update(useless_after=NOON + HOUR).execute()
    clock = [NOON]

    class Leaping(Told):
        gone = lambda: clock.append(NOON + 9 * 24 * HOUR)  # noqa: E731

    with smtp_server() as server:
        send(server, Relay(connections=1), kind=Leaping, clock=lambda: clock[-1])

    assert states() == {"sent": 1, "queued": 1}


@pytest.mark.parametrize(
    ("seconds", "state"), [(0, "sent"), (10, "sent"), (11, "withdrawn"), (-1, "sent")], ids=lambda value: f"{value}"
)
def test_what_was_written_more_than_ten_seconds_ago_is_asked_once_more_whether_it_is_true(
    empty_store: str, seconds: int, state: str
) -> None:
    arrive()
    owe(2)
    Email.update(useless_after=NOON + timedelta(seconds=5)).where(Email.recipient == "a1@x.example").execute()
    clock = [NOON]

    class Slow(Told):
        answered = lambda: clock.append(NOON + timedelta(seconds=seconds))  # noqa: E731

    with smtp_server() as server:
        send(server, Relay(connections=1), kind=Slow, clock=lambda: clock[-1])

    assert Email.get(Email.recipient == "a1@x.example").state == state


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


@pytest.mark.parametrize("greets_others", [b"554 5.7.0 You are here already\r\n", b""])
def test_a_relay_that_wants_no_connection_beside_the_first_gets_all_mails_over_that(
    empty_store: str, greets_others: bytes
) -> None:
    arrive()
    owe(12)

    with smtp_server() as server:
        server.most_connections, server.greets_others = 1, greets_others
        impatient = Timeouts(connect=0.2, command=0.2, dot=5, offer=0.5)
        outcome = send(server, Relay(connections=4), timeouts=impatient)

    assert (len(outcome.sent), outcome.stopped, server.connections) == (12, "", 2)


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


def test_an_answer_is_in_the_record_while_another_is_still_waited_for(empty_store: str, record: Path) -> None:
    arrive()
    owe(11)
    lines, tick = [0], Event()
    record.touch()

    with smtp_server("ok", "slow", "ok") as server:

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


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("slow", "others"), [("slow", 5), ("slow rcpt", 3)])
def test_without_a_record_the_store_says_what_was_taken_while_the_relay_lets_another_wait(
    empty_store: str, slow: str, others: int
) -> None:
    arrive()
    owe(11)
    sent, tick = [0], Event()

    with smtp_server("ok", "ok", "ok", slow, "ok") as server:

        def watch() -> None:
            with psycopg.connect(empty_store, autocommit=True) as store:
                while sent[-1] < others and len(sent) < 2000:
                    tick.wait(0.005)
                    sent.extend(store.execute("SELECT count(*) FROM email WHERE state = 'sent'").fetchone() or [])
            server.release()

        watching = Thread(target=watch)
        watching.start()
        outcome = send(server, Relay(connections=3))
        watching.join()

    assert sent[-1] == others
    assert len(outcome.sent) == 11


def test_a_relay_that_takes_one_command_at_a_time_is_told_of_all_mails_side_by_side(empty_store: str) -> None:
    arrive()
    owe(11)

    with smtp_server(*["all three at rcpt"] * 3) as server:
        outcome = send(server, Relay(connections=3), timeouts=Timeouts(connect=2, command=2, dot=2, offer=5))

    assert (len(outcome.sent), len(server.received)) == (11, 11)


def test_an_answer_that_never_comes_keeps_no_other_from_being_known(empty_store: str) -> None:
    arrive()
    owe(11)

    with smtp_server("ok", "slow", "ok") as server:
        outcome = send(server, Relay(connections=3), timeouts=Timeouts(connect=2, command=60, dot=0.2, offer=60))

    assert (len(outcome.sent), len(outcome.ambiguous)) == (2, 1)
    assert states() == {"sent": 2, "ambiguous": 1, "queued": 8}


class Silent:
    """A connection on which nothing is heard, for at most so many seconds."""

    def __init__(self, patience: float) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(patience)

    def hand_over(self, _sender: str, _recipient: str, _raw: bytes) -> Conversation:
        yield "said"
        return AnswerLost("nobody asks")

    def heard_on(self) -> socket.socket:
        return self.ours


def test_only_who_was_waited_for_long_enough_is_waited_for_no_longer() -> None:
    sessions = [Silent(0.01), Silent(60)]
    ready = Ready(b"", None, ())
    told = [HandOver(Email(), ready, each, each.hand_over("", "", b"")) for each in sessions]
    for each in told:
        each.go_on("said")

    overdue = first_answered(told)

    assert overdue == told[:1]
    assert sessions[1].ours.gettimeout() == 60
    assert first_answered(told[1:], within=0.01) == []
    sessions[1].theirs.send(b"250 OK\r\n")
    assert first_answered(told[1:]) == told[1:]
    for session in sessions:
        session.ours.close()
        session.theirs.close()


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
            lost = ambiguous_mails.bury("killed", NOON)
            rest = send(server, Relay(connections=3))

    assert (len(lost), len(rest.sent)) == (3, 9)
    assert states() == {"ambiguous": 3, "sent": 9}
    taken = Counter(mail.recipient for mail in server.received)
    assert len(taken) == 12
    assert set(taken.values()) == {1}


def test_the_slices_of_one_pass_find_the_connections_of_the_first_open(empty_store: str) -> None:
    arrive()
    owe(120)

    with smtp_server() as server:
        queue = queues.mails(lambda: SmtpSession("localhost", server.port, tls="none"), SENDER, connections=3)
        slices = [queue(lambda: NOON, "worker-1", lambda: False) for _ in range(4)]

    assert (slices, server.connections) == ([50, 50, 20, 0], 3)


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)  # whose sessions can be ended at any moment
def test_a_store_that_is_away_after_any_statement_keeps_no_answer_from_being_known(
    store_location: str, postgres: PostgresServer, record: Path
) -> None:
    statements = after = 0
    with database.session():
        arrive()

    def end_session(_: QueryEvent) -> None:
        nonlocal statements
        statements += 1
        if statements == after:
            postgres.sql(f"SELECT pg_terminate_backend({database.db.connection().info.backend_pid}, 5000)")

    with smtp_server() as server:
        while after <= statements:
            statements, after = 0, after + 1
            server.script.extend(["451 dot", "ok", "ok", "450 rcpt"])
            with suppress(StoreUnavailable, InterfaceError), database.session():
                owe(8, of=after)
                database.db.query_hooks.append(end_session)
                send(server, Relay(connections=3), hours=5 * after, owner="cut off")
            database.db.query_hooks.remove(end_session)
            with database.session():
                ambiguous_mails.bury("cut off", NOON)
                send(server, Relay(connections=3), hours=5 * after + 1)
                send(server, Relay(connections=3), hours=5 * after + 2)

        with database.session():
            became = {mail.recipient: mail.state for mail in Email.select()}

    arrived = Counter(mail.recipient for mail in server.received)
    assert after > 20
    assert set(arrived.values()) == {1}
    assert {recipient for recipient, state in became.items() if state == "sent"} == set(arrived)
    refused_unwritten = Counter(became.values()) - Counter(sent=len(arrived))
    assert refused_unwritten == {"ambiguous": 2}  # ended between its body and its answer, with the next being written
