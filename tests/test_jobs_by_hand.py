"""Does what a person has done by hand (`keydesk run`) go by a right clock only, and let go when it is interrupted?"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from cast import LONG_AGO, NOON, arrive, enable, key_of
from doctor_visit import relay
from postgres_server import PostgresServer
from smtp_server import smtp_server

from jobs import lifeline
from jobs.planning import ServerClock
from jobs.smtp_session import Conversation, SmtpSession
from keydesk.command import parser
from keydesk.errands import job
from keydesk.settings import load
from store import clock_seen, database, outgoing, runs, workers
from store.database import run_sql, session
from store.errors import Refused, StoreUnavailable
from store.tables import Email

HOUR = timedelta(hours=1)
HALF_AN_HOUR = timedelta(minutes=30)
Keydesk = Callable[..., int]


@pytest.fixture
def keydesk(store_location: str) -> Keydesk:
    """`keydesk run …` at noon, with one mail about a key in the outbox."""
    with session():
        people = arrive()
        enable(people.nordlys, people.ase, now=LONG_AGO)
        Email.delete().execute()
        key_of(people.ase, now=NOON - 2 * HOUR)

    def run(*arguments: str, port: int = 25, server_clock: ServerClock = lambda: None) -> int:
        database.dispose()
        settings = load(None, {"KEYDESK_STORE_LOCATION": store_location, **relay(port)})
        return job.run(parser().parse_args(["run", *arguments]), settings, lambda: NOON, server_clock)

    return run


def mails() -> list[tuple[str, str | None]]:
    with session():
        return [(mail.state, mail.owner) for mail in Email.select().order_by(Email.id)]


def test_a_relay_that_refuses_the_sender_leaves_mails_waiting_and_it_is_said_how_many(
    keydesk: Keydesk, capsys: pytest.CaptureFixture[str]
) -> None:
    with smtp_server("550 mail") as server, pytest.raises(Refused, match="The relay takes no mail now; "):
        keydesk("deliver-mail", port=server.port)

    assert capsys.readouterr().out == "Mails: none was handed over, 1 waits; `keydesk mail list` shows the newest.\n"


def ledger() -> list[str]:
    with session():
        return [run.state for run in runs.listed()]


def test_a_mail_that_is_in_a_living_workers_hands_is_not_taken_from_it_by_a_clock_that_is_ahead(
    keydesk: Keydesk,
) -> None:
    an_hour_less = NOON - HOUR
    with session():
        (mail,) = outgoing.claim("living", 1, HALF_AN_HOUR, an_hour_less)
        outgoing.handing_over(mail.id, "living", HALF_AN_HOUR, an_hour_less)

    with smtp_server() as server, pytest.raises(Refused) as refused:
        keydesk("deliver-mail", port=server.port, server_clock=lambda: an_hour_less)

    assert str(refused.value) == (
        "Here it is 2026-11-23 12:00:00Z, 1:00:00 more than on PostgreSQL's machine. Set both by the same time service "
        "(chrony, systemd-timesyncd). Until they agree to a minute, nothing can be claimed or held from here."
    )
    assert (mails(), server.received) == ([("handing-over", "living")], [])


@pytest.mark.parametrize("apart", [timedelta(minutes=2), timedelta(days=-2)])
def test_a_job_is_not_done_by_a_clock_far_from_the_servers_and_told_all_the_same(
    keydesk: Keydesk, apart: timedelta
) -> None:
    with pytest.raises(Refused, match="than on PostgreSQL's machine"):
        keydesk("expiry-notices", server_clock=lambda: NOON + apart)
    nothing = ledger()
    told = keydesk("expiry-notices", "--dry-run", server_clock=lambda: NOON + apart)
    near = keydesk("expiry-notices", "--as-of", "2026-11-22", server_clock=lambda: NOON + timedelta(minutes=1))

    assert (nothing, told, near) == ([], 0, 0)
    assert set(ledger()) == {"done"}


def test_by_a_clock_that_was_put_back_no_job_is_done_and_mails_go_as_a_workers_do(keydesk: Keydesk) -> None:
    with session():
        clock_seen.set_to(NOON + timedelta(minutes=1))

    with pytest.raises(Refused) as refused:
        keydesk("expiry-notices")
    with smtp_server() as server:
        status = keydesk("deliver-mail", port=server.port)

    assert str(refused.value) == (
        "A worker has already lived through 2026-11-23 12:01:00Z, and here it is 2026-11-23 12:00:00Z: until then "
        "nothing is planned. Set the clock right. If it is right, and was ahead then, run "
        "`keydesk worker --believe-clock --once`."
    )
    assert (ledger(), status, mails()) == ([], 0, [("sent", None)])


def test_by_a_clock_that_leapt_ahead_no_job_is_done_and_no_mail_handed_over(keydesk: Keydesk) -> None:
    clock_seen.advance(NOON - timedelta(days=8), None)
    clock_seen.note_boot(str(workers.this_boot()), NOON - timedelta(days=8, seconds=lifeline.seconds()))

    refusals = []
    with smtp_server() as server:
        for job_name in ("expiry-notices", "deliver-mail"):
            with pytest.raises(Refused) as refused:
                keydesk(job_name, port=server.port)
            refusals.append(str(refused.value).partition(": this machine has not run for so long since then.")[0])

    assert refusals == ["Here it is 2026-11-23 12:00:00Z, and the clock was last believed at 2026-11-15 12:00:00Z"] * 2
    assert (ledger(), server.received) == ([], [])


def test_an_interrupted_delivery_holds_no_mail(keydesk: Keydesk) -> None:
    with smtp_server("slow") as server:

        def interrupt() -> None:
            while not server.received:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        impatient = threading.Thread(target=interrupt)
        impatient.start()
        with pytest.raises(KeyboardInterrupt):
            keydesk("deliver-mail", port=server.port)
        impatient.join()

    assert mails() == [("queued", None)]  # once more, as it is about a key
    with session():
        assert [row.stopped_at for row in workers.listed()] == [NOON]


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
def test_what_the_relay_took_is_written_down_though_the_session_was_ended_meanwhile(
    keydesk: Keydesk, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CutOff(SmtpSession):
        def hand_over(self, sender: str, recipient: str, raw: bytes) -> Conversation:
            answer = yield from super().hand_over(sender, recipient, raw)
            postgres.sql(f"SELECT pg_terminate_backend({database.db.connection().info.backend_pid}, 5000)")
            return answer

    with smtp_server() as server, pytest.raises(StoreUnavailable):
        monkeypatch.setattr(job, "session_for", lambda *_: CutOff("localhost", server.port, tls="none"))
        keydesk("deliver-mail", port=server.port)

    assert (mails(), len(server.received)) == ([("sent", None)], 1)


@pytest.fixture
def deadly(store_location: str) -> Iterator[None]:
    """Whoever says that a run is done loses its session."""
    with session():
        run_sql("""
            CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$
        """)
        run_sql(
            "CREATE TRIGGER deadly BEFORE UPDATE ON run FOR EACH ROW WHEN (NEW.state = 'done') EXECUTE FUNCTION die()"
        )
    yield
    with session():
        run_sql("DROP FUNCTION die CASCADE")


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
def test_a_run_whose_session_was_ended_is_due_again_at_once(keydesk: Keydesk, deadly: None) -> None:
    with pytest.raises(StoreUnavailable):
        keydesk("housekeeping")

    with session():
        assert [(run.state, run.owner) for run in runs.listed()] == [("due", None)]
        assert [row.stopped_at for row in workers.listed()] == [NOON]
