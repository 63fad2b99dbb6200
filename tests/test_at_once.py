"""What if two admins, or an admin and an import, change the same thing at the same moment?"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from threading import Thread

import pytest
from cast import LONG_AGO, NOON, OLAV, PEPPERS, Cast, arrive, enable, key_of

from store import admins, companies, installation, integrations, keys, mail_decisions, zone_change
from store.database import session, writing
from store.errors import KeydeskError
from store.installation import Installation
from store.tables import Admin, Company, Email, Event, IntegrationSpan, Key, KeySpan, User

_COMES_TO_THE_LOCK = 0.3  # seconds that the second has, to be in the middle of it when the first commits


@pytest.fixture
def cast(store_location: str) -> Cast:
    with session():
        return arrive()


def at_once(first: Callable[[], object], second: Callable[[], object]) -> str:
    """Do `second` while the transaction of `first` is open; what `second` was told when it was refused."""
    told: list[str] = []

    def other() -> None:
        try:
            with session():
                second()
            told.append("")
        except KeydeskError as refused:
            told.append(str(refused))

    thread = Thread(target=other)
    with session(), writing():
        first()
        thread.start()
        thread.join(_COMES_TO_THE_LOCK)
    thread.join()
    return told[0]


def save(cast: Cast, email: str, *, enabled: bool = True) -> Callable[[], object]:
    return lambda: integrations.save_api_access(
        OLAV, cast.nordlys.id, enabled=enabled, user_ids=[cast.ase.id], emails=[email], now=NOON
    )


def with_a_key(cast: Cast) -> int:
    with session():
        enable(cast.nordlys, cast.ase)
        return int(key_of(cast.ase).key.id)


@pytest.mark.parametrize("form_was_opened_before", [False, True])
def test_of_two_who_enable_api_access_the_later_stands_and_its_fee_is_counted_once(
    cast: Cast, form_was_opened_before: bool
) -> None:
    if form_was_opened_before:
        with session():
            save(cast, "first@nordlys.example", enabled=False)()

    told = at_once(save(cast, "second@nordlys.example"), save(cast, "third@nordlys.example"))

    with session():
        form = integrations.api_access(cast.nordlys.id)
        spans = [(span.started_at, span.ended_at) for span in IntegrationSpan.select()]
        log = [(event.before, event.after) for event in Event.select().order_by(Event.seq.desc()).limit(2)]
    assert (told, form.emails) == ("", ("third@nordlys.example",))
    assert spans == [(NOON, None)]
    assert log[0][0] == log[1][1], "the later one is told from what the earlier one left"


def test_no_key_is_made_for_a_company_whose_api_access_is_being_disabled(cast: Cast) -> None:
    with session():
        enable(cast.nordlys, cast.ase)

    told = at_once(save(cast, "drift@nordlys.example", enabled=False), lambda: key_of(cast.ase))

    assert told == "API Access is disabled for this company; enable it under Integrations first."


def test_no_key_is_made_for_somebody_who_is_just_leaving(cast: Cast) -> None:
    with session():
        enable(cast.nordlys, cast.ase)

    told = at_once(
        lambda: User.update(deactivated_at=NOON).where(User.id == cast.ase.id).execute(), lambda: key_of(cast.ase)
    )

    assert told == "Åse Berg is not active; choose another resource."


@pytest.mark.parametrize("act", ["make", "edit"])
def test_a_key_ends_in_the_zone_that_its_company_is_just_given(cast: Cast, act: str) -> None:
    key_id = with_a_key(cast)

    def move() -> None:
        Company.update(time_zone="America/New_York").where(Company.id == cast.nordlys.id).execute()
        zone_change.follow(companies.get(cast.nordlys.id), NOON)

    def edit() -> Key:
        return keys.edit_expiry(OLAV, key_id, date(2027, 6, 30), NOON)

    assert at_once(move, edit if act == "edit" else lambda: key_of(cast.ase, expires_on=date(2027, 6, 30))) == ""

    with session():
        ends = Key.select().order_by(Key.id.desc()).first().ends_at
    assert ends == datetime(2027, 7, 1, 4, tzinfo=UTC)  # midnight in New York, summer time


def test_a_key_that_two_rotate_has_one_successor(cast: Cast) -> None:
    key_id = with_a_key(cast)

    def rotate() -> keys.Created:
        return keys.rotate(OLAV, PEPPERS, key_id, NOON)

    assert at_once(rotate, rotate) == "This key was rotated already; rotate its successor."
    with session():
        assert Key.select().where(Key.rotated_from == key_id).count() == 1


def test_a_key_that_is_just_revoked_is_not_brought_back_by_a_new_date(cast: Cast) -> None:
    key_id = with_a_key(cast)

    told = at_once(
        lambda: keys.revoke(OLAV, key_id, "found in a public repository", NOON),
        lambda: keys.edit_expiry(OLAV, key_id, date(2027, 6, 30), NOON),
    )

    assert told == "This key was revoked, and that is for good; make a new key."
    with session():
        assert (keys.get(key_id).revoked_at, keys.get(key_id).expires_on) == (NOON, date(2028, 11, 23))


def test_a_key_that_is_just_given_a_new_date_is_revoked_all_the_same(cast: Cast) -> None:
    key_id = with_a_key(cast)

    told = at_once(
        lambda: keys.edit_expiry(OLAV, key_id, date(2027, 6, 30), NOON),
        lambda: keys.revoke(OLAV, key_id, "found in a public repository", NOON),
    )

    with session():
        key, spans = keys.get(key_id), [(span.started_at, span.ended_at) for span in KeySpan.select()]
    assert (told, key.revoked_at, key.expires_on) == ("", NOON, date(2027, 6, 30))
    assert spans == [(NOON, NOON)]


def test_an_admin_s_name_is_given_once(cast: Cast) -> None:
    def add() -> Admin:
        return admins.add(OLAV, "anna", "operator", None, None, LONG_AGO)

    assert at_once(add, add) == "There is or was an admin anna; names are not given twice, choose another."


def test_a_mail_that_two_send_again_goes_once(cast: Cast) -> None:
    with_a_key(cast)
    with session():
        Email.update(state="failed").execute()
        email_id = int(Email.select().first().id)

    def resend() -> None:
        mail_decisions.resend(OLAV, email_id, NOON)

    assert at_once(resend, resend) == (
        "This mail is queued; only one that failed or whose answer was lost is sent again."
    )


def test_a_mail_that_is_just_sent_again_is_dismissed_and_told_as_what_it_was_then(cast: Cast) -> None:
    with_a_key(cast)
    with session():
        Email.update(state="failed").execute()
        email_id = int(Email.select().first().id)

    told = at_once(
        lambda: mail_decisions.resend(OLAV, email_id, NOON),
        lambda: mail_decisions.dismiss(OLAV, email_id, "it came", NOON),
    )

    with session():
        events = [(event.act, event.before) for event in Event.select().order_by(Event.seq.desc()).limit(2)]
    assert (told, events) == (
        "", [("mail.dismiss", {"state": "queued"}), ("mail.resend", {"state": "failed"})],
    )  # fmt: skip


def test_a_store_is_set_up_by_one_of_two(store_location: str) -> None:
    def set_up() -> None:
        installation.set_up(Installation("Fjord Software"), NOON)

    assert at_once(set_up, set_up) == "This store has been set up already; nothing was changed."


def test_two_who_change_different_choices_both_have_their_way(cast: Cast) -> None:
    told = at_once(
        lambda: installation.edit(OLAV, {"overlap_days": 2}, NOON),
        lambda: installation.edit(OLAV, {"grace_days": 5}, NOON),
    )

    with session():
        assert (told, installation.get()) == ("", Installation("Fjord Software", overlap_days=2, grace_days=5))
