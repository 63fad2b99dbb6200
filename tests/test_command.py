"""What does the installed command do, say and leave behind? It is called in a home of its own, as its user calls it."""

import json
import os
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command import EXAMPLES, NOW, Home
from postgres_server import PostgresServer

from keydesk.command import main, parser
from keydesk.errands import mail
from store import database


def test_a_new_user_gets_from_an_empty_home_to_a_key_that_is_accepted_until_it_is_revoked(tmp_path: Path) -> None:
    home = Home(tmp_path)

    made = home.keydesk("init", "--vendor", "Fjord Software")
    assert (made.status, made.err) == (0, "")
    assert made.out.splitlines() == [
        f"The store {home.store} is made.",
        f"The pepper is in {home.pepper}. Back it up, apart from the store: without it no key works.",
        f"The settings are in {home.path}/.config/keydesk/keydesk.toml.",
        "It is the desk of Fjord Software; keys begin with kd.",
        "Next: `keydesk import` companies and users, `keydesk prices publish` what they pay, then `keydesk`.",
    ]
    imported = home.keydesk("import", *(EXAMPLES / f"{name}.csv" for name in ("companies", "users", "licences")))
    assert (imported.status, imported.err) == (0, "")
    assert imported.out.splitlines() == [
        "companies: 12 new, 0 changed, 0 unchanged",
        "users: 123 new, 0 changed, 0 unchanged",
        "licences: 22 new, 0 changed, 0 unchanged",
    ]
    priced = home.keydesk("prices", "publish", EXAMPLES / "prices.toml")
    assert (priced.status, priced.err, len(priced.out.splitlines())) == (0, "", 5)

    key = home.issue()
    yes = home.keydesk("key", "accept", "--environment", "prod", "--address", "192.0.2.7", stdin=f"{key.secret}\n")
    assert (yes.status, yes.err) == (0, "")
    assert json.loads(yes.out) == {
        "accepted": True,
        "company": "fjell-1001",
        "resource": "u-003",
        "rights": ["customers.write", "hours.write", "invoices.read", "projects.read"],
    }
    no = home.keydesk("key", "accept", "--environment", "sandbox", stdin=key.secret)
    assert (no.status, no.out, no.err) == (3, '{"accepted": false}\n', "")
    why = home.keydesk("key", "accept", "--environment", "sandbox", "--why", stdin=key.secret)
    assert (why.status, json.loads(why.out)) == (
        3,
        {
            "accepted": False,
            "reason": "wrong-environment",
            "why": "The key is not for the environment that was asked for; use a key that covers it.",
        },
    )

    shown = json.loads(home.keydesk("key", "show", key.key.handle).out)
    assert (shown["state"], shown["last_used_from"], shown["uses"]) == ("live", "192.0.2.7", 1)
    revoked = home.keydesk("key", "revoke", key.key.handle, "--reason", "left on a train")
    assert (revoked.status, revoked.err) == (0, "")
    assert revoked.out == f"{key.secret[:8]}…{key.secret[-4:]} is revoked. Nothing accepts it any more.\n"
    after = home.keydesk("key", "accept", "--environment", "prod", "--why", stdin=key.secret)
    assert (after.status, json.loads(after.out)["reason"]) == (3, "revoked")
    again = home.keydesk("key", "revoke", key.key.handle, "--reason", "left on a train")
    assert (again.status, again.out) == (1, "")

    assert home.keydesk("worker", "--once").status == 0
    backup = home.path / "copy.db"
    assert home.keydesk("backup", backup).status == 0
    assert home.keydesk("events", "verify").status == 0
    files = [path for path in home.path.rglob("*") if path.is_file()]
    assert {backup, home.store, home.pepper} <= set(files)
    middle = key.secret[8:-4]
    assert middle not in home.heard
    assert [path for path in files if middle.encode() in path.read_bytes()] == []


def test_a_key_on_the_command_line_is_refused_and_never_repeated(home: Home) -> None:
    key = home.issue()
    sentences = {
        ("key", "accept", "--environment", "prod", key.secret): "hand it over on standard input",
        (key.secret,): "hand it over on standard input",
        ("key", "accept", "--environment", key.secret): "hand it over on standard input",
        ("key", "show", key.secret): "a key itself never stands on a command line",
        ("key", "revoke", key.secret, "--reason", "lost"): "a key itself never stands on a command line",
        ("mail", "test", key.secret): "[key removed]",
    }

    for arguments, sentence in sentences.items():
        said = home.keydesk(*arguments)
        assert (said.status in {1, 2}, said.out) == (True, ""), arguments
        assert sentence in said.err
    assert key.secret[8:-4] not in home.heard


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("bogus",), "keydesk: VERB cannot be 'bogus' (choose from "),
        (("key",), "keydesk key: the following arguments are required: ACT. `keydesk key --help` says more.\n"),
        (("run", "x", "--as-of", "2026-13-01"), "keydesk run: --as-of: '2026-13-01' is not a date like 2026-12-01."),
        (("run", "x", "--as-of", "9999-12-31"), "name a day from 2000 to 2199. `keydesk run --help` says more.\n"),
        (("mail", "show", "x"), "keydesk mail show: id: 'x' is not a whole number below a thousand million."),
        (("mail", "show", "9" * 30), "is not a whole number below a thousand million."),
        (("--verbos",), "keydesk: unrecognized arguments: --verbos. `keydesk --help` says more.\n"),
        (("--setings", "x", "worker"), "keydesk: unrecognized arguments: --setings. `keydesk --help` says more.\n"),
        (("--settings", "x", "--on", "y"), "keydesk: unrecognized arguments: --on. `keydesk --help` says more.\n"),
        (("mail", "--on", "list"), "keydesk mail: unrecognized arguments: --on. `keydesk mail --help` says more.\n"),
        (("worker", "--onec"), "keydesk worker: unrecognized arguments: --onec. `keydesk worker --help` says more.\n"),
        (
            ("mail", "list", "--jsno"),
            "keydesk mail list: unrecognized arguments: --jsno. `keydesk mail list --help` says more.\n",
        ),
        (("\x1b[2J\u202e",), "cannot be '\\x1b[2J"),
    ],
)
def test_what_is_wrongly_asked_is_told_in_one_line(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)

    said = capsys.readouterr()
    assert (end.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert sentence in said.err
    assert said.err.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    "verb",
    [
        "", "desk", "worker", "demo", "init", "import", "prices", "prices check", "prices publish", "admin",
        "prices index", "prices list", "prices show",
        "invoice", "invoice rate", "invoice show", "invoice explain", "invoice preview", "invoice review",
        "invoice decide", "invoice release", "invoice credit", "invoice verify", "terms", "terms list", "terms add",
        "terms end",
        "admin add", "admin add-key", "admin remove-key", "admin disable", "admin list", "key", "key accept",
        "key show", "key revoke", "sandbox", "sandbox next", "sandbox done", "sandbox fail", "sandbox heartbeat",
        "run", "mail", "mail list", "mail show", "mail preview", "mail test", "events", "backup",
        "restore", "refresher", "refresher sqlite", "refresher postgres", "doctor", "ssh",
        "ssh authorized-keys", "ssh session",
    ],
)  # fmt: skip
def test_every_verb_has_a_page_of_help_that_fits_a_screen(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        main([*verb.split(), "--help"])

    page = capsys.readouterr().out
    assert end.value.code == 0
    assert page.startswith(f"usage: keydesk {verb}".rstrip())
    assert len(page.splitlines()) <= 36
    assert max(map(len, page.splitlines())) <= 80


@pytest.mark.parametrize(
    "kind",
    [
        "key_created", "key_expiry_changed", "key_revoked", "key_rotated", "integration_changed", "key_expiring",
        "key_expired", "sandbox_failed", "invoice_lines", "test_mail",
    ],
)  # fmt: skip
def test_every_kind_of_mail_can_be_seen_before_it_is_sent(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    html, eml = tmp_path / "mail.html", tmp_path / "mail.eml"

    for arguments in ([], ["--html", str(html), "--eml", str(eml)]):
        with pytest.raises(SystemExit) as end:
            main(["mail", "preview", kind, *arguments])
        assert end.value.code == 0

    said = capsys.readouterr().out
    subject = said.splitlines()[0].removeprefix("Subject: ")
    assert said.endswith(f"{html} is written.\n{eml} is written.\n")
    assert html.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert eml.read_bytes().count(b"\nSubject: ") == 1
    assert subject


def test_two_test_mails_of_one_second_are_two(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    given = parser().parse_args(["mail", "test", "ase@example.com"])

    for _ in range(2):
        mail.run(given, home.settings(), lambda: NOW)
        database.dispose()

    assert capsys.readouterr().out.count("A test mail to ase@example.com is in the outbox; ") == 2
    assert home.sql("SELECT recipient, state FROM email") == [("ase@example.com", "queued")] * 2


def test_mails_can_be_listed_and_read(home: Home) -> None:
    assert home.keydesk("mail", "list").out == "No mail was written yet.\n"
    assert home.keydesk("mail", "preview").out.splitlines()[0] == "key_created"
    queued = home.keydesk("mail", "test", "Ase@Example.COM")
    assert queued.out == (
        "A test mail to Ase@example.com is in the outbox; it waits there, since no relay is set. "
        "Set [mail] host and sender.\n"
    )

    listed = home.keydesk("mail", "list").out
    assert listed.split()[0] == "1"
    assert listed.split()[3:5] == ["queued", "Ase@example.com"]
    assert home.keydesk("mail", "list", "--state", "failed").out == "There is no such mail.\n"
    assert home.keydesk("mail", "list", "--kind", "test_mail", "state:queued", "to:ase").out == listed
    assert home.keydesk("mail", "list", "--company", "none").err.startswith("keydesk: There is no company with the id")
    said = json.loads(home.keydesk("mail", "list", "--limit", "1", "--json").out)
    assert (said["id"], said["state"], said["recipient"]) == (1, "queued", "Ase@example.com")
    assert (said["company"], said["sent_at"], said["waits_for_a_person"]) == (None, None, False)
    whole = json.loads(home.keydesk("mail", "show", "1", "--json").out)
    assert whole["headers"]["Subject"] == "[Fjord Software] Keydesk test mail"
    assert (whole["written"], whole["message_id"]) == ("as it would be written now", said["message_id"])
    assert "Keydesk" in whole["text"]
    shown = home.keydesk("mail", "show", "1").out
    assert "test_mail to Ase@example.com: queued  (as it would be written now)" in shown
    assert "\nSubject: [Fjord Software] Keydesk test mail\n" in shown
    missing = home.keydesk("mail", "show", "99")
    assert (missing.status, missing.err) == (
        1,
        "keydesk: There is no mail number 99; `keydesk mail list` shows the newest.\n",
    )


def test_a_backup_is_private_whole_and_never_written_over_anything(home: Home) -> None:
    copy = home.path / "new folder" / "copy.db"
    copy.parent.mkdir()

    made = home.keydesk("backup", copy)
    again = home.keydesk("backup", copy)

    assert (made.status, made.out.splitlines()[1]) == (
        0,
        f"The pepper is not in it: keep {home.pepper} too, somewhere else.",
    )
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert (again.status, again.err) == (1, f"keydesk: {copy} is there already; name another file.\n")
    verified = home.keydesk("events", "verify", KEYDESK_STORE_LOCATION=str(copy))
    assert (verified.status, " events, one unbroken chain.\n" in verified.out) == (0, True)


def test_an_audit_log_that_somebody_has_changed_is_found(home: Home) -> None:
    assert home.keydesk("events", "verify").status == 0
    home.sql("UPDATE event SET actor = 'somebody else' WHERE seq = 3")

    changed = home.keydesk("events", "verify")

    assert (changed.status, changed.out) == (
        3,
        "Event 3 was changed after it was written: its hash does not fit.\n",
    )


def test_the_worker_does_for_cron_what_is_due_and_says_each_fact_as_json(home: Home) -> None:
    home.issue(environment="all")

    once = home.keydesk("worker", "--once")

    facts = [json.loads(line) for line in once.out.splitlines()]
    assert (once.status, once.err) == (0, "")
    assert [facts[0]["fact"], facts[1]["fact"], facts[-1]["fact"]] == [
        "worker.started",
        "runs.planned",
        "worker.stopped",
    ]
    assert {fact["fact"] for fact in facts[2:-1]} == {"run.done"}


@pytest.mark.parametrize("arguments", [("--help",), ("mail", "preview", "key_created"), ("events", "verify")])
def test_a_reader_that_has_gone_is_no_fault(home: Home, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-m", "keydesk", *arguments],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=home.environment(),
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (141, b"")


def test_an_output_that_is_full_is_said(home: Home) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "keydesk", "events", "verify"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=home.environment(),
            check=False,
        )

    assert (done.returncode, done.stderr) == (
        1,
        b"keydesk: The output cannot be written: No space left on device.\n",
    )


def test_streams_that_the_caller_has_closed_are_no_fault(home: Home) -> None:
    def closing(arguments: str, redirection: str) -> tuple[int, bytes]:
        done = subprocess.run(
            ["/bin/sh", "-c", f'exec "{sys.executable}" -m keydesk {arguments} {redirection}'],
            capture_output=True,
            env=home.environment(),
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    assert closing("events verify", ">&-") == (0, b"")
    assert closing("mail show 99", "2>&-") == (1, b"")
    assert closing("key accept --environment prod", "<&-") == (3, b'{"accepted": false}\n')
    noise = home.path / "noise"
    noise.write_bytes(bytes(range(128, 256)))
    assert closing("key accept --environment prod", f'<"{noise}"') == (3, b'{"accepted": false}\n')


def test_ctrl_c_ends_it_quietly_with_nothing_changed(home: Home) -> None:
    before = home.counts()
    pipe = home.path / "users.csv"
    os.mkfifo(pipe)
    child = subprocess.Popen(
        [sys.executable, "-m", "keydesk", "import", str(pipe)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=home.environment(),
    )

    with pipe.open("wb"):  # opens once the import reads
        # Python misses one that comes in the instant before it begins to wait; a person presses again.
        while child.poll() is None:
            child.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                child.wait(5)
    out, err = child.communicate()

    assert (child.returncode, out, err) == (130, b"", b"")
    assert home.counts() == before


def test_an_unexpected_error_is_one_line_without_values(home: Home) -> None:
    home.sql("UPDATE setting SET value = 'hunter2 is no JSON' WHERE name = 'vendor'")

    said = home.keydesk("run", "expiry-notices", "--dry-run")

    assert said.status == 70
    assert said.err.startswith("keydesk: This is a fault of Keydesk 0.1.0; what was being changed was undone. Report: ")
    assert (said.err.count("\n"), "Traceback" in said.err, "hunter2" in said.err) == (1, False, False)
    assert " at " in said.err


def test_it_works_in_a_terminal_that_knows_only_ascii(home: Home) -> None:
    said = home.keydesk("mail", "preview", "key_expiring", LANG="C", PYTHONIOENCODING="ascii")

    assert (said.status, said.err) == (0, "")
    assert "Hello \\xc5se Berg," in said.out


def test_the_same_command_works_on_postgresql(postgres: PostgresServer, tmp_path: Path) -> None:
    postgres.sql("CREATE DATABASE command_smoke")
    home = Home(tmp_path, has_driver=True)
    file = home.path / "keydesk.toml"
    file.write_text(f'[store]\nlocation = "{postgres.url("command_smoke")}"\n', encoding="utf-8")

    made = home.keydesk("--settings", file, "init", "--vendor", "Fjord Software")
    assert (made.status, made.err) == (0, "")
    variables = {"KEYDESK_SETTINGS": str(file)}
    imported = home.keydesk("import", EXAMPLES / "example.json", **variables)
    assert (imported.status, imported.out.splitlines()[0]) == (0, "companies: 2 new, 0 changed, 0 unchanged")
    assert home.keydesk("prices", "publish", EXAMPLES / "prices.toml", **variables).status == 0
    assert home.keydesk("worker", "--once", **variables).status == 0
    assert home.keydesk("events", "verify", **variables).status == 0
    unknown = home.keydesk("key", "accept", "--environment", "prod", "--why", stdin="x", **variables)
    assert (unknown.status, json.loads(unknown.out)["why"]) == (3, "This is not written like a key.")
    refused = home.keydesk("backup", home.path / "copy.db", **variables)
    assert (refused.status, refused.err) == (1, "keydesk: This store is PostgreSQL: back it up with `pg_dump -Fc`.\n")
    postgres.sql("DROP DATABASE command_smoke WITH (FORCE)")


def test_an_old_day_can_be_done_late_and_a_day_to_come_only_told(home: Home) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()

    told = home.keydesk("run", "expiry-notices", "--as-of", tomorrow, "--dry-run")
    refused = home.keydesk("run", "expiry-notices", "--as-of", tomorrow)

    assert (told.status, told.out) == (0, "Nothing to do. Nothing was changed.\n")
    assert (refused.status, refused.err) == (
        1,
        f"keydesk: {tomorrow} is not over everywhere; a day that has not been can only be told (--dry-run).\n",
    )
