"""Can a person read from the bars what is much, what is little, and what is above the line?"""

from tui.widgets.plot import Bar, drawn


def plot(values: list[int], width: int, height: int, limit: int | None = None) -> list[str]:
    bars = [Bar(str(place), value) for place, value in enumerate(values, 1)]
    return [line.plain for line in drawn(bars, width, height, "{:,}".format, limit)]


def test_the_highest_bar_reaches_the_top_and_the_others_their_share_of_it() -> None:
    assert plot([16, 8, 4, 1, 0], 13, 3) == [
        "16│█         ",
        "  │█ █ ▄ ▁   ",
        "   1 2 3 4 5",
    ]


def test_little_is_not_nothing_and_a_credit_has_no_bar() -> None:
    assert plot([1_000_000, 1, 0, -5], 19, 2) == ["1,000,000│█ ▁     ", "          1 2 3 4"]


def test_a_line_shows_what_is_included_wherever_no_bar_hides_it() -> None:
    assert plot([30, 10, 0], 12, 4, limit=20) == [
        "30│██       ",
        "20│██┄┄┄┄┄┄┄",
        "  │██ ██    ",
        "   1  2  3",
    ]


def test_a_line_above_all_bars_is_the_top() -> None:
    assert plot([1, 2], 11, 3, limit=40) == ["40│┄┄┄┄┄┄┄┄", "  │▁▁▁ ▁▁▁ ", "   1   2"]


def test_days_of_a_month_fit_into_eighty_columns_with_as_many_numbers_as_have_room() -> None:
    lines = plot(list(range(1, 32)), 76, 8)

    assert max(map(len, lines)) <= 76
    assert lines[-1].split() == [str(day) for day in (*range(1, 10), *range(10, 32, 2))]


def test_labels_of_others_are_shown_harmless_and_nothing_at_all_is_a_plot_too() -> None:
    (_, labels) = drawn([Bar("\x1b[2J", 1)], 20, 2, str)

    assert labels.plain == "  ‹001B›[2J"
    assert [line.plain for line in drawn([], 10, 2, str)] == ["1│", "  "]
