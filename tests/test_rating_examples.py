"""Does rating give what was calculated by hand, to the smallest unit?

tests/billing/examples.json holds thirty worked months with their calculation; every value named there must be equal.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from store.rules.money import plain
from store.rules.rating import Invoice, Line, adjustments, credit_and_rebill, rate
from store.rules.rating_file import rating_file_from_mapping

CASES = json.loads((Path(__file__).parent / "billing" / "examples.json").read_text(encoding="utf-8"))


def rated(example: dict[str, Any]) -> dict[str, Any]:
    """The answer in the words of the examples."""
    file = rating_file_from_mapping(
        {
            **example,
            "policy": {**CASES["default_policy"], **example.get("policy", {})},
            "price_lists": CASES["price_lists"],
        },
    )
    arguments = (file.price_lists, file.policy)
    invoice = rate(file.facts, file.month, *arguments, file.as_of)
    answer = written(invoice)
    for final in file.final:
        if final.credit_and_rebill:
            correction = credit_and_rebill(file.facts, final.month, final.lines, *arguments, as_of=file.as_of)
            answer["credit_note"] = [written_line(line, invoice.currency) for line in correction.credit]
            answer["rebill"] = written(correction.rebill)["lines"]
        else:
            deltas = adjustments(file.facts, final.month, final.lines, *arguments, as_of=file.as_of)
            answer["adjustments"] = [written_line(line, invoice.currency) for line in deltas]
    return answer


def written(invoice: Invoice) -> dict[str, Any]:
    return {
        "lines": [written_line(line, invoice.currency) for line in invoice.lines],
        "net_total": plain(invoice.net_minor, invoice.currency),
        "vat_total": plain(invoice.vat_minor, invoice.currency),
        "gross_total": plain(invoice.gross_minor, invoice.currency),
        "explain": invoice.explain,
    }


def written_line(line: Line, currency: str) -> dict[str, Any]:
    return {
        "line_key": line.line_key,
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
    }


def named(answer: Any, expected: Any) -> Any:
    """What the answer has under the names that the expectation names; lists whole."""
    if isinstance(expected, dict):
        return {name: named(answer[name], value) for name, value in expected.items()}
    if isinstance(expected, list) and len(answer) == len(expected):
        return [named(mine, theirs) for mine, theirs in zip(answer, expected, strict=True)]
    return answer


@pytest.mark.parametrize("example", CASES["examples"], ids=lambda example: f"{example['id']} {example['title']}")
def test_every_value_named_in_the_worked_month_is_equal(example: dict[str, Any]) -> None:
    answer = rated(example)

    assert named(answer, example["expected"]) == example["expected"]


def test_there_are_thirty_worked_months() -> None:
    assert len({example["id"] for example in CASES["examples"]}) == 30
