"""A company's month: what it costs as far as it is known, its draft, and its end."""

from collections.abc import Sequence
from datetime import UTC, datetime

from store import billing_facts, companies, decided_lines, invoice_closing, invoice_drafts, late_usage, rating_policy
from store.database import writing
from store.rules import calendar, expiry
from store.rules.rating import Invoice, KeyFact, cost_sentence, difference
from store.rules.rating import rate as rate_facts
from store.rules.rating.facts import KeyKind
from store.tables import Company

_ALL_KNOWN = datetime(9999, 1, 1, tzinfo=UTC)


def rate(company_id: int, month: str, as_of: datetime | None) -> Invoice:
    """What the company owes for the month, with what it adds for earlier ones, as far as `as_of` knows.

    What people have decided about its lines is in it.

    None: all facts as they stand, so that a month that runs is forecast. Refused when a price list is missing.
    """
    facts, lists = billing_facts.read(companies.get(company_id), (month,))
    invoice = rate_facts(facts, month, lists, rating_policy.current().policy, as_of)
    known = as_of or _ALL_KNOWN
    earlier = late_usage.months([company_id], month, known).get(company_id)
    if earlier:
        invoice = invoice.with_lines(late_usage.added(company_id, month, earlier, known).lines)
    return decided_lines.settling(company_id, (month,))(invoice)


def cost(company_id: int, resource_id: int, kind: KeyKind, now: datetime) -> str:
    """The New key dialog's sentence: what one more key for this resource costs. The same function as the invoice's."""
    company = companies.get(company_id)
    facts, lists = billing_facts.read(company, ())
    today = companies.today(company, now)
    last_day = expiry.test_expiry(today) if kind == "test" else expiry.latest(today)
    ends_at = expiry.ends_at(last_day, companies.zone(company))
    key = KeyFact(id="new", resource=resource_id, kind=kind, created_at=now, spans=((now, ends_at),))
    return cost_sentence(difference(facts, calendar.month_of(today), lists, rating_policy.current().policy, key))


def owed(zone: str, month: str) -> list[int]:
    """The companies of a zone that have such a month: those that were there before it ended."""
    _, end = calendar.month_bounds(month, calendar.zone(zone))
    query = Company.select(Company.id).where(Company.time_zone == zone, Company.created_at < end).order_by(Company.id)
    return [row.id for row in query]


def draft_months(company_ids: Sequence[int], month: str, now: datetime) -> int:
    """Bring the drafts of a month to what the facts say, all in one transaction; how many changed.

    A final month is left as it is. A company that cannot be rated is parked, and the others are drafted.
    """
    with writing():
        return invoice_drafts.draft(company_ids, month, now)


def finalise_months(company_ids: Sequence[int], month: str, now: datetime) -> int:
    """Rate once more and make the months final, all in one transaction; for how many this call did it.

    Those who are to be notified get the lines. A company that cannot be rated is parked; one whose month is strange, or
    waits for a decision if so chosen, is held with the reason.
    """
    with writing():
        return invoice_closing.finalise(company_ids, month, now)


def draft_month(company_id: int, month: str, now: datetime) -> bool:
    """The same for one company: whether its draft changed."""
    return bool(draft_months([company_id], month, now))


def finalise_month(company_id: int, month: str, now: datetime) -> bool:
    """The same for one company: whether this call made its month final."""
    return bool(finalise_months([company_id], month, now))


def park_month(company_id: int, month: str, error: Exception, now: datetime) -> None:
    """Keep why a company could not be rated; its older draft lines stay. The next run tries again."""
    with writing():
        invoice_drafts.park(company_id, month, error, now)
