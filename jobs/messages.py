"""From a letter to the bytes that go over the wire: the same letter and headers give the same bytes, on every try.

The bytes are read again before they are given out: a header more or less than was meant, or another recipient, is an
error here and not a surprise in somebody's mailbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from hashlib import sha256
from typing import Any, ClassVar, Final, Literal

from jobs.letters import LANGUAGE, Letter, clean
from store.errors import FormatWrong, KeydeskError
from store.rules.addresses import check_address


class MessageWrong(KeydeskError):
    """A message does not read back as it was meant; it must not be sent, and trying again gives the same."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name as people know it, and the ASCII address."""

    name: str
    address: str


class _CommaFolded(BaseHeader):
    """A header of URIs, broken at commas only: the standard class makes encoded words of it, which nobody reads."""

    max_count: ClassVar[Literal[1]] = 1

    @classmethod
    def parse(cls, value: str, kwds: dict[str, Any]) -> None:
        """Take the value as it is."""
        kwds["parse_tree"] = UnstructuredHeader.value_parser(value)
        kwds["decoded"] = value

    def fold(self, *, policy: Any) -> str:
        """The header with one URI a line."""
        return f"{self.name}: {str(self).replace(', ', ',' + policy.linesep + ' ')}{policy.linesep}"


_HEADERS: Final = HeaderRegistry()
_HEADERS.map_to_type("list-unsubscribe", _CommaFolded)
_POLICY: Final = EmailPolicy(linesep="\r\n", cte_type="7bit", header_factory=_HEADERS)
_BODY_HEADERS: Final = ("Content-Language", "MIME-Version", "Content-Type")


def message_id(dedupe_key: str, domain: str) -> str:
    """The Message-ID of what must be sent once: the same key gives the same ID on every machine and try."""
    return f"<kd.{sha256(dedupe_key.encode()).hexdigest()[:32]}@{domain}>"


def thread_id(topic: str, domain: str) -> str:
    """What all mails about one thing (`key.4711`) refer to, so that a mailbox shows them together."""
    return f"<{topic}@{domain}>"


def build(
    letter: Letter,
    *,
    kind: str,
    sender: Mailbox,
    recipient: Mailbox,
    reply_to: str,
    message_id: str,
    date: datetime,
    reference: str,
    references: Sequence[str] = (),
    unsubscribe: str | None = None,
) -> bytes:
    """The message, ready for DATA: 7-bit, CRLF, no line over 998 bytes. `unsubscribe` is an address, for lists only."""
    if date.tzinfo is None:
        raise FormatWrong("The date of a mail needs a time zone.")
    headers: dict[str, Any] = {
        "From": _address(sender),
        "To": _address(recipient),
        "Reply-To": _address(Mailbox("", reply_to)),
        "Subject": letter.subject,
        "Date": format_datetime(date.astimezone(UTC)),
        "Message-ID": message_id,
        **({"In-Reply-To": references[-1], "References": " ".join(references)} if references else {}),
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "OOF, AutoReply",  # not All: that would suppress bounces too
        "X-Keydesk-Event": kind,
        "X-Keydesk-Ref": reference,
        **({"List-Unsubscribe": f"<mailto:{_address(Mailbox('', unsubscribe)).addr_spec}>"} if unsubscribe else {}),
    }
    raw = _written(headers, letter)
    _check(raw, headers, letter)
    return raw


def _address(mailbox: Mailbox) -> Address:
    return Address(clean(mailbox.name, 64), addr_spec=check_address(mailbox.address).ascii)


def _written(headers: dict[str, Any], letter: Letter) -> bytes:
    message = EmailMessage(_POLICY)
    for name, value in headers.items():
        if isinstance(value, str) and not value.isprintable():
            raise MessageWrong(f"The header {name} of a mail holds characters that cannot be seen; it was not sent.")
        try:
            message[name] = value
        except ValueError as error:
            raise MessageWrong(f"The header {name} of a mail cannot be written ({error}); it was not sent.") from None
    # smtplib sends eight-bit bodies even to servers that do not take them.
    message.set_content(letter.text, cte="quoted-printable")
    message.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = LANGUAGE  # only now: a new body takes every content header away
    message.set_boundary("=_kd_" + sha256(headers["Message-ID"].encode()).hexdigest()[:40])
    return message.as_bytes()


def _check(raw: bytes, headers: dict[str, Any], letter: Letter) -> None:
    """Read the message as a mail program would and compare what matters."""
    read = message_from_bytes(raw, policy=_POLICY)
    if sorted(read.keys()) != sorted([*headers, *_BODY_HEADERS]):
        raise MessageWrong("A mail reads back with other headers than were meant; it was not sent.")
    for name in ("From", "To", "Reply-To"):
        if [address.addr_spec for address in read[name].addresses] != [headers[name].addr_spec]:
            raise MessageWrong(f"A mail reads back with another address in {name}; it was not sent.")
    parts = [part.get_content().replace("\r\n", "\n") for part in read.iter_parts()]
    if parts != [letter.text, letter.html]:
        raise MessageWrong("A mail reads back with another text than was meant; it was not sent.")
    if not raw.isascii() or max(map(len, raw.split(b"\r\n"))) > 998 or b"\n" in raw.replace(b"\r\n", b""):
        raise MessageWrong("A mail has a line that no mail server must take; it was not sent.")
