"""The process that a worker lives in: its beats, what ends it, and the systemd that watches it.

One thread only waits for a signal: the main thread, and of a single pass one beside it. A handler that touched the
scheduler could deadlock on the lock that the interrupted thread holds, so TERM, INT and HUP are blocked in every thread
and taken one by one.
"""

import gc
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import NoReturn

from jobs.heartbeat import Heartbeat
from jobs.json_log import said, take_over
from jobs.ready import notify
from jobs.watch import TICK_SECONDS, Watch
from jobs.worker import Worker
from store import database, migrations
from store.database import session
from store.errors import OtherVersion, StoreUnavailable
from store.rules.text import one_line

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_BEAT_SECONDS = 5


@dataclass(frozen=True)
class Patience:
    """How long a worker waits when it is told to stop; together less than the 20 seconds that are promised."""

    beats: timedelta = timedelta(seconds=12)  # for those that are in the middle of something
    interrupted: timedelta = timedelta(seconds=3)  # then, for those whose statement was interrupted
    giving_back: timedelta = timedelta(seconds=4)  # for the store


_PATIENCE = Patience()


class Process:
    """Drives one worker. Must be made and used before other threads are started: they inherit that signals are blocked.

    A beat that does not end in time when a signal comes is left behind, its transaction undone and its claims given
    back, and the process ends with status 1; so it does when the store takes nothing back in time.
    """

    def __init__(self, worker: Worker, patience: Patience = _PATIENCE) -> None:
        self._worker, self._patience = worker, patience
        self._log = worker.log
        self._watch = Watch()
        worker.on_move = self._watch.moves
        self._other_version: OtherVersion | None = None  # as a beat has found the store
        self._bodies: dict[str, Callable[[], object]] = {
            "tick": lambda: worker.tick(worker.clock()),
            "work": worker.work,
            **{name: partial(worker.empty, name, worker.clock) for name in worker.queues},
        }

    def serve(self, begin: Callable[[], object] | None = None) -> int:
        """Work until a signal comes, and give the exit status: 0, or 1 when the heartbeat died.

        So it does when the store has been brought to another version, into which nothing more is written then.

        What else the process does in threads is started by `begin`.
        """
        worker = self._worker
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        take_over(self._log)
        if begin is not None:
            begin()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # nothing is held yet: it may end at once, as any program
        worker.begin(worker.clock())
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        gc.freeze()  # what is loaded by now stays for years; looking at it again and again would hold up batches
        heart = Heartbeat(self._log)
        for name in self._bodies:
            heart.beat(name, TICK_SECONDS if name == "tick" else _BEAT_SECONDS, partial(self.beat, name))
            if name != "tick":
                self._watch.expects(name)
        heart.start()
        notify("READY=1")
        status = self._wait_for_signal(heart)
        notify("STOPPING=1")
        worker.stop()
        have_ended = heart.stop(self._patience.beats)
        if not have_ended:
            database.interrupt()
            have_ended = heart.stopped(self._patience.interrupted)
        if not have_ended:
            self._leave_behind()
        if self._other_version is not None:
            return status  # what was held is free when the next worker starts, or after its lease
        if not self._gives_back():
            os._exit(1)
        return status

    def serve_once(self) -> int:
        """One pass, which a signal ends as it ends `serve`. Exit status 1 when a run failed or work was left behind."""
        worker = self._worker
        take_over(self._log)
        worker.begin(worker.clock(), "pass")  # nothing is held yet: a signal may end it at once, as any program
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._watch.begins("pass")
        over = threading.Event()
        threading.Thread(target=self._end_at_signal, args=(over,), name="signals", daemon=True).start()
        status, fault = 0, None
        try:
            status = int(worker.once(worker.clock(), worker.clock).failed > 0)
        except Exception as error:  # noqa: BLE001 - it says goodbye whatever happened
            fault = error
        over.set()  # first: what may be interrupted is the pass, and not its goodbye
        has_given_back = self._gives_back()
        if fault is not None and not worker.is_stopping:
            raise fault
        if fault is not None:
            self._log.failure("beat.failed", fault, beat="pass")  # its statement was interrupted
        if not has_given_back:
            os._exit(1)
        return status

    def _end_at_signal(self, over: threading.Event) -> None:
        came = signal.sigwait(_SIGNALS)
        self._log.say("worker.told-to-stop", signal=signal.Signals(came).name)
        self._worker.stop()
        if not over.wait(self._patience.beats.total_seconds()):
            database.interrupt()
            if not over.wait(self._patience.interrupted.total_seconds()):
                self._leave_behind()

    def _leave_behind(self) -> NoReturn:
        """End although work goes on. What it held is free all the same: whatever it still writes is fenced off."""
        self._log.say("worker.left-behind", "error", beats=self._watch.busy)
        self._gives_back()
        os._exit(1)

    def _gives_back(self) -> bool:
        """Say goodbye to the store, which may be away or hang: the leases run out then. Whether it has taken that."""
        ended: list[bool] = []

        def give_back() -> None:
            try:
                try:
                    self._worker.end(self._worker.clock())
                except StoreUnavailable:  # an interrupt that was meant for a beat may come late
                    self._worker.end(self._worker.clock())
                ended.append(True)
            except Exception as error:  # noqa: BLE001 - whatever it is
                self._log.failure("worker.left-behind", error)
                ended.append(False)

        giving_back = threading.Thread(target=give_back, name="give-back", daemon=True)
        giving_back.start()
        giving_back.join(self._patience.giving_back.total_seconds())
        if not ended:
            self._log.say("worker.left-behind", "error", error="The store does not answer.")
        return ended == [True]

    def _wait_for_signal(self, heart: Heartbeat) -> int:
        well, status = True, ""
        while True:
            came = signal.sigtimedwait(_SIGNALS, 1)
            if came is not None:
                self._log.say("worker.told-to-stop", signal=signal.Signals(came.si_signo).name)
                return 0
            if not heart.beats:
                self._log.say("heartbeat.dead", "error")
                return 1
            if self._other_version is not None:
                self._log.failure("store.other-version", self._other_version)
                return 1
            fault = self._watch.fault()
            if fault is None:
                notify("WATCHDOG=1")
            elif well:
                self._log.say("worker.stuck", "error", text=fault, beats=self._watch.busy)
            well = fault is None
            if status != self._watch.status():
                status = self._watch.status()
                notify(f"STATUS={one_line(status, 400)}")

    def beat(self, name: str) -> None:
        """What the heart does again and again: `tick`, `work`, or a queue. What goes wrong is told and kept from it."""
        self._watch.begins(name)
        failure = ""
        try:
            with session():
                migrations.check()
                self._bodies[name]()
        except OtherVersion as error:
            self._other_version = error
        except Exception as error:  # noqa: BLE001 - the next beat tries again
            self._worker.note(error)
            failure = said(error).removeprefix("StoreUnavailable: ")
            self._log.failure("beat.failed", error, beat=name)
        finally:
            self._watch.ends(name, failure)
