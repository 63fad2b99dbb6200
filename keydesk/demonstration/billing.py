"""What the demo's companies use, agree and get wrong: every state of a month and of a line, come to as in life."""

import json
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

from keydesk.demonstration import names
from keydesk.demonstration.names import Firm
from keydesk.demonstration.prices import DATA, REQUESTS
from keydesk.demonstration.world import INGRID, TOR, World
from store import contract_terms, invoice_corrections, invoice_review, prices, rating_policy, usage
from store.contract_terms import Draft
from store.rules import calendar, price_index
from store.tables import Key
from store.usage_files import UsageFile

# How much of what is included a company uses in each of the four months; the others stay well below.
_BUSY: Final = {
    "c-1001": (0.8, 1.1, 1.5, 1.8),
    "c-1003": (0.8, 1.05, 1.3, 0.9),
    "c-1004": (1.2, 1.4, 0.8, 1.1),
    "c-1017": (0.6, 0.7, 0.97, 0.7),
    "c-1014": (0.6, 0.75, 0.85, 0.95),
}
_MUCH_DATA: Final = frozenset({"c-1014"})
_STILL_WAITS: Final = "c-1003"
_WEEK: Final = (1.2, 1.3, 1.25, 1.2, 1.0, 0.3, 0.25)  # Monday first
_KEYS: Final = 3  # of a company that are used much
_DAILY: Final = 12  # days whose usage came night by night


def plan(world: World, firms: Sequence[Firm]) -> None:
    """Prices, usage, terms, decisions, and four things that a finance person must see."""
    ids = {firm.id for firm in firms}
    months = [calendar.month_of(world.begin.date())]
    while len(months) < 5:
        months.append(calendar.next_month(months[-1]))
    _policy_and_prices(world, months)
    _plan_usage(world, firms, months)
    _terms(world, ids, months)
    for month in months[1:4]:
        world.at(_at(month, 2, 9), partial(_decide, world))
    if "c-1009" in ids:
        _corrected(world, "c-1009", months)
    if "c-1015" in ids:  # six were ordered, and somebody typed a nought too many
        told = {"company": "c-1015", "from": f"{months[2]}-20", "licences": 60}
        world.at(_at(months[2], 20, 9), lambda when: world.tell(when, licences=[told]))
    for firm in firms:
        if firm.id == "c-1040":  # its new list was never published
            moved = [names.company_object(firm, price_list="API-US")]
            world.at(_at(months[2], 10, 9), partial(world.tell, companies=moved))


def _at(month: str, day: int, hour: int) -> datetime:
    return datetime.fromisoformat(f"{month}-{day:02}T{hour:02}:00:00+00:00")


def _policy_and_prices(world: World, months: Sequence[str]) -> None:
    """Undecided overuse holds its month; Norway's prices went up this month, Sweden's will with the new year."""
    world.at(
        world.begin,
        lambda when: rating_policy.choose(
            INGRID, {"undecided": "hold"}, when, "The board wants each overuse decided before it is invoiced"
        ),
    )
    new_year = f"{int(months[3][:4]) + 1}-01"
    world.at(_at(months[2], 8, 10), partial(_raise, "NOK", "3.5", months[3]))
    world.at(_at(months[2], 22, 13), partial(_raise, "SEK", "2.9", new_year))


def _raise(currency: str, percent: str, first_month: str, when: datetime) -> None:
    newest = prices.published("API", currency)[-1]
    after = price_index.indexed(newest, Decimal(percent), first_month)
    prices.publish(TOR, tomllib.loads(price_index.price_file([after])), when)


def _terms(world: World, ids: set[str], months: Sequence[str]) -> None:
    agreed = (
        ("c-1003", Draft("access", "discount_percent", "10", months[1], None, "Frame agreement 2026-04 §3")),
        (
            "c-1008",
            Draft("extra_key", "unit_price", "39.00", months[1], months[4], "Mail of the sales team, offer 118"),
        ),
        ("c-1001", Draft("overuse_requests", "included", "100000", months[0], None, "Contract K-2024-17 appendix 2")),
    )
    for company, draft in agreed:
        if company in ids:
            agree = partial(contract_terms.set_term, INGRID, world.companies[company], draft)
            world.at(world.begin + timedelta(days=2), agree)


def _corrected(world: World, company: str, months: Sequence[str]) -> None:
    """Licences that were never ordered, found when the second month was final."""

    def tell(when: datetime, number: int) -> None:
        world.tell(when, licences=[{"company": company, "from": f"{months[1]}-10", "licences": number}])

    def correct(when: datetime) -> None:
        tell(when, 30)
        reason = "Six licences from the 10th were another customer's order"
        invoice_corrections.credit_and_rebill(TOR, world.companies[company], months[1], reason, when)

    world.at(_at(months[1], 10, 9), lambda when: tell(when, 36))
    world.at(_at(months[2], 12, 14), correct)


def _decide(world: World, when: datetime) -> None:
    """What waits is approved, that of a small company waived; last month's of one still waits."""
    this_month = calendar.month_of(world.now.date())
    for line in list(invoice_review.waiting()):
        if line.external_id == _STILL_WAITS and calendar.next_month(line.month) == this_month:
            continue
        if line.external_id == "c-1004":
            invoice_review.decide(TOR, line.line_id, "waive", "Their first months; told by telephone", when)
        else:
            invoice_review.decide(INGRID, line.line_id, "approve", "As announced to the customer", when)


# Usage


def _plan_usage(world: World, firms: Sequence[Firm], months: Sequence[str]) -> None:
    """A file for each month that was, one for the present month, then one each night; and one that came late."""
    today = world.now.date()
    nightly = max(today - timedelta(days=_DAILY), date.fromisoformat(f"{months[3]}-01"))
    for month in months[:3]:
        first = date.fromisoformat(f"{month}-01")
        days = [first + timedelta(days=number) for number in range((calendar.last_day(month) - first).days + 1)]
        world.at(_at(month, days[-1].day, 23), partial(_take, world, firms, days))
    first = date.fromisoformat(f"{months[3]}-01")
    before = [first + timedelta(days=number) for number in range((nightly - first).days)]
    later = [nightly + timedelta(days=number) for number in range((today - nightly).days)]
    for days in [before, *([day] for day in later)]:
        if days:
            night = datetime(days[-1].year, days[-1].month, days[-1].day, 23, 30, tzinfo=UTC)
            world.at(night, partial(_take, world, firms, days))
    if any(firm.id == "c-1017" for firm in firms):
        late = [date.fromisoformat(f"{months[2]}-{day}") for day in (24, 25, 26)]
        of_one = [firm for firm in firms if firm.id == "c-1017"]
        world.at(_at(months[3], 9, 8), partial(_take, world, of_one, late, more=0.15))


def _take(world: World, firms: Sequence[Firm], days: Sequence[date], when: datetime, more: float = 0) -> None:
    """Import what the gateway has noted. `more`: so much of a month's amount that it had kept back."""
    rows = [row for firm in firms for row in _rows(world, firm, days, when, more)]
    if not rows:
        return
    source = "gw-oslo-2" if more else "gw-oslo-1"
    with tempfile.TemporaryDirectory(prefix="keydesk-demo-") as folder:
        file = Path(folder) / f"{source}-{days[-1]}.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
        usage.take(INGRID, [UsageFile(file.name, file)], when, usage.Options(source=source, batch=f"{days[-1]}"))


def _rows(world: World, firm: Firm, days: Sequence[date], when: datetime, more: float) -> Iterable[dict[str, Any]]:
    random = world.random
    chosen = Key.select().where(
        Key.company == world.companies[firm.id], Key.kind == "standard", Key.environment != "sandbox"
    )
    keys = list(chosen.order_by(Key.id))
    usual = random.uniform(0.2, 0.75)
    users = firm.licences * 1.0
    included = REQUESTS["included_base"] + REQUESTS["included_per_user"] * users
    size = (DATA["included_base"] + DATA["included_per_user"] * users) / included
    for day in days:
        at = datetime(day.year, day.month, day.day, 11, 30, tzinfo=UTC)
        working = [key for key in keys if key.created_at < at < min(key.ends_at, key.revoked_at or key.ends_at, when)]
        month = (day.year - world.begin.year) * 12 + day.month - world.begin.month
        part = _BUSY[firm.id][month] if firm.id in _BUSY else usual
        of_day = more / len(days) if more else part * _WEEK[day.weekday()] / 28.5
        busiest = working[:_KEYS]
        for place, key in enumerate(busiest):
            share = (3 - place) / sum(3 - number for number in range(len(busiest)))
            requests = int(included * of_day * share * random.uniform(0.8, 1.2))
            each = size * (1.4 if firm.id in _MUCH_DATA else 0.35)
            yield {
                "key": key.handle,
                "at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                "requests": requests,
                "bytes": int(requests * each),
            }
