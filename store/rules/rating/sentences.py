"""The sentences for people that stand beside an invoice line, made from the numbers it was rated with."""

from datetime import date, datetime
from decimal import Decimal

from store.rules.calendar import local_day
from store.rules.rating.counting import ONE_SECOND, BilledUsers, Month, Peak
from store.rules.rating.facts import ContractTerm, Policy

WAITS = "; not invoiced until somebody approves it"  # ends the sentence of a line that is under review

# Not calendar.month_name, which follows the machine's locale.
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def month_words(month: str) -> str:
    """Write "2026-11" as "November 2026"."""
    return f"{month_name(month)} {month[:4]}"


def month_name(month: str) -> str:
    """Write "2026-11" as "November"."""
    return _MONTHS[int(month[5:7]) - 1]


def day_words(day: date) -> str:
    """Write a date as "12 November"."""
    return f"{day.day} {_MONTHS[day.month - 1]}"


def counted(number: int, noun: str) -> str:
    """Write "1 key" or "1,250 keys"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def quantity_words(quantity: str, unit: str) -> str:
    """Write a line's quantity with its unit: "10 users", "2 started blocks of 50,000"."""
    noun, _, size = unit.partition(" of ")
    counted_nouns = counted(int(quantity), noun)
    return f"{counted_nouns} of {int(size):,}" if size else counted_nouns


def access_because(users: BilledUsers, on_days: int, month: Month, policy: Policy) -> str:
    """Why the general access fee is due by agreement."""
    known = (month.last_day - month.first_day).days + 1
    days = f"all {known} days" if on_days == known else f"{on_days} of {counted(known, 'day')}"
    if known == 1:
        days = "1 day"
    return f"{_so_far(month)}API Access was on for {days} in {month_words(month.name)}; {_users(users, policy)}."


def clause_because(users: BilledUsers, what: str, policy: Policy) -> str:
    """Why the fee is due though access was not on: something beyond the agreement was invoiced."""
    due = f"API access is not invoiced otherwise, and {what} makes its fee due"
    return f"{due}; {_users(users, policy)}."


def _users(users: BilledUsers, policy: Policy) -> str:
    licensed = counted(users.count, "licensed user")
    if users.on is None:
        return f"there were {licensed}"
    if policy.licensed_users_rule == "peak":
        return f"the highest number was {licensed}, on {day_words(users.on)}"
    return f"on {day_words(users.on)} there were {licensed}"


def extra_keys_because(peak: Peak, working: int, allowance: int, month: Month) -> str:
    """When the most keys were in use, and how many are included; more may have been `working` within rotations."""
    when = moment_words(peak.at, month) if peak.at is not None else "no day"
    were = "was" if peak.slots == 1 else "were"
    are = "is" if allowance == 1 else "are"
    same = "" if peak.slots == 1 else " at the same time"
    rotated = " (a rotated key and its successor count as one)" if working > peak.slots else ""
    used = f"{counted(peak.slots, 'key')} {were} in use{same} on {when}{rotated}"
    return f"{_so_far(month)}{used}; {allowance:,} {are} included."


def test_keys_because(number: int, free: int, month: Month, policy: Policy) -> str:
    """How many test keys went beyond the free ones."""
    were = "was" if number == 1 else "were"
    verb = f"{were} made" if policy.test_overflow_cadence == "once" else f"{were} in use"
    each = {
        "lifetime": f"the {free} free ones of their resource",
        "period": f"the {free} free ones a month of their resource",
        "concurrent": f"the {free} free ones at a time of their resource",
    }[policy.test_key_window]
    return f"{_so_far(month)}{counted(number, 'test key')} beyond {each} {verb} in {month_words(month.name)}."


def overuse_because(usage: str, blocks: str, month: Month, *, review: bool) -> str:
    """What was used and is included, and the blocks in between."""
    return f"{_so_far(month)}{usage}: {blocks}{WAITS if review else ''}."


def terms_because(term: ContractTerm) -> str:
    """What was agreed about the line's price, with the reference of the agreement."""
    agreed = {
        "unit_price": "The price is agreed",
        "discount_percent": f"{term.value} % is taken off",
        "waive": "It is waived",
    }[term.kind]
    return f"{agreed} ({term.reference})." if term.reference else f"{agreed}."


def gigabytes(number: int) -> str:
    """Bytes as "23.4 GB", exact; 1 GB is 1,000,000,000 bytes."""
    return f"{Decimal(number).scaleb(-9).normalize():,f} GB"


def moment_words(instant: datetime, month: Month) -> str:
    """Write "12 November at 10:00", in the company's zone; the month's very beginning is just its first day."""
    day = local_day(instant, month.zone)
    if instant == month.start:
        return day_words(day)
    return f"{day_words(day)} at {instant.astimezone(month.zone):%H:%M}"


def _so_far(month: Month) -> str:
    return f"So far, until {day_words(local_day(month.cut - ONE_SECOND, month.zone))}: " if month.so_far else ""
