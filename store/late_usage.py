"""What a draft adds for months that are final: usage that came late, and overuse that nobody had decided about.

The month is rated again with the prices, the policy and the zone it had. Only overuse is put right this way: other
facts that disagree with a final month are an error, to be credited and billed again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from store import billing_facts, invoice_rows, prices, rating_policy, usage_facts
from store.database import run_sql
from store.rules import calendar
from store.rules.price_lists import PriceList
from store.rules.rating import CompanyFacts, Policy, adjustments, too_late
from store.rules.rating.invoice import Line
from store.rules.rating.sentences import WAITS, month_words
from store.tables import Company, InvoiceMonth
from store.usage_facts import marks

LOOK_BACK: Final = 13  # months
_LATE_LINES: Final = ("overuse_requests", "overuse_data")


@dataclass(frozen=True, slots=True)
class Added:
    """The lines for a draft, and what came too late to be invoiced: month, requests, bytes."""

    lines: tuple[Line, ...]
    too_late: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class AsRated:
    """How a final month was rated."""

    facts: CompanyFacts
    price_lists: Sequence[PriceList]
    policy: Policy


def months(company_ids: Sequence[int], month: str, as_of: datetime) -> dict[int, list[str]]:
    """The earlier months for which the draft of `month` may have to add something, by company."""
    first = month
    for _ in range(LOOK_BACK):
        first = calendar.previous_month(first)
    found = {company_id: set(each) for company_id, each in usage_facts.late(company_ids, first, month, as_of).items()}
    carried = f"""
        SELECT company_id, month FROM invoice_month
        WHERE company_id IN ({marks(len(company_ids))}) AND month >= ? AND month < ? AND carried > 0
    """  # noqa: S608 - our own words
    for company_id, earlier in run_sql(carried, (*company_ids, first, month)).fetchall():
        # A carried line may itself be about a month before.
        found.setdefault(int(company_id), set()).update(_about(int(company_id), str(earlier)))
    return {company_id: sorted(each) for company_id, each in found.items()}


def added(company_id: int, month: str, earlier: Iterable[str], as_of: datetime) -> Added:
    """What the draft of `month` adds for the earlier months, and what of their usage came too late during it."""
    company = Company.get_by_id(company_id)
    lines: list[Line] = []
    reported: list[dict[str, Any]] = []
    for each in earlier:
        final = InvoiceMonth.get_or_none(
            InvoiceMonth.company == company_id,
            InvoiceMonth.month == each,
            InvoiceMonth.revision == 1,
            InvoiceMonth.state == "final",
        )
        if final is None or final.currency != company.currency:
            continue
        rated = as_rated(company, final)
        lines += _lines(rated, each, company_id, as_of, carried=final.carried > 0)
        start, end = calendar.month_bounds(month, calendar.zone(company.time_zone))
        late = [
            fact
            for fact in too_late(rated.facts, each, rated.policy)
            if fact.received_at is not None and start <= fact.received_at < end
        ]
        if late:
            requests, size = sum(fact.requests for fact in late), sum(fact.bytes for fact in late)
            reported.append({"month": each, "requests": requests, "bytes": size})
    return Added(tuple(lines), tuple(reported))


def as_rated(company: Company, final: InvoiceMonth) -> AsRated:
    """The company's facts as they stand, with the zone, prices, tax and policy that a final month was rated by."""
    facts, lists = billing_facts.read(company, (final.month,))
    explain = final.explain or {}
    code = (explain.get("price_list") or f"{company.price_list}/").partition("/")[0]
    zone = explain.get("zone", company.time_zone)
    if zone != company.time_zone:
        facts = replace(facts, usage=usage_facts.of_company(company.id, zone, (final.month,)))
    if (code, final.currency) != (company.price_list, company.currency):
        lists = prices.published(code, final.currency)
    return AsRated(
        replace(
            facts,
            zone=zone,
            currency=final.currency,
            price_list=code,
            vat_rate=Decimal(final.vat_rate),
            vat_category=final.vat_category,
        ),
        lists,
        rating_policy.policy_of(final.policy or {}),
    )


def _lines(rated: AsRated, month: str, company_id: int, as_of: datetime, *, carried: bool) -> list[Line]:
    rows = [row for row in invoice_rows.about(company_id, month) if row["status"] != "needs_review"]
    deltas = adjustments(
        rated.facts, month, map(invoice_rows.base_line, rows), rated.price_lists, rated.policy, as_of=as_of
    )
    waived = {invoice_rows.owner(row)[1] for row in rows if row["status"] == "waived"}
    return [
        replace(line, because=_because(line, month, rated.facts.currency, waived, carried=carried))
        for line in deltas
        if line.line_key.rpartition(":")[2] in _LATE_LINES
    ]


def _because(line: Line, month: str, currency: str, waived: set[str], *, carried: bool) -> str:
    """The rule speaks of what was invoiced; here a person may have waived it, or not have decided at all."""
    because, words = line.because, month_words(month)
    was, now = (f"{currency} {line.explain[name]}" for name in ("was", "now"))
    if carried and not any(digit in line.explain["was"] for digit in "123456789"):
        because = f"Nobody had decided about this line when {words} was made final; it is {now}."
    elif line.line_key.rpartition(":")[2] in waived:
        because = f"Of this line of {words}, {was} was waived or invoiced; with what is known now it is {now}."
    return because.removesuffix(".") + f"{WAITS}." if line.status == "needs_review" else because


def _about(company_id: int, month: str) -> set[str]:
    """The months that a final month with carried lines had not decided about."""
    explain = InvoiceMonth.get(
        InvoiceMonth.company == company_id, InvoiceMonth.month == month, InvoiceMonth.revision == 1
    ).explain
    keys = [line["line_key"] for line in (explain or {}).get("carried", ())]
    return {key.split(":", 2)[1] if key.startswith("adj:") else month for key in keys}
