"""JSON after docs/invoice.schema.json: each amount as decimal text and in minor units, and a digest of it all."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from store.exports.document import DocumentLine, InvoiceDocument, Party
from store.rules.money import plain

SCHEMA = "keydesk-invoices/1"


def write(documents: Iterable[InvoiceDocument], month: str) -> bytes:
    """One object, a document a line. `sha256` is of `documents` in canonical form: sorted names, no spaces, UTF-8."""
    told = [_canonical(_document(document)) for document in documents]
    sha256 = hashlib.sha256(f"[{','.join(told)}]".encode()).hexdigest()
    listed = ",\n".join(told)
    return (
        f'{{"schema": "{SCHEMA}", "month": {_canonical(month)}, "sha256": "{sha256}", "documents": [\n{listed}\n]}}\n'
    ).encode()


def _canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _document(document: InvoiceDocument) -> dict[str, Any]:
    return {
        "number": document.number,
        "kind": document.kind,
        "state": "draft" if document.is_draft else "final",
        "company": document.company,
        "buyer": _party(document.buyer),
        "billing_reference": document.billing_reference,
        "month": document.month,
        "issued_on": document.issued_on.isoformat(),
        "corrects": document.corrects or None,
        "currency": document.currency,
        "vat_category": document.vat_category,
        "vat_rate": f"{document.vat_rate:f}",
        **_amounts(document.currency, net=document.net_minor, vat=document.vat_minor, gross=document.gross_minor),
        "lines": [_line(document, line) for line in document.lines],
    }


def _line(document: InvoiceDocument, line: DocumentLine) -> dict[str, Any]:
    return {
        "line_key": line.line_key,
        "revision": line.revision,
        "description": line.description,
        "because": line.because,
        "quantity": line.quantity,
        "unit": line.unit,
        "unit_price": line.unit_price,
        **_amounts(document.currency, gross=line.gross_minor, discount=line.discount_minor, net=line.net_minor),
        "service_from": line.first_day.isoformat(),
        "service_to": line.last_day.isoformat(),
        "price_list": line.price_list,
        "reason": line.reason,
        "status": line.status,
        "corrects": line.corrects or None,
    }


def _amounts(currency: str, **minor: int) -> dict[str, Any]:
    """`net` and `net_minor` for each."""
    return {
        name: value
        for amount, units in minor.items()
        for name, value in ((amount, plain(units, currency)), (f"{amount}_minor", units))
    }


def _party(party: Party) -> dict[str, str]:
    return {
        "name": party.name,
        "organisation_number": party.organisation_number,
        "vat_id": party.vat_id,
        "endpoint": party.endpoint,
        "street": party.street,
        "city": party.city,
        "postal_code": party.postal_code,
        "country": party.country,
        "email": party.email,
    }
