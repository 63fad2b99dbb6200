"""When is a sandbox not tried any more, who hears of it, and how does it go on?"""

from datetime import date, timedelta

import pytest
from cast import NOON, OLAV
from sandbox_nights import (
    DAY,
    HALF_AN_HOUR,
    NIGHT,
    TWO_OCLOCK,
    claim,
    fail,
    failures_mailed,
    mark,
    states,
    with_sandbox,
)

from jobs.letters import render
from jobs.mail_preview import sample_contexts
from store import events, markers, sandbox_holds
from store.errors import Refused
from store.listings import sandboxes
from store.markers import LeaseLost, Report
from store.tables import Company, Email, Event, RefreshMarker

A_QUARTER = timedelta(minutes=15)


def acts() -> list[str]:
    return [row.act for row in Event.select().where(Event.act.startswith("sandbox")).order_by(Event.seq)]


def test_after_three_failed_nights_in_a_row_no_night_is_due_and_the_one_mail_says_so(empty_store: str) -> None:
    people = with_sandbox()

    reports = [fail(days) for days in range(3)]
    mark(NIGHT + 3 * DAY)

    assert [(report.failures, report.quarantined) for report in reports] == [(1, False), (2, False), (3, True)]
    assert states()[2:] == [("nordlys", NIGHT + 2 * DAY, "failed"), ("nordlys", NIGHT + 3 * DAY, "held")]
    assert claim(TWO_OCLOCK + 3 * DAY) == []
    told = Email.select().where(Email.kind == "sandbox_failed").order_by(Email.id)
    assert [mail.context["quarantined_after"] for mail in told] == [None, None, None, None, 3, 3]
    row = sandboxes.of(people.nordlys.id)
    assert (row.state, row.failures, row.message) == (
        "quarantined", 3, "In quarantine: 3 refreshes failed in a row.",
    )  # fmt: skip
    assert acts()[-2:] == ["sandbox.failed", "sandbox.quarantine"]
    assert events.verify().fault is None


def test_the_mail_promises_no_next_night_when_there_is_none() -> None:
    samples = sample_contexts()["sandbox_failed"]

    failed, quarantined = (
        render("sandbox_failed", samples[name], today=date(2026, 11, 23), now=NOON).text
        for name in ("typical", "quarantined")
    )

    assert "It is tried again next night." in failed
    assert "It is tried again next night." not in quarantined
    assert "3 refreshes have failed in a row, so it is not tried again until we have" in quarantined


def test_three_failed_tries_of_one_night_are_three_as_well(empty_store: str) -> None:
    with_sandbox()
    mark()

    reports = []
    for minutes in (0, 15, 30):
        now = TWO_OCLOCK + timedelta(minutes=minutes)
        (taken,) = claim(now)
        reports.append(markers.fail(OLAV, taken.token, "disk full", now, retry_in=A_QUARTER))

    assert [(report.state, report.quarantined) for report in reports] == [
        ("due", False), ("due", False), ("failed", True),
    ]  # fmt: skip
    assert failures_mailed() == ["ase@nordlys.example", "drift@nordlys.example"]


def test_a_refresh_that_goes_well_begins_the_count_anew(empty_store: str) -> None:
    with_sandbox()
    fail(0)
    fail(1)
    mark(NIGHT + 2 * DAY)
    markers.done(OLAV, claim(TWO_OCLOCK + 2 * DAY)[0].token, "", TWO_OCLOCK + 2 * DAY)

    assert [fail(days).failures for days in (3, 4)] == [1, 2]


def test_nights_that_nobody_took_neither_count_nor_begin_anew(empty_store: str) -> None:
    with_sandbox()
    fail(0)
    mark(NIGHT + DAY)

    assert [fail(days).failures for days in (2, 3)] == [2, 3]


def test_a_person_who_lets_it_go_has_the_night_tried_at_once_and_the_count_begins_anew(empty_store: str) -> None:
    people = with_sandbox()
    for days in range(3):
        fail(days)

    again = sandbox_holds.again_for(OLAV, people.nordlys.id, NOON + 2 * DAY)
    (taken,) = claim(NOON + 2 * DAY)
    report = markers.fail(OLAV, taken.token, "disk full", NOON + 2 * DAY)

    assert (again.night, again.state, again.released) == (NIGHT + 2 * DAY, "due", True)
    assert (report.failures, report.quarantined) == (1, False)
    assert acts()[-4:] == ["sandbox.quarantine", "sandbox.release", "sandbox.again", "sandbox.failed"]


def test_a_quarantine_that_is_released_waits_for_the_next_night(empty_store: str) -> None:
    people = with_sandbox()
    for days in range(3):
        fail(days)

    ended = sandbox_holds.release(OLAV, people.nordlys.id, NOON + 2 * DAY)

    assert [(each.kind, each.reason) for each in ended] == [("quarantine", "3 refreshes failed in a row.")]
    assert claim(NOON + 2 * DAY) == []
    assert fail(3).failures == 1


def test_the_quarantine_of_a_company_that_has_left_troubles_nobody(empty_store: str) -> None:
    people = with_sandbox()
    for days in range(3):
        fail(days)
    before = sandbox_holds.counts(), [each.external_id for each in sandbox_holds.in_quarantine(3)]

    Company.update(deactivated_at=NOON).where(Company.id == people.nordlys.id).execute()

    assert before == ({"held": 0, "quarantined": 1}, ["nordlys"])
    assert (sandbox_holds.counts(), sandbox_holds.in_quarantine(3)) == ({"held": 0, "quarantined": 0}, [])


def test_a_failure_may_ask_for_another_try_in_the_same_night_and_nobody_is_mailed_yet(empty_store: str) -> None:
    with_sandbox()

    report = fail(0, retry_in=HALF_AN_HOUR)

    assert report == Report("nordlys", NIGHT, 1, "due", 1, TWO_OCLOCK + HALF_AN_HOUR, quarantined=False)
    assert (claim(TWO_OCLOCK + HALF_AN_HOUR - timedelta(seconds=1)), failures_mailed()) == ([], [])
    assert [taken.attempt for taken in claim(TWO_OCLOCK + HALF_AN_HOUR)] == [2]


def test_asking_for_it_twice_is_the_same_as_once_until_the_next_try_begins(empty_store: str) -> None:
    with_sandbox()
    mark()
    (taken,) = claim()

    first, second = (
        markers.fail(OLAV, taken.token, "disk full", TWO_OCLOCK + late, retry_in=HALF_AN_HOUR)
        for late in (timedelta(0), A_QUARTER)
    )

    assert first == second
    with pytest.raises(Refused, match="reported as failed before"):
        markers.done(OLAV, taken.token, "", TWO_OCLOCK)
    with pytest.raises(LeaseLost):
        markers.heartbeat(OLAV, taken.token, HALF_AN_HOUR, TWO_OCLOCK)
    claim(TWO_OCLOCK + HALF_AN_HOUR)
    with pytest.raises(LeaseLost):
        markers.fail(OLAV, taken.token, "disk full", NOON, retry_in=HALF_AN_HOUR)


def test_a_night_that_is_not_the_newest_is_not_tried_again(empty_store: str) -> None:
    with_sandbox()
    mark()
    (slow,) = markers.claim(OLAV, 1, 2 * DAY, TWO_OCLOCK, "slow")
    mark(NIGHT + DAY)

    report = markers.fail(OLAV, slow.token, "disk full", TWO_OCLOCK + DAY, retry_in=HALF_AN_HOUR)

    assert (report.state, report.due_at) == ("failed", None)


def test_another_try_that_nobody_takes_before_the_next_night_leaves_a_failed_one(empty_store: str) -> None:
    with_sandbox()
    fail(0, retry_in=HALF_AN_HOUR)

    mark(NIGHT + DAY)

    assert states() == [("nordlys", NIGHT, "failed"), ("nordlys", NIGHT + DAY, "due")]
    assert RefreshMarker.get(RefreshMarker.night == NIGHT).message == "disk full"


def test_another_try_is_a_minute_to_a_day_away(empty_store: str) -> None:
    with_sandbox()
    mark()
    (taken,) = claim()

    for minutes in (-5, 0, 24 * 60 + 1):
        with pytest.raises(Refused, match="1 to 1,440 minutes"):
            markers.fail(OLAV, taken.token, "disk full", TWO_OCLOCK, retry_in=timedelta(minutes=minutes))
