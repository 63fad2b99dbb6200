"""Which runs must be in the ledger after the chaos: reckoned from when a worker was up and what its clock said."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.planning import judge
from jobs.schedule import TIMETABLE, Job
from store.installation import Installation
from store.rules import calendar
from torture.oracle import Faults

_TIME_FOR_A_RUN = timedelta(hours=3)  # with its lease, and its waits after locks
_DAILY = [job for job in TIMETABLE if job.scope == "time zone" and job.catch_up == "latest"]
_EVERYWHERE = [job for job in TIMETABLE if job.scope == "all"]
_MONTHLY = [job for job in TIMETABLE if job.catch_up == "every"]


@dataclass(frozen=True)
class Row:
    """One line of the store's ledger."""

    job: str
    scope: str
    period: str
    state: str


@dataclass(frozen=True)
class Process:
    """Of a worker: on which boot of which machine it is, and whether PostgreSQL's clock is another one's."""

    pid: int
    boot: str
    asks_server: bool


class Ledger:
    """Follows the passes of all workers."""

    def __init__(self, zones: list[str], set_up: datetime, faults: Faults) -> None:
        self.zones = {name: calendar.zone(name) for name in zones}
        self.set_up, self.faults = set_up, faults
        self.choices = Installation(vendor="")
        self.seen: datetime | None = None
        self.previous: dict[int, tuple[datetime, datetime]] = {}  # process -> what it believed last, and when that was
        self.ahead: dict[str, timedelta] = {}  # boot -> by how much the clock was ahead that was believed last
        self.well: list[datetime] = []
        self.first: dict[tuple[str, str], dict[str, datetime]] = defaultdict(dict)  # job, zone -> period -> planned at
        self.may: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.must: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._latest: dict[tuple[str, str, datetime], str] = {}

    def passed(self, process: Process, clock: datetime, now: datetime, *, whole: bool, quiet: bool) -> None:
        """A worker has made a pass: `whole` if it came to its end, `quiet` if nobody was disturbed at the time."""
        known = self.previous.get(process.pid)
        if known is None and process.boot in self.ahead and self.seen is not None:  # of a process before it
            known = self.seen, self.seen - self.ahead[process.boot]
        believed, lived = (None, timedelta()) if known is None else (known[0], now - known[1])
        if judge(clock, believed, self.seen, now if process.asks_server else None, lived) != "believed":
            return
        self.previous[process.pid] = clock, now
        self.ahead[process.boot] = clock - now
        self.seen = clock if self.seen is None else max(self.seen, clock)
        if whole and (not self.well or self.well[-1] < clock):
            self.well.append(clock)
        for job in _DAILY:
            for name in self.zones:
                self._planned(job, name, clock, whole=whole, quiet=quiet)

    def _planned(self, job: Job, name: str, clock: datetime, *, whole: bool, quiet: bool) -> None:
        period, about = self._newest(job, name, clock), (job.name, name)
        self.may[about].add(period)
        if whole:
            since = self.first[about].setdefault(period, clock)
            if quiet and clock - since >= _TIME_FOR_A_RUN:
                self.must[about].add(period)

    def _newest(self, job: Job, name: str, clock: datetime) -> str:
        at = (job.name, name, clock.replace(minute=clock.minute // 15 * 15, second=0))
        if at not in self._latest:
            self._latest[at] = job.cadence.latest(at[2], self.zones[name], self.choices)
        return self._latest[at]

    def check(self, rows: list[Row], now: datetime) -> None:
        """Compare with the store's ledger."""
        found: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        for row in rows:
            if row.period in found[row.job, row.scope]:
                self.faults.doubled.append(f"run {row.job} {row.scope} {row.period}")
            found[row.job, row.scope][row.period] = row.state
        for job in _DAILY:
            for name, zone in self.zones.items():
                about = (job.name, name)
                self._check_days(
                    about, found[about], job.cadence.range(min(self.may[about]), max(self.may[about]), zone)
                )
        for job in _EVERYWHERE:
            self._check_chores(job, found[job.name, "all"], now)
        for job in _MONTHLY:
            for name, zone in self.zones.items():
                last = job.cadence.latest(now, zone, self.choices)
                wanted = set(job.cadence.range(job.cadence.holding(self.set_up, zone), last, zone))
                self._check_months((job.name, name), found[job.name, name], wanted)

    def _check_days(self, about: tuple[str, str], found: dict[str, str], days: list[str]) -> None:
        name = " ".join(about)
        for day in days:
            state = found.get(day, "nowhere")
            if day in self.must[about] and state != "done":
                self.faults.lost.append(f"run {name} {day}, which is {state}")
            elif day not in self.may[about] and state != "missed":
                kind = self.faults.lost if state == "nowhere" else self.faults.extra
                kind.append(f"run {name} {day}, which is {state} though nobody was there to do it")
            elif state not in {"done", "missed", "failed"}:
                self.faults.lost.append(f"run {name} {day}, which is {state}")
        beyond = {day for day, state in found.items() if day not in set(days) and state != "held"}
        self.faults.extra.extend(f"run {name} {day}" for day in sorted(beyond))

    def _check_chores(self, job: Job, found: dict[str, str], now: datetime) -> None:
        """Of what is done by the hour or day for all, the newest only is owed; it must have come by within a day."""
        newest = max((period for period, state in found.items() if state == "done"), default="")
        if newest < job.cadence.latest(now - timedelta(days=1), calendar.zone("UTC"), self.choices):
            self.faults.lost.append(f"run {job.name}, which was done last for {newest or 'no time'}")
        waiting = [period for period, state in found.items() if state in {"due", "running"} and period < newest]
        self.faults.lost.extend(f"run {job.name} {period}, which still waits" for period in sorted(waiting))

    def _check_months(self, about: tuple[str, str], found: dict[str, str], wanted: set[str]) -> None:
        name = " ".join(about)
        done = {month for month, state in found.items() if state == "done"}
        self.faults.lost.extend(f"run {name} {month}" for month in sorted(wanted - done))
        self.faults.extra.extend(f"run {name} {month}" for month in sorted(done - wanted))
