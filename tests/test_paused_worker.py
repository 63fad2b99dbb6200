"""What may a worker still do that was stopped in the middle (SIGSTOP, a suspended machine) and goes on too late?"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import pytest
from cast import LONG_AGO, NOON, Cast, arrive, enable, key_of
from hooked_hand_over import around_the_record
from smtp_server import smtp_server

from jobs.delivery import Outcome, Relay, Sender, deliver_slice
from jobs.smtp_session import Conversation, SmtpSession
from store import database, markers, marking, runs
from store.actors import WORKER
from store.database import session
from store.errors import KeydeskError
from store.runs import Planned, RunRow
from store.tables import ClockSeen, Email, RefreshMarker, Run

SENDER = Sender("keys@fjord.example", "")
TOO_LATE = 7  # the exit status of a process that was told so
LATER = NOON + timedelta(minutes=31)  # every lease has run out
TEA = ["tea"]


def pause() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@contextmanager
def paused(location: str, body: Callable[[], object]) -> Iterator[Callable[[], int]]:
    """A process that does `body` up to its pause; what is given lets it go on and tells its exit status."""
    child = os.fork()
    if child == 0:  # pragma: no cover - the child
        status = 1
        try:
            database.bind(location)
            with session():
                body()
            status = 0
        except KeydeskError:
            status = TOO_LATE
        finally:
            os._exit(status)
    _, how = os.waitpid(child, os.WUNTRACED)
    assert os.WIFSTOPPED(how), how

    def go_on() -> int:
        os.kill(child, signal.SIGCONT)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    try:
        yield go_on
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise


@pytest.fixture
def cast(store_location: str) -> Cast:
    with session():
        return arrive()


def pour(_run: RunRow, _now: object) -> int:
    ClockSeen.create(max_seen=NOON)
    return 1


def cups() -> int:
    with session():
        return int(ClockSeen.select().count())


def owe_tea() -> None:
    with session():
        runs.plan([Planned("tea", "all", "2026-11-23", "due", NOON, {})], NOON)


def claimed(owner: str, now: object = NOON) -> RunRow:
    run = runs.claim(owner, TEA, now)  # type: ignore[arg-type]
    assert run is not None
    return run


@pytest.mark.parametrize("how", ["execute", "slices"])
def test_a_run_that_another_has_taken_over_meanwhile_writes_nothing(store_location: str, how: str) -> None:
    owe_tea()

    def slowly() -> None:
        run = claimed("paused")
        pause()
        if how == "execute":
            runs.execute(run, pour, NOON)
        else:
            with database.writing():
                pour(run, NOON)
                runs.go_on(run, 1, 1)

    with paused(store_location, slowly) as go_on:
        with session():
            runs.execute(claimed("quick", LATER), pour, LATER)
        status = go_on()

    assert (status, cups()) == (TOO_LATE, 1)
    with session():
        assert [(run.state, run.attempt) for run in Run.select()] == [("done", 2)]


def test_a_run_that_nobody_has_taken_meanwhile_is_finished_by_who_was_paused(store_location: str) -> None:
    owe_tea()

    def slowly() -> None:
        run = claimed("paused")
        pause()
        runs.execute(run, pour, LATER)

    with paused(store_location, slowly) as go_on:
        status = go_on()

    assert (status, cups()) == (0, 1)


# On SQLite the others are told of it in a sentence: see test_disk_faults.py.
@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
def test_one_that_is_paused_within_its_transaction_keeps_the_others_waiting_and_is_then_cut_off(
    store_location: str,
) -> None:
    owe_tea()
    impatient = f"{store_location}&options=-c%20idle_in_transaction_session_timeout=200ms"

    def slowly() -> None:
        def body(run: RunRow, now: object) -> int:
            pause()
            return pour(run, now)

        runs.execute(claimed("paused"), body, NOON)

    with paused(impatient, slowly) as go_on:
        with session():
            run = None
            while run is None:  # its row is locked until the server has ended that session
                run = runs.claim("quick", TEA, LATER)
            runs.execute(run, pour, LATER)
        status = go_on()

    assert (status, cups()) == (TOO_LATE, 1)


class Pausing(SmtpSession):
    """Is paused before the hand-over is written down, or after that."""

    after = False

    def hand_over(self, sender: str, recipient: str, raw: bytes) -> Conversation:
        steps = super().hand_over(sender, recipient, raw)
        return around_the_record(steps, after=pause) if self.after else around_the_record(steps, before=pause)


class PausingAfter(Pausing):
    after = True


def deliver(kind: type[SmtpSession], port: int, owner: str, now: object) -> Outcome:
    return deliver_slice(
        lambda: kind("localhost", port, tls="none"),
        SENDER,
        lambda: now,
        owner=owner,
        relay=Relay(),  # type: ignore[arg-type,return-value]
    )


def one_mail(cast: Cast) -> None:
    with session():
        enable(cast.nordlys, cast.ase)
        Email.delete().execute()
        key_of(cast.ase)
        Email.delete().where(Email.id != Email.select().order_by(Email.id).first().id).execute()


def test_a_mail_that_another_has_taken_over_before_its_body_went_is_sent_by_the_other_alone(
    cast: Cast, store_location: str
) -> None:
    one_mail(cast)
    with (
        smtp_server() as relay,
        paused(store_location, lambda: deliver(Pausing, relay.port, "paused", NOON)) as go_on,
    ):
        with session():
            quick = deliver(SmtpSession, relay.port, "quick", LATER)
        status = go_on()

    assert (status, len(quick.sent), len(relay.received)) == (0, 1, 1)


def test_a_mail_that_was_being_handed_over_is_ambiguous_for_the_other_and_says_so(
    cast: Cast, store_location: str
) -> None:
    one_mail(cast)
    with (
        smtp_server() as relay,
        paused(store_location, lambda: deliver(PausingAfter, relay.port, "paused", NOON)) as go_on,
    ):
        with session():
            quick = deliver(SmtpSession, relay.port, "quick", LATER)
        go_on()

    assert (len(quick.ambiguous), len(quick.sent)) == (1, 1)
    with session():
        assert [(mail.state, mail.resends) for mail in Email.select()] == [("sent", 1)]
    assert len({received.message["Message-ID"] for received in relay.received}) == 1


def test_a_refresh_that_another_has_taken_over_meanwhile_is_reported_by_the_other_alone(
    cast: Cast, store_location: str
) -> None:
    with session():
        enable(cast.nordlys, cast.ase)
        key_of(cast.ase, environment="sandbox", expires_on=date(2027, 12, 31), now=LONG_AGO)
        marking.create("Europe/Oslo", date(2026, 11, 23), NOON)

    def slowly() -> None:
        (claim,) = markers.claim(WORKER, 1, timedelta(minutes=30), NOON, "paused")
        pause()
        markers.done(WORKER, claim.token, "by the paused one", LATER)

    with paused(store_location, slowly) as go_on:
        with session():
            (claim,) = markers.claim(WORKER, 1, timedelta(minutes=30), LATER, "quick")
            markers.done(WORKER, claim.token, "by the quick one", LATER)
        status = go_on()

    with session():
        (marker,) = RefreshMarker.select()
    assert (status, marker.state, marker.message) == (TOO_LATE, "done", "by the quick one")
