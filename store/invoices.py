"""A company's month: rated from the facts, kept as a draft, made final once, and never changed after."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from store import billing_facts, companies, events, mail_contexts, outbox, recipients
from store.actors import WORKER
from store.database import writing
from store.errors import KeydeskError, Refused
from store.events import Fact
from store.rules import calendar, expiry, money
from store.rules.rating import Invoice, KeyFact, Policy, cost_sentence, difference, quantity_words
from store.rules.rating import rate as rate_facts
from store.rules.rating.facts import KeyKind
from store.rules.rating.invoice import Line
from store.tables import Company, InvoiceLine, InvoiceMonth

POLICY = Policy()


def rate(company_id: int, month: str, as_of: datetime) -> Invoice:
    """What the company owes for the month, as far as `as_of` knows. Refused when a price list is missing."""
    facts, lists = billing_facts.read(companies.get(company_id))
    return rate_facts(facts, month, lists, POLICY, as_of)


def cost(company_id: int, resource_id: int, kind: KeyKind, now: datetime) -> str:
    """The New key dialog's sentence: what one more key for this resource costs. The same function as the invoice's."""
    company = companies.get(company_id)
    facts, lists = billing_facts.read(company)
    today = companies.today(company, now)
    last_day = expiry.test_expiry(today) if kind == "test" else expiry.latest(today)
    ends_at = expiry.ends_at(last_day, companies.zone(company))
    key = KeyFact(id="new", resource=resource_id, kind=kind, created_at=now, spans=((now, ends_at),))
    return cost_sentence(difference(facts, calendar.month_of(today), lists, POLICY, key))


def owed(zone: str, month: str) -> list[int]:
    """The companies of a zone that have such a month: those that were there before it ended."""
    _, end = calendar.month_bounds(month, calendar.zone(zone))
    query = Company.select(Company.id).where(Company.time_zone == zone, Company.created_at < end).order_by(Company.id)
    return [row.id for row in query]


def draft_month(company_id: int, month: str, now: datetime) -> bool:
    """Bring the stored draft to what the facts say; whether anything changed. A final month is left as it is.

    One transaction. Raises what rating raises (a missing price list), with nothing changed; see `park_month`.
    """
    with writing():
        stored = _month(company_id, month)
        if stored is not None and stored.state == "final":
            return False
        return _store(stored, company_id, rate(company_id, month, now), now)


def park_month(company_id: int, month: str, error: Exception, now: datetime) -> None:
    """Keep why a company could not be rated, for the desk; its older draft lines stay. The next run tries again."""
    sentence = str(error) if isinstance(error, KeydeskError) else f"{type(error).__name__}: rating failed; see the log."
    with writing():
        stored = _month(company_id, month)
        if stored is None:
            company = companies.get(company_id)
            InvoiceMonth.create(
                company=company_id, month=month, state="parked", currency=company.currency, error=sentence, rated_at=now
            )
        elif stored.state != "final" and (stored.state, stored.error) != ("parked", sentence):
            stored.state, stored.error, stored.rated_at = "parked", sentence, now
            stored.save()


def finalise_month(company_id: int, month: str, now: datetime) -> bool:
    """Rate once more and make the month final; whether this call did it. Those who are to be notified get the lines.

    One transaction: the lines, the state, the event and the mails, or nothing.
    """
    with writing():
        draft_month(company_id, month, now)
        changed = (
            InvoiceMonth.update(state="final", final_at=now)
            .where(InvoiceMonth.company == company_id, InvoiceMonth.month == month, InvoiceMonth.state == "draft")
            .execute()
        )
        if changed != 1:
            return False
        _announce(companies.get(company_id), month, now)
        return True


def _store(stored: InvoiceMonth | None, company_id: int, invoice: Invoice, now: datetime) -> bool:
    wanted = {line.line_key: _columns(line, invoice.currency) for line in invoice.lines}
    lines = {row.line_key: row for row in InvoiceLine.select().where(*_of(company_id, invoice.month))}
    changed = _store_month(stored, company_id, invoice, now)
    for line_key, row in lines.items():
        if line_key not in wanted:
            row.delete_instance()
            changed = True
        elif any(getattr(row, name) != value for name, value in wanted[line_key].items()):
            InvoiceLine.update(**wanted[line_key], rated_at=now).where(InvoiceLine.id == row.id).execute()
            changed = True
    for line_key, columns in wanted.items():
        if line_key not in lines:
            InvoiceLine.create(company=company_id, month=invoice.month, line_key=line_key, rated_at=now, **columns)
            changed = True
    return changed


def _store_month(stored: InvoiceMonth | None, company_id: int, invoice: Invoice, now: datetime) -> bool:
    explain = {name: value for name, value in invoice.explain.items() if name != "as_of"}
    wanted: dict[str, Any] = {
        "state": "draft",
        "currency": invoice.currency,
        "net_minor": invoice.net_minor,
        "vat_minor": invoice.vat_minor,
        "gross_minor": invoice.gross_minor,
        "explain": explain,
        "error": None,
    }
    if stored is None:
        InvoiceMonth.create(company=company_id, month=invoice.month, rated_at=now, **wanted)
        return True
    if all(getattr(stored, name) == value for name, value in wanted.items()):
        return False
    InvoiceMonth.update(**wanted, rated_at=now).where(InvoiceMonth.id == stored.id).execute()
    return True


def _columns(line: Line, currency: str) -> dict[str, Any]:
    return {
        "description": line.description,
        "because": line.because,
        "quantity": line.quantity,
        "unit": line.unit,
        "unit_price": line.unit_price,
        "currency": currency,
        "gross_minor": line.gross_minor,
        "discount_minor": line.discount_minor,
        "net_minor": line.net_minor,
        "status": line.status,
        "reason": line.reason,
        "price_list": line.price_list,
        "explain": line.explain,
    }


def _announce(company: Company, month: str, now: datetime) -> None:
    stored = _month(company.id, month)
    if stored is None:
        raise Refused(f"There is no {month} of {company.name}.")
    lines = list(InvoiceLine.select().where(*_of(company.id, month)).order_by(InvoiceLine.id))
    total = {"lines": len(lines), "net": money.plain(stored.net_minor, stored.currency), "currency": stored.currency}
    events.append(WORKER, now, [Fact("invoice.final", f"{month} of {company.name}", company.id, after=total)])
    if lines:
        outbox.queue(list(_mails(company, stored, lines)), now)


def _mails(company: Company, stored: InvoiceMonth, lines: list[InvoiceLine]) -> Iterable[outbox.Owed]:
    context = {
        "company": company.name,
        "zone": company.time_zone,
        "month": stored.month,
        "lines": [
            {
                "description": line.description,
                "because": line.because,
                "quantity": quantity_words(line.quantity, line.unit),
                "unit_price": f"{line.currency} {line.unit_price}",
                "net": money.amount(line.net_minor, line.currency),
            }
            for line in lines
        ],
        "net": money.amount(stored.net_minor, stored.currency),
        "vat": money.amount(stored.vat_minor, stored.currency),
        "gross": money.amount(stored.gross_minor, stored.currency),
        "billing_reference": company.billing_reference,
    }
    for recipient in recipients.recipients(company.id):
        yield mail_contexts.owed(
            "invoice_lines", company, recipient, f"invoice_lines:{company.id}:{stored.month}", context
        )


def _month(company_id: int, month: str) -> InvoiceMonth | None:
    found: InvoiceMonth | None = InvoiceMonth.get_or_none(
        InvoiceMonth.company == company_id, InvoiceMonth.month == month
    )
    return found


def _of(company_id: int, month: str) -> tuple[Any, ...]:
    return (InvoiceLine.company == company_id, InvoiceLine.month == month, InvoiceLine.revision == 1)
