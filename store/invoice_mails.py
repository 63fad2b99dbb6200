"""The mails about final lines: what was invoiced, to those who are to be notified."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store import mail_contexts
from store.invoice_rows import Row
from store.outbox import Owed
from store.recipients import Recipient
from store.rules.money import amount
from store.rules.rating import quantity_words
from store.tables import Company


@dataclass(frozen=True, slots=True)
class Document:
    """One month of a company as it was made final, or what a correction of it adds."""

    company: Company
    month: str
    revision: int
    currency: str
    totals: Mapping[str, int]  # net_minor, vat_minor, gross_minor
    rows: Sequence[Row]


def owed(document: Document, to: Iterable[Recipient]) -> Iterator[Owed]:
    """One mail to each recipient; a month's revision is told once, however often this is asked."""
    company, currency = document.company, document.currency
    net, vat, gross = (amount(document.totals[name], currency) for name in ("net_minor", "vat_minor", "gross_minor"))
    context: dict[str, Any] = {
        "company": company.name,
        "zone": company.time_zone,
        "month": document.month,
        "lines": [
            {
                "description": row["description"],
                "because": row["because"],
                "quantity": quantity_words(row["quantity"], row["unit"]),
                "unit_price": f"{currency} {row['unit_price']}",
                "net": amount(row["net_minor"], currency),
            }
            for row in document.rows
        ],
        "net": net,
        "vat": vat,
        "gross": gross,
        "billing_reference": company.billing_reference,
        "is_correction": document.revision > 1,
    }
    reason = f"invoice_lines:{company.id}:{document.month}"
    if document.revision > 1:
        reason += f":{document.revision}"
    for recipient in to:
        yield mail_contexts.owed("invoice_lines", company, recipient, reason, context)
