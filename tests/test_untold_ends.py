"""Is it known of how many keys nobody was told that they have expired, as no notices were written for too long?

Åse's keys end on 1 December 2026; whoever is to be told is told by the sweeps of single days.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import pytest
from cast import LONG_AGO, NOON, OLAV, PEPPERS, Cast, arrive, enable, key_of
from command import Home
from doctor_visit import found

from store import database, installation, integrations, keys, notices, untold_ends
from store.database import writing
from store.installation import Installation
from store.tables import Company, Run
from store.untold_ends import Untold

ENDS = date(2026, 12, 1)
LAST = date(2026, 11, 30)  # the last sweep before the gap
BACK = date(2027, 1, 1)  # 31 days after the end


def noon_of(day: date) -> datetime:
    return datetime.combine(day, time(11), UTC)


def sweep(day: date, zone: str = "Europe/Oslo", state: str = "done", thresholds: Sequence[int] = (14, 3, -1)) -> None:
    """A day's run, as the worker leaves it; missed and failed ones have written nothing."""
    now = noon_of(day)
    if state == "done":
        notices.sweep(zone, day, now, thresholds)
    Run.create(job="expiry-notices", scope=zone, period=day.isoformat(), state=state, planned_at=now, not_before=now)


def find(day: date) -> Untold | None:
    return untold_ends.find(noon_of(day))


@pytest.fixture
def cast(empty_store: str) -> Cast:
    with writing():
        cast = arrive()
        enable(cast.nordlys, cast.ase, "ops@nordlys.example")
        enable(cast.sydlys, cast.dorte)
    return cast


def test_a_key_that_ended_too_long_before_the_sweeps_began_again_is_counted(cast: Cast) -> None:
    key_of(cast.ase, expires_on=ENDS)
    sweep(LAST)
    for day in range(1, 32):
        sweep(date(2026, 12, day), state="failed" if day % 2 else "missed")
    sweep(BACK)

    assert find(BACK) == Untold(keys=1, first=ENDS, last=ENDS, since=BACK)


@pytest.mark.parametrize(
    ("last", "back"),
    [
        (date(2026, 11, 30), date(2026, 12, 31)),  # the end is news for 30 days
        (date(2026, 12, 2), date(2027, 2, 1)),  # it was told on the day after
    ],
)
def test_who_was_told_in_time_is_not_counted(cast: Cast, last: date, back: date) -> None:
    key_of(cast.ase, expires_on=ENDS)
    sweep(last)
    sweep(back)

    assert find(back) is None


def test_a_sweep_of_the_last_day_itself_could_not_tell_of_it(cast: Cast) -> None:
    key_of(cast.ase, expires_on=ENDS)
    sweep(ENDS)
    sweep(BACK)

    assert find(BACK) == Untold(keys=1, first=ENDS, last=ENDS, since=BACK)


def test_it_is_said_for_thirty_days_also_while_later_days_are_swept(cast: Cast) -> None:
    key_of(cast.ase, expires_on=ENDS)
    sweep(LAST)
    for number in range(32):
        sweep(BACK + timedelta(days=number))

    assert find(date(2027, 1, 31)) == Untold(keys=1, first=ENDS, last=ENDS, since=BACK)
    assert find(date(2027, 2, 1)) is None


def test_while_no_day_is_swept_nothing_is_said_yet(cast: Cast) -> None:
    key_of(cast.ase, expires_on=ENDS)
    sweep(LAST)

    assert find(BACK) is None


def test_of_a_zone_in_which_no_day_was_swept_before_nothing_is_said(cast: Cast) -> None:
    key_of(cast.ase, expires_on=ENDS)
    sweep(BACK)

    assert find(BACK) is None


def test_keys_of_all_zones_are_counted_each_by_its_own_gap(cast: Cast) -> None:
    key_of(cast.ase, expires_on=ENDS, label="one")
    key_of(cast.ase, expires_on=date(2026, 12, 5), label="two")
    key_of(cast.dorte, expires_on=date(2026, 12, 3), label="three")
    for zone, back in (("Europe/Oslo", date(2027, 2, 1)), ("Europe/Copenhagen", date(2027, 1, 4))):
        sweep(LAST, zone)
        sweep(back, zone)

    assert find(date(2027, 2, 1)) == Untold(keys=3, first=ENDS, last=date(2026, 12, 5), since=date(2027, 2, 1))
    assert find(date(2027, 2, 4)) == Untold(keys=2, first=ENDS, last=date(2026, 12, 5), since=date(2027, 2, 1))


def test_what_owed_no_notice_anyway_is_not_counted(cast: Cast) -> None:
    revoked = key_of(cast.ase, expires_on=ENDS, label="revoked").key
    keys.revoke(OLAV, revoked.id, "no longer used", NOON)
    rotated = key_of(cast.ase, expires_on=ENDS, label="rotated").key
    keys.rotate(OLAV, PEPPERS, rotated.id, NOON, date(2028, 1, 1))
    key_of(cast.dorte, expires_on=ENDS)
    off = {"enabled": False, "user_ids": [cast.dorte.id], "emails": []}
    integrations.save_api_access(OLAV, cast.sydlys.id, **off, now=NOON)  # type: ignore[arg-type]
    for zone in ("Europe/Oslo", "Europe/Copenhagen"):
        sweep(LAST, zone)
        sweep(BACK, zone)
    assert find(BACK) is None

    enable(cast.sydlys, cast.dorte, now=noon_of(BACK))

    assert find(BACK) is None


def test_nor_are_the_keys_of_a_company_that_is_not_active(cast: Cast) -> None:
    key_of(cast.ase, expires_on=ENDS)
    sweep(LAST)
    sweep(BACK)
    Company.update(deactivated_at=noon_of(BACK)).where(Company.id == cast.nordlys.id).execute()

    assert find(BACK) is None


def test_where_nobody_is_to_be_told_of_ends_none_went_untold(empty_store: str) -> None:
    installation.set_up(Installation(vendor="Fjord Software", notice_days=(14, 3)), LONG_AGO)

    assert find(BACK) is None


def test_the_doctor_says_how_many_and_what_to_do(home: Home) -> None:
    at = noon_of(LAST)
    for number in range(2):
        home.issue(at=at, days=1 + number)
    with home.opened():
        zone = Company.get(Company.external_id == "fjell-1001").time_zone
        sweep(LAST, zone)
        sweep(date(2027, 1, 10), zone)

    assert found(home, noon_of(date(2027, 1, 20)))["notices"] == (
        "look",
        (
            "Keys of which nobody was told that they have expired: 2 (last days 2026-12-01 to 2026-12-02). When "
            "notices were written again, on 2027-01-10, that was more than 30 days ago. The desk lists them among "
            "`state:expired`, under All keys; tell whoever used them. This is said until 2027-02-09."
        ),
    )
    database.dispose()
