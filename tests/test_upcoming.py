"""Does the desk say of each job when the worker will really do it next?"""

from datetime import UTC, datetime, timedelta

from desk_world import LONG_AGO, company

from jobs.schedule import TIMETABLE
from store import installation
from store.installation import Installation
from store.listings.upcoming import Upcoming, upcoming
from store.rules import calendar

ZONES = ("Europe/Oslo", "America/New_York", "Pacific/Auckland", "Asia/Kolkata")


def test_what_is_due_next_is_what_the_timetable_says_over_a_year_with_its_clock_changes(empty_store: str) -> None:
    chosen = Installation("Vendor AS")
    installation.set_up(chosen, LONG_AGO)
    for zone in ZONES:
        company(zone=zone, name=zone)
    jobs = {job.name: job for job in TIMETABLE if job.scope == "time zone"}

    now = datetime(2026, 1, 31, 11, 30, tzinfo=UTC)
    while now < datetime(2027, 2, 2, tzinfo=UTC):
        expected = {}
        for name, job in jobs.items():
            for zone in ZONES:
                place = calendar.zone(zone)
                period = job.cadence.latest(now, place, chosen)
                at = job.cadence.due_at(job.cadence.following(period), place, chosen)
                expected[name] = min(expected.get(name, at), at)
        assert {one.job: one.at for one in upcoming(now)} == expected
        now += timedelta(hours=37)


def test_what_is_due_next_stands_in_order_with_the_zone_where_it_is_first(empty_store: str) -> None:
    installation.set_up(Installation("Vendor AS"), LONG_AGO)
    for zone in ZONES:
        company(zone=zone, name=zone)

    assert upcoming(datetime(2026, 11, 23, 12, tzinfo=UTC)) == [
        Upcoming("sandbox-refresh", "Pacific/Auckland", datetime(2026, 11, 23, 13, tzinfo=UTC)),
        Upcoming("expiry-notices", "Asia/Kolkata", datetime(2026, 11, 23, 18, 30, tzinfo=UTC)),
        Upcoming("invoice-lines", "Pacific/Auckland", datetime(2026, 11, 30, 14, tzinfo=UTC)),
        Upcoming("invoice-final", "Pacific/Auckland", datetime(2026, 12, 3, 14, tzinfo=UTC)),
    ]


def test_before_set_up_nothing_is_due(empty_store: str) -> None:
    assert upcoming(datetime(2026, 11, 23, 12, tzinfo=UTC)) == []
