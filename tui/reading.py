"""The desk's reader: one thread with a connection of its own, so that no query keeps the screen waiting."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from peewee import DatabaseError

from store import database
from store.database import db, explained, run_sql

T = TypeVar("T")


@dataclass(eq=False)
class _Question(Generic[T]):
    """What somebody wants to know; `generation` grows with each question."""

    generation: int
    ask: Callable[[], T]
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[T]"
    dropped: bool = field(default=False)


class Reader:
    """Answers questions in the order in which they come. A question whose asker was cancelled is interrupted."""

    def __init__(self) -> None:
        self._questions: SimpleQueue[_Question[Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._generation = 0
        self._lock = threading.Lock()  # held while a question is put on or taken off the connection
        self._running: _Question[Any] | None = None
        self._connection: Any = None

    async def read(self, ask: Callable[[], T]) -> T:
        """What `ask` returns, run in the reader's thread with a session. Cancelling the caller stops the query."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._answer_all, name="desk-reader", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        self._generation += 1
        question: _Question[T] = _Question(self._generation, ask, loop, loop.create_future())
        self._questions.put(question)
        try:
            return await question.answer
        except asyncio.CancelledError:
            question.dropped = True
            self._interrupt_until_it_ends(question)
            raise

    def close(self) -> None:
        """Stop what runs and end the thread."""
        if self._thread is not None:
            running = self._running
            self._questions.put(None)
            for _ in range(20):
                if running is not None:
                    self._interrupt(running)
                self._thread.join(0.1)
                if not self._thread.is_alive():
                    break
            self._thread = None

    def _interrupt_until_it_ends(self, question: _Question[Any]) -> None:
        """More than once: an interrupt that comes just before the statement begins is lost."""
        if self._running is question and not question.loop.is_closed():
            question.loop.run_in_executor(None, self._interrupt, question)
            question.loop.call_later(0.05, self._interrupt_until_it_ends, question)

    def _interrupt(self, question: _Question[Any]) -> None:
        question.dropped = True
        with self._lock:
            if self._running is question:
                _stop(self._connection)

    def _answer_all(self) -> None:
        try:
            while (question := self._questions.get()) is not None:
                if not question.dropped:
                    self._answer(question)
        finally:
            if not db.is_closed():
                db.close()

    def _answer(self, question: _Question[Any]) -> None:
        value: Any = None
        error: BaseException | None = None
        try:
            with explained():
                value = self._ask_twice(question)
        except BaseException as fault:  # noqa: BLE001 - it is the asker's to judge
            error = fault
        with suppress(RuntimeError):  # the loop has ended
            question.loop.call_soon_threadsafe(_settle, question.answer, value, error)

    def _ask_twice(self, question: _Question[T]) -> T:
        """An interrupt meant for the question before may come late, and a pooled connection may have died."""
        try:
            return self._ask(question)
        except DatabaseError:
            if question.dropped:
                raise
            return self._ask(question)

    def _ask(self, question: _Question[T]) -> T:
        if db.is_closed():
            db.connect()
            if database.backend() == "sqlite":
                run_sql("PRAGMA query_only = 1")
        database.check_file()
        with self._lock:
            self._connection = db.connection()  # type: ignore[no-untyped-call]
            self._running = question
        try:
            if question.dropped:  # between its turn and now
                raise asyncio.CancelledError  # noqa: TRY301 - the connection is given up either way
            value = question.ask()
        except BaseException:
            self._off_the_connection()
            with suppress(DatabaseError):
                db.close()
            raise
        self._off_the_connection()
        if database.backend() == "postgresql":
            db.close()  # back to the pool; a desk that idles holds none
        return value

    def _off_the_connection(self) -> None:
        with self._lock:
            self._running = None


def _settle(answer: "asyncio.Future[Any]", value: Any, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)


def _stop(connection: Any) -> None:
    """Stop the statement that runs on it: sqlite3 in microseconds, PostgreSQL by a cancel request over the network."""
    stop = getattr(connection, "interrupt", None) or connection.cancel
    with suppress(Exception):
        stop()
