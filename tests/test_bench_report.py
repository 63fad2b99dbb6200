"""What does the bench say, to people and to programs, and when is a goal met?"""

import json
from pathlib import Path

import pytest

from bench.report import Goal, Measure, number, table, write

FASTER = Measure("accept a key", 12.5, 10.0, "µs", Goal("at most", 1.3))
SLOWER = Measure("accept a key, against a peer", 45_000.0, 5_000.0, "keys/CPU s", Goal("at least", 10))
LONG = Measure("import", 61.0, 30.0, "s", Goal("at most", 60, of="ours"))
KNOWN = Measure("refuse a malformed key", 1_200_000.0, 4_000_000.0, "keys/CPU s")


def test_the_table_has_a_line_for_each_measure_and_says_which_goals_were_missed() -> None:
    assert table([FASTER, SLOWER, LONG, KNOWN]).splitlines() == [
        "                                   ours  reference  unit        ratio  goal           met",
        "accept a key                       12.5       10.0  µs           1.25  at most 1.3 ×  yes",
        "accept a key, against a peer     45,000      5,000  keys/CPU s   9.00  at least 10 ×  NO",
        "import                             61.0       30.0  s            2.03  at most 60 s   NO",
        "refuse a malformed key        1,200,000  4,000,000  keys/CPU s   0.30  to know",
    ]


def test_the_file_holds_a_list_with_six_names_for_each_measure(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"

    write([FASTER, KNOWN], path)

    assert json.loads(path.read_text(encoding="utf-8")) == [
        {"name": "accept a key", "ours": 12.5, "reference": 10.0, "unit": "µs", "ratio": 1.25, "goal": "at most 1.3 ×"},
        {
            "name": "refuse a malformed key",
            "ours": 1_200_000.0,
            "reference": 4_000_000.0,
            "unit": "keys/CPU s",
            "ratio": 0.3,
            "goal": "to know",
        },
    ]


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (Goal("at most", 1.3), 1.3, True),
        (Goal("at most", 1.3), 1.301, False),
        (Goal("at least", 10), 10.0, True),
        (Goal("at least", 10), 9.999, False),
    ],
)
def test_a_goal_is_met_up_to_its_bound_and_not_past_it(goal: Goal, value: float, *, met: bool) -> None:
    assert goal.met(value) is met


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.128, "0.13"), (9.994, "9.99"), (10.0, "10.0"), (99.94, "99.9"), (100.4, "100"), (1_234_567.8, "1,234,568")],
)
def test_a_number_shows_the_figures_that_mean_something(value: float, shown: str) -> None:
    assert number(value) == shown
