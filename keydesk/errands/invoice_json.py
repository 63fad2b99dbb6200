"""`keydesk invoice show|explain --json`: what is stored, for other programs. Instants are UTC, amounts exact text."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from store.rules.money import plain
from store.tables import Company, InvoiceLine, InvoiceMonth


def months(company: Company, month: str, documents: Iterable[tuple[InvoiceMonth, Iterable[InvoiceLine]]]) -> str:
    """The month and each correction of it, in their order."""
    told = {
        "company": company.external_id,
        "name": company.name,
        "time_zone": company.time_zone,
        "month": month,
        "documents": [_document(document, lines) for document, lines in documents],
    }
    return _written(told)


def lines(company: Company, month: str, found: Iterable[InvoiceLine]) -> str:
    """The lines of one key, of each document that has it."""
    return _written({"company": company.external_id, "month": month, "lines": [_line(line) for line in found]})


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _document(document: InvoiceMonth, of_it: Iterable[InvoiceLine]) -> dict[str, Any]:
    amounts = {"net": document.net_minor, "vat": document.vat_minor, "gross": document.gross_minor}
    return {
        "revision": document.revision,
        "state": document.state,
        "error": document.error,
        "reason": document.reason,
        "rated_at": _instant(document.rated_at),
        "final_at": _instant(document.final_at),
        "currency": document.currency,
        "vat_category": document.vat_category,
        "vat_rate": document.vat_rate,
        **_amounts(document.currency, amounts),
        "explain": document.explain,
        "lines": [_line(line) for line in of_it],
    }


def _line(line: InvoiceLine) -> dict[str, Any]:
    names = (
        "line_key", "revision", "description", "because", "quantity", "unit", "unit_price", "currency", "status",
        "decided_by", "decided_reason", "corrects", "transfer", "reason", "price_list", "explain",
    )  # fmt: skip
    amounts = {"gross": line.gross_minor, "discount": line.discount_minor, "net": line.net_minor}
    told = {name: getattr(line, name) for name in names}
    return {**told, "decided_at": _instant(line.decided_at), **_amounts(line.currency, amounts)}


def _amounts(currency: str, minor: dict[str, int]) -> dict[str, Any]:
    """`net` as decimal text and `net_minor` in the smallest unit, for each."""
    texts = {name: plain(units, currency) for name, units in minor.items()}
    return texts | {f"{name}_minor": units for name, units in minor.items()}


def _instant(value: datetime | None) -> str | None:
    return None if value is None else f"{value:%Y-%m-%dT%H:%M:%SZ}"
