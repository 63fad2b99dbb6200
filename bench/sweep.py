"""The nightly expiry sweep of one zone against the bare SQL: the same reading, the same rows written."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

from bench.accept import bare_connection
from bench.report import Goal, Measure
from bench.timing import in_turns, wall_seconds
from bench.world import NOW, TODAY, ZONE, World
from store import database, notices
from store.fields import seconds

_THRESHOLDS: Final = (14, 3, -1)
_TABLES: Final = ("email", "notice")  # in the order in which they can be written
_AT: Final = {"email": "queued_at", "notice": "created_at"}


def against_bare(world: World, number: int) -> Measure:
    """Both sweep the same day, in turns; what one has written is taken away before the next begins."""
    database.bind(str(world.path))
    with database.session(), closing(bare_connection(world.path)) as connection:
        with _heard() as statements:
            notices.sweep(ZONE, TODAY, NOW, _THRESHOLDS)
        reading = next(text for text in statements if text.lstrip().startswith("WITH due"))
        written = {table: _written(connection, table) for table in _TABLES}
        due = len({row[1] for row in written["notice"]})

        def ours() -> float:
            return _timed(connection, lambda: notices.sweep(ZONE, TODAY, NOW, _THRESHOLDS))

        def bare() -> float:
            return _timed(connection, lambda: _bare_sweep(connection, reading, written))

        taken = in_turns(ours, bare, number)
        _clean(connection)
    database.dispose()
    return Measure(f"expiry sweep, {due:,} of {world.named} due", *taken, "s", Goal("at most", 2))


def _timed(connection: Any, body: Callable[[], object]) -> float:
    _clean(connection)
    return wall_seconds(body)


def _bare_sweep(connection: Any, reading: str, written: dict[str, list[tuple[Any, ...]]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(reading).fetchall()
    for table in _TABLES:
        marks = ", ".join("?" * len(written[table][0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", written[table])
    connection.execute("COMMIT")


@contextmanager
def _heard() -> Iterator[list[str]]:
    """The statements that the store runs meanwhile, with their values in place."""
    heard: list[str] = []
    connection: Any = database.db.connection()  # type: ignore[no-untyped-call]
    connection.set_trace_callback(heard.append)
    yield heard
    connection.set_trace_callback(None)


def _written(connection: Any, table: str) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = connection.execute(
        f"SELECT * FROM {table} WHERE {_AT[table]} = ?", (seconds(NOW),)
    ).fetchall()
    return rows


def _clean(connection: Any) -> None:
    """Take away what was written at this bench's instant; what was told before stays."""
    for table in reversed(_TABLES):
        connection.execute(f"DELETE FROM {table} WHERE {_AT[table]} = ?", (seconds(NOW),))
