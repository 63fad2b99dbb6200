"""What becomes of warnings when the notice days are chosen anew while some are queued, some are sent, and some owed?"""

from datetime import UTC, date, datetime, timedelta

import pytest
from cast import LONG_AGO, NOON, OLAV, arrive, company, enable, user
from warned import OSLO, TODAY, everything_is_sent, expiring_in, queue_of_notices, written

from jobs import expiry_notices
from store import installation, mail_truth, notices, runs
from store.runs import Planned, RunRow
from store.tables import Email

MIDNIGHT = datetime(2026, 11, 22, 23, tzinfo=UTC)
DAY = timedelta(days=1)
ASE = "ase@nordlys.example"


def choose(*days: int) -> None:
    installation.edit(OLAV, {"notice_days": (*days, -1)}, NOON)


def claimed(day: date = TODAY) -> RunRow:
    at = MIDNIGHT + (day - TODAY)
    runs.plan([Planned("expiry-notices", OSLO, day.isoformat(), "due", at, {"start": 1, "end": 2})], at)
    run = runs.claim("one", ["expiry-notices"], at)
    assert run is not None
    return run


def sweep(days: int = 0) -> int:
    """The run of the day so many days from today; how many notices it writes."""
    run = claimed(TODAY + days * DAY)
    rows = sum(expiry_notices.sweep(run, NOON + days * DAY))
    runs.finish(run, rows, NOON + days * DAY)
    return rows


def one_key(days_left: int) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    expiring_in(days_left, people.ase)


@pytest.mark.parametrize("was_sent", [False, True])
def test_who_is_or_was_warned_is_not_warned_once_more_by_wider_days(empty_store: str, was_sent: bool) -> None:
    one_key(14)
    sweep()
    if was_sent:
        everything_is_sent()

    choose(30, 3)
    sweep(1)
    first = queue_of_notices()
    later = []
    for days in range(2, 16):
        everything_is_sent()
        later += [days] if sweep(days) else []

    assert first == ([] if was_sent else [("key_expiring", ASE, ["erp-sync"])])
    assert written() == [(30, ASE, "covered"), (14, ASE, "mailed"), (3, ASE, "mailed"), (-1, ASE, "mailed")]
    assert later == [11, 15]


def test_a_queued_warning_of_a_day_that_is_chosen_no_more_is_true_and_goes(empty_store: str) -> None:
    one_key(14)
    sweep()

    choose(3)
    rows = sweep(1)

    (mail,) = Email.select().where(Email.kind == "key_expiring")
    assert (rows, queue_of_notices()) == (0, [("key_expiring", ASE, ["erp-sync"])])
    assert len(mail_truth.still_true(mail, NOON + DAY).told) == 1


def test_a_queued_warning_gives_way_to_one_of_a_new_tighter_day(empty_store: str) -> None:
    one_key(14)
    sweep()

    choose(10)
    rows = sum(sweep(days) for days in range(1, 5))

    assert (rows, written()) == (1, [(14, ASE, "covered"), (10, ASE, "mailed")])
    assert [mail.state for mail in Email.select().where(Email.kind == "key_expiring").order_by(Email.id)] == [
        "withdrawn",
        "queued",
    ]


def test_a_key_that_wider_days_reach_at_once_is_told_of_with_the_next_run(empty_store: str) -> None:
    one_key(20)
    rows = [sweep()]

    choose(30, 3)
    rows += [sweep(1), sweep(2)]

    assert (rows, written()) == ([0, 1, 0], [(30, ASE, "mailed")])


def test_in_the_middle_of_a_run_the_days_hold_with_which_it_was_begun_and_nobody_is_told_twice(
    empty_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "_SLICE", 1)  # a company a transaction
    one_key(14)
    for name in ("east", "west"):
        made = company(name, name.title())
        ann = user(made, "ann", "Ann")
        enable(made, ann, now=LONG_AGO)
        expiring_in(14, ann)
    everybody = [ASE, "ann@east.example", "ann@west.example"]
    run = claimed()
    begun = expiry_notices.sweep(run, NOON)
    next(begun)

    choose(30, 3)
    runs.finish(run, 1 + sum(begun), NOON)
    first = written()
    sweep(1)

    assert sorted(first) == sorted((14, address, "mailed") for address in everybody)
    assert [recipient for _, recipient, _ in queue_of_notices()] == everybody
    assert sorted(written()) == sorted([*first, *((30, address, "covered") for address in everybody)])
