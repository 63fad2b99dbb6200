"""Is a SQLite sandbox refreshed from production masked, whole, or not at all?"""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from command import Home

from jobs import refresh_command
from jobs.refresh_command import Command, Ended
from jobs.refreshers import rules, sqlite
from store.errors import FormatWrong, KeydeskError, Refused, StoreUnavailable

RULES = """
targets = ["{folder}/sandbox/*.db"]

[[mask]]
table = "customer"
column = "email"
with = "mail"

[[mask]]
table = "customer"
column = "phone"
with = "fixed"
value = "+47 00 00 00 00"

[[mask]]
table = "*"
column = "note"
with = "null"

[[mask]]
table = "customer"
column = "person_number"
with = "hash"
"""
SCHEMA = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, email TEXT UNIQUE, phone TEXT, note TEXT, person_number TEXT,
                       shout TEXT GENERATED ALWAYS AS (upper(email)) VIRTUAL);
CREATE TABLE visit (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customer, note TEXT);
CREATE TABLE log (said TEXT);
CREATE TRIGGER remember AFTER UPDATE ON customer BEGIN INSERT INTO log VALUES (old.email); END;
INSERT INTO customer (id, email, phone, note, person_number) VALUES
  (1, 'ase@nordlys.example', '+47 22 11 00 99', 'owes us', '01017012345'),
  (2, 'bo@nordlys.example', NULL, 'nice', '01017012345'),
  (3, NULL, '1', NULL, NULL);
INSERT INTO visit VALUES (1, 1, 'with Åse');
"""


APPLICATION = """
CREATE TABLE api_token (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE);
CREATE TABLE account (id INTEGER PRIMARY KEY, password_hash TEXT NOT NULL, name TEXT);
CREATE TABLE webhook (id INTEGER PRIMARY KEY, url TEXT NOT NULL, secret TEXT);
CREATE TABLE schedule (id INTEGER PRIMARY KEY, enabled INTEGER NOT NULL);
CREATE TABLE outbox (id INTEGER PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE payment_provider (id INTEGER PRIMARY KEY, secret_key TEXT);
CREATE TABLE mail_relay (id INTEGER PRIMARY KEY, password TEXT);
INSERT INTO api_token VALUES (1, 's3cret-1'), (2, 's3cret-2');
INSERT INTO account VALUES (1, 's3cret', 'Åse Berg');
INSERT INTO webhook VALUES (1, 'https://nordlys.example/s3cret', 's3cret'), (2, 'https://kauri.example/s3cret', NULL);
INSERT INTO schedule VALUES (1, 1), (2, 0);
INSERT INTO outbox VALUES (1, 'queued');
INSERT INTO payment_provider VALUES (1, 's3cret');
INSERT INTO mail_relay VALUES (1, 's3cret');
"""
GUIDE = (Path(__file__).parent.parent / "docs" / "sandbox.md").read_text(encoding="utf-8")


@pytest.fixture
def production(tmp_path: Path) -> Path:
    path = tmp_path / "production.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "rules.toml").write_text(RULES.format(folder=tmp_path), encoding="utf-8")
    return path


@pytest.fixture
def sandbox(production: Path) -> Path:
    return production.parent / "sandbox" / "nordlys.db"


def read_rules(production: Path, **changes: str) -> rules.Rules:
    path = production.parent / "rules.toml"
    text = path.read_text(encoding="utf-8")
    for old, new in changes.items():
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return rules.read(path)


def rows(path: Path, text: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(text).fetchall()


def old_sandbox(sandbox: Path) -> None:
    with closing(sqlite3.connect(sandbox)) as connection, connection:
        connection.execute("CREATE TABLE old (id INTEGER)")
    sandbox.chmod(0o640)


def test_what_the_rules_name_is_masked_and_all_else_is_as_in_production(production: Path, sandbox: Path) -> None:
    done = sqlite.refresh(production, sandbox, read_rules(production))

    first, second, third = rows(sandbox, "SELECT email, phone, note, person_number FROM customer ORDER BY id")
    assert done == sqlite.Refreshed(columns=5, previous=None)
    for email, phone, note, _ in (first, second):
        assert str(email).endswith("@masked.invalid")
        assert (phone, note) == ("+47 00 00 00 00", None)
    assert first[0] != second[0]
    assert first[3] == second[3] != "01017012345"  # equal values stay equal
    assert third == (None, "+47 00 00 00 00", None, None)
    assert rows(sandbox, "SELECT id, customer, note FROM visit") == [(1, 1, None)]
    assert rows(sandbox, "SELECT * FROM log") == []
    assert rows(sandbox, "SELECT sql FROM sqlite_schema WHERE type = 'trigger'") == rows(
        production, "SELECT sql FROM sqlite_schema WHERE type = 'trigger'"
    )
    assert rows(production, "SELECT email FROM customer WHERE id = 1") == [("ase@nordlys.example",)]


def test_nothing_of_what_was_masked_is_left_in_the_file(production: Path, sandbox: Path) -> None:
    sqlite.refresh(production, sandbox, read_rules(production))

    content = sandbox.read_bytes()
    assert b"CREATE TABLE" in content
    assert [
        secret for secret in (b"ase@nordlys", b"22 11 00 99", b"01017012345", b"owes us") if secret in content
    ] == []


def test_the_same_value_is_masked_differently_the_next_time(production: Path, sandbox: Path) -> None:
    masks = []
    for _ in range(2):
        sqlite.refresh(production, sandbox, read_rules(production))
        masks.append(rows(sandbox, "SELECT person_number FROM customer WHERE id = 1"))

    assert masks[0] != masks[1]


def test_the_sandbox_of_before_is_kept_and_its_mode_too(production: Path, sandbox: Path) -> None:
    old_sandbox(sandbox)

    done = sqlite.refresh(production, sandbox, read_rules(production))

    assert done.previous == sandbox.with_name("nordlys.db.previous")
    assert rows(done.previous, "SELECT name FROM sqlite_schema") == [("old",)]
    assert sandbox.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in sandbox.parent.iterdir()) == ["nordlys.db", "nordlys.db.previous"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('column = "email"', 'column = "mail"', "The rule customer.mail matches no column of the source; correct it."),
        (
            'table = "customer"',
            'table = "client"',
            "The rule client.email matches no column of the source; correct it.",
        ),
        ("/sandbox/*.db", "/elsewhere/*.db", "matches none of the allowed targets"),
        ("/sandbox/*.db", "/*.db", "matches none of the allowed targets"),
    ],
)
def test_a_rule_that_fits_nothing_and_a_target_that_is_not_allowed_touch_nothing(
    production: Path, sandbox: Path, old: str, new: str, sentence: str
) -> None:
    old_sandbox(sandbox)
    before = sandbox.read_bytes()

    with pytest.raises(Refused) as refused:
        sqlite.refresh(production, sandbox, read_rules(production, **{old: new}))

    assert sentence in str(refused.value)
    assert sandbox.read_bytes() == before
    assert [path.name for path in sandbox.parent.iterdir()] == ["nordlys.db"]


@pytest.mark.parametrize("how", ["itself", "hard link", "link", "its previous", "a way around"])
def test_the_source_is_never_the_target(production: Path, how: str) -> None:
    sandbox = production.parent / "sandbox"
    target = sandbox / "nordlys.db"
    source = production
    if how == "itself":
        source = target = production.rename(sandbox / "nordlys.db")
    elif how == "hard link":
        target.hardlink_to(production)
    elif how == "link":
        target.symlink_to(production)
    elif how == "its previous":
        source = production.rename(sandbox / "nordlys.db.previous")
    else:
        source = production.rename(sandbox / "nordlys.db")
        target = sandbox / ".." / "sandbox" / "nordlys.db"
    before = source.read_bytes()

    with pytest.raises(Refused, match=r"is the source itself|is a link"):
        sqlite.refresh(source, target, read_rules(production))

    assert source.read_bytes() == before


def test_a_sandbox_that_is_open_is_not_pulled_away(production: Path, sandbox: Path) -> None:
    with closing(sqlite3.connect(sandbox)) as application:
        application.execute("PRAGMA journal_mode = WAL")
        application.execute("CREATE TABLE old (id INTEGER)")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sqlite, "_PATIENCE_SECONDS", 0.1)
            with pytest.raises(Refused, match=r"has the sandbox .* open"):
                sqlite.refresh(production, sandbox, read_rules(production))

    assert rows(sandbox, "SELECT name FROM sqlite_schema") == [("old",)]


def test_a_sandbox_that_another_process_has_open_and_idle_is_not_pulled_away(production: Path, sandbox: Path) -> None:
    old_sandbox(sandbox)
    holding = (
        "import sqlite3, sys; one = sqlite3.connect(sys.argv[1]); one.execute('PRAGMA user_version'); input('open')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holding, sandbox], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as application:
        assert application.stdout is not None
        application.stdout.read(len("open"))
        with pytest.raises(Refused, match=r"has the sandbox .* open"):
            sqlite.refresh(production, sandbox, read_rules(production))
        application.communicate("\n")

    assert rows(sandbox, "SELECT name FROM sqlite_schema") == [("old",)]


def test_a_source_that_is_no_database_is_named(production: Path, sandbox: Path) -> None:
    production.write_text("not even close, " * 100)

    with pytest.raises(StoreUnavailable) as refused:
        sqlite.refresh(production, sandbox, read_rules(production))

    assert str(refused.value) == (
        f"The source {production} could not be copied (file is not a database); the sandbox is as it was."
    )


def test_the_rules_of_the_guide_leave_no_secret_and_nothing_that_runs_and_copy_what_none_names(
    production: Path, sandbox: Path
) -> None:
    with closing(sqlite3.connect(production)) as connection:
        connection.executescript(APPLICATION)
    (example,) = re.findall(r"```toml\n(targets = [^`]*webhook[^`]*)```", GUIDE)
    (production.parent / "rules.toml").write_text(example, encoding="utf-8")

    sqlite.refresh(production, sandbox, read_rules(production, **{"/srv/sandbox": str(sandbox.parent)}))

    assert b"s3cret" not in sandbox.read_bytes()
    assert len({digest for (digest,) in rows(sandbox, "SELECT digest FROM api_token")}) == 2
    assert rows(sandbox, "SELECT url, secret FROM webhook") == [("https://webhook.invalid/", None)] * 2
    assert rows(sandbox, "SELECT enabled FROM schedule") == [(0,), (0,)]
    assert rows(sandbox, "SELECT state FROM outbox") == [("cancelled",)]
    assert rows(sandbox, "SELECT name FROM account") == [("Åse Berg",)]
    assert rows(sandbox, "SELECT email FROM customer WHERE id = 1") == [("ase@nordlys.example",)]


def test_a_keydesk_store_is_no_source_whatever_is_masked(
    sqlite_template: Path, production: Path, sandbox: Path
) -> None:
    old_sandbox(sandbox)
    before = sandbox.read_bytes()
    everything = rules.Rules((str(sandbox),), (rules.Rule("*", "*", "hash"),))

    with pytest.raises(Refused) as refused:
        sqlite.refresh(sqlite_template, sandbox, everything)

    assert str(refused.value) == (
        f"The source {sqlite_template} is a Keydesk store: the hashes of keys, the mails and the bills in it belong "
        "into no sandbox. Name the database of your own application; a Keydesk to try things out with is a new store "
        "(`keydesk init`). Nothing was refreshed."
    )
    assert sandbox.read_bytes() == before
    assert [path.name for path in sandbox.parent.iterdir()] == ["nordlys.db"]


def test_an_application_may_have_keys_of_its_own(production: Path, sandbox: Path) -> None:
    with closing(sqlite3.connect(production)) as connection, connection:
        connection.execute("CREATE TABLE api_key (digest TEXT)")

    assert sqlite.refresh(production, sandbox, read_rules(production)).columns == 5


def test_a_source_that_is_written_to_meanwhile_is_copied_as_it_was_at_one_instant(
    production: Path, sandbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_PAGES_AT_ONCE", 1)
    with closing(sqlite3.connect(production, isolation_level=None)) as application:
        application.execute("PRAGMA journal_mode = WAL")

        def write(*_state: object) -> None:
            application.execute("INSERT INTO visit (note) VALUES ('one more')")

        monkeypatch.setattr(sqlite, "_look_up", write)
        sqlite.refresh(production, sandbox, read_rules(production))

    assert rows(sandbox, "SELECT count(*) FROM visit") == [(1,)]
    assert rows(production, "SELECT count(*) > 5 FROM visit") == [(1,)]


def test_a_source_is_let_go_of_once_it_is_copied(
    production: Path, sandbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = sqlite.secrets.token_bytes

    def write(length: int) -> bytes:  # as masking begins
        with closing(sqlite3.connect(production, timeout=0, isolation_level=None)) as application:
            application.execute("INSERT INTO visit (note) VALUES ('one more')")
        return secret(length)

    monkeypatch.setattr(sqlite.secrets, "token_bytes", write)
    sqlite.refresh(production, sandbox, read_rules(production))

    assert rows(production, "SELECT count(*) FROM visit") == [(2,)]
    assert rows(sandbox, "SELECT count(*) FROM visit") == [(1,)]


def test_under_nohup_a_terminal_that_goes_ends_nothing(home: Home, production: Path, sandbox: Path) -> None:
    def hang_up_soon() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.kill(os.getpid(), signal.SIGHUP)

    call = ("refresher", "sqlite", "--source", production, "--target", sandbox)
    with closing(sqlite3.connect(production)) as connection:
        many = ((f"person{number}@nordlys.example",) for number in range(50_000))
        connection.executemany("INSERT INTO customer (email) VALUES (?)", many)
        connection.commit()
    with subprocess.Popen(
        [sys.executable, "-m", "keydesk", *map(str, call), "--mask", str(production.parent / "rules.toml")],
        preexec_fn=hang_up_soon,
        env=home.environment(),
    ) as refresher:
        while refresher.poll() is None:
            refresher.send_signal(signal.SIGHUP)

    assert refresher.returncode == 0
    assert sandbox.exists()


def test_nothing_that_is_not_masked_stays_when_the_worker_ends_it(home: Home, production: Path, sandbox: Path) -> None:
    with closing(sqlite3.connect(production)) as connection:
        many = ((f"person{number}@nordlys.example",) for number in range(300_000))
        connection.executemany("INSERT INTO customer (email) VALUES (?)", many)
        connection.commit()
    arguments = ("refresher", "sqlite", "--source", production, "--target", sandbox)
    rules_file = production.parent / "rules.toml"
    command = Command(
        (sys.executable, "-m", "keydesk", *map(str, arguments), "--mask", str(rules_file)), timedelta(minutes=1)
    )

    def has_begun() -> bool:
        return any(copy.stat().st_size > 1_000_000 for copy in sandbox.parent.glob(".refreshing-*/copy.db"))

    ended = refresh_command.run(command, {}, lambda: True, has_begun)

    assert ended == Ended("put back", "The command was ended because the worker stopped.")
    assert list(sandbox.parent.iterdir()) == []


def test_a_file_that_is_no_database_is_not_replaced(production: Path, sandbox: Path) -> None:
    sandbox.write_text("the accounts of 2026, " * 100)

    with pytest.raises(Refused, match="is no SQLite file"):
        sqlite.refresh(production, sandbox, read_rules(production))

    assert sandbox.read_text().startswith("the accounts")


def test_a_mask_that_breaks_a_rule_of_the_table_leaves_the_sandbox_as_it_was(production: Path, sandbox: Path) -> None:
    old_sandbox(sandbox)
    chosen = rules.Rules((f"{sandbox.parent}/*.db",), (rules.Rule("customer", "email", "fixed", "one@for.all"),))

    with pytest.raises(StoreUnavailable, match="UNIQUE constraint failed"):
        sqlite.refresh(production, sandbox, chosen)

    assert rows(sandbox, "SELECT name FROM sqlite_schema") == [("old",)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("targets = []", "needs targets"),
        ('targets = ["/x"]', "masks nothing"),
        ('targets = ["/x"]\nallow = true', "and nothing else"),
        (
            'targets = ["/x"]\n[[mask]]\ntable = "a"\ncolumn = "b"\nwith = "blur"',
            "must be one of fixed, mail, null, hash",
        ),
        ('targets = ["/x"]\n[[mask]]\ntable = "a"\ncolumn = "b"\nwith = "fixed"', "fixed needs a value"),
        ('targets = ["/x"]\n[[mask]]\ntable = "a"\nwith = "null"', "needs a table and a column"),
        (
            'targets = ["/x"]\n[[mask]]\ntable = "a"\ncolumn = "b"\nwiht = "null"',
            "rules.toml: [[mask]] number 1: wiht is not known; did you mean with?",
        ),
        (
            'targets = ["/x"]\n[[mask]]\ntable = "a"\ncolumn = "b"\nwith = "null"\nonly_if = 1',
            "[[mask]] number 1: only_if is not known; there are table, column, with, value.",
        ),
        ("targets = [", "are not TOML"),
    ],
)
def test_rules_that_cannot_be_read_are_told(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)

    with pytest.raises(FormatWrong) as wrong:
        rules.read(path)

    assert sentence in str(wrong.value)


@pytest.mark.parametrize("company", ["../production", "a/b", "", ".hidden", "a\nb", "å", None])
def test_a_companys_id_leads_nowhere_else(company: str | None) -> None:
    with pytest.raises(KeydeskError):
        rules.place("/srv/sandbox/{company}.db", company)


def test_one_column_that_is_masked_is_one(home: Home, production: Path) -> None:
    folder = production.parent
    mask = folder / "one.toml"
    mask.write_text(
        f'targets = ["{folder}/sandbox/*.db"]\n[[mask]]\ntable = "customer"\ncolumn = "email"\nwith = "mail"\n'
    )
    places = ("--source", production, "--target", folder / "sandbox" / "one.db")

    said = home.keydesk("refresher", "sqlite", *places, "--mask", mask)

    assert (said.status, said.out, said.err) == (0, f"{folder}/sandbox/one.db is fresh, 1 column masked.\n", "")


def test_the_command_takes_the_company_from_what_the_worker_says(home: Home, production: Path) -> None:
    folder = production.parent
    told = json.dumps({"company": "fjell-1001", "name": "Fjellbekk", "night": "2026-11-23", "attempt": 1})
    call = ("refresher", "sqlite", "--source", production, "--target", folder / "sandbox" / "{company}.db")

    said = home.keydesk(*call, "--mask", folder / "rules.toml", stdin=told)

    assert (said.status, said.err) == (0, "")
    assert said.out == f"{folder}/sandbox/fjell-1001.db is fresh, 5 columns masked.\n"
    assert len(rows(folder / "sandbox" / "fjell-1001.db", "SELECT * FROM customer")) == 3
