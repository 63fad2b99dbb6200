"""What can be settled by command once a month is final, how are the terms read, and what do programs get?"""

import json
from datetime import date, timedelta

import pytest
from cast import Cast, enable
from invoice_desk import NOVEMBER_1, NOVEMBER_23, OCTOBER_5, Desk, october

from store import database, invoices, policy_preview
from store.tables import Company, Event, InvoiceLine, InvoiceMonth, Key, UsageBatch, UsageDay


@pytest.fixture
def desk(store_location: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(store_location, capsys, monkeypatch)


@pytest.fixture
def cast(desk: Desk) -> Cast:
    return october()


@pytest.fixture
def final(cast: Cast) -> Cast:
    with database.session():
        invoices.finalise_month(cast.nordlys.id, "2026-10", NOVEMBER_1 + timedelta(days=3))
    return cast


# Where a line goes


def test_a_final_line_is_held_back_from_every_export_with_a_reason_and_let_go_again(desk: Desk, final: Cast) -> None:
    line = ("nordlys", "2026-10", "extra_key")
    about = "1 extra API key, NOK 49.00, October 2026 of Nordlys AS"

    assert desk.told("invoice", "hold-back", *line, "--reason", "paid in advance") == [
        f"{about} is held back: no export has it until it is let go."
    ]
    _, csv, told = desk("invoice", "export", "--format", "csv", "--month", "2026-10")
    assert ("extra_key" in csv, "1 line is not to be transferred, and left out." in told) == (False, True)
    assert desk.refused("invoice", "hold-back", *line, "--reason", "once more") == (
        "The line extra_key of 2026-10 stands as “do not transfer”, and cannot become “do not transfer”."
    )

    assert desk.told("invoice", "let-go", *line) == [f"{about} is let go: the next export has it."]
    assert ",extra_key," in desk("invoice", "export", "--format", "csv", "--month", "2026-10")[1]
    with database.session():
        assert [event.after for event in Event.select().where(Event.act == "invoice.transfer").order_by(Event.id)] == [
            {"transfer": "do-not-transfer", "reason": "paid in advance"}, {"transfer": "to-transfer"},
        ]  # fmt: skip


def test_a_line_that_is_not_there_and_one_of_a_draft_are_told(desk: Desk, cast: Cast) -> None:
    assert desk.refused("invoice", "hold-back", "nordlys", "2026-10", "coffee", "--reason", "x") == (
        "There is no line coffee of 2026-10; it has access, extra_key."
    )
    assert desk.refused("invoice", "let-go", "nordlys", "2026-10", "access", "--revision", "2") == (
        "There is no line access in revision 2 of 2026-10; it has access, extra_key."
    )
    assert desk.refused("invoice", "hold-back", "nordlys", "2026-10", "access", "--reason", "x") == (
        "The line access of 2026-10 is a draft, which is not transferred anyhow; wait until the month is final."
    )


# What a run leaves to a person


@pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)  # in November; PostgreSQL knows what day it is
def test_a_run_names_the_months_that_are_held_and_those_that_could_not_be_rated(desk: Desk, cast: Cast) -> None:
    with database.session():
        InvoiceMonth.update(state="held", error="The total is negative.").execute()
        Company.update(price_list="OLD").where(Company.id == cast.sydlys).execute()
        enable(cast.sydlys, cast.dorte)

    status, out, err = desk("run", "invoice-lines")

    assert (status, out) == (
        4,
        (
            "2 runs of invoice-lines done, 0 failed. For a person to settle: 2 months (1 parked, 1 held); "
            "`keydesk invoice review` lists them.\n"
        ),
    )
    assert err.splitlines() == [
        (
            "keydesk: 2026-10 of Sydlys ApS waits: No price list OLD in DKK is in force for 2026-10; publish one with "
            "`keydesk prices publish`."
        ),
        "keydesk: 2026-10 of Nordlys AS is held: The total is negative.",
    ]


# How the terms are read


@pytest.fixture
def overused(cast: Cast) -> Cast:
    """700 requests in October and 1,200 in November, of which 200 are included; a started block of 500 costs 60.00."""
    with database.session():
        key = Key.select().order_by(Key.id).first()
        batch = UsageBatch.create(source="edge", batch="1", received_at=OCTOBER_5, rows=1, rejected=0)
        for day, requests in ((date(2026, 10, 6), 700), (date(2026, 11, 6), 1200)):
            told = {"batch": batch, "company": cast.nordlys, "key": key, "day": day, "environment": "prod", "bytes": 0}
            UsageDay.create(**told, requests=requests)
        invoices.draft_month(cast.nordlys.id, "2026-10", NOVEMBER_1)
    return cast


def test_another_reading_is_listed_previewed_and_saved_with_its_reason(desk: Desk, overused: Cast) -> None:
    listed = desk.told("invoice", "policy")
    assert [line.split()[0] for line in listed if "=" in line] == [
        "licensed_users_rule=peak", "rotation_grace_days=7", "free_test_keys_per_resource=3",
        "test_key_window=lifetime", "test_overflow_cadence=once", "access_proration=none", "overuse_mode=review",
        "usage_envs=prod", "late_usage_days=35", "undecided=carry", "line_limit=10",
    ]  # fmt: skip
    change = ("invoice", "policy", "overuse_mode=auto", "undecided=hold")

    status, told, _ = desk(*change)
    assert (status, told.splitlines()) == (
        3,
        [
            "October 2026: 1 of 1 companies changes, in all from NOK 99.00 to NOK 159.00.",
            "November 2026: 1 of 2 companies changes, in all from NOK 99.00 to NOK 219.00.",
            "A month whose overuse is undecided waits for the decision.",
            "Final months stay as they are; drafts follow with the next run.",
            "Nothing was changed; say --yes and --reason to save it.",
        ],
    )
    assert desk.refused(*change, "--yes") == "Say why with --reason; it is kept in the audit log."

    assert desk.told(*change, "--yes", "--reason", "contract template 2027")[-1] == "Saved."

    assert [line for line in desk.told("invoice", "policy") if line.startswith("*")] == [
        "* overuse_mode=auto                what becomes of usage above what is included",
        "* undecided=hold                   what undecided overuse does when its month is to become final",
    ]
    with database.session():
        event = Event.select().order_by(Event.id.desc()).first()
        assert (event.act, event.before, event.after) == (
            "billing.policy",
            {},
            {"overuse_mode": "auto", "undecided": "hold", "reason": "contract template 2027"},
        )
        assert invoices.draft_month(overused.nordlys.id, "2026-10", NOVEMBER_1)
        assert InvoiceLine.get(InvoiceLine.line_key == "overuse_requests").status == "ok"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("coffee=yes", "coffee is nothing to choose; there are licensed_users_rule, "),
        ("overuse_mode=maybe", "overuse_mode is one of review, auto, off, not maybe."),
        ("line_limit=-1", "line_limit is a whole number, not -1."),
        ("overuse_mode", "overuse_mode is not NAME=VALUE, such as overuse_mode=auto."),
        ("overuse_mode=review", "This is what is chosen already; nothing was changed."),
    ],
)
def test_what_cannot_be_chosen_is_told(desk: Desk, cast: Cast, given: str, sentence: str) -> None:
    assert desk.refused("invoice", "policy", given).startswith(sentence)


def test_of_many_companies_the_first_are_looked_at_and_that_is_said(desk: Desk, overused: Cast) -> None:
    with database.session():
        told = policy_preview.of_policy({"overuse_mode": "auto"}, NOVEMBER_23, looked_at=1)

    assert told[1] == "November 2026: 1 of the first 1 companies changes, in all from NOK 99.00 to NOK 219.00."


# For programs


def test_a_month_and_a_line_are_had_as_json_with_everything_that_is_stored(desk: Desk, final: Cast) -> None:
    told = json.loads("\n".join(desk.told("invoice", "show", "nordlys", "2026-10", "--json")))

    assert {name: told[name] for name in ("company", "name", "time_zone", "month")} == {
        "company": "nordlys", "name": "Nordlys AS", "time_zone": "Europe/Oslo", "month": "2026-10",
    }  # fmt: skip
    (document,) = told["documents"]
    assert {name: document[name] for name in ("revision", "state", "final_at", "net", "net_minor", "vat", "gross")} == {
        "revision": 1, "state": "final", "final_at": "2026-11-04T04:00:00Z", "net": "99.00", "net_minor": 9900,
        "vat": "24.75", "gross": "123.75",
    }  # fmt: skip
    assert [(line["line_key"], line["net"], line["transfer"]) for line in document["lines"]] == [
        ("access", "50.00", "to-transfer"), ("extra_key", "49.00", "to-transfer"),
    ]  # fmt: skip

    line = json.loads("\n".join(desk.told("invoice", "explain", "nordlys", "2026-10", "extra_key", "--json")))

    assert [each["net_minor"] for each in line["lines"]] == [4900]
    assert line["lines"][0] == document["lines"][1]
    assert len(line["lines"][0]["explain"]["keys"]) == 3
