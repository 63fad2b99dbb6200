"""What does an import change, who may do it, and what happens to keys whose company moves to another time zone?"""

from collections.abc import Callable
from dataclasses import astuple
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import cast
import pytest

from store import events, importing
from store.accepting import Acceptor
from store.actors import Actor
from store.errors import ImportRefused, NotAllowed, Refused
from store.fields import seconds
from store.importing import Summary
from store.tables import Company, CompanyBilling, Event, Key, KeySpan, Licence, User

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)
OLAV = Actor("olav", "operator", "test")

COMPANIES = "id,name,currency,time_zone,vat_rate,active\n"
USERS = "company,id,name,email,active,licensed,rights\n"

Take = Callable[..., Summary]


@pytest.fixture
def take(empty_store: str, tmp_path: Path) -> Take:
    """Import texts as files named like companies_csv."""

    def taken(now: datetime = NOON, actor: Actor = OLAV, **files: str) -> Summary:
        paths = [tmp_path / name.replace("_", ".") for name in files]
        for path, text in zip(paths, files.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        return importing.take(actor, paths, now)

    return taken


def logged(after: int = 0) -> list[tuple[str, str, Any, Any]]:
    rows = Event.select().where(Event.seq > after).order_by(Event.seq)
    return [(row.act, row.subject, row.before, row.after) for row in rows]


def test_new_rows_are_added_with_their_defaults_and_each_is_an_event(take: Take) -> None:
    summary = take(
        companies_csv="id,name,currency\nc1,Åsgård Æ/S,NOK\n",
        users_csv='company,id,name,email,rights\nc1,u1,"Strauß, Bo",bo@blå.no,read;write\n',
        licences_csv="company,from,licences\nc1,2026-11-01,12\n",
    )

    assert summary.sentences() == [
        "companies: 1 new, 0 changed, 0 unchanged",
        "users: 1 new, 0 changed, 0 unchanged",
        "licences: 1 new, 0 changed, 0 unchanged",
    ]
    company, user, licence = Company.get(), User.get(), Licence.get()
    assert company.__data__ == {
        "id": company.id,
        "external_id": "c1",
        "name": "Åsgård Æ/S",
        "folded": "åsgård æ/s",
        "time_zone": "Europe/Oslo",
        "currency": "NOK",
        "language": "en",
        "billing_reference": "",
        "price_list": "API",
        "vat_category": "S",
        "vat_rate": "25",
        "created_at": NOON,
        "deactivated_at": None,
    }
    assert user.__data__ == {
        "id": user.id,
        "company": company.id,
        "external_id": "u1",
        "name": "Strauß, Bo",
        "folded": "strauss, bo",
        "email": "bo@blå.no",
        "email_ascii": "bo@xn--bl-zia.no",
        "rights": ["read", "write"],
        "created_at": NOON,
        "deactivated_at": None,
        "licensed_at": NOON,
    }
    assert (licence.company_id, licence.licences, licence.recorded_at) == (company.id, 12, NOON)
    assert licence.at == datetime(2026, 10, 31, 23, tzinfo=UTC)  # the first of November begins in Oslo
    assert logged() == [
        ("company.create", "company c1", None, {
            "name": "Åsgård Æ/S", "time_zone": "Europe/Oslo", "currency": "NOK", "language": "en",
            "billing_reference": "", "price_list": "API", "vat_category": "S", "vat_rate": "25", "active": True,
        }),
        ("user.create", "user u1 (Strauß, Bo)", None, {
            "name": "Strauß, Bo", "email": "bo@blå.no", "active": True, "licensed": True, "rights": ["read", "write"],
        }),
        ("licence.create", "licences from 2026-10-31T23:00:00Z", None, {"licences": 12}),
        ("import", "companies.csv, users.csv, licences.csv", None, {"changed": summary.sentences()}),
    ]  # fmt: skip
    assert (events.verify().events, events.verify().fault) == (4, None)


def test_a_second_import_of_the_same_says_unchanged_and_is_one_event(take: Take) -> None:
    files = {
        "companies_csv": COMPANIES + "c1,One,NOK,Europe/Oslo,25,yes\n",
        "users_csv": USERS + "c1,u1,Bo,bo@example.com,yes,no,a;b\nc1,u2,Liv,,no,yes,\n",
        "licences_csv": "company,from,licences\nc1,2026-11-01,12\nc1,2026-11-05T10:00:00Z,13\n",
    }
    take(**files)
    before = [list(table.select().tuples()) for table in (Company, User, Licence)]

    summary = take(LATER, **files)

    assert summary.sentences() == [
        "companies: 0 new, 0 changed, 1 unchanged",
        "users: 0 new, 0 changed, 2 unchanged",
        "licences: 0 new, 0 changed, 2 unchanged",
    ]
    assert [list(table.select().tuples()) for table in (Company, User, Licence)] == before
    assert [act for act, *_ in logged()] == [
        "company.create", "user.create", "user.create", "licence.create", "licence.create", "import", "import",
    ]  # fmt: skip


def test_what_differs_is_changed_and_the_event_says_only_that(take: Take) -> None:
    take(
        companies_csv=COMPANIES + "c1,One,NOK,Europe/Oslo,25,yes\n",
        users_csv=USERS + "c1,u1,Bo,bo@example.com,yes,yes,a\nc1,u2,Liv,,no,no,\n",
        licences_csv="company,from,licences\nc1,2026-11-01,12\n",
    )

    summary = take(
        LATER,
        companies_csv=COMPANIES + "c1,One AS,NOK,Europe/Oslo,25,no\n",
        users_csv=USERS + "c1,u1,Bo,BO@example.com,no,no,a;c\nc1,u2,Liv,,yes,yes,\n",
        licences_csv="company,from,licences\nc1,2026-11-01,9\n",
    )

    assert astuple(summary) == ((0, 1, 0), (0, 2, 0), (0, 1, 0), 0)
    assert (Company.get().name, Company.get().deactivated_at) == ("One AS", LATER)
    bo, liv = User.select().order_by(User.external_id)
    assert (bo.email, bo.rights, bo.deactivated_at, bo.licensed_at) == ("BO@example.com", ["a", "c"], LATER, None)
    assert (liv.deactivated_at, liv.licensed_at) == (None, LATER)
    assert (Licence.get().licences, Licence.get().recorded_at) == (9, LATER)
    assert logged(after=5) == [
        ("company.edit", "company c1", {"name": "One", "active": True}, {"name": "One AS", "active": False}),
        ("user.edit", "user u1 (Bo)",
            {"email": "bo@example.com", "active": True, "licensed": True, "rights": ["a"]},
            {"email": "BO@example.com", "active": False, "licensed": False, "rights": ["a", "c"]}),
        ("user.edit", "user u2 (Liv)", {"active": False, "licensed": False}, {"active": True, "licensed": True}),
        ("licence.edit", "licences from 2026-10-31T23:00:00Z", {"licences": 12}, {"licences": 9}),
        ("import", "companies.csv, users.csv, licences.csv", None, {"changed": summary.sentences()}),
    ]  # fmt: skip


def test_a_column_that_is_not_there_leaves_what_is_stored(take: Take) -> None:
    take(
        companies_csv=COMPANIES + "c1,One,SEK,Europe/Stockholm,12,no\n",
        users_csv=USERS + "c1,u1,Bo,bo@example.com,no,no,a\n",
    )

    summary = take(LATER, c_csv="id,name,currency\nc1,One,SEK\n", u_csv="company,id,name\nc1,u1,Bo\n")

    assert astuple(summary) == ((0, 0, 1), (0, 0, 1), (0, 0, 0), 0)


def test_users_with_the_same_id_in_two_companies_are_two_users(take: Take) -> None:
    take(companies_csv=COMPANIES + "c1,One,NOK,,,\nc2,Two,NOK,,,\n", users_csv=USERS + "c1,u,Bo,,,,\nc2,u,Liv,,,,\n")

    take(LATER, users_csv=USERS + "c2,u,Live,,,,\n")

    assert sorted(row.name for row in User.select()) == ["Bo", "Live"]


def test_a_company_may_be_in_the_store_already_or_in_another_file_of_the_import(take: Take) -> None:
    take(companies_csv=COMPANIES + "c1,One,NOK,,,\n")

    summary = take(users_csv=USERS + "c1,u,Bo,,,,\nc2,u,Liv,,,,\n", z_csv=COMPANIES + "c2,Two,NOK,,,\n")

    assert summary.users.new == 2


def test_one_fault_anywhere_and_nothing_is_taken(take: Take) -> None:
    with pytest.raises(ImportRefused) as refused:
        take(
            companies_csv=COMPANIES + "c1,One,NOK,,,\nc2,Two,nok,,,\n",
            users_csv=USERS + "c1,u1,Bo,,,,\nc2,u1,Bo,,,,\nc3,u1,Bo,,,,\n",
            licences_csv="company,from,licences\nc4,2026-11-01,1\nc1,2026-11-01,1\nc1,2026-10-31T23:00:00Z,2\n",
        )

    assert refused.value.faults == [
        "companies.csv:3: currency: “nok” is not a currency; write three capital letters, such as NOK.",
        "users.csv:4: company: “c3” is neither in these files nor in the store; add it.",
        "licences.csv:2: company: “c4” is neither in these files nor in the store; add it.",
        "licences.csv:4: from: licences.csv:3 names this company and instant already; keep one.",
    ]
    assert str(refused.value).startswith("Nothing was imported: 4 faults. Correct and import again.\ncompanies.csv:3: ")
    assert [table.select().count() for table in (Company, User, Licence, Event)] == [0, 0, 0, 0]


def test_companies_that_cannot_be_read_do_not_make_each_of_their_users_a_fault(take: Take) -> None:
    with pytest.raises(ImportRefused) as refused:
        take(companies_csv="id,nam,currency\nc1,One,NOK\n", users_csv=USERS + "c1,u1,Bo,,,,\n")

    assert refused.value.faults == [
        "companies.csv:1: nam: this column is not known; did you mean “name”?",
        "companies.csv:1: name: this column is missing; companies need it.",
    ]


def test_a_crash_half_way_leaves_nothing(take: Take, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(COMPANIES + "c1,One,NOK,,,\n")
    (tmp_path / "u.csv").write_text(USERS + "".join(f"c1,u{number},Bo,,,,\n" for number in range(600)))

    def interrupted(what: str, done: int, _total: int) -> None:
        if what == "writing users" and done == 500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        importing.take(OLAV, [tmp_path / "c.csv", tmp_path / "u.csv"], NOON, interrupted)

    assert [table.select().count() for table in (Company, User, Event)] == [0, 0, 0]


@pytest.mark.parametrize("role", ["company-admin", "auditor"])
def test_only_an_operator_may_import(take: Take, role: str) -> None:
    with pytest.raises(NotAllowed):
        take(actor=Actor("kari", role, "test"), companies_csv="nonsense")


def test_an_import_of_no_file_is_refused(empty_store: str) -> None:
    with pytest.raises(Refused, match="Name at least one CSV or JSON file to import"):
        importing.take(OLAV, [], NOON)


def test_files_without_rows_change_nothing_and_say_so(take: Take) -> None:
    assert take(users_csv=USERS).sentences() == ["The files hold no rows; nothing was changed."]


def test_the_days_of_licences_are_those_of_the_zone_that_the_company_has_after_the_import(take: Take) -> None:
    take(
        companies_csv=COMPANIES + "c1,One,NOK,Europe/Oslo,,\nc2,Two,ISK,Atlantic/Reykjavik,,\n",
        a_csv="company,from,licences\nc1,2026-12-01,1\nc2,2026-12-01,2\n",
    )

    take(b_csv=COMPANIES + "c1,One,NOK,Pacific/Auckland,,\n", c_csv="company,from,licences\nc1,2027-01-01,3\n")

    assert [(row.licences, row.at) for row in Licence.select().order_by(Licence.licences)] == [
        (1, datetime(2026, 11, 30, 23, tzinfo=UTC)),
        (2, datetime(2026, 12, 1, tzinfo=UTC)),
        (3, datetime(2026, 12, 31, 11, tzinfo=UTC)),
    ]


def test_when_a_company_moves_to_another_zone_its_living_keys_end_with_their_last_day_there(take: Take) -> None:
    who = cast.arrive()
    cast.enable(who.nordlys, who.ase)
    living = cast.key_of(who.ase, expires_on=date(2026, 12, 24), now=NOON).key
    ended = cast.key_of(who.ase, expires_on=date(2026, 11, 1), now=NOON - timedelta(days=60)).key
    rotated = cast.key_of(who.ase, expires_on=date(2026, 12, 24), now=NOON).key
    Key.update(rotated_at=NOON, ends_at=NOON + timedelta(days=7)).where(Key.id == rotated.id).execute()
    revoked = cast.key_of(who.ase, expires_on=date(2026, 12, 24), now=NOON).key
    Key.update(revoked_at=NOON).where(Key.id == revoked.id).execute()

    summary = take(LATER, companies_csv="id,name,currency,time_zone\nnordlys,Nordlys AS,NOK,America/New_York\n")

    assert summary.sentences() == [
        "companies: 0 new, 1 changed, 0 unchanged",
        "keys: 1 end at another instant, as their company's time zone is another",
    ]
    christmas_in_new_york = datetime(2026, 12, 25, 5, tzinfo=UTC)
    assert {key.id: key.ends_at for key in Key.select()} == {
        living.id: christmas_in_new_york,
        ended.id: datetime(2026, 11, 1, 23, tzinfo=UTC),
        rotated.id: NOON + timedelta(days=7),
        revoked.id: datetime(2026, 12, 24, 23, tzinfo=UTC),
    }
    spans = {row.key_id: row.ended_at for row in KeySpan.select()}
    assert (spans[living.id], spans[ended.id]) == (christmas_in_new_york, datetime(2026, 11, 1, 23, tzinfo=UTC))


@pytest.mark.parametrize(
    ("zone", "ends", "spans"),
    [
        # It worked until 23:00, and its last day in Auckland was over at 11:00: it ends, and what it did stays.
        ("Pacific/Auckland", "2026-11-24 11:00", [("2026-11-23 12:00", "2026-11-24 22:00")]),
        # Its last day is not over in New York: it goes on without a gap.
        ("America/New_York", "2026-11-25 05:00", [("2026-11-23 12:00", "2026-11-25 05:00")]),
    ],
)
def test_a_key_on_its_last_day_ends_or_goes_on_where_the_company_is_now(
    take: Take, zone: str, ends: str, spans: list[tuple[str, str]]
) -> None:
    who = cast.arrive()
    cast.enable(who.nordlys, who.ase)
    cast.key_of(who.ase, expires_on=date(2026, 11, 24), now=NOON)

    moved_at = datetime(2026, 11, 24, 22, tzinfo=UTC)
    take(moved_at, companies_csv=f"id,name,currency,time_zone\nnordlys,Nordlys AS,NOK,{zone}\n")

    assert f"{Key.get().ends_at:%Y-%m-%d %H:%M}" == ends
    assert [(f"{row.started_at:%Y-%m-%d %H:%M}", f"{row.ended_at:%Y-%m-%d %H:%M}") for row in KeySpan.select()] == spans


def test_a_key_that_had_just_ended_works_again_where_its_last_day_is_not_over_and_the_gap_stays(take: Take) -> None:
    who = cast.arrive()
    cast.enable(who.nordlys, who.ase)
    key = cast.key_of(who.ase, expires_on=date(2026, 11, 24), now=NOON).key
    moved_at = datetime(2026, 11, 25, 1, tzinfo=UTC)

    take(moved_at, companies_csv="id,name,currency,time_zone\nnordlys,Nordlys AS,NOK,America/New_York\n")

    assert Key.get().ends_at == datetime(2026, 11, 25, 5, tzinfo=UTC)
    assert [(seconds(row.started_at), seconds(row.ended_at)) for row in KeySpan.select().order_by(KeySpan.id)] == [
        (seconds(NOON), seconds(key.ends_at)),
        (seconds(moved_at), seconds(moved_at) + 4 * 3600),
    ]


def test_a_user_who_leaves_keeps_the_keys_which_are_no_longer_accepted(take: Take) -> None:
    who = cast.arrive()
    cast.enable(who.nordlys, who.ase)
    made = cast.key_of(who.ase)

    take(LATER, users_csv="company,id,name,active,licensed\nnordlys,ase,Åse Berg,no,no\n")

    assert (Key.get().revoked_at, Key.get().ends_at) == (None, made.key.ends_at)
    assert Acceptor(cast.PEPPERS).accept(made.secret, "prod", LATER).reason == "resource-inactive"


def test_the_examples_can_be_imported_as_they_stand(empty_store: str) -> None:
    examples = Path(__file__).parent.parent / "examples"

    tables = importing.take(OLAV, [examples / f"{name}.csv" for name in ("companies", "users", "licences")], NOON)
    lists = importing.take(OLAV, [examples / "example.json"], NOON)

    assert (astuple(tables), astuple(lists)) == (
        ((12, 0, 0), (123, 0, 0), (22, 0, 0), 0),
        ((2, 0, 0), (3, 0, 0), (2, 0, 0), 0),
    )


def test_who_an_invoice_is_made_out_to_is_imported_with_the_company_and_empty_where_nothing_is_said(take: Take) -> None:
    told = {
        "organisation_number": "987654325",
        "vat_id": "NO987654325MVA",
        "endpoint": "0192:987654325",
        "country": "NO",
    }
    header = f"id,name,currency,{','.join(told)}\n"

    take(companies_csv=f"{header}c1,One,NOK,{','.join(told.values())}\nc2,Two,NOK,,,,\n")

    (billing,) = CompanyBilling.select()
    assert billing.company == Company.get(external_id="c1")
    assert {name: getattr(billing, name) for name in told} == told
    assert (billing.street, billing.city, billing.postal_code, billing.invoice_email) == ("", "", "", "")
    assert [set(told) & set(after) for act, _, _, after in logged() if act == "company.create"] == [set(told), set()]


def test_a_new_address_of_an_invoice_is_one_event_and_a_file_that_does_not_name_it_leaves_it(take: Take) -> None:
    take(companies_csv="id,name,currency,street,city\nc1,One,NOK,Storgata 1,Oslo\n")
    known = len(logged())

    take(LATER, companies_csv="id,name,currency,street\nc1,One,NOK,Lillegata 2\n")
    assert logged(known)[0] == ("company.edit", "company c1", {"street": "Storgata 1"}, {"street": "Lillegata 2"})

    assert take(LATER, companies_csv="id,name,currency\nc1,One,NOK\n").companies.unchanged == 1
    assert [(row.street, row.city) for row in CompanyBilling.select()] == [("Lillegata 2", "Oslo")]
