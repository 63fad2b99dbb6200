"""What another reading of the terms would change: open drafts and the present month, rated by either policy.

The invoice's own rating function; nothing is written. Of very many companies the first are looked at, and that is said.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from store import billing_facts, prices, rating_policy
from store.database import run_sql
from store.errors import KeydeskError
from store.rules import calendar
from store.rules.money import amount
from store.rules.rating import Policy, rate
from store.rules.rating.sentences import month_words

LOOKED_AT: Final = 1_000  # companies of a month; rating each twice takes about a millisecond
_TOGETHER: Final = 250


@dataclass(slots=True)
class _Sum:
    """One currency of one month, in minor units."""

    companies: int = 0
    changed: int = 0
    before: int = 0
    after: int = 0


def of_policy(chosen: Mapping[str, Any], now: datetime, looked_at: int = LOOKED_AT) -> tuple[str, ...]:
    """In sentences what these choices, in place of the present ones, change. FormatWrong for what cannot be chosen."""
    old, new = rating_policy.current(), rating_policy.from_mapping(chosen)
    told = [] if old.policy == new.policy else list(_amounts(old.policy, new.policy, now, looked_at))
    if not told:
        told.append("No amount changes, neither of the open drafts nor of the present month.")
    if old.undecided != new.undecided:
        told.append(
            "A month whose overuse is undecided waits for the decision."
            if new.undecided == "hold"
            else "A month no longer waits for undecided overuse; the next draft asks again."
        )
    if old.line_limit != new.line_limit:
        limit = f"at {new.line_limit:,} times" if new.line_limit else "never for"
        told.append(f"A line holds its month {limit} its usual amount.")
    return (*told, "Final months stay as they are; drafts follow with the next run.")


def _amounts(old: Policy, new: Policy, now: datetime, looked_at: int) -> Iterator[str]:
    for month, companies in sorted(_months(now).items()):
        sums: dict[str, _Sum] = {}
        for start in range(0, len(companies[:looked_at]), _TOGETHER):
            _add(sums, month, companies[:looked_at][start : start + _TOGETHER], (old, new), now)
        of_first = f" of the first {looked_at:,}" if len(companies) > looked_at else f" of {len(companies):,}"
        for currency, total in sorted(sums.items()):
            if total.changed:
                was, becomes = (amount(minor, currency) for minor in (total.before, total.after))
                change = "changes" if total.changed == 1 else "change"
                whose = f"{total.changed:,}{of_first} companies {change}"
                yield f"{month_words(month)}: {whose}, in all from {was} to {becomes}."


def _months(now: datetime) -> dict[str, list[int]]:
    """The companies of each month that is open: drafted and not final, or running now in their zone."""
    found: dict[str, list[int]] = {}
    open_months = """
        SELECT month, company_id FROM invoice_month
        WHERE revision = 1 AND state IN ('draft', 'held', 'parked') ORDER BY month, company_id
    """
    for month, company_id in run_sql(open_months).fetchall():
        found.setdefault(month, []).append(company_id)
    there = "SELECT id, time_zone FROM company WHERE deactivated_at IS NULL ORDER BY id"
    for company_id, zone in run_sql(there).fetchall():
        month = calendar.month_of(calendar.local_day(now, calendar.zone(zone)))
        found.setdefault(month, []).append(company_id)
    return found


def _add(
    sums: dict[str, _Sum], month: str, company_ids: Sequence[int], policies: tuple[Policy, Policy], known_at: datetime
) -> None:
    lists: dict[tuple[str, str], Any] = {}
    for rows in billing_facts.of_month(company_ids, month, known_at).values():
        if rows.priced_by not in lists:
            lists[rows.priced_by] = prices.published(*rows.priced_by)
        facts = rows.facts(month)
        try:
            before, after = (rate(facts, month, lists[rows.priced_by], policy).net_minor for policy in policies)
        except KeydeskError:
            continue  # it is parked, or will be, whatever is chosen
        total = sums.setdefault(facts.currency, _Sum())
        total.companies += 1
        total.changed += before != after
        total.before += before
        total.after += after
