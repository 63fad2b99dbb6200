"""What does Prometheus hear of the worker, and does asking ever hold the worker up?"""

import socket
import struct
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from cast import LONG_AGO, NOON, arrive, enable, key_of
from command import Home
from prometheus_client.parser import text_string_to_metric_families
from smtp_server import smtp_server

from jobs import metrics
from jobs.delivery import Relay, Sender, deliver_slice
from jobs.metrics import Metrics
from jobs.smtp_session import SmtpSession
from store import database, figures, installation, markers, marking, outbox, restored, runs
from store.actors import WORKER
from store.errors import Refused
from store.installation import Installation
from store.outbox import Owed
from store.runs import Planned
from store.tables import Email

MINUTE = timedelta(minutes=1)
Told = dict[tuple[str, str], float]


@contextmanager
def told_by(log: Metrics) -> Iterator[str]:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    stop = log.serve("127.0.0.1", port)
    yield f"http://127.0.0.1:{port}/metrics"
    stop()


def scraped(url: str) -> Told:
    """Name and value of the only label -> value, of what is Keydesk's."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        (sample.name.removeprefix("keydesk_"), "".join(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("keydesk_") and not sample.name.endswith(("_bucket", "_created"))
    }


def run_of(job: str, state: str, due: datetime) -> Planned:
    return Planned(job, "Europe/Oslo", f"{due:%Y-%m-%d}", state, due, {})


def test_a_store_at_rest_tells_zeros_and_leaves_out_what_is_not_known(empty_store: str) -> None:
    with told_by(Metrics(lambda: NOON)) as url:
        told = scraped(url)

    assert told == {
        ("store_up", ""): 1,
        ("store_held", ""): 0,
        **{("runs", state): 0 for state in ("due", "overdue", "running", "failing", "held")},
        **{("mails", state): 0 for state in ("queued", "on-their-way", "failed", "ambiguous")},
        **{("refreshes", state): 0 for state in ("due", "running")},
        **{("sandboxes", state): 0 for state in ("held", "quarantined", "stale")},
        ("mail_oldest_wait_seconds", ""): 0,
        ("refresh_oldest_wait_seconds", ""): 0,
        ("mail_wait_seconds_count", ""): 0,
        ("mail_wait_seconds_sum", ""): 0,
    }


def test_every_path_gets_the_same_answer(empty_store: str) -> None:
    with told_by(Metrics(lambda: NOON)) as url:
        assert scraped(url.removesuffix("metrics")) == scraped(url)


def test_what_is_due_late_failing_or_done_is_told(empty_store: str) -> None:
    arrive()
    planned = [
        run_of("expiry-notices", "due", NOON - 10 * MINUTE),
        run_of("sandbox-refresh", "due", NOON - 9 * MINUTE),
        run_of("invoice-lines", "due", NOON + MINUTE),
        run_of("invoice-final", "held", NOON),
    ]
    runs.plan(planned, NOON)
    assert runs.claim("worker-1", ("expiry-notices",), NOON - MINUTE) is not None
    claimed = runs.claim("worker-1", ("sandbox-refresh",), NOON - MINUTE)
    assert claimed is not None
    runs.execute(claimed, lambda _run, _now: 0, NOON - MINUTE)
    runs.plan([run_of("housekeeping", "due", NOON - timedelta(hours=1))], NOON)

    found = figures.read(NOON)

    assert found.runs == {"due": 1, "overdue": 1, "running": 1, "failing": 0, "held": 1}
    assert found.last_success == {"sandbox-refresh": NOON - MINUTE}


def test_mails_are_told_by_state_and_how_long_they_waited(empty_store: str) -> None:
    installation_of_one_mail()
    log = Metrics(lambda: NOON + 2 * MINUTE)

    with told_by(log) as url, smtp_server() as server:
        waiting = scraped(url)
        deliver_slice(
            lambda: SmtpSession("localhost", server.port, tls="none"),
            Sender("keys@fjord.example", ""),
            lambda: NOON + 2 * MINUTE,
            owner="worker-1",
            relay=Relay(),
            log=log,
        )
        same = scraped(url)

    assert (waiting["mails", "queued"], waiting["mail_oldest_wait_seconds", ""]) == (1, 120)
    assert (same["mail_wait_seconds_count", ""], same["mail_wait_seconds_sum", ""]) == (1, 120)
    assert figures.read(NOON).mails.queued == 0


def installation_of_one_mail() -> None:
    installation.set_up(Installation(vendor="Fjord Software"), LONG_AGO)
    context = {"by": "olav", "at": "2026-11-23T11:00:00Z", "roles": ["operator"]}
    outbox.queue([Owed("test_mail", "olav@fjord.example", "", "test:olav", context)], NOON)


def test_refreshes_the_clock_and_a_held_store_are_told(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase, now=LONG_AGO)
    key_of(people.ase, environment="sandbox", expires_on=date(2027, 11, 23), now=LONG_AGO)
    marking.create("Europe/Oslo", date(2026, 11, 22), NOON - timedelta(days=1))
    (claim,) = markers.claim(WORKER, 1, timedelta(hours=1), NOON - timedelta(days=1), "pipeline")
    markers.done(WORKER, claim.token, "", NOON - timedelta(hours=23))
    marking.create("Europe/Oslo", date(2026, 11, 23), NOON)
    database.run_sql("INSERT INTO clock_seen (id, max_seen) VALUES (1, ?)", (int((NOON - MINUTE).timestamp()),))
    restored.hold(WORKER, "a test", NOON)

    with told_by(Metrics(lambda: NOON)) as url:
        told = scraped(url)

    assert told["refreshes", "due"] == 1
    assert (told["sandboxes", "held"], told["sandboxes", "quarantined"]) == (0, 0)
    assert told["refresh_oldest_wait_seconds", ""] == 11 * 3600  # 02:00 in Oslo was 01:00Z
    assert told["refresh_age_seconds", ""] == 23 * 3600
    assert told["clock_lag_seconds", ""] == 60
    assert told["store_held", ""] == 1


def test_a_store_that_cannot_be_read_is_told_and_nothing_else_of_it(tmp_path: Path) -> None:
    database.bind(str(tmp_path / "nowhere" / "keydesk.db"))
    with told_by(Metrics(lambda: NOON)) as url:
        told = scraped(url)

    assert {name: value for (name, _), value in told.items() if "wait" not in name} == {"store_up": 0}


def test_a_scrape_gets_its_answer_while_the_worker_writes_and_the_other_way_round(empty_store: str) -> None:
    installation_of_one_mail()
    with told_by(Metrics(lambda: NOON)) as url:
        with database.writing():
            Email.update(recipient_name="Olav").execute()
            during = scraped(url)
        threads = [threading.Thread(target=scraped, args=(url,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        with database.writing():
            Email.update(recipient_name="").execute()
        for thread in threads:
            thread.join()

    assert during["mails", "queued"] == 1


def test_who_hangs_up_without_a_word_is_not_spoken_of(empty_store: str, capsys: pytest.CaptureFixture[str]) -> None:
    with told_by(Metrics(lambda: NOON)) as url:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0]))) as asking:
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes by a reset
        told = scraped(url)  # what came before it has been looked at
        for thread in threading.enumerate():
            if "process_request_thread" in thread.name:
                thread.join()

    assert told["store_up", ""] == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("address", "to_others", "refused"),
    [
        ("127.0.0.1", False, False),
        ("::1", False, False),
        ("192.0.2.1", True, False),
        ("0.0.0.0", False, True),
        ("192.0.2.1", False, True),
    ],
)
def test_only_this_machine_is_told_unless_somebody_says_so(address: str, to_others: bool, refused: bool) -> None:
    with pytest.raises(Refused) if refused else nullcontext():
        metrics.refuse_strangers(address, to_others=to_others)


def test_a_worker_tells_when_asked_and_loads_nothing_for_it_otherwise(home: Home) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        refused = home.keydesk("worker", "--metrics", f"127.0.0.1:{port}")
    child = subprocess.Popen(
        [sys.executable, "-m", "keydesk", "worker", "--metrics", f"127.0.0.1:{port}"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=home.path,
        env=home.environment(),
    )
    assert child.stdout is not None
    for line in child.stdout:
        if '"run.done"' in line:
            break
    told = scraped(f"http://127.0.0.1:{port}/metrics")
    child.terminate()
    child.communicate(timeout=20)

    assert (refused.status, refused.err) == (
        1,
        f"keydesk: The metrics cannot be told at 127.0.0.1:{port}: Address already in use.\n",
    )
    assert told["store_up", ""] == 1
    assert child.returncode == 0
    code = "import keydesk.errands.worker, sys; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
