"""How does a mail leave, what is written into it, and what becomes of it when the relay or the worker fails?"""

import io
import json
import os
import signal
import socket
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from cast import LONG_AGO, NOON, OLAV, Cast, arrive, enable, key_of
from hooked_hand_over import around_the_record
from smtp_server import ScriptedServer, Word, smtp_server

from jobs.delivery import Outcome, Relay, Sender, deliver_slice, wait
from jobs.json_log import JsonLog
from jobs.smtp_session import Conversation, SmtpSession
from store import ambiguous_mails, database, keys, notices, outbox
from store.outbox import Owed
from store.tables import Company, Email, Integration, Key, Notice, User

LEASE = timedelta(minutes=30)
MINUTE = timedelta(minutes=1)
SOON = datetime(2026, 11, 23, 13, tzinfo=UTC)
DAYS = (14, 3, -1)
SENDER = Sender("keys@fjord.example", "support@fjord.example")


# What stops being true of the one key of a mail behind the queue's back: the reason, how, and when it is tried (again).
UNTRUE: dict[str, tuple[str, Callable[[], object], datetime]] = {
    "revoked": ("the key was revoked", lambda: Key.update(revoked_at=NOON).execute(), SOON),
    "rotated": ("the key was rotated", lambda: Key.update(rotated_at=NOON).execute(), SOON),
    "another date": (
        "the key has a new expiry date",
        lambda: Key.update(expires_on=date(2026, 11, 27)).execute(),
        SOON,
    ),
    "inactive": (
        "the company is not active any more",
        lambda: Company.update(deactivated_at=NOON).execute(),
        SOON,
    ),
    "switched off": ("API Access is disabled", lambda: Integration.update(enabled_at=None).execute(), SOON),
    "never switched on": ("API Access is disabled", lambda: Integration.update(code="other").execute(), SOON),
    "expired": (  # where the company has moved to; in Oslo it is still the key's last day
        "the key has expired meanwhile",
        lambda: Company.update(time_zone="Pacific/Auckland").execute(),
        datetime(2026, 11, 26, 12, tzinfo=UTC),
    ),
    "not told": (
        "the recipient is not to be told any more",
        lambda: User.update(deactivated_at=NOON).where(User.external_id == "ase").execute(),
        SOON,
    ),
}
# What became of it when it was tried first: the relay's word, how often it went once more by itself, and the tries.
TRIED: dict[str, tuple[tuple[Word, ...], int, int]] = {
    "for the first time": ((), 0, 0),
    "after greylisting": (("450 rcpt",), 0, 1),
    "after an answer that was cut": (("drop after dot",), 1, 1),
}


def send(
    server: ScriptedServer | None,
    now: datetime = NOON,
    *,
    relay: Relay | None = None,
    limit: int = 50,
    log: JsonLog | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Outcome:
    return deliver_slice(
        (lambda: SmtpSession("localhost", server.port, tls="none")) if server else None,
        SENDER,
        lambda: now,
        owner="worker-1",
        relay=relay or Relay(),
        limit=limit,
        log=log,
        stopping=stopping,
    )


def owe_test_mails(*addresses: str) -> list[int]:
    for address in addresses:
        context = {"by": "olav", "at": "2026-11-23T11:00:00Z", "roles": ["operator"]}
        outbox.queue([Owed("test_mail", address, "", f"test:{address}", context)], NOON)
    return [Email.get(Email.recipient == address).id for address in addresses]


def one_key_that_expires_in_three_days() -> tuple[Cast, Key]:
    """Its warnings are queued; the mails about the making of the key are not there any more."""
    people = arrive()
    enable(people.nordlys, people.ase, now=LONG_AGO)
    key = key_of(people.ase, expires_on=date(2026, 11, 26), now=LONG_AGO).key
    Email.delete().execute()
    notices.sweep("Europe/Oslo", date(2026, 11, 23), NOON, DAYS)
    return people, key


def states() -> dict[str, str]:
    return {mail.recipient: mail.state for mail in Email.select()}


def test_a_mail_goes_to_one_recipient_with_what_was_kept_for_it(empty_store: str) -> None:
    _, key = one_key_that_expires_in_three_days()

    with smtp_server() as server:
        outcome = send(server)

    (received,) = server.received
    mail = Email.get()
    assert (received.sender, received.recipient) == ("keys@fjord.example", "ase@nordlys.example")
    assert outcome == Outcome(sent=[mail.id])
    assert (mail.state, mail.sent_at, mail.reply) == ("sent", NOON, "2.0.0 Queued as 4711")
    assert bytes(mail.message) == received.raw
    assert received.message["Message-ID"] == f"<{mail.message_id}@fjord.example>"
    assert received.message["Subject"] == mail.subject
    body = received.message.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    for fact in ("erp-sync", f"{key.first}…{key.last}", "Åse Berg", "Thursday 26 November 2026", "Fjord Software"):
        assert fact in text


def test_days_are_counted_on_the_day_of_sending_in_the_companys_zone(empty_store: str) -> None:
    one_key_that_expires_in_three_days()
    late_evening = NOON + timedelta(hours=11, minutes=30)  # 00:30 on the 24th in Oslo

    with smtp_server() as server:
        send(server, late_evening)

    assert "in 2 days" in str(server.received[0].message["Subject"])


def test_a_day_that_passes_between_two_tries_is_counted(empty_store: str) -> None:
    one_key_that_expires_in_three_days()

    with smtp_server("450 rcpt") as server:
        send(server)
        send(server, NOON + timedelta(days=1))

    assert "in 2 days" in str(server.received[0].message["Subject"])


def test_every_kind_that_the_store_queues_can_be_written(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase, now=LONG_AGO)
    key = key_of(people.ase, expires_on=date(2027, 11, 23), now=LONG_AGO).key
    keys.edit_expiry(OLAV, key.id, date(2026, 11, 25), NOON)
    keys.revoke(OLAV, key.id, "lost", NOON)
    owe_test_mails("olav@fjord.example")

    with smtp_server() as server:
        outcome = send(server)

    assert outcome.failed == []
    assert {mail.kind: mail.state for mail in Email.select()} == {
        "integration_changed": "sent",
        "key_created": "sent",
        "key_expiry_changed": "sent",
        "key_revoked": "sent",
        "test_mail": "sent",
    }


@pytest.mark.parametrize("way", UNTRUE)
@pytest.mark.parametrize("before", TRIED)
def test_what_stopped_being_true_is_not_sent(empty_store: str, way: str, before: str) -> None:
    one_key_that_expires_in_three_days()
    script, resends, attempts = TRIED[before]
    reason, happens, now = UNTRUE[way]

    with smtp_server(*script) as server:
        if script:
            send(server)
        waiting = Email.get()
        happens()
        send(server, now)

    mail = Email.get()
    assert (waiting.state, waiting.resends, waiting.attempts) == ("queued", resends, attempts)
    assert len(server.received) == resends  # what was cut off has come, and comes no more
    assert (mail.state, mail.reply) == ("withdrawn", reason)
    assert [notice.state for notice in Notice.select()] == ["withdrawn", "withdrawn"]


def test_what_comes_too_late_is_not_sent(empty_store: str) -> None:
    one_key_that_expires_in_three_days()

    with smtp_server() as server:
        send(server, NOON + timedelta(days=5))

    mail = Email.get()
    assert (mail.state, mail.reply, server.received) == ("withdrawn", "it came too late to be of use", [])


def test_without_a_relay_mails_wait(empty_store: str) -> None:
    owe_test_mails("a@x.example")

    assert send(None) == Outcome()
    assert states() == {"a@x.example": "queued"}


def test_a_relay_that_is_down_leaves_every_mail_queued_and_is_left_alone_for_a_while(empty_store: str) -> None:
    arrive()
    owe_test_mails("a@x.example", "b@x.example")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = ScriptedServer(port=listener.getsockname()[1])
    relay = Relay()

    outcomes = [send(nobody, NOON + minutes * MINUTE, relay=relay) for minutes in (0, 0.5, 1, 2, 3)]

    tried = [bool(outcome.stopped) for outcome in outcomes]
    assert tried == [True, False, True, False, True]
    assert {(mail.state, mail.attempts, mail.owner) for mail in Email.select()} == {("queued", 0, None)}
    with smtp_server() as server:
        send(server, NOON + timedelta(hours=1), relay=relay)
    assert states() == {"a@x.example": "sent", "b@x.example": "sent"}


def test_a_greylisted_mail_is_tried_again_five_minutes_later_and_the_others_go(empty_store: str) -> None:
    arrive()
    first, second = owe_test_mails("a@x.example", "b@x.example")

    with smtp_server("450 rcpt") as server:
        outcome = send(server)
        too_early = send(server, NOON + timedelta(minutes=4, seconds=59))
        again = send(server, NOON + 6 * MINUTE)

    assert (outcome.later, outcome.sent) == ([first], [second])
    assert too_early == Outcome()
    assert again.sent == [first]
    assert Email.get_by_id(first).attempts == 2


def test_an_address_that_is_refused_for_good_fails_and_the_others_go(empty_store: str) -> None:
    arrive()
    first, second = owe_test_mails("a@x.example", "b@x.example")

    with smtp_server("550 rcpt") as server:
        outcome = send(server)
        send(server, NOON + timedelta(days=1))

    assert (outcome.failed, outcome.sent) == ([first], [second])
    assert Email.get_by_id(first).reply == "550 5.1.1 No such user here"
    assert len(server.received) == 1


def test_settings_that_are_refused_stop_the_run_and_cost_no_mail_anything(empty_store: str) -> None:
    arrive()
    owe_test_mails("a@x.example", "b@x.example")
    relay = Relay()

    with smtp_server("550 mail", "550 mail") as server:
        outcome = send(server, relay=relay)

    assert outcome == Outcome(stopped="550 5.7.1 Sender is not yours")
    assert states() == {"a@x.example": "queued", "b@x.example": "queued"}
    assert (relay.reason, relay.closed_until) == ("550 5.7.1 Sender is not yours", NOON + MINUTE)


@pytest.mark.parametrize("word", ["552 dot", "552 mail"])
def test_content_that_is_refused_lets_the_others_pass_and_fails_in_the_end(empty_store: str, word: str) -> None:
    arrive()
    first, second = owe_test_mails("a@x.example", "b@x.example")

    with smtp_server(word, "ok", word, word, word, word, word) as server:
        for hours in range(0, 60, 6):
            send(server, NOON + timedelta(hours=hours, minutes=0))
            send(server, NOON + timedelta(hours=hours, minutes=1))

    assert [Email.get_by_id(number).state for number in (first, second)] == ["failed", "sent"]
    assert (Email.get_by_id(first).attempts, len(server.received)) == (6, 1)


def test_a_lost_answer_sends_a_notice_once_more_with_the_same_bytes_and_other_mails_wait(empty_store: str) -> None:
    one_key_that_expires_in_three_days()

    with smtp_server("drop after dot") as server:
        outcome = send(server)
        again = send(server, NOON + timedelta(days=1))

    mail = Email.get()
    assert (outcome.ambiguous, again.sent) == ([mail.id], [mail.id])
    assert (mail.state, mail.resends) == ("sent", 1)
    first, second = server.received
    assert first.raw == second.raw


def test_a_relay_that_never_answers_spoils_one_mail_a_run(empty_store: str) -> None:
    arrive()
    owe_test_mails("a@x.example", "b@x.example", "c@x.example")

    with smtp_server("drop after dot", "drop after dot", "drop after dot") as server:
        send(server)

    assert states() == {"a@x.example": "ambiguous", "b@x.example": "queued", "c@x.example": "queued"}


@pytest.mark.parametrize("word", ["drop at rcpt", "drop before dot", "421 rcpt", "451 dot", "421 data"])
def test_what_was_certainly_not_taken_goes_later_and_arrives_once(empty_store: str, word: str) -> None:
    arrive()
    owe_test_mails("a@x.example")

    with smtp_server(word, word) as server:
        for minutes in (0, 10, 60, 180):
            send(server, NOON + minutes * MINUTE)

    assert states() == {"a@x.example": "sent"}
    assert len(server.received) == 1


def test_a_mail_that_cannot_be_written_fails_with_the_reason_and_the_others_go(empty_store: str) -> None:
    arrive()
    outbox.queue([Owed("key_created", "poison@x.example", "", "poison", {"company": 4711})], NOON)
    outbox.queue([Owed("no_such_kind", "unknown@x.example", "", "unknown", {})], NOON)
    owe_test_mails("a@x.example")
    said = io.StringIO()

    with smtp_server() as server:
        send(server, log=JsonLog(said, lambda: NOON))

    assert states() == {"poison@x.example": "failed", "unknown@x.example": "failed", "a@x.example": "sent"}
    assert Email.get(Email.kind == "no_such_kind").reply.startswith(
        "it could not be written: There is no mail of the kind 'no_such_kind'"
    )
    facts = [json.loads(line) for line in said.getvalue().splitlines()]
    assert [(fact["fact"], fact["level"]) for fact in facts] == [
        ("mail.failed", "error"),
        ("mail.failed", "error"),
        ("mail.sent", "info"),
    ]


def test_a_worker_that_is_told_to_stop_gives_back_what_it_has_not_begun(empty_store: str) -> None:
    arrive()
    owe_test_mails("a@x.example", "b@x.example")

    with smtp_server() as server:
        outcome = send(server, stopping=lambda: bool(server.received))

    assert len(outcome.sent) == 1
    assert states() == {"a@x.example": "sent", "b@x.example": "queued"}


def test_a_worker_that_slept_finds_settled_by_another_what_the_relay_had_taken(empty_store: str, record: Path) -> None:
    arrive()
    owe_test_mails("a@x.example", "b@x.example")

    with smtp_server() as server:

        def sleeps_an_hour_after_the_first() -> bool:
            if server.received:
                ambiguous_mails.find(NOON + timedelta(hours=1))
            return bool(server.received)

        outcome = send(server, stopping=sleeps_an_hour_after_the_first)

    assert (len(outcome.sent), outcome.ambiguous) == (1, [])
    assert states() == {"a@x.example": "sent", "b@x.example": "queued"}


class Dying(SmtpSession):
    """A connection whose process is killed at one moment of the hand-over."""

    moment = ""

    def hand_over(self, sender: str, recipient: str, raw: bytes) -> Conversation:
        steps = super().hand_over(sender, recipient, raw)
        answer = yield from around_the_record(steps, lambda: self.die_at("before"), lambda: self.die_at("handed-over"))
        self.die_at("answered")
        return answer

    def die_at(self, moment: str) -> None:
        if moment == self.moment:
            os.kill(os.getpid(), signal.SIGKILL)


def dies(location: str, server: ScriptedServer, moment: str) -> None:
    """Another worker, in a process of its own with a connection of its own, is killed at that moment."""
    child = os.fork()
    if child == 0:
        try:
            database.bind(location)
            Dying.moment = moment
            with database.session():
                deliver_slice(
                    lambda: Dying("localhost", server.port, tls="none"),
                    SENDER,
                    lambda: NOON,
                    owner="killed",
                    relay=Relay(),
                )
        finally:
            os._exit(1)  # not killed: whatever it was, it is not the parent's test
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # the child uses none of the threads
@pytest.mark.parametrize(
    ("moment", "about_a_key", "everything_else"),
    [
        ("before", ("sent", 1), ("sent", 1)),
        ("handed-over", ("sent", 1), ("ambiguous", 0)),
        ("answered", ("sent", 2), ("ambiguous", 1)),
    ],
)
@pytest.mark.parametrize("is_about_a_key", [True, False])
def test_a_worker_that_is_killed_loses_no_mail_and_doubles_none_but_a_notice_whose_answer_it_never_read(
    empty_store: str,
    moment: str,
    about_a_key: tuple[str, int],
    everything_else: tuple[str, int],
    is_about_a_key: bool,
) -> None:
    if is_about_a_key:
        one_key_that_expires_in_three_days()
    else:
        arrive()
        owe_test_mails("a@x.example")

    with smtp_server() as server:
        dies(empty_store, server, moment)
        assert send(server) == Outcome()  # its lease is not over
        for hours in (1, 2, 3):
            send(server, NOON + timedelta(hours=hours))

    assert (Email.get().state, len(server.received)) == (about_a_key if is_about_a_key else everything_else)
    assert len({received.raw for received in server.received}) <= 1


def test_the_wait_grows_from_five_minutes_to_four_hours_and_is_the_same_on_every_machine() -> None:
    waits = [wait(4711, attempts) for attempts in range(1, 9)]

    for taken, minutes in zip(waits, (5, 15, 30, 60, 120, 240, 240, 240), strict=True):
        assert minutes * MINUTE <= taken <= minutes * MINUTE * 1.2
    assert waits == [wait(4711, attempts) for attempts in range(1, 9)]
    assert len({wait(number, 3) for number in range(50)}) > 20
