"""What does the desk's Worker screen say of the workers: one, several, one that fell silent, one that a timer calls?"""

from datetime import UTC, datetime, timedelta

import pytest

from store.listings.work import Health, WorkerSeen
from tui.screens.worker import _alive

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def seen(host: str, minutes_ago: int, *, stopped: bool = False, kind: str = "stays", error: str = "") -> WorkerSeen:
    at = NOON - minutes_ago * MINUTE
    return WorkerSeen(f"{host}:1:a", host, "0.1.0", NOON, at, at if stopped else None, error, kind)


def health(*workers: WorkerSeen) -> Health:
    return Health(
        workers, next_runs=(), failing=0, held=0, mails_waiting=0, mails_in_doubt=0, unreachable=0, quarantined=0
    )


@pytest.mark.parametrize(
    ("workers", "said"),
    [
        ([], "No worker has ever run here. Start it: keydesk worker"),
        ([seen("m1", 1)], "The worker is alive. m1 0.1.0, last seen 2026-11-23 11:59 UTC"),
        (
            [seen("m1", 1), seen("m2", 2)],
            "2 workers are alive. m1, m2 0.1.0, last seen 2026-11-23 11:58 UTC",
        ),
        (
            [seen("m1", 1, error="no"), seen("m2", 9)],
            "The worker is alive, silent: m2. m1 0.1.0, last seen 2026-11-23 11:59 UTC; last error: no",
        ),
        (
            [seen("m2", 1, stopped=True), seen("m1", 1)],
            "The worker is alive. m1 0.1.0, last seen 2026-11-23 11:59 UTC",
        ),
        ([seen("m1", 9)], "The worker is silent. m1 0.1.0, last seen 2026-11-23 11:51 UTC"),
        ([seen("m1", 1, stopped=True)], "The worker was stopped. m1 0.1.0, last seen 2026-11-23 11:59 UTC"),
        (
            [seen("m1", 14, stopped=True, kind="pass")],
            "The worker comes by, called by a timer. m1 0.1.0, last seen 2026-11-23 11:46 UTC",
        ),
        (
            [seen("m1", 16, stopped=True, kind="pass")],
            "The worker was stopped. m1 0.1.0, last seen 2026-11-23 11:44 UTC",
        ),
    ],
)
def test_the_first_line_says_who_lives(workers: list[WorkerSeen], said: str) -> None:
    assert _alive(health(*workers), NOON).plain == said
