"""Planning: which runs are owed, from the instant, the zones and the ledger alone. The clock is judged first."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from jobs import lifeline
from jobs.schedule import Job
from store import clock_seen, installation, runs, zones
from store.fields import instant
from store.installation import Installation
from store.rules.calendar import zone as zone_named
from store.runs import EVERYWHERE, Planned
from store.zones import ZoneInUse

FARTHEST_LEAP = timedelta(days=7)
APART = timedelta(seconds=30)  # by which the clocks of two machines may differ without a word
MOST_MISSED = 366  # periods recorded as missed after a long downtime
MOST_OWED = 24  # periods caught up in one pass; the next pass goes on
_TOGETHER = 20  # jobs in a scope that are written down at once

ServerClock = Callable[[], datetime | None]
Verdict = Literal["believed", "back", "leap", "apart"]


def judge(
    now: datetime,
    previous: datetime | None,
    max_seen: datetime | None,
    server: datetime | None = None,
    lived: timedelta = timedelta(),
) -> Verdict:
    """Whether a clock is to be believed. `previous` is what was believed last since this boot, as far as is known.

    `lived` is how long that is ago by what nobody sets: a store that was away for ten days, or a machine that slept as
    long, makes no leap.

    One that is far from that of the store's server is wrong whatever else is so: by it, what others hold would look
    abandoned, or what it holds itself to them. A clock that is behind what was believed plans nothing. One that leaps
    ahead of what was believed and lived through is held; where nobody knows how long that was, it was downtime.
    """
    if clock_seen.is_apart(now, server):
        return "apart"
    if max_seen is None:
        return "believed"
    if now < max_seen - APART:
        return "back"
    if previous is not None and now - max(max_seen, min(previous, max_seen) + lived) > FARTHEST_LEAP:
        return "leap"
    return "believed"


@dataclass(frozen=True)
class Known:
    """What the ledger knows of one job in one scope: its newest period, or every one for a job that catches up all."""

    newest: str | None = None
    periods: frozenset[str] = frozenset()


def owed(job: Job, scope: ZoneInUse, now: datetime, known: Known, choices: Installation) -> list[Planned]:
    """The runs that one job lacks in one scope, oldest first."""
    zone = zone_named(scope.zone)
    latest = job.cadence.latest(now, zone, choices)
    if job.catch_up == "every":
        # No history before the zone's first company: never a period before the one that company came in.
        first = job.cadence.holding(scope.since, zone)
        wanted = [period for period in job.cadence.range(first, latest, zone) if period not in known.periods]
        wanted = wanted[:MOST_OWED]
    elif known.newest is None or job.catch_up == "silent":
        wanted = [latest] if known.newest != latest else []
    else:
        wanted = job.cadence.range(job.cadence.following(known.newest), latest, zone)[-MOST_MISSED - 1 :]
    return [
        Planned(
            job=job.name,
            scope=scope.name,
            period=period,
            state="missed" if job.catch_up == "latest" and period != latest else "due",
            not_before=job.cadence.due_at(period, zone, choices),
            bounds=job.cadence.bounds(period, zone),
        )
        for period in wanted
    ]


@dataclass(frozen=True)
class Plan:
    """What one pass of planning did: how it judged the clock, and how many runs it wrote."""

    verdict: Verdict
    planned: int


@dataclass(frozen=True)
class _Unplanned:
    """A job in a scope whose newest period may lack its run."""

    job: Job
    scope: ZoneInUse
    latest: str
    known: Known
    are_older_due: bool = False  # which are given up, as the job only does the newest


class _Believed(NamedTuple):
    """The instant of the last plan that was believed and came to its end, and how far what nobody sets was then."""

    at: datetime | None
    elapsed: float  # seconds


class Planner:
    """Plans for one process. It remembers for an hour what it has planned, so that most passes ask the store little."""

    def __init__(
        self,
        timetable: Sequence[Job],
        server_clock: ServerClock = lambda: None,
        elapsed: Callable[[], float] = lifeline.seconds,
        boot: str | None = None,
    ) -> None:
        self.timetable = timetable
        self.server_clock = server_clock
        self.elapsed = elapsed  # seconds since any one moment, or since the boot
        self.boot = boot  # the id of that boot, by which a later process goes on counting; None where none is to
        self._believed = _Believed(None, elapsed())
        self._boot_began: datetime | None = None  # as the store was told
        self._planned: dict[tuple[str, str], tuple[str, datetime]] = {}

    def verdict(self, now: datetime) -> Verdict:
        """Whether the clock is to be believed at this instant, whatever the last plan found."""
        believed = self._believed  # before what the store knows, which a plan in another thread may move on meanwhile
        return self._judge(now, believed, clock_seen.latest())

    def _judge(self, now: datetime, believed: "_Believed", seen: datetime | None) -> Verdict:
        if believed.at is None and seen is not None:
            believed = self._believed_before(seen, believed)
        lived = timedelta(seconds=self.elapsed() - believed.elapsed)
        return judge(now, believed.at, seen, self.server_clock(), lived)

    def _believed_before(self, seen: datetime, otherwise: "_Believed") -> "_Believed":
        """What a process of before believed since this boot: nobody had to live for it that this one knows of."""
        began = None if self.boot is None else clock_seen.boot_began(self.boot)
        return otherwise if began is None else _Believed(seen, (seen - began).total_seconds())

    def _note_boot(self, now: datetime) -> None:
        if self.boot is None:
            return
        began = now - timedelta(seconds=self.elapsed())
        if self._boot_began is None or abs(began - self._boot_began) > APART:
            clock_seen.note_boot(self.boot, began)
            self._boot_began = began

    def plan(self, now: datetime) -> Plan:
        """Write what is owed by now into the ledger. Raises Refused when the store was never set up."""
        previous, seen = self._believed.at, clock_seen.latest()
        verdict = self._judge(now, self._believed, seen)
        if previous is None or previous.hour != now.hour:
            self._planned.clear()  # a store that was restored may know less than this process
            self._boot_began = None
        if verdict in {"back", "apart"}:
            return Plan(verdict, 0)
        choices = installation.get()
        unplanned = self._unplanned(now, choices)
        planned = sum(
            self._plan_some(unplanned[start : start + _TOGETHER], now, choices, hold=verdict == "leap")
            for start in range(0, len(unplanned), _TOGETHER)
        )
        if verdict == "believed":
            clock_seen.advance(now, seen)
            self._note_boot(now)
            # Not before the store knows it: a plan that was cut off would make downtime a leap.
            self._believed = _Believed(now, self.elapsed())
        return Plan(verdict, planned)

    def _unplanned(self, now: datetime, choices: Installation) -> list[_Unplanned]:
        """What is not remembered as planned, each with what the ledger knows of it, which is read at once for all."""
        in_use = zones.in_use()
        wanted: list[tuple[Job, ZoneInUse, str]] = []
        everything = [(job, scope) for job in self.timetable for scope in scopes(job, in_use)]
        for job, scope in everything:
            latest = job.cadence.latest(now, zone_named(scope.zone), choices)
            if self._planned.get((job.name, scope.name)) != (latest, scope.since):
                wanted.append((job, scope, latest))
        periods = runs.known_periods(sorted({job.name for job, _, _ in wanted if job.catch_up == "every"}))
        newest = runs.newest(
            [(job.name, scope.name, latest) for job, scope, latest in wanted if job.catch_up != "every"], now
        )
        found = []
        for job, scope, latest in wanted:
            about = (job.name, scope.name)
            if job.catch_up == "every":
                found.append(_Unplanned(job, scope, latest, Known(periods=periods.get(about, frozenset()))))
            else:
                known = newest[about]
                found.append(_Unplanned(job, scope, latest, Known(newest=known.period), known.are_older_due))
        return found

    def _plan_some(self, some: Sequence[_Unplanned], now: datetime, choices: Installation, *, hold: bool) -> int:
        lacking = [owed(each.job, each.scope, now, each.known, choices) for each in some]
        found = [run for of_one in lacking for run in of_one]
        if hold:
            return runs.plan(_held(found), now)
        changed = runs.plan(found, now)
        for each, of_one in zip(some, lacking, strict=True):
            job, scope = each.job, each.scope
            if each.are_older_due:
                runs.give_up_older(job.name, scope.name, each.latest, now)
            if len(of_one) < MOST_OWED or job.catch_up != "every":
                self._planned[job.name, scope.name] = (each.latest, scope.since)
        return changed


def scopes(job: Job, in_use: Iterable[ZoneInUse]) -> list[ZoneInUse]:
    """Where a job runs: in each zone in which a company lives, or once for all."""
    if job.scope == "time zone":
        return list(in_use)
    return [ZoneInUse(EVERYWHERE, "UTC", instant(0))]


def upcoming(timetable: Sequence[Job], now: datetime) -> list[Planned]:
    """What falls due next, the soonest first: for each job and scope the period after the newest."""
    choices, in_use = installation.get(), zones.in_use()
    coming = []
    for job in timetable:
        for scope in scopes(job, in_use):
            zone = zone_named(scope.zone)
            period = job.cadence.following(job.cadence.latest(now, zone, choices))
            due_at = job.cadence.due_at(period, zone, choices)
            coming.append(Planned(job.name, scope.name, period, "due", due_at, job.cadence.bounds(period, zone)))
    return sorted(coming, key=lambda each: (each.not_before, each.job, each.scope))


def _held(found: Iterable[Planned]) -> list[Planned]:
    return [
        Planned(each.job, each.scope, each.period, "held", each.not_before, each.bounds)
        for each in found
        if each.state == "due"
    ]
