"""The way to the mail server: socket, verified TLS, greeting and login, each with its own patience."""

import ipaddress
import smtplib
import socket
import ssl
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from jobs.smtp_answers import NO_REPLY, BadAddress, Phase, StopRun, TryLater, refused, shown
from store.errors import SettingsWrong

Tls = Literal["implicit", "starttls", "none"]

_REPLY_LINES: Final = 100
_LINE_LENGTH: Final = 8192
_TO_TRUST: Final = "Write the name that it has there as host in [mail], or who vouches for it as ca_file."
_NO_TLS_AT_ONCE: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})  # what OpenSSL says of a greeting


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. A short wait after the dot makes duplicates (RFC 5321 4.5.3.2.6), so the body has a time of its own.

    `offer` bounds all that is said before the body, a second connection included. One mail takes no longer than that
    and the body together, which must be less than the outbox's lease and the watchdog's patience.
    """

    connect: float = 15
    command: float = 90
    dot: float = 600
    offer: float = 150

    @property
    def body(self) -> float:
        """For the body, its dot and the answer to it."""
        return self.command + self.dot


Command = tuple[Phase, str, tuple[int, ...]]
"""What is said, in which phase, and the codes that are wanted for it."""


class NoWayError(Exception):
    """What keeps a mail from being handed over, as the answer to give."""

    def __init__(self, answer: TryLater | BadAddress | StopRun) -> None:
        self.answer = answer
        super().__init__(answer.text)


class Client(smtplib.SMTP):
    """smtplib's client, which by itself reads as many lines as a server cares to send."""

    def getreply(self) -> tuple[int, bytes]:
        """Read one reply; -1 stands for a code that is none."""
        if self.file is None and self.sock is not None:
            self.file = self.sock.makefile("rb")
        lines: list[bytes] = []
        while len(lines) < _REPLY_LINES and self.file is not None:
            try:
                line = self.file.readline(_LINE_LENGTH)
            except OSError as error:
                self.close()
                raise smtplib.SMTPServerDisconnected(f"The mail server fell silent: {error}") from None
            if not line.endswith(b"\n"):
                break
            lines.append(line[4:].strip())
            speaks_smtp = line[:3].isdigit()
            if line[3:4] != b"-" or not speaks_smtp:
                return int(line[:3]) if speaks_smtp else -1, b"\n".join(lines)
        self.close()
        raise smtplib.SMTPServerDisconnected("The mail server closed the connection or did not speak SMTP.")

    def ask(self, phase: Phase, command: str, *wanted: int) -> None:
        """Say one command; NoWayError with the answer to give unless the reply has a wanted code."""
        self._say(phase, command)
        self._want(phase, wanted)

    def together(self, commands: Sequence[Command]) -> Sequence[Sequence[Command]]:
        """Those that may be said before a reply is heard: all where the server takes that (RFC 2920), or each alone."""
        return [commands] if self.has_extn("pipelining") else [[command] for command in commands]

    def say(self, commands: Sequence[Command]) -> None:
        """Say them and hear nothing yet."""
        self._say(commands[0][0], *(command for _, command, _ in commands))

    def hear(self, commands: Sequence[Command]) -> None:
        """Hear the replies to them. NoWayError with the answer to give at the first that has no wanted code."""
        for number, (phase, _, wanted) in enumerate(commands, 1):
            try:
                self._want(phase, wanted)
            except NoWayError:
                self._take_back(commands[number:])
                raise

    def _want(self, phase: Phase, wanted: Sequence[int]) -> None:
        code, reply = self._heard(phase)
        if code not in wanted:
            raise NoWayError(refused(phase, code, shown(reply)))

    def _say(self, phase: Phase, *commands: str) -> None:
        try:
            self.send("".join(f"{command}\r\n" for command in commands))
        except (OSError, smtplib.SMTPException) as error:
            raise NoWayError(TryLater(phase, NO_REPLY, shown(error), of_relay=True)) from None

    def _heard(self, phase: Phase) -> tuple[int, bytes]:
        try:
            return self.getreply()
        except (OSError, smtplib.SMTPException) as error:
            raise NoWayError(TryLater(phase, NO_REPLY, shown(error), of_relay=True)) from None

    def _take_back(self, said: Sequence[Command]) -> None:
        """Hear what becomes of commands that were said too soon; a server that now waits for a body is hung up on."""
        with suppress(NoWayError):
            for phase, _, wanted in said:
                if self._heard(phase)[0] in wanted and phase == "data":
                    self.close()


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where and how mail is handed over; the password is shown by nothing.

    TLS is verified against `ca_file` or the system's authorities. Without TLS only this machine is spoken to, and no
    password is ever said. SettingsWrong when host, TLS and password do not go together.
    """

    host: str
    port: int
    tls: Tls
    user: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    greeting_name: str | None = None
    timeouts: Timeouts = Timeouts()

    def __post_init__(self) -> None:
        """Refuse what would say too much to too many."""
        if self.tls not in {"implicit", "starttls", "none"}:
            raise SettingsWrong(f"The mail setting tls is {self.tls!r}; it must be implicit, starttls or none.")
        if self.tls == "none" and not is_loopback(self.host):
            raise SettingsWrong(f"Mail to {self.host} needs TLS; without it only this machine (localhost) may be used.")
        if self.tls == "none" and self.user is not None:
            raise SettingsWrong("A mail password is never sent without TLS; set tls, or leave the mail user out.")
        if (self.user is None) != (self.password is None):
            raise SettingsWrong("A mail user needs a password file and a password file needs a mail user.")
        if not f"{self.user}{self.password}".isascii():
            raise SettingsWrong("The mail user and password must be ASCII; mail servers understand nothing else.")

    def __repr__(self) -> str:
        return f"MailServer({self.host}:{self.port}, tls={self.tls})"

    def trust(self) -> ssl.SSLContext:
        """What verifies the server's certificate and name."""
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError):
            raise SettingsWrong(
                f"The mail server's CA file {self.ca_file} cannot be read as PEM certificates."
            ) from None


def connect(server: MailServer, client: Client) -> None:
    """Bring `client` to where MAIL may be said; NoWayError with the answer to give where that fails."""
    try:
        _open(server, client)
    except smtplib.SMTPServerDisconnected as error:
        raise NoWayError(TryLater("greeting", NO_REPLY, shown(error), of_relay=True)) from None
    if server.tls == "starttls":
        _start_tls(server, client)
    if server.user is not None and server.password is not None:
        _log_in(client, server.user, server.password)


def is_loopback(host: str) -> bool:
    """Whether the name or address can only mean this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _open(server: MailServer, client: Client) -> None:
    try:
        client.sock = socket.create_connection((server.host, server.port), server.timeouts.connect)
    except OSError as error:
        text = (
            f"The mail server {server.host}:{server.port} cannot be reached: {shown(error.strerror or error)}. See "
            "whether it runs, and whether host and port in [mail] are right."
        )
        raise NoWayError(TryLater("connect", NO_REPLY, text, of_relay=True)) from None
    # The dot goes after the body; held back until that is confirmed, it would cost 40 ms a mail.
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    here, there = client.sock.getsockname()[0], client.sock.getpeername()[0]
    if server.tls == "none" and not is_loopback(there):
        raise NoWayError(StopRun("tls", NO_REPLY, f"{server.host} is not this machine; mail to it needs TLS."))
    if server.tls == "implicit":
        _wrap(server, client)
    client.sock.settimeout(server.timeouts.command)
    # An address literal asks no DNS about ourselves.
    client.local_hostname = server.greeting_name or (f"[IPv6:{here}]" if ":" in here else f"[{here}]")
    code, reply = client.getreply()
    if code != 220:
        raise NoWayError(refused("greeting", code, shown(reply)))
    _greet(client)


def _greet(client: Client) -> None:
    try:
        client.ehlo_or_helo_if_needed()
    except smtplib.SMTPHeloError as error:
        raise NoWayError(refused("greeting", error.smtp_code, shown(error.smtp_error))) from None
    except (OSError, smtplib.SMTPException) as error:
        raise NoWayError(TryLater("greeting", NO_REPLY, shown(error), of_relay=True)) from None


def _start_tls(server: MailServer, client: Client) -> None:
    if not client.has_extn("starttls"):
        text = f"The mail server {server.host} does not offer STARTTLS; set tls to implicit, or use another port."
        raise NoWayError(StopRun("tls", NO_REPLY, text))
    client.ask("tls", "STARTTLS", 220)
    _wrap(server, client)
    # What was said in the clear counts for nothing, what was sent ahead of TLS least of all (RFC 3207).
    client.file = None
    client.helo_resp = client.ehlo_resp = None
    client.esmtp_features = {}
    client.does_esmtp = False
    _greet(client)


def _wrap(server: MailServer, client: Client) -> None:
    plain = client.sock
    if plain is None:
        raise NoWayError(TryLater("tls", NO_REPLY, "The connection was closed.", of_relay=True))
    try:
        client.sock = server.trust().wrap_socket(plain, server_hostname=server.host)
    except ssl.SSLCertVerificationError as error:
        text = f"The certificate of the mail server {server.host} is not trusted: {error.verify_message}"
        raise NoWayError(StopRun("tls", NO_REPLY, f"{shown(text).rstrip('.')}. {_TO_TRUST}")) from None
    except OSError as error:
        text = f"TLS with the mail server {server.host}:{server.port} failed: {shown(error)}"
        if server.tls == "implicit" and isinstance(error, ssl.SSLError) and error.reason in _NO_TLS_AT_ONCE:
            text += '. That port speaks no TLS at once; try tls = "starttls" in [mail].'
        speaks_no_tls = isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)
        answer = StopRun("tls", NO_REPLY, text) if speaks_no_tls else TryLater("tls", NO_REPLY, text, of_relay=True)
        raise NoWayError(answer) from None


def _log_in(client: Client, user: str, password: str) -> None:
    try:
        client.login(user, password)
    except smtplib.SMTPAuthenticationError as error:
        text = _without(user, password, shown(error.smtp_error))
        raise NoWayError(refused("auth", error.smtp_code, text)) from None
    except smtplib.SMTPNotSupportedError:
        raise NoWayError(
            StopRun(
                "auth",
                NO_REPLY,
                "The mail server asks for no login here. Take another port, or leave username out of [mail].",
            )
        ) from None
    except (OSError, smtplib.SMTPServerDisconnected) as error:
        raise NoWayError(TryLater("auth", NO_REPLY, _without(user, password, shown(error)), of_relay=True)) from None
    except (smtplib.SMTPException, ValueError):
        raise NoWayError(
            StopRun("auth", NO_REPLY, "The mail server offers no way of login that is known; ask who runs it.")
        ) from None
    finally:
        client.user = client.password = ""


def _without(user: str, password: str, text: str) -> str:
    """A server may repeat what it was told; the password goes, plain and in the forms in which AUTH says it."""
    for said in (password, f"\0{user}\0{password}"):
        text = text.replace(said, "…").replace(b64encode(said.encode()).decode(), "…")
    return text
