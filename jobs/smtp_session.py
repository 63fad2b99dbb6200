"""Mails handed over one by one on one connection, each with an answer that says what became of it.

A hand-over is a conversation of steps, so that one thread can lead several at once, each on a connection of its own.
After the server has asked for the body (354) and before the body goes, whoever leads it writes down that it goes. What
a crash finds written down and unanswered may have arrived; nothing else can have.
"""

import re
import select
import smtplib
import socket
import ssl
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from jobs.deadline import Deadline
from jobs.smtp_answers import (
    NO_REPLY,
    Answer,
    AnswerLost,
    BadAddress,
    Delivered,
    Phase,
    StopRun,
    TryLater,
    refused,
    shown,
)
from jobs.smtp_connection import Client, Command, MailServer, NoWayError, Timeouts, Tls, connect

__all__ = [
    "Answer",
    "AnswerLost",
    "BadAddress",
    "Conversation",
    "Delivered",
    "Phase",
    "SmtpSession",
    "Step",
    "StopRun",
    "Timeouts",
    "Tls",
    "TryLater",
]

_MAILS_A_CONNECTION: Final = 100
_SENDABLE: Final = re.compile(r"[!-;=?-~]+@[!-;=?-~]+", re.ASCII)  # ASCII that is seen, but neither < nor >
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_DOT_FIRST: Final = re.compile(rb"(?m)^\.")


Step = Literal["begun", "said", "asked", "gone"]
"""How far a hand-over is: begun (its time runs); said, after each thing that the server is told of the mail and has not
answered yet; asked for the body by the server; gone, with all of it there."""

Refusal = TryLater | BadAddress | StopRun
"""The server does not want the mail, or not now."""

Conversation = Generator[Step, None, Answer]
"""A hand-over: it stops after each step, and ends with the answer. Closed before that, nothing more of it is sent."""


@dataclass
class _Offer:
    """A mail that the server shall ask for."""

    sender: str
    recipient: str
    size: int

    def commands(self, *, sized: bool) -> tuple[Command, ...]:
        """What is said, with its size to a server that wants to know it (RFC 1870)."""
        size = f" SIZE={self.size}" if sized else ""
        return (
            ("mail", f"MAIL FROM:<{self.sender}>{size}", (250,)),
            ("rcpt", f"RCPT TO:<{self.recipient}>", (250, 251, 252)),
            ("data", "DATA", (354,)),
        )


class SmtpSession:
    """A context manager around one persistent connection, opened when the first mail comes; see MailServer."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: Tls,
        user: str | None = None,
        password: str | None = None,
        ca_file: Path | None = None,
        greeting_name: str | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._server = MailServer(host, port, tls, user, password, ca_file, greeting_name, timeouts or Timeouts())
        if tls != "none":
            self._server.trust()  # an unreadable CA file is told now, not with the first mail
        self._client: Client | None = None
        self._mails = 0
        self._is_clean = True  # nothing of an earlier mail is left on the connection
        self._deadline = Deadline(self._hang_up)

    def __repr__(self) -> str:
        return f"SmtpSession({self._server!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check(self) -> Refusal | None:
        """Connect and log in without sending anything; None when that works."""
        self._deadline.set(self._server.timeouts.offer)
        try:
            self._connected()
        except NoWayError as no_way:
            return no_way.answer
        finally:
            self._deadline.lift()
        return None

    def hand_over(self, sender: str, recipient: str, raw: bytes) -> Conversation:
        """Hand one mail over, step by step; the body goes when it is gone on with after `asked`.

        A connection that was lost before that is opened once more at once; after it nothing is tried twice. One
        conversation at a time.
        """
        if not _SENDABLE.fullmatch(recipient):
            return BadAddress(NO_REPLY, "No mail server can be told of this address.")
        if not _SENDABLE.fullmatch(sender):
            return StopRun(
                "mail", NO_REPLY, "No mail server can be told of the sender's address; correct the settings."
            )
        offer = _Offer(sender, recipient, len(raw))
        self._deadline.set(self._server.timeouts.offer)
        try:
            yield "begun"
            return (yield from self._told(offer, raw))
        finally:
            self._deadline.lift()

    def _told(self, offer: _Offer, raw: bytes) -> Conversation:
        try:
            refusal = yield from self._asked(offer)
            if _lost_on_the_way(refusal) and not self._deadline.has_passed:
                refusal = yield from self._asked(offer)
            return refusal or (yield from self._with_body(raw))
        except BaseException:
            self._drop()  # half a body must never get its dot, and what was said and not heard is no answer to the next
            raise

    def heard_on(self) -> socket.socket | None:
        """Where the server's next word is heard; None where it need not be waited for."""
        sock = self._client.sock if self._client is not None else None
        return None if isinstance(sock, ssl.SSLSocket) and sock.pending() else sock

    def close(self) -> None:
        """Take leave; what the server says to that does not matter, the mails are with it."""
        if self._client is not None:
            self._deadline.set(self._server.timeouts.connect)
            self._take_leave()
        self._deadline.close()

    def _take_leave(self) -> None:
        if self._client is not None and self._client.sock is not None:
            with suppress(OSError, smtplib.SMTPException):
                self._client.sock.settimeout(self._server.timeouts.connect)
                self._client.docmd("QUIT")
        self._drop()

    def _asked(self, offer: _Offer) -> Generator[Step, None, Refusal | None]:
        """Bring the server to ask for the body, and stop wherever its replies are to come; None when it does."""
        try:
            client = self._ready()
            self._mails += 1
            self._is_clean = False
            for commands in client.together(offer.commands(sized=client.has_extn("size"))):
                client.say(commands)
                yield "said"
                client.hear(commands)
                self._restore_patience(client)
        except NoWayError as no_way:
            if _is_of_relay(no_way.answer):
                self._drop()
            return no_way.answer
        return None

    def _with_body(self, raw: bytes) -> Conversation:
        """Send the body, then the dot that makes it a mail, and read what became of it."""
        client = self._client
        if client is None or client.sock is None:
            return TryLater("body", NO_REPLY, "The connection was closed before the body went.", of_relay=True)
        yield "asked"
        self._deadline.set(self._server.timeouts.body)
        early = _body_sent(client, client.sock, raw)
        lost = None if early else _dot_sent(client.sock, self._server.timeouts.dot)
        if not early and not lost:
            yield "gone"
        answer = early or lost or _answered(client)
        if early or isinstance(answer, AnswerLost) or _is_of_relay(answer):
            self._drop()
        else:
            self._restore_patience(client)
        self._is_clean = isinstance(answer, Delivered)
        return answer

    def _restore_patience(self, client: Client) -> None:
        """The next reply has its whole time, however little was left for the last one."""
        if client.sock is not None:
            client.sock.settimeout(self._server.timeouts.command)

    def _ready(self) -> Client:
        """A connection on which nothing of an earlier mail is left; one that does not answer to that is opened anew."""
        client = self._connected()
        if not self._is_clean:
            try:
                client.ask("reset", "RSET", 250)
            except NoWayError:
                self._drop()
                return self._connected()
        return client

    def _connected(self) -> Client:
        if self._client is not None and (self._client.sock is None or self._mails >= _MAILS_A_CONNECTION):
            self._take_leave()
        if self._client is None:
            self._client = Client(local_hostname="localhost")
            self._mails, self._is_clean = 0, True
            try:
                connect(self._server, self._client)
            except BaseException:
                self._drop()
                raise
        return self._client

    def _drop(self) -> None:
        """Hang up without a word."""
        if self._client is not None:
            with suppress(OSError):
                self._client.close()
        self._client = None

    def _hang_up(self) -> None:
        """In the deadline's thread."""
        client = self._client
        sock = client.sock if client is not None else None
        if sock is not None:
            with suppress(OSError):
                # Of the bare socket: TLS may be in the middle of a word in the other thread.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _lost_on_the_way(answer: Answer | None) -> bool:
    """Whether a connection that stood was lost, or taken back by the server (421), before any body went."""
    if not isinstance(answer, TryLater) or answer.too_many:
        return False
    return answer.phase in {"mail", "rcpt", "data"} and answer.code in {NO_REPLY, 421}


def _is_of_relay(answer: Answer) -> bool:
    return isinstance(answer, TryLater) and answer.of_relay


def _body_sent(client: Client, sock: socket.socket, raw: bytes) -> Answer | None:
    """Send all but the dot; an answer when the server has hung up or spoken before it, so that it took nothing."""
    try:
        sock.sendall(_stuffed(raw))
        # Below TLS something may always be there to be read.
        if isinstance(sock, ssl.SSLSocket) or not select.select([sock], [], [], 0)[0]:
            return None
        code, reply = client.getreply()
    except (OSError, smtplib.SMTPException) as error:
        return TryLater("body", NO_REPLY, shown(error), of_relay=True)
    return refused("body", code, shown(reply))


def _stuffed(raw: bytes) -> bytes:
    """The mail in whole lines, its dots doubled where they begin one; most mails are so already."""
    if not raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r"):
        raw = _LINE_END.sub(b"\r\n", raw)
    if b"\n." in raw or raw.startswith(b"."):
        raw = _DOT_FIRST.sub(b"..", raw)
    return raw if raw.endswith(b"\r\n") else raw + b"\r\n"


def _dot_sent(sock: socket.socket, patience: float) -> AnswerLost | None:
    """Send what makes a mail of it; from here on nobody can know without the answer, which gets so many seconds."""
    try:
        sock.settimeout(patience)
        sock.sendall(b".\r\n")
    except OSError as error:
        return AnswerLost(shown(error))
    return None


def _answered(client: Client) -> Answer:
    try:
        code, reply = client.getreply()
    except (OSError, smtplib.SMTPException) as error:
        return AnswerLost(shown(error))
    if 200 <= code < 300:
        return Delivered(shown(reply))
    return refused("dot", code, shown(reply)) if 400 <= code < 600 else AnswerLost(shown(reply))
