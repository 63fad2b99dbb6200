"""Which sandboxes has nobody refreshed for too long, and does whoever watches see them?"""

from datetime import date, timedelta

import pytest
from cast import LONG_AGO, NOON, OLAV, Cast, company, enable, key_of, user
from command import Home
from doctor_visit import findings
from sandbox_nights import DAY, NIGHT, TWO_OCLOCK, claim, fail, mark, with_sandbox

from store import figures, markers, sandbox_holds, stale_sandboxes
from store.database import run_sql

MINUTE = timedelta(minutes=1)


@pytest.fixture
def people(empty_store: str) -> Cast:
    """Nordlys was refreshed for the night of the 23rd."""
    cast = with_sandbox()
    mark()
    markers.done(OLAV, claim()[0].token, "", TWO_OCLOCK)
    return cast


def told_each_night(first: int, last: int) -> list[int]:
    """How many are stale after each of these nights was marked, days after the 23rd."""
    told = []
    for days in range(first, last + 1):
        mark(NIGHT + days * DAY)
        told.append(stale_sandboxes.count())
    return told


def test_a_sandbox_is_stale_from_the_third_night_on_until_it_is_refreshed(people: Cast) -> None:
    assert told_each_night(1, 5) == [0, 0, 1, 1, 1]

    (taken,) = claim(TWO_OCLOCK + 5 * DAY)
    running = stale_sandboxes.find()
    markers.done(OLAV, taken.token, "", TWO_OCLOCK + 5 * DAY + MINUTE)

    assert running == ["nordlys"]
    assert stale_sandboxes.find() == []
    assert told_each_night(6, 9) == [0, 0, 1, 1]


def test_nights_that_failed_count_like_those_that_nobody_took(people: Cast) -> None:
    fail(1)
    mark(NIGHT + 2 * DAY)
    fail(3)

    assert stale_sandboxes.find() == ["nordlys"]


def test_a_sandbox_that_is_held_or_in_quarantine_is_not_stale_and_once_let_go_three_nights_count(people: Cast) -> None:
    assert told_each_night(1, 3) == [0, 0, 1]

    sandbox_holds.hold(OLAV, people.nordlys.id, "a demo", None, TWO_OCLOCK + 3 * DAY)
    held = told_each_night(4, 5)
    sandbox_holds.release(OLAV, people.nordlys.id, TWO_OCLOCK + 5 * DAY)
    let_go = told_each_night(6, 8)
    for days in (9, 10, 11):
        fail(days)

    assert (held, let_go) == ([0, 0], [0, 0, 1])
    assert figures.read(NOON).sandboxes == {"held": 0, "quarantined": 1, "stale": 0}


def test_a_sandbox_that_is_not_marked_any_more_is_not_stale(people: Cast) -> None:
    assert told_each_night(1, 3) == [0, 0, 1]

    other = company("vestlys", "Vestlys AS")
    owner = user(other, "vilde", "Vilde Moe")
    enable(other, owner, now=LONG_AGO)
    key_of(owner, environment="sandbox", expires_on=date(2027, 12, 31), now=LONG_AGO)
    run_sql("UPDATE api_key SET revoked_at = created_at WHERE company_id = ?", (people.nordlys.id,))

    assert told_each_night(4, 5) == [0, 0]


def test_a_company_that_has_left_is_not_counted(people: Cast) -> None:
    assert told_each_night(1, 3) == [0, 0, 1]

    run_sql("UPDATE company SET deactivated_at = ? WHERE id = ?", (int(NOON.timestamp()), people.nordlys.id))

    assert stale_sandboxes.find() == []


def test_one_that_was_never_refreshed_is_stale_where_others_are_refreshed_and_only_there(empty_store: str) -> None:
    people = with_sandbox()
    key_of(people.dorte, environment="sandbox", expires_on=date(2027, 12, 31), now=LONG_AGO)
    nobody_refreshes = told_each_night(0, 3)

    mark(NIGHT + 3 * DAY, TWO_OCLOCK + 3 * DAY, zone="Europe/Copenhagen")
    for taken in claim(TWO_OCLOCK + 3 * DAY):
        if taken.company == "sydlys":
            markers.done(OLAV, taken.token, "", TWO_OCLOCK + 3 * DAY)

    assert nobody_refreshes == [0, 0, 0, 0]
    assert stale_sandboxes.find() == ["nordlys"]


def test_prometheus_is_told_how_many_there_are(people: Cast) -> None:
    assert told_each_night(1, 3) == [0, 0, 1]

    assert figures.read(NOON).sandboxes == {"held": 0, "quarantined": 0, "stale": 1}


def test_doctor_counts_them_and_says_what_to_do(home: Home) -> None:
    with home.opened():
        for night, state in (("21", "missed"), ("22", "missed"), ("23", "due")):
            run_sql(
                "INSERT INTO refresh_marker (company_id, night, state, due_at, attempt)"
                f" SELECT id, '2026-11-{night}', CASE WHEN id = 1 THEN 'done' ELSE '{state}' END, 1, 0 FROM company"
                " ORDER BY id LIMIT 3"
            )
        names = [str(row[0]) for row in run_sql("SELECT external_id FROM company WHERE id IN (2, 3) ORDER BY folded")]

    said = [text for verdict, about, text in findings(home) if (verdict, about) == ("look", "sandboxes")]

    assert len(said) == 1
    assert said[0] == (
        f"Not fresh for three nights or more: 2 ({names[0]}, {names[1]}). `keydesk sandbox show COMPANY` says how old. "
        "See why neither the worker's command nor a pipeline refreshes them, then run `keydesk sandbox again COMPANY`; "
        "one that is to stay as it is you hold (`keydesk sandbox hold`)."
    )
