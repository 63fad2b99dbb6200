"""Is one sandbox ever refreshed twice at once, against a hold, or by a clock that went wrong meanwhile?"""

import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cast import NOON, OLAV
from sandbox_nights import DAY, HALF_AN_HOUR, NIGHT, TWO_OCLOCK, claim, mark, states, with_sandbox
from test_at_once import at_once

from jobs import queues
from jobs.refresh_command import Command
from jobs.sandbox_refresh import refresh_next
from store import markers, sandbox_holds
from store.database import run_sql, session
from store.markers import Claim
from store.tables import RefreshMarker

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (lambda slow: markers.done(OLAV, slow.token, "", NOON + DAY), "done"),
        (lambda slow: markers.fail(OLAV, slow.token, "disk full", NOON + DAY), "failed"),
        (lambda slow: markers.put_back(OLAV, slow.token), "missed"),
    ],
)
def test_a_companys_next_night_waits_until_its_last_refresh_is_over(
    empty_store: str, end: Callable[[Claim], object], state: str
) -> None:
    with_sandbox()
    mark()
    (slow,) = markers.claim(OLAV, 1, 2 * DAY, TWO_OCLOCK, "slow")
    mark(NIGHT + DAY)

    waits = claim(TWO_OCLOCK + DAY)
    end(slow)
    taken = claim(NOON + DAY)

    assert (waits, [each.night for each in taken]) == ([], [NIGHT + DAY])
    assert states() == [("nordlys", NIGHT, state), ("nordlys", NIGHT + DAY, "running")]


def test_a_companys_next_night_is_taken_with_the_lease_of_a_pipeline_that_died(empty_store: str) -> None:
    with_sandbox()
    mark()
    markers.claim(OLAV, 1, DAY + HALF_AN_HOUR, TWO_OCLOCK, "dies")
    mark(NIGHT + DAY)

    taken = [claim(TWO_OCLOCK + DAY + later) for later in (HALF_AN_HOUR - MINUTE, HALF_AN_HOUR)]

    assert [[each.night for each in some] for some in taken] == [[], [NIGHT + DAY]]
    assert states() == [("nordlys", NIGHT, "missed"), ("nordlys", NIGHT + DAY, "running")]


def test_of_two_nights_that_are_due_only_the_newer_is_taken(empty_store: str) -> None:
    with_sandbox()
    mark()
    mark(NIGHT + DAY)
    run_sql("UPDATE refresh_marker SET state = 'due'")  # as when a claim comes back while the next night is marked

    taken = claim(NOON + DAY)

    assert [each.night for each in taken] == [NIGHT + DAY]


def test_a_hold_that_is_extended_while_the_night_is_marked_covers_it(store_location: str) -> None:
    with session():
        people = with_sandbox()
        sandbox_holds.hold(OLAV, people.nordlys.id, "a demonstration", NIGHT, NOON - DAY)

    at_once(
        lambda: sandbox_holds.hold(OLAV, people.nordlys.id, "a demonstration", NIGHT + 5 * DAY, NOON),
        lambda: mark(NIGHT + DAY),
    )

    with session():
        assert states() == [("nordlys", NIGHT + DAY, "held")]
        assert sandbox_holds.standing(people.nordlys.id)["hold"].last_night == NIGHT + 5 * DAY


def test_a_clock_that_is_put_back_while_the_command_runs_neither_ends_its_claim_nor_dates_its_report(
    empty_store: str,
) -> None:
    with_sandbox()
    mark()
    leases: list[datetime] = []
    clock = [NOON]

    def look() -> bool:
        clock[0] = NOON - 10 * MINUTE
        leases.append(RefreshMarker.get().lease_until)
        return False

    command = Command(("sleep", "0.4"), HALF_AN_HOUR, lease=5 * MINUTE, beat=timedelta(seconds=0.1))
    refreshed = refresh_next(command, lambda: clock[0], "worker-1", look, dated=lambda _: NOON + MINUTE)

    assert refreshed is not None
    assert refreshed.state == "done"
    assert (leases[0], leases[-1]) == (NOON + 5 * MINUTE, NOON + 6 * MINUTE)
    assert RefreshMarker.get().finished_at == NOON + MINUTE


def test_a_machine_without_room_for_the_command_gives_the_night_back_and_pauses(
    empty_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_sandbox()
    mark()
    queue = queues.refreshes(Command(("true",), HALF_AN_HOUR))
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")

    full = [queue(lambda: NOON, "w", lambda: False), queue(lambda: NOON + MINUTE, "w", lambda: False)]
    after = states()
    monkeypatch.undo()
    then = queue(lambda: NOON + 5 * MINUTE, "w", lambda: False)

    assert (full, after, then) == ([0, 0], [("nordlys", NIGHT, "due")], 1)
    assert states() == [("nordlys", NIGHT, "done")]
