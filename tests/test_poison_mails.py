"""What does one mail do to the others that cannot be written, is far too long, or breaks every conversation?"""

import shutil
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cast import LONG_AGO, NOON, OLAV, Cast, arrive, enable, key_of
from smtp_server import Received, ScriptedServer, smtp_server

from jobs import letters
from jobs.delivery import Outcome, Relay, Sender, deliver_slice
from jobs.smtp_session import SmtpSession
from store import mail_decisions, notices, outbox, waiting_mails
from store.database import run_many, run_sql
from store.outbox import Owed
from store.tables import Email, Key, Notice

TEST = {"by": "olav", "at": "2026-11-23T11:00:00Z", "roles": ["operator"]}


def owe(kind: str = "test_mail", name: str = "", address: str = "poison@x.example", **about: Any) -> None:
    """A mail, and after it one that is well."""
    outbox.queue([Owed(kind, address, name, "first", TEST | about)], NOON)
    outbox.queue([Owed("test_mail", "well@x.example", "", "second", TEST)], NOON)


def deliver() -> tuple[Outcome, list[Received]]:
    with smtp_server() as server:
        outcome = deliver_slice(
            lambda: SmtpSession("localhost", server.port, tls="none"),
            Sender("keys@fjord.example", ""),
            lambda: NOON,
            owner="worker-1",
            relay=Relay(),
        )
        return outcome, server.received


def states() -> dict[str, str]:
    return {mail.recipient: mail.state for mail in Email.select()}


INVOICE = {"company": "Nordlys AS", "zone": "Europe/Oslo", "net": "1", "vat": "1", "gross": "2", "lines": []}
FAILURE = {"company": "Nordlys AS", "zone": "Europe/Oslo", "message": "no", "data_from": None}


@pytest.mark.parametrize(
    ("kind", "about", "reason"),
    [
        ("key_created", {"company": 4711}, "key_created has unknown or missing names"),
        ("no_such_kind", {}, "There is no mail of the kind 'no_such_kind'"),
        ("invoice_lines", {**INVOICE, "month": "2026-13", "billing_reference": "", "by": None}, "unknown or missing"),
        ("test_mail", {"at": "yesterday"}, "test_mail.at is not a UTC instant"),
        ("test_mail", {"by": None}, "test_mail.by must be of type str"),
        ("key_expiring", {"company": "Nordlys AS", "keys": []}, "'zone' (KeyError)"),
    ],
)
def test_what_cannot_be_written_is_set_aside_with_the_reason_and_the_others_go(
    empty_store: str, kind: str, about: dict[str, Any], reason: str
) -> None:
    arrive()
    owe(kind, **about)

    outcome, received = deliver()

    assert states() == {"poison@x.example": "failed", "well@x.example": "sent"}
    assert (len(outcome.failed), len(received)) == (1, 1)
    reply = Email.get(Email.recipient == "poison@x.example").reply
    assert reply.startswith("it could not be written: ")
    assert reason in reply


def test_a_template_that_fails_is_set_aside_with_the_reason_and_the_others_go(empty_store: str) -> None:
    arrive()
    outbox.queue(
        [
            Owed(
                "invoice_lines",
                "poison@x.example",
                "",
                "x",
                INVOICE | {"month": "2026-13", "billing_reference": "", "roles": []},
            )
        ],
        NOON,
    )
    owe(address="other@x.example")

    deliver()

    assert Email.get(Email.recipient == "poison@x.example").reply == (
        "it could not be written: tuple index out of range (IndexError)"
    )
    assert states() == {"poison@x.example": "failed", "other@x.example": "sent", "well@x.example": "sent"}


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of all of them, from which mails are written."""

    def forget() -> None:
        for remembered in (letters._rendered, letters._template, letters._environment):
            remembered.cache_clear()

    copied = shutil.copytree(letters.TEMPLATES, tmp_path / "email")
    monkeypatch.setattr(letters, "TEMPLATES", copied)
    forget()
    yield copied
    forget()


def test_a_template_that_is_not_there_holds_up_no_mail_of_another_kind(empty_store: str, templates: Path) -> None:
    arrive()
    about = INVOICE | {"month": "2026-10", "billing_reference": "", "roles": []}
    outbox.queue([Owed("invoice_lines", "poison@x.example", "", "first", about)], NOON)
    outbox.queue([Owed("test_mail", "well@x.example", "", "second", TEST)], NOON)
    (templates / "invoice_lines.j2").unlink()

    deliver()

    assert states() == {"poison@x.example": "failed", "well@x.example": "sent"}
    assert Email.get(Email.recipient == "poison@x.example").reply == (
        "it could not be written: The template invoice_lines.j2 is not there; install Keydesk again. (FormatWrong)"
    )


@pytest.mark.parametrize("address", ["", "nobody", "a@b.example\r\nBcc: c@d.example", "None"])
def test_what_is_no_address_fails_and_the_others_go(empty_store: str, address: str) -> None:
    arrive()
    owe(address=address)

    _, received = deliver()

    assert states() == {address: "failed", "well@x.example": "sent"}
    assert [mail.recipient for mail in received] == ["well@x.example"]


@pytest.mark.parametrize(
    "name", ["Eve\r\nBcc: evil@evil.example", "=?utf-8?q?=0D=0ABcc:_x=40y?=", '"><b>\u202e\u2028', "x" * 128]
)
def test_a_name_that_wants_to_be_a_header_is_a_name(empty_store: str, name: str) -> None:
    arrive()
    owe(name=name, by=name)

    _, received = deliver()

    poisoned = received[0].message
    assert "Bcc" not in poisoned
    assert poisoned["To"].addresses[0].addr_spec == "poison@x.example"
    assert states() == {"poison@x.example": "sent", "well@x.example": "sent"}


def test_half_a_character_is_a_question_mark_and_keeps_nobody_back(empty_store: str) -> None:
    arrive()
    owe(name="Å\ud83dse", by="Ål\ud83desund")

    _, received = deliver()

    assert str(received[0].message["To"]) == "Å?se <poison@x.example>"
    assert "Ål?esund" in received[0].message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert states() == {"poison@x.example": "sent", "well@x.example": "sent"}


def test_a_text_of_ten_megabytes_is_cut(empty_store: str) -> None:
    arrive()
    owe(by="Å" * 10_000_000)

    _, received = deliver()

    assert len(received[0].raw) < 30_000
    assert states() == {"poison@x.example": "sent", "well@x.example": "sent"}


def test_a_context_that_is_no_json_any_more_is_set_aside_and_the_others_go(empty_store: str) -> None:
    arrive()
    owe()
    run_sql("UPDATE email SET context = '{' WHERE recipient = 'poison@x.example'")

    deliver()

    states = dict(run_sql("SELECT recipient, state FROM email").fetchall())
    assert states == {"poison@x.example": "failed", "well@x.example": "sent"}


# Mails that break the conversation

MINUTE = timedelta(minutes=1)
BREAKS = ["421 rcpt", "drop at rcpt", "554 relay", "421 data", "drop before dot", "451 too many"]


def owe_to(*addresses: str, at: datetime = NOON) -> None:
    outbox.queue([Owed("test_mail", each, "", f"{each} at {at}", TEST) for each in addresses], at)


def pass_at(server: ScriptedServer, relay: Relay, now: datetime) -> Outcome:
    """One slice of a worker at that instant."""
    return deliver_slice(
        lambda: SmtpSession("localhost", server.port, tls="none"),
        Sender("keys@fjord.example", ""),
        lambda: now,
        owner="worker-1",
        relay=relay,
    )


@pytest.mark.parametrize("word", BREAKS)
def test_a_mail_that_breaks_the_conversation_keeps_the_others_back_for_a_minute(empty_store: str, word: str) -> None:
    arrive()
    owe_to("poison@x.example", "well@x.example", "last@x.example")

    with smtp_server() as server:
        server.always["poison@x.example"] = word
        relay = Relay()
        for minutes in (0, 1, 1):
            pass_at(server, relay, NOON + minutes * MINUTE)

    assert [mail.recipient for mail in server.received] == ["well@x.example", "last@x.example"]
    assert states()["poison@x.example"] == "queued"


def test_mails_that_all_break_the_conversation_keep_the_others_back_for_as_many_waits(empty_store: str) -> None:
    arrive()
    poison = [f"{number}@poison.example" for number in range(4)]
    owe_to(*poison, "well@x.example")

    with smtp_server() as server:
        server.always = dict.fromkeys(poison, "drop at rcpt")
        relay = Relay()
        for minutes in (0, 1, 3, 8, 18):
            pass_at(server, relay, NOON + minutes * MINUTE)

    assert [mail.recipient for mail in server.received] == ["well@x.example"]


@pytest.mark.parametrize("word", ["421 rcpt", "drop before dot"])
def test_a_mail_that_alone_breaks_every_conversation_waits_ever_longer_and_has_failed_after_five_days(
    empty_store: str, word: str
) -> None:
    arrive()
    owe_to("poison@x.example")
    failed_after, day = None, 24 * 60

    with smtp_server() as server:
        server.always["poison@x.example"] = word
        relay = Relay()
        for minutes in range(0, 8 * day, 150):
            owe_to("well@x.example", at=NOON + minutes * MINUTE)
            for later in (0, 20):
                pass_at(server, relay, NOON + (minutes + later) * MINUTE)
            if failed_after is None and states()["poison@x.example"] == "failed":
                failed_after = minutes // day

    assert failed_after in {4, 5, 6}
    assert len(server.received) >= 76  # of 77
    assert max(mail.sent_at - mail.queued_at for mail in Email.select() if mail.sent_at) <= 150 * MINUTE


def test_one_restart_of_the_relay_ends_no_mail_that_was_refused_for_now_for_hours(empty_store: str) -> None:
    arrive()
    owe_to("grey@x.example")
    hours, relay = timedelta(hours=1), Relay()

    with smtp_server() as server:
        server.always["grey@x.example"] = "450 rcpt"
        for hour in range(20):
            pass_at(server, relay, NOON + hour * hours)
        server.always["grey@x.example"] = "421 rcpt"
        owe_to("well@x.example", at=NOON + 23 * hours)
        pass_at(server, relay, NOON + 24 * hours)
        restarted = Email.get(Email.recipient == "grey@x.example")
        del server.always["grey@x.example"]
        pass_at(server, relay, NOON + 30 * hours)

    assert (restarted.state, restarted.attempts > 6) == ("queued", True)
    assert [mail.recipient for mail in server.received] == ["well@x.example", "grey@x.example"]


def test_a_mail_that_a_person_sends_again_begins_its_tries_anew(empty_store: str) -> None:
    arrive()
    owe_to("big@x.example")
    relay, day = Relay(), timedelta(days=1)

    with smtp_server() as server:
        server.always["big@x.example"] = "552 dot"
        for days in range(6):
            pass_at(server, relay, NOON + days * day)
        failed = Email.get()
        mail_decisions.resend(OLAV, failed.id, NOON + 7 * day)
        pass_at(server, relay, NOON + 7 * day)

    assert (failed.state, failed.attempts) == ("failed", 6)
    assert (Email.get().state, Email.get().attempts) == ("queued", 1)


@pytest.mark.parametrize("word", ["421 rcpt", "550 mail", "451 mail", "drop before dot", "451 too many"])
def test_a_relay_that_breaks_every_conversation_for_a_day_costs_no_mail_a_try(empty_store: str, word: str) -> None:
    arrive()
    addresses = [f"{number}@x.example" for number in range(7)]
    relay, day = Relay(), timedelta(days=1)

    with smtp_server() as server:
        owe_to("before@x.example", at=NOON - MINUTE)
        pass_at(server, relay, NOON - MINUTE)
        owe_to(*addresses)
        server.script.extend([word] * 2000)
        for minutes in range(0, 24 * 60, 30):
            pass_at(server, relay, NOON + minutes * MINUTE)
        tried = {(mail.state, mail.attempts) for mail in Email.select().where(Email.recipient.in_(addresses))}
        server.script.clear()
        for minutes in range(10):
            pass_at(server, relay, NOON + day + minutes * MINUTE)

    assert tried == {("queued", 0)}
    assert {mail.recipient for mail in server.received} == {"before@x.example", *addresses}


def test_a_mail_that_waits_alone_for_the_relay_is_told_to_wait_since_it_was_due(empty_store: str) -> None:
    arrive()
    owe_to("alone@x.example")

    with smtp_server(*["550 mail"] * 20) as server:
        for minutes in range(0, 60, 10):
            pass_at(server, Relay(), NOON + minutes * MINUTE)

    assert Email.get().next_at == NOON


def test_of_mails_side_by_side_only_that_goes_behind_at_which_the_relay_stopped(empty_store: str) -> None:
    arrive()
    addresses = [f"{number:02}@x.example" for number in range(12)]
    owe_to(*addresses)

    with smtp_server() as server:
        server.always["01@x.example"] = "drop before dot"
        pass_at(server, Relay(connections=3), NOON)

    waiting = list(Email.select().where(Email.state == "queued").order_by(Email.next_at, Email.id))
    assert sorted(mail.recipient for mail in server.received) == ["00@x.example", "02@x.example"]
    assert [mail.recipient for mail in waiting] == [*addresses[3:], "01@x.example"]
    assert {mail.next_at for mail in waiting[:-1]} == {NOON}


# Very many keys


def many_keys(number: int) -> Cast:
    """That all expire in three days; warned of."""
    people = arrive()
    enable(people.nordlys, people.ase, now=LONG_AGO)
    key = key_of(people.ase, expires_on=date(2026, 11, 26), now=LONG_AGO).key
    Email.delete().execute()
    columns = [field.column_name for field in Key._meta.sorted_fields if field.name != "id"]
    row = run_sql(f"SELECT {', '.join(columns)} FROM api_key WHERE id = ?", (key.id,)).fetchone()
    one = dict(zip(columns, row, strict=True))
    rows = [{**one, "handle": f"key_{place:08}", "digest": place.to_bytes(32, "big")} for place in range(1, number)]
    text = f"INSERT INTO api_key ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    run_many(text, [list(each.values()) for each in rows])
    notices.sweep("Europe/Oslo", date(2026, 11, 23), NOON, (14, 3, -1))
    return people


def test_a_warning_about_very_many_keys_can_be_read_and_tells_how_many_it_does_not_list(empty_store: str) -> None:
    many_keys(500)

    _, (received,) = deliver()

    text = received.message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert str(received.message["Subject"]) == "[Nordlys AS] 500 API keys stop, first in 3 days"
    assert text.count("Works through:") == 25
    assert "And 475 more keys, which are not listed here." in text
    assert len(received.raw) < 100_000  # beyond that mail programs cut it off
    assert Notice.select().where(Notice.state == "mailed").count() == 500


def test_keys_that_owe_it_no_more_are_not_counted(empty_store: str) -> None:
    many_keys(100)
    Key.update(revoked_at=NOON).where(Key.id > Key.select(Key.id).order_by(Key.id).offset(69).limit(1)).execute()

    _, (received,) = deliver()

    assert "[Nordlys AS] 70 API keys stop" in str(received.message["Subject"])
    assert Notice.select().where(Notice.state == "withdrawn").count() == 60
    assert waiting_mails.pending().queued == 0
