"""A company's present month, which is not stored: so far, and as it will end if nothing changes any more."""

from datetime import datetime

from store import companies, invoice_preview
from store.errors import KeydeskError
from store.listings.invoice_lines import LineRow
from store.listings.invoice_months import FORECAST, SO_FAR, MonthRow
from store.rules import calendar
from store.rules.rating import Invoice
from store.tables import Company

STATES = {SO_FAR: "so far", FORECAST: "forecast"}


def rows(company_id: int, now: datetime) -> dict[int, MonthRow]:
    """The present month so far and its forecast, as rows; a missing price list is told in them."""
    company = companies.get(company_id)
    given = {}
    for row_id, state in STATES.items():
        try:
            given[row_id] = _preview(row_id, company, _rated(row_id, company_id, now))
        except KeydeskError as fault:
            month = calendar.month_of(companies.today(company, now))
            given[row_id] = MonthRow(
                row_id, company_id, company.name, month, 1, state, company.currency, 0, 0, 0, str(fault), 0, 0
            )
    return given


def lines(row_id: int, company_id: int, now: datetime) -> list[LineRow]:
    """The lines of one of the two, with the ids -1, -2, …; Refused when a price list is missing."""
    company, invoice = companies.get(company_id), _rated(row_id, company_id, now)
    return [
        LineRow(
            id=-number,
            company_id=company_id,
            company=company.name,
            zone=company.time_zone,
            month=invoice.month,
            month_state=STATES[row_id],
            line_key=line.line_key,
            revision=1,
            description=line.description,
            because=line.because,
            quantity=line.quantity,
            unit=line.unit,
            unit_price=line.unit_price,
            currency=invoice.currency,
            gross_minor=line.gross_minor,
            discount_minor=line.discount_minor,
            net_minor=line.net_minor,
            proposed_minor=line.net_minor,
            status=line.status,
            decided_by="",
            decided_at=None,
            decided_reason="",
            corrects="",
            transfer="",
            reason=line.reason,
            price_list=line.price_list,
            explain=line.explain,
        )
        for number, line in enumerate(invoice.lines, 1)
    ]


def _rated(row_id: int, company_id: int, now: datetime) -> Invoice:
    return (invoice_preview.so_far if row_id == SO_FAR else invoice_preview.forecast)(company_id, now)


def _preview(row_id: int, company: Company, invoice: Invoice) -> MonthRow:
    waiting = sum(line.status == "needs_review" for line in invoice.lines)
    return MonthRow(
        row_id,
        company.id,
        company.name,
        invoice.month,
        1,
        "so far" if row_id == SO_FAR else "forecast",
        invoice.currency,
        invoice.net_minor,
        invoice.vat_minor,
        invoice.gross_minor,
        "",
        len(invoice.lines),
        waiting,
    )
