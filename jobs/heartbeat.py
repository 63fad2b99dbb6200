"""The heartbeat: APScheduler beats, it does not judge. What is due stands in the run ledger.

Three of its ways to stop without a word are closed here: a clock step that leaves its thread asleep for hours (or makes
it list every beat it missed), an error in its own loop that ends the thread, and a long wait that hides either.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from jobs.json_log import JsonLog

LONGEST_WAIT = 30.0  # seconds
STEP = 5.0  # seconds by which the wall clock may part from the monotonic one
AFTER_ERROR = 5.0  # seconds


def _is_news(record: logging.LogRecord) -> bool:
    """A beat that still runs when its next time comes is left to run; the library would say so every few seconds."""
    return "maximum number of running instances" not in record.msg


class Heartbeat(BackgroundScheduler):  # type: ignore[misc] # the library has no types
    """A scheduler in UTC with interval triggers only, whose loop outlives errors and clock steps."""

    def __init__(self, log: JsonLog, wall: Callable[[], float] = time.time) -> None:
        logger = logging.getLogger("apscheduler.scheduler")
        logger.addFilter(_is_news)
        super().__init__(
            logger=logger,
            timezone=UTC,
            jobstores={"default": MemoryJobStore()},
            executors={"default": ThreadPoolExecutor(4)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._log = log
        self._wall = wall
        self._offset = wall() - time.monotonic()

    def beat(self, name: str, seconds: float, body: Callable[[], Any]) -> None:
        """Call `body` now and then every so many seconds; never twice at the same time."""
        trigger = IntervalTrigger(seconds=seconds, timezone=UTC)
        self.add_job(body, trigger, id=name, name=name, next_run_time=datetime.now(UTC))

    @property
    def beats(self) -> bool:
        """Whether its thread is alive; the library's own `running` stays true when it is not."""
        thread: threading.Thread | None = self._thread
        return thread is not None and thread.is_alive()

    def _process_jobs(self) -> float:
        try:
            self._notice_clock_step()
            wait: float | None = super()._process_jobs()
        except Exception as error:  # noqa: BLE001 - the loop must not end
            self._log.failure("heartbeat.failed", error)
            return AFTER_ERROR
        return LONGEST_WAIT if wait is None else min(wait, LONGEST_WAIT)

    def _notice_clock_step(self) -> None:
        offset = self._wall() - time.monotonic()
        step = offset - self._offset
        if abs(step) <= STEP:
            return
        self._offset = offset
        self._log.say("clock.stepped", "warning", seconds=round(step))
        now = datetime.now(UTC)
        with self._jobstores_lock:
            for job in self.get_jobs():
                job.modify(next_run_time=now)

    def stop(self, within: timedelta) -> bool:
        """Let the running beats end. False when they have not ended in time."""
        # The library's shutdown has no deadline of its own.
        self._ending = threading.Thread(target=self.shutdown, name="heartbeat-stop", daemon=True)
        self._ending.start()
        return self.stopped(within)

    def stopped(self, within: timedelta) -> bool:
        """Wait once more for a stop that was asked for; whether the beats have ended."""
        self._ending.join(within.total_seconds())
        return not self._ending.is_alive()
