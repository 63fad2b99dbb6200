"""What the worker says: one fact a line, as JSON, without secrets."""

import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from store.rules.key_format import redact


def utc_now() -> datetime:
    """The machine's clock: the one place where the worker reads it."""
    return datetime.now(UTC).replace(microsecond=0)


class JsonLog:
    """Writes `{"at": …, "level": …, "fact": …, …}` and flushes. A reader that has gone never stops the worker."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], datetime] = utc_now) -> None:
        self.stream = sys.stdout if stream is None else stream
        self.clock = clock
        self._lock = threading.Lock()

    def say(self, fact: str, level: str = "info", **more: Any) -> None:
        """Write one fact. Values that JSON has no word for are written as text."""
        line = {"at": f"{self.clock():%Y-%m-%dT%H:%M:%SZ}", "level": level, "fact": fact, **more}
        text = json.dumps(line, default=str)
        if (clean := redact(text)) != text:
            text = json.dumps(json.loads(clean))
        with self._lock:
            try:
                self.stream.write(text + "\n")
                self.stream.flush()
            except (OSError, ValueError):  # a full disk, a closed pipe
                return

    def failure(self, fact: str, error: BaseException, **more: Any) -> None:
        """Write what went wrong and where, never the values that were at hand."""
        self.say(fact, "error", error=said(error), where=where(error), **more)


def said(error: BaseException) -> str:
    """An error as one line of text without secrets."""
    return redact(f"{type(error).__name__}: {error}")[:1000]


def where(error: BaseException) -> str:
    """The last places that the error came through, the innermost last: `worker.py:80 _run < …`."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)


class LibraryLog(logging.Handler):
    """Turns what a library logs into facts."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__(logging.WARNING)
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Say it, with the error that came with it."""
        fault = record.exc_info[1] if record.exc_info else None
        more = {} if fault is None else {"error": said(fault), "where": where(fault)}
        self.log.say("library", record.levelname.lower(), name=record.name, text=record.getMessage(), **more)


def take_over(log: JsonLog) -> None:
    """Make all that libraries log, warn of, or let a thread die of from now on come out as facts.

    Nothing of it goes to standard error.
    """
    logging.basicConfig(handlers=[LibraryLog(log)], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    threading.excepthook = partial(_died, log)


def _died(log: JsonLog, args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread is not None else ""
    error = args.exc_value or args.exc_type()
    if not isinstance(error, SystemExit):
        log.failure("thread.died", error, thread=name)
