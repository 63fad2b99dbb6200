"""What can be done to an API key, by whom, and what does it leave behind?"""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from cast import LONG_AGO, NOON, OLAV, PEPPERS, Cast, arrive, enable, key_of
from peewee import DatabaseError

from store import accepting, events, integrations, keys
from store.actors import Actor
from store.database import run_sql
from store.errors import NotAllowed, NotFound, Refused
from store.rules.key_format import parse
from store.tables import Email, Event, Key, KeySpan, LastUse


@pytest.fixture
def cast(empty_store: str) -> Cast:
    arrived = arrive()
    enable(arrived.nordlys, arrived.ase, "drift@nordlys.example")
    Email.delete().execute()
    return arrived


def mails() -> list[tuple[str, str]]:
    return sorted((mail.kind, mail.recipient) for mail in Email.select())


def test_a_new_key_works_through_its_expiry_date_in_the_company_s_zone(cast: Cast) -> None:
    made = key_of(cast.ase, expires_on=date(2027, 6, 30))

    assert made.key.ends_at == datetime(2027, 6, 30, 22, tzinfo=UTC)  # midnight in Oslo, summer time
    assert parse(made.secret) is not None
    assert made.secret.startswith("kdp_")


def test_nothing_that_is_stored_can_give_the_key_back(cast: Cast) -> None:
    made = key_of(cast.ase)

    row = Key.get_by_id(made.key.id)
    kept = repr([getattr(row, name) for name in Key._meta.fields])
    kept += repr(list(Event.select().dicts())) + repr(list(Email.select().dicts()))
    assert made.secret not in kept
    assert made.secret[8:-4] not in kept
    assert made.secret not in repr(made)


def test_making_a_key_is_one_event_and_one_mail_to_each_address(cast: Cast) -> None:
    made = key_of(cast.ase)

    event = Event.select().order_by(Event.seq.desc()).get()
    assert (event.actor, event.act, event.company_id) == ("olav", "key.create", cast.nordlys.id)
    assert event.after["expires_on"] == "2028-11-23"
    assert event.subject == f"key {made.secret[:8]}…{made.secret[-4:]} (erp-sync)"
    assert mails() == [("key_created", "ase@nordlys.example"), ("key_created", "drift@nordlys.example")]


def test_somebody_with_two_roles_gets_one_mail_that_names_both(cast: Cast) -> None:
    key_of(cast.ase)

    mail = Email.get(Email.recipient == "ase@nordlys.example")
    assert mail.context["roles"] == ["resource", "user-to-notify"]


def test_a_test_key_works_for_fourteen_days_whatever_date_was_asked_for(cast: Cast) -> None:
    made = key_of(cast.ase, kind="test", expires_on=date(2028, 1, 1))

    assert made.key.expires_on == date(2026, 12, 7)


@pytest.mark.parametrize(
    ("expires_on", "taken"),
    [
        (date(2026, 11, 22), False),
        (date(2026, 11, 23), True),
        (date(2028, 11, 23), True),
        (date(2028, 11, 24), False),
    ],
)
def test_the_expiry_date_is_from_today_to_two_years_after_today(cast: Cast, expires_on: date, taken: bool) -> None:
    if taken:
        assert key_of(cast.ase, expires_on=expires_on).key.expires_on == expires_on
    else:
        with pytest.raises(Refused, match="choose a date from 2026-11-23 to 2028-11-23"):
            key_of(cast.ase, expires_on=expires_on)
        assert Key.select().count() == 0


def test_a_key_is_refused_for_somebody_who_is_not_licensed_or_has_left_or_works_elsewhere(cast: Cast) -> None:
    with pytest.raises(Refused, match="Bo Dahl is not licensed"):
        key_of(cast.bo)
    with pytest.raises(Refused, match="Cecilie Eng is not active"):
        key_of(cast.cecilie)
    with pytest.raises(NotFound):
        keys.create(
            OLAV,
            PEPPERS,
            company_id=cast.nordlys.id,
            resource_id=cast.dorte.id,
            environment="prod",
            kind="standard",
            label="spy",
            expires_on=date(2027, 1, 1),
            now=NOON,
        )


def test_a_key_is_refused_while_api_access_is_off(cast: Cast) -> None:
    with pytest.raises(Refused, match="API Access is disabled for this company"):
        key_of(cast.dorte)


def test_an_expired_key_may_be_given_a_new_date_and_works_again(cast: Cast) -> None:
    made = key_of(cast.ase, expires_on=date(2026, 11, 30))
    later = datetime(2027, 3, 1, 12, tzinfo=UTC)
    acceptor = accepting.Acceptor(PEPPERS)
    assert acceptor.accept(made.secret, "prod", later).reason == "expired"

    keys.edit_expiry(OLAV, made.key.id, date(2029, 3, 1), later)

    assert acceptor.accept(made.secret, "prod", later).accepted
    spans = [(span.started_at, span.ended_at) for span in KeySpan.select().order_by(KeySpan.id)]
    assert spans == [
        (NOON, datetime(2026, 11, 30, 23, tzinfo=UTC)),
        (later, datetime(2029, 3, 1, 23, tzinfo=UTC)),
    ]


def test_two_years_are_counted_from_today_never_from_the_old_date(cast: Cast) -> None:
    made = key_of(cast.ase, expires_on=date(2028, 11, 23))

    with pytest.raises(Refused, match="from 2026-11-24 to 2028-11-24"):
        keys.edit_expiry(OLAV, made.key.id, date(2028, 11, 25), NOON + timedelta(days=1))


def test_a_test_key_can_be_shortened_but_not_lengthened(cast: Cast) -> None:
    made = key_of(cast.ase, kind="test")

    with pytest.raises(Refused, match="never lengthened"):
        keys.edit_expiry(OLAV, made.key.id, date(2026, 12, 8), NOON)
    assert keys.edit_expiry(OLAV, made.key.id, date(2026, 11, 25), NOON).expires_on == date(2026, 11, 25)


def test_a_new_date_is_told_with_the_old_one(cast: Cast) -> None:
    made = key_of(cast.ase)
    Email.delete().execute()

    keys.edit_expiry(OLAV, made.key.id, date(2027, 1, 1), NOON)

    assert mails() == [("key_expiry_changed", "ase@nordlys.example"), ("key_expiry_changed", "drift@nordlys.example")]
    assert Email.select().first().context["before"] == "2028-11-23"


def test_each_of_two_new_dates_within_one_second_is_told(cast: Cast) -> None:
    made = key_of(cast.ase)

    keys.edit_expiry(OLAV, made.key.id, date(2027, 1, 1), NOON)
    keys.edit_expiry(OLAV, made.key.id, date(2027, 2, 1), NOON)

    told = Email.select().where(Email.kind == "key_expiry_changed", Email.recipient == "ase@nordlys.example")
    assert [(mail.context["before"], mail.context["key"]["expires_on"]) for mail in told.order_by(Email.id)] == [
        ("2028-11-23", "2027-01-01"),
        ("2027-01-01", "2027-02-01"),
    ]


def test_saving_the_same_date_changes_nothing_and_tells_nobody(cast: Cast) -> None:
    made = key_of(cast.ase)
    before = (Event.select().count(), Email.select().count())

    keys.edit_expiry(OLAV, made.key.id, date(2028, 11, 23), NOON)

    assert (Event.select().count(), Email.select().count()) == before


def test_rotating_lets_both_keys_work_for_seven_days_and_then_only_the_new_one(cast: Cast) -> None:
    old = key_of(cast.ase, label="erp-sync", environment="all")
    acceptor = accepting.Acceptor(PEPPERS)

    new = keys.rotate(OLAV, PEPPERS, old.key.id, NOON)

    assert (new.key.label, new.key.environment, new.key.resource_id) == ("erp-sync", "all", cast.ase.id)
    in_overlap, after = NOON + timedelta(days=7, seconds=-1), NOON + timedelta(days=7)
    answers = [acceptor.accept(secret, "prod", at) for at in (in_overlap, after) for secret in (old.secret, new.secret)]
    assert [answer.reason for answer in answers] == ["", "", "retired", ""]


def test_the_overlap_never_outlasts_the_old_key(cast: Cast) -> None:
    old = key_of(cast.ase, expires_on=date(2026, 11, 25))

    keys.rotate(OLAV, PEPPERS, old.key.id, NOON)

    assert keys.get(old.key.id).ends_at == datetime(2026, 11, 25, 23, tzinfo=UTC)


def test_a_key_is_rotated_once_and_a_test_key_never(cast: Cast) -> None:
    old, trial = key_of(cast.ase), key_of(cast.ase, kind="test")
    keys.rotate(OLAV, PEPPERS, old.key.id, NOON)

    with pytest.raises(Refused, match="rotated already"):
        keys.rotate(OLAV, PEPPERS, old.key.id, NOON)
    with pytest.raises(Refused, match="A test key is not rotated"):
        keys.rotate(OLAV, PEPPERS, trial.key.id, NOON)
    with pytest.raises(Refused, match="edit the date of its successor"):
        keys.edit_expiry(OLAV, old.key.id, date(2027, 1, 1), NOON)


def test_a_revoked_key_is_refused_at_once_and_for_good(cast: Cast) -> None:
    made = key_of(cast.ase)
    acceptor = accepting.Acceptor(PEPPERS)
    assert acceptor.accept(made.secret, "prod", NOON).accepted

    keys.revoke(OLAV, made.key.id, "found in a public repository", NOON)

    assert acceptor.accept(made.secret, "prod", NOON).reason == "revoked"
    with pytest.raises(Refused, match="revoked already, by olav"):
        keys.revoke(OLAV, made.key.id, "again", NOON)
    with pytest.raises(Refused, match="for good"):
        keys.edit_expiry(OLAV, made.key.id, date(2027, 1, 1), NOON)


def test_the_log_says_which_key_was_revoked_from_what_and_why(cast: Cast) -> None:
    made = key_of(cast.ase)

    keys.revoke(OLAV, made.key.id, "found in a public repository", NOON)

    event = Event.select().order_by(Event.seq.desc()).get()
    assert (event.act, event.actor, event.origin, event.at) == ("key.revoke", "olav", "test", NOON)
    assert event.before == {
        "handle": made.key.handle,
        "label": "erp-sync",
        "resource": "Åse Berg",
        "environment": "prod",
        "kind": "standard",
        "expires_on": "2028-11-23",
    }
    assert event.after == {"reason": "found in a public repository"}


def test_what_revoking_hits_is_known_before(cast: Cast) -> None:
    made = key_of(cast.ase)
    acceptor = accepting.Acceptor(PEPPERS)
    acceptor.accept(made.secret, "prod", NOON, "10.0.0.7")
    acceptor.accept(made.secret, "prod", NOON + timedelta(minutes=5), "10.0.0.8")
    acceptor.last_uses.flush()

    assert keys.impact(made.key.id) == keys.Impact(NOON + timedelta(minutes=5), "10.0.0.8", 2)


@pytest.mark.parametrize(
    ("role", "company", "refusal"),
    [
        ("operator", None, None),
        ("company-admin", "nordlys", None),
        ("company-admin", "sydlys", NotFound),  # as if there were no such company
        ("auditor", None, NotAllowed),
        ("auditor", "nordlys", NotAllowed),
    ],
)
def test_a_key_is_made_by_an_operator_or_by_an_admin_of_that_company(
    cast: Cast, role: str, company: str | None, refusal: type[Exception] | None
) -> None:
    actor = Actor("kim", role, "test", getattr(cast, company).id if company else None)

    def make() -> keys.Created:
        return keys.create(
            actor,
            PEPPERS,
            company_id=cast.nordlys.id,
            resource_id=cast.ase.id,
            environment="prod",
            kind="standard",
            label="x",
            expires_on=date(2027, 1, 1),
            now=NOON,
        )

    if refusal is None:
        assert make().key.created_by == "kim"
    else:
        with pytest.raises(refusal):
            make()
        assert Key.select().count() == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda cast: cast.ase.__class__.update(licensed_at=None).execute(), "resource-unlicensed"),
        (lambda cast: cast.ase.__class__.update(deactivated_at=LONG_AGO).execute(), "resource-inactive"),
        (lambda cast: cast.nordlys.__class__.update(deactivated_at=LONG_AGO).execute(), "company-inactive"),
        (
            lambda cast: integrations.save_api_access(
                OLAV, cast.nordlys.id, enabled=False, user_ids=[], emails=[], now=NOON
            ),
            "access-disabled",
        ),
    ],
)
def test_a_key_stops_with_its_company_its_resource_and_api_access(cast: Cast, change: object, reason: str) -> None:
    made = key_of(cast.ase)

    change(cast)  # type: ignore[operator]

    assert accepting.Acceptor(PEPPERS).accept(made.secret, "prod", NOON).reason == reason


def test_an_accepted_key_tells_the_resource_and_its_rights(cast: Cast) -> None:
    made = key_of(cast.ase, environment="sandbox")

    yes = accepting.Acceptor(PEPPERS).accept(made.secret, "sandbox", NOON)
    no = accepting.Acceptor(PEPPERS).accept(made.secret, "prod", NOON)

    assert (yes.accepted, yes.resource, yes.rights) == (True, "ase", ("projects.read", "hours.write"))
    assert (no.accepted, no.resource, no.rights, no.reason) == (False, "", (), "wrong-environment")


@pytest.mark.parametrize("text", ["", "kdp_short", "kdp_" + "a" * 42, "x" * 10_000_000, "kdp_é" + "a" * 41])
def test_a_malformed_key_costs_no_query(cast: Cast, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "first_row", lambda *_: pytest.fail("the store was asked"))

    assert accepting.Acceptor(PEPPERS).accept(text, "prod", NOON).reason == "malformed"


def test_a_key_made_with_an_older_pepper_goes_on_working(cast: Cast) -> None:
    made = key_of(cast.ase)
    both = keys.Peppers({1: b"p" * 32, 2: b"q" * 32})

    assert accepting.Acceptor(both).accept(made.secret, "prod", NOON).accepted
    assert accepting.Acceptor(keys.Peppers({2: b"q" * 32})).accept(made.secret, "prod", NOON).reason == "unknown-key"


def test_a_late_flush_never_overwrites_a_newer_use(cast: Cast) -> None:
    made = key_of(cast.ase)
    early, late = accepting.Acceptor(PEPPERS), accepting.Acceptor(PEPPERS)
    early.accept(made.secret, "prod", NOON, "10.0.0.1")
    late.accept(made.secret, "prod", NOON + timedelta(hours=1), "10.0.0.2")

    late.last_uses.flush()
    early.last_uses.flush()

    used = LastUse.get()
    assert (used.at, used.address, used.uses) == (NOON + timedelta(hours=1), "10.0.0.2", 2)


def test_the_log_of_it_all_is_one_unbroken_chain(cast: Cast) -> None:
    made = key_of(cast.ase)
    keys.revoke(OLAV, made.key.id, "done", NOON)
    whole = events.verify()
    assert (whole.events, whole.fault) == (Event.select().count(), None)

    Event.update(actor="somebody else").where(Event.seq == 2).execute()

    assert events.verify().fault == "Event 2 was changed after it was written: its hash does not fit."


def test_a_head_that_was_noted_shows_that_the_end_of_the_log_was_cut_off_or_all_of_it_written_anew(cast: Cast) -> None:
    key_of(cast.ase)
    noted = events.verify()

    Event.delete().where(Event.seq == noted.events).execute()

    assert events.verify().fault is None
    known = (noted.events, noted.head)
    assert events.verify(known).fault == "The log ends with event 2, but event 3 was noted: its end is cut off."
    assert events.verify((2, "0" * 64)).fault == "Event 2 is not the one that was noted: the log was written anew."


def test_last_uses_that_could_not_be_written_are_kept_for_the_next_time(cast: Cast) -> None:
    made = key_of(cast.ase)
    acceptor = accepting.Acceptor(PEPPERS)
    acceptor.accept(made.secret, "prod", NOON, "10.0.0.1")
    run_sql("ALTER TABLE last_use RENAME TO out_of_reach")
    with pytest.raises(DatabaseError):
        acceptor.last_uses.flush()
    run_sql("ALTER TABLE out_of_reach RENAME TO last_use")
    acceptor.accept(made.secret, "prod", NOON + timedelta(seconds=5), "10.0.0.2")

    acceptor.last_uses.flush()

    used = LastUse.get(LastUse.key == made.key.id)
    assert (used.at, used.address, used.uses) == (NOON + timedelta(seconds=5), "10.0.0.2", 2)


def test_last_uses_are_written_from_a_thread_of_their_own(cast: Cast) -> None:
    acceptor = accepting.Acceptor(PEPPERS)
    acceptor.accept(key_of(cast.ase).secret, "prod", NOON, "10.0.0.1")

    with ThreadPoolExecutor(1) as elsewhere:
        assert elsewhere.submit(acceptor.last_uses.flush).result() == 1
