"""What is said when something is wrong, does it say what to do, and is anything lost? Asked through the command."""

import ctypes
import fcntl
import resource
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from command import EXAMPLES, NOW, Home
from postgres_server import PostgresServer
from smtp_server import canned_server, smtp_server

ONE_SECOND = {"KEYDESK_STORE_LOCK_WAIT_SECONDS": "1"}
ALL_EXAMPLES = [EXAMPLES / f"{name}.csv" for name in ("companies", "users", "licences")]


def as_an_ordinary_owner() -> None:
    """Take root's leave to read and write whatever it likes from the program that is started next."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def with_files_of_at_most(size: int) -> Callable[[], None]:
    """As on a full disk: no file of the program that is started next grows beyond this many bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def one_sentence(home: Home, status: int, err: str) -> str:
    """What was said, without the places, which differ from run to run."""
    assert status == 1
    assert err.startswith("keydesk: ")
    assert err.count("\n") == 1
    return err.removeprefix("keydesk: ").rstrip("\n").replace(str(home.path), "~")


# Settings and secrets


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[mail]\nhots = "relay"\n', "~/k.toml:2: [mail] has no setting 'hots'; did you mean host?"),
        ('[mial]\nhost = "relay"\n', "~/k.toml:1: there is no section [mial]; did you mean mail?"),
        ("[store]\nlock_wait_seconds = 0\n", "~/k.toml: [store] lock_wait_seconds must be from 1 to 3600."),
        ("host: relay\n", "The settings file ~/k.toml is not TOML: "),
        (None, "The settings file ~/k.toml is not there. Name another, or run `keydesk init`."),
    ],
)
def test_a_wrong_settings_file_is_named_with_its_line(home: Home, text: str | None, sentence: str) -> None:
    file = home.path / "k.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")

    said = home.keydesk("--settings", file, "mail", "show")

    assert one_sentence(home, said.status, said.err).startswith(sentence)


def test_an_unknown_variable_is_named(home: Home) -> None:
    said = home.keydesk("mail", "show", KEYDESK_STORE_LOCATOIN="/tmp/x.db")

    assert one_sentence(home, said.status, said.err) == (
        "The environment variable KEYDESK_STORE_LOCATOIN is no setting of Keydesk; did you mean KEYDESK_STORE_LOCATION?"
    )


def test_a_secret_that_others_can_read_or_nobody_is_not_used(home: Home) -> None:
    def accept() -> str:
        said = home.keydesk("key", "accept", "--environment", "prod", stdin="x", before=as_an_ordinary_owner)
        assert said.out == ""
        return one_sentence(home, said.status, said.err)

    pepper = "~/.config/keydesk/keydesk.pepper"
    secret = home.pepper.read_text(encoding="ascii")
    home.pepper.chmod(0o644)
    assert accept() == (f"The pepper file {pepper} can be read by others (mode 0644). Run `chmod 600 {pepper}`.")
    home.pepper.chmod(0)
    assert accept() == (f"The pepper file {pepper} cannot be read (Permission denied). Make it yours and of mode 0600.")
    home.pepper.chmod(0o600)
    home.pepper.write_text("1:" + "ab" * 32 + "\n", encoding="ascii")
    assert accept() == (
        "The pepper file has not the version 1 that this store's keys were made with, so none of them would be "
        "accepted. Restore the right pepper file."
    )
    home.pepper.unlink()
    assert accept() == (
        f"The pepper file {pepper} is not there. Restore it from where you keep it, "
        "or run `keydesk init` for a new store."
    )
    said = home.keydesk("init")
    assert one_sentence(home, said.status, said.err).startswith(f"The pepper file {pepper} is not there. ")
    assert secret.strip().removeprefix("1:") not in home.heard
    assert "abab" not in home.heard


def test_a_password_file_that_others_can_read_is_not_used(home: Home) -> None:
    password = home.path / "password"
    password.write_text("hunter2\n", encoding="ascii")
    password.chmod(0o644)
    mail = {"KEYDESK_MAIL_HOST": "localhost", "KEYDESK_MAIL_SENDER": "keys@example.com"}

    said = home.keydesk("run", "deliver-mail", KEYDESK_MAIL_PASSWORD_FILE=str(password), **mail)

    assert one_sentence(home, said.status, said.err) == (
        "The mail password file ~/password can be read by others (mode 0644). Run `chmod 600 ~/password`."
    )


# The store


def test_a_store_that_cannot_be_used_says_why_and_stays_as_it_is(home: Home) -> None:
    def shown() -> str:
        said = home.keydesk("mail", "show", before=as_an_ordinary_owner)
        assert said.out == ""
        return one_sentence(home, said.status, said.err)

    store = "~/.local/share/keydesk/keydesk.db"
    home.sql("INSERT INTO schema_step VALUES (99, 'from the future', 1)")
    whole = home.store.read_bytes()
    assert shown() == (
        f"The store {store} is version 99, newer than this program knows (1). "
        "Install the newer Keydesk; nothing was changed."
    )
    home.store.chmod(0o640)
    assert shown() == f"The store {store} can be read by others. Run `chmod 600 {store}`."
    home.store.chmod(0)
    assert shown() == f"The store {store} cannot be opened. Check that the file and its directory belong to you."
    home.store.chmod(0o600)
    assert home.store.read_bytes() == whole
    home.store.write_bytes(b"no database" * 1000)
    assert shown() == f"{store} is not a sound SQLite store. Restore a backup (`keydesk backup` makes them)."
    home.store.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    assert shown() == f"{store} is not a sound SQLite store. Restore a backup (`keydesk backup` makes them)."
    home.store.write_bytes(b"")
    assert shown() == f"The store {store} is empty. Run `keydesk init` to set it up."
    home.store.unlink()
    assert shown() == f"There is no store at {store}. Run `keydesk init` to make one, or `keydesk demo` to look."
    assert not home.store.exists()


def test_a_read_only_store_can_be_read_and_refuses_each_change(home: Home) -> None:
    before = home.counts()
    home.store.chmod(0o400)

    read = home.keydesk("events", "verify", before=as_an_ordinary_owner)
    refused = home.keydesk("mail", "test", "ase@example.com", before=as_an_ordinary_owner)

    assert read.status == 0
    assert one_sentence(home, refused.status, refused.err) == (
        "The store ~/.local/share/keydesk/keydesk.db is read-only; nothing was changed. "
        "Check the owner and mode of the file and its directory."
    )
    home.store.chmod(0o600)
    assert home.counts() == before


def test_a_store_that_another_program_has_locked_is_waited_for_and_then_left_alone(home: Home) -> None:
    before = home.counts()
    with closing(sqlite3.connect(home.store, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        said = home.keydesk("mail", "test", "ase@example.com", **ONE_SECOND)
        stranger.execute("ROLLBACK")

    assert one_sentence(home, said.status, said.err) == (
        "The store ~/.local/share/keydesk/keydesk.db has been locked by another program for more than 1 s; "
        "nothing was changed. Close that program and try again."
    )
    assert home.counts() == before
    assert home.keydesk("mail", "test", "ase@example.com").status == 0


def test_another_keydesk_that_hangs_in_a_write_is_waited_for_and_then_named(home: Home) -> None:
    before = home.counts()
    with (home.store.parent / "keydesk.db.gate").open("wb") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        said = home.keydesk("mail", "test", "ase@example.com", **ONE_SECOND)

    assert one_sentence(home, said.status, said.err) == (
        "Another process of Keydesk has been writing to the store ~/.local/share/keydesk/keydesk.db for more than 1 s; "
        "nothing was changed. Try again when its import or migration is done, or end it."
    )
    assert home.counts() == before
    assert home.keydesk("mail", "test", "ase@example.com").status == 0


def test_a_key_is_accepted_also_where_its_last_use_cannot_be_kept(home: Home) -> None:
    key = home.issue()
    accept = ("key", "accept", "--environment", "prod")

    home.store.chmod(0o400)
    read_only = home.keydesk(*accept, stdin=key.secret, before=as_an_ordinary_owner)
    home.store.chmod(0o600)
    with (home.store.parent / "keydesk.db.gate").open("wb") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        busy = home.keydesk(*accept, stdin=key.secret, **ONE_SECOND)
        refused = home.keydesk(*accept, stdin=key.secret.swapcase(), **ONE_SECOND)

    for said, why in ((read_only, " is read-only; "), (busy, " for more than 1 s; ")):
        assert (said.status, said.out.startswith('{"accepted": true, ')) == (0, True)
        assert said.err.startswith("keydesk: The last use was not kept. ")
        assert (why in said.err, said.err.count("\n")) == (True, 1)
    assert (refused.status, refused.out, refused.err) == (3, '{"accepted": false}\n', "")
    assert home.sql("SELECT count(*) FROM last_use") == [(0,)]
    assert home.keydesk(*accept, stdin=key.secret).err == ""
    assert home.sql("SELECT uses FROM last_use") == [(1,)]


def test_a_full_disk_loses_nothing(home: Home) -> None:
    home.issue()
    before = home.counts()
    users = home.path / "many.csv"
    rows = "".join(f"fjell-1001,n-{number},Nils {number},n{number}@example.com\n" for number in range(2000))
    users.write_text("company,id,name,email\n" + rows, encoding="utf-8")
    little_room = with_files_of_at_most(home.store.stat().st_size + 8192)
    sentence = (
        "The disk of the store ~/.local/share/keydesk/keydesk.db takes no more, or is broken; nothing was changed. "
        "Free some space, look at quota and disk, and try again."
    )

    imported = home.keydesk("import", users, before=little_room)
    assert one_sentence(home, imported.status, imported.err) == sentence
    assert (home.counts(), home.is_sound()) == (before, True)
    made = home.make_key(before=with_files_of_at_most(33_000))
    assert one_sentence(home, made.status, made.err) == sentence
    assert (home.counts(), home.is_sound()) == (before, True)
    copied = home.keydesk("backup", home.path / "copy.db", before=with_files_of_at_most(8192))
    assert one_sentence(home, copied.status, copied.err) == sentence
    assert list(home.path.glob("copy.db*")) == []

    assert home.keydesk("import", users).status == 0
    assert home.make_key().status == 0


def test_a_place_that_cannot_be_written_is_named(home: Home) -> None:
    closed = home.path / "closed"
    closed.mkdir(mode=0o500)

    for arguments in (
        ("backup", closed / "copy.db"),
        ("mail", "preview", "key_created", "--eml", closed / "mail.eml"),
        ("--settings", "k.toml", "init", "--vendor", "Fjord Software"),
    ):
        (home.path / "k.toml").write_text(f'[store]\nlocation = "{closed}/a/keydesk.db"\n', encoding="utf-8")
        said = home.keydesk(*arguments, before=as_an_ordinary_owner)
        assert "~/closed/" in one_sentence(home, said.status, said.err)
        assert "Permission denied." in said.err
    assert list(closed.iterdir()) == []


def test_a_postgresql_that_cannot_be_used_says_why(postgres: PostgresServer, tmp_path: Path) -> None:
    home = Home(tmp_path)
    postgres.sql("CREATE DATABASE bad_input")
    url = postgres.url("bad_input")

    def verb(*arguments: str, location: str = url, **variables: str) -> str:
        said = home.keydesk(*arguments, KEYDESK_STORE_LOCATION=location, **variables)
        return one_sentence(home, said.status, said.err)

    assert verb("mail", "show") == f"The store {url} is empty. Run `keydesk init` to set it up."
    assert home.keydesk("init", "--vendor", "Fjord Software", KEYDESK_STORE_LOCATION=url).status == 0
    with psycopg.connect(f"host={postgres.sockets} user=keydesk dbname=bad_input") as stranger:
        stranger.execute("LOCK TABLE email")
        assert verb("mail", "test", "ase@example.com", **ONE_SECOND) == (
            f"The store {url} has been locked by another program for more than 1 s; nothing was changed. "
            "Close that program and try again."
        )
        stranger.rollback()
    nowhere = f"postgresql://keydesk@/bad_input?host={tmp_path}"
    assert verb("mail", "show", location=nowhere) == (
        f"PostgreSQL at {nowhere.replace(str(tmp_path), '~')} does not answer. Check that it runs and can be reached."
    )
    none = postgres.url("no_such_database")
    assert verb("mail", "show", location=none) == (
        f"PostgreSQL has no such database: {none}. Create it (`createdb`) and run `keydesk init`."
    )
    assert verb("mail", "show", location="postgresql://keydesk:hunter2@db.example/keydesk") == (
        "The store's URL holds a password; put it into a file of mode 0600 and name that in `store.password_file`."
    )
    assert verb("mail", "show", location="postgresql://keydesk@db.example/keydesk") == (
        "PostgreSQL over a network must be verified: add `?sslmode=verify-full` to the store's URL."
    )
    assert "hunter2" not in home.heard
    postgres.sql("DROP DATABASE bad_input WITH (FORCE)")


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
    assert parked.status == 1
    assert " of Fjellbekk Regnskap AS waits: " in parked.err
    assert parked.err.count("\n") == 1
    assert parked.out == "8 runs of invoice-lines done, 0 failed.\n"
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
    assert (down.status, down.out) == (1, "Mails: none was due; `keydesk mail show` lists the newest.\n")
    assert down.err.splitlines() == [
        f"keydesk: mail relay-refused 1: The mail server localhost:{port} cannot be reached: Connection refused",
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
        "Mails: 1 handed over, 1 refused for good; `keydesk mail show` lists the newest.\n",
    )
    assert taken.err == "keydesk: mail failed 1: 550 5.1.1 No such user here\n"
    assert "the relay said: 550 5.1.1 No such user here" in home.keydesk("mail", "show", "1").out


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
