"""What do the desk's lists show, in which order, and what does a filter leave of them?"""

from array import array
from datetime import UTC, date, datetime, timedelta

import pytest
from desk_world import KARI, NOW, company, enable, key, small_world, user

from store import installation, workers
from store.errors import FormatWrong, NotAllowed
from store.installation import Installation
from store.listings import companies, emails, events, invoice_lines, keys, nights, users, work
from store.listings.companies import CompanyRow
from store.listings.emails import Unsettled
from store.listings.key_states import STATES
from store.listings.keys import KeyRow, KeyScope
from store.listings.users import UserRow
from store.tables import Company, Email, Event, Key, LastUse, User
from store.workers import Host


def labels(scope: KeyScope, needle: str, order: str = "newest") -> list[str]:
    ids = keys.ids(scope, needle, order)
    rows = keys.rows(ids, scope.now)
    return [rows[one].label for one in ids]


def test_a_key_is_shown_with_all_that_a_person_decides_by(empty_store: str) -> None:
    fjord = small_world()

    (found,) = keys.ids(KeyScope(fjord.id, NOW), '"ERP export"')

    shown = keys.rows([found], NOW)[found]
    assert shown == KeyRow(
        id=found,
        company_id=fjord.id,
        company="Fjord AS",
        resource_id=shown.resource_id,
        resource="Ola Nordmann",
        handle=shown.handle,
        label="ERP export",
        environment="prod",
        kind="standard",
        first=shown.first,
        last=shown.last,
        expires_on=date(2027, 6, 1),
        days_left=190,
        ends_at=datetime(2027, 6, 1, 22, tzinfo=UTC),
        state="live",
        refusal=None,
        created_at=datetime(2026, 1, 10, 9, tzinfo=UTC),
        created_by="kari",
        rotated_at=None,
        revoked_at=None,
        revoked_by=None,
        revoked_reason=None,
        used_at=datetime(2026, 11, 23, 7, tzinfo=UTC),
        used_from="10.1.2.3",
        uses=48211,
        zone="Europe/Oslo",
        api_access=True,
    )


LEFT = {
    "state:revoked": ["Leaked"],
    "state:retired": ["Retired"],
    "state:retiring": ["Rotating"],
    "state:expired": ["Over"],
    "state:expiring": ["Try", "Expiring soon"],
    "state:exp": ["Try", "Over", "Expiring soon"],
    "-state:live -state:exp": ["Leaked", "Retired", "Rotating"],
    "env:sandbox": ["Try"],
    "kind:test": ["Try"],
    "resource:øst": ["For all", "Try"],
    "øst env:all": ["For all"],
    "label:o -label:ro -resource:øst": ["Over", "Expiring soon", "ERP export"],
    "%": [],
    "label:_": [],
    "'; DROP TABLE api_key; --": [],
}


def test_a_filter_leaves_the_keys_that_fulfil_all_of_its_terms(empty_store: str) -> None:
    fjord = small_world()

    assert {needle: labels(KeyScope(fjord.id, NOW), needle) for needle in LEFT} == LEFT


def test_a_key_is_found_by_what_the_desk_and_the_mails_write_of_it(empty_store: str) -> None:
    fjord = small_world()
    scope = KeyScope(None, NOW)
    row = keys.rows(keys.ids(scope, "label:erp"), NOW).popitem()[1]

    found = [labels(scope, needle) for needle in (f"{row.first}…{row.last}", row.handle, row.handle.upper(), row.last)]

    assert found == [["ERP export"]] * 4
    assert labels(scope, "company:fjord label:erp") == ["ERP export"]
    assert fjord.name == "Fjord AS"


def test_a_filter_by_state_leaves_exactly_the_keys_that_show_that_state_at_any_hour(empty_store: str) -> None:
    small_world()

    for hours in (0, 5, 10, 11, 12, 13, 22, 23, 24, 24 * 8, 24 * 20, 24 * 250):
        now = NOW + timedelta(hours=hours)
        shown = {one: row.state for one, row in keys.rows(keys.ids(KeyScope(None, now)), now).items()}
        found = {one: state for state in STATES for one in keys.ids(KeyScope(None, now), f"state:{state}")}
        assert found == shown


def test_keys_are_off_while_something_around_them_is(empty_store: str) -> None:
    fjord = small_world()
    Company.update(deactivated_at=NOW).where(Company.id == fjord.id).execute()

    off = labels(KeyScope(fjord.id, NOW), "state:off")

    assert off == ["Retired", "Rotating", "Rotating", "For all", "Try", "Expiring soon", "ERP export"]


def test_keys_by_expiry_begin_with_the_next_to_end_and_close_with_what_has_ended(empty_store: str) -> None:
    fjord = small_world()
    scope = KeyScope(fjord.id, NOW)

    order = labels(scope, "-label:retired -label:rotating", "expiry")

    assert order == ["Expiring soon", "Try", "ERP export", "For all", "Leaked", "Over"]
    assert keys.ids(scope, "", "expiry", 6) == keys.ids(scope, "", "expiry")[:6]
    assert keys.ids(scope, "", "expiry", 9) == keys.ids(scope, "", "expiry")[:9]


def test_a_list_knows_how_many_rows_came_after_it_was_read(empty_store: str) -> None:
    fjord = small_world()
    ids = keys.ids(KeyScope(fjord.id, NOW), "env:prod")
    (ola,) = users.ids(fjord.id, "ola")

    key(fjord, User.get_by_id(ola), "Newest", at=NOW)

    assert keys.newer(KeyScope(fjord.id, NOW), "env:prod", max(ids)) == 1
    assert keys.newer(KeyScope(fjord.id, NOW), "env:sandbox", max(ids)) == 0


def test_companies_stand_by_name_with_what_one_must_see_at_a_glance(empty_store: str) -> None:
    fjord = small_world()

    ids = companies.ids(None)
    rows = companies.rows(ids, NOW)

    assert [rows[one].name for one in ids] == ["Fjord AS", "Kiwi Ltd", "Tun ehf"]
    assert rows[fjord.id] == CompanyRow(
        id=fjord.id,
        external_id="C0001",
        name="Fjord AS",
        zone="Europe/Oslo",
        currency="NOK",
        api_access=True,
        active=True,
        keys=10,
        keys_working=7,
        keys_capped=False,
        licences=12,
        sandbox="due",
        night="2026-11-23",
        created_at=datetime(2026, 1, 10, 9, tzinfo=UTC),
    )


COMPANIES_LEFT = {
    "fj": ["Fjord AS"],
    "access:off": ["Tun ehf"],
    "-access:off": ["Fjord AS", "Kiwi Ltd"],
    "access:o": ["Fjord AS", "Kiwi Ltd", "Tun ehf"],
    "zone:pacific": ["Kiwi Ltd"],
    "state:inactive": [],
    "c0003": ["Kiwi Ltd"],
}


def test_a_filter_leaves_the_companies_that_fulfil_it(empty_store: str) -> None:
    small_world()
    rows = companies.rows(companies.ids(None), NOW)

    assert {
        needle: [rows[one].name for one in companies.ids(None, needle)] for needle in COMPANIES_LEFT
    } == COMPANIES_LEFT


def test_an_admin_of_one_company_gets_no_other(empty_store: str) -> None:
    fjord = small_world()

    assert companies.ids(fjord.id) == array("q", [fjord.id])
    assert companies.ids(fjord.id, "kiwi") == array("q")
    assert companies.newer(fjord.id, "", 0) == 0
    assert [companies.newer(None, needle, 0) for needle in ("", "fjord", "state:inactive")] == [
        len(companies.ids(None, needle)) for needle in ("", "fjord", "state:inactive")
    ]


def test_an_admin_of_one_company_gets_no_mail_and_no_notice_of_another(empty_store: str) -> None:
    fjord = small_world()
    kiwi = Company.get(Company.name == "Kiwi Ltd")
    Email.update(state="failed").where(Email.company_id == kiwi.id).execute()
    ours, theirs = emails.mail_ids(fjord.id), emails.mail_ids(kiwi.id)

    assert sorted([*ours, *theirs]) == sorted(emails.mail_ids(None))
    assert {row.company for row in emails.mail_rows(ours).values()} == {"Fjord AS"}
    assert {row.company for row in emails.mail_rows(theirs).values()} == {"Kiwi Ltd"}
    assert emails.newer_mails(kiwi.id, "", 0) == len(theirs)
    assert emails.mail(fjord.id, theirs[0]) is None
    assert [found.id for only in (None, kiwi.id) if (found := emails.mail(only, theirs[0]))] == [theirs[0]] * 2
    assert emails.unsettled(fjord.id) == Unsettled()
    assert emails.unsettled(kiwi.id) == emails.unsettled(None) == Unsettled(failed=len(theirs))
    assert [len(emails.notice_ids(only)) for only in (None, fjord.id, kiwi.id)] == [1, 1, 0]
    assert [emails.newer_notices(only, "", 0) for only in (None, fjord.id, kiwi.id)] == [1, 1, 0]


def test_an_admin_of_one_company_gets_nothing_of_the_worker_who_works_for_all(empty_store: str) -> None:
    of = small_world().id

    for read in (lambda: work.ids(of), lambda: work.newer(of, "", 0), lambda: work.health(of, NOW)):
        with pytest.raises(NotAllowed, match="your login reaches one; ask an operator"):
            read()


def test_a_user_is_shown_with_keys_and_whether_anybody_can_be_reached(empty_store: str) -> None:
    fjord = small_world()
    ids = users.ids(fjord.id, "ola")

    shown = users.rows(ids, NOW)[ids[0]]

    assert shown == UserRow(
        id=ids[0],
        company_id=fjord.id,
        external_id="U0001",
        name="Ola Nordmann",
        email="user1@example.com",
        rights=("projects:read",),
        active=True,
        licensed=True,
        keys_working=5,
        notified=True,
        created_at=datetime(2026, 1, 10, 9, tzinfo=UTC),
    )
    assert [
        users.rows(users.ids(fjord.id, "state:unlicensed"), NOW)[one].name for one in users.ids(fjord.id, "state:un")
    ]


def test_mails_notices_runs_nights_lines_and_events_are_listed_newest_first(empty_store: str) -> None:
    fjord = small_world()

    mails, notices = emails.mail_ids(None), emails.notice_ids(None, "state:unreachable")
    runs, dark, lines, log = work.ids(None), nights.ids(fjord.id), invoice_lines.ids(fjord.id), events.ids(fjord.id)

    assert list(mails) == sorted(mails, reverse=True)
    assert emails.mail_rows(emails.mail_ids(None, "state:sent")).popitem()[1].subject == "A new API key"
    assert [emails.notice_rows(notices)[one].recipient for one in notices] == [""]
    assert [work.rows(runs)[one].state for one in runs] == ["missed", "held", "due", "failed", "done"]
    assert [nights.rows(dark)[one].state for one in dark] == ["due", "missed", "failed", "done"]
    assert [invoice_lines.rows(lines)[one].net_minor for one in lines] == [34900]
    assert [month.gross_minor for month in invoice_lines.months(fjord.id)] == [43625]
    assert [events.rows(log)[one].act for one in log][:2] == ["key.revoke", "key.create"]


def test_every_list_has_its_filter(empty_store: str) -> None:
    of = small_world().id

    found = [
        emails.mail_ids(None, "to:user1 kind:revoked company:fjord"),
        emails.mail_ids(None, "-state:queued"),
        emails.notice_ids(None, "company:fjord -to:x"),
        work.ids(None, "job:sandbox state:held oslo"),
        nights.ids(of, "state:failed rsync"),
        invoice_lines.ids(of, "month:2026-10 state:draft access"),
        events.ids(of, "act:revoke by:kari leaked"),
        users.ids(of, "state:unlicensed siv"),
    ]

    assert [len(ids) for ids in found] == [1] * 8


def test_what_happened_to_a_key_is_found_by_its_first_and_last_characters(empty_store: str) -> None:
    fjord = small_world()
    row = keys.rows(keys.ids(KeyScope(fjord.id, NOW), "label:leaked"), NOW).popitem()[1]

    happened = events.about(row.first, row.last, fjord.id)

    assert [(one.act, one.actor) for one in happened] == [("key.revoke", "kari"), ("key.create", "kari")]


def test_the_workers_health_is_read_at_once(empty_store: str) -> None:
    small_world()

    health = work.health(None, NOW)

    assert [worker.host for worker in health.workers] == ["host"]
    assert health.next_runs == (("sandbox-refresh", "Europe/Oslo", "2026-11-22", NOW + timedelta(hours=2)),)
    assert (health.failing, health.held, health.mails_in_doubt, health.unreachable) == (1, 1, 0, 1)
    assert health.mails_waiting == len(emails.mail_ids(None, "state:queued"))


def test_workers_that_live_are_found_behind_all_that_a_timer_has_called_and_a_wrong_clock_has_written(
    empty_store: str,
) -> None:
    def entered(name: str, tick: datetime, kind: workers.Kind, *, stopped: bool) -> None:
        known = workers.register(Host(name, "b"), "0.1.0", tick, kind=kind)
        if stopped:
            workers.stop(known, tick)

    for number in range(10):
        entered(f"alive-{number}", NOW - timedelta(seconds=number), "stays", stopped=False)
    for number in range(10):
        entered(f"ahead-{number}", NOW + timedelta(days=1), "pass", stopped=True)
    entered("timer", NOW - timedelta(minutes=4), "pass", stopped=True)

    hosts = [worker.host for worker in work.health(None, NOW).workers]

    assert hosts == [*(f"alive-{number}" for number in range(10)), "timer"]


@pytest.mark.parametrize("cure", [{"revoked_at": NOW}, {"expires_on": date(2028, 1, 1)}, {"rotated_at": NOW}])
def test_a_key_that_nobody_was_told_of_is_red_until_it_owes_that_notice_no_more(
    empty_store: str, cure: dict[str, object]
) -> None:
    small_world()
    before = work.health(None, NOW).unreachable

    Key.update(**cure).where(Key.label == "ERP export").execute()

    assert (before, work.health(None, NOW).unreachable) == (1, 0)


def test_a_filter_that_cannot_be_read_is_refused_by_every_list(empty_store: str) -> None:
    reads = (
        lambda: keys.ids(KeyScope(None, NOW), "state:gone"),
        lambda: companies.ids(None, "label:x"),
        lambda: users.ids(1, "env:prod"),
        lambda: work.ids(None, "state:gone"),
    )

    for read in reads:
        with pytest.raises(FormatWrong):
            read()


def test_names_that_look_like_statements_are_only_names(empty_store: str) -> None:
    installation.set_up(Installation("Vendor AS"), NOW)
    odd = company("Robert'); DROP TABLE company;-- 100%_")
    resource = user(odd, "%_%")
    enable(odd, resource)
    made = key(odd, resource, "50%_off", at=NOW)
    LastUse.create(key=made, at=NOW, address="::1", uses=1)

    assert labels(KeyScope(None, NOW), "50%_off") == ["50%_off"]
    assert labels(KeyScope(None, NOW), "50__off") == []
    assert len(companies.ids(None, "'); drop")) == 1
    assert Event.select().where(Event.actor == KARI.name).count() > 0
