"""The worker: plans what is owed, runs what is due, empties the queues, until it is told to stop."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from jobs import lifeline
from jobs.json_log import JsonLog, said, utc_now
from jobs.planning import Planner, ServerClock, Verdict
from jobs.queues import Clock, Mails, Queue
from jobs.schedule import TIMETABLE, Job, Slices
from jobs.watch import TICK_SECONDS
from store import ambiguous_mails, database, installation, outgoing, restored, runs, workers, zones
from store.database import session
from store.errors import Refused, StoreUnavailable
from store.runs import LEASE, LeaseLost, RunRow

_MOST_SLICES = 1000  # of one queue in one pass
_SLOW = frozenset({"refreshes"})  # queues of which one slice may take an hour
_LONGEST_PASS = timedelta(hours=1)  # with one such slice less than the TimeoutStartSec of deploy/keydesk-once.service
_TICK = timedelta(seconds=TICK_SECONDS)
# As of a clock that leapt, every warning would come too late and be withdrawn; by one that is apart from the others',
# leases mean nothing.
_HELD = frozenset({"leap", "apart"})


class _ToldToStop(Exception):
    """A run that works in slices ends between two of them."""


@dataclass(frozen=True)
class Pass:
    """What one pass did."""

    verdict: Verdict
    planned: int
    done: int
    failed: int
    taken: dict[str, int]  # queue -> how much of it


class Worker:
    """One worker. `clock` gives aware UTC instants; `queues` are emptied by name between the runs.

    `server_clock` gives what the clock of the store's server says, None where there is none to compare with; `elapsed`
    counts seconds as nobody can set them, since the boot of that id where it is given.
    """

    def __init__(
        self,
        *,
        queues: Mapping[str, Queue] | None = None,
        clock: Clock = utc_now,
        log: JsonLog | None = None,
        timetable: Sequence[Job] = TIMETABLE,
        version: str = "",
        server_clock: ServerClock = lambda: None,
        elapsed: Callable[[], float] = lifeline.seconds,
        boot: str | None = None,
    ) -> None:
        self.clock = clock
        self.on_move: Callable[[str], object] = lambda _beat: None  # is called when a beat has come further
        self.log = JsonLog(clock=clock) if log is None else log
        self.version = version
        self.name = ""
        self._queues = dict(queues or {})
        self._jobs = {job.name: job for job in timetable}
        self._planner = Planner(timetable, server_clock, elapsed, boot)
        self._verdict: Verdict = "believed"
        self._held: str | None = None  # since when the restored store is held
        self._unread = ""  # why it is not known whether the store was restored
        self._stopping = threading.Event()
        self._last_error: str | None = None
        self._is_cut_short = False  # the last round of runs has ended with an error, and may have left a claim
        self._cut_off: set[int] = set()  # runs that the store has cut off, and that were not done since
        self._pass_clock: Clock | None = None  # of the pass that is under way
        self._ticked = datetime.min.replace(tzinfo=UTC)  # in it

    @property
    def queues(self) -> Iterable[str]:
        """The names of what it empties."""
        return self._queues.keys()

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Tell it, from another thread, to begin nothing more and to end what it does between two slices."""
        self._stopping.set()

    def once(self, now: datetime, clock: Clock | None = None) -> Pass:
        """Plan, run everything due and empty the queues: as of one instant, or by a clock that goes on from there.

        Between two slices that may take long all the rest is done anew, so that a night of them keeps no mail waiting,
        and an hour after `now` none of these is begun any more: they are left to the next pass.
        """
        clock = clock or (lambda: now)
        planned = done = failed = 0
        taken = dict.fromkeys(self._queues, 0)
        goes_on = True
        with session():
            self.begin(now, "pass")
            self._pass_clock, self._ticked = clock, now
            while goes_on:
                with session():  # a refresh may have let go of the other
                    planned += self._plan(clock())
                    went_well, went_wrong = self._run_due(clock)
                    some = {name: self.empty(name, clock, _MOST_SLICES if name not in _SLOW else 1) for name in taken}
                done, failed = done + went_well, failed + went_wrong
                taken = {name: taken[name] + some[name] for name in taken}
                goes_on = any(some[name] for name in _SLOW & some.keys()) and clock() - now < _LONGEST_PASS
            self._pass_clock = None
            self.tick(clock())
        return Pass(self._verdict, planned, done, failed, taken)

    def run_due(self, now: datetime) -> Pass:
        """Run what is due and plan nothing: for one job that a person wants done."""
        with session():
            self.begin(now, "job")
            self._is_held()
            done, failed = self._run_due(lambda: now)
        return Pass(self._verdict, 0, done, failed, {})

    def begin(self, now: datetime, kind: workers.Kind = "stays") -> None:
        """Say hello to the store, and take over what the dead of this machine held. Not again once that is done.

        A record of sent mails that cannot be read is refused before that; only a worker that stays waits for it.
        """
        if self.name:
            return
        installation.get()
        try:
            restored.compare(now)
        except Refused as unread:
            if kind != "stays":
                raise
            self._unread = str(unread)
        host = workers.this_host()
        for name in workers.bury(host, now):
            freed, freed_mails = runs.put_back(name), outgoing.release(name)
            # What a mail of the dead has become, the record may tell: without it that waits until its lease is over.
            ambiguous = [] if self._unread else ambiguous_mails.bury(name, now)
            facts = {"freed": freed, "freed_mails": freed_mails, "ambiguous_mails": ambiguous}
            self.log.say("worker.buried", "warning", worker=name, **facts)
        unknown = zones.unknown()
        if unknown:
            text = (
                "Nothing is planned here for companies in these time zones. Update tzdata, and start the worker anew."
            )
            self.log.say("zones.unknown", "error", zones=unknown, text=text)
        self.name = workers.register(host, self.version, now, kind=kind)
        self.log.say("worker.started", worker=self.name, version=self.version)
        if self._unread:
            self.log.say("mail.record-unread", "error", text=self._unread)
            self._last_error = self._unread

    def end(self, now: datetime) -> None:
        """Give back what is claimed and say goodbye."""
        if self.name:
            self._settle_mails(now)
            ambiguous_mails.bury(self.name, now)  # what a beat left that was cut off
            runs.put_back(self.name)
            workers.stop(self.name, now)
            self.log.say("worker.stopped", worker=self.name)
            self.name = ""

    def _settle_mails(self, now: datetime) -> None:
        """What is known of the mails of a slice that was cut short is told to the store before the worker is gone."""
        for queue in self._queues.values():
            if isinstance(queue, Mails):
                queue.settle(self.name, now)

    def _knows_the_record(self, now: datetime) -> bool:
        """Whether it has been seen, once since it began, that the record of sent mails knows no more than the store.

        Until then it does as in a store that is held: what is owed is done later, and what was sent is not sent again.
        """
        if self._unread:
            with suppress(Refused):
                restored.compare(now)
                self._unread = ""
                self.log.say("mail.record-read")
        return not self._unread

    def _is_held(self) -> bool:
        """Whether the store was restored and nobody has let it go on: nothing is planned, run, sent or billed."""
        before, self._held = self._held, restored.held()
        if self._held is not None and self._held != before:
            self.log.say("store.held", "warning", restored_at=self._held)
        elif self._held is None and before is not None:
            self.log.say("store.released", restored_at=before)
        return self._held is not None

    def _plan(self, now: datetime) -> int:
        if self._is_held():
            return 0
        plan = self._planner.plan(now)
        if plan.verdict != self._verdict:
            self._verdict = plan.verdict
            level = "info" if plan.verdict == "believed" else "warning"
            self.log.say("clock.judged", level, verdict=plan.verdict)
        if plan.planned:
            self.log.say("runs.planned", runs=plan.planned, verdict=plan.verdict)
        return plan.planned

    def work(self) -> None:
        """Plan, and run what is due, by its own clock."""
        if not self._knows_the_record(self.clock()):
            return
        if self._is_cut_short:
            runs.put_back(self.name)
        self._is_cut_short = True
        self._plan(self.clock())
        self._run_due(self.clock)
        self._is_cut_short = False

    def _run_due(self, clock: Clock) -> tuple[int, int]:
        done = failed = 0
        while not self._stopping.is_set() and not self._is_held() and self._verdict not in _HELD:
            self._moves("work")
            run = runs.claim(self.name, tuple(self._jobs), clock())
            if run is None:
                break
            if self._run(run, clock):
                done += 1
            elif not self._stopping.is_set():  # or it was put back
                failed += 1
        return done, failed

    def _run(self, run: RunRow, clock: Clock) -> bool:
        job, begun, facts = self._jobs[run.job], time.monotonic(), _facts(run)
        try:
            if job.slices is not None:
                rows = self._run_slices(job.slices, run, clock)
            else:
                rows = runs.execute(run, job.body or _nothing, clock())
        except _ToldToStop:
            self.log.say("run.put-back", **facts)
        except LeaseLost as error:
            self.log.say("run.lost", "warning", **facts, text=str(error))
        except Exception as error:  # noqa: BLE001 - one run that fails holds up no other
            self._failed(run, error, clock)
        else:
            self._cut_off.discard(run.id)
            self.log.say("run.done", **facts, rows=rows, ms=round((time.monotonic() - begun) * 1000))
            return True
        return False

    def _failed(self, run: RunRow, error: Exception, clock: Clock) -> None:
        """Let the run wait, so that it holds up no other. Raises StoreUnavailable when the store is what failed."""
        if self._stopping.is_set():  # its statement was interrupted
            self.log.say("run.put-back", **_facts(run))
            return
        if isinstance(error, StoreUnavailable):
            # One that the store cut off is put back with the next beat. If that happens again though the store can be
            # had, as with a statement that always takes too long, it is the run. A pass knows of no earlier one.
            is_first = run.attempt == 1 or (self._pass_clock is None and run.id not in self._cut_off)
            self._cut_off.add(run.id)
            if is_first:
                raise error
            database.renew()
        try:
            again = runs.fail(run, said(error), clock())
        except LeaseLost as lost:
            self.log.say("run.lost", "warning", **_facts(run), text=str(lost))
            return
        self.note(error)
        self.log.failure("run.failed", error, **_facts(run), again_at=f"{again:%Y-%m-%dT%H:%M:%SZ}")

    def _run_slices(self, slices: Slices, run: RunRow, clock: Clock) -> int:
        rows, kept_at = run.rows_before, clock()
        for written in slices(run, clock()):
            rows += written
            self._moves("work")
            if self._stopping.is_set():
                raise _ToldToStop
            if clock() - kept_at > LEASE / 2:
                kept_at = clock()
                runs.extend(run, kept_at)
        runs.finish(run, rows, clock())
        return rows

    def empty(self, name: str, clock: Clock, most: int = _MOST_SLICES) -> int:
        """Take at most so many slices of one queue while its clock is believed; how much that was."""
        taken = 0
        if self._unread:
            return taken
        stopping = partial(self._is_told_to_stop, name)
        judged_at: datetime | None = None
        for _ in range(most):
            now = clock()
            if judged_at is None or abs(now - judged_at) >= _TICK:  # one slice may take an hour
                if self._planner.verdict(now) in _HELD:
                    break
                judged_at = now
            if self._stopping.is_set() or restored.held() is not None:  # which may be said while thousands wait
                break
            slice_taken = self._queues[name](clock, self.name, stopping)
            taken += slice_taken
            if slice_taken == 0:
                break
        return taken

    def _is_told_to_stop(self, beat: str) -> bool:
        self._moves(beat)  # who asks is not stuck
        return self._stopping.is_set()

    def _moves(self, beat: str) -> None:
        """It has come further. A pass, which has no beat for its tick, ticks then."""
        self.on_move(beat)
        if self._pass_clock is None or abs((now := self._pass_clock()) - self._ticked) < _TICK:
            return
        self._ticked = now
        with suppress(StoreUnavailable):  # no reason to end what needs no store at this moment, as a command
            self.tick(now)

    def tick(self, now: datetime) -> None:
        """Tell the store that it lives, and what went wrong last since it told so before."""
        taken, self._last_error = self._last_error, None
        workers.tick(self.name, now, taken)

    def note(self, error: BaseException) -> None:
        """The next tick says what went wrong."""
        self._last_error = said(error)


def _facts(run: RunRow) -> dict[str, Any]:
    return {"run": runs.name_of(run), "attempt": run.attempt}


def _nothing(_run: RunRow, _now: datetime) -> int:
    return 0


def simulate(worker: Worker, start: datetime, span: timedelta, step: timedelta) -> list[Pass]:
    """Drive a worker with a clock of its own, one pass a step from `start` on; for rehearsals and tests."""
    passes = [worker.once(start + number * step) for number in range(span // step)]
    worker.end(start + span)
    return passes
