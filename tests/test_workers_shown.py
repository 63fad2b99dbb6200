"""What does the desk's Worker screen say of the workers: one, several, one that fell silent, one that a timer calls?"""

from datetime import UTC, datetime, timedelta

import pytest
from desk_stage import at_the_desk
from desk_world import small_world

from store import workers
from store.listings.work import Health, WorkerSeen
from store.workers import Host
from tui.screens.worker import _alive

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def seen(host: str, minutes_ago: int, *, stopped: bool = False, kind: str = "stays", error: str = "") -> WorkerSeen:
    at = NOON - minutes_ago * MINUTE
    return WorkerSeen(f"{host}:1:a", host, "0.1.0", NOON, at, at if stopped else None, error, kind)


def health(*seen_by: WorkerSeen) -> Health:
    return Health(
        seen_by, next_runs=(), failing=0, held=0, mails_waiting=0, mails_in_doubt=0, unreachable=0, quarantined=0
    )


@pytest.mark.parametrize(
    ("seen_by", "said"),
    [
        ([], "No worker has ever run here. Start it: keydesk worker"),
        ([seen("m1", 1)], "The worker is alive. m1:1 0.1.0, last tick 1 min ago"),
        ([seen("m1", 0)], "The worker is alive. m1:1 0.1.0, last tick just now"),
        ([seen("m1", -1)], "The worker is alive. m1:1 0.1.0, last tick just now"),
        (
            [seen("m1", 0), seen("m2", 2), seen("m3", 5)],
            "3 workers are alive. Last tick: m3:1 5 min ago, m2:1 2 min ago, m1:1 just now",
        ),
        (
            [seen("m1", 1, error="no"), seen("m2", 9), seen("m3", 150)],
            "The worker is alive, silent: m2:1 (9 min), m3:1 (2 h). m1:1 0.1.0, last tick 1 min ago; last error: no",
        ),
        (
            [seen("m2", -180), seen("m1", 1)],
            "The worker is alive, its clock is or was ahead: m2:1 (3 h). m1:1 0.1.0, last tick 1 min ago",
        ),
        ([seen("m1", 1), seen("m2", 1, stopped=True)], "The worker is alive. m1:1 0.1.0, last tick 1 min ago"),
        ([seen("m1", -2)], "The clock of m1:1 is or was ahead: last seen 2026-11-23 12:02 UTC"),
        ([seen("m1", -2), seen("m2", 9)], "The clock of m1:1 is or was ahead: last seen 2026-11-23 12:02 UTC"),
        ([seen("m1", 9)], "The worker is silent. m1:1 0.1.0, last seen 2026-11-23 11:51 UTC"),
        ([seen("m1", 1, stopped=True)], "The worker was stopped. m1:1 0.1.0, last seen 2026-11-23 11:59 UTC"),
        (
            [seen("m1", 14, stopped=True, kind="pass")],
            "The worker comes by, called by a timer. m1:1 0.1.0, last seen 2026-11-23 11:46 UTC",
        ),
        (
            [seen("m1", 16, stopped=True, kind="pass")],
            "The worker was stopped. m1:1 0.1.0, last seen 2026-11-23 11:44 UTC",
        ),
        (
            [seen("m1", -5, stopped=True, kind="pass")],
            "The clock of m1:1 is or was ahead: last seen 2026-11-23 12:05 UTC",
        ),
    ],
)
def test_the_first_line_says_who_lives(seen_by: list[WorkerSeen], said: str) -> None:
    assert _alive(health(*seen_by), NOON).plain == said


@pytest.mark.parametrize(
    ("size", "line"),
    [
        ((80, 24), "4 workers are alive. Last tick: keys-c:1203 4 min ago, keys-b:1202 2 min ago, …"),
        (
            (160, 48),
            (
                "4 workers are alive. Last tick: keys-c:1203 4 min ago, keys-b:1202 2 min ago, host:1 1 min ago, "
                "keys-a:1201 just now"
            ),
        ),
    ],
)
@pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)
async def test_what_does_not_fit_is_who_was_heard_last(empty_store: str, size: tuple[int, int], line: str) -> None:
    small_world()
    for host, minutes in (("keys-a", 0), ("keys-b", 2), ("keys-c", 4)):
        workers.register(Host(host, "b"), "0.1.0", NOON - minutes * MINUTE, pid=1201 + ("abc".index(host[-1])))

    async with at_the_desk(size=size) as desk:
        await desk.press("4")
        await desk.until_seen("4 workers are alive.")
        shown = next(text for text in desk.lines() if "workers are alive" in text)

    assert shown == line


@pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)
async def test_a_worker_that_falls_silent_is_seen_to_although_nobody_writes(empty_store: str) -> None:
    small_world()
    at = [NOON]

    async with at_the_desk(clock=lambda: at[0]) as desk:
        await desk.press("4")
        await desk.until_seen("The worker is alive.")
        await desk.app._compare()
        at[0] = NOON + 6 * MINUTE
        await desk.app._compare()
        await desk.until_seen("The worker is silent.")
