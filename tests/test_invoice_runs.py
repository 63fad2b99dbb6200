"""Is a month written once, whoever writes it, however often, and alike on both databases?"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from billing_process import NOW
from cast import LONG_AGO, OLAV, company, enable, key_of, user
from hypothesis import HealthCheck, given, settings
from peewee import IntegrityError
from postgres_server import PostgresServer
from test_invoices import PRICES
from test_rating_properties import MONTH, companies
from test_rating_properties import PRICES as LISTS
from worker_log import Said
from written_facts import write_price_lists

from jobs.json_log import JsonLog
from jobs.schedule import TIMETABLE
from jobs.worker import Worker
from store import database, installation, invoices, migrations, prices
from store.database import run_sql, writing
from store.errors import Refused
from store.installation import Installation
from store.rules import calendar
from store.rules.rating import CompanyFacts, Policy, rate
from store.tables import (
    Company,
    ContractTerm,
    Email,
    Event,
    Integration,
    IntegrationSpan,
    InvoiceLine,
    InvoiceMonth,
    Key,
    KeySpan,
    Licence,
    UsageBatch,
    UsageDay,
    User,
)

HERE = Path(__file__).parent
COMPANIES = 30


@pytest.fixture
def expected(empty_store: str) -> list[tuple[str, str, int]]:
    """Thirty companies of one zone, each with as many licences as its number; what November costs each, by the rule."""
    with writing():
        installation.set_up(Installation(vendor="Fjord Software"), LONG_AGO)
        prices.publish(OLAV, PRICES, LONG_AGO)
        for number in range(1, COMPANIES + 1):
            made = company(f"c{number:02}", f"Company {number}", licences=1 + number % 3)
            owner = user(made, "ase", "Åse Berg")
            enable(made, owner)
            for _ in range(number % 4):
                key_of(owner)
        Email.delete().execute()
    return sorted(
        (row.external_id, line.line_key, line.net_minor)
        for row in Company.select()
        for line in invoices.rate(row.id, "2026-11", NOW["drafts"]).lines
    )


def written() -> list[tuple[str, str, int]]:
    rows = InvoiceLine.select(InvoiceLine, Company).join(Company)
    return sorted((row.company.external_id, row.line_key, row.net_minor) for row in rows)


def process(location: str, job: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "billing_process.py"), location, job],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )


def ended(child: subprocess.Popen[str]) -> int:
    """How many companies' months it wrote."""
    out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (0, "")
    return int(out)


def once_final() -> tuple[int, int, int]:
    return (
        InvoiceMonth.select().where(InvoiceMonth.state == "final").count(),
        Event.select().where(Event.act == "invoice.final").count(),
        Email.select().count(),
    )


def test_two_at_once_and_a_third_afterwards_write_each_month_once(
    empty_store: str, expected: list[tuple[str, str, int]]
) -> None:
    for job in ("drafts", "finals"):
        both = [process(empty_store, job) for _ in range(2)]
        shares = [ended(child) for child in both]
        third = ended(process(empty_store, job))

        assert (sum(shares), third) == (COMPANIES, 0)
        assert written() == expected
    assert once_final() == (COMPANIES, COMPANIES, COMPANIES)


def test_a_run_again_looks_only_at_those_of_whom_something_was_learned_since(
    empty_store: str, expected: list[tuple[str, str, int]]
) -> None:
    Company.update(created_at=datetime(2026, 11, 1, tzinfo=UTC)).execute()
    timetable = [job for job in TIMETABLE if job.name == "invoice-lines"]
    worker = Worker(log=JsonLog(Said()), timetable=timetable, version="0.1.0")
    worker.once(NOW["drafts"])
    learned, later = NOW["drafts"] + timedelta(hours=4), NOW["drafts"] + timedelta(hours=5)
    first = Company.get(Company.external_id == "c01")
    key_of(User.get(User.company == first), now=learned)

    run_sql("UPDATE run SET state = 'due'")
    worker.once(later)
    worker.end(later)

    looked_at = {row.company_id: row.rated_at for row in InvoiceMonth.select() if row.rated_at != NOW["drafts"]}
    assert (looked_at, InvoiceMonth.select().count()) == ({first.id: later}, COMPANIES)
    assert written() == expected


def test_the_database_itself_refuses_to_change_what_is_final(
    empty_store: str, expected: list[tuple[str, str, int]]
) -> None:
    (first, second) = Company.select().where(Company.external_id.in_(["c01", "c02"])).order_by(Company.id)
    invoices.finalise_month(first.id, "2026-11", NOW["finals"])
    invoices.draft_month(second.id, "2026-11", NOW["finals"])
    before = written()

    for statement in (
        "UPDATE invoice_line SET net_minor = 0 WHERE company_id = ?",
        "UPDATE invoice_line SET month = '2026-12' WHERE company_id = ?",
        "UPDATE invoice_line SET status = 'waived' WHERE company_id = ?",
        "DELETE FROM invoice_line WHERE company_id = ?",
        "UPDATE invoice_month SET net_minor = 0 WHERE company_id = ?",
        "UPDATE invoice_month SET state = 'draft' WHERE company_id = ?",
        "DELETE FROM invoice_month WHERE company_id = ?",
    ):
        with (
            pytest.raises(IntegrityError, match="A final month is never changed; credit it and bill it again"),
            writing(),
        ):
            run_sql(statement, (first.id,))
    line = InvoiceLine.get(InvoiceLine.company == second)
    with pytest.raises(IntegrityError, match="A final month is never changed"), writing():
        InvoiceLine.update(company=first, line_key="slipped in").where(InvoiceLine.id == line.id).execute()
    columns = {**line.__data__, "id": None, "company": first.id, "line_key": "slipped in"}
    with pytest.raises(IntegrityError, match="A final month is never changed"), writing():
        InvoiceLine.insert({name: value for name, value in columns.items() if value is not None}).execute()

    assert written() == before
    InvoiceLine.update(transfer="transferred").execute()
    run_sql("DELETE FROM invoice_line WHERE company_id = ?", (second.id,))
    run_sql("DELETE FROM invoice_month WHERE company_id = ?", (second.id,))
    assert {row.transfer for row in InvoiceLine.select()} == {"transferred"}


def test_a_month_that_is_not_over_is_not_drafted(empty_store: str, expected: list[tuple[str, str, int]]) -> None:
    first = Company.get(Company.external_id == "c01")

    assert not invoices.draft_month(first.id, "2026-12", NOW["drafts"])

    parked = InvoiceMonth.get()
    assert (parked.state, parked.error) == (
        "parked",
        "2026-12 is not over in Europe/Oslo; look at its preview until then.",
    )


# Both databases


@pytest.fixture(scope="module")
def both_stores(
    postgres: PostgresServer, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    postgres.sql("CREATE DATABASE both_stores TEMPLATE template_keydesk STRATEGY file_copy")
    locations = [str(tmp_path_factory.mktemp("both") / "keydesk.db"), postgres.url("both_stores")]
    for location in locations:
        database.bind(location)
        migrations.migrate(LONG_AGO)
        with database.session():
            installation.set_up(Installation(vendor="Fjord Software"), LONG_AGO)
            write_price_lists()
        database.dispose()
    yield locations
    postgres.sql("DROP DATABASE both_stores WITH (FORCE)")


def write_rows(facts: CompanyFacts, number: int) -> Company:
    made = company(f"c{number}", "Nordlys AS", currency=facts.currency)
    Company.update(vat_rate=str(facts.vat_rate)).where(Company.id == made.id).execute()
    Licence.delete().where(Licence.company == made).execute()
    for at, licences in {fact.at: fact.count for fact in facts.licences}.items():
        Licence.create(company=made, at=at, licences=licences, recorded_at=at)
    access = Integration.create(company=made, code="api_access", enabled_at=None)
    for span in facts.access:
        IntegrationSpan.create(integration=access, started_at=span.start, ended_at=span.end)
    owners = {name: user(made, f"r{name}", "Åse") for name in sorted({str(key.resource) for key in facts.keys})}
    ids: dict[Any, int] = {}
    for key in facts.keys:
        row = Key.create(
            company=made,
            resource=owners[str(key.resource)],
            handle=f"{number} {key.id}",
            label="x",
            folded="x",
            environment="prod",
            kind=key.kind,
            digest=f"{number} {key.id}".encode(),
            pepper_version=1,
            first="kdp_0000",
            last="0000",
            created_at=key.created_at,
            created_by="olav",
            expires_on=key.created_at.date(),
            expiry_set_on=key.created_at.date(),
            lifetime_days=1,
            ends_at=key.created_at,
            rotated_from=ids.get(key.rotated_from),
        )
        ids[key.id] = row.id
        for start, end in dict(key.spans).items():
            KeySpan.create(key=row, started_at=start, ended_at=end)
    zone = calendar.zone(facts.zone)
    for place, used in enumerate(facts.usage):
        batch = UsageBatch.create(source=made.external_id, batch=place, received_at=used.hour, rows=1, rejected=0)
        owner = Key.select().where(Key.company == made).first() or key_of(user(made, "any", "Any"))
        UsageDay.insert(
            batch=batch,
            company=made,
            key=owner,
            day=calendar.local_day(used.hour, zone),
            environment=used.environment,
            requests=used.requests,
            bytes=used.bytes,
        ).execute()
    for term in facts.terms:
        ContractTerm.create(
            company=made,
            line=term.line,
            kind=term.kind,
            value=str(term.value),
            first_month=f"{term.start:%Y-%m}",
            reference=term.reference,
        )
    return made


def with_sound_rows(facts: CompanyFacts) -> CompanyFacts:
    """Without what no table can hold: two licence numbers or two spans of one instant, usage without a key."""
    licences = {fact.at: fact for fact in facts.licences}
    keys = tuple(
        replace(key, spans=tuple(dict(key.spans).items()), rotated_from=key.rotated_from) for key in facts.keys
    )
    return replace(
        facts,
        licences=tuple(licences.values()),
        keys=keys,
        usage=facts.usage if keys else (),
        access_invoiced_elsewhere=False,
    )


numbers = count()


@given(facts=companies.map(with_sound_rows))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_company_is_invoiced_alike_on_both_databases_and_as_the_rule_says(
    both_stores: list[str], facts: CompanyFacts
) -> None:
    now = datetime(2026, 4, 1, 12, tzinfo=UTC)
    given, number = [], next(numbers)
    for location in both_stores:
        database.bind(location)
        with database.session():
            made = write_rows(facts, number)
            invoices.draft_month(made.id, MONTH, now)
            month = InvoiceMonth.get(InvoiceMonth.company == made)
            lines = list(InvoiceLine.select().where(InvoiceLine.company == made).order_by(InvoiceLine.id))
            stored = [
                {name: value for name, value in row.__data__.items() if name not in {"id", "company"}}
                for row in (month, *lines)
            ]
        database.dispose()
        given.append((stored, month, lines))

    (stored, month, lines), (other, _, _) = given
    without_ids = [[{**row, "explain": None, "facts_hash": None} for row in each] for each in (stored, other)]
    assert without_ids[0] == without_ids[1]
    if month.state == "parked":
        with pytest.raises(Refused, match=re.escape(month.error)):
            rate(facts, MONTH, LISTS, Policy(), now)
        return
    invoice = rate(facts, MONTH, LISTS, Policy(), now)
    assert [(row.line_key, row.quantity, row.unit_price, row.net_minor, row.because, row.status) for row in lines] == [
        (line.line_key, line.quantity, line.unit_price, line.net_minor, line.because, line.status)
        for line in invoice.lines
    ]
    assert (month.net_minor, month.vat_minor, month.gross_minor) == (
        invoice.net_minor,
        invoice.vat_minor,
        invoice.gross_minor,
    )
