"""Are the stored lines of a month what the facts in the store give, once, and final when they are final?"""

import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cast import LONG_AGO, NOON, OLAV, PEPPERS, Cast, arrive, enable, key_of

from store import invoices, keys, prices
from store.errors import FormatWrong, Refused
from store.rules import expiry
from store.rules.calendar import zone
from store.tables import (
    Company,
    ContractTerm,
    Email,
    Event,
    InvoiceLine,
    InvoiceMonth,
    Licence,
    PriceList,
)

PRICES = tomllib.loads((Path(__file__).parent.parent / "examples" / "prices.toml").read_text(encoding="utf-8"))
FIRST_OF_DECEMBER = datetime(2026, 12, 1, 2, tzinfo=UTC)


@pytest.fixture
def cast(empty_store: str) -> Cast:
    arrived = arrive()
    prices.publish(OLAV, PRICES, LONG_AGO)
    enable(arrived.nordlys, arrived.ase)
    Email.delete().execute()
    return arrived


def test_drafting_again_changes_nothing(cast: Cast) -> None:
    first = invoices.draft_month(cast.nordlys.id, "2026-11", FIRST_OF_DECEMBER)
    again = invoices.draft_month(cast.nordlys.id, "2026-11", FIRST_OF_DECEMBER + timedelta(hours=1))

    assert (first, again) == (True, False)
    assert [line.rated_at for line in InvoiceLine.select()] == [FIRST_OF_DECEMBER]


def test_a_draft_follows_the_facts(cast: Cast) -> None:
    invoices.draft_month(cast.nordlys.id, "2026-11", FIRST_OF_DECEMBER)
    Licence.create(company=cast.nordlys, at=NOON, licences=14, recorded_at=FIRST_OF_DECEMBER)

    invoices.draft_month(cast.nordlys.id, "2026-11", FIRST_OF_DECEMBER + timedelta(hours=1))

    assert [(line.line_key, line.quantity, line.net_minor) for line in InvoiceLine.select()] == [
        ("access", "14", 35000)
    ]


def test_a_final_month_is_never_changed(cast: Cast) -> None:
    invoices.draft_month(cast.nordlys.id, "2026-11", FIRST_OF_DECEMBER)
    assert invoices.finalise_month(cast.nordlys.id, "2026-11", FIRST_OF_DECEMBER)
    Licence.create(company=cast.nordlys, at=NOON, licences=14, recorded_at=FIRST_OF_DECEMBER)

    assert not invoices.draft_month(cast.nordlys.id, "2026-11", FIRST_OF_DECEMBER)
    assert not invoices.finalise_month(cast.nordlys.id, "2026-11", FIRST_OF_DECEMBER)
    assert [line.quantity for line in InvoiceLine.select()] == ["12"]


def test_those_who_are_to_be_notified_get_the_final_lines_once(cast: Cast) -> None:
    invoices.draft_month(cast.nordlys.id, "2026-11", FIRST_OF_DECEMBER)
    assert Email.select().count() == 0

    invoices.finalise_month(cast.nordlys.id, "2026-11", FIRST_OF_DECEMBER)
    invoices.finalise_month(cast.nordlys.id, "2026-11", FIRST_OF_DECEMBER)

    (mail,) = Email.select()
    assert (mail.kind, mail.recipient) == ("invoice_lines", "ase@nordlys.example")
    assert (mail.context["net"], mail.context["vat"], mail.context["gross"]) == (
        "NOK 300.00",
        "NOK 75.00",
        "NOK 375.00",
    )
    assert Event.select().where(Event.act == "invoice.final").count() == 1


def test_a_company_that_owes_nothing_has_a_final_month_without_lines_or_mail(cast: Cast) -> None:
    invoices.draft_month(cast.sydlys.id, "2026-11", FIRST_OF_DECEMBER)
    invoices.finalise_month(cast.sydlys.id, "2026-11", FIRST_OF_DECEMBER)

    assert [(month.state, month.net_minor) for month in InvoiceMonth.select()] == [("final", 0)]
    assert (InvoiceLine.select().count(), Email.select().count()) == (0, 0)


def test_a_missing_price_list_parks_the_company_with_what_to_do_and_the_next_run_mends_it(cast: Cast) -> None:
    Company.update(price_list="GOLD").where(Company.id == cast.nordlys.id).execute()

    changed = invoices.draft_months([cast.nordlys.id, cast.sydlys.id], "2026-11", FIRST_OF_DECEMBER)

    assert changed == 1
    states = {month.company_id: (month.state, month.error) for month in InvoiceMonth.select()}
    why = "No price list GOLD in NOK is in force for 2026-11; publish one with `keydesk prices publish`."
    assert states == {cast.nordlys.id: ("parked", why), cast.sydlys.id: ("draft", None)}

    Company.update(price_list="API").where(Company.id == cast.nordlys.id).execute()
    invoices.draft_month(cast.nordlys.id, "2026-11", FIRST_OF_DECEMBER)

    months = InvoiceMonth.select().where(InvoiceMonth.company == cast.nordlys.id)
    assert [(month.state, month.error, month.net_minor) for month in months] == [("draft", None, 30000)]


def test_a_deactivated_company_is_charged_up_to_then_and_no_further(cast: Cast) -> None:
    Company.update(deactivated_at=datetime(2026, 10, 15, tzinfo=UTC)).where(Company.id == cast.nordlys.id).execute()

    for month in ("2026-10", "2026-11"):
        invoices.draft_month(cast.nordlys.id, month, FIRST_OF_DECEMBER)

    totals = {month.month: month.net_minor for month in InvoiceMonth.select()}
    assert totals == {"2026-10": 30000, "2026-11": 0}


def test_a_key_that_had_expired_is_counted_only_while_it_worked(cast: Cast) -> None:
    Licence.update(licences=1).execute()
    key_of(cast.ase)
    revived = key_of(cast.ase, expires_on=date(2026, 11, 25))
    keys.edit_expiry(OLAV, revived.key.id, date(2028, 1, 1), datetime(2027, 2, 1, tzinfo=UTC))

    facts = {
        month: invoices.rate(cast.nordlys.id, month, datetime(2027, 3, 1, tzinfo=UTC))
        for month in ("2026-12", "2027-02")
    }

    assert {month: invoice.explain["peak_slots"] for month, invoice in facts.items()} == {"2026-12": 1, "2027-02": 2}


@pytest.mark.parametrize(
    ("licences", "standard", "tests", "kind", "sentence"),
    [
        (2, 1, 0, "standard", "included: 2 of 2"),
        (1, 1, 0, "standard", "extra key: NOK 49.00 a month from November"),
        (1, 0, 1, "test", "test key 2 of 3 for this resource, free"),
        (1, 0, 3, "test", "extra test key, number 4 for this resource (3 are free): NOK 49.00 once, in November"),
    ],
)
def test_the_dialog_says_what_a_key_costs_before_it_is_made(
    cast: Cast, licences: int, standard: int, tests: int, kind: Any, sentence: str
) -> None:
    Licence.update(licences=licences).execute()
    for _ in range(standard):
        key_of(cast.ase)
    for _ in range(tests):
        key_of(cast.ase, kind="test")

    assert invoices.cost(cast.nordlys.id, cast.ase.id, kind, NOON) == sentence


def test_what_the_dialog_said_is_what_the_month_then_costs(cast: Cast) -> None:
    Licence.update(licences=1).execute()
    key_of(cast.ase)
    before = invoices.rate(cast.nordlys.id, "2026-11", NOON).net_minor
    said = invoices.cost(cast.nordlys.id, cast.ase.id, "standard", NOON)
    key_of(cast.ase)

    after = invoices.rate(cast.nordlys.id, "2026-11", NOON + timedelta(seconds=1)).net_minor

    assert (said, after - before) == ("extra key: NOK 49.00 a month from November", 4900)


def test_a_published_price_list_is_never_changed(cast: Cast) -> None:
    with pytest.raises(Refused, match=r"Version 1 of API in NOK cannot be published: the next version is 2"):
        prices.publish(OLAV, PRICES, NOON)

    assert PriceList.select().count() == 5


def test_a_price_list_cannot_begin_in_a_month_that_is_final(cast: Cast) -> None:
    invoices.draft_month(cast.nordlys.id, "2026-11", FIRST_OF_DECEMBER)
    invoices.finalise_month(cast.nordlys.id, "2026-11", FIRST_OF_DECEMBER)
    second = {**PRICES["price_list"][0], "version": 2, "effective_from": "2026-11-01"}

    with pytest.raises(Refused, match="would begin in 2026-11, but 2026-11 is final already"):
        prices.publish(OLAV, {"price_list": [second]}, NOON)
    assert prices.publish(OLAV, {"price_list": [second | {"effective_from": "2026-12-01"}]}, NOON) == [
        "API/NOK@2026-12-01#2",
    ]


def test_a_wrong_price_file_names_the_place_and_publishes_nothing(cast: Cast) -> None:
    good = {**PRICES["price_list"][0], "version": 2, "effective_from": "2027-01-01"}
    bad = {
        **good,
        "version": 3,
        "effective_from": "2027-02-01",
        "items": {"access": {"model": "per_unit", "price": "x"}},
    }

    with pytest.raises(FormatWrong, match=r"price_list\[2\]\.items\.access\.price"):
        prices.publish(OLAV, {"price_list": [good, bad]}, NOON)

    assert PriceList.select().count() == 5


def test_a_key_that_ends_with_the_month_is_not_counted_in_the_next(cast: Cast) -> None:
    made = keys.create(
        OLAV,
        PEPPERS,
        company_id=cast.nordlys.id,
        resource_id=cast.ase.id,
        environment="sandbox",
        kind="standard",
        label="x",
        expires_on=date(2026, 11, 30),
        now=NOON,
    )

    assert made.key.ends_at == expiry.ends_at(date(2026, 11, 30), zone("Europe/Oslo"))
    assert invoices.rate(cast.nordlys.id, "2026-12", FIRST_OF_DECEMBER).explain["peak_slots"] == 0


def test_a_term_is_in_force_through_its_last_month_and_no_longer(cast: Cast) -> None:
    ContractTerm.create(
        company=cast.nordlys,
        line="access",
        kind="waive",
        value=None,
        first_month="2026-10",
        last_month="2026-11",
        reference="Agreement 17",
    )

    net = {
        month: invoices.rate(cast.nordlys.id, month, datetime(2027, 1, 1, tzinfo=UTC)).net_minor
        for month in ("2026-09", "2026-10", "2026-11", "2026-12")
    }

    assert net == {"2026-09": 30000, "2026-10": 0, "2026-11": 0, "2026-12": 30000}
