"""How is a day written or picked?"""

from contextlib import suppress
from datetime import date, timedelta

import pytest
from dialog_stage import on_stage
from hypothesis import given
from hypothesis import strategies as st

from store.errors import FormatWrong
from tui.dialogs.edit_expiry import EditExpiryDialog, KeyShown
from tui.widgets.date_input import parse_date, spelled

TODAY = date(2026, 11, 23)
KEY = KeyShown("ERP export", "Kari Nordmann", "kdp_4fT8", "x9Qz")


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2027-11-23", date(2027, 11, 23)),
        ("2027-1-3", date(2027, 1, 3)),
        ("  2028-02-29 ", date(2028, 2, 29)),
        ("+90d", date(2027, 2, 21)),
        ("+ 90 D", date(2027, 2, 21)),
        ("+0d", date(2026, 11, 23)),
        ("+6w", date(2027, 1, 4)),
        ("today", date(2026, 11, 23)),
        ("eom", date(2026, 11, 30)),
        ("EOM", date(2026, 11, 30)),
    ],
)
def test_a_day_is_written_in_full_or_counted_from_today(written: str, day: date) -> None:
    assert parse_date(written, TODAY) == day


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("", "The date is empty; write one like 2027-11-23, +90d or eom."),
        ("soon", "“soon” is not a date; write one like 2027-11-23, +90d or eom."),
        ("-3d", "“-3d” is not a date; write one like 2027-11-23, +90d or eom."),
        ("20271123", "“20271123” is not a date; write one like 2027-11-23, +90d or eom."),
        ("2027-11-23T00", "“2027-11-23t00” is not a date; write one like 2027-11-23, +90d or eom."),
        ("２０２７-11-23", "“２０２７-11-23” is not a date; write one like 2027-11-23, +90d or eom."),
        ("2027-02-29", "The calendar has no day “2027-02-29”; write one like 2027-11-23."),
        ("2027-13-01", "The calendar has no day “2027-13-01”; write one like 2027-11-23."),
        ("0000-01-01", "The calendar has no day “0000-01-01”; write one like 2027-11-23."),
        ("x\x1b]52;c;eA\x07", "“x‹001B›]52;c;ea…” is not a date; write one like 2027-11-23, +90d or eom."),
    ],
)
def test_anything_else_is_refused_with_a_sentence(written: str, sentence: str) -> None:
    with pytest.raises(FormatWrong) as refused:
        parse_date(written, TODAY)

    assert str(refused.value) == sentence


def test_the_last_day_of_a_leap_february_is_found_and_no_day_is_after_the_last() -> None:
    assert parse_date("eom", date(2028, 2, 3)) == date(2028, 2, 29)
    with pytest.raises(FormatWrong):
        parse_date("+1d", date(9999, 12, 31))


@given(st.text())
def test_no_text_makes_it_fail_otherwise(written: str) -> None:
    with suppress(FormatWrong):
        parse_date(written, TODAY)


@given(st.dates(), st.integers(0, 9999))
def test_what_a_day_is_written_as_is_that_day(day: date, ahead: int) -> None:
    assert parse_date(day.isoformat(), TODAY) == day
    assert parse_date(f"+{ahead}d", TODAY) == TODAY + timedelta(days=ahead)


def test_a_day_is_spelled_out_with_how_far_away_it_is() -> None:
    assert spelled(date(2028, 11, 23), TODAY) == "Thu 23 November 2028, in 731 days"
    assert spelled(date(2026, 11, 24), TODAY) == "Tue 24 November 2026, tomorrow"
    assert spelled(TODAY, TODAY) == "Mon 23 November 2026, today"
    assert spelled(date(2026, 11, 22), TODAY) == "Sun 22 November 2026, yesterday"
    assert spelled(date(2026, 11, 1), TODAY) == "Sun 1 November 2026, 22 days ago"


async def test_a_date_is_written_and_judged_while_it_is_written() -> None:
    async with on_stage(EditExpiryDialog(KEY, "standard", date(2026, 12, 1), TODAY)) as stage:
        await stage.until_seen("Now Tue 1 December 2026, in 8 days")

        await stage.write("2028-11-24")
        await stage.until_seen("The expiry date cannot be 2028-11-24; choose a date from 2026-11-23 to 2028-11-23.")
        await stage.press("enter")
        assert stage.answers == []

        await stage.press("home", "shift+end")
        await stage.write("2028-11-23")
        await stage.until_seen("Thu 23 November 2028, in 731 days")
        await stage.until_seen("(•) 2 years")
        await stage.press("enter")

    assert stage.answers == [date(2028, 11, 23)]


async def test_the_calendar_moves_by_days_weeks_and_months_and_stays_between_the_limits() -> None:
    async with on_stage(EditExpiryDialog(KEY, "standard", date(2026, 12, 31), TODAY)) as stage:
        await stage.press("f2")
        await stage.until_seen("December 2026")

        await stage.press("pagedown", "pagedown", "right", "down")
        await stage.until_seen("[ 8]")
        await stage.until_seen("March 2027")
        await stage.press("end", "right", "pagedown")
        await stage.until_seen("November 2028")
        await stage.press("home", "left", "up", "pageup")
        await stage.until_seen("November 2026")
        await stage.until_seen("[23]")

        await stage.press("down", "escape")
        assert stage.answers == []
        await stage.press("down", "left", "enter")
        await stage.until_seen("Wed 30 December 2026, in 37 days")
        await stage.press("enter")

    assert stage.answers == [date(2026, 12, 30)]


async def test_the_calendar_takes_a_click() -> None:
    async with on_stage(EditExpiryDialog(KEY, "standard", date(2026, 12, 31), TODAY)) as stage:
        await stage.press("f2")
        await stage.pilot.click("CalendarGrid", offset=(1 + 4 * 2 + 1, 2))  # the Wednesday of the first week
        await stage.until_seen("Wed 2 December 2026, in 9 days")


async def test_a_quick_choice_has_its_own_key() -> None:
    async with on_stage(EditExpiryDialog(KEY, "standard", date(2026, 12, 31), TODAY)) as stage:
        await stage.press("tab", "3")
        await stage.until_seen("Tue 23 February 2027, in 92 days")
        await stage.press("right", "enter")

    assert stage.answers == [date(2027, 11, 23)]


async def test_a_test_key_is_only_shortened() -> None:
    async with on_stage(EditExpiryDialog(KEY, "test", date(2026, 12, 1), TODAY)) as stage:
        await stage.until_seen("A test key can only be shortened: any day from 2026-11-23 to 2026-12-01.")
        assert not stage.sees("2 years")

        await stage.write("2026-12-02")
        await stage.press("enter")
        assert stage.answers == []
        await stage.until_seen("A test key is never lengthened; choose a date from 2026-11-23 to 2026-12-01")

        await stage.press("home", "shift+end")
        await stage.write("+1d")
        await stage.press("enter")

    assert stage.answers == [date(2026, 11, 24)]


async def test_an_expired_test_key_says_so_and_opens_no_calendar() -> None:
    async with on_stage(EditExpiryDialog(KEY, "test", date(2026, 11, 1), TODAY)) as stage:
        await stage.press("f2", "enter")

        assert stage.answers == []
        await stage.until_seen("This test key has expired, and a test key is never lengthened.")


async def test_the_same_date_is_no_change() -> None:
    async with on_stage(EditExpiryDialog(KEY, "standard", date(2026, 12, 1), TODAY)) as stage:
        await stage.press("enter")

    assert stage.answers == [None]
