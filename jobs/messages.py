"""From a letter to the bytes that go over the wire: the same letter and headers give the same bytes, on every try.

The bytes are put together here and not by `email.message`, which needs ten times as long and has had ways to write a
header into a header. They are looked at again before they are given out: a header more or less than was meant, or
another text, is an error here and not a surprise in somebody's mailbox.
"""

import re
from binascii import a2b_qp, b2a_qp
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final

from jobs.letters import LANGUAGE, Letter, clean
from store.errors import FormatWrong, KeydeskError
from store.rules.addresses import for_servers


class MessageWrong(KeydeskError):
    """A message does not read back as it was meant; it must not be sent, and trying again gives the same."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name as people know it, and the ASCII address."""

    name: str
    address: str


_LINE: Final = 78  # RFC 5322 2.1.1
_LONGEST_LINE: Final = 998
_LINE_END: Final = b"\r\n"
_ENCODED_WORD: Final = 64  # at most; beside the longest name of a header it fits the line
_WORD_START, _WORD_END = "=?utf-8?q?", "?="
_AS_IT_IS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")  # RFC 2047 5 (3)
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
_WORDS: Final = re.compile(r"[!-~]{1,64}(?: [!-~]{1,64})*", re.ASCII)
_HEADERS: Final = re.compile(rb"(?:[A-Za-z0-9-]+:(?: |\r\n )[!-~](?:[ -~]|\r\n (?=[!-~]))*\r\n)+")
_HEADER_NAME: Final = re.compile(rb"(?m)^([A-Za-z0-9-]+):")
_PART: Final = 'Content-Type: text/{}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'


def message_id(dedupe_key: str, domain: str) -> str:
    """The Message-ID of what must be sent once: the same key gives the same ID on every machine and try."""
    return f"<kd.{sha256(dedupe_key.encode()).hexdigest()[:32]}@{domain}>"


def thread_id(topic: str, domain: str) -> str:
    """What all mails about one thing (a key, a night, a month) refer to, so that a mailbox shows them together."""
    return f"<about.{sha256(topic.encode()).hexdigest()[:32]}@{domain}>"


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
    more: Iterable[tuple[str, str]] = (),
) -> bytes:
    """The message, ready for DATA: 7-bit, CRLF, no line over 998 bytes. `unsubscribe` is an address, for lists only.

    `more` are further headers of words in ASCII.
    """
    if date.tzinfo is None:
        raise FormatWrong("The date of a mail needs a time zone.")
    threading = (("In-Reply-To", references[-1]), ("References", " ".join(references))) if references else ()
    off = (("List-Unsubscribe", f"<mailto:{for_servers(unsubscribe)}>"),) if unsubscribe else ()
    headers: dict[str, Sequence[str]] = {
        "From": _mailbox(sender),
        "To": _mailbox(recipient),
        "Reply-To": [for_servers(reply_to)],
        "Subject": _words("Subject", letter.subject),
    }
    for name, value in (
        ("Date", _date(date.astimezone(UTC).replace(microsecond=0))),
        ("Message-ID", message_id),
        *threading,
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "OOF, AutoReply"),  # not All: that would suppress bounces too
        ("X-Keydesk-Event", kind),
        ("X-Keydesk-Ref", reference),
        *more,
        *off,
        ("Content-Language", LANGUAGE),
        ("MIME-Version", "1.0"),
    ):
        headers[name] = _said(name, value)
    return _put_together(headers, letter, "=_kd_" + sha256(message_id.encode()).hexdigest()[:40])


def _put_together(headers: dict[str, Sequence[str]], letter: Letter, boundary: str) -> bytes:
    """The bytes, looked at again. No quoted-printable line can hold `=_`, so none can be taken for the boundary."""
    headers["Content-Type"] = ["multipart/alternative;", f'boundary="{boundary}"']
    head = "".join(_folded(name, tokens) for name, tokens in headers.items()).encode("ascii", "replace")
    if not _HEADERS.fullmatch(head) or _HEADER_NAME.findall(head) != [name.encode() for name in headers]:
        raise MessageWrong("A mail reads back with other headers than were meant; it was not sent.")
    if max(map(len, head.split(b"\r\n"))) > _LONGEST_LINE:
        raise MessageWrong("A mail has a line that no mail server must take; it was not sent.")
    edge = f"\r\n--{boundary}".encode()
    pieces = [head]
    for subtype, content in (("plain", letter.text), ("html", letter.html)):
        pieces += (edge, b"\r\n", _PART.format(subtype).encode(), _quoted(content))
    return b"".join((*pieces, edge, b"--\r\n"))


def _quoted(content: str) -> bytes:
    """Quoted-printable: smtplib sends eight-bit bodies even to servers that do not take them."""
    return b"".join(map(_quoted_line, content.split("\n")))[: -len(_LINE_END)]


@lru_cache(maxsize=2048)
def _quoted_line(line: str) -> bytes:
    """One line and its end. Most lines of a mail are the layout's, the same in all."""
    wanted = line.encode() + _LINE_END
    written = b2a_qp(wanted, istext=True)
    if a2b_qp(written) != wanted or written.count(b"\n") != written.count(_LINE_END) or not written.isascii():
        raise MessageWrong("A mail reads back with another text than was meant; it was not sent.")
    return written


@lru_cache(maxsize=16)
def _date(date: datetime) -> str:
    return format_datetime(date)


@lru_cache(maxsize=1024)
def _mailbox(mailbox: Mailbox) -> tuple[str, ...]:
    """The name and the address; a name that is not made of plain words is quoted or encoded."""
    name, address = clean(mailbox.name, 64), for_servers(mailbox.address)
    if not name:
        return (address,)
    if _ATOMS.fullmatch(name) and "=?" not in name:
        return (*name.split(" "), f"<{address}>")
    if name.isascii() and "=?" not in name:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return (f'"{escaped}"', f"<{address}>")
    return (*_encoded(name), f"<{address}>")


def _words(name: str, text: str) -> list[str]:
    """Text for people: as it is where it is plain words in ASCII, else as encoded words."""
    if not text.isprintable():
        raise MessageWrong(f"The header {name} of a mail holds characters that cannot be seen; it was not sent.")
    return text.split(" ") if _WORDS.fullmatch(text) and "=?" not in text else list(_encoded(text))


def _said(name: str, value: str) -> list[str]:
    """Words for programs."""
    if not value.isprintable():
        raise MessageWrong(f"The header {name} of a mail holds characters that cannot be seen; it was not sent.")
    return value.split(" ")


def _encoded(text: str) -> Iterator[str]:
    """The text as encoded words (RFC 2047); between two of them a mail program sees no space."""
    word = ""
    for character in text:
        written = character if character in _AS_IT_IS else _escaped(character)
        if len(_WORD_START) + len(word) + len(written) + len(_WORD_END) > _ENCODED_WORD:
            yield f"{_WORD_START}{word}{_WORD_END}"
            word = ""
        word += written
    yield f"{_WORD_START}{word}{_WORD_END}"


def _escaped(character: str) -> str:
    return "_" if character == " " else "".join(f"={byte:02X}" for byte in character.encode())


def _folded(name: str, tokens: Sequence[str]) -> str:
    """The header in lines of at most 78 characters, as far as single words allow."""
    lines, line = [], f"{name}:"
    for number, token in enumerate(tokens):
        if number and len(line) + 1 + len(token) > _LINE:
            lines.append(line)
            line = ""
        line += f" {token}"
    return "\r\n".join((*lines, line)) + "\r\n"
