"""What if prices or companies change in the middle of an invoice run, when some months are written and some are not?"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cast import LONG_AGO, OLAV, company, enable, user
from test_at_once import at_once
from test_invoices import PRICES

from jobs import invoice_lines
from store import installation, months_owed, prices
from store.database import session
from store.errors import Refused
from store.installation import Installation
from store.runs import RunRow
from store.tables import Company, Email, Event, InvoiceLine, InvoiceMonth

DRAFTS, FINALS = datetime(2026, 12, 1, 2, tzinfo=UTC), datetime(2026, 12, 4, 2, tzinfo=UTC)
END_OF_NOVEMBER = {
    "Europe/Oslo": datetime(2026, 11, 30, 23, tzinfo=UTC),
    "Europe/Helsinki": datetime(2026, 11, 30, 22, tzinfo=UTC),
}
OLD, NEW = 30000, 36000  # 12 licences at 25.00, and at 30.00


@pytest.fixture
def companies(store_location: str, monkeypatch: pytest.MonkeyPatch) -> list[Company]:
    """Six of them, of which two share a transaction; November costs each of them 300."""
    monkeypatch.setattr(months_owed, "TOGETHER", 2)
    with session():
        installation.set_up(Installation(vendor="Fjord Software"), LONG_AGO)
        prices.publish(OLAV, PRICES, LONG_AGO)
        made = [company(f"c{number}", f"Company {number}") for number in range(6)]
        for each in made:
            enable(each, user(each, "ase", "Åse Berg"))
        Email.delete().execute()
        return made


@pytest.fixture
def in_session(companies: list[Company]) -> Iterator[list[Company]]:
    with session():
        yield companies


def run(job: str, zone: str = "Europe/Oslo") -> Iterator[int]:
    now = DRAFTS if job == "drafts" else FINALS
    bounds = {"end": int(END_OF_NOVEMBER[zone].timestamp())}
    row = RunRow(1, job, zone, "2026-11", "running", 1, None, bounds, now, now)
    return invoice_lines.draft(row, now) if job == "drafts" else invoice_lines.finalise(row, now)


def publish(first_day: str, now: datetime) -> list[str]:
    """The next version, in which access costs 30.00 and not 25.00."""
    table: dict[str, Any] = PRICES["price_list"][0]
    items = {**table["items"], "access": {**table["items"]["access"], "price": "30.00"}}
    return prices.publish(
        OLAV, {"price_list": [{**table, "version": 2, "effective_from": first_day, "items": items}]}, now
    )


def months() -> list[tuple[str, int]]:
    """State and total, by company."""
    return [(row.state, row.net_minor) for row in InvoiceMonth.select().order_by(InvoiceMonth.company)]


def each_is_written_once() -> bool:
    """Each month has its one line, and each final one its one event and its one mail."""
    final = InvoiceMonth.select().where(InvoiceMonth.state == "final").count()
    lines = [(row.company_id, row.line_key, row.net_minor) for row in InvoiceLine.select()]
    totals = [(row.company_id, "access", row.net_minor) for row in InvoiceMonth.select()]
    told = Event.select().where(Event.act == "invoice.final").count(), Email.select().count()
    return sorted(lines) == sorted(totals) and told == (final, final)


def test_a_price_list_published_in_the_middle_of_the_drafts_rates_every_final_month(in_session: list[Company]) -> None:
    drafts = run("drafts")
    next(drafts)
    publish("2026-11-01", DRAFTS)
    list(drafts)
    half = months()
    changed_again = sum(run("drafts"))

    list(run("finals"))

    assert half == [("draft", OLD)] * 2 + [("draft", NEW)] * 4
    assert changed_again == 2
    assert months() == [("final", NEW)] * 6
    assert each_is_written_once()


def test_a_price_list_cannot_begin_in_a_month_of_which_only_the_first_are_final(in_session: list[Company]) -> None:
    list(run("drafts"))
    finals = run("finals")
    next(finals)

    with pytest.raises(Refused, match="would begin in 2026-11, but 2026-11 is final already"):
        publish("2026-11-01", FINALS)
    publish("2026-12-01", FINALS)
    list(finals)

    assert months() == [("final", OLD)] * 6
    assert each_is_written_once()


def test_a_price_list_waits_for_the_months_that_are_just_becoming_final_and_is_refused(
    companies: list[Company],
) -> None:
    with session():
        list(run("drafts"))

    told = at_once(lambda: next(run("finals")), lambda: publish("2026-11-01", FINALS))

    assert told == (
        "Version 2 of API in NOK would begin in 2026-11, but 2026-11 is final already; let it begin with a later month."
    )


def test_months_wait_for_a_price_list_that_is_just_being_published_and_become_final_by_it(
    companies: list[Company],
) -> None:
    with session():
        list(run("drafts"))

    at_once(lambda: publish("2026-11-01", FINALS), lambda: list(run("finals")))

    with session():
        assert months() == [("final", NEW)] * 6
        assert each_is_written_once()


def test_a_company_that_leaves_in_the_middle_of_a_run_owes_the_whole_month_before_once(
    in_session: list[Company],
) -> None:
    for job, now, leaving in (
        ("drafts", DRAFTS, companies_of(in_session, 0, 3)),
        ("finals", FINALS, companies_of(in_session, 1, 4)),
    ):
        running = run(job)
        next(running)
        Company.update(deactivated_at=now).where(Company.id.in_(leaving)).execute()
        list(running)

    assert months() == [("final", OLD)] * 6
    assert each_is_written_once()


def companies_of(all_of_them: list[Company], *places: int) -> list[int]:
    return [all_of_them[place].id for place in places]


def test_a_company_that_is_found_to_have_left_before_the_month_owes_nothing_for_it(in_session: list[Company]) -> None:
    drafts = run("drafts")
    next(drafts)
    left = companies_of(in_session, 0, 3)
    Company.update(deactivated_at=DRAFTS - timedelta(days=60)).where(Company.id.in_(left)).execute()
    list(drafts)
    half = months()

    list(run("finals"))

    assert half == [("draft", OLD)] * 3 + [("draft", 0)] + [("draft", OLD)] * 2
    assert months() == [("final", 0), *[("final", OLD)] * 2, ("final", 0), *[("final", OLD)] * 2]


def test_a_company_that_moves_to_another_zone_in_the_middle_of_a_run_owes_the_month_once(
    in_session: list[Company],
) -> None:
    list(run("drafts", "Europe/Helsinki"))
    drafts = run("drafts")
    next(drafts)
    moved = companies_of(in_session, 0, 3)
    Company.update(time_zone="Europe/Helsinki").where(Company.id.in_(moved)).execute()
    list(drafts)
    owed = len(months())

    list(run("drafts", "Europe/Helsinki"))
    for zone in ("Europe/Helsinki", "Europe/Oslo"):
        list(run("finals", zone))

    assert owed == 5
    assert months() == [("final", OLD)] * 6
    assert each_is_written_once()
