"""What the rating function looks at, read from the rows: of one company with all its history, or of many for a month.

A company that was deactivated has, from then on, neither access nor keys: it could not use them.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from store import prices, usage_facts
from store.database import run_sql
from store.fields import instant as instant_of
from store.fields import seconds
from store.recipients import API_ACCESS
from store.rules import calendar
from store.rules.price_lists import PriceList
from store.rules.rating import AccessSpan, CompanyFacts, ContractTerm, KeyFact, LicenceFact, UsageFact
from store.tables import Company
from store.tables import ContractTerm as Term
from store.usage_facts import marks

_EVER = (0, 1 << 62)
instant = lru_cache(maxsize=1 << 14)(instant_of)  # keys end with days, and begin when they were made


@dataclass(slots=True)
class Rows:
    """One company's rows, as tuples of what the database gave; they become facts only when they must be rated.

    `usage` is of one whole month. `external` facts, which are no rows of its own, are part of the hash.
    """

    company: tuple[Any, ...]  # id, zone, currency, price list, VAT category, VAT rate, deactivated at
    licences: list[tuple[int, int]] = field(default_factory=list)
    access: list[tuple[int, int | None]] = field(default_factory=list)
    keys: list[tuple[Any, ...]] = field(default_factory=list)  # id, resource, kind, created, rotated from, start, end
    terms: list[tuple[Any, ...]] = field(default_factory=list)
    usage: list[usage_facts.Totals] = field(default_factory=list)

    @property
    def priced_by(self) -> tuple[str, str]:
        """The code and currency of its price list."""
        return self.company[3], self.company[2]

    def hash(self, external: object) -> str:
        """Of all that the month is rated from: equal hashes, equal lines."""
        told = (self.company, self.licences, self.access, self.keys, self.terms, self.usage, external)
        return hashlib.blake2b(repr(told).encode(), digest_size=16).hexdigest()

    def facts(self, month: str) -> CompanyFacts:
        """What `rate` takes; the usage stands at the beginning of the month it is of."""
        company_id, zone, currency, price_list, vat_category, vat_rate, deactivated_at = self.company
        until = _EVER[1] if deactivated_at is None else deactivated_at
        start = calendar.month_bounds(month, calendar.zone(zone))[0] if self.usage else None
        return CompanyFacts(
            company=company_id,
            zone=zone,
            currency=currency,
            price_list=price_list,
            vat_rate=Decimal(vat_rate),
            vat_category=vat_category,
            access=tuple(_access(self.access, None if deactivated_at is None else until)),
            licences=tuple(LicenceFact(instant(at), count) for at, count in self.licences),
            keys=tuple(_keys(self.keys, until)),
            usage=tuple(
                UsageFact(start, requests, size, "sandbox" if environment == "sandbox" else "prod")
                for environment, requests, size in self.usage
                if start is not None
            ),
            terms=tuple(_term(*row) for row in self.terms),
        )


def read(company: Company, months: Iterable[str]) -> tuple[CompanyFacts, Sequence[PriceList]]:
    """All facts of a company, with the usage of these months, and the price lists that could rate it."""
    rows = _read([company.id], *_EVER, "9999-99", "0000-00")[company.id]
    facts = rows.facts("2000-01")
    used = usage_facts.of_company(company.id, company.time_zone, months)
    return replace(facts, usage=used), prices.published(company.price_list, company.currency)


def of_month(company_ids: Sequence[int], month: str, as_of: datetime) -> dict[int, Rows]:
    """What can matter to a month that is over, of many companies, each table read once.

    `as_of` is at the end of the month or later.
    """
    first = date.fromisoformat(f"{month}-01")
    # Wide enough for every zone.
    start = seconds(calendar.start_of_day(first - timedelta(days=1), calendar.zone("UTC")))
    end = seconds(calendar.start_of_day(first + timedelta(days=33), calendar.zone("UTC")))
    found = _read(company_ids, start, end, month, month)
    for company_id, used in usage_facts.totals(company_ids, month, as_of).items():
        found[company_id].usage = used
    return found


_COMPANIES = """
    SELECT id, time_zone, currency, price_list, vat_category, vat_rate, deactivated_at FROM company WHERE id IN ({ids})
"""
_LICENCES = """
    SELECT company_id, at, licences FROM licence WHERE company_id IN ({ids}) AND at < ? ORDER BY company_id, at
"""
_ACCESS = """
    SELECT i.company_id, s.started_at, s.ended_at FROM integration AS i
    JOIN integration_span AS s ON s.integration_id = i.id
    WHERE i.company_id IN ({ids}) AND i.code = ? AND s.started_at < ? AND (s.ended_at IS NULL OR s.ended_at > ?)
    ORDER BY i.company_id, s.started_at
"""
# A standard key matters where it works; a test key counts over the life of its resource.
_KEYS = """
    SELECT k.company_id, k.id, k.resource_id, k.kind, k.created_at, k.rotated_from_id, s.started_at, s.ended_at
    FROM api_key AS k LEFT JOIN key_span AS s ON s.key_id = k.id
    WHERE k.company_id IN ({ids}) AND k.created_at < ?
      AND (k.kind = 'test' OR (s.started_at < ? AND s.ended_at > ?))
    ORDER BY k.company_id, k.id, s.started_at
"""
_TERMS = """
    SELECT company_id, line, kind, value, first_month, last_month, reference FROM contract_term
    WHERE company_id IN ({ids}) AND first_month <= ? AND (last_month IS NULL OR last_month >= ?)
    ORDER BY company_id, id
"""


def _read(company_ids: Sequence[int], start: int, end: int, last_month: str, first_month: str) -> dict[int, Rows]:
    def rows(text: str, *values: object) -> Iterator[Any]:
        return iter(run_sql(text.format(ids=marks(len(company_ids))), (*company_ids, *values)).fetchall())

    found = {row[0]: Rows(tuple(row)) for row in rows(_COMPANIES)}
    for company_id, *licence in rows(_LICENCES, end):
        found[company_id].licences.append((licence[0], licence[1]))
    for company_id, *span in rows(_ACCESS, API_ACCESS, end, start):
        found[company_id].access.append((span[0], span[1]))
    for row in rows(_KEYS, end, end, start):
        found[row[0]].keys.append(tuple(row[1:]))
    for company_id, *term in rows(_TERMS, last_month, first_month):
        found[company_id].terms.append(tuple(term))
    return found


def _access(spans: Iterable[tuple[int, int | None]], until: int | None) -> Iterator[AccessSpan]:
    for start, end in spans:
        if until is None:
            yield AccessSpan(instant(start), None if end is None else instant(end))
        elif start < until:
            yield AccessSpan(instant(start), instant(until if end is None else min(end, until)))


def _keys(rows: Iterable[tuple[Any, ...]], until: int) -> Iterator[KeyFact]:
    """Rows of one key follow each other."""
    before: tuple[Any, ...] | None = None
    spans: list[tuple[datetime, datetime]] = []
    for row in rows:
        if before is not None and before[0] != row[0]:
            yield _key(before, spans)
            spans = []
        start, end = row[5], row[6]
        if start is not None and start < min(end, until):
            spans.append((instant(start), instant(min(end, until))))
        before = row
    if before is not None:
        yield _key(before, spans)


def _key(row: tuple[Any, ...], spans: list[tuple[datetime, datetime]]) -> KeyFact:
    return KeyFact(
        id=row[0],
        resource=row[1],
        kind="test" if row[2] == "test" else "standard",
        created_at=instant(row[3]),
        spans=tuple(spans),
        rotated_from=row[4],
    )


def term_fact(row: Term) -> ContractTerm:
    """A term as rating takes it."""
    return _term(row.line, row.kind, row.value, row.first_month, row.last_month, row.reference)


def _term(
    line: str, kind: Any, value: str | None, first_month: str, last_month: str | None, reference: str
) -> ContractTerm:
    return ContractTerm(
        line=line,
        kind=kind,
        start=date.fromisoformat(f"{first_month}-01"),
        end=date.fromisoformat(f"{calendar.next_month(last_month)}-01") if last_month else None,
        value=Decimal(value) if value else None,
        reference=reference,
    )
