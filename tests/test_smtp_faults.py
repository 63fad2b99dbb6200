"""What becomes of a mail when the server hangs, drips, hangs up or talks nonsense, at every verb?"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from hooked_hand_over import delivered

from jobs.smtp_session import Answer, AnswerLost, BadAddress, Delivered, SmtpSession, StopRun, Timeouts, TryLater

VERBS = ["banner", "EHLO", "MAIL", "RCPT", "DATA", "dot"]
IMPATIENT = Timeouts(connect=2, command=0.15, dot=0.15, offer=5)
REPLIES = {
    "banner": b"220 hi\r\n",
    "EHLO": b"250-hi\r\n250-PIPELINING\r\n250 SIZE 1000000\r\n",
    "HELO": b"550 no\r\n",
    "MAIL": b"250 ok\r\n",
    "RCPT": b"250 ok\r\n",
    "DATA": b"354 go\r\n",
    "dot": b"250 2.0.0 taken\r\n",
    "RSET": b"250 ok\r\n",
    "QUIT": b"221 bye\r\n",
}
Fault = Callable[[socket.socket, threading.Event], None]


class Conversation:
    """What was said on all connections, line by line, and how many mails were taken."""

    def __init__(self) -> None:
        self.port = 0
        self.lines: list[str] = []
        self.mails: list[bytes] = []
        self.chunks = 0
        self.over = threading.Event()


@contextmanager
def server(verb: str = "", fault: Fault | None = None, times: int = 9, **replies: bytes) -> Iterator[Conversation]:
    """Answers as REPLIES say; at `verb` it does `fault` instead, so many times."""
    told, left = Conversation(), [times]

    def speak(client: socket.socket) -> None:
        heard = client.makefile("rb")

        def say(word: str) -> None:
            if word == verb and fault is not None and left[0]:
                left[0] -= 1
                fault(client, told.over)
            else:
                client.sendall(replies.get(word, REPLIES[word]))

        with suppress(OSError), client:
            say("banner")
            while line := heard.readline():
                word = line[:4].decode().strip().upper()
                told.lines.append(line.decode().strip())
                say(word)
                if word == "DATA" and replies.get("DATA", REPLIES["DATA"]).startswith(b"354"):
                    body = b""
                    while (line := heard.readline()) not in {b".\r\n", b""}:
                        body += line
                    if line:
                        told.mails.append(body)
                        say("dot")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        told.port = listener.getsockname()[1]

        def listen() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=speak, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=listen, daemon=True).start()
        yield told
        told.over.set()
        listener.shutdown(socket.SHUT_RDWR)


def deliver(told: Conversation, timeouts: Timeouts = IMPATIENT) -> Answer:
    with SmtpSession("127.0.0.1", told.port, tls="none", timeouts=timeouts) as session:
        return delivered(session, "keys@fjord.example", "ase@x.example", b"Hello\r\n")


def hang(_client: socket.socket, over: threading.Event) -> None:
    over.wait(20)


def drip(client: socket.socket, over: threading.Event) -> None:
    """A byte now and then, each before the patience with a single read is over."""
    while not over.wait(0.05):
        client.sendall(b"2")


def hang_up(client: socket.socket, _over: threading.Event) -> None:
    client.shutdown(socket.SHUT_RDWR)


def babble(client: socket.socket, _over: threading.Event) -> None:
    client.sendall(b"250-and then\r\n" * 10_000)


def close_down(client: socket.socket, _over: threading.Event) -> None:
    client.sendall(b"421 4.3.2 Going down\r\n")
    client.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("fault", [hang, drip, hang_up, babble, close_down])
@pytest.mark.parametrize("verb", VERBS[:-1])
def test_whatever_happens_before_the_body_the_mail_was_not_taken_and_the_relay_is_at_fault(
    verb: str, fault: Fault
) -> None:
    with server(verb, fault) as told:
        answer = deliver(told, Timeouts(connect=2, command=0.15, dot=0.15, offer=0.4))

    assert isinstance(answer, TryLater)
    assert (answer.of_relay, told.mails) == (True, [])


@pytest.mark.parametrize("fault", [hang, drip, hang_up, babble, close_down])
def test_whatever_a_server_does_when_it_is_taken_leave_of_the_mail_was_taken_and_nobody_waits(fault: Fault) -> None:
    with server("QUIT", fault) as told:
        answer = deliver(told, Timeouts(connect=0.4, command=5, dot=5, offer=5))

    assert (answer, len(told.mails)) == (Delivered("2.0.0 taken"), 1)


@pytest.mark.parametrize("fault", [hang, drip, hang_up, babble])
def test_whatever_happens_after_the_dot_but_an_answer_leaves_open_whether_it_was_taken(fault: Fault) -> None:
    with server("dot", fault) as told:
        answer = deliver(told)

    assert isinstance(answer, AnswerLost)
    assert told.mails == [b"Hello\r\n"]


def test_a_server_that_closes_down_after_the_dot_has_said_that_it_took_nothing() -> None:
    with server("dot", close_down) as told:
        assert deliver(told) == TryLater("dot", 421, "4.3.2 Going down", of_relay=True)


def test_a_server_that_takes_the_mail_and_hangs_up_has_taken_it() -> None:
    def take_and_go(client: socket.socket, _over: threading.Event) -> None:
        client.sendall(b"250 2.0.0 taken\r\n")
        client.shutdown(socket.SHUT_RDWR)

    with (
        server("dot", take_and_go, times=1) as told,
        SmtpSession("127.0.0.1", told.port, tls="none", timeouts=IMPATIENT) as session,
    ):
        answers = [delivered(session, "k@x.example", "a@x.example", b"Hello\r\n") for _ in range(2)]

    assert answers == [Delivered("2.0.0 taken")] * 2
    assert len(told.mails) == 2


@pytest.mark.parametrize(
    ("verb", "reply", "answer"),
    [
        ("banner", b"554 no\r\n", StopRun("greeting", 554, "no")),
        ("EHLO", b"550 no\r\n", StopRun("greeting", 550, "no")),
        ("MAIL", b"550 5.7.1 no\r\n", StopRun("mail", 550, "5.7.1 no")),
        ("MAIL", b"552 too big\r\n", StopRun("mail", 552, "too big")),
        ("RCPT", b"550 5.1.1 no\r\n", BadAddress(550, "5.1.1 no")),
        ("DATA", b"554 no\r\n", StopRun("data", 554, "no")),
        ("dot", b"554 no\r\n", StopRun("dot", 554, "no")),
        ("MAIL", b"451 later\r\n", TryLater("mail", 451, "later", of_relay=True)),
        ("RCPT", b"450 4.7.1 Greylisted\r\n", TryLater("rcpt", 450, "4.7.1 Greylisted")),
        ("DATA", b"451 later\r\n", TryLater("data", 451, "later")),
        ("dot", b"451 later\r\n", TryLater("dot", 451, "later")),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_refusal_at_each_verb_gets_its_word_whether_commands_go_at_once_or_one_by_one(
    *, at_once: bool, verb: str, reply: bytes, answer: Answer
) -> None:
    greeting = {} if at_once else {"EHLO": b"250 hi\r\n"}

    with server(**{**greeting, verb: reply}) as told:
        assert deliver(told) == answer


@pytest.mark.parametrize(
    ("answer", "of_content"),
    [
        (StopRun("mail", 552, "Message size exceeds fixed limit"), True),
        (StopRun("mail", 550, "5.3.4 Message too big for system"), True),
        (StopRun("mail", 550, "5.7.1 Sender is not yours"), False),
        (StopRun("mail", 550, "15.3.4 is no such code"), False),
        (StopRun("rcpt", 554, "5.7.1 Relay access denied"), False),
        (StopRun("data", 554, "no"), True),
        (StopRun("dot", 550, "5.7.1 looks like spam"), True),
        (StopRun("auth", 535, "5.7.8 no"), False),
    ],
)
def test_a_refusal_of_one_mail_is_told_from_one_of_all(answer: StopRun, of_content: bool) -> None:
    assert answer.of_content is of_content


def test_a_server_that_takes_commands_at_once_is_asked_in_one_packet() -> None:
    with server() as told:
        assert deliver(told) == Delivered("2.0.0 taken")

    assert told.lines[1:4] == ["MAIL FROM:<keys@fjord.example> SIZE=7", "RCPT TO:<ase@x.example>", "DATA"]


def test_a_server_that_wants_the_body_though_it_refused_the_recipient_never_gets_it() -> None:
    with (
        server(RCPT=b"550 5.1.1 no\r\n") as told,
        SmtpSession("127.0.0.1", told.port, tls="none", timeouts=IMPATIENT) as session,
    ):
        answers = [delivered(session, "k@x.example", "a@x.example", b"Hello\r\n", pytest.fail) for _ in range(2)]

    assert answers == [BadAddress(550, "5.1.1 no")] * 2
    assert told.mails == []
    assert [line[:4].upper() for line in told.lines] == ["EHLO", "MAIL", "RCPT", "DATA"] * 2  # hung up, and begun anew


def test_between_two_mails_that_were_taken_nothing_is_said() -> None:
    with (
        server() as told,
        SmtpSession("127.0.0.1", told.port, tls="none", timeouts=IMPATIENT) as session,
    ):
        for _ in range(2):
            delivered(session, "k@x.example", "a@x.example", b"Hello\r\n")

    assert "RSET" not in [line[:4] for line in told.lines]


def test_a_second_connection_that_begins_when_the_time_is_over_ends_as_well() -> None:
    def linger(client: socket.socket, over: threading.Event) -> None:
        over.wait(0.3)
        hang_up(client, over)

    slow = Timeouts(connect=2, command=5, dot=5, offer=0.5)
    with server("MAIL", linger) as told:
        answer = deliver(told, slow)

    assert isinstance(answer, TryLater)
    assert answer.of_relay
    assert len([line for line in told.lines if line.startswith("MAIL")]) == 2


def test_one_mail_takes_less_than_its_lease_and_the_watchdogs_patience() -> None:
    usual = Timeouts()

    assert (usual.offer, usual.body, usual.dot) == (150, 690, 600)  # 14 minutes; the answer alone gets its ten
