"""What follows when facts disagree with a month that is already final: delta lines, or a whole credit and a new bill.

A final line is never changed. `stored` are the lines as they were stored for that month; an earlier delta line for the
same month, wherever it was invoiced, belongs to them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from store.rules import calendar
from store.rules.money import amount, plain
from store.rules.price_lists import PriceList
from store.rules.rating.counting import ONE_DAY
from store.rules.rating.facts import CompanyFacts, Policy, UsageFact
from store.rules.rating.invoice import Invoice, Line
from store.rules.rating.rate import rate
from store.rules.rating.sentences import month_words


def adjustments(
    facts: CompanyFacts,
    month: str,
    stored: Iterable[Line],
    price_lists: Sequence[PriceList],
    policy: Policy,
    *,
    as_of: datetime | None = None,
) -> tuple[Line, ...]:
    """Delta lines "adj:2026-10:overuse_requests" for the current draft; none where nothing differs.

    The month is rated again with its own price list. Usage later than `late_usage_days` is left out; see `too_late`.
    """
    late = set(too_late(facts, month, policy))
    known = replace(facts, usage=tuple(fact for fact in facts.usage if fact not in late))
    again = {line.line_key: line for line in rate(known, month, price_lists, policy, as_of).lines}
    prefix = f"adj:{month}:"
    was: dict[str, int] = {}
    billed: dict[str, Line] = {}
    for each in stored:
        line_key = each.line_key.removeprefix(prefix)
        was[line_key] = was.get(line_key, 0) + each.net_minor
        billed.setdefault(line_key, each)
    deltas = []
    for line_key in [*again, *(line_key for line_key in was if line_key not in again)]:
        line = again.get(line_key)
        change = _Change(
            month, line_key, facts.currency, was.get(line_key, 0), line.net_minor if line is not None else 0
        )
        if change.now_minor != change.was_minor:
            deltas.append(_delta(change, line if line is not None else billed[line_key]))
    return tuple(deltas)


def too_late(facts: CompanyFacts, month: str, policy: Policy) -> tuple[UsageFact, ...]:
    """Usage of that month that came so late that it is reported, and no longer invoiced."""
    zone = calendar.zone(facts.zone)
    start, end = calendar.month_bounds(month, zone)
    last = calendar.start_of_day(calendar.local_day(end, zone) + policy.late_usage_days * ONE_DAY, zone)
    return tuple(
        fact
        for fact in facts.usage
        if start <= fact.hour < end and fact.received_at is not None and fact.received_at >= last
    )


@dataclass(frozen=True, slots=True)
class Correction:
    """An error put right: `credit` takes back every stored line, `rebill` is the month as it should have been."""

    credit: tuple[Line, ...]
    rebill: Invoice


def credit_and_rebill(
    facts: CompanyFacts,
    month: str,
    stored: Iterable[Line],
    price_lists: Sequence[PriceList],
    policy: Policy,
    *,
    as_of: datetime | None = None,
) -> Correction:
    """The credit negates what is stored and computes nothing, so that it cannot be one øre off."""
    return Correction(
        credit=tuple(_credit(month, line) for line in stored if line.status == "ok"),
        rebill=rate(facts, month, price_lists, policy, as_of),
    )


@dataclass(frozen=True, slots=True)
class _Change:
    month: str
    line_key: str
    currency: str
    was_minor: int
    now_minor: int


def _delta(change: _Change, model: Line) -> Line:
    """A fall is a negative quantity of a positive price, as e-invoices want it. `model` lends its name and status."""
    month, currency = change.month, change.currency
    net = change.now_minor - change.was_minor
    was, now = plain(change.was_minor, currency), plain(change.now_minor, currency)
    return Line(
        line_key=f"adj:{month}:{change.line_key}",
        description=f"Adjustment for {month_words(month)}: {model.description}",
        quantity="1" if net > 0 else "-1",
        unit="adjustment",
        unit_price=plain(abs(net), currency),
        gross_minor=net,
        discount_minor=0,
        net_minor=net,
        reason="adjustment",
        price_list=model.price_list,
        because=(
            f"This line of {month_words(month)} was invoiced at {amount(change.was_minor, currency)}; "
            f"with what is known now it is {amount(change.now_minor, currency)}."
        ),
        status=model.status,
        explain={
            "corrects": {"month": month, "line_key": change.line_key},
            "was": was,
            "now": now,
            "arithmetic": f"{now} - {was} = {plain(net, currency)}",
            "now_explain": model.explain if change.now_minor else {},
        },
    )


def _credit(month: str, line: Line) -> Line:
    return replace(
        line,
        line_key=f"credit:{line.line_key}",
        description=f"Credit for {month_words(month)}: {line.description}",
        quantity=line.quantity.removeprefix("-") if line.quantity.startswith("-") else f"-{line.quantity}",
        gross_minor=-line.gross_minor,
        discount_minor=-line.discount_minor,
        net_minor=-line.net_minor,
        reason="credit",
        because=f"Takes back this line of {month_words(month)} exactly as it was invoiced.",
        explain={"corrects": {"month": month, "line_key": line.line_key}, "as_invoiced": line.explain},
    )
