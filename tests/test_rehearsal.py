"""Does a job that is only told say what it would do and change nothing, and does it then do just that, once?"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from peewee import QueryEvent
from worker_world import populate

from jobs import rehearsal
from keydesk.command import parser
from keydesk.errands import job
from keydesk.settings import load
from store import database, runs
from store.errors import Refused
from store.tables import TABLES, Email, InvoiceLine, InvoiceMonth, Notice, RefreshMarker

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # the 24th has begun in Auckland
Keydesk = Callable[..., list[str]]


@pytest.fixture
def keydesk(store_location: str, capsys: pytest.CaptureFixture[str]) -> Keydesk:
    """`keydesk run …` at that instant on the world of worker_world.py; gives its status and the lines it says."""
    with database.session():
        populate()
    settings = load(None, {"KEYDESK_STORE_LOCATION": store_location})

    def run(*arguments: str, now: datetime = NOON) -> list[str]:
        database.dispose()
        status = job.run(parser().parse_args(["run", *arguments]), settings, lambda: now, lambda: None)
        said = capsys.readouterr()
        return [str(status), *said.out.splitlines(), *said.err.splitlines()]

    return run


def everything() -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table but those in which workers say that they live."""
    with database.session():
        return {
            table.__name__: sorted(map(tuple, table.select().tuples()), key=repr)
            for table in TABLES
            if table.__name__ != "Worker"
        }


def without_names(lines: list[str]) -> list[str]:
    """Keys are random; what is shown of them is left out."""
    return [re.sub(r"kdp_\w{4}…\w{4}|kda_\w{4}…\w{4}|kds_\w{4}…\w{4}", "…", line) for line in lines]


def test_the_notices_of_a_day_are_told_then_sent_and_then_nothing_more(keydesk: Keydesk) -> None:
    before = everything()

    told = keydesk("expiry-notices", "--dry-run")

    assert everything() == before
    assert told[0] == "0"
    assert [line for line in without_names(told) if "Nordlys" in line] == [
        "2026-11-23  Nordlys AS  expired  ase@nordlys.example: expired (…, through 2026-11-18)",
        "2026-11-23  Nordlys AS  expiring  ase@nordlys.example: soon (…, through 2026-12-03)",
        "2026-11-23  Nordlys AS  expired  ops@nordlys.example: expired (…, through 2026-11-18)",
        "2026-11-23  Nordlys AS  expiring  ops@nordlys.example: soon (…, through 2026-12-03)",
    ]
    assert sum(line.startswith("2026-11-24  Kauri Ltd  ") for line in told) == 4
    assert told[-1] == "16 in all. Nothing was changed."

    assert keydesk("expiry-notices") == ["0", "4 runs of expiry-notices done, 0 failed."]
    with database.session():
        mails = {(mail.kind, mail.recipient) for mail in Email.select().where(Email.kind.startswith("key_expir"))}
        notices = Notice.select().count()
    done = everything()
    assert len(mails) == 16
    assert keydesk("expiry-notices") == ["0", "4 runs of expiry-notices done, 0 failed."]
    assert keydesk("expiry-notices", "--dry-run") == ["0", "Nothing to do. Nothing was changed."]
    after = everything()
    assert {name for name in done if done[name] != after[name]} <= {"Run", "Event"}
    with database.session():
        assert Notice.select().count() == notices


def test_a_day_to_come_is_told_as_it_will_be_and_never_done(keydesk: Keydesk) -> None:
    before = everything()

    told = keydesk("expiry-notices", "--as-of", "2026-12-10", "--dry-run")

    assert [line for line in without_names(told) if "ase@hraun" in line] == [
        (
            "2026-12-10  Hraun ehf.  expired  ase@hraun.example: expired (…, through 2026-11-18), "
            "soon (…, through 2026-12-03), test (…, through 2026-12-06)"
        ),
        "2026-12-10  Hraun ehf.  expiring  ase@hraun.example: later (…, through 2026-12-23)",
    ]
    with pytest.raises(Refused, match=r"2026-12-10 is not over everywhere; a day that has not been can only be told"):
        keydesk("expiry-notices", "--as-of", "2026-12-10")
    assert everything() == before


def test_a_day_before_the_store_was_set_up_is_refused(keydesk: Keydesk) -> None:
    before = everything()

    with pytest.raises(Refused) as refusal:
        keydesk("expiry-notices", "--as-of", "2016-12-07")

    assert str(refusal.value) == ("2016-12-07 was over before this store was set up, on 2026-11-01; name a later day.")
    assert everything() == before
    assert keydesk("expiry-notices", "--as-of", "2026-11-01")[0] == "0"


def test_the_markers_of_a_night_are_told_then_made_once(keydesk: Keydesk) -> None:
    before = everything()

    told = keydesk("sandbox-refresh", "--dry-run")

    assert everything() == before
    assert sorted(told[1:-1]) == [
        "2026-11-23  Hraun ehf.  refresh",
        "2026-11-23  Hudson Inc.  refresh",
        "2026-11-23  Kauri Ltd  refresh",
        "2026-11-23  Nordlys AS  refresh",
    ]
    assert told[-1] == "4 in all. Nothing was changed."
    for _ in range(2):
        assert keydesk("sandbox-refresh") == ["0", "4 runs of sandbox-refresh done, 0 failed."]
        with database.session():
            made = sorted((marker.company.external_id, str(marker.night)) for marker in RefreshMarker.select())
        assert made == [
            ("hraun", "2026-11-23"),
            ("hudson", "2026-11-23"),
            ("kauri", "2026-11-23"),
            ("nordlys", "2026-11-23"),
        ]


def test_the_lines_of_a_month_are_told_then_written_once_and_what_cannot_be_rated_is_named(keydesk: Keydesk) -> None:
    december = NOON + timedelta(days=14)
    before = everything()

    told = keydesk("invoice-lines", "--dry-run", now=december)

    assert everything() == before
    why = "No price list API in USD is in force for 2026-11; publish one with `keydesk prices publish`."
    assert [line for line in told if "Hudson" in line] == [f"2026-11  Hudson Inc.  cannot be rated: {why}"]
    expected = [line for line in told if line.startswith("2026-11  ") and "Hudson" not in line]
    for _ in range(2):
        assert keydesk("invoice-lines", now=december) == [
            "4",
            (
                "4 runs of invoice-lines done, 0 failed. For a person to settle: 1 month (1 parked); `keydesk invoice "
                "review` lists them."
            ),
            f"keydesk: 2026-11 of Hudson Inc. waits: {why}",
        ]
        with database.session():
            written = [
                f"{line.month}  {line.company.name}  {line.description}: "
                for line in InvoiceLine.select().order_by(InvoiceLine.id)
            ]
            states = {month.company.external_id: month.state for month in InvoiceMonth.select()}
        assert len(written) == len(expected) > 3
        assert all(any(line.startswith(start) for line in expected) for start in written)
        assert states == {"nordlys": "draft", "hraun": "draft", "kauri": "draft", "hudson": "parked"}


def test_a_job_that_only_tidies_or_is_none_is_refused(keydesk: Keydesk) -> None:
    with pytest.raises(Refused, match=r"housekeeping cannot be rehearsed; it only tidies up\."):
        keydesk("housekeeping", "--dry-run")
    with pytest.raises(Refused, match=r"There is no job called ‹0007›nightly; there are expiry-notices, "):
        keydesk("\anightly")
    with pytest.raises(Refused, match=r"No relay is set: mails wait in the outbox\."):
        keydesk("deliver-mail")


def test_runs_that_a_worker_which_is_up_takes_first_are_counted_as_its(
    empty_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    populate()
    taken: list[runs.RunRow] = []

    def work() -> None:
        with database.session():
            while run := runs.claim("up", ["sandbox-refresh"], NOON):
                runs.execute(run, lambda _run, _now: 0, NOON)
                taken.append(run)

    def between_two_statements(event: QueryEvent) -> None:
        if not taken and "FROM setting" in event.sql and not database.db.in_transaction():
            worker = Thread(target=work)
            worker.start()
            worker.join()

    database.db.query_hooks.append(between_two_statements)
    status = job._do(rehearsal.named("sandbox-refresh"), NOON, None, lambda: NOON)

    assert len(taken) == 4
    assert (status, capsys.readouterr().out) == (
        0,
        "0 runs of sandbox-refresh done, 0 failed; a worker that is up was quicker with 4 done.\n",
    )
