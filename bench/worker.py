"""What a worker does in a night, against bare SQL, and how long somebody at a desk waits meanwhile.

`python -m bench.worker [--quick | --full]` measures it alone.
"""

import argparse
import os
import pickle
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench import delivering, postgres, report, steps
from bench.report import Goal, Measure
from bench.timing import order, percentile
from bench.worker_places import OnPostgresql, OnSqlite, Place
from bench.worker_world import KEYS_PER_COMPANY, NOW, THRESHOLDS, TODAY, ZONES
from jobs.schedule import TIMETABLE
from store import database, marking, notices, runs
from store.fields import seconds
from store.rules import calendar
from store.runs import Planned

SIZES: Final = {"quick": (200, 1_000), "default": (1_000, 10_000), "full": (10_000, 100_000)}
_MAILS: Final = {"quick": 150, "default": 600, "full": 1_500}
_USERS: Final = {"quick": 2_000, "default": 20_000, "full": 100_000}
_RUNS: Final = 200
_CLAIMED: Final = 5_000  # mails, and markers; no more are due at once, as what is claimed is done soon after
_DUE_NOW: Final = "UPDATE {table} SET {at} = ? WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT ?)"
_MEGABYTE: Final = 1e6
_PROMISED_FROM: Final = 10_000  # companies; below, what a run costs by itself is much of the time
_FILLED_FROM: Final = 100_000  # companies, whose night fills pages, and SQLite's cache, early
_JOBS: Final = {job.name: job for job in TIMETABLE}
_AWAY: Final = 90  # days
_TURNS: Final = 3


@dataclass(frozen=True)
class Night:
    """Something that a worker does in a night."""

    name: str
    task: str
    job: str
    away: int  # since how many days no worker has run
    told: bool  # whether everybody has heard of what was due before
    counted: str  # what it writes


SWEEP: Final = Night("nightly sweep", "sweep", "expiry-notices", 1, told=True, counted="notice")
CATCH_UP: Final = Night("90 days' catch-up", "sweep", "expiry-notices", _AWAY, told=False, counted="notice")
MARKING: Final = Night("markers of a night", "marking", "sandbox-refresh", 1, told=True, counted="refresh_marker")
NIGHTS: Final = (SWEEP, CATCH_UP, MARKING)


@dataclass
class Found:
    """What was found of one of these; the lists hold a number for each turn."""

    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    two: float = 0
    written: int = 0


def measured(folder: Path, extent: str) -> Iterator[Measure]:
    """All of it on both databases, one store on the disk at a time."""
    places: tuple[AbstractContextManager[Any], ...] = (nullcontext(), postgres.running())
    for server in places:
        with server as running:
            place: Place = OnSqlite(folder) if running is None else OnPostgresql(running)
            smaller: dict[str, Found] = {}
            for companies in SIZES[extent]:
                _say(f"building {companies:,} companies on {place.name}")
                place.build(companies)
                bench = _Bench(place, companies, folder, extent)
                smaller = yield from bench.nights(smaller)
                if companies == SIZES[extent][-1]:
                    yield from bench.claims()
                    yield from bench.waits()
                place.drop()
    yield from delivering.on_both(folder, _MAILS[extent])


@dataclass
class _Bench:
    """One store."""

    place: Place
    companies: int
    folder: Path
    extent: str

    @property
    def keys(self) -> int:
        return self.companies * KEYS_PER_COMPANY

    def nights(self, smaller: dict[str, Found]) -> Generator[Measure, None, dict[str, Found]]:
        """What each night's work takes; gives what was found, for a larger store to be compared with."""
        found = {}
        for night in NIGHTS:
            _say(f"{night.name}, {self.keys:,} keys, {self.place.name}")
            found[night.name] = self.night(night)
            yield from self._measures(night, found[night.name], smaller.get(night.name))
        return found

    def night(self, night: Night) -> Found:
        """Both sides in turns, ours first; then two workers."""
        found = Found()
        for turn in range(_TURNS):
            for which in order(turn):
                self._before(night)
                (took,) = self._run(night, "ours" if which == 0 else "bare")
                (found.ours, found.bare)[which].append(took["wall"])
                if which == 0:
                    found.memory.append(took["memory"])
                written = self._count(night)
                found.written = found.written or written
                if written != found.written:
                    raise AssertionError(f"{night.name}: {written} rows, before {found.written}.")
                if which == 0 and turn == 0 and night.task == "sweep":
                    self._keep()
        self._before(night)
        found.two = max(took["wall"] for took in self._run(night, "ours", 2))
        if self._count(night) != found.written:
            raise AssertionError(f"{night.name}: two workers wrote something else.")
        return found

    def _measures(self, night: Night, found: Found, smaller: Found | None) -> Iterator[Measure]:
        name = f"{night.name}, {found.written:,} of {self.keys:,} keys, {self.place.name}"
        if night is MARKING:
            name = f"{night.name}, {found.written:,} of {self.companies:,} companies, {self.place.name}"
        promised = self.companies >= _PROMISED_FROM
        ours = median(found.ours)
        yield Measure(name, ours, median(found.bare), "s", Goal("at most", 2) if promised else None)
        yield Measure(f"{name}, two workers against one", found.two, ours, "s")
        early, late = (median(each[half] for each in found.memory) / _MEGABYTE for half in (0, 1))
        filled = self.companies >= _FILLED_FROM
        if smaller is not None:
            most, before = (max(map(max, each.memory)) / _MEGABYTE for each in (found, smaller))
            # Not 1.1: the tenth's sweep fills no page of keys, and what a page takes is not growth.
            flat = Goal("at most", 1.25) if filled and self.place.name == "PostgreSQL" else None
            yield Measure(f"{name}, memory against a tenth", most, before, "MB", flat)
        yield Measure(f"{name}, memory of its second half", late, early, "MB", Goal("at most", 1.1) if filled else None)

    def claims(self) -> Iterator[Measure]:
        """Runs, mails and markers a second, taken by one worker and by two."""
        _say(f"claims, {self.place.name}")
        for task, prepare in (
            ("claim_runs", self._owe_runs),
            ("claim_mails", self._owe_mails),
            ("claim_markers", self._owe_markers),
        ):
            rates = {}
            for side, workers in (("ours", 1), ("bare", 1), ("ours", 2)):
                prepare()
                took = steps.run(
                    "bench.worker_step", {"side": side, "task": task, "location": self.place.location}, workers
                )
                rates[side, workers] = sum(each["done"] for each in took) / max(each["wall"] for each in took)
            name = f"{task.removeprefix('claim_')} claimed, {self.place.name}"
            yield Measure(name, rates["ours", 1], rates["bare", 1], "claims/s")
            yield Measure(f"{name}, two workers against one", rates["ours", 2], rates["ours", 1], "claims/s")

    def waits(self) -> Iterator[Measure]:
        """How long an edit at a desk takes at most while a worker or an import is at it, and how long by itself."""
        _say(f"waits, {self.place.name}")
        self.place.fresh()
        alone = self._edited(None)
        for name, asked, promised in (
            ("nightly sweep", SWEEP, True),
            ("90 days' catch-up", CATCH_UP, True),
            ("markers of a night", MARKING, True),
            ("invoice drafts", DRAFTS, True),
            (f"import of {_USERS[self.extent]:,} users", None, False),
        ):
            if asked is None:
                self.place.fresh()
                task = {"side": "ours", "task": "import", "users": _USERS[self.extent], "folder": str(self.folder)}
            else:
                self._before(asked)
                task = self._asked(asked, "ours")
            waited = self._edited({**task, "location": self.place.location})
            goal = Goal("at most", 100, of="ours") if promised else None
            title = f"an edit at the desk during {name}, {self.place.name}"
            yield Measure(f"{title}, longest of {len(waited):,}", max(waited), max(alone), "ms", goal)
            yield Measure(f"{title}, p99", percentile(waited, 0.99), percentile(alone, 0.99), "ms")

    def _edited(self, task: dict[str, Any] | None) -> list[float]:
        """Milliseconds of each edit while the task is done; without one for some seconds."""
        desk = steps.begin("bench.desk_writer", {"location": self.place.location, "keys": self.keys})
        step = None if task is None else steps.begin("bench.worker_step", task)
        steps.go(desk)
        if step is None:
            time.sleep(2 if self.extent == "quick" else 5)
        else:
            steps.go(step)
            steps.end(step)
        steps.go(desk)
        said = steps.end(desk)["milliseconds"]
        return [float(each) for each in said]

    def _run(self, night: Night, side: str, workers: int = 1) -> list[dict[str, Any]]:
        return steps.run("bench.worker_step", self._asked(night, side), workers)

    def _asked(self, night: Night, side: str) -> dict[str, Any]:
        return {
            "location": self.place.location,
            "kept": str(self._kept),
            "task": night.task,
            "job": night.job,
            "side": side,
            "now": NOW.isoformat(),
        }

    @property
    def _kept(self) -> Path:
        return self.folder / "kept.pickle"

    def _before(self, night: Night) -> None:
        """The store as it was, with a ledger of when the job was done last."""
        self.place.fresh(told=night.told)
        with self._bound():
            job = _JOBS[night.job]
            for zone in ZONES:
                for period in _done(night):
                    bounds = job.cadence.bounds(period, calendar.zone(zone))
                    runs.plan([Planned(job.name, zone, period, "due", NOW, bounds)], NOW)
            with database.writing():
                database.run_sql("UPDATE run SET state = 'done'")

    def _count(self, night: Night) -> int:
        at = {"notice": f" WHERE created_at = {seconds(NOW)}"}.get(night.counted, "")
        with self._bound():
            return int(database.run_sql(f"SELECT count(*) FROM {night.counted}{at}").fetchone()[0])

    def _keep(self) -> None:
        """Keep the rows that were written, for the other side."""
        kept = {}
        with self._bound():
            for table, at in (("email", "queued_at"), ("notice", "created_at")):
                cursor = database.run_sql(f"SELECT * FROM {table} WHERE {at} = ? ORDER BY id", (seconds(NOW),))
                kept[table] = ([column[0] for column in cursor.description], cursor.fetchall())
        self._kept.write_bytes(pickle.dumps(kept))

    def _owe_runs(self) -> None:
        self.place.fresh()
        with self._bound():
            runs.plan([Planned("bench", f"zone {n}", "2026-11-23", "due", NOW, {}) for n in range(_RUNS)], NOW)

    def _owe_mails(self) -> None:
        self.place.fresh(told=False)
        with self._bound():
            for zone in ZONES:
                notices.sweep(zone, TODAY, NOW, THRESHOLDS)
            with database.writing():
                database.run_sql("UPDATE email SET next_at = ?", (seconds(NOW + timedelta(days=1)),))
                database.run_sql(_DUE_NOW.format(table="email", at="next_at"), (seconds(NOW), _CLAIMED))

    def _owe_markers(self) -> None:
        self.place.fresh()
        with self._bound():
            for zone in ZONES:
                marking.create(zone, TODAY, NOW)
            with database.writing():
                database.run_sql("UPDATE refresh_marker SET due_at = ?", (seconds(NOW + timedelta(days=1)),))
                database.run_sql(_DUE_NOW.format(table="refresh_marker", at="due_at"), (seconds(NOW), _CLAIMED))

    @contextmanager
    def _bound(self) -> Iterator[None]:
        database.bind(self.place.location)
        try:
            with database.session():
                yield
        finally:
            database.dispose()


DRAFTS: Final = Night("invoice drafts", "drafts", "invoice-lines", 0, told=True, counted="invoice_month")


def _done(night: Night) -> list[str]:
    """The periods in which the job was done, the last at least."""
    if night is DRAFTS:
        return calendar.month_range("2024-10", "2026-09")
    return [(TODAY - timedelta(days=night.away)).isoformat()]


def _say(text: str) -> None:
    print(f"{text} ...", flush=True)


def main() -> None:
    """Measure the worker alone and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.worker", description="A worker's night against bare SQL.")
    parser.add_argument("--quick", dest="extent", action="store_const", const="quick", help="small numbers")
    parser.add_argument("--full", dest="extent", action="store_const", const="full", help="1,000,000 keys")
    extent = parser.parse_args().extent or "default"
    build = steps.ROOT / "build"
    build.mkdir(exist_ok=True)
    found = []
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=build) as folder:
        for measure in measured(Path(folder), extent):
            found.append(measure)
            print(f"  {measure.name}: {report.number(measure.ours)} {measure.unit}, {measure.ratio:.2f} ×", flush=True)
    print(f"\n{report.table(found)}\n")
    print(f"{time.perf_counter() - begun:.0f} seconds; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
