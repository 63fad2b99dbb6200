"""What lives in the demo's world, is it the same each time, and does nothing of it stay behind?"""

import io
import os
import signal
import smtplib
import stat
import subprocess
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from keydesk.demonstration import building, names
from keydesk.errands import demo
from keydesk.settings import Settings
from store import database, events, invoice_documents, invoice_preview, invoice_verify, migrations, sellers
from store.database import run_sql, session
from store.errors import Refused
from store.exports import parties
from store.listings import keys as listings
from store.listings.change_number import change_number
from store.peppers import Peppers
from store.tables import Company, ContractTerm, Email, Key, LastUse, User

NOW = datetime(2026, 11, 23, 16, 3, 5, tzinfo=UTC)
PEPPERS = Peppers({1: b"p" * 32})
SMALL = [firm for firm in names.FIRMS if firm.id in {"c-1003", "c-1004", "c-1008", "c-1012", "c-1033"}]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "world"
    demo.run(Namespace(build_only=folder, seed=1), Settings(), lambda: NOW)
    database.dispose()
    sellers.use(None)
    return folder


@pytest.fixture
def world(built: Path) -> Iterator[Path]:
    database.bind(str(built / "keydesk.db"))
    with session():
        yield built
    database.dispose()


def test_the_whole_world_is_there(world: Path) -> None:
    assert Company.select().count() == 40
    assert 2000 < User.select().count() < 4000
    assert 300 < Key.select().count() < 600
    assert LastUse.select().count() > 250
    assert events.verify().fault is None


def test_keys_are_in_every_state_that_a_key_can_be_in(world: Path) -> None:
    states: Counter[str] = Counter()
    left: set[int] = set()
    for key in listings.rows([key.id for key in Key.select(Key.id)], NOW).values():
        states[f"{key.kind} {key.state}"] += 1
        if key.state == "expiring":
            left.add(key.days_left)

    assert {state for state, count in states.items() if count >= 3} >= {
        "standard live",
        "standard expiring",
        "standard expired",
        "standard retiring",
        "standard retired",
        "standard revoked",
        "standard off",
        "test expiring",
        "test expired",
    }
    assert left >= {0, 1, 3, 14}


def test_some_keys_are_refused_for_reasons_that_are_not_their_own(world: Path) -> None:
    rows = run_sql(
        "SELECT sum(CASE WHEN u.licensed_at IS NULL AND u.deactivated_at IS NULL THEN 1 ELSE 0 END), "
        "sum(CASE WHEN u.deactivated_at IS NOT NULL THEN 1 ELSE 0 END), "
        "sum(CASE WHEN c.deactivated_at IS NOT NULL THEN 1 ELSE 0 END) "
        "FROM api_key k JOIN company_user u ON u.id = k.resource_id JOIN company c ON c.id = k.company_id",
    ).fetchone()

    assert all(count > 0 for count in rows)


def test_months_and_lines_are_in_every_state_and_final_ones_are_what_the_facts_give(world: Path) -> None:
    months = run_sql(
        "SELECT month, revision, state, count(*) FROM invoice_month GROUP BY month, revision, state "
        "ORDER BY month, revision, state"
    ).fetchall()

    assert [tuple(row) for row in months] == [
        ("2026-08", 1, "final", 40),
        ("2026-09", 1, "final", 40),
        ("2026-09", 2, "final", 1),
        ("2026-10", 1, "final", 37),
        ("2026-10", 1, "held", 2),
        ("2026-10", 1, "parked", 1),
    ]
    assert {tuple(row) for row in run_sql("SELECT DISTINCT line_key, status FROM invoice_line").fetchall()} == {
        ("access", "ok"), ("access/t1", "ok"), ("access/t2", "ok"), ("extra_key", "ok"), ("extra_test_key", "ok"),
        ("credit:access", "ok"), ("overuse_requests", "approved"), ("overuse_requests", "waived"),
        ("overuse_requests", "needs_review"), ("overuse_data", "approved"),
    }  # fmt: skip
    assert [drift for month in ("2026-08", "2026-09", "2026-10") for drift in invoice_verify.verify(month)] == []


def test_prices_have_a_next_version_terms_are_agreed_and_usage_that_came_late_waits_for_the_next_draft(
    world: Path,
) -> None:
    versions = run_sql("SELECT currency, effective_from FROM price_list WHERE version = 2 ORDER BY currency").fetchall()
    assert [tuple(row) for row in versions] == [("NOK", "2026-11-01"), ("SEK", "2027-01-01")]
    assert {row.kind for row in ContractTerm.select()} == {"discount_percent", "unit_price", "included"}
    late = invoice_preview.so_far(Company.get(Company.external_id == "c-1017").id, NOW)
    assert "adj:2026-10:overuse_requests" in {line.line_key for line in late.lines}


def test_its_e_invoices_lack_nothing(world: Path) -> None:
    documents = [document for document in invoice_documents.documents("2026-10") if document.buyer.endpoint]

    assert len(documents) > 25
    assert {tuple(parties.buyer_faults(document)) for document in documents} == {()}
    assert {document.seller and document.seller.party.name for document in documents} == {"Fjord Software AS"}


def test_no_run_of_its_worker_has_failed_and_mails_and_sandboxes_are_as_they_come(world: Path) -> None:
    assert {row[0] for row in run_sql("SELECT DISTINCT state FROM run").fetchall()} == {"done"}
    assert {row[0] for row in run_sql("SELECT DISTINCT state FROM refresh_marker").fetchall()} >= {
        "done", "failed", "held",
    }  # fmt: skip
    kinds = {row[0] for row in run_sql("SELECT kind FROM sandbox_hold WHERE ended_at IS NULL").fetchall()}
    assert kinds == {"hold", "quarantine"}
    sent = [mail for mail in Email.select() if mail.state == "sent"]
    assert {mail.kind for mail in sent} == {
        "key_created", "key_expiry_changed", "key_revoked", "key_rotated", "integration_changed",
        "key_expiring", "key_expired", "sandbox_failed", "invoice_lines",
    }  # fmt: skip
    assert all(mail.subject for mail in sent)
    assert len(list((world / "mails").iterdir())) > 30


def test_the_world_is_for_its_owners_eyes_only(world: Path) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (world, *world.iterdir())}

    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}


def test_a_folder_that_holds_something_is_not_built_in(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()

    with pytest.raises(Refused, match="is not empty; name a new folder"):
        demo.run(Namespace(build_only=tmp_path, seed=1), Settings(), lambda: NOW)

    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_without_a_terminal_the_desk_of_the_demo_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    with pytest.raises(Refused, match="needs a terminal"):
        demo.run(Namespace(build_only=None, keep=False, seed=1), Settings(), lambda: NOW)


def seen() -> dict[str, Any]:
    """All that does not depend on chance beyond the seed."""
    tables = {
        "company": "external_id, name, time_zone, created_at, deactivated_at",
        "company_user": "company_id, external_id, name, email, rights, deactivated_at, licensed_at",
        "api_key": "company_id, resource_id, label, environment, kind, created_at, expires_on, ends_at, revoked_at",
        "last_use": "key_id, at, address, uses",
        "notice": "key_id, threshold, recipient, state",
        "email": "kind, recipient, state, queued_at",
        "refresh_marker": "company_id, night, state, message",
        "usage_day": "company_id, day, environment, requests, bytes",
        "invoice_month": "company_id, month, revision, state, net_minor, error",
        "invoice_line": "company_id, month, line_key, quantity, net_minor, status",
        "event": "at, actor, act, company_id",
    }
    return {
        name: sorted(tuple(map(str, row)) for row in run_sql(f"SELECT {columns} FROM {name}").fetchall())
        for name, columns in tables.items()
    }


@pytest.fixture(scope="module")
def another_world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    database.bind(str(tmp_path_factory.mktemp("another") / "keydesk.db"))
    migrations.migrate(NOW)
    with session():
        building.build(NOW, PEPPERS, seed=7, firms=SMALL)
        found = seen()
    database.dispose()
    return found


def test_the_same_seed_and_instant_give_the_same_world_on_both_databases(
    another_world: dict[str, Any], empty_store: str
) -> None:
    building.build(NOW, PEPPERS, seed=7, firms=SMALL)

    assert seen() == another_world


@pytest.mark.parametrize("today", [date(2027, 1, 1), date(2028, 2, 29), date(2027, 3, 31)])
def test_the_world_can_be_built_on_any_day(tmp_path: Path, today: date) -> None:
    now = datetime(today.year, today.month, today.day, 0, 30, tzinfo=UTC)
    database.bind(str(tmp_path / "keydesk.db"))
    migrations.migrate(now)

    with session():
        building.build(now, PEPPERS, firms=SMALL[:2])
        assert change_number() is not None
        newest = run_sql("SELECT max(at) FROM event").fetchone()[0]
    database.dispose()

    assert newest <= int(now.timestamp())


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "keydesk.demonstration.mail_catcher", str(os.getpid()), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        yield process
        process.terminate()


def test_the_mail_catcher_keeps_each_mail_byte_by_byte(catcher: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert catcher.stdout is not None
    port = int(catcher.stdout.readline())
    mail = "Subject: 名\r\n\r\n.a line that begins with a dot\r\n..\r\nend\r\n".encode()

    with smtplib.SMTP("127.0.0.1", port, timeout=10) as relay:
        refused = relay.sendmail("keys@fjord.example", ["ase@nordlys.example"], mail)
        relay.sendmail("keys@fjord.example", ["bo@nordlys.example"], b"Subject: two\r\n\r\n")
        unknown = relay.docmd("TURN")

    assert (refused, unknown) == ({}, (500, b"not known here"))
    assert (tmp_path / "00001.eml").read_bytes() == mail
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00001.eml", "00002.eml"]


def test_the_mail_catcher_ends_with_the_process_that_started_it_even_when_that_is_killed(tmp_path: Path) -> None:
    start_and_wait = (
        "import os, subprocess, sys\n"
        "catcher = 'keydesk.demonstration.mail_catcher'\n"
        "subprocess.Popen([sys.executable, '-m', catcher, str(os.getpid()), sys.argv[1]]).wait()"
    )
    with subprocess.Popen([sys.executable, "-c", start_and_wait, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()

        parent.send_signal(signal.SIGKILL)

        assert parent.stdout.read() == b""  # the end of the pipe: nobody holds it any more
