"""When is a worker so unwell that it should be started anew, and what does it say of itself?"""

import pytest

from jobs.delivery import LEASE
from jobs.smtp_session import Timeouts
from jobs.watch import Watch

NO_ANSWER = "PostgreSQL does not answer."


class Time:
    """A monotonic clock that stands still until it is moved, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def tick(watch: Watch, time: Time, seconds: int, error: str = "") -> None:
    """A tick every 10 seconds for that long."""
    for _ in range(seconds // 10):
        time.now += 10
        watch.begins("tick")
        watch.ends("tick", error)


def test_a_worker_whose_tick_comes_is_well(time: Time) -> None:
    watch = Watch(time)

    tick(watch, time, 3600)

    assert (watch.fault(), watch.status()) == (None, "Waiting for what falls due")


@pytest.mark.parametrize(("after", "fault"), [(29, None), (30, "No tick for 30 s")])
def test_a_tick_that_does_not_end_is_a_fault_after_half_a_minute(time: Time, after: int, fault: str | None) -> None:
    watch = Watch(time)
    watch.begins("tick")

    time.now += after

    assert watch.fault() == fault


def test_a_store_that_answers_with_an_error_is_shown_and_no_reason_to_be_started_anew(time: Time) -> None:
    watch = Watch(time)

    tick(watch, time, 14 * 60, NO_ANSWER)

    assert watch.fault() is None
    assert watch.status() == f"Waiting for the store for 14 min: {NO_ANSWER}"


def test_after_a_quarter_of_an_hour_without_the_store_a_new_process_is_wanted(time: Time) -> None:
    watch = Watch(time)

    tick(watch, time, 15 * 60, NO_ANSWER)
    fault = watch.fault()
    tick(watch, time, 10)

    assert fault == f"The store has taken no tick for 15 min: {NO_ANSWER}"
    assert (watch.fault(), watch.status()) == (None, "Waiting for what falls due")


def test_any_piece_of_work_that_does_not_move_for_20_minutes_is_a_fault(time: Time) -> None:
    watch = Watch(time)
    watch.begins("mails")
    tick(watch, time, 20 * 60)
    well = watch.fault()
    tick(watch, time, 10)

    assert (well, watch.fault()) == (None, "Stuck in mails for 20 min")
    watch.ends("mails")
    assert watch.fault() is None


def test_work_that_moves_may_take_hours_and_is_named(time: Time) -> None:
    watch = Watch(time)
    watch.begins("refreshes")
    for _ in range(6):
        tick(watch, time, 1100)
        watch.moves("refreshes")

    assert (watch.fault(), watch.status(), watch.busy) == (None, "Working: refreshes", ["refreshes"])


def test_a_beat_that_is_due_and_has_not_begun_for_5_minutes_is_a_fault(time: Time) -> None:
    watch = Watch(time)
    watch.expects("work")
    watch.expects("mails")
    tick(watch, time, 120)
    watch.begins("work")  # is in the middle of something, which is no such fault
    tick(watch, time, 180)
    well = watch.fault()
    tick(watch, time, 10)
    fault = watch.fault()
    watch.begins("mails")
    watch.ends("mails")
    watch.ends("work")
    tick(watch, time, 300)

    assert (well, fault, watch.fault()) == (None, "No beat of mails has begun for 5 min", None)


def test_the_longest_conversation_about_a_mail_ends_before_the_worker_counts_as_stuck_and_that_before_its_lease() -> (
    None
):
    a_slice_begins_mails_for, to_take_leave = 60, 15

    longest = a_slice_begins_mails_for + Timeouts().offer + Timeouts().body + to_take_leave

    assert longest < 20 * 60 < LEASE.total_seconds()
