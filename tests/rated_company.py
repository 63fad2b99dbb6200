"""A company with two licensed users, API Access since New Year, and round prices."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from store.rules.price_lists import PriceList, parse
from store.rules.rating import (
    AccessSpan,
    CompanyFacts,
    ContractTerm,
    Invoice,
    KeyFact,
    LicenceFact,
    Policy,
    rate,
)


def prices(access: dict[str, Any] | None = None, **items: Any) -> tuple[PriceList, ...]:
    return (
        parse(
            {
                "code": "API",
                "currency": "NOK",
                "version": 1,
                "effective_from": "2026-01-01",
                "items": {
                    "access": access or {"model": "per_unit", "price": "25.00"},
                    "extra_key": {"price": "49.00"},
                    "overuse_requests": {
                        "included_base": 1000,
                        "included_per_user": 100,
                        "block": 500,
                        "price": "10.00",
                    },
                    **items,
                },
            }
        ),
    )


def company(**changes: Any) -> CompanyFacts:
    facts = CompanyFacts(
        company=1,
        zone="Europe/Oslo",
        currency="NOK",
        price_list="API",
        vat_rate=Decimal(25),
        access=(AccessSpan(at("2026-01-01T00:00")),),
        licences=(LicenceFact(at("2026-01-01T00:00"), 2),),
    )
    return replace(facts, **changes)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def key(number: int, *spans: tuple[str, str], after: int | None = None, kind: Any = "standard") -> KeyFact:
    ranges = tuple((at(start), at(end)) for start, end in spans)
    return KeyFact(number, "R1", kind, ranges[0][0], ranges, after)


def term(
    line: str, kind: Any, value: str | None = None, start: str = "2026-01-01", end: str | None = None
) -> ContractTerm:
    return ContractTerm(
        line,
        kind,
        date.fromisoformat(start),
        None if end is None else date.fromisoformat(end),
        None if value is None else Decimal(value),
        f"{line} {kind}",
    )


def november(facts: CompanyFacts, policy: Policy | None = None, lists: tuple[PriceList, ...] | None = None) -> Invoice:
    return rate(facts, "2026-11", prices() if lists is None else lists, policy or Policy())


def billed(invoice: Invoice) -> list[tuple[str, str, int, str]]:
    return [(line.line_key, line.quantity, line.net_minor, line.reason) for line in invoice.lines]
