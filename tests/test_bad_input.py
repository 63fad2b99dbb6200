"""What is said when settings, a secret or the store cannot be used, and is anything lost? Asked by command."""

import fcntl
import resource
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from command import Home, as_an_ordinary_owner, one_sentence
from postgres_server import PostgresServer

from store import database
from store.errors import SettingsWrong

ONE_SECOND = {"KEYDESK_STORE_LOCK_WAIT_SECONDS": "1"}


def with_files_of_at_most(size: int) -> Callable[[], None]:
    """As on a full disk: no file of the program that is started next grows beyond this many bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


# Settings and secrets


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[mail]\nhots = "relay"\n', "~/k.toml:2: [mail] has no setting 'hots'; did you mean host?"),
        ('[mial]\nhost = "relay"\n', "~/k.toml:1: there is no section [mial]; did you mean mail?"),
        ("[store]\nlock_wait_seconds = 0\n", "~/k.toml:2: [store] lock_wait_seconds must be from 1 to 60."),
        ("host: relay\n", "The settings file ~/k.toml is not TOML: "),
        (None, "The settings file ~/k.toml is not there. Name another, or run `keydesk init`."),
    ],
)
def test_a_wrong_settings_file_is_named_with_its_line(home: Home, text: str | None, sentence: str) -> None:
    file = home.path / "k.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")

    said = home.keydesk("--settings", file, "mail", "list")

    assert one_sentence(home, said.status, said.err).startswith(sentence)


def test_a_home_whose_name_needs_quoting_gets_settings_that_can_be_read(tmp_path: Path) -> None:
    odd = tmp_path / 'Åse "the keys" \\ Berg'
    odd.mkdir()
    home = Home(odd)

    assert home.keydesk("init", "--vendor", "Fjord Software").status == 0

    listed = home.keydesk("admin", "list")
    assert (listed.status, listed.err) == (0, "")


def test_a_choice_of_the_installation_can_be_changed_and_a_wrong_one_is_named(home: Home) -> None:
    wrong = home.keydesk("init", "--notice-days", "30,0")
    words = home.keydesk("init", "--notice-days", "a month")
    changed = home.keydesk("init", "--notice-days", "3,30", "--refresh-hour", "4")
    again = home.keydesk("init", "--refresh-hour", "4")

    assert one_sentence(home, wrong.status, wrong.err) == (
        "The notice days are different numbers of days before expiry, each from 1 to 365."
    )
    assert (words.status, words.out) == (2, "")
    assert (changed.status, changed.out) == (0, "The choices of the installation are changed; they hold from now on.\n")
    assert again.out.endswith("is up to date; nothing was changed.\n")
    assert home.sql("SELECT value FROM setting WHERE name IN ('notice_days', 'refresh_hour') ORDER BY name") == [
        ("[30,3,-1]",),
        ("4",),
    ]


def test_an_unknown_variable_is_named(home: Home) -> None:
    said = home.keydesk("mail", "list", KEYDESK_STORE_LOCATOIN="/tmp/x.db")

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
        f"The pepper file {pepper} has a version 1 with another secret than the one that keys of this store were made "
        "with, so none of those would be accepted. Restore the right pepper file."
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
        said = home.keydesk("mail", "list", before=as_an_ordinary_owner)
        assert said.out == ""
        return one_sentence(home, said.status, said.err)

    store = "~/.local/share/keydesk/keydesk.db"
    home.sql("INSERT INTO schema_step VALUES (99, 'from the future', 1)")
    whole = home.store.read_bytes()
    assert shown() == (
        f"The store {store} is version 99, newer than this program knows (3). "
        "Install the newer Keydesk; nothing was changed."
    )
    home.store.chmod(0o640)
    assert shown() == f"The store {store} can be read by others. Run `chmod 600 {store}`."
    home.store.chmod(0)
    assert shown() == (f"The store {store} cannot be opened; nothing was changed. Run `chmod 600 {store}`.")
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
        "Run `chmod 600 ~/.local/share/keydesk/keydesk.db`."
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
    copied = home.keydesk("backup", home.path / "copy.db", before=with_files_of_at_most(33_000))
    assert one_sentence(home, copied.status, copied.err).startswith("The disk of ~ takes no more, or is broken: about ")
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
        assert "~/closed" in one_sentence(home, said.status, said.err)
        assert "Permission denied." in said.err
    assert list(closed.iterdir()) == []


def test_a_postgresql_that_cannot_be_used_says_why(postgres: PostgresServer, tmp_path: Path) -> None:
    home = Home(tmp_path, has_driver=True)
    postgres.sql("CREATE DATABASE bad_input")
    url = postgres.url("bad_input")

    def verb(*arguments: str, location: str = url, **variables: str) -> str:
        said = home.keydesk(*arguments, KEYDESK_STORE_LOCATION=location, **variables)
        return one_sentence(home, said.status, said.err)

    assert verb("mail", "list") == f"The store {url} is empty. Run `keydesk init` to set it up."
    assert home.keydesk("init", "--vendor", "Fjord Software", KEYDESK_STORE_LOCATION=url).status == 0
    with psycopg.connect(f"host={postgres.sockets} user=keydesk dbname=bad_input") as stranger:
        stranger.execute("LOCK TABLE email")
        assert verb("mail", "test", "ase@example.com", **ONE_SECOND) == (
            f"The store {url} has been locked by another program for more than 1 s; nothing was changed. "
            "Close that program and try again."
        )
        stranger.rollback()
    nowhere = f"postgresql://keydesk@/bad_input?host={tmp_path}"
    assert verb("mail", "list", location=nowhere) == (
        f"PostgreSQL at {nowhere.replace(str(tmp_path), '~')} does not answer. Check that it runs and can be reached."
    )
    none = postgres.url("no_such_database")
    assert verb("mail", "list", location=none) == (
        f"PostgreSQL has no such database: {none}. Create it (`createdb`) and run `keydesk init`."
    )
    assert verb("mail", "list", location="postgresql://keydesk:hunter2@db.example/keydesk") == (
        "The store's URL holds a password; put it into a file of mode 0600 and name that in `store.password_file`."
    )
    assert verb("mail", "list", location="postgresql://keydesk@db.example/keydesk") == (
        "PostgreSQL over a network must be verified: add `?sslmode=verify-full` to the store's URL."
    )
    assert verb("mail", "list", location="postgresql://keydesk@localhost:99999/keydesk") == (
        "The port in the store's URL cannot be used (Port out of range 0-65535); correct it."
    )
    assert verb("mail", "list", location="postgresql://keydesk@localhost") == (
        "The store's URL names no database; write it like postgresql://user@host/name."
    )
    assert verb("mail", "list", location="mysql://keydesk:hunter2@localhost/keydesk") == (
        "The store's location is a file's path or postgresql://user@host/name; correct it."
    )
    assert "hunter2" not in home.heard
    postgres.sql("DROP DATABASE bad_input WITH (FORCE)")


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(SettingsWrong, match=r"^PostgreSQL's driver is not installed: run `pip install 'keydesk"):
        database.bind("postgresql://keydesk@/keydesk")
