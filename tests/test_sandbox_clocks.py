"""What may be claimed, held and reported from a machine whose clock is not that of PostgreSQL's, and what is said?"""

import json
from datetime import UTC, datetime, timedelta

import pytest
from cast import LONG_AGO, arrive, enable, key_of

from keydesk import command
from keydesk.errands import job, sandbox
from keydesk.settings import load
from store import database, markers, marking
from store.actors import WORKER
from store.database import session
from store.errors import Refused
from store.tables import Email, Event, RefreshMarker, Run

pytestmark = pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
APART = [timedelta(seconds=62), timedelta(minutes=6), timedelta(minutes=-6), timedelta(days=9)]
AGREE = [timedelta(seconds=57), timedelta(seconds=-57)]


def server() -> datetime:
    """What the clock of PostgreSQL's machine says, which is this machine's."""
    return datetime.now(UTC).replace(microsecond=0)


class Machine:
    """One whose clock is so far from the server's."""

    def __init__(self, location: str, apart: timedelta) -> None:
        self.location, self.apart = location, apart

    def clock(self) -> datetime:
        return server() + self.apart

    def keydesk(self, *arguments: str) -> int:
        given = command.parser().parse_args(list(arguments))
        errand = {"sandbox": sandbox, "run": job}[arguments[0]]
        mail = {"KEYDESK_MAIL_HOST": "localhost", "KEYDESK_MAIL_SENDER": "keys@fjord.example"}
        database.dispose()  # the errand opens the store itself
        return errand.run(given, load(None, {"KEYDESK_STORE_LOCATION": self.location, **mail}), self.clock)


@pytest.fixture
def marked(store_location: str) -> str:
    """A store in which a sandbox is due."""
    with session():
        people = arrive()
        enable(people.nordlys, people.ase, now=LONG_AGO)
        key_of(people.ase, environment="sandbox", expires_on=(server() + timedelta(days=300)).date(), now=LONG_AGO)
        marking.create("Europe/Oslo", server().date(), server() - HOUR, hour=0)
        RefreshMarker.update(due_at=server() - HOUR).execute()
        Email.delete().execute()
    return store_location


def claimed() -> str:
    with session():
        (claim,) = markers.claim(WORKER, 1, HOUR, server(), "m1")
    return claim.token


def marker() -> RefreshMarker:
    with session():
        return RefreshMarker.get()


def near(at: datetime | None) -> bool:
    return at is not None and abs(at - server()) < MINUTE


@pytest.mark.parametrize("apart", APART)
def test_nothing_is_claimed_and_it_is_said_how_far_the_clocks_are_apart(marked: str, apart: timedelta) -> None:
    with pytest.raises(Refused) as refused:
        Machine(marked, apart).keydesk("sandbox", "next")

    more, sentence = ("more" if apart > timedelta() else "less"), str(refused.value)
    assert f" {more} than on PostgreSQL's machine. " in sentence
    assert sentence.endswith(
        "Set both by the same time service (chrony, systemd-timesyncd). Until they agree to a minute, nothing can be "
        "claimed or held from here."
    )
    if apart == 6 * MINUTE:
        assert "Z, 0:06:0" in sentence
    assert marker().state == "due"


@pytest.mark.parametrize("apart", AGREE)
def test_within_a_minute_it_is_claimed_and_held(
    marked: str, apart: timedelta, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Machine(marked, apart)

    here.keydesk("sandbox", "next")
    token = json.loads(capsys.readouterr().out)["token"]

    assert here.keydesk("sandbox", "heartbeat", token) == 0
    assert marker().state == "running"


@pytest.mark.parametrize("apart", APART)
def test_a_claim_is_not_held_from_there_and_its_lease_stays_as_it_was(marked: str, apart: timedelta) -> None:
    token, before = claimed(), marker().lease_until

    with pytest.raises(Refused, match="than on PostgreSQL's machine"):
        Machine(marked, apart).keydesk("sandbox", "heartbeat", token)

    assert marker().lease_until == before


@pytest.mark.parametrize("apart", APART)
def test_a_report_from_there_counts_and_is_dated_by_the_server(marked: str, apart: timedelta) -> None:
    Machine(marked, apart).keydesk("sandbox", "done", claimed())

    with session():
        event = Event.select().order_by(Event.seq.desc()).get()
    assert marker().state == "done"
    assert (near(marker().finished_at), near(event.at), event.act) == (True, True, "sandbox.done")


@pytest.mark.parametrize("apart", APART)
def test_a_failure_from_there_is_mailed_and_one_that_is_retried_is_so_by_the_servers_clock(
    marked: str, apart: timedelta
) -> None:
    there = Machine(marked, apart)

    there.keydesk("sandbox", "fail", claimed(), "--message", "no space", "--retry-in", "20")
    due_at = marker().due_at
    with session():
        RefreshMarker.update(due_at=server()).execute()
    there.keydesk("sandbox", "fail", claimed(), "--message", "no space")

    assert near(due_at - 20 * MINUTE)
    with session():
        assert [near(mail.queued_at) for mail in Email.select().where(Email.kind == "sandbox_failed")] == [True]


@pytest.mark.parametrize("verb", [("run", "expiry-notices"), ("run", "deliver-mail")])
def test_no_job_is_done_by_hand_there(marked: str, verb: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="nothing can be claimed or held from here"):
        Machine(marked, -6 * MINUTE).keydesk(*verb)

    with session():
        assert Run.select().count() == 0
