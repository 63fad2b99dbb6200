"""Does the worker do what is due, say what it did, survive what goes wrong, and stop when told?"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cast import OLAV, arrive, company
from worker_world import PRICES, START, populate

from jobs.heartbeat import Heartbeat
from jobs.json_log import JsonLog
from jobs.periods import EachDay
from jobs.ready import notify
from jobs.schedule import Job
from jobs.worker import Pass, Worker, simulate
from store import prices, runs, workers
from store.errors import Refused
from store.runs import RunRow
from store.tables import InvoiceMonth, RefreshMarker, Run, Setting
from store.tables import Worker as WorkerRow

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HERE = Path(__file__).parent
SECRET = "kdp_Ab12Cd34Ef56Gh78Ij90Kl12Mn34Op56Qr78St90Uv"


class Said(io.StringIO):
    """What the worker's log holds, as facts."""

    @property
    def facts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def named(self, fact: str) -> list[dict[str, Any]]:
        return [line for line in self.facts if line["fact"] == fact]


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


# A pass


def test_a_pass_plans_and_runs_what_is_due_and_the_next_has_nothing_to_do(empty_store: str) -> None:
    arrive()
    said = Said()
    tea = worker(daily("tea", one("tea")), said=said)

    first, second = tea.once(NOON), tea.once(NOON + timedelta(minutes=30))

    assert (first, second) == (Pass("believed", 1, 1, 0, {}), Pass("believed", 0, 0, 0, {}))
    assert written() == ["tea 2026-11-23"]
    assert [fact["fact"] for fact in said.facts] == ["worker.started", "runs.planned", "run.done"]


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
    beating._begin(NOON)
    beating._work()

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


def test_a_store_that_was_never_set_up_is_refused(empty_store: str) -> None:
    with pytest.raises(Refused, match=r"^This store has not been set up yet\. Run `keydesk init`\.$"):
        worker(daily("tea", one("tea"))).once(NOON)


# The real timetable


def test_four_zones_have_their_nights_and_months_each_by_its_own_clock(empty_store: str) -> None:
    populate()
    told = Said()
    real = Worker(log=JsonLog(told, clock=lambda: NOON), version="0.1.0")

    simulate(real, datetime(2026, 11, 29, tzinfo=UTC), timedelta(days=7), timedelta(hours=2))

    assert told.named("run.failed") == []
    nights: dict[str, list[str]] = {}
    for row in RefreshMarker.select().order_by(RefreshMarker.night):
        nights.setdefault(row.company.external_id, []).append(f"{row.night:%m-%d}")
    until_the_fifth = ["11-28", "11-29", "11-30", "12-01", "12-02", "12-03", "12-04", "12-05"]
    assert nights == {
        "nordlys": until_the_fifth,
        "hraun": until_the_fifth,
        "hudson": until_the_fifth,
        "kauri": [*until_the_fifth[1:], "12-06"],  # in Auckland it is already tomorrow
    }
    months = sorted(
        (row.company.external_id, row.month, row.state)
        for row in InvoiceMonth.select().where(InvoiceMonth.month == "2026-11")
    )
    assert months == [
        ("hraun", "2026-11", "final"),
        ("hudson", "2026-11", "parked"),
        ("kauri", "2026-11", "final"),
        ("nordlys", "2026-11", "final"),
    ]
    assert InvoiceMonth.select().where(InvoiceMonth.month == "2026-12").count() == 0
    assert {row.state for row in Run.select()} <= {"done", "missed"}


def test_a_company_that_comes_to_a_zone_after_its_invoice_run_still_gets_its_month(empty_store: str) -> None:
    populate()
    real = Worker(log=JsonLog(Said(), clock=lambda: NOON), version="0.1.0")
    real.once(datetime(2026, 12, 1, 3, tzinfo=UTC))
    assert runs.listed(job="invoice-lines", states=("done",))

    late = company("late", "Late AS")  # in Oslo, there since January as the main system says
    real.once(datetime(2026, 12, 1, 4, tzinfo=UTC))
    real.once(datetime(2026, 12, 1, 4, 1, tzinfo=UTC))

    months = InvoiceMonth.select().where(InvoiceMonth.company == late).order_by(InvoiceMonth.month)
    assert [(row.month, row.state) for row in months] == [("2026-11", "draft")]


def test_a_parked_month_is_tried_again_the_next_day_when_its_price_list_is_there(empty_store: str) -> None:
    places = populate()
    hudson = places["hudson"].company
    real = Worker(log=JsonLog(Said(), clock=lambda: NOON), version="0.1.0")

    def state() -> str:
        return InvoiceMonth.get(InvoiceMonth.company == hudson, InvoiceMonth.month == "2026-11").state

    real.once(datetime(2026, 12, 1, 9, tzinfo=UTC))
    (list_in_euro,) = [table for table in PRICES["price_list"] if table["currency"] == "EUR"]
    prices.publish(OLAV, {"price_list": [{**list_in_euro, "currency": "USD"}]}, datetime(2026, 12, 1, 9, tzinfo=UTC))

    states = [state()]
    for hour in (3, 4):  # the first pass of the hour opens the runs again, the second runs them
        real.once(datetime(2026, 12, 2, hour, tzinfo=UTC))
        real.once(datetime(2026, 12, 2, hour, 1, tzinfo=UTC))
        states.append(state())

    assert states == ["parked", "parked", "draft"]


def test_ten_days_away_mark_the_last_night_only_and_record_the_others_as_missed(empty_store: str) -> None:
    populate()
    Worker(log=JsonLog(Said()), version="0.1.0").once(START)

    Worker(log=JsonLog(Said()), version="0.1.0").once(START + timedelta(days=10))

    oslo = Run.select().where(Run.job == "sandbox-refresh", Run.scope == "Europe/Oslo").order_by(Run.period)
    assert [row.state for row in oslo] == ["done", *["missed"] * 9, "done"]


# The log


def test_a_line_of_the_log_is_ascii_json_without_secrets() -> None:
    stream = Said()

    JsonLog(stream, clock=lambda: NOON).say("tea.made", who="Åse", key=SECRET, at_desk=timedelta(1))

    assert stream.getvalue().isascii()
    assert stream.facts == [
        {
            "at": "2026-11-23T12:00:00Z", "level": "info", "fact": "tea.made",
            "who": "Åse", "key": "kdp_…[key removed]", "at_desk": "1 day, 0:00:00",
        },
    ]  # fmt: skip


def test_a_reader_that_has_gone_does_not_stop_the_worker() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")

    JsonLog(stream).say("tea.made")

    with pytest.raises(BrokenPipeError):
        stream.close()


# The heartbeat


def wait_for(happened: threading.Event) -> None:
    assert happened.wait(10)


def test_the_heart_beats_at_once_and_an_error_in_its_loop_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, beaten, again = Said(), threading.Event(), threading.Event()
    heart = Heartbeat(JsonLog(stream))
    heart.beat("first", 60, beaten.set)
    heart.start()
    wait_for(beaten)
    monkeypatch.setattr("jobs.heartbeat.AFTER_ERROR", 0.01)
    store = heart._jobstores["default"]
    calls = []

    def fail_once(job: object) -> None:
        calls.append(job)
        raise RuntimeError("the store of jobs broke")

    monkeypatch.setattr(store, "update_job", fail_once)
    heart.add_job(beaten.set, "interval", seconds=60, id="second", next_run_time=datetime.now(UTC))
    for _ in range(1000):
        if calls:
            break
        time.sleep(0.01)
    monkeypatch.undo()
    heart.beat("third", 60, again.set)
    wait_for(again)

    assert heart.beats
    assert heart.stop(timedelta(seconds=5))
    assert "RuntimeError: the store of jobs broke" in [fact["error"] for fact in stream.named("heartbeat.failed")]


@pytest.mark.parametrize("step", [-3600, 7200, 20 * 365 * 86400])
def test_a_clock_step_makes_every_beat_come_at_once(step: int) -> None:
    stream, beats, offset = Said(), [], [0]
    first, second = threading.Event(), threading.Event()

    def beat() -> None:
        beats.append(1)
        (first if len(beats) == 1 else second).set()

    heart = Heartbeat(JsonLog(stream), wall=lambda: time.time() + offset[0])
    heart.beat("hourly", 3600, beat)
    heart.start()
    wait_for(first)
    offset[0] = step
    heart.wakeup()
    wait_for(second)

    assert heart.stop(timedelta(seconds=5))
    assert [fact["seconds"] for fact in stream.named("clock.stepped")] == [step]


def test_a_heart_whose_thread_is_gone_does_not_beat() -> None:
    heart = Heartbeat(JsonLog(Said()))

    assert not heart.beats


def test_a_beat_that_does_not_end_is_not_waited_for_for_ever() -> None:
    go_on, begun = threading.Event(), threading.Event()
    heart = Heartbeat(JsonLog(Said()))
    heart.beat("long", 60, lambda: (begun.set(), go_on.wait(20)))
    heart.start()
    wait_for(begun)

    assert not heart.stop(timedelta(seconds=0.05))
    go_on.set()


# systemd


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        assert notify("READY=1")
        assert systemd.recv(100) == b"READY=1"


def test_without_systemd_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not notify("READY=1")


# The process


@pytest.fixture
def start(empty_store: str, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the worker as a process on this test's store, with systemd listening."""
    arrive()
    begun: list[subprocess.Popen[str]] = []

    def process(*more: str, **environment: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, str(HERE / "worker_process.py"), empty_store, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=HERE.parent,
            env={**os.environ, "PYTHONPATH": str(HERE.parent), **environment},
        )
        begun.append(child)
        return child

    yield process
    for child in begun:
        child.kill()
        child.communicate()


def until(child: subprocess.Popen[str], fact: str, **more: object) -> dict[str, Any]:
    """Reads the child's log up to a fact."""
    assert child.stdout is not None
    for text in child.stdout:
        line: dict[str, Any] = json.loads(text)
        if line["fact"] == fact and all(line[name] == value for name, value in more.items()):
            return line
    raise AssertionError(f"The worker ended without {fact}: {child.communicate()[1]}")


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_process_that_is_told_to_stop_says_goodbye_and_ends_well(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, told: signal.Signals
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        child = start(NOTIFY_SOCKET=str(tmp_path / "notify"))
        until(child, "run.done", run="expiry-notices Europe/Oslo 2026-11-23")

        asked = time.monotonic()
        child.send_signal(told)
        out, err = child.communicate(timeout=10)
        took = time.monotonic() - asked
        systemd.setblocking(False)
        first = systemd.recv(100)

    assert (child.returncode, err, first) == (0, "", b"READY=1")
    assert took < 5
    facts = [json.loads(line)["fact"] for line in out.splitlines()]
    assert "worker.told-to-stop" in facts
    assert facts[-1] == "worker.stopped"
    (row,) = workers.listed()
    assert row.stopped_at is not None
    assert {run.state for run in runs.listed()} <= {"done", "due"}


def test_a_run_that_was_killed_half_way_is_completed_by_the_next_process(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    child = start(str(go_on))
    until(child, "slow.slice", number=1)
    child.kill()
    child.communicate()
    assert [row.name for row in Setting.select() if row.name.startswith("slow")] == ["slow-0", "slow-1"]

    go_on.touch()
    child = start(str(go_on))
    done = until(child, "run.done", run="slow 2026-11-23")
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=10)

    assert (done["attempt"], done["rows"], child.returncode) == (2, 3, 0)
    by = {row.name: row.value for row in Setting.select() if row.name.startswith("slow")}
    assert by == {"slow-0": 1, "slow-1": 1, "slow-2": 2, "slow-3": 2, "slow-4": 2}  # slice: attempt


def test_a_process_that_is_stopped_in_the_middle_of_a_run_gives_it_back(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    child = start(str(tmp_path / "never"))
    until(child, "slow.slice", number=1)

    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=10)

    (slow,) = runs.listed(job="slow")
    assert (child.returncode, slow.state, slow.owner, slow.attempt) == (0, "due", None, 1)
