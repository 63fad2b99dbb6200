"""Can what was agreed with a company be kept, seen before it is saved, and ended, without touching a final month?"""

from datetime import UTC, datetime
from typing import Any

import pytest
from cast import LONG_AGO, OLAV, Cast, arrive, enable
from test_invoices import PRICES

from store import contract_terms, invoice_corrections, invoices, prices
from store.actors import Actor
from store.contract_terms import Draft
from store.errors import FormatWrong, KeydeskError, NotAllowed, Refused
from store.tables import ContractTerm, Event, InvoiceLine, InvoiceMonth

NOVEMBER = datetime(2026, 11, 23, 12, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, 12, tzinfo=UTC)
DISCOUNT = Draft("access", "discount_percent", "10", "2026-11", None, "Agreement 17 §4")


@pytest.fixture
def cast(empty_store: str) -> Cast:
    arrived = arrive()
    prices.publish(OLAV, PRICES, LONG_AGO)
    enable(arrived.nordlys, arrived.ase)
    return arrived


def term(line: str, kind: str, value: str | None, first: str = "2026-11", last: str | None = None) -> Draft:
    return Draft(line, kind, value, first, last, "Agreement 17")


def test_what_a_term_changes_is_said_before_it_is_saved_and_is_what_then_happens(cast: Cast) -> None:
    said = contract_terms.preview(cast.nordlys.id, DISCOUNT, NOVEMBER)
    assert ContractTerm.select().count() == 0

    contract_terms.set_term(OLAV, cast.nordlys.id, DISCOUNT, NOVEMBER)

    assert said == ("November 2026 changes from NOK 300.00 to NOK 270.00.",)
    assert invoices.rate(cast.nordlys.id, "2026-11", DECEMBER).net_minor == 27000
    assert invoices.rate(cast.nordlys.id, "2026-10", DECEMBER).net_minor == 30000
    event = Event.select().where(Event.act == "terms.set").get()
    assert (event.actor, event.subject, event.after) == (
        "olav",
        "discount_percent of access, Nordlys AS",
        {
            "line": "access",
            "kind": "discount_percent",
            "value": "10",
            "first_month": "2026-11",
            "last_month": None,
            "reference": "Agreement 17 §4",
        },
    )


def test_a_term_that_begins_later_is_shown_for_its_first_month(cast: Cast) -> None:
    assert contract_terms.preview(cast.nordlys.id, term("access", "waive", None, "2027-02"), NOVEMBER) == (
        "February 2027 changes from NOK 300.00 to NOK 0.00.",
    )


def test_an_open_draft_follows_a_new_term_at_once(cast: Cast) -> None:
    invoices.draft_month(cast.nordlys.id, "2026-11", DECEMBER)
    assert contract_terms.preview(cast.nordlys.id, DISCOUNT, DECEMBER) == (
        "November 2026 changes from NOK 300.00 to NOK 270.00.",
        "December 2026 changes from NOK 300.00 to NOK 270.00.",
    )

    contract_terms.set_term(OLAV, cast.nordlys.id, DISCOUNT, DECEMBER)

    assert [(month.month, month.net_minor) for month in InvoiceMonth.select()] == [("2026-11", 27000)]
    assert [line.net_minor for line in InvoiceLine.select()] == [27000]


@pytest.mark.parametrize(
    ("draft", "error", "sentence"),
    [
        (term("acces", "waive", None), FormatWrong, "'acces' is not a line; it is one of access, extra_key, "),
        (
            term("access", "included", "5"),
            FormatWrong,
            "For access one of unit_price, .* can be agreed, not 'included'",
        ),
        (term("access", "unit_price", None), FormatWrong, "unit_price needs a value"),
        (term("access", "unit_price", "20,50"), FormatWrong, "'20,50' is not an amount; write it with digits"),
        (term("access", "unit_price", "-1"), FormatWrong, "must not be negative, and it is -1"),
        (term("access", "discount_percent", "0"), FormatWrong, "more than 0 and at most 100 percent, not 0"),
        (term("access", "discount_percent", "100.5"), FormatWrong, "more than 0 and at most 100 percent, not 100.5"),
        (term("access", "waive", "1"), FormatWrong, "waive has no value; leave it out"),
        (
            term("extra_key", "included", "2.5"),
            FormatWrong,
            "A whole number of at most 1,000,000,000,000,000 is needed",
        ),
        (term("extra_test_key", "free_test_keys", "x"), FormatWrong, "'x' is not an amount"),
        (term("access", "waive", None, "2026-13"), FormatWrong, "'2026-13' is not a month; write it like 2026-11"),
        (term("access", "waive", None, "2026-11", "2026-10"), Refused, "The last month 2026-10 is before the first"),
        (Draft("access", "waive", None, "2026-11", None, " "), FormatWrong, "reference"),
    ],
)
def test_what_cannot_be_agreed_is_refused_with_what_to_do(
    cast: Cast, draft: Draft, error: type[KeydeskError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        contract_terms.set_term(OLAV, cast.nordlys.id, draft, NOVEMBER)

    assert ContractTerm.select().count() == 0


def test_a_price_finer_than_a_currency_without_decimals_is_refused(cast: Cast) -> None:
    cast.nordlys.currency = "ISK"
    cast.nordlys.save()

    with pytest.raises(Refused, match=r"ISK has no decimals, so 412\.5 cannot be agreed; write a whole price"):
        contract_terms.set_term(OLAV, cast.nordlys.id, term("access", "unit_price", "412.5"), NOVEMBER)


@pytest.mark.parametrize(
    ("first", "last", "refused"),
    [
        ("2026-09", "2026-10", False),
        ("2026-10", "2026-11", True),
        ("2026-12", "2026-12", True),
        ("2027-01", None, True),
        ("2027-03", "2027-03", True),
        ("2027-04", None, False),
        ("2026-01", None, True),
    ],
)
def test_two_terms_of_one_kind_never_share_a_month(cast: Cast, first: str, last: str | None, refused: Any) -> None:
    contract_terms.set_term(OLAV, cast.nordlys.id, term("access", "waive", None, "2026-11", "2027-03"), NOVEMBER)
    contract_terms.set_term(OLAV, cast.nordlys.id, term("access", "discount_percent", "5"), NOVEMBER)
    another = term("access", "waive", None, first, last)

    if refused:
        with pytest.raises(
            Refused,
            match=r"waive of access is agreed for 2026-11 to 2027-03 already \(Agreement 17\); end that one first",
        ):
            contract_terms.set_term(OLAV, cast.nordlys.id, another, NOVEMBER)
    else:
        contract_terms.set_term(OLAV, cast.nordlys.id, another, NOVEMBER)


def test_a_final_month_keeps_its_terms_unless_it_is_going_to_be_corrected(cast: Cast) -> None:
    invoices.finalise_month(cast.nordlys.id, "2026-11", DECEMBER)
    with pytest.raises(Refused, match="2026-11 is final already; let the change begin with 2026-12, or say that final"):
        contract_terms.set_term(OLAV, cast.nordlys.id, DISCOUNT, DECEMBER)

    contract_terms.set_term(OLAV, cast.nordlys.id, DISCOUNT, DECEMBER, into_final=True)
    assert [line.net_minor for line in InvoiceLine.select()] == [30000]
    invoice_corrections.credit_and_rebill(OLAV, cast.nordlys.id, "2026-11", "The discount was forgotten.", DECEMBER)

    lines = [(line.revision, line.line_key, line.net_minor) for line in InvoiceLine.select().order_by(InvoiceLine.id)]
    assert lines == [(1, "access", 30000), (2, "credit:access", -30000), (2, "access", 27000)]


def test_a_term_is_ended_with_a_month_or_withdrawn(cast: Cast) -> None:
    kept = contract_terms.set_term(OLAV, cast.nordlys.id, DISCOUNT, NOVEMBER)
    slip = contract_terms.set_term(OLAV, cast.nordlys.id, term("extra_key", "waive", None, "2026-11"), NOVEMBER)
    invoices.finalise_month(cast.nordlys.id, "2026-11", DECEMBER)

    with pytest.raises(Refused, match="2026-11 is final already"):
        contract_terms.end(OLAV, slip.id, None, DECEMBER)
    with pytest.raises(Refused, match=r"The term begins with 2026-11; it cannot end before\. Withdraw it instead"):
        contract_terms.end(OLAV, kept.id, "2026-10", DECEMBER)
    said = contract_terms.preview_end(kept.id, "2026-11", DECEMBER)
    contract_terms.end(OLAV, kept.id, "2026-11", DECEMBER)
    contract_terms.end(OLAV, slip.id, "2026-11", DECEMBER)
    future = contract_terms.set_term(OLAV, cast.nordlys.id, term("extra_key", "waive", None, "2027-01"), DECEMBER)
    contract_terms.end(OLAV, future.id, None, DECEMBER)

    assert said == ("December 2026 changes from NOK 270.00 to NOK 300.00.",)
    assert [(each.line, each.last_month) for each in contract_terms.listed(cast.nordlys.id)] == [
        ("access", "2026-11"),
        ("extra_key", "2026-11"),
    ]


def test_only_operators_agree_on_terms(cast: Cast) -> None:
    kari = Actor("kari", "company-admin", "test", company_id=cast.nordlys.id)

    with pytest.raises(NotAllowed):
        contract_terms.set_term(kari, cast.nordlys.id, DISCOUNT, NOVEMBER)
