"""Does an old document go on saying who sold and who bought when its month became final?"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from billing_documents import NORWEGIAN
from cast import OLAV, Cast, arrive, enable
from peewee import IntegrityError
from test_invoices import PRICES

from store import invoice_corrections, invoice_documents, invoices, prices, sellers
from store.database import run_sql, writing
from store.exports.document import InvoiceDocument, Party
from store.tables import BuyerFacts, Company, CompanyBilling, InvoiceMonth, Licence, SellerFacts

LONG_AGO = datetime(2026, 1, 1, 12, tzinfo=UTC)
FINAL = datetime(2026, 12, 3, 23, 30, tzinfo=UTC)  # 4 December in Oslo
SELLER = {
    "name": "Fjord Software AS", "organisation_number": "987654325", "vat_id": "NO987654325MVA",
    "endpoint": "0192:987654325", "street": "Kaigata 1", "city": "Bergen", "postal_code": "5003", "country": "NO",
    "email": "", "account": "NO93 8601 1117 947", "bank": "DNBANOKK", "payment_days": 14,
    "tax_registration": "Foretaksregisteret",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _seller() -> Iterator[None]:
    sellers.use(SELLER)
    yield
    sellers.use(None)


@pytest.fixture
def final(empty_store: str) -> Cast:
    """November of Nordlys, which is in Storgata 1 in Oslo, is final."""
    arrived = arrive()
    prices.publish(OLAV, PRICES, LONG_AGO)
    enable(arrived.nordlys, arrived.ase)
    CompanyBilling.create(
        company=arrived.nordlys, organisation_number="923456783", vat_id="NO923456783MVA", endpoint="0192:923456783",
        street="Gata 1", city="Oslo", postal_code="0155", country="NO", invoice_email="",
    )  # fmt: skip
    invoices.finalise_month(arrived.nordlys.id, "2026-11", FINAL)
    return arrived


def exported() -> list[InvoiceDocument]:
    return list(invoice_documents.documents("2026-11", "nordlys"))


def move(company: Company) -> None:
    """To another name, address, reference and time zone."""
    CompanyBilling.update(street="Havnegade 4", city="København", country="DK", endpoint="").execute()
    moved = {"name": "Nordlys Æventyr ApS", "billing_reference": "PO-new", "time_zone": "Pacific/Honolulu"}
    Company.update(**moved, vat_category="E", vat_rate="0").where(Company.id == company.id).execute()


def test_a_company_that_moves_has_its_old_name_address_day_and_tax_in_what_was_final_before(final: Cast) -> None:
    before = exported()
    move(final.nordlys)

    (after,) = exported()

    assert (after.buyer, after.billing_reference) == (before[0].buyer, "PO-nordlys")
    assert after.buyer == Party(
        "Nordlys AS", "923456783", "NO923456783MVA", "0192:923456783", "Gata 1", "Oslo", "0155", "NO"
    )
    assert (after.issued_on, after.vat_category, after.vat_rate) == (date(2026, 12, 4), "S", 25)
    assert after.present is not None
    assert (after.present[0].street, after.present[1]) == ("Havnegade 4", "PO-new")


def test_a_draft_and_a_later_correction_say_what_is_known_then(final: Cast) -> None:
    invoices.draft_month(final.nordlys.id, "2026-12", FINAL + timedelta(days=40))
    move(final.nordlys)
    Licence.update(licences=3).execute()
    invoice_corrections.credit_and_rebill(OLAV, final.nordlys.id, "2026-11", "moved", FINAL + timedelta(days=9))

    first, credit, again = exported()
    (draft,) = list(invoice_documents.documents("2026-12", "nordlys", drafts=True))

    assert (first.buyer.street, first.present is not None) == ("Gata 1", True)
    for later in (credit, again, draft):
        assert (later.buyer.street, later.billing_reference, later.present) == ("Havnegade 4", "PO-new", None)


def test_the_seller_is_kept_with_what_became_final_while_the_settings_said_so(final: Cast) -> None:
    sellers.use({**SELLER, "street": "Strandgaten 200"})
    Licence.update(licences=3).execute()
    invoice_corrections.credit_and_rebill(OLAV, final.nordlys.id, "2026-11", "a licence", FINAL + timedelta(days=9))
    sellers.use(None)
    invoices.finalise_month(final.nordlys.id, "2026-12", FINAL + timedelta(days=40))

    first, credit, again = exported()
    (december,) = invoice_documents.documents("2026-12", "nordlys")

    assert first.seller == NORWEGIAN
    assert [told.seller.party.street for told in (credit, again) if told.seller] == ["Strandgaten 200"] * 2
    assert december.seller is None
    assert SellerFacts.select().count() == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE buyer_facts SET street = 'Elsewhere'",
        "DELETE FROM buyer_facts",
        "UPDATE seller_facts SET facts = '{}'",
        "DELETE FROM seller_facts",
    ],
)
def test_the_database_refuses_to_change_either(final: Cast, statement: str) -> None:
    with pytest.raises(IntegrityError, match="A final month is never changed"), writing():
        run_sql(statement)

    assert [row.street for row in BuyerFacts.select()] == ["Gata 1"]
    assert InvoiceMonth.get().seller_id == SellerFacts.get().id
