"""Who may log in over SSH, with which key, and what does each of them see and do?"""

from datetime import date, timedelta

import pytest
from cast import NOON, OLAV, PEPPERS, Cast, arrive, enable, key_of

from store import admins, events, integrations, keys
from store.actors import Actor
from store.admins import Listed, ListedKey
from store.errors import FormatWrong, KeydeskError, NotAllowed, NotFound, Refused
from store.listings import companies as company_list
from store.listings import keys as key_list
from store.tables import Admin, AdminKey, Event, Key

# Made with ssh-keygen; the private halves were thrown away.
ANNA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIg88FzpHJiaE3sWNahz2l0BS0lWNa6a7YbEz7qshl9g anna@laptop"
ANNA_PRINT = "SHA256:avtRZuSrxS2EeHWs0Jwd8C4rnl9X8+TVYcczsbAeJhY"
BEN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOC+1bNbfjqO+RqwyG32/X+ZhpDwb6qToftu0r2cxgRQ ben@desk"
BEN_PRINT = "SHA256:uYjYOWPNlI7l4IX6E8k7qumMSV4xt+JlsyFyP3DQ3Yg"


@pytest.fixture
def cast(empty_store: str) -> Cast:
    return arrive()


def add(name: str, role: str = "operator", company: str | None = None, key: str | None = ANNA) -> Admin:
    return admins.add(OLAV, name, role, company, key, NOON)


def session_of(key: str) -> Actor:
    return admins.actor_for(*key.split(" ")[:2], "ssh 192.0.2.7")


# Being let in


def test_an_operator_s_key_opens_a_session_under_the_operator_s_name(cast: Cast) -> None:
    anna = add("anna")

    assert session_of(ANNA) == Actor("anna", "operator", "ssh 192.0.2.7", company_id=None, admin_id=anna.id)


def test_a_company_admin_s_session_reaches_that_company(cast: Cast) -> None:
    anna = add("anna", "company-admin", "nordlys")

    assert session_of(ANNA) == Actor("anna", "company-admin", "ssh 192.0.2.7", cast.nordlys.id, anna.id)


def test_letting_somebody_in_is_two_events_of_the_company_it_is_about(cast: Cast) -> None:
    add("anna", "auditor", "nordlys")

    newest = Event.select().order_by(Event.seq.desc()).limit(2)
    assert [(event.act, event.subject, event.actor, event.company_id, event.after) for event in newest] == [
        (
            "admin.add-key",
            "admin anna",
            "olav",
            cast.nordlys.id,
            {"fingerprint": ANNA_PRINT, "type": "ssh-ed25519", "comment": "anna@laptop"},
        ),
        ("admin.add", "admin anna", "olav", cast.nordlys.id, {"role": "auditor", "company": "nordlys"}),
    ]


def test_somebody_with_two_keys_logs_in_with_either(cast: Cast) -> None:
    add("anna")

    admins.add_key(OLAV, "anna", BEN, NOON)

    assert (session_of(ANNA).name, session_of(BEN).name) == ("anna", "anna")


def test_the_list_shows_everybody_with_the_keys_that_log_in(cast: Cast) -> None:
    add("berit", "company-admin", "nordlys", BEN)
    add("anna", "auditor", None, None)
    admins.disable(OLAV, "anna", NOON)

    assert admins.listed() == (
        Listed("anna", "auditor", None, NOON, NOON, ()),
        Listed(
            "berit",
            "company-admin",
            "nordlys",
            NOON,
            None,
            (ListedKey(BEN_PRINT, "ssh-ed25519", "ben@desk", NOON),),
        ),
    )


@pytest.mark.parametrize(
    ("role", "company", "sentence"),
    [
        ("company-admin", None, "name it"),
        ("operator", "nordlys", "leave the company out"),
        ("auditor", "no-such", "no company with that external id"),
        ("root", None, "no such role"),
    ],
)
def test_a_role_and_its_company_must_fit(cast: Cast, role: str, company: str | None, sentence: str) -> None:
    with pytest.raises(KeydeskError, match=sentence):
        add("anna", role, company)

    assert (Admin.select().count(), AdminKey.select().count()) == (0, 0)


@pytest.mark.parametrize("name", ["", "Anna", "1anna", "-anna", "anna berg", "å", "a" * 33, "anna\n", "anna;id"])
def test_a_name_is_short_plain_and_small(cast: Cast, name: str) -> None:
    with pytest.raises(FormatWrong, match="begins with a letter"):
        add(name)


@pytest.mark.parametrize("name", ["a", "anna.berg", "a-b_c.9", "a" * 32])
def test_a_name_may_have_up_to_32_characters(cast: Cast, name: str) -> None:
    assert add(name).name == name


def test_a_name_is_not_given_twice_even_after_its_owner_has_gone(cast: Cast) -> None:
    add("anna")
    admins.disable(OLAV, "anna", NOON)

    with pytest.raises(Refused, match="not given twice"):
        add("anna", key=BEN)


def test_a_key_logs_one_person_in(cast: Cast) -> None:
    add("anna")

    with pytest.raises(Refused, match="is anna's already"):
        add("ben")

    assert [admin.name for admin in Admin.select()] == ["anna"]


@pytest.mark.parametrize("role", ["company-admin", "auditor"])
def test_only_operators_let_anybody_in(cast: Cast, role: str) -> None:
    somebody = Actor("carl", role, "test", cast.nordlys.id if role == "company-admin" else None)

    for act in (
        lambda: admins.add(somebody, "anna", "operator", None, ANNA, NOON),
        lambda: admins.add_key(somebody, "anna", ANNA, NOON),
        lambda: admins.remove_key(somebody, ANNA_PRINT, NOON),
        lambda: admins.disable(somebody, "anna", NOON),
    ):
        with pytest.raises(NotAllowed):
            act()

    assert Admin.select().count() == 0


# Being shut out


def test_a_stranger_s_key_logs_nobody_in(cast: Cast) -> None:
    add("anna")

    assert (admins.by_key(*BEN.split(" ")[:2]), admins.login_key(*BEN.split(" ")[:2])) == (None, None)
    with pytest.raises(NotAllowed, match="does not log in here"):
        session_of(BEN)


def test_a_key_that_was_taken_away_no_longer_logs_in_and_may_be_given_again(cast: Cast) -> None:
    add("anna")
    admins.remove_key(OLAV, ANNA_PRINT, NOON)
    with pytest.raises(NotAllowed):
        session_of(ANNA)
    with pytest.raises(NotFound, match="No admin has a key"):
        admins.remove_key(OLAV, ANNA_PRINT, NOON)

    add("ben", key=ANNA)

    assert session_of(ANNA).name == "ben"


def test_a_disabled_admin_neither_logs_in_nor_gets_another_key(cast: Cast) -> None:
    add("anna")

    admins.disable(OLAV, "anna", NOON)

    assert admins.by_key(*ANNA.split(" ")[:2]) is None
    with pytest.raises(Refused, match="disabled"):
        admins.add_key(OLAV, "anna", BEN, NOON)
    with pytest.raises(Refused, match="disabled since 2026-11-23"):
        admins.disable(OLAV, "anna", NOON)


def test_an_open_session_changes_nothing_more_once_its_admin_is_disabled(cast: Cast) -> None:
    enable(cast.nordlys, cast.ase)
    made = key_of(cast.ase)
    add("anna")
    session = session_of(ANNA)
    admins.disable(OLAV, "anna", NOON)

    with pytest.raises(NotAllowed, match="log in again"):
        keys.revoke(session, made.key.id, "leaked", NOON)

    assert Key.get_by_id(made.key.id).revoked_at is None


def test_a_session_is_two_events_also_when_its_admin_was_disabled_meanwhile(cast: Cast) -> None:
    add("anna", "company-admin", "nordlys")
    session = session_of(ANNA)

    admins.begin_session(session, ANNA_PRINT, NOON)
    admins.disable(OLAV, "anna", NOON)
    admins.end_session(session, 129, NOON + timedelta(minutes=5))

    told = Event.select().where(Event.subject == "session").order_by(Event.seq)
    assert [(one.act, one.actor, one.origin, one.company_id, one.after) for one in told] == [
        ("session.begin", "anna", "ssh 192.0.2.7", cast.nordlys.id, {"key": ANNA_PRINT}),
        ("session.end", "anna", "ssh 192.0.2.7", cast.nordlys.id, {"status": 129}),
    ]
    assert events.verify().fault is None


def test_asking_whose_key_it_is_writes_nothing(cast: Cast) -> None:
    add("anna")
    before = (Event.select().count(), list(AdminKey.select().tuples()), list(Admin.select().tuples()))

    for key in (ANNA, BEN):
        admins.login_key(*key.split(" ")[:2])

    assert (Event.select().count(), list(AdminKey.select().tuples()), list(Admin.select().tuples())) == before


@pytest.mark.parametrize("written", ["ssh-ed25519\ncommand", "restrict ssh-ed25519"])
def test_a_row_that_was_written_past_keydesk_is_not_handed_to_sshd(cast: Cast, written: str) -> None:
    add("anna")
    AdminKey.update(type=written).execute()

    assert admins.login_key(*ANNA.split(" ")[:2]) is None
    assert admins.login_key(written, ANNA.split(" ")[1]) is None


# What each role sees and does


def test_a_company_admin_s_lists_hold_one_company(cast: Cast) -> None:
    enable(cast.nordlys, cast.ase)
    enable(cast.sydlys, cast.dorte)
    own = key_of(cast.ase)
    key_of(cast.dorte)
    add("anna", "company-admin", "nordlys")

    actor = session_of(ANNA)

    assert list(company_list.ids(actor.company_id)) == [cast.nordlys.id]
    assert list(key_list.ids(key_list.KeyScope(actor.company_id, NOON))) == [own.key.id]
    assert list(key_list.ids(key_list.KeyScope(actor.company_id, NOON), "company:sydlys")) == []


def test_an_operator_s_lists_hold_every_company(cast: Cast) -> None:
    add("anna")

    assert list(company_list.ids(session_of(ANNA).company_id)) == [cast.nordlys.id, cast.sydlys.id]


def test_a_company_admin_manages_the_company_s_keys_and_nobody_else_s(cast: Cast) -> None:
    enable(cast.nordlys, cast.ase)
    enable(cast.sydlys, cast.dorte)
    own, other = key_of(cast.ase), key_of(cast.dorte)
    add("anna", "company-admin", "nordlys")
    actor = session_of(ANNA)

    keys.revoke(actor, own.key.id, "leaked", NOON)

    for act in (
        lambda: keys.revoke(actor, other.key.id, "curious", NOON),
        lambda: keys.edit_expiry(actor, other.key.id, date(2027, 1, 1), NOON),
        lambda: keys.rotate(actor, PEPPERS, other.key.id, NOON),
        lambda: integrations.save_api_access(actor, cast.sydlys.id, enabled=False, user_ids=[], emails=[], now=NOON),
    ):
        with pytest.raises(NotFound):  # as if it were not there
            act()


def test_an_auditor_changes_nothing(cast: Cast) -> None:
    enable(cast.nordlys, cast.ase)
    made = key_of(cast.ase)
    add("anna", "auditor")

    with pytest.raises(NotAllowed, match=r"anna \(auditor\) may not do this"):
        keys.revoke(session_of(ANNA), made.key.id, "curious", NOON)
