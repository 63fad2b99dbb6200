"""What holds for every company and month, whatever the facts?"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.rules.price_lists import parse
from store.rules.rating import (
    AccessSpan,
    CompanyFacts,
    ContractTerm,
    KeyFact,
    LicenceFact,
    Policy,
    UsageFact,
    adjustments,
    credit_and_rebill,
    rate,
)
from store.rules.rating.facts import KeyKind

PRICES = [
    parse(each)
    for each in json.loads((Path(__file__).parent / "billing" / "examples.json").read_text(encoding="utf-8"))[
        "price_lists"
    ]
]
# March 2026 in Oslo: 28 February 23:00 UTC to 31 March 22:00 UTC, with a day of 23 hours on the 29th.
MONTH, START, END = "2026-03", datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 3, 31, 22, tzinfo=UTC)
OSLO = ZoneInfo("Europe/Oslo")

# Half-hours from ten days before the month to ten days after it, so that facts often meet each other and the bounds.
instants = st.integers(-480, 31 * 48 + 480).map(lambda half_hours: START + timedelta(minutes=30 * half_hours))
lengths = st.integers(0, 30 * 48).map(lambda half_hours: timedelta(minutes=30 * half_hours))


KINDS: st.SearchStrategy[KeyKind] = st.sampled_from(["standard", "standard", "test"])


@st.composite
def key_lists(draw: st.DrawFn) -> tuple[KeyFact, ...]:
    keys: list[KeyFact] = []
    for number in range(draw(st.integers(0, 7))):
        made = draw(instants)
        end = made + draw(lengths)
        spans = [(made, end)]
        if draw(st.booleans()):
            again = end + draw(lengths)
            spans.append((again, again + draw(lengths)))
        kind = draw(KINDS)
        succeeded = {key.rotated_from for key in keys}
        free = [key for key in keys if key.kind == "standard" and key.id not in succeeded]
        rotated = draw(st.sampled_from([None, *free])) if kind == "standard" else None
        keys.append(
            KeyFact(
                number,
                draw(st.integers(1, 2)),
                kind,
                made,
                tuple(span for span in spans if span[0] < span[1]),
                None if rotated is None else rotated.id,
            )
        )
    return tuple(keys)


companies = st.builds(
    CompanyFacts,
    company=st.just("C1"),
    zone=st.just("Europe/Oslo"),
    currency=st.sampled_from(["NOK", "ISK", "EUR"]),
    price_list=st.just("API"),
    vat_rate=st.sampled_from([Decimal(25), Decimal("25.5"), Decimal(0)]),
    access=st.lists(st.builds(lambda at, length: AccessSpan(at, at + length), instants, lengths), max_size=3).map(
        tuple
    ),
    licences=st.lists(st.builds(LicenceFact, instants, st.integers(0, 4)), max_size=5).map(tuple),
    keys=key_lists(),
    usage=st.lists(
        st.builds(
            UsageFact, instants, st.integers(0, 10**6), st.integers(0, 10**11), st.sampled_from(["prod", "sandbox"])
        ),
        max_size=5,
    ).map(tuple),
    terms=st.lists(
        st.builds(
            ContractTerm,
            st.sampled_from(["access", "extra_key", "extra_test_key", "overuse_requests"]),
            st.sampled_from(["unit_price", "discount_percent", "waive"]),
            st.just(date(2026, 1, 1)),
            st.none(),
            st.sampled_from([Decimal("33.33"), Decimal(7)]),
            st.sampled_from(["a", "b"]),
        ),
        max_size=3,
    ).map(tuple),
    access_invoiced_elsewhere=st.booleans(),
)
policies = st.builds(
    Policy,
    licensed_users_rule=st.sampled_from(["peak", "end", "start"]),
    test_key_window=st.sampled_from(["lifetime", "period", "concurrent"]),
    test_overflow_cadence=st.sampled_from(["once", "monthly"]),
    access_proration=st.sampled_from(["none", "daily"]),
    overuse_mode=st.sampled_from(["auto", "review", "off"]),
    free_test_keys_per_resource=st.integers(0, 3),
)


@given(facts=companies, policy=policies)
def test_the_total_is_the_sum_of_its_lines_taxed_once(facts: CompanyFacts, policy: Policy) -> None:
    invoice = rate(facts, MONTH, PRICES, policy)

    assert invoice.net_minor == sum(line.net_minor for line in invoice.lines if line.status == "ok")
    assert invoice.gross_minor == invoice.net_minor + invoice.vat_minor
    assert abs(invoice.vat_minor * 1000 - invoice.net_minor * int(facts.vat_rate * 10)) <= 500
    assert all(line.net_minor == line.gross_minor - line.discount_minor >= 0 for line in invoice.lines)
    assert len({line.line_key for line in invoice.lines}) == len(invoice.lines)


ARITHMETIC = re.compile(r"(\d+) x ([\d.]+)(?: x (\d+)/(\d+))? = ([\d.]+)(?:; \5 - ([\d.]+) = ([\d.]+))?")


@given(facts=companies, policy=policies)
def test_each_line_s_amount_follows_from_its_derivation_alone(facts: CompanyFacts, policy: Policy) -> None:
    unit = 1 if facts.currency == "ISK" else 100
    for line in rate(facts, MONTH, PRICES, policy).lines:
        told = line.explain
        written = ARITHMETIC.fullmatch(told["arithmetic"])
        assert written is not None
        quantity, price, part, whole, gross, discount, net = written.groups()
        exact = Fraction(quantity) * Fraction(price) * Fraction(int(part or 1), int(whole or 1)) * unit
        assert line.gross_minor == Fraction(gross) * unit == (2 * exact + 1) // 2  # half away from zero
        assert line.net_minor == Fraction(net or gross) * unit
        assert line.discount_minor == Fraction(discount or 0) * unit
        assert quantity == line.quantity
        if line.line_key == "extra_key":
            assert int(quantity) == told["extra_keys"] == told["peak_slots"] - told["allowance"]
        elif line.line_key == "extra_test_key":
            assert int(quantity) == len(told["keys"])
        elif line.line_key.startswith("overuse"):
            assert told["over"] == told["used"] - told["included"] > 0
            assert int(quantity) == told["blocks"] == -(-told["over"] // told["block"])


@given(facts=companies, policy=policies, data=st.data())
def test_the_order_of_the_facts_changes_nothing(facts: CompanyFacts, policy: Policy, data: st.DataObject) -> None:
    shuffled = replace(
        facts,
        access=tuple(data.draw(st.permutations(facts.access))),
        licences=tuple(data.draw(st.permutations(facts.licences))),
        keys=tuple(data.draw(st.permutations(facts.keys))),
        usage=tuple(data.draw(st.permutations(facts.usage))),
        terms=tuple(data.draw(st.permutations(facts.terms))),
    )

    assert rate(shuffled, MONTH, list(reversed(PRICES)), policy) == rate(facts, MONTH, PRICES, policy)


@given(facts=companies, policy=policies)
def test_the_preview_at_the_months_end_is_the_invoice(facts: CompanyFacts, policy: Policy) -> None:
    preview = rate(facts, MONTH, PRICES, policy, END)
    invoice = rate(facts, MONTH, PRICES, policy)

    assert replace(preview, explain=preview.explain | {"as_of": None}) == invoice


@given(facts=companies, policy=policies, as_of=instants)
def test_a_preview_knows_nothing_of_what_comes_later(facts: CompanyFacts, policy: Policy, as_of: datetime) -> None:
    known = replace(
        facts,
        access=tuple(
            AccessSpan(span.start, span.end if span.end is not None and span.end <= as_of else None)
            for span in facts.access
            if span.start <= as_of
        ),
        licences=tuple(fact for fact in facts.licences if fact.at <= as_of),
        keys=tuple(
            replace(key, spans=tuple(span for span in key.spans if span[0] <= as_of))
            for key in facts.keys
            if key.created_at <= as_of
        ),
        usage=tuple(fact for fact in facts.usage if fact.hour <= as_of),
    )

    assert rate(known, MONTH, PRICES, policy, as_of) == rate(facts, MONTH, PRICES, policy, as_of)


@given(facts=companies, policy=policies)
def test_a_month_that_is_final_and_has_no_new_facts_has_no_adjustment_and_its_credit_mirrors_it(
    facts: CompanyFacts, policy: Policy
) -> None:
    invoice = rate(facts, MONTH, PRICES, policy)

    assert adjustments(facts, MONTH, invoice.lines, PRICES, policy) == ()
    correction = credit_and_rebill(facts, MONTH, invoice.lines, PRICES, policy)
    assert sum(line.net_minor for line in correction.credit) == -invoice.net_minor
    assert correction.rebill == invoice


@settings(max_examples=60)
@given(facts=companies, policy=policies)
def test_slots_and_users_are_what_a_slow_count_by_half_hours_and_days_gives(
    facts: CompanyFacts, policy: Policy
) -> None:
    explain = rate(facts, MONTH, PRICES, policy).explain

    held = [(slots_by_hand(facts.keys, moment), moment) for moment in half_hours()]
    most = max(number for number, _ in held)
    first = next(moment for number, moment in held if number == most)
    assert explain["peak_slots"] == most
    assert explain["peak_at"] == (f"{first:%Y-%m-%dT%H:%M:%SZ}" if most else None)

    days = [date(2026, 3, 1) + timedelta(days=number) for number in range(31)]
    on = [day for day in days if on_at_end(facts.access, day)]
    counts = {day: licences_at_end(facts.licences, day) for day in on or days}
    highest = max(counts.values())
    wanted = {
        "peak": (highest, next(day for day, count in counts.items() if count == highest)),
        "start": (counts[min(counts)], min(counts)),
        "end": (counts[max(counts)], max(counts)),
    }[policy.licensed_users_rule]
    assert (explain["billed_users"], explain["billed_users_on"]) == (wanted[0], wanted[1].isoformat())
    assert explain["access_days"] == len(on)


def half_hours() -> Iterator[datetime]:
    moment = START
    while moment < END:
        yield moment
        moment += timedelta(minutes=30)


def slots_by_hand(keys: tuple[KeyFact, ...], moment: datetime) -> int:
    alive = {key.id: key for key in keys if key.kind == "standard" and any(a <= moment < b for a, b in key.spans)}
    sharing = [
        key for key in alive.values() if key.rotated_from in alive and moment < key.created_at + timedelta(days=7)
    ]
    return len(alive) - len(sharing)


def end_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=OSLO) + timedelta(days=1)


def on_at_end(spans: tuple[AccessSpan, ...], day: date) -> bool:
    return any(span.start < end_of(day) and (span.end is None or span.end >= end_of(day)) for span in spans)


def licences_at_end(licences: tuple[LicenceFact, ...], day: date) -> int:
    known = sorted((fact.at, fact.count) for fact in licences if fact.at < end_of(day))
    return known[-1][1] if known else 0


@given(facts=companies, policy=policies)
def test_nothing_in_the_result_is_a_binary_fraction_and_the_derivation_is_json(
    facts: CompanyFacts, policy: Policy
) -> None:
    invoice = rate(facts, MONTH, PRICES, policy)

    assert not [value for value in inside(invoice) if isinstance(value, float)]
    assert json.loads(json.dumps(invoice.explain)) == invoice.explain
    assert [json.loads(json.dumps(line.explain)) for line in invoice.lines] == [line.explain for line in invoice.lines]


def inside(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict):
        inner = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple):
        inner = list(value)
    elif is_dataclass(value):
        inner = [getattr(value, field.name) for field in fields(value)]
    else:
        inner = []
    for each in inner:
        yield from inside(each)


RULES = Path(__file__).parent.parent / "store" / "rules"
MONEY_FILES = [
    RULES / "money.py",
    RULES / "price_lists.py",
    RULES / "reading.py",
    RULES / "rating_file.py",
    *sorted((RULES / "rating").glob("*.py")),
]


@pytest.mark.parametrize("path", MONEY_FILES, ids=lambda path: path.name)
def test_no_binary_fraction_and_no_true_division_is_written_where_money_is_computed(path: Path) -> None:
    faults = [
        f"{path.name}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div))
    ]

    assert faults == []
