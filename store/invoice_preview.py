"""What is not invoiced yet: the month so far, its forecast, and the difference that an act would make.

All of it is the invoice's own rating function, with another instant or other facts. Nothing is written.
"""

from dataclasses import replace
from datetime import date, datetime

from store import billing_facts, companies, installation, invoices, keys, licences, rating_policy
from store.decided_lines import settling
from store.rules import calendar, expiry
from store.rules.rating import Invoice, KeyFact, LicenceFact
from store.rules.rating.comparison import change_sentences, month_changes
from store.tables import Company, InvoiceMonth, Licence


def so_far(company_id: int, now: datetime, month: str | None = None) -> Invoice:
    """The company's present month, or another one, as far as it has come. Refused when a price list is missing."""
    return invoices.rate(company_id, month or _present(company_id, now), now)


def forecast(company_id: int, now: datetime, month: str | None = None) -> Invoice:
    """The company's present month, or another one, to its end, if nothing changes any more and no usage comes."""
    return invoices.rate(company_id, month or _present(company_id, now), None)


def of_rotation(company_id: int, key_id: int, expires_on: date, now: datetime) -> tuple[str, ...]:
    """What rotating the key changes, in sentences: nothing while the overlap is within the grace of a rotation."""
    company = companies.get(company_id)
    months = _this_and_next(company, now)
    facts, lists = billing_facts.read(company, months)
    policy = rating_policy.current().policy
    key, days = keys.get(key_id), installation.get().overlap_days
    old_ends = expiry.overlap_end(key.ends_at, now, days)
    new_ends = expiry.ends_at(expires_on, companies.zone(company))
    successor = KeyFact("new", key.resource_id, "standard", now, ((now, new_ends),), rotated_from=key_id)
    after = replace(facts, keys=(*(_ending(each, key_id, old_ends, now) for each in facts.keys), successor))
    changes = month_changes(facts, after, months, lists, policy, settling(company_id, months))
    grace = policy.rotation_grace_days
    if any(change.before_minor != change.after_minor for change in changes):
        return change_sentences(changes)
    if days <= grace:
        return (f"no further cost: the old key and its successor count as one for {grace} days",)
    return (f"no further cost: both keys are included, also after the {grace} days for which they count as one",)


def of_licences(company_id: int, number: int, day: date, now: datetime) -> tuple[str, ...]:
    """What another number of licences from that local day on changes, in sentences."""
    company = companies.get(company_id)
    licences.check_day(day, companies.today(company, now))
    first = calendar.month_of(day)
    months = (first, calendar.next_month(first))
    facts, lists = billing_facts.read(company, months)
    zone = companies.zone(company)
    kept = (fact for fact in facts.licences if calendar.local_day(fact.at, zone) != day)
    start = max(calendar.start_of_day(day, zone), company.created_at)
    after = replace(facts, licences=(*kept, LicenceFact(start, number)))
    changes = month_changes(facts, after, months, lists, rating_policy.current().policy, settling(company_id, months))
    return (*change_sentences(changes), *_final(company, first), *_later(company, day))


def _present(company_id: int, now: datetime) -> str:
    return calendar.month_of(companies.today(companies.get(company_id), now))


def _this_and_next(company: Company, now: datetime) -> tuple[str, str]:
    month = calendar.month_of(companies.today(company, now))
    return month, calendar.next_month(month)


def _ending(fact: KeyFact, key_id: int, ends_at: datetime, now: datetime) -> KeyFact:
    """The fact as it is, or with its present span cut to the end of the overlap."""
    if fact.id != key_id:
        return fact
    return replace(fact, spans=tuple((start, min(end, ends_at) if end > now else end) for start, end in fact.spans))


def _final(company: Company, month: str) -> tuple[str, ...]:
    final = InvoiceMonth.select().where(
        InvoiceMonth.company == company.id, InvoiceMonth.month == month, InvoiceMonth.state == "final"
    )
    if not final.exists():
        return ()
    return (f"{month} is final already: credit it and bill it again to have the change invoiced.",)


def _later(company: Company, day: date) -> tuple[str, ...]:
    """That a number is known already for a later day, which ends what is said now."""
    after = calendar.start_of_day(date.fromordinal(day.toordinal() + 1), companies.zone(company))
    row = Licence.select().where(Licence.company == company.id, Licence.at >= after).order_by(Licence.at).first()
    if row is None:
        return ()
    return (f"From {calendar.local_day(row.at, companies.zone(company))} on it is {row.licences:,}, as told before.",)
