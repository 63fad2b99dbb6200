"""A mail server on loopback, a process of its own, that drops, delays and lies by a seed and writes down what it did.

What becomes of a mail is drawn from the seed, the recipient and how often that recipient was offered one: the order in
which workers come changes nothing. Addresses that begin with `gone` do not exist. On three of four connections commands
may come in groups (RFC 2920), as nearly every relay has it.
"""

import json
import os
import quopri
import random
import re
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from torture.conditions import Conditions

SILENCE_SECONDS = 10  # after which a client has gone for good

# How likely each fault is beside the others.
_AT_CONNECT = ("drop", "421 4.3.2 Too busy", "drop after greeting", "554 5.3.2 No service")
_AT_MAIL = ("drop", "421 4.3.2 Going down", "451 4.3.0 Disk trouble")
_OF_MAIL = {
    "450 4.7.1 Greylisted": 4,
    "421 4.7.0 Too many mails": 1,
    "drop at rcpt": 1,
    "421 at data": 1,
    "drop at data": 1,
    "drop after 354": 2,
    "451 4.3.0 Queue is full": 2,
    "552 5.3.4 Out of order": 1,
    "taken, no answer": 3,
    "not taken, no answer": 2,
    "taken, answered late": 1,
    "taken, then cut": 2,
    "taken, but 451": 1,
    "250, but thrown away": 2,
}
_AT_RCPT = ("450", "421 4.7.0")
_AFTER_DOT = ("451", "552")
_LABEL = re.compile(rb"\bk\d{5}\b")
_ID = re.compile(rb"(?mi)^Message-ID:\s*<([^>]+)>")
_KIND = re.compile(rb"(?mi)^X-Keydesk-Event: (\S+)")


@dataclass(frozen=True)
class Heard:
    """One mail whose body came, or of which nothing but the address did (`mail` is empty)."""

    at: int  # true time, epoch seconds
    recipient: str
    mail: str  # the Message-ID
    kind: str
    labels: tuple[str, ...]  # of the keys that it names
    word: str  # what became of it: one of the faults, or ok
    took: bool  # whether the mailbox has it now

    @property
    def is_cut(self) -> bool:
        """Whether the whole mail went and its sender got no true answer."""
        return "no answer" in self.word or "late" in self.word or self.word == "drop after 354"

    @property
    def is_lie(self) -> bool:
        """Whether what was answered was not what was done."""
        return "but" in self.word


def read(path: Path, start: int) -> tuple[list[Heard], int]:
    """What the relay has written down from that byte on, in order, and where to read on."""
    if not path.exists():
        return [], 0
    with path.open("rb") as file:
        file.seek(start)
        lines = file.read()
    rows = (json.loads(line) for line in lines.splitlines())
    return [Heard(*row[:4], tuple(row[4]), *row[5:]) for row in rows], start + len(lines)


def start(conditions: Conditions, seed: int, record: Path) -> tuple[int, int]:
    """Fork the relay; its process id and its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = listener.getsockname()[1]
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            _Relay(conditions, seed, record).serve(listener)
        os._exit(1)
    listener.close()
    return pid, port


class _Relay:
    def __init__(self, conditions: Conditions, seed: int, record: Path) -> None:
        self.conditions, self.seed = conditions, seed
        self.record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.numbers: Counter[str] = Counter()
        self.lock = threading.Lock()

    def serve(self, listener: socket.socket) -> None:
        """Until it is killed."""
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(SILENCE_SECONDS)
        with connection, connection.makefile("rb") as lines, suppress(OSError):
            _Conversation(self, connection, lines).run()

    def takes_groups(self) -> bool:
        """Whether the next connection may be spoken to in groups of commands."""
        with self.lock:
            self.numbers["greetings"] += 1
            return self.numbers["greetings"] % 4 > 0

    def draw(self, about: str, words: Sequence[str], weights: Sequence[int] | None = None, rarer: int = 1) -> str:
        """What befalls this one, `ok` for nothing."""
        with self.lock:
            self.numbers[about] += 1
            number = self.numbers[about]
        chance = random.Random(f"{self.seed}:{about}:{number}")
        if chance.random() * 1000 * rarer >= self.conditions.faults_per_mille:
            return "ok"
        return chance.choices(words, weights)[0]

    def write(self, heard: Heard) -> None:
        """One line, whole even when several threads write."""
        os.write(self.record, json.dumps(list(heard.__dict__.values())).encode() + b"\n")


class _Conversation:
    """One connection. Whatever it hears, it says what the words drawn for it say."""

    def __init__(self, relay: _Relay, connection: socket.socket, lines: IO[bytes]) -> None:
        self.relay, self.connection, self.lines = relay, connection, lines
        self.word, self.recipient = "ok", ""
        self.heard_mail = self.heard_rcpt = False  # and agreed to it

    def run(self) -> None:
        """From the greeting to the end."""
        if not self.relay.conditions.relay_is_open:
            return
        word = self.relay.draw("connections", _AT_CONNECT, rarer=8)
        if word[:1].isdigit():
            self._say(word)
        if word not in {"ok", "drop after greeting"}:
            return
        self._say("220 torture ESMTP")
        while line := self.lines.readline(2000):
            if word == "drop after greeting" or not self._hear(line.decode("ascii", "replace").strip()):
                return

    def _hear(self, line: str) -> bool:
        """Answer one command; False to hang up."""
        verb = line[:4].upper()
        if verb == "EHLO":
            groups = "250-PIPELINING\r\n" if self.relay.takes_groups() else ""
            self._say(f"250-torture\r\n{groups}250 SIZE 10000000")
        elif verb == "MAIL":
            word = self.relay.draw("mails", _AT_MAIL, rarer=8)
            self.heard_mail, self.heard_rcpt = word == "ok", False
            return self._answer(word, "250 2.1.0 OK")
        elif verb == "RCPT" and self.heard_mail:
            return self._rcpt(line[line.index("<") + 1 : line.index(">")])
        elif verb == "DATA" and self.heard_rcpt:
            self.heard_mail = self.heard_rcpt = False
            return self._data()
        elif verb in {"RCPT", "DATA"}:
            self._say("503 5.5.1 Not after what was said before")
        elif verb in {"RSET", "QUIT"}:
            self._say("250 2.0.0 OK" if verb == "RSET" else "221 2.0.0 Bye")
            return verb == "RSET"
        else:
            self._say("502 5.5.1 Not here")
        return True

    def _answer(self, word: str, otherwise: str) -> bool:
        if word[:1].isdigit():
            self._say(word)
        elif word == "ok":
            self._say(otherwise)
        return word != "drop" and not word.startswith("421")

    def _rcpt(self, recipient: str) -> bool:
        self.recipient = recipient
        if recipient.startswith("gone"):
            self._say("550 5.1.1 No such user here")
            return True
        self.word = self.relay.draw(recipient, tuple(_OF_MAIL), tuple(_OF_MAIL.values()))
        if self.word.startswith(_AT_RCPT):
            return self._answer(self.word, "")
        if self.word == "drop at rcpt":
            return False
        self.heard_rcpt = True
        self._say("250 2.1.5 OK")
        return True

    def _data(self) -> bool:
        if self.word == "421 at data":
            self._say("421 4.3.2 Going down")
        if self.word in {"421 at data", "drop at data"}:
            return False
        self._say("354 Go ahead")
        if self.word == "drop after 354":
            self._note(b"", took=False)
            return False
        raw = bytearray()
        while (line := self.lines.readline(2000)) != b".\r\n":
            if not line:
                return False  # half a mail is none
            raw += line
        self._note(bytes(raw), took=self.word.startswith(("ok", "taken", "250")))
        return self._after_dot()

    def _after_dot(self) -> bool:
        if self.word == "taken, answered late":
            self.lines.readline(2000)  # until the client has lost patience
            return False
        if "no answer" in self.word:
            return False
        if self.word.startswith(_AFTER_DOT):
            self._say(self.word)
        elif self.word == "taken, but 451":
            self._say("451 4.3.0 Try again")
        else:
            self._say("250 2.0.0 Queued")
        return self.word != "taken, then cut"

    def _note(self, raw: bytes, *, took: bool) -> None:
        mail, kind = _ID.search(raw), _KIND.search(raw)
        labels = sorted({label.decode() for label in _LABEL.findall(quopri.decodestring(raw))})
        self.relay.write(
            Heard(
                int(self.relay.conditions.now.timestamp()),
                self.recipient,
                mail[1].decode() if mail else "",
                kind[1].decode() if kind else "",
                tuple(labels),
                self.word,
                took,
            )
        )

    def _say(self, text: str) -> None:
        self.connection.sendall(text.encode() + b"\r\n")
