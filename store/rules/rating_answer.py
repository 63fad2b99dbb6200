"""The answer to a file of facts: what `rate` gave in the words of the file, amounts as text and in minor units."""

from collections.abc import Iterator
from typing import Any

from store.errors import Refused
from store.rules.money import plain
from store.rules.rating import Invoice, Line, adjustments, credit_and_rebill, rate
from store.rules.rating_file import RatingFile, rating_files

Answer = dict[str, Any]  # goes into JSON as it is


def answers(document: object) -> Iterator[tuple[RatingFile, Answer]]:
    """Each month with its answer, in the file's order. FormatWrong or Refused name the path of what is wrong."""
    for file in rating_files(document):
        try:
            yield file, answer(file)
        except Refused as refused:
            raise Refused(f"{file.path}: {refused}" if file.path else str(refused)) from None


def answer(file: RatingFile) -> Answer:
    """`id`, `lines`, the totals and `explain`; of months that are final also what puts them right.

    That is `adjustments` for those that are adjusted (empty when nothing differs), `credit_note` and `rebill` for the
    others. None of it is in the totals.
    """
    arguments = (file.price_lists, file.policy)
    invoice = rate(file.facts, file.month, *arguments, file.as_of)
    currency = invoice.currency
    said: Answer = {"id": file.id, **written(invoice)}
    for final in file.final:
        if final.credit_and_rebill:
            correction = credit_and_rebill(file.facts, final.month, final.lines, *arguments, as_of=file.as_of)
            said.setdefault("credit_note", []).extend(written_line(line, currency) for line in correction.credit)
            said.setdefault("rebill", []).extend(written(correction.rebill)["lines"])
        else:
            deltas = adjustments(file.facts, final.month, final.lines, *arguments, as_of=file.as_of)
            said.setdefault("adjustments", []).extend(written_line(line, currency) for line in deltas)
    return said


def written(invoice: Invoice) -> Answer:
    """The month's lines, its totals as decimal text, and the numbers behind them."""
    return {
        "lines": [written_line(line, invoice.currency) for line in invoice.lines],
        "net_total": plain(invoice.net_minor, invoice.currency),
        "vat_total": plain(invoice.vat_minor, invoice.currency),
        "gross_total": plain(invoice.gross_minor, invoice.currency),
        "explain": invoice.explain,
    }


def written_line(line: Line, currency: str) -> Answer:
    """One line. `was` and `now` are the amounts before and after an adjustment, else null."""
    return {
        "line_key": line.line_key,
        "description": line.description,
        "because": line.because,
        "quantity": line.quantity,
        "unit": line.unit,
        "unit_price": line.unit_price,
        "gross": plain(line.gross_minor, currency),
        "discount": plain(line.discount_minor, currency),
        "net": plain(line.net_minor, currency),
        "net_minor": line.net_minor,
        "reason": line.reason,
        "price_list": line.price_list,
        "status": line.status,
        "fraction": line.fraction,
        "was": line.explain.get("was"),
        "now": line.explain.get("now"),
        "explain": line.explain,
    }
