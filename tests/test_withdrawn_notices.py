"""What becomes of a warning that is not true any more, and of one that can reach nobody?"""

from datetime import date, timedelta
from typing import Any

import pytest
from cast import NOON, OLAV, PEPPERS, arrive, enable
from warned import (
    TODAY,
    days_on_which_something_is_owed,
    everything_is_sent,
    expiring_in,
    queue_of_notices,
    sweep,
    written,
)

from jobs import letter_context, letter_json
from store import integrations, keys, mail_truth, notices
from store.database import writing
from store.mail_truth import NoLongerTrue
from store.tables import Company, Email, LastUse, User


def test_a_warning_still_in_the_queue_is_covered_by_a_more_urgent_one(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    expiring_in(14, people.ase)
    sweep()

    sweep(TODAY + timedelta(days=11), NOON + timedelta(days=11))

    assert written() == [(14, "ase@nordlys.example", "covered"), (3, "ase@nordlys.example", "mailed")]
    digests = Email.select().where(Email.kind == "key_expiring").order_by(Email.id)
    assert [(mail.state, mail.reply) for mail in digests] == [
        ("withdrawn", "a more urgent notice took its place"),
        ("queued", None),
    ]


@pytest.mark.parametrize("ending", ["rotated", "revoked", "API Access disabled", "company inactive"])
def test_a_key_that_is_out_of_use_owes_nothing(empty_store: str, ending: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    key = expiring_in(3, people.ase)
    before = NOON - timedelta(days=1)
    if ending == "rotated":
        keys.rotate(OLAV, PEPPERS, key.id, before)
    elif ending == "revoked":
        keys.revoke(OLAV, key.id, "lost", before)
    elif ending == "API Access disabled":
        integrations.save_api_access(OLAV, people.nordlys.id, enabled=False, user_ids=[], emails=[], now=before)
    else:
        Company.update(deactivated_at=before).where(Company.id == people.nordlys.id).execute()

    count = sweep()

    assert (count, written()) == (0, [])


def test_a_new_expiry_date_arms_the_notices_again(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    key = expiring_in(3, people.ase)
    sweep()
    everything_is_sent()
    keys.edit_expiry(OLAV, key.id, TODAY + timedelta(days=30), NOON)

    owed = days_on_which_something_is_owed(60)

    assert owed == [16, 27, 31]


@pytest.mark.parametrize("way", ["new date", "revoked", "rotated", "disabled"])
def test_what_is_queued_is_withdrawn_with_the_reason_when_it_stops_being_true(empty_store: str, way: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    key = expiring_in(3, people.ase)
    sweep()

    if way == "new date":
        keys.edit_expiry(OLAV, key.id, TODAY + timedelta(days=300), NOON)
    elif way == "revoked":
        keys.revoke(OLAV, key.id, "lost", NOON)
    elif way == "rotated":
        keys.rotate(OLAV, PEPPERS, key.id, NOON)
    else:
        integrations.save_api_access(OLAV, people.nordlys.id, enabled=False, user_ids=[], emails=[], now=NOON)

    mail = Email.get(Email.kind == "key_expiring")
    assert (mail.state, mail.reply) == (
        "withdrawn",
        {
            "new date": "the key has a new expiry date",
            "revoked": "the key was revoked",
            "rotated": "the key was rotated",
            "disabled": "API Access was disabled",
        }[way],
    )
    assert [state for _, _, state in written()] == ["withdrawn", "withdrawn"]


def test_a_digest_loses_the_key_that_was_revoked_and_keeps_the_others(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    lost = expiring_in(2, people.ase, label="lost")
    expiring_in(3, people.ase, label="kept")
    sweep()

    keys.revoke(OLAV, lost.id, "lost", NOON)

    assert queue_of_notices() == [("key_expiring", "ase@nordlys.example", ["kept"])]


def test_what_was_withdrawn_is_owed_again_when_its_reason_comes_back(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    expiring_in(3, people.ase)
    sweep()
    integrations.save_api_access(OLAV, people.nordlys.id, enabled=False, user_ids=[], emails=[], now=NOON)
    enable(people.nordlys, people.ase, now=NOON)

    count = sweep()

    assert count == 2
    digests = Email.select().where(Email.kind == "key_expiring").order_by(Email.id)
    assert [mail.state for mail in digests] == ["withdrawn", "queued"]
    assert written() == [(14, "ase@nordlys.example", "covered"), (3, "ase@nordlys.example", "mailed")]


def test_a_date_that_was_changed_and_changed_back_is_owed_when_the_warning_never_went(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    key = expiring_in(20, people.ase)
    sweep(TODAY + timedelta(days=6), NOON)
    keys.edit_expiry(OLAV, key.id, TODAY + timedelta(days=300), NOON)
    keys.edit_expiry(OLAV, key.id, TODAY + timedelta(days=20), NOON)

    count = sweep(TODAY + timedelta(days=7), NOON + timedelta(days=7))

    assert (count, written()) == (1, [(14, "ase@nordlys.example", "mailed")])


def test_nobody_to_reach_is_a_red_state_and_no_mail_until_somebody_can_be_told(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    key = expiring_in(3, people.ase)
    User.update(email="", email_ascii="").where(User.id == people.ase.id).execute()

    first = sweep()
    red = [(each.key_id, each.threshold, each.expires_on) for each in notices.unreachable()]
    User.update(email="ase@new.example", email_ascii="ase@new.example").where(User.id == people.ase.id).execute()
    second = sweep(TODAY + timedelta(days=1), NOON + timedelta(days=1))

    assert (first, red) == (1, [(key.id, 3, date(2026, 11, 26))])
    assert (second, queue_of_notices()) == (2, [("key_expiring", "ase@new.example", ["erp-sync"])])
    assert notices.unreachable() == []


def test_an_address_that_the_relay_refuses_for_good_leaves_the_key_unreachable(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    key = expiring_in(3, people.ase)
    sweep()
    Email.update(state="failed").where(Email.kind == "key_expiring").execute()

    red = notices.unreachable(people.nordlys.id)

    assert [(each.key_id, each.company, each.label) for each in red] == [(key.id, "Nordlys AS", "erp-sync")]
    assert notices.unreachable(people.sydlys.id) == []


def test_what_is_queued_reads_as_the_letter_that_the_worker_writes(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    key = expiring_in(3, people.ase)
    LastUse.create(key=key, at=NOON, address="10.0.0.7", uses=37)
    sweep()
    said = dict(Email.get(Email.kind == "key_expiring").context)
    envelope: dict[str, Any] = {"vendor": "V", "reply_to": "r@x.example", "recipient_name": "", "reference": "KD-1"}
    envelope["roles"] = said.pop("roles")

    context = letter_json.from_json("key_expiring", {**said, "envelope": envelope})

    assert isinstance(context, letter_context.KeyExpiring)
    assert context.keys == (
        letter_context.NoticedKey(
            key=letter_context.Key(
                first=key.first,
                last=key.last,
                label="erp-sync",
                resource="Åse Berg",
                environment="prod",
                kind="standard",
                expires_on=date(2026, 11, 26),
            ),
            last_use=letter_context.LastUse(at=NOON, address="10.0.0.7", calls=37),
        ),
    )


def test_at_hand_over_the_truth_is_asked_again(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase, "drift@nordlys.example")
    expiring_in(0, people.ase, label="today")
    expiring_in(3, people.ase, label="kept")
    sweep()
    ase = Email.get(Email.kind == "key_expiring", Email.recipient == "ase@nordlys.example")
    drift = Email.get(Email.kind == "key_expiring", Email.recipient == "drift@nordlys.example")
    enable(people.nordlys, people.ase, now=NOON)

    tomorrow = mail_truth.confirm(ase, NOON + timedelta(days=1)).said

    assert [each["key"]["label"] for each in tomorrow["keys"]] == ["kept"]
    with pytest.raises(NoLongerTrue, match="the recipient is not to be told any more"):
        mail_truth.still_true(drift, NOON)


def test_a_sweep_whose_transaction_fails_leaves_neither_notice_nor_mail(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    expiring_in(3, people.ase)

    def power_cut() -> None:
        with writing():
            sweep()
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        power_cut()

    assert (written(), queue_of_notices()) == ([], [])
