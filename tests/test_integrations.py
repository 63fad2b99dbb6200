"""Who may switch API Access on, who hears of it, and what does it do to keys?"""

import pytest
from cast import NOON, OLAV, Cast, arrive, enable, key_of

from store import integrations
from store.errors import FormatWrong, Refused
from store.recipients import Recipient, recipients
from store.tables import Email, Event, IntegrationSpan


@pytest.fixture
def cast(empty_store: str) -> Cast:
    return arrive()


def save(cast: Cast, *, enabled: bool, users: list[int], emails: list[str]) -> integrations.ApiAccess:
    return integrations.save_api_access(OLAV, cast.nordlys.id, enabled=enabled, user_ids=users, emails=emails, now=NOON)


def test_a_company_begins_with_every_integration_off(cast: Cast) -> None:
    assert [(kind.title, on) for kind, on in integrations.listed(cast.nordlys.id)] == [("API Access", None)]


def test_enabling_without_a_user_to_notify_is_refused(cast: Cast) -> None:
    with pytest.raises(Refused, match="needs at least one user to notify"):
        save(cast, enabled=True, users=[], emails=["drift@nordlys.example"])

    assert integrations.api_access(cast.nordlys.id).emails == ()


def test_somebody_who_has_left_cannot_be_chosen(cast: Cast) -> None:
    with pytest.raises(Refused, match="take out Cecilie Eng"):
        save(cast, enabled=True, users=[cast.ase.id, cast.cecilie.id], emails=[])


def test_somebody_of_another_company_cannot_be_chosen(cast: Cast) -> None:
    with pytest.raises(Refused, match="Only active users of the company"):
        save(cast, enabled=True, users=[cast.dorte.id], emails=[])


def test_every_wrong_address_is_named_and_nothing_is_saved(cast: Cast) -> None:
    with pytest.raises(FormatWrong, match=r"“nobody”.*“a b@c.no”"):
        save(cast, enabled=True, users=[cast.ase.id], emails=["nobody", "drift@nordlys.example", "a b@c.no"])

    assert integrations.api_access(cast.nordlys.id).users == ()


def test_enabling_is_an_event_and_a_mail_that_says_what_changed(cast: Cast) -> None:
    save(cast, enabled=True, users=[cast.ase.id], emails=["Drift@nordlys.example", "drift@nordlys.example"])

    event = Event.select().order_by(Event.seq.desc()).get()
    assert event.after == {
        "enabled": True,
        "users_to_notify": ["Åse Berg"],
        "emails_to_notify": ["Drift@nordlys.example"],
    }
    mail = Email.get(Email.recipient == "ase@nordlys.example")
    assert mail.context["changes"] == [
        {"field": "Enabled", "before": "No", "after": "Yes"},
        {"field": "Users to notify", "before": "", "after": "Åse Berg"},
        {"field": "Emails to notify", "before": "", "after": "Drift@nordlys.example"},
    ]
    assert mail.context["switched"] == "on"


def test_those_who_are_taken_off_the_list_hear_of_it_too(cast: Cast) -> None:
    enable(cast.nordlys, cast.ase, "old@nordlys.example")
    Email.delete().execute()

    save(cast, enabled=True, users=[cast.ase.id], emails=["new@nordlys.example"])

    told = sorted(mail.recipient for mail in Email.select())
    assert told == ["ase@nordlys.example", "new@nordlys.example", "old@nordlys.example"]


def test_saving_what_is_there_changes_nothing_and_tells_nobody(cast: Cast) -> None:
    enable(cast.nordlys, cast.ase, "drift@nordlys.example")
    before = (Event.select().count(), Email.select().count(), IntegrationSpan.select().count())

    save(cast, enabled=True, users=[cast.ase.id], emails=["drift@nordlys.example"])

    assert (Event.select().count(), Email.select().count(), IntegrationSpan.select().count()) == before


def test_disabling_says_how_many_keys_stop_and_ends_the_time_that_is_charged(cast: Cast) -> None:
    enable(cast.nordlys, cast.ase)
    key_of(cast.ase)
    key_of(cast.ase)
    assert integrations.keys_stopped(cast.nordlys.id, NOON) == 2

    save(cast, enabled=False, users=[cast.ase.id], emails=[])

    assert Email.get(Email.kind == "integration_changed", Email.queued_at == NOON).context["keys"] == 2
    assert [span.ended_at for span in IntegrationSpan.select()] == [NOON]


def test_each_address_is_told_once_with_all_its_roles(cast: Cast) -> None:
    enable(cast.nordlys, cast.ase, "ASE@nordlys.example", "drift@nordlys.example")

    assert recipients(cast.nordlys.id, cast.ase.id) == (
        Recipient("ase@nordlys.example", "Åse Berg", ("resource", "user-to-notify", "email-to-notify")),
        Recipient("drift@nordlys.example", "", ("email-to-notify",)),
    )


def test_two_long_addresses_that_begin_alike_are_both_told(cast: Cast) -> None:
    department = f"{'drift' * 12}@{'avdeling-nord.' * 11}"
    enable(cast.nordlys, cast.ase, f"{department}oslo.example", f"{department}bergen.example")

    key_of(cast.ase)

    told = [mail.recipient for mail in Email.select().where(Email.kind == "key_created").order_by(Email.id)]
    assert told == ["ase@nordlys.example", f"{department}oslo.example", f"{department}bergen.example"]
