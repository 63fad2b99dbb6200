"""Which sandboxes are to be refreshed on a night, who may take them, and how is it known what became of each?"""

from collections import Counter
from datetime import date, timedelta
from threading import Thread

import pytest
from cast import LONG_AGO, NOON, OLAV, arrive, company, enable, key_of, user
from sandbox_nights import DAY, HALF_AN_HOUR, NIGHT, TWO_OCLOCK, claim, failures_mailed, mark, states, with_sandbox

from store import integrations, keys, markers, sandbox_holds
from store.actors import Actor
from store.database import session
from store.errors import NotAllowed, Refused
from store.listings import sandboxes
from store.markers import LeaseLost
from store.tables import Company, Email, Event, Integration, RefreshMarker, User


def freshness(of: Company) -> tuple[object, ...]:
    row = sandboxes.of(of.id)
    return row.night, row.state, row.message, row.last_done, row.last_done_at


def test_each_company_with_a_live_key_that_covers_sandbox_is_marked_once_a_night(empty_store: str) -> None:
    with_sandbox()

    counts = [mark(), mark(), mark(zone="Europe/Copenhagen")]

    assert (counts, states()) == ([1, 0, 0], [("nordlys", NIGHT, "due")])


def test_a_key_for_all_environments_covers_sandbox(empty_store: str) -> None:
    people = arrive()
    enable(people.sydlys, people.dorte)
    key_of(people.dorte, environment="all", expires_on=date(2027, 12, 31), now=LONG_AGO)

    mark(zone="Europe/Copenhagen")

    assert states() == [("sydlys", NIGHT, "due")]


@pytest.mark.parametrize(
    "ending",
    [
        "revoked",
        "expired",
        "made later",
        "disabled",
        "company inactive",
        "resource left",
        "resource unlicensed",
        "licensed later",
    ],
)
def test_a_company_that_cannot_call_its_sandbox_that_night_is_not_marked(empty_store: str, ending: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    made = TWO_OCLOCK + timedelta(minutes=1) if ending == "made later" else LONG_AGO
    last_day = date(2026, 11, 22) if ending == "expired" else date(2027, 12, 31)
    key = key_of(people.ase, environment="sandbox", expires_on=last_day, now=made).key
    evening = TWO_OCLOCK - timedelta(hours=5)
    if ending == "revoked":
        keys.revoke(OLAV, key.id, "lost", evening)
    elif ending == "disabled":
        integrations.save_api_access(OLAV, people.nordlys.id, enabled=False, user_ids=[], emails=[], now=evening)
    elif ending == "company inactive":
        Company.update(deactivated_at=evening).where(Company.id == people.nordlys.id).execute()
    elif ending.startswith(("resource", "licensed")):
        change = {
            "resource left": {"deactivated_at": evening},
            "resource unlicensed": {"licensed_at": None},
            "licensed later": {"licensed_at": TWO_OCLOCK + timedelta(minutes=1)},
        }[ending]
        User.update(**change).where(User.id == people.ase.id).execute()

    count = mark()

    assert (count, states()) == (0, [])


def test_after_days_of_downtime_only_the_last_night_is_due_and_the_others_are_missed(empty_store: str) -> None:
    with_sandbox()
    mark()

    count = mark(NIGHT + 4 * DAY)

    assert count == 4
    assert states() == [
        *(("nordlys", NIGHT + days * DAY, "missed") for days in range(4)),
        ("nordlys", NIGHT + 4 * DAY, "due"),
    ]


def test_a_night_is_missed_only_by_companies_that_were_to_be_refreshed_then(empty_store: str) -> None:
    people = with_sandbox()
    mark()
    late = company("late", "Late AS")
    lise = user(late, "lise", "Lise")
    enable(late, lise, now=TWO_OCLOCK + 2 * DAY - HALF_AN_HOUR)
    key_of(lise, environment="sandbox", expires_on=date(2027, 12, 31), now=TWO_OCLOCK + 2 * DAY - HALF_AN_HOUR)
    integrations.save_api_access(
        OLAV, people.nordlys.id, enabled=False, user_ids=[], emails=[], now=TWO_OCLOCK + DAY + HALF_AN_HOUR
    )

    mark(NIGHT + 3 * DAY)

    assert states() == [
        ("nordlys", NIGHT, "missed"),
        ("nordlys", NIGHT + DAY, "missed"),
        ("late", NIGHT + 2 * DAY, "missed"),
        ("late", NIGHT + 3 * DAY, "due"),
    ]


def test_a_past_night_is_missed_only_where_the_resource_could_call_as_far_as_is_known(empty_store: str) -> None:
    people = with_sandbox()
    mark()
    User.update(deactivated_at=TWO_OCLOCK + DAY + HALF_AN_HOUR).where(User.id == people.ase.id).execute()

    mark(NIGHT + 3 * DAY)

    assert states() == [("nordlys", NIGHT, "missed"), ("nordlys", NIGHT + DAY, "missed")]


def test_no_more_than_thirty_one_missed_nights_are_recorded(empty_store: str) -> None:
    with_sandbox()
    mark()

    mark(NIGHT + 100 * DAY)

    assert states()[1][1] == NIGHT + 69 * DAY
    assert len(states()) == 33


def test_of_two_claimants_one_gets_the_marker(empty_store: str) -> None:
    with_sandbox()
    mark()

    first, second = claim(), claim(by="another")

    assert [(each.company, each.name, each.night, each.attempt) for each in first] == [
        ("nordlys", "Nordlys AS", NIGHT, 1)
    ]
    assert (second, states()) == ([], [("nordlys", NIGHT, "running")])


def test_nothing_can_be_claimed_before_its_hour(empty_store: str) -> None:
    with_sandbox()
    mark()

    assert claim(TWO_OCLOCK - timedelta(seconds=1)) == []


def test_what_is_done_is_done_and_may_be_said_twice(empty_store: str) -> None:
    people = with_sandbox()
    mark()
    (taken,) = claim()

    markers.done(OLAV, taken.token, "412 tables", NOON)
    markers.done(OLAV, taken.token, "412 tables", NOON + HALF_AN_HOUR)

    assert freshness(people.nordlys) == (NIGHT, "done", "412 tables", NIGHT, NOON)
    assert [event.after for event in Event.select().where(Event.act == "sandbox.done")] == [
        {"state": "done", "message": "412 tables", "claimed_by": "pipeline"}
    ]


def test_a_failure_is_told_once_to_those_to_notify_with_what_the_sandbox_still_holds(empty_store: str) -> None:
    people = with_sandbox()
    mark()
    markers.done(OLAV, claim()[0].token, "", TWO_OCLOCK)
    mark(NIGHT + DAY)
    (taken,) = claim(TWO_OCLOCK + DAY)

    markers.fail(OLAV, taken.token, "disk full\n on db7", NOON + DAY)
    markers.fail(OLAV, taken.token, "disk full", NOON + DAY)

    assert failures_mailed() == ["ase@nordlys.example", "drift@nordlys.example"]
    assert Email.get(Email.kind == "sandbox_failed").context == {
        "company": "Nordlys AS",
        "zone": "Europe/Oslo",
        "roles": ["user-to-notify"],
        "night": "2026-11-24",
        "message": "disk full on db7",
        "data_from": "2026-11-23",
        "quarantined_after": None,
    }
    assert freshness(people.nordlys) == (NIGHT + DAY, "failed", "disk full on db7", NIGHT, TWO_OCLOCK)


def test_a_claim_that_outlives_its_lease_goes_to_the_next_and_its_holder_has_lost_it(empty_store: str) -> None:
    with_sandbox()
    mark()
    (late,) = claim()

    (next_one,) = claim(TWO_OCLOCK + HALF_AN_HOUR, by="another")

    assert next_one.attempt == 2
    for report in (markers.done, markers.fail):
        with pytest.raises(LeaseLost, match="The lease of this claim is lost"):
            report(OLAV, late.token, "", NOON)
    with pytest.raises(LeaseLost):
        markers.heartbeat(OLAV, late.token, HALF_AN_HOUR, NOON)
    assert states() == [("nordlys", NIGHT, "running")]


def test_a_heartbeat_holds_the_claim(empty_store: str) -> None:
    with_sandbox()
    mark()
    (taken,) = claim()

    until = markers.heartbeat(OLAV, taken.token, HALF_AN_HOUR, TWO_OCLOCK + timedelta(minutes=29))

    assert until == TWO_OCLOCK + timedelta(minutes=59)
    assert claim(TWO_OCLOCK + timedelta(minutes=58)) == []
    assert len(claim(TWO_OCLOCK + timedelta(minutes=59))) == 1


def test_a_lease_that_a_clock_far_ahead_has_given_is_not_waited_for(empty_store: str) -> None:
    with_sandbox()
    mark()
    markers.claim(OLAV, 1, timedelta(days=7), NOON, "holds it for as long as may be")
    in_a_week = claim(NOON + timedelta(days=7) - timedelta(seconds=1))
    by_a_clock_that_is_late = claim(NOON - timedelta(hours=23))
    claim(NOON + timedelta(days=3650), by="a machine whose clock is ten years ahead")

    found = claim(NOON + timedelta(days=8))

    assert in_a_week == by_a_clock_that_is_late == []
    assert [(each.company, each.attempt) for each in found] == [("nordlys", 3)]


def test_a_lease_that_runs_out_after_a_newer_night_was_marked_leaves_a_missed_night(empty_store: str) -> None:
    with_sandbox()
    mark()
    claim()
    mark(NIGHT + DAY)

    returned = markers.return_expired(NOON + DAY)

    assert (returned, states()) == (1, [("nordlys", NIGHT, "missed"), ("nordlys", NIGHT + DAY, "due")])


def test_done_cannot_become_failed_and_nonsense_is_no_token(empty_store: str) -> None:
    with_sandbox()
    mark()
    (taken,) = claim()
    markers.done(OLAV, taken.token, "", NOON)

    with pytest.raises(Refused, match="reported as done before"):
        markers.fail(OLAV, taken.token, "", NOON)
    for nonsense in ("", "x", "1", "99999.abc", "९.x", "1" * 30 + ".x"):
        with pytest.raises(Refused):
            markers.done(OLAV, nonsense, "", NOON)


def test_only_an_operator_takes_markers(empty_store: str) -> None:
    people = with_sandbox()
    mark()
    stranger = Actor("kari", "company-admin", "test", company_id=people.nordlys.id)

    with pytest.raises(NotAllowed):
        markers.claim(stranger, 1, HALF_AN_HOUR, NOON, "kari")

    assert states() == [("nordlys", NIGHT, "due")]


@pytest.mark.parametrize("ending", ["company inactive", "disabled"])
def test_a_company_that_ended_its_use_after_it_was_marked_is_not_refreshed(empty_store: str, ending: str) -> None:
    people = with_sandbox()
    mark()
    if ending == "disabled":
        integrations.save_api_access(
            OLAV, people.nordlys.id, enabled=False, user_ids=[people.ase.id], emails=[], now=TWO_OCLOCK
        )
    else:
        Company.update(deactivated_at=TWO_OCLOCK).where(Company.id == people.nordlys.id).execute()

    assert claim() == []
    mark(NIGHT + DAY)
    assert states() == [("nordlys", NIGHT, "missed")]


def test_a_night_that_fails_once_more_is_mailed_once_more(empty_store: str) -> None:
    with_sandbox()
    mark()
    for hours in (0, 3):
        markers.fail(OLAV, claim(TWO_OCLOCK + timedelta(hours=hours))[0].token, "disk full", NOON)
        sandbox_holds.again(OLAV, RefreshMarker.get().id, TWO_OCLOCK + timedelta(hours=2))

    assert failures_mailed() == ["ase@nordlys.example", "drift@nordlys.example"] * 2


def test_a_night_that_is_not_the_newest_cannot_be_made_due_again(empty_store: str) -> None:
    with_sandbox()
    mark()
    markers.fail(OLAV, claim()[0].token, "disk full", NOON)
    mark(NIGHT + DAY)

    with pytest.raises(Refused, match="Only the newest night"):
        sandbox_holds.again(OLAV, RefreshMarker.get(RefreshMarker.night == NIGHT).id, NOON + DAY)


def test_a_failed_night_can_be_made_due_again_while_it_is_the_newest(empty_store: str) -> None:
    with_sandbox()
    mark()
    markers.fail(OLAV, claim()[0].token, "disk full", NOON)
    failed = RefreshMarker.get()

    sandbox_holds.again(OLAV, failed.id, NOON)

    assert states() == [("nordlys", NIGHT, "due")]
    with pytest.raises(Refused, match="due already"):
        sandbox_holds.again(OLAV, failed.id, NOON)


def test_a_sandbox_left_alone_for_three_nights_is_told_of_once(empty_store: str) -> None:
    with_sandbox()
    mark()
    markers.done(OLAV, claim()[0].token, "", TWO_OCLOCK)

    told = []
    for days in range(1, 8):
        mark(NIGHT + days * DAY)
        told.append(len(failures_mailed()))

    assert told == [0, 0, 2, 2, 2, 2, 2]
    assert Email.get(Email.kind == "sandbox_failed").context["message"] == (
        "No refresh has been reported since the night of 2026-11-23."
    )


def test_a_sandbox_that_was_never_refreshed_troubles_nobody(empty_store: str) -> None:
    with_sandbox()

    for days in range(8):
        mark(NIGHT + days * DAY)

    assert failures_mailed() == []


def a_thousand_due() -> set[str]:
    """As many companies whose sandboxes are due at two o'clock."""
    like = {name: value for name, value in company("c0", "Company").__data__.items() if name != "id"}
    names = [f"c{number}" for number in range(1, 1001)]
    for start in range(0, 1000, 250):
        Company.insert_many([{**like, "external_id": name} for name in names[start : start + 250]]).execute()
    ids = [row.id for row in Company.select().where(Company.external_id != "c0")]
    Integration.insert_many([{"company": each, "code": "api_access", "enabled_at": LONG_AGO} for each in ids]).execute()
    night = {"night": NIGHT, "state": "due", "due_at": TWO_OCLOCK, "attempt": 0}
    RefreshMarker.insert_many([{"company": each, **night} for each in ids]).execute()
    return set(names)


def test_a_thousand_claims_of_a_pipeline_that_dies_are_refreshed_once_each_by_two_others(store_location: str) -> None:
    with session():
        names = a_thousand_due()
        lost = [each for _ in range(10) for each in claim(limit=100, by="dies")]
        too_early = claim(TWO_OCLOCK + HALF_AN_HOUR - timedelta(seconds=1), limit=100)
    refreshed: list[markers.Claim] = []

    def refresh(by: str) -> None:
        now = TWO_OCLOCK + HALF_AN_HOUR
        with session():
            while some := claim(now, limit=40, by=by):
                for each in some:
                    markers.done(OLAV, each.token, by, now)
                refreshed.extend(some)

    others = [Thread(target=refresh, args=(by,)) for by in ("one", "two")]
    for each in others:
        each.start()
    for each in others:
        each.join()

    assert ({each.company for each in lost}, too_early) == (names, [])
    assert Counter(each.company for each in refreshed) == dict.fromkeys(names, 1)
    with session():
        assert {(row.state, row.attempt) for row in RefreshMarker.select()} == {("done", 2)}
        for each in lost[::100]:
            with pytest.raises(LeaseLost):
                markers.done(OLAV, each.token, "late", NOON)
        assert Event.select().where(Event.act == "sandbox.done").count() == 1000
