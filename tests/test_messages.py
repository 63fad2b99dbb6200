"""What exactly goes over the wire, and what can never be in it?"""

from dataclasses import replace
from datetime import UTC, date, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from golden import compare
from hooked_hand_over import delivered
from hypothesis import example, given, settings
from hypothesis import strategies as st
from smtp_server import smtp_server

from jobs.letter_context import CONTEXTS
from jobs.letters import Letter, render
from jobs.mail_preview import sample_contexts
from jobs.messages import Mailbox, MessageWrong, build, message_id, thread_id
from jobs.smtp_session import Delivered, SmtpSession
from store.errors import FormatWrong

LETTER = Letter("[erp-sync] Økt frist", "Hei Åse,\n\n.prikk\nFrom here\n" + "lang " * 300 + "\n", "<p>Hei Åse</p>\n")
ENVELOPE: dict[str, Any] = {
    "kind": "key_expiring",
    "sender": Mailbox("Nordlys Regnskap", "keys@nordlys.example"),
    "recipient": Mailbox("Åse Berg", "ase@fjordfisk.example"),
    "reply_to": "support@nordlys.example",
    "message_id": "<kd.1@nordlys.example>",
    "date": datetime(2026, 11, 23, 8, 0, tzinfo=UTC),
    "reference": "KD-7F3K2",
}
HEADERS = [
    *("From", "To", "Reply-To", "Subject", "Date", "Message-ID"),
    *("Auto-Submitted", "X-Auto-Response-Suppress", "Content-Language", "X-Keydesk-Event", "X-Keydesk-Ref"),
    *("MIME-Version", "Content-Type"),
]


def built(letter: Letter = LETTER, **other: Any) -> bytes:
    return build(letter, **ENVELOPE | other)


def read(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def contents(part: Any) -> str:
    return str(part.get_content()).replace("\r\n", "\n")


def test_a_mail_has_these_headers_and_no_others() -> None:
    message = read(built())

    assert sorted(message.keys()) == sorted(HEADERS)
    assert {name: str(message[name]) for name in HEADERS[:11]} == {
        "From": "Nordlys Regnskap <keys@nordlys.example>",
        "To": "Åse Berg <ase@fjordfisk.example>",
        "Reply-To": "support@nordlys.example",
        "Subject": "[erp-sync] Økt frist",
        "Date": "Mon, 23 Nov 2026 08:00:00 +0000",
        "Message-ID": "<kd.1@nordlys.example>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "OOF, AutoReply",
        "Content-Language": "en",
        "X-Keydesk-Event": "key_expiring",
        "X-Keydesk-Ref": "KD-7F3K2",
    }


def test_the_text_comes_before_the_html_and_both_as_they_were() -> None:
    parts = list(read(built()).iter_parts())

    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    assert [contents(part) for part in parts] == [LETTER.text, LETTER.html]


def test_a_mail_is_seven_bit_with_short_lines_that_end_in_crlf() -> None:
    raw = built()

    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")


def test_the_same_mail_is_the_same_bytes_on_every_try() -> None:
    assert built() == built()


@pytest.mark.parametrize("kind", CONTEXTS)
def test_each_mail_on_the_wire_is_as_it_was_approved(kind: str) -> None:
    context = sample_contexts()[kind]["typical"]
    letter = render(kind, context, today=date(2026, 11, 23), now=datetime(2026, 11, 23, 8, 0, tzinfo=UTC))

    compare(f"{kind}.eml", built(letter, kind=kind))


def test_a_mail_arrives_at_a_mail_server_as_it_was_built() -> None:
    raw = built()

    with smtp_server() as server, SmtpSession("localhost", server.port, tls="none") as session:
        answer = delivered(session, "keys@nordlys.example", "ase@fjordfisk.example", raw)

    assert answer == Delivered("2.0.0 Queued as 4711")
    assert [mail.raw for mail in server.received] == [raw]


def test_a_mail_that_must_be_sent_once_has_one_id_on_every_machine() -> None:
    key = "key_expiring:4711:2026-12-07:14:ase@fjordfisk.example"

    assert message_id(key, "nordlys.example") == "<kd.4a33d644c85bed5e8354cd03c01b97af@nordlys.example>"
    assert message_id(key + "x", "nordlys.example") != message_id(key, "nordlys.example")


def test_mails_about_one_key_are_one_thread() -> None:
    message = read(built(references=[thread_id("key:4711", "nordlys.example"), "<kd.0@nordlys.example>"]))

    root = "<about.8a16f10757687ff880aa5d876478014c@nordlys.example>"
    assert message["References"] == f"{root} <kd.0@nordlys.example>"
    assert message["In-Reply-To"] == "<kd.0@nordlys.example>"


@pytest.mark.parametrize("local", ["keys+stop.KD-7F3K2", "keys+stop." + "x" * 50])
def test_the_way_off_a_list_is_never_an_encoded_word(local: str) -> None:
    domain = "a-rather-long-subdomain.of-a-vendor-with-a-long-name.nordlys.example"

    raw = built(unsubscribe=f"{local}@{domain}")

    assert f"\r\nList-Unsubscribe: <mailto:{local}@{domain}>\r\n".encode() in raw


def test_an_address_with_nordic_letters_goes_in_ascii() -> None:
    message = read(built(recipient=Mailbox("Åse", "ase@blåbær.example")))

    assert message["To"].addresses[0].addr_spec == "ase@xn--blbr-roah.example"


@pytest.mark.parametrize(
    "address", ["", "a@b.example\r\nBcc: c@d.example", "a@b.example, c@d.example", "åse@x.example"]
)
def test_what_is_not_one_address_is_refused(address: str) -> None:
    with pytest.raises(FormatWrong):
        built(recipient=Mailbox("Åse", address))


@pytest.mark.parametrize("subject", ["a\nBcc: c@d.example", "a\x00b", "a\x1bb", "a\u2028b", "a\u202eb"])
def test_a_subject_that_was_not_cleaned_is_refused(subject: str) -> None:
    with pytest.raises(MessageWrong, match="The header Subject of a mail holds characters that cannot be seen"):
        built(replace(LETTER, subject=subject))


@pytest.mark.parametrize("name", ["message_id", "reference", "kind"])
def test_no_other_header_can_be_broken_into_two(name: str) -> None:
    with pytest.raises(MessageWrong, match="holds characters that cannot be seen"):
        built(**{name: "<x@y>\r\nBcc: c@d.example"})


def test_a_subject_that_the_library_turns_into_another_header_is_caught_on_reading_it_again() -> None:
    """CVE-2024-6923: some Pythons write a real Bcc line for this; those that do not give the subject back."""
    subject = "hi =?utf-8?q?=0D=0ABcc:_x=40y?= é"

    try:
        raw = built(replace(LETTER, subject=subject))
    except MessageWrong:
        return

    assert "Bcc" not in read(raw)


def test_a_date_without_a_zone_is_refused() -> None:
    with pytest.raises(FormatWrong, match="needs a time zone"):
        built(date=datetime(2026, 11, 23, 8, 0))


@settings(deadline=None, max_examples=150)
@given(name=st.text(st.characters(), max_size=100))
@example(name='Hånsen, "Kåri" <x@y>, evil@evil.example;' * 3)
@example(name="=?utf-8?q?=0D=0ABcc:_x=40y?= é")
@example(name="x" * 200)
@example(name=", " * 50 + "å")
def test_no_name_can_change_headers_recipients_or_lines(name: str) -> None:
    context = sample_contexts()["key_revoked"]["typical"]
    foreign = replace(context, company=name, reason=name, by=name, key=replace(context.key, label=name))  # type: ignore[attr-defined,call-arg]
    letter = render("key_revoked", foreign, today=date(2026, 11, 23), now=datetime(2026, 11, 23, 8, 0, tzinfo=UTC))

    raw = built(letter, sender=Mailbox(name, "keys@nordlys.example"), recipient=Mailbox(name, "ase@fjordfisk.example"))

    message = read(raw)
    assert sorted(message.keys()) == sorted(HEADERS)
    assert [address.addr_spec for address in message["To"].addresses] == ["ase@fjordfisk.example"]
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert [contents(part) for part in message.iter_parts()] == [letter.text, letter.html]
