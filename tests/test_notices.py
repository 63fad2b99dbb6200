"""Who is warned that a key expires, when, and how often?"""

from datetime import UTC, date, datetime, timedelta

import pytest
from cast import LONG_AGO, NOON, arrive, company, enable, key_of, user
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from warned import (
    DAYS,
    OSLO,
    TODAY,
    days_on_which_something_is_owed,
    everything_is_sent,
    expiring_in,
    queue_of_notices,
    sweep,
    written,
)

from store import notices
from store.due_notices import owing
from store.recipients import recipients
from store.rules.notices import due_threshold
from store.tables import Email, Key


@pytest.mark.parametrize(
    ("days_left", "expected"),
    [
        (15, []),
        (14, [(14, "mailed")]),
        (13, [(14, "mailed")]),
        (4, [(14, "mailed")]),
        (3, [(14, "covered"), (3, "mailed")]),
        (2, [(14, "covered"), (3, "mailed")]),
        (0, [(14, "covered"), (3, "mailed")]),
        (-1, [(14, "covered"), (3, "covered"), (-1, "mailed")]),
        (-30, [(14, "covered"), (3, "covered"), (-1, "mailed")]),
        (-31, []),
    ],
)
def test_the_tightest_notice_that_is_due_is_mailed_and_covers_the_wider_ones(
    empty_store: str, days_left: int, expected: list[tuple[int, str]]
) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    expiring_in(days_left, people.ase)

    count = sweep()

    assert written() == [(threshold, "ase@nordlys.example", state) for threshold, state in expected]
    assert count == len(expected)


def test_a_test_key_is_not_nagged_on_the_day_it_is_made_but_three_days_before_it_ends(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    key_of(people.ase, kind="test", expires_on=None, now=NOON)

    owed = days_on_which_something_is_owed(60)

    assert owed == [11, 15]
    assert written() == [(3, "ase@nordlys.example", "mailed"), (-1, "ase@nordlys.example", "mailed")]


def test_day_by_day_a_key_is_told_of_three_times_and_never_again(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    expiring_in(16, people.ase)

    owed = days_on_which_something_is_owed(60)

    assert owed == [2, 13, 17]
    digests = Email.select().where(Email.kind.in_(["key_expiring", "key_expired"])).order_by(Email.id)
    assert [mail.kind for mail in digests] == ["key_expiring", "key_expiring", "key_expired"]


def test_a_sweep_that_is_run_again_owes_nothing_more(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    expiring_in(3, people.ase)

    counts = [sweep(), sweep(), sweep(now=NOON + timedelta(hours=3))]

    assert counts == [2, 0, 0]
    assert queue_of_notices() == [("key_expiring", "ase@nordlys.example", ["erp-sync"])]


def test_several_keys_for_one_recipient_are_one_mail_the_next_to_expire_first(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    expiring_in(10, people.ase, label="later")
    expiring_in(2, people.ase, label="soon")
    expiring_in(-1, people.ase, label="over")

    sweep()

    assert queue_of_notices() == [
        ("key_expired", "ase@nordlys.example", ["over"]),
        ("key_expiring", "ase@nordlys.example", ["soon", "later"]),
    ]


def test_one_address_gets_one_mail_however_many_roles_it_has_and_is_told_them_all(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase, "ASE@nordlys.example", "drift@nordlys.example")
    expiring_in(3, people.ase)

    sweep()

    mails = Email.select().where(Email.kind == "key_expiring").order_by(Email.recipient)
    assert [(mail.recipient.lower(), mail.recipient_name, mail.context["roles"]) for mail in mails] == [
        ("ase@nordlys.example", "Åse Berg", ["resource", "user-to-notify", "email-to-notify"]),
        ("drift@nordlys.example", "", ["email-to-notify"]),
    ]


def test_recipients_are_those_who_hear_of_every_change_to_the_key(empty_store: str) -> None:
    people = arrive()
    eva = user(people.nordlys, "eva", "Eva Foss")
    enable(people.nordlys, people.ase, "drift@nordlys.example")
    key = expiring_in(3, eva)

    sweep()

    told = {mail.recipient: tuple(mail.context["roles"]) for mail in Email.select().where(Email.kind == "key_expiring")}
    assert told == {each.address: each.roles for each in recipients(people.nordlys.id, key.resource_id)}
    assert set(told) == {"eva@nordlys.example", "ase@nordlys.example", "drift@nordlys.example"}


def test_somebody_who_is_to_be_notified_from_now_on_is_told_once_as_well(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    expiring_in(10, people.ase)
    sweep()
    everything_is_sent()
    enable(people.nordlys, people.ase, "drift@nordlys.example", now=NOON)

    counts = [sweep(TODAY + timedelta(days=1), NOON + timedelta(days=1)) for _ in range(2)]

    assert counts == [1, 0]
    assert queue_of_notices()[-1:] == [("key_expiring", "drift@nordlys.example", ["erp-sync"])]


def test_each_company_is_warned_on_its_own_days(empty_store: str) -> None:
    """At 11:00 UTC on the 23rd it is the 24th in Auckland and still the 23rd in Honolulu."""
    arrive()
    east = company("east", "East Ltd", zone="Pacific/Auckland")
    west = company("west", "West Inc", zone="Pacific/Honolulu")
    now = datetime(2026, 11, 23, 11, tzinfo=UTC)
    for one in (east, west):
        ann = user(one, "ann", "Ann")
        enable(one, ann)
        key_of(ann, expires_on=date(2026, 12, 8), now=LONG_AGO)

    counts = [
        notices.sweep("Pacific/Auckland", date(2026, 11, 24), now, DAYS),
        notices.sweep("Pacific/Honolulu", date(2026, 11, 23), now, DAYS),
    ]

    assert counts == [1, 0]
    assert queue_of_notices() == [("key_expiring", "ann@east.example", ["erp-sync"])]


def test_mails_go_from_seven_in_the_morning_and_are_useless_once_the_key_has_expired(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    expiring_in(3, people.ase)
    night, morning = datetime(2026, 11, 22, 23, tzinfo=UTC), datetime(2026, 11, 23, 6, tzinfo=UTC)

    sweep(now=night)

    mail = Email.get(Email.kind == "key_expiring")
    assert (mail.next_at, mail.useless_after) == (morning, datetime(2026, 11, 26, 23, tzinfo=UTC))


def test_a_late_run_sends_at_once_and_an_expired_notice_is_of_use_for_a_week(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    expiring_in(-5, people.ase)

    sweep(now=NOON)

    mail = Email.get(Email.kind == "key_expired")
    assert (mail.next_at, mail.useless_after) == (NOON, NOON + timedelta(days=7))


def test_a_dry_run_says_what_a_day_would_bring_in_all_zones_and_writes_nothing(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    enable(people.sydlys, people.dorte)
    expiring_in(20, people.ase)
    expiring_in(21, people.dorte)

    mails = notices.dry_run(date(2026, 12, 1), DAYS)

    told = [(mail.company, mail.recipient, mail.kind, [key.threshold for key in mail.keys]) for mail in mails]
    assert told == [
        ("Sydlys ApS", "dorte@sydlys.example", "key_expiring", [14]),
        ("Nordlys AS", "ase@nordlys.example", "key_expiring", [14]),
    ]
    assert (written(), queue_of_notices()) == ([], [])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    left=st.integers(-40, 40),
    lifetime=st.integers(0, 60),
    days=st.lists(st.sampled_from([-1, 0, 1, 3, 7, 14, 30]), unique=True),
)
def test_the_query_finds_exactly_what_the_rule_says(
    empty_store: str, left: int, lifetime: int, days: list[int]
) -> None:
    if not Key.select().exists():
        people = arrive()
        enable(people.nordlys, people.ase)
        expiring_in(3, people.ase)
    expires_on = TODAY + timedelta(days=left)
    set_on = expires_on - timedelta(days=lifetime)
    ends_at = datetime(expires_on.year, expires_on.month, expires_on.day, tzinfo=UTC) + timedelta(hours=23)
    Key.update(expires_on=expires_on, expiry_set_on=set_on, lifetime_days=lifetime, ends_at=ends_at).execute()

    found = [(key.threshold, key.covered) for mail in owing(OSLO, TODAY, days) for key in mail.keys]

    tightest, covered = due_threshold(days, today=TODAY, expires_on=expires_on, set_on=set_on)
    assert found == ([] if tightest is None else [(tightest, covered)])


def test_a_company_with_more_keys_than_a_statement_can_name_is_asked_for_by_its_id(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase, now=LONG_AGO)
    for label in ("one", "two"):
        key_of(people.ase, label=label, expires_on=date(2026, 11, 26), now=LONG_AGO)
    sought = (people.nordlys.id, people.nordlys.id)

    assert owing(OSLO, TODAY, (14, 3, -1), companies=sought) == owing(OSLO, TODAY, (14, 3, -1))
    assert owing(OSLO, TODAY, (14, 3, -1), companies=(people.sydlys.id, people.sydlys.id)) == []
