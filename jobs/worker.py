"""The worker: plans what is owed, runs what is due, empties the queues, until it is told to stop.

One thread only waits for a signal: the main thread, and of a single pass one beside it. A handler that touched the
scheduler could deadlock on the lock that the interrupted thread holds, so TERM, INT and HUP are blocked in every thread
and taken one by one.
"""

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NoReturn

from jobs.heartbeat import Heartbeat
from jobs.json_log import JsonLog, said, take_over, utc_now
from jobs.planning import Planner, ServerClock, Verdict
from jobs.queues import Clock, Mails, Queue
from jobs.ready import notify
from jobs.schedule import TIMETABLE, Job, Slices
from jobs.watch import TICK_SECONDS, Watch
from store import ambiguous_mails, database, installation, restored, runs, sent_record, workers
from store.actors import WORKER
from store.database import session
from store.errors import StoreUnavailable
from store.rules.text import one_line
from store.runs import LEASE, LeaseLost, RunRow

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_MOST_SLICES = 1000  # of one queue in one pass
_SLOW = frozenset({"refreshes"})  # queues of which one slice may take an hour
_LONGEST_PASS = timedelta(hours=1)  # with one such slice less than the TimeoutStartSec of deploy/keydesk-once.service
_TICK = timedelta(seconds=TICK_SECONDS)
# As of a clock that leapt, every warning would come too late and be withdrawn; by one that is apart from the others',
# leases mean nothing.
_HELD = frozenset({"leap", "apart"})


@dataclass(frozen=True)
class Patience:
    """How long a worker waits when it is told to stop; together less than the 20 seconds that are promised."""

    beats: timedelta = timedelta(seconds=12)  # for those that are in the middle of something
    interrupted: timedelta = timedelta(seconds=3)  # then, for those whose statement was interrupted
    giving_back: timedelta = timedelta(seconds=4)  # for the store


_PATIENCE = Patience()


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

    `server_clock` gives what the clock of the store's server says, None where there is none to compare with.
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
    ) -> None:
        self.clock = clock
        self.log = JsonLog(clock=clock) if log is None else log
        self.version = version
        self.name = ""
        self._queues = dict(queues or {})
        self._jobs = {job.name: job for job in timetable}
        self._planner = Planner(timetable, server_clock)
        self._verdict: Verdict = "believed"
        self._held: str | None = None  # since when the restored store is held
        self._stopping = threading.Event()
        self._last_error: str | None = None
        self._watch = Watch()
        self._cut_short: set[str] = set()  # beats whose last pass ended with an error, and may have left a claim
        self._cut_off: set[int] = set()  # runs that the store has cut off, and that were not done since
        self._interrupts: dict[str, Callable[[], None]] = {}  # beat -> what stops its statement
        self._pass_clock: Clock | None = None  # of the pass that is under way
        self._ticked = datetime.min.replace(tzinfo=UTC)  # in it

    # One pass

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
            self._begin(now, "pass")
            self._pass_clock, self._ticked = clock, now
            while goes_on:
                with session():  # a refresh may have let go of the other
                    planned += self._plan(clock())
                    went_well, went_wrong = self._run_due(clock)
                    some = {name: self._empty(name, clock, _MOST_SLICES if name not in _SLOW else 1) for name in taken}
                done, failed = done + went_well, failed + went_wrong
                taken = {name: taken[name] + some[name] for name in taken}
                goes_on = any(some[name] for name in _SLOW & some.keys()) and clock() - now < _LONGEST_PASS
            self._pass_clock = None
            workers.tick(self.name, clock(), self._taken_error())
        return Pass(self._verdict, planned, done, failed, taken)

    def run_due(self, now: datetime) -> Pass:
        """Run what is due and plan nothing: for one job that a person wants done."""
        with session():
            self._begin(now, "job")
            self._is_held()
            done, failed = self._run_due(lambda: now)
        return Pass(self._verdict, 0, done, failed, {})

    def _begin(self, now: datetime, kind: workers.Kind = "stays") -> None:
        if self.name:
            return
        installation.get()
        host = workers.this_host()
        for name in workers.bury(host, now):
            freed, ambiguous = runs.put_back(name), ambiguous_mails.bury(name, now)
            self.log.say("worker.buried", "warning", worker=name, freed=freed, ambiguous_mails=ambiguous)
        self.name = workers.register(host, self.version, now, kind=kind)
        self.log.say("worker.started", worker=self.name, version=self.version)
        if restored.held() is None and sent_record.is_ahead():
            restored.hold(WORKER, "more was mailed than this store knows: it is older than the record of it", now)

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

    def _is_held(self) -> bool:
        """Whether the store was restored and nobody has let it go on: nothing is planned, run, sent or billed."""
        held = restored.held()
        if held != self._held:
            self._held = held
            if held is None:
                self.log.say("store.released")
            else:
                self.log.say("store.held", "warning", restored_at=held)
        return held is not None

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

    def _run_due(self, clock: Clock) -> tuple[int, int]:
        done = failed = 0
        while not self._stopping.is_set() and self._held is None and self._verdict not in _HELD:
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
            self._renew()
        try:
            again = runs.fail(run, said(error), clock())
        except LeaseLost as lost:
            self.log.say("run.lost", "warning", **_facts(run), text=str(lost))
            return
        self._note(error)
        self.log.failure("run.failed", error, **_facts(run), again_at=f"{again:%Y-%m-%dT%H:%M:%SZ}")

    def _renew(self) -> None:
        database.renew()
        for beat in ("work", "pass"):  # it is that one's connection
            if beat in self._interrupts:
                self._interrupts[beat] = database.interrupter()

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

    def _empty(self, name: str, clock: Clock, most: int = _MOST_SLICES) -> int:
        taken = 0
        if restored.held() is not None or self._planner.verdict(clock()) in _HELD:
            return taken
        stopping = partial(self._is_told_to_stop, name)
        for _ in range(most):
            slice_taken = 0 if self._stopping.is_set() else self._queues[name](clock, self.name, stopping)
            taken += slice_taken
            if slice_taken == 0 or self._planner.verdict(clock()) in _HELD:  # one slice may take an hour
                break
        return taken

    def _is_told_to_stop(self, beat: str) -> bool:
        self._moves(beat)  # who asks is not stuck
        return self._stopping.is_set()

    def _moves(self, beat: str) -> None:
        """It has come further. A pass, which has no beat for its tick, ticks then."""
        self._watch.moves(beat)
        if self._pass_clock is None or abs((now := self._pass_clock()) - self._ticked) < _TICK:
            return
        self._ticked = now
        with suppress(StoreUnavailable):  # no reason to end what needs no store at this moment, as a command
            workers.tick(self.name, now, self._taken_error())

    # The process

    def serve(self, patience: Patience = _PATIENCE, begin: Callable[[], object] | None = None) -> int:
        """Work until a signal comes, and give the exit status: 0, or 1 when the heartbeat died.

        Must be called before other threads are started: they inherit that the signals are blocked; what else the
        process does in threads is started by `begin`. A beat that does not end in time is left behind, its transaction
        undone and its claims given back, and the process ends with status 1; so it does when the store takes nothing
        back in time.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        take_over(self.log)
        if begin is not None:
            begin()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # nothing is held yet: it may end at once, as any program
        self._begin(self.clock())
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        gc.freeze()  # what is loaded by now stays for years; looking at it again and again would hold up batches
        heart = Heartbeat(self.log)
        bodies: dict[str, Callable[[], object]] = {"work": self._work}
        bodies |= {name: partial(self._empty, name, self.clock) for name in self._queues}
        heart.beat("tick", TICK_SECONDS, partial(self._beat, "tick", self._tick))
        for name, body in bodies.items():
            self._watch.expects(name)
            heart.beat(name, 5, partial(self._beat, name, body))
        heart.start()
        notify("READY=1")
        status = self._wait_for_signal(heart)
        notify("STOPPING=1")
        self._stopping.set()
        have_ended = heart.stop(patience.beats)
        if not have_ended:
            self._interrupt()
            have_ended = heart.stopped(patience.interrupted)
        if not have_ended:
            self._leave_behind(patience)
        if not self._gives_back(patience.giving_back):
            os._exit(1)
        return status

    def serve_once(self, patience: Patience = _PATIENCE) -> int:
        """One pass, which a signal ends as it ends `serve`. Exit status 1 when a run failed or work was left behind.

        Must be called before other threads are started.
        """
        take_over(self.log)
        self._begin(self.clock(), "pass")  # nothing is held yet: a signal may end it at once, as any program
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._watch.begins("pass")
        over = threading.Event()
        threading.Thread(target=self._end_at_signal, args=(over, patience), name="signals", daemon=True).start()
        status = 0
        try:
            with session():
                self._interrupts["pass"] = database.interrupter()
                status = int(self.once(self.clock(), self.clock).failed > 0)
        except Exception as error:
            if not self._stopping.is_set():
                raise
            self.log.failure("beat.failed", error, beat="pass")  # its statement was interrupted
        finally:
            self._interrupts.clear()
        self.end(self.clock())
        over.set()
        return status

    def _end_at_signal(self, over: threading.Event, patience: Patience) -> None:
        came = signal.sigwait(_SIGNALS)
        self.log.say("worker.told-to-stop", signal=signal.Signals(came).name)
        self._stopping.set()
        if not over.wait(patience.beats.total_seconds()):
            self._interrupt()
            if not over.wait(patience.interrupted.total_seconds()):
                self._leave_behind(patience)

    def _interrupt(self) -> None:
        for interrupt in list(self._interrupts.values()):
            threading.Thread(target=interrupt, daemon=True).start()  # which a server that hangs may never answer

    def _leave_behind(self, patience: Patience) -> NoReturn:
        """End although work goes on. What it held is free all the same: whatever it still writes is fenced off."""
        self.log.say("worker.left-behind", "error", beats=self._watch.busy)
        self._gives_back(patience.giving_back)
        os._exit(1)

    def _gives_back(self, within: timedelta) -> bool:
        """Say goodbye to the store, which may be away or hang: the leases run out then. Whether it has taken that."""
        ended: list[bool] = []

        def give_back() -> None:
            try:
                self.end(self.clock())
                ended.append(True)
            except Exception as error:  # noqa: BLE001 - whatever it is
                self.log.failure("worker.left-behind", error)
                ended.append(False)

        giving_back = threading.Thread(target=give_back, name="give-back", daemon=True)
        giving_back.start()
        giving_back.join(within.total_seconds())
        if not ended:
            self.log.say("worker.left-behind", "error", error="The store does not answer.")
        return ended == [True]

    def _wait_for_signal(self, heart: Heartbeat) -> int:
        well, status = True, ""
        while True:
            came = signal.sigtimedwait(_SIGNALS, 1)
            if came is not None:
                self.log.say("worker.told-to-stop", signal=signal.Signals(came.si_signo).name)
                return 0
            if not heart.beats:
                self.log.say("heartbeat.dead", "error")
                return 1
            fault = self._watch.fault()
            if fault is None:
                notify("WATCHDOG=1")
            elif well:
                self.log.say("worker.stuck", "error", text=fault, beats=self._watch.busy)
            well = fault is None
            if status != self._watch.status():
                status = self._watch.status()
                notify(f"STATUS={one_line(status, 400)}")

    def _beat(self, name: str, body: Callable[[], object]) -> None:
        self._watch.begins(name)
        failure = ""
        try:
            with session():
                self._interrupts[name] = database.interrupter()
                body()
            self._cut_short.discard(name)
        except Exception as error:  # noqa: BLE001 - the next beat tries again
            self._cut_short.add(name)
            self._note(error)
            failure = said(error).removeprefix("StoreUnavailable: ")
            self.log.failure("beat.failed", error, beat=name)
        finally:
            self._interrupts.pop(name, None)
            self._watch.ends(name, failure)

    def _work(self) -> None:
        if "work" in self._cut_short:
            runs.put_back(self.name)
        self._plan(self.clock())
        self._run_due(self.clock)

    def _tick(self) -> None:
        workers.tick(self.name, self.clock(), self._taken_error())

    def _note(self, error: BaseException) -> None:
        self._last_error = said(error)

    def _taken_error(self) -> str | None:
        taken, self._last_error = self._last_error, None
        return taken


def _facts(run: RunRow) -> dict[str, Any]:
    return {"run": runs.name_of(run), "attempt": run.attempt}


def _nothing(_run: RunRow, _now: datetime) -> int:
    return 0


def simulate(worker: Worker, start: datetime, span: timedelta, step: timedelta) -> list[Pass]:
    """Drive a worker with a clock of its own, one pass a step from `start` on; for rehearsals and tests."""
    passes = [worker.once(start + number * step) for number in range(span // step)]
    worker.end(start + span)
    return passes
