"""A real SMTP server on loopback whose answers are written beforehand; what it takes can be read.

    with smtp_server("450 rcpt", "ok") as server: ...   # the first mail is greylisted, every later one is taken

One word of the script goes to each MAIL command; when the script is used up, everything is taken.
"""

import asyncio
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session, syntax

Word = Literal[
    "ok",
    "421 mail",
    "451 mail",
    "550 mail",
    "552 mail",
    "421 rcpt",
    "450 rcpt",
    "550 rcpt",
    "553 rcpt",
    "554 relay",
    "421 data",
    "451 dot",
    "451 too many",
    "552 dot",
    "drop at rcpt",
    "drop before dot",
    "drop after dot",
    "slow",
    "slow rcpt",
    "all three",
    "all three at rcpt",
]

_REPLIES = {
    "421 mail": "421 4.3.2 Going down",
    "451 mail": "451 4.3.0 Disk trouble",
    "550 mail": "550 5.7.1 Sender is not yours",
    "552 mail": "552 5.3.4 Message size exceeds fixed limit",
    "421 rcpt": "421 4.3.2 Going down",
    "450 rcpt": "450 4.7.1 Greylisted, come back in 5 minutes",
    "550 rcpt": "550 5.1.1 No such user here",
    "553 rcpt": "553 5.7.1 Sender address rejected: not owned by user",
    "554 relay": "554 5.7.1 Relay access denied",
    "421 data": "421 4.3.2 Going down",
    "451 dot": "451 4.3.0 Queue is full",
    "451 too many": "451 4.7.0 Too many mails, slow down",
    "552 dot": "552 5.3.4 Message too big",
}


@dataclass(frozen=True)
class Received:
    """One mail as it was taken."""

    sender: str
    recipient: str
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        """The mail as a mail program reads it."""
        message = message_from_bytes(self.raw, policy=policy.default)
        assert isinstance(message, EmailMessage)
        return message


@dataclass
class ScriptedServer:
    """Where the server listens, what it has taken, and how often somebody connected."""

    host: str = "localhost"
    port: int = 0
    script: deque[str] = field(default_factory=deque)
    always: dict[str, str] = field(default_factory=dict)  # the word for whatever goes to an address, from RCPT on
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0
    commands: list[str] = field(default_factory=list)
    most_connections: int = 100  # beside one another
    greets_others: bytes = b"421 4.7.0 Too many connections from you\r\n"  # nothing: they wait
    dropped: threading.Event = field(default_factory=threading.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    three: asyncio.Barrier = field(default_factory=lambda: asyncio.Barrier(3))
    loop: asyncio.AbstractEventLoop | None = None

    def release(self) -> None:
        """Let the slow answers come; for any thread."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.released.set)


class _Handler:
    """Answers by the script's word for the mail at hand."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.word = "ok"

    async def handle_MAIL(  # noqa: N802 - aiosmtpd wants this name
        self, _smtp: SMTP, _session: Session, envelope: Envelope, address: str, _: list[str]
    ) -> str:
        self.word = self.server.script.popleft() if self.server.script else "ok"
        envelope.mail_from = address
        return self._reply("mail", "250 2.1.0 OK")

    async def handle_RCPT(  # noqa: N802 - aiosmtpd wants this name
        self, smtp: SMTP, _session: Session, envelope: Envelope, address: str, _: list[str]
    ) -> str:
        self.word = self.server.always.get(address, self.word)
        if self.word == "drop at rcpt":
            smtp.transport.abort()
            return "421 never read"
        if self.word == "slow rcpt":
            await self.server.released.wait()
        if self.word == "all three at rcpt":
            await self.server.three.wait()
        envelope.rcpt_tos.append(address)
        return self._reply("relay", "") or self._reply("rcpt", "250 2.1.5 OK")

    async def handle_DATA(  # noqa: N802 - aiosmtpd wants this name
        self, smtp: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        reply = self._reply("many", "") or self._reply("dot", "250 2.0.0 Queued as 4711")
        if reply.startswith("2"):
            received = Received(envelope.mail_from or "", envelope.rcpt_tos[0], envelope.content)
            self.server.received.append(received)
        if self.word == "drop after dot":
            smtp.transport.abort()
        if self.word == "slow":
            await self.server.released.wait()
        if self.word == "all three":
            await self.server.three.wait()
        return reply

    def _reply(self, moment: str, otherwise: str) -> str:
        return _REPLIES.get(self.word, otherwise) if self.word.endswith(f" {moment}") else otherwise


class _Smtp(SMTP):
    """Writes down what it is told, and can hang up before the dot."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        server = self.event_handler.server
        server.connections += self.transport is None  # it is made again inside TLS
        self.is_open = server.open_connections < server.most_connections
        if self.is_open:
            server.open_connections += self.transport is None
            super().connection_made(transport)
        else:
            assert isinstance(transport, asyncio.Transport)
            transport.write(server.greets_others)
            if server.greets_others:
                transport.close()

    def eof_received(self) -> bool | None:
        return super().eof_received() if self.is_open else None

    def connection_lost(self, error: Exception | None) -> None:
        if self.is_open:
            self.event_handler.server.open_connections -= 1
            super().connection_lost(error)

    @syntax("DATA")
    async def smtp_DATA(  # noqa: N802 - aiosmtpd wants this name
        self, arg: str
    ) -> None:
        word = self.event_handler.word
        if word == "421 data":
            await self.push(_REPLIES[word])
            self.transport.close()
        elif word == "drop before dot":
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)  # the word and the end arrive at once
            await self.push("354 Go ahead")
            connection.shutdown(socket.SHUT_RDWR)
            self.transport.abort()
            self.event_handler.server.dropped.set()
        else:
            await super().smtp_DATA(arg)


def _authenticator(login: tuple[str, str] | None) -> Any:
    def check(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any) -> AuthResult:
        known = isinstance(given, LoginPassword) and (given.login.decode(), given.password.decode()) == login
        return AuthResult(success=known, handled=False)

    return check


@contextmanager
def smtp_server(
    *script: str,
    tls: Literal["implicit", "starttls", "none"] = "none",
    certificate: ssl.SSLContext | None = None,
    login: tuple[str, str] | None = None,
) -> Iterator[ScriptedServer]:
    """A server in a thread of its own; `certificate` is its TLS context, `login` the only user it knows."""
    server = ScriptedServer(script=deque(script))
    settings: dict[str, Any] = {"enable_SMTPUTF8": False}
    if login is not None:
        settings |= {"authenticator": _authenticator(login), "auth_require_tls": True, "auth_required": True}
    if tls == "starttls":
        settings |= {"tls_context": certificate, "require_starttls": True}
    implicit = certificate if tls == "implicit" else None
    if implicit is not None and login is not None:
        # All of it is inside TLS, which aiosmtpd does not notice.
        settings |= {"auth_require_tls": False, "auth_required": False}
    loop = server.loop = asyncio.new_event_loop()
    # aiosmtpd's own Controller cannot be given port 0, and counts as a visitor.
    listening = loop.create_server(lambda: _Smtp(_Handler(server), loop=loop, **settings), "127.0.0.1", 0, ssl=implicit)
    listener = loop.run_until_complete(listening)
    server.port = listener.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release()
        asyncio.run_coroutine_threadsafe(_closed(listener), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _closed(listener: asyncio.Server) -> None:
    """Hang up on everybody, so that nothing is left when the loop ends."""
    listener.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def canned_server(*chunks: bytes, hang_up: bool = True) -> Iterator[int]:
    """A socket that says these bytes, one chunk after each line it hears, whatever the line is; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def speak() -> None:
            connection, _address = listener.accept()
            with connection, connection.makefile("rb") as heard:
                try:
                    for chunk in chunks:
                        connection.sendall(chunk)
                        heard.readline()
                except OSError:
                    return
                if not hang_up:
                    done.wait(10)

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        done.set()
        thread.join(5)
