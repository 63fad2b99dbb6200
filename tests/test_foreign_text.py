"""Can text from elsewhere hide something, break a line, or become a formula?"""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import FormatWrong
from store.rules.text import check_name, csv_cell, one_line, visible

anything = st.text(st.characters(), max_size=60)  # surrogates and unassigned code points too

HARMLESS = [
    "Åse Ærlig-Ødegård",
    "Straße & Söhne",
    "名前株式会社",
    "שלום",
    "می\u200cخواهم",
    "👩\u200d🚀",
    "❤\ufe0f",
    "[red]not markup[/]",
    "a  b",
    "a\u00a0b",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_people_write_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "‹001B›[2J"),
        ("\x9b2J", "‹009B›2J"),
        ("a\nb\r\tc\0", "a‹000A›b‹000D›‹0009›c‹0000›"),
        ("\x7f", "‹007F›"),
        ("user\u202egpj.exe", "user‹202E›gpj.exe"),
        ("\u2066\u2067\u2068\u2069\u200e\u200f\u061c", "‹2066›‹2067›‹2068›‹2069›‹200E›‹200F›‹061C›"),
        ("a\u200bb\ufeff\u00adc", "a‹200B›b‹FEFF›‹00AD›c"),
        ("\u2028\u2029", "‹2028›‹2029›"),
        ("\udc80", "‹DC80›"),
        ("\ue000", "‹E000›"),
        ("\U000e0041", "‹E0041›"),
        ("\U0010ffff", "‹10FFFF›"),
    ],
)
def test_what_hides_is_shown_as_its_code_point(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(anything)
@settings(deadline=None)
def test_nothing_hides_in_what_is_shown(text: str) -> None:
    shown = visible(text)

    hidden = [c for c in shown if unicodedata.category(c) in {"Cc", "Cs", "Co", "Cn", "Zl", "Zp", "Cf"}]
    assert set(hidden) <= {"\u200c", "\u200d"}
    assert visible(shown) == shown


@pytest.mark.parametrize(
    ("written", "kept"),
    [("  Acme AS\n", "Acme AS"), ("A\u030ase", "Åse"), ("\u00a0x\u00a0", "x"), ("名" * 64, "名" * 64), ("*", "*")],
)
def test_a_name_is_composed_and_trimmed(written: str, kept: str) -> None:
    assert check_name(written, "The name") == kept


@pytest.mark.parametrize("name", HARMLESS)
def test_a_name_in_any_script_is_kept(name: str) -> None:
    assert check_name(name, "The name") == name


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "The label is empty; write 1 to 64 characters."),
        (" \t\n", "The label is empty; write 1 to 64 characters."),
        ("\u3164", "The label is empty; write 1 to 64 characters."),
        ("\u200d", "The label is empty; write 1 to 64 characters."),
        ("\u0301", "The label is empty; write 1 to 64 characters."),
        ("x" * 65, "The label has 65 characters; shorten it to at most 64."),
        ("x" * 1_000_000, "The label has 1000000 characters; shorten it to at most 64."),
        ("a\u0301\u0323" * 200_000, "The label has 600000 characters; shorten it to at most 64."),
        ("a\nb", "The label holds characters that cannot be seen (‹000A›); remove them."),
        ("a\u202eb\0\0", "The label holds characters that cannot be seen (‹0000› ‹202E›); remove them."),
        ("a\udc80", "The label holds characters that cannot be seen (‹DC80›); remove them."),
    ],
)
def test_a_name_that_is_empty_long_or_hiding_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(FormatWrong) as refused:
        check_name(name, "The label")

    assert str(refused.value) == sentence


def test_a_name_may_have_another_limit() -> None:
    assert check_name("x" * 200, "The reason", 200) == "x" * 200


@given(anything)
@settings(deadline=None)
def test_a_name_once_kept_is_kept_again_and_shown_as_it_is(text: str) -> None:
    try:
        name = check_name(text, "The name")
    except FormatWrong:
        return

    assert check_name(name, "The name") == name
    assert visible(name) == name


@pytest.mark.parametrize(
    ("text", "limit", "line"),
    [
        ("one", 10, "one"),
        (" one\r\ntwo\u2028three ", 20, "one two three"),
        ("exactly ten", 11, "exactly ten"),
        ("one too many", 11, "one too ma…"),
        ("one two", 5, "one…"),
        ("a\x1b[2J", 10, "a‹001B›[2J"),
        ("a\x1b[2J", 9, "a‹001B›[…"),
        ("a\x1b[2J", 6, "a…"),
        ("", 5, ""),
    ],
)
def test_a_text_is_put_on_one_line_and_cut_at_whole_characters(text: str, limit: int, line: str) -> None:
    assert one_line(text, limit) == line


@given(anything, st.integers(1, 40))
@settings(deadline=None)
def test_one_line_is_never_longer_than_its_limit_nor_two_lines(text: str, limit: int) -> None:
    line = one_line(text, limit)

    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert visible(line) == line


@pytest.mark.parametrize(
    "value",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1", "  =1", "+47 22 33 44 55", "-", "\0=1"],
)
def test_what_a_spreadsheet_would_calculate_gets_an_apostrophe(value: str) -> None:
    assert csv_cell(value) == "'" + value


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("Acme AS", "Acme AS"),
        ("a=b", "a=b"),
        ("-49.00", "-49.00"),
        ("+5", "+5"),
        ("-1,5", "-1,5"),
        (-12, "-12"),
        (None, ""),
        ("", ""),
        ("  ", "  "),
        ("https://x/?a=1", "https://x/?a=1"),
    ],
)
def test_other_cells_and_plain_numbers_stay_as_they_are(value: object, cell: str) -> None:
    assert csv_cell(value) == cell


def test_ten_megabytes_cost_no_more_than_the_line_that_is_shown() -> None:
    assert one_line("a\n" * 5_000_000, 5) == "a a…"
    assert one_line("\0" * 10_000_000, 12) == "‹0000›…"
