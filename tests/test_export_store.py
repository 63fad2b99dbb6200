"""Which stored lines become which document, and where does a line stand once it has been handed over?"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from cast import NOON, OLAV, company

from store import invoice_documents, transfers
from store.actors import Actor
from store.errors import NotAllowed, NotFound, Refused
from store.exports.document import InvoiceDocument, Party
from store.invoice_documents import LeftOut
from store.tables import Company, CompanyBilling, Event, InvoiceLine, InvoiceMonth
from store.transfers import Handed

FINAL = datetime(2026, 12, 3, 23, 30, tzinfo=UTC)  # 4 December in Oslo
HANDED = Handed(month="2026-11", format="csv", documents=1, sha256="ab" * 32, company_id=None)


def write_month(
    of: Company, *lines: dict[str, Any], state: str = "final", revision: int = 1, at: datetime = FINAL, **totals: int
) -> list[int]:
    """A month with its lines, as the worker leaves it; the ids of the lines."""
    net = sum(line.get("net_minor", 25000) for line in lines if line.get("status") != "needs_review")
    sums = {"net_minor": net, "vat_minor": net // 4, "gross_minor": net + net // 4} | totals
    made = InvoiceMonth.create(
        company=of,
        month="2026-11",
        revision=revision,
        state="draft",
        currency="NOK",
        vat_rate="25",
        rated_at=NOON,
        **sums,
    )
    ids = [
        InvoiceLine.create(
            **{
                "company": of,
                "month": "2026-11",
                "revision": revision,
                "line_key": "access",
                "description": "API access",
                "because": "It was on.",
                "quantity": "10",
                "unit": "user",
                "unit_price": "25.00",
                "currency": "NOK",
                "gross_minor": line.get("net_minor", 25000),
                "discount_minor": 0,
                "net_minor": 25000,
                "status": "ok",
                "reason": "contract",
                "price_list": "API NOK v1",
                "explain": {},
                "rated_at": NOON,
            }
            | line
        ).id
        for line in lines
    ]
    InvoiceMonth.update(state=state, final_at=at if state == "final" else None).where(
        InvoiceMonth.id == made.id
    ).execute()
    return ids


@pytest.fixture
def nordlys(empty_store: str) -> Company:
    return company("nordlys", "Nordlys AS")


def exported(**asked: Any) -> list[InvoiceDocument]:
    return list(invoice_documents.documents("2026-11", **asked))


def transfer(line_id: int) -> str:
    return str(InvoiceLine.get_by_id(line_id).transfer)


def test_a_final_month_is_one_document_with_the_day_on_the_company_s_own_calendar(nordlys: Company) -> None:
    CompanyBilling.create(
        company=nordlys, organisation_number="987654325", vat_id="", endpoint="0192:987654325", street="", city="Oslo",
        postal_code="0155", country="NO", invoice_email="",
    )  # fmt: skip
    write_month(nordlys, {"line_key": "extra_key", "net_minor": 4900}, {}, {"line_key": "access/t2", "net_minor": 100})

    (told,) = exported()
    assert (told.number, told.kind, told.issued_on, told.is_draft) == (
        "nordlys-2026-11", "invoice", date(2026, 12, 4), False,
    )  # fmt: skip
    assert told.buyer == Party("Nordlys AS", "987654325", "", "0192:987654325", "", "Oslo", "0155", "NO")
    assert (told.billing_reference, told.vat_category, told.vat_rate) == ("PO-nordlys", "S", Decimal(25))
    assert [line.line_key for line in told.lines] == ["access", "access/t2", "extra_key"]
    assert (told.net_minor, told.vat_minor, told.gross_minor) == (30000, 7500, 37500)


def test_only_what_is_final_is_exported_and_drafts_are_marked(nordlys: Company) -> None:
    held, parked = company("held", "Held AS"), company("parked", "Parked AS")
    write_month(nordlys, {}, state="draft")
    write_month(held, {}, state="held")
    write_month(parked, {}, state="parked")

    assert exported() == []
    assert [(told.number, told.is_draft) for told in exported(drafts=True)] == [
        ("held-2026-11-DRAFT", True),
        ("nordlys-2026-11-DRAFT", True),
    ]
    assert invoice_documents.left_out("2026-11") == LeftOut(("held", "nordlys", "parked"), 0, 0)


def test_a_line_that_waits_for_a_decision_stays_behind_and_a_waived_one_goes_along_at_zero(nordlys: Company) -> None:
    write_month(
        nordlys,
        {},
        {"line_key": "overuse_data", "status": "needs_review", "net_minor": 6000},
        {
            "line_key": "overuse_requests",
            "status": "waived",
            "net_minor": 0,
            "gross_minor": 6000,
            "discount_minor": 6000,
        },
    )

    (told,) = exported()
    assert [(line.line_key, line.net_minor) for line in told.lines] == [("access", 25000), ("overuse_requests", 0)]
    assert invoice_documents.left_out("2026-11", "nordlys") == LeftOut((), 1, 0)


def test_a_correction_is_a_credit_note_and_an_invoice_that_name_the_first_one(nordlys: Company) -> None:
    write_month(nordlys, {"net_minor": 333}, vat_minor=83)
    credit = {"line_key": "credit:access", "quantity": "-10", "net_minor": -333, "reason": "credit"}
    write_month(nordlys, credit, {"net_minor": 222}, revision=2, at=datetime(2027, 1, 9, 12, tzinfo=UTC), vat_minor=-27)

    first, note, again = exported()
    assert (first.number, first.corrects) == ("nordlys-2026-11", "")
    assert [(told.number, told.kind, told.corrects, told.corrects_issued_on) for told in (note, again)] == [
        ("nordlys-2026-11-C2", "credit-note", "nordlys-2026-11", date(2026, 12, 4)),
        ("nordlys-2026-11-R2", "invoice", "nordlys-2026-11", date(2026, 12, 4)),
    ]
    assert (note.vat_minor, again.vat_minor) == (-83, 56)  # each is taxed as a document of its own


def test_an_adjustment_has_the_month_it_is_for(nordlys: Company) -> None:
    write_month(nordlys, {}, {"line_key": "adj:2026-10:overuse_data", "corrects": "2026-10 overuse_data"})

    ((access, adjusted),) = (told.lines for told in exported())
    assert (access.first_day, access.last_day) == (date(2026, 11, 1), date(2026, 11, 30))
    assert (adjusted.first_day, adjusted.last_day) == (date(2026, 10, 1), date(2026, 10, 31))


def test_lines_that_are_not_what_the_month_says_are_not_exported(nordlys: Company) -> None:
    write_month(nordlys, {}, net_minor=24999)

    with pytest.raises(Refused) as refused:
        exported()
    assert str(refused.value) == (
        "The lines of 2026-11 of nordlys sum to NOK 250.00 and NOK 62.50 VAT, but the month says NOK 249.99 and "
        "NOK 62.50 VAT; run `keydesk invoice verify 2026-11`."
    )


def test_one_company_is_found_by_its_own_id_and_an_unknown_one_is_told(nordlys: Company) -> None:
    write_month(nordlys, {})
    write_month(company("sydlys", "Sydlys AS"), {})

    assert [told.company for told in exported(company="sydlys")] == ["sydlys"]
    with pytest.raises(NotFound, match="There is no company vestlys"):
        exported(company="vestlys")


def test_many_companies_come_in_the_order_of_their_ids(empty_store: str) -> None:
    for number in (10, 9, 100):
        write_month(company(f"c{number}", "One AS"), {})
    write_month(company("Ø", "One AS"), {})
    write_month(company("B", "One AS"), {})

    assert [told.company for told in exported()] == ["B", "c10", "c100", "c9", "Ø"]


def test_what_was_handed_over_is_marked_once_with_one_event_and_its_digest(nordlys: Company) -> None:
    ids = write_month(nordlys, {}, {"line_key": "extra_key", "net_minor": 4900})
    before = exported()

    assert transfers.mark(OLAV, HANDED, ids[:1], NOON) == 1
    assert transfers.mark(OLAV, HANDED, ids, NOON) == 1
    assert transfers.mark(OLAV, HANDED, ids, NOON) == 0

    assert [transfer(line_id) for line_id in ids] == ["transferred", "transferred"]
    events = [(row.act, row.actor, row.subject, row.after) for row in Event.select().order_by(Event.seq)]
    told = {"format": "csv", "documents": 1, "lines": 1, "sha256": "ab" * 32}
    assert events == [("invoice.transfer", "olav", "lines of 2026-11", told)] * 2
    (after,) = exported()
    assert (before[0].was_transferred, after.was_transferred) == (False, True)
    assert (after.number, after.net_minor) == (before[0].number, before[0].net_minor)


def test_a_draft_or_a_line_held_back_is_never_marked_and_then_nothing_is(nordlys: Company) -> None:
    (final,) = write_month(nordlys, {})
    (draft,) = write_month(company("sydlys", "Sydlys AS"), {}, state="draft")
    (held_back,) = write_month(company("vestlys", "Vestlys AS"), {})
    transfers.hold_back(OLAV, held_back, "Paid in advance", NOON)

    for other in (draft, held_back):
        with pytest.raises(Refused, match="were changed while they were exported; nothing was marked"):
            transfers.mark(OLAV, HANDED, [final, other], NOON)
    assert transfer(final) == "to-transfer"


def test_a_line_that_is_held_back_is_in_no_export_until_it_is_let_go(nordlys: Company) -> None:
    access, keys = write_month(nordlys, {}, {"line_key": "extra_key", "net_minor": 4900})

    transfers.hold_back(OLAV, keys, "Paid in advance", NOON)
    assert [line.id for told in exported() for line in told.lines] == [access]
    assert invoice_documents.left_out("2026-11") == LeftOut((), 0, 1)

    transfers.let_go(OLAV, keys, NOON)
    assert [line.id for told in exported() for line in told.lines] == [access, keys]
    assert [(row.act, row.subject, row.before, row.after) for row in Event.select().order_by(Event.seq)] == [
        (
            "invoice.transfer",
            "line extra_key of 2026-11",
            {"transfer": "to-transfer"},
            {"transfer": "do-not-transfer", "reason": "Paid in advance"},
        ),
        (
            "invoice.transfer",
            "line extra_key of 2026-11",
            {"transfer": "do-not-transfer"},
            {"transfer": "to-transfer"},
        ),
    ]


def test_what_has_been_transferred_cannot_be_held_back(nordlys: Company) -> None:
    ids = write_month(nordlys, {})
    transfers.mark(OLAV, HANDED, ids, NOON)

    with pytest.raises(Refused, match="stands as “transferred”, and cannot become “do not transfer”"):
        transfers.hold_back(OLAV, ids[0], "Too late", NOON)
    with pytest.raises(NotFound, match="There is no such invoice line any more"):
        transfers.let_go(OLAV, ids[0] + 1, NOON)


def test_a_draft_is_not_held_back_as_it_is_not_transferred_anyhow(nordlys: Company) -> None:
    (draft,) = write_month(nordlys, {}, state="draft")

    with pytest.raises(Refused, match="is a draft, which is not transferred anyhow; wait until the month is final"):
        transfers.hold_back(OLAV, draft, "Paid in advance", NOON)


@pytest.mark.parametrize("role", ["company-admin", "auditor"])
def test_only_operators_say_where_a_line_has_gone(nordlys: Company, role: str) -> None:
    ids = write_month(nordlys, {})
    other = Actor("kari", role, "test")

    with pytest.raises(NotAllowed):
        transfers.mark(other, HANDED, ids, NOON)
    with pytest.raises(NotAllowed):
        transfers.hold_back(other, ids[0], "No", NOON)
    assert transfer(ids[0]) == "to-transfer"
