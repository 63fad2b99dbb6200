"""Which choices does an installation have, who may change them, and what holds afterwards?"""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from cast import LONG_AGO, NOON, OLAV, PEPPERS, Cast, arrive, enable, key_of

from jobs import expiry_notices
from store import installation, keys, peppers
from store.actors import Actor
from store.errors import FormatWrong, KeydeskError, NotAllowed, Refused, SettingsWrong
from store.installation import Installation
from store.peppers import Peppers
from store.tables import Event


@pytest.fixture
def cast(empty_store: str) -> Cast:
    return arrive()


def test_a_choice_that_is_changed_is_an_event_with_before_and_after(cast: Cast) -> None:
    now_chosen = installation.edit(OLAV, {"notice_days": (30, 7, -1), "refresh_hour": 4, "grace_days": 3}, NOON)

    assert now_chosen == installation.get() == Installation("Fjord Software", notice_days=(30, 7, -1), refresh_hour=4)
    event = Event.select().order_by(Event.seq.desc()).get()
    assert (event.act, event.actor, event.at, event.company_id) == ("installation.edit", "olav", NOON, None)
    assert event.before == {"notice_days": [14, 3, -1], "refresh_hour": 2}
    assert event.after == {"notice_days": [30, 7, -1], "refresh_hour": 4}


def test_choosing_what_is_chosen_changes_nothing(cast: Cast) -> None:
    before = Event.select().count()

    installation.edit(OLAV, {"overlap_days": 7}, NOON)

    assert Event.select().count() == before


def test_the_next_rotation_and_the_next_notices_follow_the_choice(cast: Cast) -> None:
    enable(cast.nordlys, cast.ase)
    old = key_of(cast.ase, expires_on=date(2026, 12, 23))
    assert list(expiry_notices.dry_run(date(2026, 11, 24))) == []

    installation.edit(OLAV, {"notice_days": (29, -1), "overlap_days": 2}, NOON)

    owed = expiry_notices.dry_run(date(2026, 11, 24))
    assert [(mail.kind, mail.recipient) for mail in owed] == [("key_expiring", "ase@nordlys.example")]
    keys.rotate(OLAV, PEPPERS, old.key.id, NOON)
    assert keys.get(old.key.id).ends_at == datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"notice_days": (14, 14)}, "The notice days are different numbers of days before expiry, each from 1 to 365."),
        ({"notice_days": (0,)}, "The notice days are different numbers of days before expiry, each from 1 to 365."),
        ({"notice_days": (366,)}, "The notice days are different numbers of days before expiry, each from 1 to 365."),
        ({"overlap_days": -1}, "The overlap of a rotation, in days, must be from 0 to 365."),
        ({"refresh_hour": 24}, "The refresh hour must be from 0 to 23."),
        ({"invoice_hour": -1}, "The invoice hour must be from 0 to 23."),
        ({"grace_days": 28}, "The grace of an invoice, in days, must be from 0 to 27."),
        ({"prefix": "acme"}, "The prefix is kd for good: keys that are out begin with it."),
    ],
)
def test_a_choice_that_cannot_be_is_one_sentence_and_changes_nothing(
    cast: Cast, choices: dict[str, object], sentence: str
) -> None:
    with pytest.raises((FormatWrong, Refused)) as refused:
        installation.edit(OLAV, choices, NOON)

    assert str(refused.value) == sentence
    assert installation.get() == Installation("Fjord Software")


@pytest.mark.parametrize("role", ["company-admin", "auditor"])
def test_only_an_operator_changes_a_choice(cast: Cast, role: str) -> None:
    with pytest.raises(NotAllowed):
        installation.edit(Actor("kim", role, "test", cast.nordlys.id), {"grace_days": 5}, NOON)


def test_a_store_is_set_up_once(cast: Cast) -> None:
    with pytest.raises(KeydeskError, match="This store has been set up already; nothing was changed"):
        installation.set_up(Installation("Somebody Else"), LONG_AGO)


def test_a_new_version_of_the_pepper_is_an_event_and_one_that_is_known_is_none(empty_store: str) -> None:
    installation.set_up(Installation("Fjord Software"), LONG_AGO, peppers=PEPPERS)
    both = Peppers({**PEPPERS.secrets, 2: b"q" * 32})

    installation.remember_peppers(OLAV, PEPPERS, NOON)
    installation.remember_peppers(OLAV, both, NOON)
    installation.remember_peppers(OLAV, both, NOON)

    (event,) = Event.select().where(Event.act == "installation.pepper")
    assert (event.actor, event.at, event.subject) == ("olav", NOON, "pepper version 2")
    assert (event.before, event.after) == ({"versions": [1]}, {"versions": [1, 2]})
    with pytest.raises(SettingsWrong, match="The pepper file has not the version 2 that keys of this store were made"):
        installation.check_peppers(PEPPERS)


def test_a_pepper_file_with_another_secret_is_named_with_what_is_wrong(empty_store: str, tmp_path: Path) -> None:
    installation.set_up(Installation("Fjord Software"), LONG_AGO, peppers=PEPPERS)
    file = tmp_path / "keydesk.pepper"

    with pytest.raises(SettingsWrong) as refusal:
        installation.check_peppers(peppers.make(file))

    assert str(refusal.value) == (
        f"The pepper file {file} has a version 1 with another secret than the one that keys of this store were made "
        "with, so none of those would be accepted. Restore the right pepper file."
    )


def test_to_look_whether_the_pepper_is_right_writes_nothing(empty_store: str) -> None:
    installation.set_up(Installation("Fjord Software"), LONG_AGO, peppers=PEPPERS)
    before = Event.select().count()

    installation.check_peppers(Peppers({**PEPPERS.secrets, 2: b"q" * 32}))

    installation.check_peppers(PEPPERS)
    assert Event.select().count() == before
