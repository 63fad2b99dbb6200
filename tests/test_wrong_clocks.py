"""What do workers do whose clocks are put back, leap ahead, drift or differ? Nothing twice, nothing too early."""

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from cast import LONG_AGO, NOON, arrive, enable, key_of
from peewee import QueryEvent
from sandbox_nights import mark, with_sandbox
from smtp_server import smtp_server
from worker_log import Said

from jobs import delivery, queues
from jobs.delivery import Sender
from jobs.json_log import JsonLog
from jobs.periods import EachDay
from jobs.process import Process
from jobs.refresh_command import Command
from jobs.schedule import TIMETABLE, Job
from jobs.smtp_session import SmtpSession
from jobs.worker import Worker
from store import ambiguous_mails, clock_seen, database, markers, outbox, outgoing, runs, workers
from store.actors import Actor
from store.errors import StoreUnavailable
from store.outbox import Owed
from store.outgoing import Bound, ClaimLost, Taken
from store.runs import LeaseLost, Planned
from store.tables import Email, Notice, Run, Setting
from store.tables import Worker as WorkerRow
from store.workers import Host

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
OLAV = Actor("olav", "operator", "test")
TEA = Job("tea", "Each day, tea.", "all", EachDay(hour=lambda _: 1), "latest", body=lambda _run, _now: _pour())


def _pour() -> int:
    Setting.create(name=f"cup {cups() + 1}", value="")
    return 1


def cups() -> int:
    return int(Setting.select().where(Setting.name.startswith("cup ")).count())


def worker(said: Said | None = None, server: Callable[[], datetime | None] = lambda: None) -> Worker:
    return Worker(timetable=[TEA], log=JsonLog(said or Said()), version="0.1.0", server_clock=server)


def ledger() -> list[tuple[str, str]]:
    return [(row.period, row.state) for row in Run.select().order_by(Run.period)]


def claimed(owner: str, now: datetime) -> runs.RunRow:
    run = runs.claim(owner, ["tea"], now)
    assert run is not None
    return run


@pytest.mark.parametrize("back", [timedelta(hours=1), 3 * DAY])
def test_a_clock_that_was_put_back_plans_nothing_until_it_is_where_it_was(empty_store: str, back: timedelta) -> None:
    arrive()
    said = Said()
    tea = worker(said)
    tea.once(NOON)

    passes = [tea.once(NOON - back + number * timedelta(hours=1)) for number in range(back // timedelta(hours=1) + 1)]
    tea.once(NOON + DAY)

    assert {one.verdict for one in passes[:-1]} == {"back"}
    assert (passes[-1].verdict, sum(one.done for one in passes)) == ("believed", 0)
    assert ledger() == [("2026-11-23", "done"), ("2026-11-24", "done")]
    assert [fact["verdict"] for fact in said.named("clock.judged")] == ["back", "believed"]


@pytest.mark.parametrize("ahead", [9 * DAY, 20 * 365 * DAY])
def test_a_clock_that_leaps_runs_sends_and_withdraws_nothing_and_comes_back_as_if_nothing_had_been(
    empty_store: str, ahead: timedelta
) -> None:
    people = arrive()
    enable(people.nordlys, people.ase, now=LONG_AGO)
    Email.delete().execute()
    key_of(people.ase, expires_on=date(2026, 12, 1), now=LONG_AGO)
    Email.delete().execute()
    jobs = [job for job in TIMETABLE if job.name == "expiry-notices"]
    with smtp_server() as relay:
        mails = queues.mails(lambda: SmtpSession("localhost", relay.port, tls="none"), Sender("keys@fjord.example", ""))
        told = Worker(queues={"mails": mails}, timetable=jobs, log=JsonLog(Said()), version="0.1.0")
        before = told.once(datetime(2026, 11, 23, 4, tzinfo=NOON.tzinfo))  # owed; the mails wait for seven o'clock
        leapt = [told.once(NOON + ahead), told.once(NOON + ahead + MINUTE)]
        states = {mail.state for mail in Email.select()}
        told.once(NOON)

        assert (before.done, before.taken, states) == (2, {"mails": 0}, {"queued"})
        assert [(one.verdict, one.done, one.taken) for one in leapt] == [("leap", 0, {"mails": 0})] * 2
        assert [received.recipient for received in relay.received] == ["ase@nordlys.example"]
    assert Notice.select().count() == 1


def test_a_machine_that_slept_for_a_week_catches_up_when_it_wakes(empty_store: str) -> None:
    arrive()
    tea = worker()
    tea.once(NOON)

    woken = tea.once(NOON + 7 * DAY)

    assert (woken.verdict, woken.done) == ("believed", 1)
    assert [state for _, state in ledger()] == ["done", *["missed"] * 6, "done"]


def beats(worker: Worker, begin: datetime) -> None:
    """Two beats of work, five seconds apart."""
    process = Process(worker)
    for number in range(2):
        worker.clock = lambda number=number: begin + number * timedelta(seconds=5)  # type: ignore[misc]
        process.beat("work")


def test_a_clock_that_was_behind_when_the_worker_started_and_is_set_right_was_downtime(empty_store: str) -> None:
    arrive()
    worker().once(NOON)
    said = Said()
    late = worker(said)
    late.begin(NOON - DAY)

    beats(late, NOON - DAY)
    beats(late, NOON + 10 * DAY)

    assert [fact["verdict"] for fact in said.named("clock.judged")] == ["back", "believed"]
    assert [state for _, state in ledger()] == ["done", *["missed"] * 9, "done"]


def test_a_first_plan_after_ten_days_away_that_the_store_cuts_off_makes_no_leap_of_them(empty_store: str) -> None:
    arrive()
    worker().once(NOON)
    back = NOON + 10 * DAY
    said = Said()
    late = worker(said)
    late.begin(back)

    def fail_once(event: QueryEvent) -> None:
        if event.sql.strip().startswith("INSERT INTO run "):
            database.db.query_hooks.clear()
            raise StoreUnavailable("PostgreSQL does not answer.")

    database.db.query_hooks.append(fail_once)
    beats(late, back)

    assert [fact["beat"] for fact in said.named("beat.failed")] == ["work"]
    assert said.named("clock.judged") == []
    assert ledger()[-1] == ("2026-12-03", "done")


def test_a_store_that_was_away_for_ten_days_of_a_living_worker_was_downtime(empty_store: str) -> None:
    arrive()
    lived, said = [0.0], Said()
    tea = Worker(timetable=[TEA], log=JsonLog(said), version="0.1.0", elapsed=lambda: lived[0])
    tea.begin(NOON)

    beats(tea, NOON)
    lived[0] = 10 * 24 * 3600.0
    beats(tea, NOON + 10 * DAY)

    assert said.named("clock.judged") == []
    assert [state for _, state in ledger()] == ["done", *["missed"] * 9, "done"]


def test_what_a_worker_has_lived_through_before_its_last_plan_makes_no_leap_believed(empty_store: str) -> None:
    arrive()
    lived, said = [0.0], Said()
    tea = Worker(timetable=[TEA], log=JsonLog(said), version="0.1.0", elapsed=lambda: lived[0])
    tea.begin(NOON)

    for day in range(11):
        lived[0] = day * 24 * 3600.0
        beats(tea, NOON + day * DAY)
    beats(tea, NOON + 20 * DAY)

    assert [fact["verdict"] for fact in said.named("clock.judged")] == ["leap"]


def test_a_clock_that_leaps_after_a_plan_that_came_to_its_end_is_held_beat_after_beat(empty_store: str) -> None:
    arrive()
    said = Said()
    tea = worker(said)
    tea.begin(NOON)

    beats(tea, NOON)
    beats(tea, NOON + 10 * DAY)

    assert [fact["verdict"] for fact in said.named("clock.judged")] == ["leap"]
    assert ledger() == [("2026-11-23", "done"), ("2026-12-03", "held")]


@pytest.mark.parametrize("drift", [timedelta(seconds=-20), timedelta(seconds=20)])
def test_a_clock_that_drifts_is_believed_and_each_day_comes_once(empty_store: str, drift: timedelta) -> None:
    arrive()
    tea = worker()

    passes = [tea.once(NOON + number * (timedelta(hours=1) + drift)) for number in range(24 * 5)]

    assert {one.verdict for one in passes} == {"believed"}
    assert cups() == len(ledger()) == sum(one.done for one in passes)
    assert {state for _, state in ledger()} == {"done"}


def test_two_workers_whose_clocks_are_two_minutes_apart_do_each_day_once(empty_store: str) -> None:
    arrive()
    server = [NOON]
    ahead = worker(server=lambda: server[0])
    ahead.once(NOON + MINUTE)
    WorkerRow.update(host="another").execute()
    behind = worker(server=lambda: server[0])

    verdicts = set()
    for hour in range(1, 24 * 4):
        now = server[0] = NOON + hour * timedelta(hours=1)
        for one in (behind, ahead) if hour % 2 else (ahead, behind):
            verdicts.add(one.once(now + MINUTE if one is ahead else now - MINUTE).verdict)

    assert verdicts == {"believed", "back"}
    days = ["2026-11-23", "2026-11-24", "2026-11-25", "2026-11-26", "2026-11-27"]
    assert ledger() == [(day, "done") for day in days]
    assert cups() == 5


@pytest.mark.parametrize("apart", [timedelta(seconds=30), timedelta(seconds=31)])
def test_half_a_minute_between_two_machines_is_not_worth_a_word(empty_store: str, apart: timedelta) -> None:
    arrive()
    clock_seen.set_to(NOON + apart)

    assert worker().once(NOON).verdict == ("believed" if apart == timedelta(seconds=30) else "back")


def test_a_lease_that_a_clock_far_ahead_has_written_holds_nothing_up(empty_store: str) -> None:
    runs.plan([Planned("tea", "all", "2026-11-23", "due", NOON, {})], NOON)
    wrong = claimed("ahead", NOON)
    runs.extend(wrong, NOON + 20 * 365 * DAY)  # the clock was stepped during the run

    right = claimed("right", NOON + MINUTE)
    runs.execute(right, lambda _run, _now: _pour(), NOON + MINUTE)

    with pytest.raises(LeaseLost):
        runs.execute(wrong, lambda _run, _now: _pour(), NOON + 20 * 365 * DAY)
    assert cups() == 1


def test_a_wait_that_a_clock_far_ahead_has_written_is_not_waited_for(empty_store: str) -> None:
    runs.plan([Planned("tea", "all", "2026-11-23", "due", NOON, {})], NOON)
    runs.fail(claimed("ahead", NOON), "no water", NOON + 9 * DAY)

    assert claimed("right", NOON + MINUTE).attempt == 2


def test_a_run_whose_clock_is_put_back_in_the_middle_is_finished_or_taken_over_but_done_once(empty_store: str) -> None:
    runs.plan([Planned("tea", "all", "2026-11-23", "due", NOON, {})], NOON)
    first = claimed("one", NOON)

    too_early = runs.claim("two", ["tea"], NOON - timedelta(hours=1))
    runs.execute(first, lambda _run, _now: _pour(), NOON - timedelta(hours=1))

    assert (too_early, runs.claim("two", ["tea"], NOON + DAY), cups()) == (None, None, 1)


def a_mail_in_the_hands_of(host: Host, pid: int) -> Email:
    """The relay is making up its mind about it; the worker that is this process waits."""
    owner = workers.register(host, "0.1.0", NOON, pid=pid)
    outbox.queue([Owed("test_mail", "olav@fjord.example", "", owner, {})], NOON)
    (mail,) = outgoing.claim(owner, 1, 30 * MINUTE, NOON)
    outgoing.handing_over(mail.id, owner, 30 * MINUTE, NOON, Bound("a subject", b"bytes"))
    return mail


def owe_a_mail_about_a_key() -> None:
    people = arrive()
    enable(people.nordlys, people.ase, now=LONG_AGO)
    Email.delete().execute()
    key_of(people.ase)


def test_a_mail_that_a_clock_far_ahead_has_claimed_is_taken_by_the_next_and_handed_over_by_it_alone(
    empty_store: str,
) -> None:
    owe_a_mail_about_a_key()
    half_an_hour = timedelta(minutes=30)
    (wrong,) = outgoing.claim("ahead", 1, half_an_hour, NOON + 6 * DAY)

    (right,) = outgoing.claim("right", 1, half_an_hour, NOON)

    assert right.id == wrong.id
    with pytest.raises(ClaimLost):
        outgoing.handing_over(wrong.id, "ahead", half_an_hour, NOON + 6 * DAY)


@pytest.mark.parametrize("step", [31 * MINUTE, -121 * MINUTE, timedelta(hours=23)])
def test_a_clock_that_is_set_while_a_mail_is_handed_over_lets_no_other_worker_of_the_machine_send_it_again(
    empty_store: str, step: timedelta
) -> None:
    mail = a_mail_in_the_hands_of(workers.this_host(), os.getpid())

    found = ambiguous_mails.find(NOON + step)
    not_ours = outgoing.all_sent(mail.owner, [Taken(mail.id, "250", NOON + step)])

    assert (found, not_ours) == ([], set())


def test_what_a_worker_has_left_behind_is_found_when_its_process_is_gone_or_it_asks_itself(empty_store: str) -> None:
    here, skog = workers.this_host(), Host("skog", "boot-1")
    gone = a_mail_in_the_hands_of(here, 2**22 + 1)  # beyond the kernel's highest
    own = a_mail_in_the_hands_of(here, os.getpid())
    before = ambiguous_mails.find(NOON + 29 * MINUTE)

    later = NOON + 31 * MINUTE
    found = [ambiguous_mails.find(later), ambiguous_mails.find(later), ambiguous_mails.find(later, own.owner)]
    WorkerRow.update(stopped_at=NOON).execute()
    elsewhere = a_mail_in_the_hands_of(skog, os.getpid())  # a number that says nothing here

    assert (before, found) == ([], [[gone.id], [], [own.id]])
    assert ambiguous_mails.find(later) == [elsewhere.id]


def test_what_a_process_seems_to_hold_for_a_day_is_found_as_it_may_be_another_one_of_that_number(
    empty_store: str,
) -> None:
    mail = a_mail_in_the_hands_of(workers.this_host(), os.getpid())

    assert ambiguous_mails.find(NOON + timedelta(hours=24)) == []
    assert ambiguous_mails.find(NOON + timedelta(hours=25)) == [mail.id]


def test_a_process_that_has_ended_and_that_nobody_has_asked_about_holds_nothing() -> None:
    child = subprocess.Popen(["sleep", "60"])
    running = workers.is_running(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert (running, workers.is_running(child.pid)) == (True, False)
    child.wait()


@pytest.mark.parametrize(
    "wrong", [timedelta(hours=-1), -3 * DAY, timedelta(hours=1), 9 * DAY, timedelta(seconds=61), timedelta(seconds=-61)]
)
def test_a_worker_whose_clock_is_not_the_servers_touches_nothing_until_it_is(
    empty_store: str, wrong: timedelta
) -> None:
    arrive()
    asked: list[datetime] = []

    def ask(clock: Callable[[], datetime], _owner: str, _stopping: Callable[[], bool]) -> int:
        asked.append(clock())
        return 0

    off = Worker(queues={"mails": ask}, timetable=[TEA], log=JsonLog(Said()), server_clock=lambda: NOON)

    passed = off.once(NOON + wrong)
    put_right = off.once(NOON)

    assert (passed.verdict, passed.planned, passed.done, passed.taken) == ("apart", 0, 0, {"mails": 0})
    assert (put_right.verdict, put_right.done, asked) == ("believed", 1, [NOON])
    assert clock_seen.latest() == NOON


def test_a_worker_whose_clock_goes_wrong_while_it_empties_a_queue_takes_no_more_from_it(empty_store: str) -> None:
    arrive()
    here, taken = [NOON], []

    def take(_clock: Callable[[], datetime], _owner: str, _stopping: Callable[[], bool]) -> int:
        taken.append(here[0])
        here[0] += 10 * MINUTE
        return 1

    half_past = NOON + 30 * MINUTE
    off = Worker(
        queues={"mails": take}, timetable=[], log=JsonLog(Said()), server_clock=lambda: min(here[0], half_past)
    )
    off.once(NOON, lambda: here[0])

    assert taken == [NOON + number * 10 * MINUTE for number in range(4)]


def test_a_refresh_ends_before_another_machine_may_begin_it_whatever_two_clocks_say_that_are_believed(
    empty_store: str,
) -> None:
    with_sandbox()
    mark()
    command = Command(("refresh-sandbox",), timedelta(hours=1))
    slow, fast = NOON - MINUTE, NOON + MINUTE
    (claim,) = markers.claim(OLAV, 1, command.lease, slow, "slow")
    over = timedelta(seconds=command.patience + 10)  # seconds to end in

    markers.heartbeat(OLAV, claim.token, command.lease, slow + MINUTE)
    by_then = markers.claim(OLAV, 1, command.lease, fast + MINUTE + over, "fast")
    later = markers.claim(OLAV, 1, command.lease, fast + MINUTE + 3 * MINUTE, "fast")

    assert (command.beat * 2 < over, by_then, len(later)) == (True, [], 1)


def test_a_mail_whose_answer_takes_its_longest_is_not_taken_for_abandoned_by_another_clock_that_is_believed(
    empty_store: str,
) -> None:
    owe_a_mail_about_a_key()
    slow, fast = NOON, NOON + 2 * MINUTE
    (mail,) = outgoing.claim("slow", 1, delivery.LEASE, slow)

    outgoing.handing_over(mail.id, "slow", delivery.LEASE, slow, Bound("A subject", b"the bytes"))
    found = ambiguous_mails.find(fast + timedelta(seconds=690))

    assert (found, Email.get().state) == ([], "handing-over")


def test_only_a_store_with_a_machine_of_its_own_has_a_clock_to_compare_with(empty_store: str) -> None:
    found = clock_seen.of_server()

    assert (found is not None) == empty_store.startswith("postgresql:")
    assert found is None or abs(found - datetime.now(UTC)) < MINUTE
