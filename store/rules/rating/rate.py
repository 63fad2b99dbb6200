"""The one rating function: what a company owes for a month, from facts alone.

The invoice, its preview, a later adjustment and the New key dialog's cost are all this function with other arguments.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from store.rules import calendar
from store.rules.price_lists import PriceList, in_force
from store.rules.rating.counting import (
    ONE_DAY,
    Month,
    access_days,
    billed_users,
    overflow_test_keys,
    peak_slots,
)
from store.rules.rating.facts import CompanyFacts, Policy, UsageFact
from store.rules.rating.invoice import Explain, Invoice, Line, totals
from store.rules.rating.lines import (
    Pricing,
    access_lines,
    extra_key_line,
    extra_test_key_line,
    overuse,
    written,
)
from store.rules.rating.terms import Terms


def rate(
    facts: CompanyFacts,
    month: str,
    price_lists: Sequence[PriceList],
    policy: Policy,
    as_of: datetime | None = None,
) -> Invoice:
    """Rate the local month ("2026-11"). What happened after `as_of` is unknown; None: all facts given count.

    Refused when something is owed and no price list is in force. A company that owes nothing gets no lines.
    """
    span = Month.of(month, calendar.zone(facts.zone), as_of)
    terms = Terms(facts.terms, span.first_day)
    ranges = access_days(facts.access, span)
    on_days = sum((end - start).days for start, end in ranges)
    known_days = [(span.first_day, span.last_day + ONE_DAY)] if span.last_day >= span.first_day else []
    users = billed_users(facts.licences, ranges or known_days, span, policy)
    allowance = users.count + (terms.number("extra_key", "included") or 0)
    peak = peak_slots(facts.keys, span, policy)
    agreed_free = terms.number("extra_test_key", "free_test_keys")
    free = policy.free_test_keys_per_resource if agreed_free is None else agreed_free
    overflow = overflow_test_keys(facts.keys, span, policy, free)
    elsewhere = facts.access_invoiced_elsewhere or terms.find("access", "access_invoiced_elsewhere") is not None
    requests, size = _used(facts.usage, span, policy, as_of)

    explain: Explain = {
        "month": month,
        "zone": facts.zone,
        "as_of": None if as_of is None else f"{as_of:%Y-%m-%dT%H:%M:%SZ}",
        "billed_users": users.count,
        "billed_users_on": users.on.isoformat() if users.on is not None else None,
        "allowance": allowance,
        "peak_slots": peak.slots,
        "peak_at": written(peak),
        "overflow_test_keys": [key.id for key in overflow],
        "free_test_keys_per_resource": free,
        "access_days": on_days,
        "days_in_month": span.days,
        "access_invoiced_elsewhere": elsewhere,
        "price_list": None,
        "usage": {},
    }
    lines: list[Line] = []
    if (ranges and not elsewhere) or peak.slots > allowance or overflow or requests or size:
        prices = in_force(price_lists, facts.currency, facts.price_list, span.first_day)
        pricing = Pricing(facts, span, policy, terms, prices)
        explain["price_list"] = prices.ref
        extras: list[Line] = []
        if peak.slots > allowance:
            extras.append(extra_key_line(pricing, peak, allowance))
        if overflow:
            extras.append(extra_test_key_line(pricing, overflow, free))
        # The clause asks whether an extra is invoiced; one that is free or waived is not.
        clause_for = "" if ranges else " and ".join(_CLAUSE[line.line_key] for line in extras if line.net_minor)
        if not elsewhere and (ranges or clause_for):
            lines += access_lines(pricing, users, on_days, clause_for)
        lines += extras
        for line_key, used in (("overuse_requests", requests), ("overuse_data", size)):
            rated = overuse(pricing, line_key, used, users.count)
            if rated is not None:
                explain["usage"][line_key], line = rated
                lines += [line] if line is not None else []
    net, vat = totals(lines, facts.vat_rate)
    return Invoice(
        month=month,
        currency=facts.currency,
        lines=tuple(lines),
        net_minor=net,
        vat_minor=vat,
        gross_minor=net + vat,
        vat_category=facts.vat_category,
        vat_rate=facts.vat_rate,
        so_far=span.so_far,
        explain=explain,
    )


_CLAUSE = {"extra_key": "an extra key", "extra_test_key": "an extra test key"}


def _used(usage: Iterable[UsageFact], month: Month, policy: Policy, as_of: datetime | None) -> tuple[int, int]:
    """Requests and bytes of the month's billable environments, as far as Keydesk knew of them at `as_of`."""
    requests = size = 0
    for fact in usage:
        if as_of is not None and (fact.received_at or fact.hour) > as_of:
            continue
        if month.start <= fact.hour < month.cut and fact.environment in policy.usage_environments:
            requests += fact.requests
            size += fact.bytes
    return requests, size
