"""What other facts would change of a company's months: each rated as things stand, and as they would be."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from store.rules.money import amount
from store.rules.price_lists import PriceList
from store.rules.rating.facts import CompanyFacts, Policy
from store.rules.rating.invoice import Invoice
from store.rules.rating.rate import rate
from store.rules.rating.sentences import month_words


@dataclass(frozen=True, slots=True)
class MonthChange:
    """One whole month's net total before and after, in minor units, as far as today's facts tell."""

    month: str
    currency: str
    before_minor: int
    after_minor: int


def month_changes(
    before: CompanyFacts,
    after: CompanyFacts,
    months: Iterable[str],
    price_lists: Sequence[PriceList],
    policy: Policy,
    settle: Callable[[Invoice], Invoice] = lambda invoice: invoice,
) -> tuple[MonthChange, ...]:
    """One for each of the months, in their order. Refused when something is owed and no price list is in force.

    `settle` puts in what people have decided about lines that wait.
    """
    return tuple(
        MonthChange(
            month,
            before.currency,
            settle(rate(before, month, price_lists, policy)).net_minor,
            settle(rate(after, month, price_lists, policy)).net_minor,
        )
        for month in months
    )


def change_sentences(changes: Iterable[MonthChange]) -> tuple[str, ...]:
    """Such as "November 2026 changes from NOK 1,250.00 to NOK 1,125.00."; a month that stays is said to stay."""
    return tuple(map(_sentence, changes))


def _sentence(change: MonthChange) -> str:
    month = month_words(change.month)
    before, after = (amount(minor, change.currency) for minor in (change.before_minor, change.after_minor))
    if change.before_minor == change.after_minor:
        return f"{month} stays at {before}."
    return f"{month} changes from {before} to {after}."
