"""Does the worker do what is due, each thing once, whatever goes wrong in between?"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cast import LONG_AGO, arrive, enable, key_of
from worker_log import Said

from jobs.json_log import JsonLog
from jobs.periods import EachDay
from jobs.schedule import Job
from jobs.worker import Pass, Worker
from store import outbox, outgoing, restored, runs, workers
from store.actors import WORKER
from store.database import run_sql
from store.errors import Refused
from store.outbox import Owed
from store.runs import RunRow
from store.tables import Email, Run, Setting
from store.tables import Worker as WorkerRow

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECRET = "kdp_Ab12Cd34Ef56Gh78Ij90Kl12Mn34Op56Qr78St90Uv"


def daily(name: str, body: Callable[[RunRow, datetime], int]) -> Job:
    return Job(name, f"Each day, {name}.", "all", EachDay(hour=lambda _: 1), "latest", body=body)


def worker(*jobs: Job, said: Said | None = None, **more: Any) -> Worker:
    return Worker(timetable=jobs, log=JsonLog(said or Said(), clock=lambda: NOON), version="0.1.0", **more)


def one(name: str) -> Callable[[RunRow, datetime], int]:
    def write(run: RunRow, now: datetime) -> int:
        Setting.create(name=f"{name} {run.period}", value=now.isoformat())
        return 1

    return write


def written() -> list[str]:
    return [row.name for row in Setting.select().order_by(Setting.id) if " " in row.name]


def test_a_pass_plans_and_runs_what_is_due_and_the_next_has_nothing_to_do(empty_store: str) -> None:
    arrive()
    said = Said()
    tea = worker(daily("tea", one("tea")), said=said)

    first, second = tea.once(NOON), tea.once(NOON + timedelta(minutes=30))

    assert (first, second) == (Pass("believed", 1, 1, 0, {}), Pass("believed", 0, 0, 0, {}))
    assert written() == ["tea 2026-11-23"]
    assert [fact["fact"] for fact in said.facts] == ["worker.started", "runs.planned", "run.done"]


def test_a_long_pass_by_a_real_clock_claims_by_the_time_that_it_is_and_not_by_its_first_instant(
    empty_store: str,
) -> None:
    arrive()
    hours = iter(range(1, 100))
    claimed: list[datetime] = []

    def take(clock: Callable[[], datetime], _owner: str, _stopping: Callable[[], bool]) -> int:
        claimed.append(clock())
        return int(len(claimed) < 2)

    worker(queues={"mail": take}).once(NOON, lambda: NOON + timedelta(hours=next(hours)))

    assert NOON < claimed[0] < claimed[1]


def test_a_job_that_fails_holds_up_no_other_and_is_tried_again_after_a_minute(empty_store: str) -> None:
    arrive()
    said = Said()
    broken = [True]

    def spill(run: RunRow, now: datetime) -> int:
        one("coffee")(run, now)
        if broken:
            raise RuntimeError(f"the cup broke over {SECRET}")
        return 1

    both = worker(daily("coffee", spill), daily("tea", one("tea")), said=said)

    first = both.once(NOON)
    too_early = both.once(NOON + timedelta(seconds=59))
    (unwell,) = runs.unwell()
    (row,) = workers.listed()
    broken.clear()
    later = both.once(NOON + timedelta(minutes=1))

    assert [(each.done, each.failed) for each in (first, too_early, later)] == [(1, 1), (0, 0), (1, 0)]
    assert written() == ["tea 2026-11-23", "coffee 2026-11-23"]
    assert unwell.error == row.last_error == "RuntimeError: the cup broke over kdp_…[key removed]"
    (failed,) = said.named("run.failed")
    assert (failed["level"], failed["run"], failed["again_at"]) == (
        "error",
        "coffee 2026-11-23",
        "2026-11-23T12:01:00Z",
    )
    assert "test_worker.py" in failed["where"]


def test_a_worker_that_dies_in_the_middle_leaves_nothing_and_the_next_one_does_the_run(empty_store: str) -> None:
    arrive()

    class PowerCut(BaseException):
        pass

    def die(run: RunRow, now: datetime) -> int:
        one("tea")(run, now)
        raise PowerCut

    with pytest.raises(PowerCut):
        worker(daily("tea", die)).once(NOON)
    after_the_cut = written()
    WorkerRow.update(pid=2**22 + 1).execute()  # beyond the kernel's highest: it is gone
    said = Said()
    passed = worker(daily("tea", one("tea")), said=said).once(NOON + timedelta(seconds=1))

    assert (after_the_cut, passed.done, written()) == ([], 1, ["tea 2026-11-23"])
    assert [fact["freed"] for fact in said.named("worker.buried")] == [1]
    assert Run.get().attempt == 2


def test_what_a_killed_worker_had_in_hand_is_counted_as_it_is_buried(empty_store: str) -> None:
    arrive()
    context = {"by": "olav", "at": "2026-11-23T11:00:00Z"}
    outbox.queue([Owed("test_mail", f"{name}@x.example", "", name, context) for name in ("a", "b")], NOON)
    dead = workers.register(workers.this_host(), "0.1.0", NOON, pid=2**22 + 1)
    claimed = outgoing.claim(dead, 2, timedelta(minutes=30), NOON)
    said = Said()

    worker(said=said).begin(NOON)

    (buried,) = said.named("worker.buried")
    assert (len(claimed), buried["freed"], buried["freed_mails"], buried["ambiguous_mails"]) == (2, 0, 2, [])
    assert [mail.state for mail in Email.select()] == ["queued", "queued"]


def test_the_log_says_of_which_restore_a_store_is_held_and_released(empty_store: str) -> None:
    arrive()
    said = Said()
    tea = worker(daily("tea", one("tea")), said=said)
    restored.hold(WORKER, "a test", NOON)
    tea.once(NOON)
    restored.release(WORKER, NOON + timedelta(hours=1))

    tea.once(NOON + timedelta(hours=1))

    told = [(fact["fact"], fact["restored_at"]) for fact in said.facts if fact["fact"].startswith("store.")]
    assert told == [("store.held", "2026-11-23T12:00:00Z"), ("store.released", "2026-11-23T12:00:00Z")]


def test_a_run_whose_lease_was_lost_meanwhile_writes_nothing(empty_store: str) -> None:
    arrive()
    said = Said()

    def slow(run: RunRow, now: datetime) -> Iterator[int]:
        yield 1
        taken = runs.claim("another", ["slow"], now + timedelta(minutes=6))
        assert taken is not None

    late = worker(Job("slow", "Each day, slowly.", "all", EachDay(hour=lambda _: 1), "latest", slices=slow), said=said)

    assert late.once(NOON).failed == 1
    assert [fact["run"] for fact in said.named("run.lost")] == ["slow 2026-11-23"]
    assert [(row.state, row.owner) for row in Run.select()] == [("running", "another")]


def test_the_lease_of_a_long_run_is_extended_between_its_slices(empty_store: str) -> None:
    arrive()
    minutes = iter(range(1000))
    leases = []

    def long(run: RunRow, now: datetime) -> Iterator[int]:
        for _ in range(6):
            leases.append(Run.get().lease_until)
            yield 1

    job = Job("long", "Each day, for long.", "all", EachDay(hour=lambda _: 1), "latest", slices=long)
    beating = worker(job, clock=lambda: NOON + next(minutes) * timedelta(minutes=1))
    beating.begin(NOON)
    beating.work()

    assert Run.get().state == "done"
    assert Run.get().rows == 6
    assert leases == sorted(leases)
    assert leases[-1] > leases[0]


def test_queues_are_emptied_slice_by_slice_and_counted(empty_store: str) -> None:
    arrive()
    outbox = [3, 2, 0, 7]
    asked = []

    def take(clock: Callable[[], datetime], owner: str, stopping: Callable[[], bool]) -> int:
        asked.append((clock(), bool(owner), stopping()))
        return outbox.pop(0)

    passed = worker(queues={"mail": take}).once(NOON)

    assert (passed.taken, outbox, asked) == ({"mail": 5}, [7], [(NOON, True, False)] * 3)


def test_mails_and_runs_are_seen_to_between_two_refreshes_of_which_none_begins_after_an_hour(empty_store: str) -> None:
    arrive()
    minutes = [0]
    mails = [2, 0, 1, 0, 0, 0]
    taken: list[str] = []

    def clock() -> datetime:
        return datetime(2026, 11, 23, 0, 30, tzinfo=UTC) + timedelta(minutes=minutes[0])

    def hand_over(_clock: Callable[[], datetime], _owner: str, _stopping: Callable[[], bool]) -> int:
        taken.append(f"{mails[0]} mails")
        return mails.pop(0)

    def refresh(_clock: Callable[[], datetime], _owner: str, _stopping: Callable[[], bool]) -> int:
        minutes[0] += 25
        taken.append(f"sandbox at {minutes[0]}")
        return 1

    both = worker(daily("tea", one("tea")), queues={"mails": hand_over, "refreshes": refresh})
    passed = both.once(clock(), clock)

    assert taken == [
        "2 mails", "0 mails", "sandbox at 25", "1 mails", "0 mails", "sandbox at 50", "0 mails", "sandbox at 75",
    ]  # fmt: skip
    assert passed == Pass("believed", 2, 2, 0, {"mails": 3, "refreshes": 3})
    assert written() == ["tea 2026-11-22", "tea 2026-11-23"]


def test_a_long_pass_ticks_while_a_run_or_a_refresh_goes_on(empty_store: str) -> None:
    arrive()
    minutes, ticks = [0], []

    def clock() -> datetime:
        return NOON + timedelta(minutes=minutes[0])

    def slow(_run: RunRow, _now: datetime) -> Iterator[int]:
        for _ in range(3):
            minutes[0] += 1
            yield 0
            ticks.append(WorkerRow.get().last_tick)

    def refresh(_clock: Callable[[], datetime], _owner: str, stopping: Callable[[], bool]) -> int:
        for _ in range(2):
            minutes[0] += 20
            stopping()
            ticks.append(WorkerRow.get().last_tick)
        return 0

    job = Job("slow", "Each day, slowly.", "all", EachDay(hour=lambda _: 1), "latest", slices=slow)
    worker(job, queues={"refreshes": refresh}).once(NOON, clock)

    assert ticks == [NOON + timedelta(minutes=after) for after in (1, 2, 3, 23, 43)]


def test_a_store_that_takes_no_tick_does_not_end_a_refresh_that_needs_none(empty_store: str) -> None:
    arrive()
    minutes, asked, ticks = [0], [], []
    on_server = empty_store.startswith("postgresql")
    read_only = "SET default_transaction_read_only = {}" if on_server else "PRAGMA query_only = {}"

    def refresh(_clock: Callable[[], datetime], _owner: str, stopping: Callable[[], bool]) -> int:
        minutes[0] += 20
        run_sql(read_only.format("on"))
        asked.append(stopping())
        run_sql(read_only.format("off"))
        ticks.append(WorkerRow.get().last_tick)
        return 0

    long = worker(queues={"refreshes": refresh})

    assert long.once(NOON, lambda: NOON + timedelta(minutes=minutes[0])).taken == {"refreshes": 0}
    assert (asked, ticks) == ([False], [NOON])
    assert WorkerRow.get().last_tick == NOON + timedelta(minutes=20)


def test_a_worker_that_ends_holds_no_mail_that_a_beat_has_left_in_its_hands(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase, now=LONG_AGO)
    Email.delete().execute()
    key_of(people.ase)
    outbox.queue(
        [Owed("test_mail", "a@x.example", "", "test:1", {"by": "o", "at": "2026-11-23T11:00:00Z", "roles": []})], NOON
    )
    half_an_hour = timedelta(minutes=30)
    ending = worker()
    ending.begin(NOON)
    for mail in outgoing.claim(ending.name, 3, half_an_hour, NOON):
        outgoing.handing_over(mail.id, ending.name, half_an_hour, NOON)
    key_of(people.ase, label="another")
    claimed = outgoing.claim(ending.name, 1, half_an_hour, NOON)

    ending.end(NOON)

    assert len(claimed) == 1
    assert sorted((mail.kind, mail.state, mail.owner, mail.resends) for mail in Email.select()) == [
        ("key_created", "queued", None, 0),
        ("key_created", "queued", None, 1),
        ("test_mail", "ambiguous", None, 0),
    ]


def test_a_store_that_was_never_set_up_is_refused(empty_store: str) -> None:
    with pytest.raises(Refused, match=r"^This store has not been set up yet\. Run `keydesk init`\.$"):
        worker(daily("tea", one("tea"))).once(NOON)
