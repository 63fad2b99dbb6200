"""Are a night's refreshes spread over its window, and no more claimed at once than may be?"""

from datetime import UTC, date, datetime, timedelta

from cast import LONG_AGO, OLAV, arrive, company, enable, key_of, user
from test_at_once import at_once

from store import markers, marking
from store.database import session
from store.tables import RefreshMarker

NIGHT = date(2026, 11, 23)
TWO_OCLOCK = datetime(2026, 11, 23, 1, tzinfo=UTC)  # in Oslo
DAY = timedelta(days=1)
HALF_AN_HOUR = timedelta(minutes=30)


def with_sandboxes(count: int) -> None:
    arrive()
    for number in range(count):
        one = company(f"c{number}", f"Company {number}")
        owner = user(one, "ase", "Åse Berg")
        enable(one, owner, now=LONG_AGO)
        key_of(owner, environment="sandbox", expires_on=date(2027, 12, 31), now=LONG_AGO)


def test_a_window_spreads_the_night_and_each_company_keeps_its_minute(empty_store: str) -> None:
    with_sandboxes(6)

    waits = []
    for days in range(2):
        night, hour = NIGHT + days * DAY, TWO_OCLOCK + days * DAY
        marking.create("Europe/Oslo", night, hour, window=60)
        rows = RefreshMarker.select().where(RefreshMarker.night == night).order_by(RefreshMarker.company)
        waits.append([row.due_at - hour for row in rows])

    assert waits[0] == waits[1]
    assert len(set(waits[0])) == 6
    assert min(waits[0]) >= timedelta(0)
    assert max(waits[0]) < timedelta(hours=1)


def test_without_a_window_all_are_due_at_the_hour(empty_store: str) -> None:
    with_sandboxes(2)

    marking.create("Europe/Oslo", NIGHT, TWO_OCLOCK)

    assert [row.due_at for row in RefreshMarker.select()] == [TWO_OCLOCK, TWO_OCLOCK]


def test_no_more_are_claimed_at_once_than_may_be(empty_store: str) -> None:
    with_sandboxes(3)
    marking.create("Europe/Oslo", NIGHT, TWO_OCLOCK)

    def taken(now: datetime = TWO_OCLOCK) -> list[markers.Claim]:
        return markers.claim(OLAV, 10, HALF_AN_HOUR, now, "pipeline", at_once=2)

    first, none = taken(), taken()
    markers.done(OLAV, first[0].token, "", TWO_OCLOCK)
    one, when_leases_are_over = taken(), taken(TWO_OCLOCK + HALF_AN_HOUR)

    assert [len(claims) for claims in (first, none, one, when_leases_are_over)] == [2, 0, 1, 2]


def test_two_workers_that_ask_at_once_get_no_more_together_than_may_be(store_location: str) -> None:
    with session():
        with_sandboxes(4)
        marking.create("Europe/Oslo", NIGHT, TWO_OCLOCK)
    taken: list[int] = []

    def claim() -> None:
        taken.append(len(markers.claim(OLAV, 2, HALF_AN_HOUR, TWO_OCLOCK, "worker", at_once=3)))

    at_once(claim, claim)

    assert taken == [2, 1]
