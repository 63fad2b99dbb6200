"""What becomes of a lost answer when the relay takes mails of one key once, and which mails stand together?"""

from datetime import date, timedelta

import pytest
from cast import LONG_AGO, NOON, OLAV, arrive, enable, key_of
from smtp_server import Received, ScriptedServer, smtp_server

from jobs.delivery import Outcome, Relay, Sender, deliver_slice
from jobs.smtp_session import SmtpSession
from store import ambiguous_mails, keys, mail_decisions, notices, outbox, outgoing
from store.outbox import Owed
from store.tables import Email

HEADER = "Resend-Idempotency-Key"
SENDER = Sender("keys@fjord.example", "", HEADER)
HOUR = timedelta(hours=1)


def owe(kind: str = "test_mail", **about: object) -> int:
    context = {"by": "olav", "at": "2026-11-23T11:00:00Z", "roles": ["operator"], **about}
    outbox.queue([Owed(kind, "ase@nordlys.example", "", "one", context)], NOON)
    return Email.get().id


def send(server: ScriptedServer, after: timedelta = timedelta(0), sender: Sender = SENDER) -> Outcome:
    now = NOON + after
    return deliver_slice(
        lambda: SmtpSession("localhost", server.port, tls="none"), sender, lambda: now, owner="one", relay=Relay()
    )


def key_in(received: Received) -> str | None:
    value = received.message[HEADER]
    return None if value is None else str(value)


def test_the_header_names_what_the_mail_tells(empty_store: str) -> None:
    arrive()
    owe()

    with smtp_server() as server:
        send(server)

    (received,) = server.received
    assert len(key_in(received) or "") == 35
    assert (key_in(received) or "").startswith("kd.")


def test_a_relay_that_was_not_said_to_fold_gets_no_such_header(empty_store: str) -> None:
    arrive()
    owe()

    with smtp_server() as server:
        send(server, sender=Sender("keys@fjord.example", ""))

    assert key_in(server.received[0]) is None


def test_any_mail_whose_answer_was_lost_goes_once_more_by_itself_with_the_same_bytes(empty_store: str) -> None:
    arrive()
    owe()

    with smtp_server("drop after dot") as server:
        send(server)
        too_early = send(server, timedelta(minutes=4))
        again = send(server, timedelta(minutes=6))

    first, second = server.received
    assert (too_early, len(again.sent)) == (Outcome(), 1)
    assert first.raw == second.raw
    assert (Email.get().state, Email.get().resends) == ("sent", 1)


def test_a_second_lost_answer_waits_for_a_person(empty_store: str) -> None:
    arrive()
    number = owe()

    with smtp_server("drop after dot", "drop after dot") as server:
        send(server)
        send(server, timedelta(minutes=6))
        send(server, HOUR)
        state = Email.get().state
        mail_decisions.resend(OLAV, number, NOON + 2 * HOUR)
        send(server, 2 * HOUR)

    assert (state, Email.get().state) == ("ambiguous", "sent")
    assert len({received.raw for received in server.received}) == 1


def test_what_the_relay_may_have_forgotten_waits_for_a_person(empty_store: str) -> None:
    arrive()
    owe()

    with smtp_server("drop after dot") as server:
        send(server)
        late = send(server, 12 * HOUR)

    mail = Email.get()
    assert (late.sent, late.ambiguous, len(server.received)) == ([], [mail.id], 1)
    assert mail.state == "ambiguous"
    assert mail.reply == "it may have arrived, and the relay does not know any more whether it did"


@pytest.mark.parametrize(("hours", "state"), [(1, "queued"), (13, "ambiguous")])
def test_what_a_dead_worker_left_behind_goes_once_more_while_the_relay_remembers(
    empty_store: str, hours: int, state: str
) -> None:
    number = owe()
    lease = timedelta(minutes=30)
    outgoing.claim("dead", 1, lease, NOON)
    outgoing.handing_over(number, "dead", lease, NOON, outgoing.Bound("s", b"the bytes", folds=True))

    assert ambiguous_mails.find(NOON + hours * HOUR) == [number]
    assert Email.get().state == state


def test_a_mail_that_was_refused_and_is_written_anew_has_another_key(empty_store: str) -> None:
    arrive()
    owe()

    with smtp_server("451 dot", "drop after dot") as server:
        send(server)
        send(server, HOUR)
        send(server, 2 * HOUR)

    keys_told = {key_in(received) for received in server.received}
    assert len(server.received) == 2
    assert len(keys_told) == 1
    assert (keys_told.pop() or "").endswith("-1")


# What stands together in a mailbox


def threads_of(server: ScriptedServer) -> list[str]:
    roots = []
    for received in server.received:
        assert received.message["References"] == received.message["In-Reply-To"]
        roots.append(str(received.message["References"]))
    return roots


def test_all_mails_about_one_key_are_one_thread_and_those_about_another_are_not(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase, now=LONG_AGO)
    Email.delete().execute()
    key = key_of(people.ase, expires_on=date(2027, 11, 23), now=LONG_AGO).key
    key_of(people.ase, label="other", expires_on=date(2027, 11, 23), now=LONG_AGO)
    keys.edit_expiry(OLAV, key.id, date(2026, 11, 26), LONG_AGO)
    notices.sweep("Europe/Oslo", date(2026, 11, 23), NOON, (14, 3, -1))

    with smtp_server() as server:
        send(server)

    made, other, changed, expiring = threads_of(server)
    assert made == changed == expiring
    assert other != made
    assert made.startswith("<about.")
    assert made.endswith("@fjord.example>")


def test_a_month_and_its_correction_are_one_thread(empty_store: str) -> None:
    people = arrive()
    about = {
        "company": "Nordlys AS", "zone": "Europe/Oslo", "lines": [], "net": "1", "vat": "1", "gross": "2",
        "billing_reference": "PO", "roles": ["billing"],
    }  # fmt: skip
    for month, reason in (("2026-10", "a"), ("2026-10", "a:2"), ("2026-11", "b")):
        owed = Owed("invoice_lines", "a@x.example", "", reason, {**about, "month": month}, people.nordlys.id)
        outbox.queue([owed], NOON)

    with smtp_server() as server:
        send(server)

    first, correction, next_month = threads_of(server)
    assert first == correction
    assert next_month != first


def test_a_test_mail_stands_alone(empty_store: str) -> None:
    arrive()
    owe()

    with smtp_server() as server:
        send(server)

    assert server.received[0].message["References"] is None
