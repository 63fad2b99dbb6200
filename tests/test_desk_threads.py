"""Does reading never keep anybody waiting, and is every change carried to its end?"""

import asyncio
import threading

import pytest
from desk_world import NOW

from store import database
from store.database import run_sql, writing
from store.errors import Refused
from store.listings.change_number import change_number
from store.tables import ClockSeen
from tui.reading import Reader
from tui.recording import Recorder

ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n",
    "postgresql": "SELECT pg_sleep(600)",
}


async def test_answers_come_in_the_order_of_the_questions_from_a_thread_of_its_own(empty_store: str) -> None:
    reader = Reader()

    answers = await asyncio.gather(*(reader.read(lambda n=n: (n, threading.current_thread().name)) for n in range(5)))

    assert answers == [(n, "desk-reader") for n in range(5)]
    reader.close()


async def test_a_question_that_nobody_waits_for_any_more_is_interrupted_and_the_next_is_answered(
    empty_store: str,
) -> None:
    reader = Reader()
    begun = threading.Event()

    def endless() -> None:
        begun.set()
        run_sql(ENDLESS[database.backend()]).fetchall()

    asking = asyncio.create_task(reader.read(endless))
    await asyncio.to_thread(begun.wait, 5)
    asking.cancel()
    await asyncio.wait([asking])
    answer = await asyncio.wait_for(reader.read(lambda: run_sql("SELECT 42").fetchone()[0]), 5)

    assert asking.cancelled()
    assert answer == 42
    reader.close()


async def test_questions_that_were_given_up_before_their_turn_are_never_asked(empty_store: str) -> None:
    reader = Reader()
    asked: list[str] = []
    hold = threading.Event()
    first = asyncio.create_task(reader.read(lambda: hold.wait(5)))
    second = asyncio.create_task(reader.read(lambda: asked.append("second")))
    await asyncio.sleep(0)

    second.cancel()
    await asyncio.wait([second])
    hold.set()
    await first
    await reader.read(lambda: asked.append("third"))

    assert asked == ["third"]
    reader.close()


async def test_an_error_of_the_store_reaches_whoever_asked(empty_store: str) -> None:
    reader = Reader()

    def refuse() -> None:
        raise Refused("No.")

    with pytest.raises(Refused, match="No"):
        await reader.read(refuse)
    assert await reader.read(lambda: 1) == 1
    reader.close()


async def test_the_reader_cannot_write_to_a_file(empty_store: str) -> None:
    if database.backend() != "sqlite":
        return
    reader = Reader()

    with pytest.raises(Exception, match="read-only"):
        await reader.read(lambda: run_sql("DELETE FROM company"))
    reader.close()


async def test_a_change_that_has_begun_is_carried_to_its_end_though_nobody_waits(empty_store: str) -> None:
    recorder = Recorder()
    begun, go_on = threading.Event(), threading.Event()

    def change() -> None:
        with writing():
            begun.set()
            go_on.wait(5)
            ClockSeen.create(max_seen=NOW)

    waiting = asyncio.create_task(recorder.record(change))
    await asyncio.to_thread(begun.wait, 5)
    waiting.cancel()
    await asyncio.wait([waiting])
    go_on.set()
    recorder.close()

    assert ClockSeen.select().count() == 1


async def test_the_change_number_is_another_one_after_somebody_wrote_and_the_same_when_nobody_did(
    empty_store: str,
) -> None:
    reader, recorder = Reader(), Recorder()
    before = await reader.read(change_number)

    quiet = await reader.read(change_number) if database.backend() == "sqlite" else before
    await recorder.record(lambda: ClockSeen.create(max_seen=NOW))
    after = await reader.read(change_number)

    assert quiet == before
    assert after != before
    reader.close()
    recorder.close()
