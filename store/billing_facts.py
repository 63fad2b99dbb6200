"""What the rating function looks at, read from the rows of one company."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

from store import prices
from store.recipients import API_ACCESS
from store.rules import calendar
from store.rules.price_lists import PriceList
from store.rules.rating import AccessSpan, CompanyFacts, ContractTerm, KeyFact, LicenceFact
from store.tables import Company, Integration, IntegrationSpan, Key, KeySpan, Licence
from store.tables import ContractTerm as Term


def read(company: Company) -> tuple[CompanyFacts, Sequence[PriceList]]:
    """The company's facts and the price lists that could rate it.

    A company that was deactivated has, from then on, neither access nor keys: it could not use them.
    """
    until = company.deactivated_at
    facts = CompanyFacts(
        company=company.id,
        zone=company.time_zone,
        currency=company.currency,
        price_list=company.price_list,
        vat_rate=Decimal(company.vat_rate),
        vat_category=company.vat_category,
        access=tuple(AccessSpan(start, end) for start, end in _access(company.id, until)),
        licences=tuple(
            LicenceFact(row.at, row.licences)
            for row in Licence.select().where(Licence.company == company.id).order_by(Licence.at)
        ),
        keys=_keys(company.id, until),
        terms=tuple(map(_term, Term.select().where(Term.company == company.id).order_by(Term.id))),
    )
    return facts, prices.published(company.price_list, company.currency)


def _access(company_id: int, until: datetime | None) -> list[tuple[datetime, datetime | None]]:
    spans = (
        IntegrationSpan.select()
        .join(Integration)
        .where(Integration.company == company_id, Integration.code == API_ACCESS)
        .order_by(IntegrationSpan.started_at)
    )
    read: list[tuple[datetime, datetime | None]] = [(span.started_at, span.ended_at) for span in spans]
    if until is None:
        return read
    return [(start, min(end or until, until)) for start, end in read if start < until]


def _keys(company_id: int, until: datetime | None) -> tuple[KeyFact, ...]:
    spans: dict[int, list[tuple[datetime, datetime]]] = {}
    worked = KeySpan.select().join(Key).where(Key.company == company_id).order_by(KeySpan.started_at)
    for span in worked:
        end = span.ended_at if until is None else min(span.ended_at, until)
        if span.started_at < end:
            spans.setdefault(span.key_id, []).append((span.started_at, end))
    return tuple(
        KeyFact(
            id=key.id,
            resource=key.resource_id,
            kind="test" if key.kind == "test" else "standard",
            created_at=key.created_at,
            spans=tuple(spans.get(key.id, ())),
            rotated_from=key.rotated_from_id,
        )
        for key in Key.select().where(Key.company == company_id).order_by(Key.id)
    )


def _term(row: Term) -> ContractTerm:
    return ContractTerm(
        line=row.line,
        kind=row.kind,  # type: ignore[arg-type]
        start=date.fromisoformat(f"{row.first_month}-01"),
        end=date.fromisoformat(f"{calendar.next_month(row.last_month)}-01") if row.last_month else None,
        value=Decimal(row.value) if row.value else None,
        reference=row.reference,
    )
