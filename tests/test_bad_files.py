"""What is said of a file, an address, a relay or a price list that is wrong, and is anything lost? Asked by command."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from command import EXAMPLES, NOW, Home, one_sentence
from smtp_server import canned_server, smtp_server

# Imports


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("u.csv", b"company,id,name\nfjell-1001,n-1,\xff\xfe\n", "u.csv:2: "),
        ("u.csv", b"company,id\nfjell-1001,n-1\n", "u.csv:1: name: "),
        ("u.csv", b"company,id,name\nfjell-1001,n-1,Nils\nfjell-1001,n-1,Nina\n", "u.csv:3: id: "),
        ("u.csv", b"company,id,name\nnowhere,n-1,Nils\n", "u.csv:2: company: \u201cnowhere\u201d is neither in"),
        ("l.csv", b"company,from,licences\nfjell-1001,2026-02-30,3\n", "l.csv:2: from: "),
        ("u.csv", b"company,id,name\nfjell-1001,n-1," + b"N" * 10_000_000 + b"\n", "u.csv:2: "),
        ("u.csv", b"company,id,name\nfjell-1001,n-1,\x1b[2J\n", "u.csv:2: name: "),
        ("u.csv", b"", "u.csv:"),
        ("d.json", b'{"companies": [', "d.json:1: "),
    ],
    ids=["utf8", "column", "duplicate", "company", "date", "10 MB", "escape", "empty", "json"],
)
def test_a_faulty_file_is_told_with_its_line_and_nothing_of_it_is_taken(
    home: Home, name: str, content: bytes, sentence: str
) -> None:
    before = home.counts()
    file = home.path / name
    file.write_bytes(content)
    good = home.path / "good.csv"
    good.write_text("company,id,name\nfjell-1001,n-9,Nora\n", encoding="utf-8")

    said = home.keydesk("import", good, file)

    first, second = said.err.splitlines()
    assert (said.status, said.out) == (1, "")
    assert first == "keydesk: Nothing was imported: 1 fault. Correct and import again."
    assert second.replace(f"{home.path}/", "").startswith(sentence)
    assert len(second) < 400
    assert second.isprintable()
    assert home.counts() == before


def test_a_file_that_is_not_there_is_named(home: Home) -> None:
    said = home.keydesk("import", home.path / "users.csv")

    assert (said.status, said.out) == (1, "")
    assert said.err.splitlines()[1] == "users.csv: it cannot be read: No such file or directory."


def test_a_hundred_faults_are_not_all_told(home: Home) -> None:
    file = home.path / "u.csv"
    file.write_text("company,id,name\n" + "nowhere,n,\n" * 100, encoding="utf-8")

    said = home.keydesk("import", file)

    assert said.status == 1
    assert len(said.err.splitlines()) <= 22


# Prices, mail, keys


def test_a_month_without_a_price_list_waits_and_is_named_until_one_is_published(home: Home) -> None:
    home.issue(at=NOW - timedelta(days=60))
    home.sql("UPDATE company SET created_at = created_at - 90 * 86400")
    home.sql("UPDATE company SET price_list = 'OLD' WHERE external_id = 'fjell-1001'")

    told = home.keydesk("run", "invoice-lines", "--dry-run")
    parked = home.keydesk("run", "invoice-lines")
    doctor = home.keydesk("doctor")

    assert told.status == 0
    assert "Fjellbekk Regnskap AS  cannot be rated: " in told.out
    assert parked.status == 4
    assert " of Fjellbekk Regnskap AS waits: " in parked.err
    assert parked.err.count("\n") == 1
    assert parked.out == (
        "8 runs of invoice-lines done, 0 failed. For a person to settle: 1 month (1 parked); `keydesk invoice review` "
        "lists them.\n"
    )
    assert [line.split()[:2] for line in doctor.out.splitlines() if "OLD" in line] == [
        ["wrong", "invoices"],
        ["look", "prices"],
    ]


def test_a_price_file_that_is_wrong_publishes_nothing(home: Home) -> None:
    before = home.counts()
    file = home.path / "prices.toml"
    again = home.keydesk("prices", "publish", EXAMPLES / "prices.toml")
    assert one_sentence(home, again.status, again.err).endswith(
        "Version 1 of API in NOK cannot be published: the next version is 2. A published price list is never changed."
    )
    for text in ("[[price_list]]\n", "price = 'x", "[[price_list]]\ncode = 7\n", ""):
        file.write_text(text, encoding="utf-8")
        for act in ("check", "publish"):
            said = home.keydesk("prices", act, file)
            assert one_sentence(home, said.status, said.err).startswith(("~/prices.toml: ", "The price file ~/"))
    assert home.counts() == before


@pytest.mark.parametrize(
    "address", ["ase", "ase@", "a b@example.com", "ase@example.com\nBcc: x@example.com", "\x1b@x.no"]
)
def test_a_malformed_address_gets_no_mail(home: Home, address: str) -> None:
    said = home.keydesk("mail", "test", address)

    assert "is not an email address that can be used" in one_sentence(home, said.status, said.err)
    assert home.counts()["email"] == 0


@contextmanager
def nobody() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def relay(port: int) -> dict[str, str]:
    return {
        "KEYDESK_MAIL_HOST": "localhost",
        "KEYDESK_MAIL_PORT": str(port),
        "KEYDESK_MAIL_TLS": "none",
        "KEYDESK_MAIL_SENDER": "keys@example.com",
    }


def test_a_relay_that_is_down_refuses_or_rejects_costs_no_mail(home: Home) -> None:
    home.keydesk("mail", "test", "ase@example.com")
    waiting = "The relay takes no mail now; what is not sent waits in the outbox and nothing is lost.\n"

    with nobody() as port:
        down = home.keydesk("run", "deliver-mail", **relay(port))
    assert (down.status, down.out) == (
        1,
        "Mails: none was handed over, 1 waits; `keydesk mail list` shows the newest.\n",
    )
    assert down.err.splitlines() == [
        (
            f"keydesk: mail relay-refused 1: The mail server localhost:{port} cannot be reached: Connection refused. "
            "See whether it runs, and whether host and port in [mail] are right."
        ),
        "keydesk: " + waiting.rstrip(),
    ]
    with canned_server(b"554 5.7.1 Not you\r\n") as port:
        refusing = home.keydesk("run", "deliver-mail", **relay(port))
    assert refusing.status == 1
    assert refusing.err.splitlines()[0] == "keydesk: mail relay-refused 1: 554 5.7.1 Not you"
    assert home.sql("SELECT state, attempts FROM email") == [("queued", 0)]

    with smtp_server("550 rcpt", "ok") as server:
        home.keydesk("mail", "test", "bo@example.com")
        taken = home.keydesk("run", "deliver-mail", **relay(server.port))
        assert [mail.recipient for mail in server.received] == ["bo@example.com"]
    assert (taken.status, taken.out) == (
        1,
        "Mails: 1 handed over, 1 refused for good; `keydesk mail list` shows the newest.\n",
    )
    assert taken.err == "keydesk: mail failed 1: 550 5.1.1 No such user here\n"
    assert "last words: 550 5.1.1 No such user here" in home.keydesk("mail", "show", "1").out


def test_what_is_asked_of_no_key_job_or_claim_is_refused(home: Home) -> None:
    sentences = {
        ("key", "show", "key_x"): "There is no key with the handle key_x.",
        ("key", "show", "erp-sync"): "Name the key by its handle (key_…, the desk shows it); ",
        ("run", "nightly"): "There is no job called nightly; there are expiry-notices, ",
        ("run", "deliver-mail"): "No relay is set: mails wait in the outbox. Set [mail] host and sender.",
        ("run", "deliver-mail", "--dry-run"): "Mails are handed over now or not at all; ",
        ("sandbox", "done", "x"): "This is not a token of a claim; `keydesk sandbox next` prints one.",
        ("sandbox", "next", "--limit", "0"): "The limit must be at least 1.",
        ("sandbox", "next", "--lease-minutes", "10081"): "The lease must be from 1 to 10,080 minutes (a week).",
        ("mail", "preview", "spam"): "There is no kind of mail called spam; there are key_created, ",
    }

    for arguments, sentence in sentences.items():
        said = home.keydesk(*arguments)
        assert one_sentence(home, said.status, said.err).startswith(sentence), arguments


def test_the_desk_without_a_terminal_says_so_and_makes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)

    said = home.keydesk()

    assert one_sentence(home, said.status, said.err) == (
        "The desk needs a terminal. Over SSH ask for one (`ssh -t`); `keydesk --help` lists what needs none."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_new_store_is_not_made_by_halves(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for arguments, sentence in {
        (): "A new store needs your company's name: `keydesk init --vendor 'Fjord Software'`.",
        ("--vendor", "\u202eFjord"): "vendor holds characters that cannot be seen (‹202E›); remove them.",
        ("--vendor", "Fjord", "--prefix", "K"): "A key prefix is 2 to 16 small letters and digits (a-z, 0-9) ",
        ("--vendor", "Fjord", "--time-zone", "Europe/Olso"): "'Europe/Olso' is not a time zone; ",
    }.items():
        said = home.keydesk("init", *arguments)
        assert one_sentence(home, said.status, said.err).startswith(sentence), arguments
        assert list(tmp_path.iterdir()) == [], arguments

    assert home.keydesk("init", "--vendor", "Fjord").status == 0
