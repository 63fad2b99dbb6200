"""What do the desk's lists of months, totals, terms and price lists read, and what does a filter leave of them?"""

from datetime import UTC, date, datetime
from typing import Any

from desk_world import KARI, LONG_AGO, NOW, company, enable, user

from store import prices
from store.listings import contract_terms, invoice_lines, invoice_months, present_month, price_list_rows, price_lists
from store.listings.contract_terms import TermRow
from store.listings.invoice_months import MonthTotal
from store.tables import Company, ContractTerm, InvoiceLine, InvoiceMonth, Licence

ITEMS = {"access": {"model": "per_unit", "price": "25.00"}, "extra_key": {"price": "49.00"}}


def month(of: Company, name: str, net: int, state: str = "draft", revision: int = 1, **more: Any) -> InvoiceMonth:
    return InvoiceMonth.create(  # type: ignore[no-any-return]
        company=of,
        month=name,
        state=state,
        currency=of.currency,
        net_minor=net,
        revision=revision,
        rated_at=NOW,
        **more,
    )


def close(*months: InvoiceMonth) -> None:
    InvoiceMonth.update(state="final", final_at=NOW).where(InvoiceMonth.id.in_([each.id for each in months])).execute()


def line(of: InvoiceMonth, line_key: str, status: str = "ok") -> InvoiceLine:
    return InvoiceLine.create(  # type: ignore[no-any-return]
        company=of.company_id,
        month=of.month,
        revision=of.revision,
        line_key=line_key,
        description=line_key,
        because="",
        quantity="1",
        unit="key",
        unit_price="1.00",
        currency=of.currency,
        gross_minor=100,
        discount_minor=0,
        net_minor=100,
        status=status,
        reason="contract",
        price_list="",
        explain={},
        rated_at=NOW,
        decided_at=NOW if status == "approved" else None,
    )


def test_months_of_all_companies_are_listed_by_currency_the_largest_first_and_added_up_with_their_corrections(
    empty_store: str,
) -> None:
    fjord, storfjord, tun = company(), company("Storfjord AS"), company("Tun ehf")
    Company.update(currency="ISK").where(Company.id == tun.id).execute()
    tun = Company.get_by_id(tun.id)
    first = month(fjord, "2026-10", 5_000_000_000)
    large = month(storfjord, "2026-10", 9_000_000_000)
    credit = month(fjord, "2026-10", -1_000_000_000, revision=2)
    island = month(tun, "2026-10", 700, "held", error="strange")
    month(fjord, "2026-09", 1)
    line(large, "overuse_data", "needs_review")
    line(first, "overuse_data", "needs_review")
    close(first, credit)  # a later month asks again what was not decided in it

    def listed(needle: str, only: int | None = None) -> list[int]:
        return list(invoice_months.of_month("2026-10", only, needle))

    assert listed("") == [island.id, large.id, first.id, credit.id]
    assert listed("", fjord.id) == [first.id, credit.id]
    assert [listed(each) for each in ("currency:isk", "stor", "company:fjord -state:draft", "state:held")] == [
        [island.id], [large.id], [first.id, credit.id], [island.id],
    ]  # fmt: skip
    assert listed("state:review") == [large.id]
    assert invoice_months.totals("2026-10", None) == (
        MonthTotal("ISK", 1, 700, 700, 1),
        MonthTotal("NOK", 2, 13_000_000_000, 9_000_000_000, 1),
    )
    assert invoice_months.months(None) == ("2026-09", "2026-10")
    assert invoice_months.months(tun.id) == ("2026-10",)
    assert invoice_months.year(fjord.id, "2026-11")[9:] == (("2026-09", 1), ("2026-10", 4_000_000_000), ("2026-11", 0))
    rows = invoice_months.rows([first.id, large.id, island.id])
    read = [rows[each.id] for each in (first, large, island)]
    assert [(row.lines, row.waiting, row.error) for row in read] == [(1, 0, ""), (1, 1, ""), (0, 0, "strange")]


def test_a_documents_lines_are_its_own_and_say_what_was_decided(empty_store: str) -> None:
    fjord = company()
    first, again = month(fjord, "2026-10", 100), month(fjord, "2026-10", 100, revision=2)
    one, other, later = line(first, "extra_key"), line(first, "access", "approved"), line(again, "access")
    close(first, again)

    assert list(invoice_lines.of_month(fjord.id, "2026-10", 1)) == [other.id, one.id]
    assert list(invoice_lines.of_month(fjord.id, "2026-10", 1, "status:approved")) == [other.id]
    assert list(invoice_lines.of_month(fjord.id, "2026-10", 2)) == [later.id]
    row = invoice_lines.rows([other.id])[other.id]
    assert (row.company, row.zone, row.month_state, row.status, row.decided_at, row.transfer) == (
        "Fjord AS", "Europe/Oslo", "final", "approved", NOW, "to-transfer",
    )  # fmt: skip


def test_the_present_month_is_rated_when_it_is_looked_at_or_says_why_it_cannot_be(empty_store: str) -> None:
    fjord = company()
    enable(fjord, user(fjord))
    Licence.create(company=fjord, at=LONG_AGO, licences=4, recorded_at=LONG_AGO)

    assert [row.error[:22] for row in present_month.rows(fjord.id, NOW).values()] == ["No price list standard"] * 2

    table = {"code": "standard", "currency": "NOK", "version": 1, "effective_from": "2026-11-01", "items": ITEMS}
    prices.publish(KARI, {"price_list": [table]}, LONG_AGO)
    rows = present_month.rows(fjord.id, NOW)
    assert [(row.month, row.state, row.net_minor) for row in rows.values()] == [
        ("2026-11", "so far", 10000),
        ("2026-11", "forecast", 10000),
    ]
    (rated,) = present_month.lines(-2, fjord.id, NOW)
    assert (rated.id, rated.line_key, rated.net_minor, rated.month_state) == (-1, "access", 10000, "forecast")


def test_terms_are_listed_with_those_in_force_in_a_month(empty_store: str) -> None:
    fjord = company()
    common = {"company": fjord, "line": "access", "kind": "waive", "value": None}
    old = ContractTerm.create(**common, first_month="2026-01", last_month="2026-10", reference="K-1")
    new = ContractTerm.create(**common, first_month="2026-11", last_month=None, reference="K-2")

    assert list(contract_terms.ids(fjord.id)) == [new.id, old.id]
    needles = ("month:2026-10", "month:2030-01", "k-1", "line:data")
    assert [list(contract_terms.ids(fjord.id, each)) for each in needles] == [[old.id], [new.id], [old.id], []]
    assert contract_terms.rows([old.id])[old.id] == TermRow(
        old.id, fjord.id, "access", "waive", "", "2026-01", "2026-10", "K-1"
    )


def test_price_lists_are_listed_newest_first_each_until_the_next(empty_store: str) -> None:
    for version, first in ((1, "2026-01-01"), (2, "2027-01-01")):
        table = {"code": "API", "currency": "NOK", "version": version, "effective_from": first, "items": ITEMS}
        prices.publish(KARI, {"price_list": [table]}, datetime(2026, 1, 1, tzinfo=UTC))

    new, old = price_lists.ids()

    shown = {
        one: (row.version, row.effective_from, row.until, row.access, row.extra_key)
        for one, row in price_list_rows.rows([new, old]).items()
    }
    assert shown == {
        new: (2, date(2027, 1, 1), None, "25.00 a user", "49.00"),
        old: (1, date(2026, 1, 1), date(2027, 1, 1), "25.00 a user", "49.00"),
    }
    assert (price_lists.before(new), price_lists.before(old)) == (old, None)
    assert list(price_lists.ids("currency:sek")) == []
