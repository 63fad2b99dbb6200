"""CSV, one row a line: RFC 4180, UTF-8, decimal points, dates as the company's calendar has them.

Text is guarded against spreadsheets that take it for a formula; a number is never text, however it begins.
"""

import csv
import io
from collections.abc import Iterable

from store.exports.document import DocumentLine, InvoiceDocument
from store.rules.money import plain
from store.rules.text import csv_cell

COLUMNS = (
    "document", "kind", "state", "company", "name", "billing_reference", "issued_on", "line_key", "revision",
    "description", "quantity", "unit", "unit_price", "gross", "discount", "net", "gross_minor", "discount_minor",
    "net_minor", "currency", "vat_category", "vat_rate", "service_from", "service_to", "price_list", "reason",
    "corrects",
)  # fmt: skip


def write(documents: Iterable[InvoiceDocument]) -> bytes:
    """The header and a row for each line, each ended by CR LF."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    for document in documents:
        for line in document.lines:
            rows.writerow(_row(document, line))
    return text.getvalue().encode()


def _row(document: InvoiceDocument, line: DocumentLine) -> list[str]:
    amounts = (line.gross_minor, line.discount_minor, line.net_minor)
    return [
        csv_cell(document.number),
        document.kind,
        "draft" if document.is_draft else "final",
        csv_cell(document.company),
        csv_cell(document.buyer.name),
        csv_cell(document.billing_reference),
        document.issued_on.isoformat(),
        line.line_key,
        str(line.revision),
        csv_cell(line.description),
        line.quantity,
        csv_cell(line.unit),
        line.unit_price,
        *(plain(amount, document.currency) for amount in amounts),
        *map(str, amounts),
        document.currency,
        document.vat_category,
        f"{document.vat_rate:f}",
        line.first_day.isoformat(),
        line.last_day.isoformat(),
        csv_cell(line.price_list),
        line.reason,
        csv_cell(document.corrects or line.corrects),
    ]
