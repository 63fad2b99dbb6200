"""How does a person keep a company's sandbox as it is, for how long, and what becomes of its nights?"""

from datetime import timedelta

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
from test_at_once import at_once

from store import markers, sandbox_holds
from store.actors import Actor
from store.database import session
from store.errors import FormatWrong, NotAllowed, Refused
from store.listings import sandboxes
from store.listings.sandboxes import Stop
from store.tables import Event, RefreshMarker

BEFORE = TWO_OCLOCK - HALF_AN_HOUR


def test_a_held_sandbox_is_marked_as_held_each_night_until_it_is_released(empty_store: str) -> None:
    people = with_sandbox()

    sandbox_holds.hold(OLAV, people.nordlys.id, "demo week", None, BEFORE)
    mark()
    mark(NIGHT + DAY)
    assert claim(TWO_OCLOCK + DAY) == []
    sandbox_holds.release(OLAV, people.nordlys.id, NOON + DAY)
    mark(NIGHT + 2 * DAY)

    assert [state for _, _, state in states()] == ["held", "held", "due"]
    assert RefreshMarker.get(RefreshMarker.night == NIGHT).message == "Held: demo week"
    assert [row.act for row in Event.select().where(Event.act.startswith("sandbox")).order_by(Event.seq)] == [
        "sandbox.hold", "sandbox.release",
    ]  # fmt: skip


def test_a_hold_with_a_last_night_ends_by_itself_after_it(empty_store: str) -> None:
    people = with_sandbox()

    sandbox_holds.hold(OLAV, people.nordlys.id, "demo week", NIGHT + DAY, BEFORE)
    for days in range(3):
        mark(NIGHT + days * DAY)

    assert [state for _, _, state in states()] == ["held", "held", "due"]
    assert sandbox_holds.standing(people.nordlys.id) == {}
    ended = Event.get(Event.act == "sandbox.release")
    assert (ended.actor, ended.before) == ("worker", {"last_night": "2026-11-24"})


def test_a_hold_takes_what_is_due_and_leaves_what_runs(empty_store: str) -> None:
    people = with_sandbox()
    mark()
    (slow,) = markers.claim(OLAV, 1, 2 * DAY, TWO_OCLOCK, "slow")
    mark(NIGHT + DAY)

    sandbox_holds.hold(OLAV, people.nordlys.id, "demo week", None, NOON + DAY)
    markers.done(OLAV, slow.token, "", NOON + DAY)

    assert [state for _, _, state in states()] == ["done", "held"]


def test_a_night_that_was_marked_while_the_hold_was_made_is_not_handed_out(empty_store: str) -> None:
    people = with_sandbox()
    sandbox_holds.hold(OLAV, people.nordlys.id, "demo week", None, BEFORE)
    mark()
    RefreshMarker.update(state="due").execute()  # as if its statement had not seen the hold yet

    assert claim() == []


def test_a_lease_that_runs_out_under_a_hold_leaves_a_held_night(empty_store: str) -> None:
    people = with_sandbox()
    mark()
    claim()

    sandbox_holds.hold(OLAV, people.nordlys.id, "demo week", None, TWO_OCLOCK)

    assert claim(TWO_OCLOCK + HALF_AN_HOUR) == []
    assert states() == [("nordlys", NIGHT, "held")]


def test_a_failure_under_a_hold_is_not_tried_again(empty_store: str) -> None:
    people = with_sandbox()
    mark()
    (taken,) = claim()
    sandbox_holds.hold(OLAV, people.nordlys.id, "demo week", None, TWO_OCLOCK)

    report = markers.fail(OLAV, taken.token, "disk full", TWO_OCLOCK, retry_in=HALF_AN_HOUR)

    assert report.state == "failed"


def test_nights_without_a_worker_are_held_where_a_hold_stood_and_missed_elsewhere(empty_store: str) -> None:
    people = with_sandbox()
    mark()
    markers.done(OLAV, claim()[0].token, "", TWO_OCLOCK)
    sandbox_holds.hold(OLAV, people.nordlys.id, "demo week", None, NOON + DAY)
    sandbox_holds.release(OLAV, people.nordlys.id, NOON + 3 * DAY)

    mark(NIGHT + 5 * DAY)

    assert [state for _, _, state in states()] == ["done", "missed", "held", "held", "missed", "due"]


def test_a_sandbox_that_was_held_for_nights_is_not_called_stale(empty_store: str) -> None:
    people = with_sandbox()
    mark()
    markers.done(OLAV, claim()[0].token, "", TWO_OCLOCK)
    sandbox_holds.hold(OLAV, people.nordlys.id, "demo week", NIGHT + 5 * DAY, NOON)

    for days in range(1, 8):
        mark(NIGHT + days * DAY)

    assert failures_mailed() == []
    mark(NIGHT + 8 * DAY)
    assert failures_mailed() == ["ase@nordlys.example", "drift@nordlys.example"]


def test_a_hold_said_again_is_one_hold_and_its_reason_and_last_night_can_be_changed(empty_store: str) -> None:
    people = with_sandbox()

    for last_night in (None, None, NIGHT + DAY):
        sandbox_holds.hold(OLAV, people.nordlys.id, "demo week", last_night, NOON)

    assert sandboxes.of(people.nordlys.id).hold == Stop("demo week", "olav", NOON, NIGHT + DAY)
    assert [
        (row.before, row.after) for row in Event.select().where(Event.act == "sandbox.hold").order_by(Event.seq)
    ] == [
        (None, {"reason": "demo week", "last_night": None}),
        ({"reason": "demo week", "last_night": None}, {"reason": "demo week", "last_night": "2026-11-24"}),
    ]


def test_releasing_what_is_not_held_changes_nothing(empty_store: str) -> None:
    people = with_sandbox()

    assert sandbox_holds.release(OLAV, people.nordlys.id, NOON) == []
    assert Event.select().where(Event.act == "sandbox.release").count() == 0


def test_a_held_night_is_refreshed_by_a_person_only_once_it_is_released(empty_store: str) -> None:
    people = with_sandbox()
    sandbox_holds.hold(OLAV, people.nordlys.id, "demo week", NIGHT, BEFORE)
    mark()

    with pytest.raises(Refused, match=r"Nordlys AS is held \(demo week\); release it first"):
        sandbox_holds.again_for(OLAV, people.nordlys.id, NOON)
    sandbox_holds.release(OLAV, people.nordlys.id, NOON)
    sandbox_holds.again_for(OLAV, people.nordlys.id, NOON)

    assert states() == [("nordlys", NIGHT, "due")]


def test_what_waits_for_its_minute_can_be_wanted_at_once_and_what_is_due_stays_due(empty_store: str) -> None:
    people = with_sandbox()
    fail(0, retry_in=timedelta(hours=3))

    for _ in range(2):
        assert sandbox_holds.again_for(OLAV, people.nordlys.id, TWO_OCLOCK + HALF_AN_HOUR).state == "due"

    assert len(claim(TWO_OCLOCK + HALF_AN_HOUR)) == 1
    assert Event.select().where(Event.act == "sandbox.again").count() == 1


def test_what_was_refreshed_or_never_marked_is_not_refreshed_again(empty_store: str) -> None:
    people = with_sandbox()
    with pytest.raises(Refused, match="was never to be refreshed"):
        sandbox_holds.again_for(OLAV, people.sydlys.id, NOON)
    mark()
    markers.done(OLAV, claim()[0].token, "", TWO_OCLOCK)

    with pytest.raises(Refused, match="The night of 2026-11-23 is done"):
        sandbox_holds.again_for(OLAV, people.nordlys.id, NOON)


def test_a_hold_needs_a_reason_a_day_that_is_not_over_and_an_operator(empty_store: str) -> None:
    people = with_sandbox()

    with pytest.raises(FormatWrong, match="The reason is empty"):
        sandbox_holds.hold(OLAV, people.nordlys.id, " ", None, NOON)
    with pytest.raises(Refused, match="name 2026-11-23 or a later day"):
        sandbox_holds.hold(OLAV, people.nordlys.id, "demo", NIGHT - DAY, NOON)
    for role in ("company-admin", "auditor"):
        with pytest.raises(NotAllowed):
            sandbox_holds.hold(Actor("k", role, "test", people.nordlys.id), people.nordlys.id, "demo", None, NOON)


def test_the_list_shows_every_sandbox_and_how_old_it_is(empty_store: str) -> None:
    people = with_sandbox()
    mark()
    markers.done(OLAV, claim()[0].token, "412 tables", TWO_OCLOCK)
    fail(1)
    sandbox_holds.hold(OLAV, people.sydlys.id, "not yet", None, NOON)

    rows = list(sandboxes.every())

    assert [(row.company, row.state, row.night, row.last_done, row.nights_old(NOON + DAY)) for row in rows] == [
        ("nordlys", "failed", NIGHT + DAY, NIGHT, 1),
        ("sydlys", "held", None, None, None),
    ]
    assert [row.company for row in sandboxes.every(["held"])] == ["sydlys"]
    assert sandbox_holds.counts() == {"held": 1, "quarantined": 0}


def test_whoever_comes_first_of_a_hold_and_a_claim_has_the_night(store_location: str) -> None:
    with session():
        people = with_sandbox()
        mark()
        company_id = people.nordlys.id

    def hold() -> object:
        return sandbox_holds.hold(OLAV, company_id, "demo week", None, NOON)

    at_once(hold, claim)
    with session():
        held = states()
        sandbox_holds.release(OLAV, company_id, NOON)
        sandbox_holds.again_for(OLAV, company_id, NOON)
    at_once(lambda: claim(NOON), hold)

    with session():
        assert (held, states()) == ([("nordlys", NIGHT, "held")], [("nordlys", NIGHT, "running")])
        assert list(sandbox_holds.standing(company_id)) == ["hold"]
