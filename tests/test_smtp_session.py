"""What becomes of a mail that is handed to a mail server, and what is never said to a wrong one?"""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import trustme
from hooked_hand_over import delivered
from smtp_server import canned_server, smtp_server

from jobs.smtp_answers import refused, shown
from jobs.smtp_session import (
    Answer,
    AnswerLost,
    BadAddress,
    Delivered,
    SmtpSession,
    StopRun,
    Timeouts,
    TryLater,
)
from store.errors import SettingsWrong

SENDER = "keys@nordlys.example"
KARI = "kari@fjordfisk.example"
MAIL = b"Subject: hello\r\n\r\nHello\r\n.with a dot\r\n"
PATIENCE = Timeouts(connect=2, command=2, dot=0.2, offer=5)
CertificateFor = Callable[[str], ssl.SSLContext]
GONE = "The mail server closed the connection or did not speak SMTP."


def plain(port: int, timeouts: Timeouts = PATIENCE) -> SmtpSession:
    return SmtpSession("127.0.0.1", port, tls="none", timeouts=timeouts)


def handed_over(*script: str) -> tuple[Answer, int, int, int]:
    """The answer, how often before_body was called, how many mails were taken, over how many connections."""
    asked: list[str] = []
    with smtp_server(*script) as server, plain(server.port) as session:

        def before_body() -> None:
            asked.append("now")
            if script[-1] == "drop before dot":
                assert server.dropped.wait(5)

        answer = delivered(session, SENDER, KARI, MAIL, before_body)
        return answer, len(asked), len(server.received), server.connections


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (["ok"], (Delivered("2.0.0 Queued as 4711"), 1, 1, 1)),
        (["450 rcpt"], (TryLater("rcpt", 450, "4.7.1 Greylisted, come back in 5 minutes"), 0, 0, 1)),
        (["451 mail"], (TryLater("mail", 451, "4.3.0 Disk trouble", of_relay=True), 0, 0, 1)),
        (["451 dot"], (TryLater("dot", 451, "4.3.0 Queue is full"), 1, 0, 1)),
        (["550 rcpt"], (BadAddress(550, "5.1.1 No such user here"), 0, 0, 1)),
        (["550 mail"], (StopRun("mail", 550, "5.7.1 Sender is not yours"), 0, 0, 1)),
        (["553 rcpt"], (StopRun("rcpt", 553, "5.7.1 Sender address rejected: not owned by user"), 0, 0, 1)),
        (["554 relay"], (StopRun("rcpt", 554, "5.7.1 Relay access denied"), 0, 0, 1)),
        (["552 dot"], (StopRun("dot", 552, "5.3.4 Message too big"), 1, 0, 1)),
        (["slow"], (AnswerLost("The mail server fell silent: timed out"), 1, 1, 1)),
    ],
)
def test_each_answer_of_the_server_gets_its_word(script: list[str], outcome: tuple[Answer, int, int, int]) -> None:
    assert handed_over(*script) == outcome


@pytest.mark.parametrize("word", ["421 mail", "421 rcpt", "421 data", "drop at rcpt"])
def test_a_connection_lost_before_the_body_is_opened_once_more_at_once(word: str) -> None:
    assert handed_over(word, "ok") == (Delivered("2.0.0 Queued as 4711"), 1, 1, 2)


def test_a_connection_lost_twice_is_left_for_later_and_uses_up_no_attempt() -> None:
    assert handed_over("421 data", "421 data") == (
        TryLater("data", 421, "4.3.2 Going down", of_relay=True),
        0,
        0,
        2,
    )


def test_a_server_that_hangs_up_before_the_dot_has_certainly_not_taken_the_mail() -> None:
    answer, asked, taken, connections = handed_over("drop before dot")

    assert isinstance(answer, TryLater)
    assert (answer.phase, answer.of_relay, asked, taken, connections) == ("body", True, 1, 0, 1)


def test_a_server_that_hangs_up_after_the_dot_may_have_taken_the_mail_and_it_is_not_sent_again() -> None:
    answer, asked, taken, connections = handed_over("drop after dot")

    assert isinstance(answer, AnswerLost)
    assert (asked, taken, connections) == (1, 1, 1)


def test_when_the_caller_cannot_write_down_that_the_body_goes_it_does_not_go() -> None:
    def before_body() -> None:
        raise ConnectionError("the store is gone")

    with smtp_server() as server, plain(server.port) as session:
        with pytest.raises(ConnectionError, match="the store is gone"):
            delivered(session, SENDER, KARI, MAIL, before_body)
        assert delivered(session, SENDER, KARI, MAIL) == Delivered("2.0.0 Queued as 4711")

    assert (len(server.received), server.connections) == (1, 2)


def test_the_server_gets_sender_recipient_and_every_byte_as_they_were() -> None:
    with smtp_server() as server, plain(server.port) as session:
        delivered(session, SENDER, KARI, b".\n..\n.x\r\nno end")

    received = server.received[0]
    assert (received.sender, received.recipient, received.raw) == (SENDER, KARI, b".\r\n..\r\n.x\r\nno end\r\n")


def test_a_refused_mail_does_not_spoil_the_next_one_on_the_same_connection() -> None:
    with smtp_server("550 rcpt", "552 dot", "450 rcpt", "ok") as server, plain(server.port) as session:
        answers = [type(delivered(session, SENDER, KARI, MAIL)).__name__ for _ in range(4)]

    assert answers == ["BadAddress", "StopRun", "TryLater", "Delivered"]
    assert server.connections == 1


def test_a_connection_serves_a_hundred_mails() -> None:
    with smtp_server() as server, plain(server.port) as session:
        answers = {delivered(session, SENDER, KARI, MAIL) for _ in range(101)}

    assert answers == {Delivered("2.0.0 Queued as 4711")}
    assert (len(server.received), server.connections) == (101, 2)


def test_what_goes_wrong_with_the_farewell_does_not_matter() -> None:
    said = [b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"", b"250 taken\r\n"]
    with canned_server(*said) as port, plain(port) as session:
        assert delivered(session, SENDER, KARI, b"x\r\n") == Delivered("taken")


def test_a_server_that_is_not_there_is_tried_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    answer = plain(port).check()

    assert isinstance(answer, TryLater)
    assert (answer.phase, answer.of_relay) == ("connect", True)
    assert answer.text.startswith(f"The mail server 127.0.0.1:{port} cannot be reached: ")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ([b"554 5.7.1 You again\r\n"], StopRun("greeting", 554, "5.7.1 You again")),
        ([b"421 4.3.2 Busy\r\n"], TryLater("greeting", 421, "4.3.2 Busy", of_relay=True)),
        ([b"SSH-2.0-OpenSSH\r\n"], TryLater("greeting", -1, "2.0-OpenSSH", of_relay=True)),
        ([b"220 hi\r\n", b"250-more\r\n" * 1000], TryLater("greeting", 0, GONE, of_relay=True)),
        ([b"220 " + b"x" * 10_000 + b"\r\n"], TryLater("greeting", 0, GONE, of_relay=True)),
        ([b""], TryLater("greeting", 0, "The mail server fell silent: timed out", of_relay=True)),
    ],
)
def test_a_server_that_greets_oddly_gets_no_mail(said: list[bytes], answer: Answer) -> None:
    with canned_server(*said, hang_up=False) as port, plain(port, Timeouts(0.3, 0.3, 0.3, 5)) as session:
        assert delivered(session, SENDER, KARI, MAIL, pytest.fail) == answer


def test_a_mail_takes_no_longer_than_it_may_however_patient_each_step_is() -> None:
    patient = Timeouts(connect=5, command=60, dot=60, offer=0.2)
    with canned_server(b"220 hi\r\n", hang_up=False) as port, plain(port, patient) as session:
        assert delivered(session, SENDER, KARI, MAIL, pytest.fail) == TryLater("greeting", 0, GONE, of_relay=True)


@pytest.mark.parametrize(
    "address", ["", "kari", "kari@x>\r\nDATA", "k ari@x.example", "åse@x.example", "<k@x.example>"]
)
def test_an_address_that_could_say_more_than_an_address_is_never_said(address: str) -> None:
    with smtp_server() as server, plain(server.port) as session:
        assert isinstance(delivered(session, SENDER, address, MAIL, pytest.fail), BadAddress)
        assert isinstance(delivered(session, address, KARI, MAIL, pytest.fail), StopRun)

    assert server.connections == 0


# TLS and login


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def certificate_for(authority: trustme.CA) -> CertificateFor:
    def made(host: str) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(host).configure_cert(context)
        return context

    return made


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_verified_server_gets_the_password_and_the_mail(
    tls: Literal["implicit", "starttls"], ca_file: Path, certificate_for: CertificateFor
) -> None:
    with (
        smtp_server(tls=tls, certificate=certificate_for("localhost"), login=("keys", "s3cret")) as server,
        SmtpSession("localhost", server.port, tls=tls, user="keys", password="s3cret", ca_file=ca_file) as session,
    ):
        assert session.check() is None
        assert delivered(session, SENDER, KARI, MAIL) == Delivered("2.0.0 Queued as 4711")

    assert (len(server.received), server.connections) == (1, 1)


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_certificate_that_nobody_vouches_for_gets_nothing(
    tls: Literal["implicit", "starttls"], certificate_for: CertificateFor
) -> None:
    with (
        smtp_server(tls=tls, certificate=certificate_for("localhost"), login=("keys", "s3cret")) as server,
        SmtpSession("localhost", server.port, tls=tls, user="keys", password="s3cret", timeouts=PATIENCE) as session,
    ):
        answer = delivered(session, SENDER, KARI, MAIL, pytest.fail)

    text = (
        "The certificate of the mail server localhost is not trusted: unable to get local issuer certificate. "
        "Write the name that it has there as host in [mail], or who vouches for it as ca_file."
    )
    assert answer == StopRun("tls", 0, text)
    assert server.received == []


def test_a_certificate_for_another_name_gets_nothing(ca_file: Path, certificate_for: CertificateFor) -> None:
    with (
        smtp_server(tls="starttls", certificate=certificate_for("mail.example")) as server,
        SmtpSession("localhost", server.port, tls="starttls", ca_file=ca_file, timeouts=PATIENCE) as session,
    ):
        answer = delivered(session, SENDER, KARI, MAIL, pytest.fail)

    assert isinstance(answer, StopRun)
    assert "not valid for 'localhost'" in answer.text


def test_a_server_that_offers_no_starttls_gets_nothing(ca_file: Path) -> None:
    with (
        smtp_server() as server,
        SmtpSession("localhost", server.port, tls="starttls", ca_file=ca_file, timeouts=PATIENCE) as session,
    ):
        answer = delivered(session, SENDER, KARI, MAIL, pytest.fail)

    text = "The mail server localhost does not offer STARTTLS; set tls to implicit, or use another port."
    assert answer == StopRun("tls", 0, text)


def test_a_port_that_speaks_no_tls_at_once_is_told_of_the_other_way(ca_file: Path) -> None:
    with (
        smtp_server() as server,
        SmtpSession("localhost", server.port, tls="implicit", ca_file=ca_file, timeouts=PATIENCE) as session,
    ):
        answer = session.check()

    assert isinstance(answer, StopRun)
    assert answer.text.startswith(f"TLS with the mail server localhost:{server.port} failed: ")
    assert answer.text.endswith('. That port speaks no TLS at once; try tls = "starttls" in [mail].')


def test_a_wrong_password_stops_the_run_and_is_not_in_what_is_said_about_it(
    ca_file: Path, certificate_for: CertificateFor
) -> None:
    with (
        smtp_server(tls="starttls", certificate=certificate_for("localhost"), login=("keys", "s3cret")) as server,
        SmtpSession(
            "localhost", server.port, tls="starttls", user="keys", password="wr0ng", ca_file=ca_file
        ) as session,
    ):
        answer = session.check()

    assert answer == StopRun("auth", 535, "5.7.8 Authentication credentials invalid")
    assert "wr0ng" not in f"{session!r}{session._server!r}{answer!r}"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tls": "none", "host": "mail.example"}, "Mail to mail.example needs TLS; without it only this machine"),
        ({"tls": "none", "user": "keys", "password": "p"}, "A mail password is never sent without TLS"),
        ({"tls": "implicit", "user": "keys"}, "A mail user needs a password file"),
        ({"tls": "implicit", "user": "keys", "password": "pässword"}, "must be ASCII"),
        ({"tls": "maybe"}, "it must be implicit, starttls or none"),
        ({"tls": "implicit", "ca_file": Path("/nowhere/ca.pem")}, "cannot be read as PEM certificates"),
    ],
)
def test_settings_that_would_say_too_much_are_refused_before_anything_is_said(
    settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingsWrong, match=sentence):
        SmtpSession(**{"host": "localhost", "port": 25} | settings)


# The words, one by one


@pytest.mark.parametrize(
    ("code", "text", "word"),
    [
        (550, "5.1.1 No such user", "BadAddress"),
        (550, "no such user", "BadAddress"),
        (552, "5.2.2 Mailbox full", "BadAddress"),
        (553, "5.1.3 Bad address syntax", "BadAddress"),
        (553, "not in my list of allowed rcpthosts (#5.7.1)", "StopRun"),
        (553, "sorry", "StopRun"),
        (530, "5.7.0 Authentication required", "StopRun"),
        (550, "5.7.1 Access denied", "StopRun"),
        (550, "5.1.8 Sender domain not found", "StopRun"),
        (452, "4.2.2 Mailbox full", "TryLater"),
        (200, "what?", "TryLater"),
    ],
)
def test_a_refused_recipient_is_told_from_refused_settings(code: int, text: str, word: str) -> None:
    assert type(refused("rcpt", code, text)).__name__ == word


def test_what_a_server_says_is_shown_on_one_line_without_control_characters_and_cut() -> None:
    assert shown(b"5.1.1 \x1b[31mNo\x00 such\r\nuser\xff") == "5.1.1 [31mNo such user�"
    assert len(shown(b"x" * 5000)) == 300


def test_after_a_reply_that_came_at_the_last_moment_the_next_may_take_its_time() -> None:
    with smtp_server() as server, SmtpSession("localhost", server.port, tls="none") as session:
        steps = session.hand_over("keys@fjord.example", "a@x.example", b"Subject: x\r\n\r\nx\r\n")
        told = [next(steps), next(steps)]
        connection = session.heard_on()
        assert connection is not None
        connection.settimeout(0.5)
        told.append(next(steps))
        patience = connection.gettimeout()
        steps.close()

    assert (told, patience) == (["begun", "said", "said"], 90)
