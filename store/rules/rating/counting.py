"""Counting what prices apply to: licensed users, slots held by standard keys, test keys beyond the free ones."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from store.rules.calendar import local_day, month_bounds
from store.rules.rating.facts import AccessSpan, Id, KeyFact, LicenceFact, Policy

ONE_SECOND = timedelta(seconds=1)
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Month:
    """The company's calendar month, and how much of it is known.

    `start` <= t < `end` are its UTC instants; what happened at or after `cut` is unknown (`cut` = `end` when it is
    over). `last_day` is the last local day of which anything is known, before `first_day` in a month yet to begin.
    """

    name: str
    zone: ZoneInfo
    start: datetime
    end: datetime
    cut: datetime
    first_day: date
    last_day: date
    days: int

    @classmethod
    def of(cls, name: str, zone: ZoneInfo, as_of: datetime | None) -> "Month":
        """Facts at `as_of` itself are known, as instants are whole seconds; None: everything is."""
        return _month(name, zone, as_of)

    @property
    def so_far(self) -> bool:
        """Some of the month is not known yet."""
        return self.cut < self.end


@lru_cache(maxsize=256)  # one month of a zone for all its companies
def _month(name: str, zone: ZoneInfo, as_of: datetime | None) -> Month:
    start, end = month_bounds(name, zone)
    cut = end if as_of is None else max(start, min(end, as_of + ONE_SECOND))
    first_day = local_day(start, zone)
    days = (local_day(end, zone) - first_day).days
    return Month(name, zone, start, end, cut, first_day, local_day(cut - ONE_SECOND, zone), days)


# Days on which access was on: half-open ranges of local dates, ascending, apart from each other.
DayRanges = list[tuple[date, date]]


def access_days(spans: Iterable[AccessSpan], month: Month) -> DayRanges:
    """Access was on for a local day when it was on at its end, so that a slip put right the same day costs nothing."""
    past = month.last_day + ONE_DAY
    ranges: DayRanges = []
    for start, end in sorted(
        (
            max(local_day(span.start, month.zone), month.first_day),
            past if span.end is None or span.end >= month.cut else min(local_day(span.end, month.zone), past),
        )
        for span in spans
        if span.start < month.cut
    ):
        if start >= end:
            continue
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
        else:
            ranges.append((start, end))
    return ranges


@dataclass(frozen=True, slots=True)
class BilledUsers:
    """The number that drives both fee and allowance, and the local day it was taken from (None: no day is known)."""

    count: int
    on: date | None


def billed_users(licences: Sequence[LicenceFact], ranges: DayRanges, month: Month, policy: Policy) -> BilledUsers:
    """Licences of a day are those in force at its end; of these days, the highest, the first or the last value."""
    steps = _steps(licences, month)
    seen: list[tuple[date, int]] = []  # (day, count) of each first day of an equal count within the ranges, ascending
    for start, end in ranges:
        in_force = [count for day, count in steps if day <= start]
        seen.append((start, in_force[-1] if in_force else 0))
        seen.extend((day, count) for day, count in steps if start < day < end)
    if not seen:
        return BilledUsers(0, None)
    if policy.licensed_users_rule == "start":
        return BilledUsers(seen[0][1], seen[0][0])
    if policy.licensed_users_rule == "end":
        return BilledUsers(seen[-1][1], ranges[-1][1] - ONE_DAY)
    highest = max(count for _, count in seen)
    return BilledUsers(highest, next(day for day, count in seen if count == highest))


def _steps(licences: Sequence[LicenceFact], month: Month) -> list[tuple[date, int]]:
    """(local day, count at its end), ascending; of several facts of one instant the larger stands."""
    by_day: dict[date, int] = {}
    for fact in sorted(licences, key=lambda fact: (fact.at, fact.count)):
        if fact.at < month.cut:
            by_day[max(local_day(fact.at, month.zone), month.first_day)] = fact.count
    return sorted(by_day.items())


@dataclass(frozen=True, slots=True)
class Peak:
    """The most slots held at one instant of the month, and the first such instant (None: no slot was held)."""

    slots: int
    at: datetime | None


def peak_slots(keys: Iterable[KeyFact], month: Month, policy: Policy) -> Peak:
    """A slot is a rotation lineage: one sweep over the instants at which a key begins, ends, or stops sharing one."""
    changes: dict[datetime, int] = defaultdict(int)
    for start, end, weight in _weights(keys, policy):
        begins, ends = max(start, month.start), min(end, month.cut)
        if begins < ends:
            changes[begins] += weight
            changes[ends] -= weight
    held = highest = 0
    at: datetime | None = None
    for instant in sorted(changes):
        held += changes[instant]
        if held > highest:
            highest, at = held, instant
    return Peak(highest, at)


def slots_at(keys: Iterable[KeyFact], instant: datetime, policy: Policy) -> int:
    """How many slots are held at that instant."""
    return sum(weight for start, end, weight in _weights(keys, policy) if start <= instant < end)


def working_at(keys: Iterable[KeyFact], instant: datetime) -> list[Id]:
    """The standard keys that worked at that instant, by age: the keys behind a peak."""
    return [key.id for key in by_age(keys) if key.kind == "standard" and _works(key, instant)]


def _weights(keys: Iterable[KeyFact], policy: Policy) -> Iterable[tuple[datetime, datetime, int]]:
    """(start, end, +1) where a standard key works, (start, end, -1) where it and its predecessor share one slot."""
    standard = [key for key in keys if key.kind == "standard"]
    by_id: dict[Id, KeyFact] | None = None
    grace = timedelta(days=policy.rotation_grace_days)
    for key in standard:
        for start, end in key.spans:
            if start < end:
                yield start, end, 1
        if key.rotated_from is None:
            continue
        by_id = by_id or {each.id: each for each in standard}
        predecessor = by_id.get(key.rotated_from)
        for old_start, old_end in predecessor.spans if predecessor is not None else ():
            for start, end in key.spans:
                shared_from, shared_to = max(start, old_start), min(end, old_end, key.created_at + grace)
                if shared_from < shared_to:
                    yield shared_from, shared_to, -1


def by_age(keys: Iterable[KeyFact]) -> list[KeyFact]:
    """Oldest first; of keys made in the same second the one with the smaller id."""
    return sorted(keys, key=lambda key: (key.created_at, str(key.id).rjust(20)))


def overflow_test_keys(keys: Iterable[KeyFact], month: Month, policy: Policy, free: int) -> list[KeyFact]:
    """The test keys billed in this month, oldest first: those beyond the `free` ones of their resource."""
    per_resource: dict[Id, list[KeyFact]] = defaultdict(list)
    for key in keys:
        if key.kind == "test" and key.created_at < month.cut:
            per_resource[key.resource].append(key)
    billed = [
        key
        for of_resource in per_resource.values()
        if len(of_resource) > free
        for key in _beyond(by_age(of_resource), month, policy, free)
        if _billed_now(key, month, policy)
    ]
    return by_age(billed)


def test_key_number(keys: Iterable[KeyFact], key: KeyFact, month: Month, policy: Policy) -> int:
    """Which test key of its resource this one is, counted from 1 as the policy counts them."""
    of_resource = by_age(each for each in keys if each.kind == "test" and each.resource == key.resource)
    return dict(_numbered(of_resource, month, policy))[key.id]


def _beyond(of_resource: list[KeyFact], month: Month, policy: Policy, free: int) -> list[KeyFact]:
    numbers = dict(_numbered(of_resource, month, policy))
    return [key for key in of_resource if numbers[key.id] > free]


def _numbered(of_resource: list[KeyFact], month: Month, policy: Policy) -> Iterable[tuple[Id, int]]:
    made: dict[date | None, int] = defaultdict(int)
    for position, key in enumerate(of_resource):
        if policy.test_key_window == "concurrent":
            alive = sum(_works(other, key.created_at) for other in of_resource[: position + 1])
            yield key.id, alive
        else:
            # "lifetime" is one window for all; "period" is the local month in which the key was made.
            window = (
                local_day(key.created_at, month.zone).replace(day=1) if policy.test_key_window == "period" else None
            )
            made[window] += 1
            yield key.id, made[window]


def _billed_now(key: KeyFact, month: Month, policy: Policy) -> bool:
    if policy.test_overflow_cadence == "once":
        return month.start <= key.created_at < month.cut
    return any(max(start, month.start) < min(end, month.cut) for start, end in key.spans)


def _works(key: KeyFact, instant: datetime) -> bool:
    return any(start <= instant < end for start, end in key.spans)
