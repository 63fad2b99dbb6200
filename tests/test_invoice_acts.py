"""What can be done about invoices by command: decide, release, credit, verify, and agree on terms?"""

import re
from datetime import date, timedelta

import pytest
from cast import Cast
from invoice_desk import NOVEMBER_1, OCTOBER_5, Desk, october

from store import database, invoices, restored
from store.actors import WORKER
from store.tables import InvoiceLine, InvoiceMonth, Key, Licence, UsageBatch, UsageDay


@pytest.fixture
def desk(store_location: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(store_location, capsys, monkeypatch)


@pytest.fixture
def cast(desk: Desk) -> Cast:
    return october()


# What waits for a person


@pytest.fixture
def overused(cast: Cast) -> int:
    """700 requests in October, of which 200 are included, drafted again; the number of the line that waits."""
    with database.session():
        key = Key.select().order_by(Key.id).first()
        batch = UsageBatch.create(source="edge", batch="1", received_at=OCTOBER_5, rows=1, rejected=0)
        UsageDay.create(
            batch=batch, company=cast.nordlys, key=key, day=date(2026, 10, 6), environment="prod", requests=700, bytes=0
        )
        invoices.draft_month(cast.nordlys.id, "2026-10", NOVEMBER_1)
        return int(InvoiceLine.get(InvoiceLine.status == "needs_review").id)


def test_a_line_that_waits_is_reviewed_with_its_number_and_approved_into_the_totals(desk: Desk, overused: int) -> None:
    assert desk.told("invoice", "review") == [
        (
            f"{overused}  Nordlys AS (nordlys), October 2026: API usage above what is included, 1 block of 500 "
            "requests, NOK 60.00"
        ),
        (
            "    700 requests in October 2026, 200 requests included: 1 started block of 500 requests; "
            "not invoiced until somebody approves it."
        ),
        "`keydesk invoice decide NUMBER approve|waive --reason TEXT` decides.",
    ]
    assert desk.told("invoice", "show", "nordlys", "2026-10")[5:9] == [
        "  overuse_requests   1 started block of 500 x 60.00                     60.00  waits for a decision",
        (
            "    700 requests in October 2026, 200 requests included: 1 started block of 500 requests; "
            "not invoiced until somebody approves it."
        ),
        "  net, NOK                                                              99.00",
        "  VAT, NOK                                                              24.75",
    ]

    assert desk.told("invoice", "decide", str(overused), "approve", "--reason", "as agreed by telephone") == [
        (
            "API usage above what is included, 1 block of 500 requests, October 2026 of Nordlys AS: approved, "
            "NOK 60.00 is in the totals now."
        )
    ]

    assert desk.told("invoice", "review") == ["Nothing waits for a decision."]
    shown = desk.told("invoice", "show", "nordlys", "2026-10")
    assert shown[7] == "  net, NOK                                                             159.00"
    assert re.fullmatch(r"  overuse_requests   1 started block of 500 x 60\.00 +60\.00  approved by \w+", shown[5])
    explained = desk.told("invoice", "explain", "nordlys", "2026-10", "overuse_requests")
    assert explained[3:] == [
        "  Used             700 requests",
        "  Included         200 requests",
        "  Above            500 requests",
        "  Started blocks   1 of 500 requests",
        "  Price list       API/NOK@2026-01-01#1",
        "  Terms            none agreed",
        "  Arithmetic       1 x 60.00 = 60.00",
        "  Decided because  as agreed by telephone",
    ]


def test_a_line_that_is_waived_stays_at_zero(desk: Desk, cast: Cast, overused: int) -> None:
    assert desk.told("invoice", "decide", str(overused), "waive", "--reason", "our own load test") == [
        (
            "API usage above what is included, 1 block of 500 requests, October 2026 of Nordlys AS: waived, "
            "the line stays at zero."
        )
    ]

    shown = desk.told("invoice", "show", "nordlys", "2026-10")
    assert re.fullmatch(
        r"  overuse_requests   1 started block of 500 x 60\.00, less 60\.00 +0\.00  waived by \w+", shown[5]
    )
    assert shown[7] == "  net, NOK                                                              99.00"
    assert desk.refused("invoice", "decide", "999999", "waive", "--reason", "none") == (
        "This invoice line is no longer there; look at the month again."
    )


def test_a_month_that_is_held_is_named_with_its_reason_until_it_is_released(desk: Desk, cast: Cast) -> None:
    with database.session():
        InvoiceMonth.update(state="held", error="The total is negative.").execute()

    assert desk.told("invoice", "review", "--company", "nordlys") == [
        "Nordlys AS (nordlys), October 2026 is held.",
        "    The total is negative.",
        "    `keydesk invoice release nordlys 2026-10 --reason TEXT` lets it become final as it is.",
    ]
    assert desk.told("invoice", "release", "nordlys", "2026-10", "--reason", "as it should be") == [
        "2026-10 of Nordlys AS becomes final with the next run, if its facts do not change."
    ]
    assert desk.told("invoice", "review") == ["Nothing waits for a decision."]


# What is final


@pytest.fixture
def final(cast: Cast) -> Cast:
    """October is final with two licensed users where there were three."""
    with database.session():
        invoices.finalise_month(cast.nordlys.id, "2026-10", NOVEMBER_1 + timedelta(days=3))
    return cast


def test_final_lines_are_verified_against_the_facts_and_each_difference_is_told(desk: Desk, final: Cast) -> None:
    assert desk.told("invoice", "verify", "2026-10") == [
        "1 final document of 2026-10: every line is what the facts give."
    ]
    assert desk.told("invoice", "verify", "2026-11") == ["Nothing of 2026-11 is final yet."]
    with database.session():
        Licence.update(licences=3).where(Licence.company == final.nordlys).execute()

    status, out, err = desk("invoice", "verify", "2026-10")

    assert (status, err) == (3, "")
    assert out.splitlines() == [
        "Nordlys AS (nordlys) 2026-10 access: quantity is stored as 2, the facts give 3",
        "Nordlys AS (nordlys) 2026-10 access: gross is stored as 50.00, the facts give 75.00",
        "Nordlys AS (nordlys) 2026-10 access: net is stored as 50.00, the facts give 75.00",
        "Nordlys AS (nordlys) 2026-10 extra_key: line is stored as 49.00, the facts give none",
        "4 differences in 2026-10.",
    ]


def test_a_final_month_that_was_wrong_is_credited_and_billed_again(desk: Desk, final: Cast) -> None:
    assert desk.refused("invoice", "credit", "nordlys", "2026-10", "--reason", "for fun") == (
        "Nothing of 2026-10 of Nordlys AS would change; it was invoiced as the facts are."
    )
    with database.session():
        Licence.update(licences=3).where(Licence.company == final.nordlys).execute()
    correction = [
        "  credit:access                              NOK -50.00",
        "  credit:extra_key                           NOK -49.00",
        "  access                                      NOK 75.00",
        "October 2026 changes from NOK 99.00 to NOK 75.00.",
    ]
    credit = ("invoice", "credit", "nordlys", "2026-10", "--reason", "a licence too few")
    assert desk.told(*credit, "--dry-run") == [*correction, "Nothing was changed."]
    assert len(desk.told("invoice", "show", "nordlys", "2026-10")) == 8

    assert desk.told(*credit) == correction

    assert desk.told("invoice", "show", "nordlys", "2026-10")[8:] == [
        "",
        "Nordlys AS (nordlys), October 2026, correction 1: final since 2026-11-23 13:00 (Europe/Oslo)",
        "  a licence too few",
        "  credit:access      -2 users x 25.00                                  -50.00",
        "    Takes back this line of October 2026 exactly as it was invoiced.",
        "  credit:extra_key   -1 keys x 49.00                                   -49.00",
        "    Takes back this line of October 2026 exactly as it was invoiced.",
        "  access             3 users x 25.00                                    75.00",
        "    API Access was on for all 31 days in October 2026; the highest number was 3 licensed users, on 1 October.",
        "  net, NOK                                                             -24.00",
        "  VAT, NOK                                                              -6.00",
        "  gross, NOK                                                           -30.00",
    ]
    assert desk.told("invoice", "verify", "2026-10") == [
        "2 final documents of 2026-10: every line is what the facts give."
    ]
    assert [line for line in desk.told("invoice", "explain", "nordlys", "2026-10", "access") if "Arith" in line] == [
        "  Arithmetic       2 x 25.00 = 50.00",
        "  Arithmetic       3 x 25.00 = 75.00",
    ]


def test_a_restored_store_credits_nothing_until_it_is_released(desk: Desk, final: Cast) -> None:
    credit = ("invoice", "credit", "nordlys", "2026-10", "--reason", "a licence too few")
    with database.session():
        Licence.update(licences=3).where(Licence.company == final.nordlys).execute()
        restored.hold(WORKER, "a test", NOVEMBER_1)

    assert desk.refused(*credit).startswith("This store was restored at 2026-11-01")
    assert desk.told(*credit, "--dry-run")[-1] == "Nothing was changed."
    with database.session():
        restored.release(WORKER, NOVEMBER_1 + timedelta(days=1))
    assert desk.told(*credit)[-1] == "October 2026 changes from NOK 99.00 to NOK 75.00."


# What was agreed


def test_a_term_is_previewed_before_it_is_saved_ended_and_withdrawn(desk: Desk, cast: Cast) -> None:
    add = ("terms", "add", "nordlys", "extra_key", "unit_price", "29", "--from", "2026-10", "--reference", "2026-17 §5")
    sentences = [
        "October 2026 changes from NOK 99.00 to NOK 79.00.",
        "November 2026 changes from NOK 99.00 to NOK 79.00.",
    ]

    status, out, err = desk(*add)
    assert (status, err) == (3, "")
    assert out.splitlines() == [*sentences, "Nothing was changed; say --yes to save it."]
    assert desk.told("terms", "list", "nordlys") == ["Nothing else was agreed with Nordlys AS than its price list API."]

    *told, saved = desk.told(*add, "--yes")
    assert told == sentences
    number = saved.split()[1]
    assert saved == f"Saved: {number}  extra_key unit_price 29.00, 2026-10 on (2026-17 §5)"
    assert desk.told("terms", "list", "nordlys") == [f"{number}  extra_key unit_price 29.00, 2026-10 on (2026-17 §5)"]
    assert desk.told("invoice", "show", "nordlys", "2026-10")[3:6] == [
        "  extra_key          1 key x 29.00                                      29.00",
        (
            "    3 keys were in use at the same time on 5 October at 12:00; 2 are included. "
            "The price is agreed (2026-17 §5)."
        ),
        "  net, NOK                                                              79.00",
    ]

    ended = desk("terms", "end", "nordlys", number, "--last", "2026-10")
    assert ended == (
        3,
        "November 2026 changes from NOK 79.00 to NOK 99.00.\nNothing was changed; say --yes to save it.\n",
        "",
    )
    assert desk.told("terms", "end", "nordlys", number, "--last", "2026-10", "--yes")[-1] == (
        f"Saved: {number}  extra_key unit_price 29.00, 2026-10 to 2026-10 (2026-17 §5)"
    )
    assert desk.told("terms", "end", "nordlys", number, "--withdraw", "--yes")[-1] == (
        f"Withdrawn: {number}  extra_key unit_price 29.00, 2026-10 to 2026-10 (2026-17 §5)"
    )
    assert desk.told("invoice", "show", "nordlys", "2026-10")[5] == (
        "  net, NOK                                                              99.00"
    )


def test_a_term_of_another_company_or_of_no_line_is_refused(desk: Desk, cast: Cast) -> None:
    agreed = ("--from", "2026-10", "--reference", "§1", "--yes")
    number = desk.told("terms", "add", "nordlys", "access", "waive", *agreed)[-1].split()[1]

    assert desk.refused("terms", "end", "sydlys", number, "--withdraw", "--yes") == (
        f"Sydlys ApS has no term {number}; `keydesk terms list` has the numbers."
    )
    assert desk.refused("terms", "add", "nordlys", "coffee", "waive", *agreed).startswith("'coffee' is not a line")
    assert desk.refused("terms", "add", "nordlys", "access", "waive", *agreed).startswith(
        "waive of access is agreed for 2026-10 on already (§1)"
    )
