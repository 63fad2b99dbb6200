"""Do facts in the store, a worker and its clock give what was calculated by hand, to the smallest unit?

The thirty worked months as rows; the worker runs on the days on which it would, and the lines are read back.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cast import LONG_AGO, OLAV
from worker_log import Said
from written_facts import EXAMPLES, policy_of, write_facts, write_price_lists

from jobs.json_log import JsonLog
from jobs.schedule import TIMETABLE
from jobs.worker import Worker
from store import installation, invoice_corrections, invoice_verify, invoices, rating_policy
from store.installation import Installation
from store.rules import calendar
from store.rules.money import plain
from store.tables import Company, InvoiceLine, InvoiceMonth, Key

_INVOICES = [job for job in TIMETABLE if job.name.startswith("invoice-")]


def work(*instants: datetime) -> None:
    """A worker that is awake at these instants."""
    said = Said()
    worker = Worker(log=JsonLog(said, clock=lambda: instants[0]), timetable=_INVOICES, version="0.1.0")
    for now in instants:
        worker.once(now)
    worker.end(instants[-1])
    assert said.named("run.failed") == []


def first_after(month: str, days: int = 0) -> datetime:
    """Noon of the 1st of the next month, or some days later: all zones of the examples have begun it."""
    year, number = map(int, calendar.next_month(month).split("-"))
    return datetime(year, number, 1, 12, tzinfo=UTC) + timedelta(days=days)


def read_back(company: Company, month: str, revision: int = 1) -> list[dict[str, Any]]:
    rows = InvoiceLine.select().where(
        InvoiceLine.company == company, InvoiceLine.month == month, InvoiceLine.revision == revision
    )
    return [
        {
            "line_key": row.line_key,
            "quantity": row.quantity,
            "unit": row.unit,
            "unit_price": row.unit_price,
            "gross": plain(row.gross_minor, row.currency),
            "discount": plain(row.discount_minor, row.currency),
            "net": plain(row.net_minor, row.currency),
            "net_minor": row.net_minor,
            "reason": row.reason,
            "price_list": row.price_list,
            "status": row.status,
            "fraction": row.explain.get("fraction"),
            "was": row.explain.get("was"),
            "now": row.explain.get("now"),
        }
        for row in rows.order_by(InvoiceLine.id)
    ]


def answer_of(company: Company, month: str) -> dict[str, Any]:
    """What is stored of a month, in the words of the examples."""
    stored = InvoiceMonth.get(InvoiceMonth.company == company, InvoiceMonth.month == month, InvoiceMonth.revision == 1)
    lines = read_back(company, month)
    names = {key.id: key.label for key in Key.select()}
    explain = {**stored.explain, "overflow_test_keys": [names[key] for key in stored.explain["overflow_test_keys"]]}
    return {
        "lines": [line for line in lines if not line["line_key"].startswith("adj:")],
        "adjustments": [line for line in lines if line["line_key"].startswith("adj:")],
        "net_total": plain(stored.net_minor, stored.currency),
        "vat_total": plain(stored.vat_minor, stored.currency),
        "gross_total": plain(stored.gross_minor, stored.currency),
        "explain": explain,
    }


def named(answer: Any, expected: Any) -> Any:
    """What the answer has under the names that the expectation names; lists whole."""
    if isinstance(expected, dict):
        return {name: named(answer[name], value) for name, value in expected.items()}
    if isinstance(expected, list) and len(answer) == len(expected):
        return [named(mine, theirs) for mine, theirs in zip(answer, expected, strict=True)]
    return answer


def by_policy() -> dict[str, list[dict[str, Any]]]:
    """The months that were over when they were rated, by the policy that a store must have for them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for example in EXAMPLES.values():
        if example["id"] not in {"E18", "E21"}:
            found.setdefault(json.dumps(policy_of(example), sort_keys=True), []).append(example)
    return {" ".join(example["id"] for example in examples): examples for examples in found.values()}


GROUPS = by_policy()


@pytest.fixture
def store(empty_store: str) -> None:
    installation.set_up(Installation(vendor="Fjord Software"), LONG_AGO)
    write_price_lists()


@pytest.mark.parametrize("group", GROUPS)
def test_worked_months_are_drafted_by_the_worker_to_the_last_value_and_stay_so_when_final(
    store: None, group: str
) -> None:
    rating_policy.choose(OLAV, policy_of(GROUPS[group][0]), LONG_AGO)
    companies = [(write_facts(example), example) for example in GROUPS[group]]
    finals = [(company, final) for company, example in companies for final in example.get("finalized", [])]
    months = {example["period"] for _, example in companies} | {final["period"] for _, final in finals}

    for month in sorted(months):
        work(first_after(month))
        here = [(company, example) for company, example in companies if example["period"] == month]
        drafts = {company.id: read_back(company, month) for company, _ in here}
        for company, example in here:
            assert named(answer_of(company, month), example["expected"]) == example["expected"], example["id"]

        work(first_after(month, days=3))
        for company, final in finals:
            if final["period"] == month:
                assert named(read_back(company, month), final["lines"]) == final["lines"]
        for company, _ in here:
            decided = [line for line in drafts[company.id] if line["status"] != "needs_review"]
            assert read_back(company, month) == decided
            stored = InvoiceMonth.get(InvoiceMonth.company == company, InvoiceMonth.month == month)
            assert (stored.state, stored.carried) == ("final", len(drafts[company.id]) - len(decided))
        assert list(invoice_verify.verify(month)) == []


def test_the_month_so_far_is_the_same_function_with_an_earlier_cut(store: None) -> None:
    example = EXAMPLES["E21"]
    rating_policy.choose(OLAV, policy_of(example), LONG_AGO)
    company = write_facts(example)

    invoice = invoices.rate(company.id, "2026-11", datetime.fromisoformat(example["as_of"]))

    lines = [
        {
            "line_key": line.line_key,
            "quantity": line.quantity,
            "unit_price": line.unit_price,
            "net": plain(line.net_minor, "NOK"),
        }
        for line in invoice.lines
    ]
    assert {"lines": lines, "net_total": plain(invoice.net_minor, "NOK")} == example["expected"]


def test_an_error_in_a_final_month_is_credited_to_the_ore_and_billed_again(store: None) -> None:
    example = EXAMPLES["E18"]
    rating_policy.choose(OLAV, policy_of(example), LONG_AGO)
    company = write_facts(example)
    test_keys = [key for key in Key.select() if key.kind == "test"]
    Key.update(kind="standard").execute()  # the error: test keys were written down as standard ones
    work(first_after("2026-10"), first_after("2026-10", days=3))
    assert named(read_back(company, "2026-10"), example["finalized"][0]["lines"]) == example["finalized"][0]["lines"]
    Key.update(kind="test").where(Key.id.in_([key.id for key in test_keys])).execute()

    drift = list(invoice_verify.verify("2026-10"))
    correction = invoice_corrections.credit_and_rebill(
        OLAV, company.id, "2026-10", "Test keys were invoiced.", first_after("2026-10", days=9)
    )
    work(first_after("2026-11"))

    assert [(each.line_key, each.what, each.stored, each.computed) for each in drift] == [
        ("extra_key", "line", "147.00", "none")
    ]
    assert correction.sentence("2026-10") == "October 2026 changes from NOK 272.00 to NOK 125.00."
    written = read_back(company, "2026-10", revision=2)
    expected = example["expected"]
    assert (
        named(
            {
                "lines": read_back(company, "2026-11"),
                "credit_note": [line for line in written if line["line_key"].startswith("credit:")],
                "rebill": [line for line in written if not line["line_key"].startswith("credit:")],
            },
            expected,
        )
        == expected
    )
    sums = {
        row.revision: (row.state, row.net_minor, row.vat_minor, row.gross_minor)
        for row in InvoiceMonth.select().where(InvoiceMonth.month == "2026-10")
    }
    assert sums == {1: ("final", 27200, 6800, 34000), 2: ("final", -14700, -3675, -18375)}
    corrects = [row.corrects for row in InvoiceLine.select().where(InvoiceLine.revision == 2).order_by(InvoiceLine.id)]
    assert corrects == ["2026-10#1/access", "2026-10#1/extra_key", "2026-10#1/access"]
    assert list(invoice_verify.verify("2026-10")) == []


def test_all_thirty_are_here() -> None:
    assert sum(len(group) for group in GROUPS.values()) + 2 == len(EXAMPLES) == 30
