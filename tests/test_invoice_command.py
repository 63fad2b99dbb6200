"""What does `keydesk invoice` show and explain of what is stored, and foretell of what is not?"""

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from cast import Cast, key_of
from invoice_desk import NOVEMBER_1, Desk, october

from store import database, invoices
from store.tables import Company, Licence

ACCESS = "API Access was on for all {} days in November 2026; the highest number was 2 licensed users, on 1 November."


@pytest.fixture
def desk(store_location: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(store_location, capsys, monkeypatch)


@pytest.fixture
def cast(desk: Desk) -> Cast:
    return october()


def test_a_month_is_shown_with_its_lines_their_reasons_and_the_totals(desk: Desk, cast: Cast) -> None:
    assert desk.told("invoice", "show", "nordlys", "2026-10") == [
        "Nordlys AS (nordlys), October 2026: draft",
        "  access             2 users x 25.00                                    50.00",
        "    API Access was on for all 31 days in October 2026; the highest number was 2 licensed users, on 1 October.",
        "  extra_key          1 key x 49.00                                      49.00",
        "    3 keys were in use at the same time on 5 October at 12:00; 2 are included.",
        "  net, NOK                                                              99.00",
        "  VAT, NOK                                                              24.75",
        "  gross, NOK                                                           123.75",
    ]


def test_a_final_month_says_since_when_in_the_companys_time(desk: Desk, cast: Cast) -> None:
    with database.session():
        invoices.finalise_month(cast.nordlys.id, "2026-10", NOVEMBER_1 + timedelta(days=3))

    assert desk.told("invoice", "show", "nordlys", "2026-10")[0] == (
        "Nordlys AS (nordlys), October 2026: final since 2026-11-04 05:00 (Europe/Oslo)"
    )


def test_a_line_is_explained_from_what_was_stored_with_it_to_the_keys_that_counted(desk: Desk, cast: Cast) -> None:
    with database.session():
        Licence.update(licences=99).execute()  # what changes later changes nothing that was stored

    told = desk.told("invoice", "explain", "nordlys", "2026-10", "extra_key")

    assert told[:11] == [
        "Nordlys AS (nordlys), October 2026: 1 extra API key, NOK 49.00",
        "3 keys were in use at the same time on 5 October at 12:00; 2 are included.",
        "",
        "  Most at once     3 on 5 October 2026 at 12:00 (Europe/Oslo)",
        "  Included         2",
        "  Extra            1",
        "  Rotations        a key and its successor count as one for 7 days",
        "  Price list       API/NOK@2026-01-01#1",
        "  Terms            none agreed",
        "  Arithmetic       1 x 49.00 = 49.00",
        "  Keys             3, by age",
    ]
    key = r"    kdp_[0-9A-Za-z]{4}…[0-9A-Za-z]{4}  key_[0-9a-f]{16}  standard prod, made 2026-10-05 for Åse Berg: erp-"
    assert [bool(re.fullmatch(key + str(number), line)) for number, line in enumerate(told[11:])] == [True] * 3


def test_the_present_month_is_previewed_so_far_and_to_its_end(desk: Desk, cast: Cast) -> None:
    with database.session():
        key_of(cast.ase, label="one more", expires_on=date(2028, 10, 1), now=datetime(2026, 11, 20, 9, tzinfo=UTC))

    assert desk.told("invoice", "preview", "nordlys") == [
        "Nordlys AS (nordlys), November 2026 so far",
        "  access             2 users x 25.00                                    50.00",
        f"    So far, until 23 November: {ACCESS.format(23)}",
        "  extra_key          2 keys x 49.00                                     98.00",
        "    So far, until 23 November: 4 keys were in use at the same time on 20 November at 10:00; 2 are included.",
        "  net, NOK                                                             148.00",
        "  VAT, NOK                                                              37.00",
        "  gross, NOK                                                           185.00",
        "",
        "Nordlys AS (nordlys), November 2026 to its end, if nothing changes any more",
        "  access             2 users x 25.00                                    50.00",
        f"    {ACCESS.format(30)}",
        "  extra_key          2 keys x 49.00                                     98.00",
        "    4 keys were in use at the same time on 20 November at 10:00; 2 are included.",
        "  net, NOK                                                             148.00",
        "  VAT, NOK                                                              37.00",
        "  gross, NOK                                                           185.00",
    ]


def test_a_month_that_is_over_is_previewed_once(desk: Desk, cast: Cast) -> None:
    told = desk.told("invoice", "preview", "nordlys", "--month", "2026-09")

    assert [line for line in told if not line.startswith("  ")] == ["Nordlys AS (nordlys), September 2026 as of now"]


def test_what_is_not_there_is_told_with_what_to_do(desk: Desk, cast: Cast) -> None:
    assert desk.refused("invoice", "show", "nowhere", "2026-10") == (
        "There is no company with the id nowhere; the desk's company list shows the ids."
    )
    assert desk.refused("invoice", "show", "nordlys", "2026-11") == (
        "There is no 2026-11 of Nordlys AS yet; `keydesk invoice preview nordlys` tells what it would be."
    )
    assert desk.refused("invoice", "explain", "nordlys", "2026-10", "extra_test_key") == (
        "2026-10 of Nordlys AS has no line extra_test_key; it has access, extra_key."
    )


def test_a_name_from_outside_cannot_speak_to_the_terminal(desk: Desk, cast: Cast) -> None:
    with database.session():
        Company.update(name="Nord\x1b[2Jlys").where(Company.id == cast.nordlys.id).execute()

    for act in (["show", "nordlys", "2026-10"], ["explain", "nordlys", "2026-10", "access"], ["preview", "nordlys"]):
        _, out, _ = desk("invoice", *act)
        assert "Nord‹001B›[2Jlys" in out
        assert "\x1b" not in out
