"""Does rating give what was calculated by hand, to the smallest unit?

tests/billing/examples.json holds thirty worked months with their calculation; every value named there must be equal.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from store.rules.rating_answer import answers

CASES = json.loads((Path(__file__).parent / "billing" / "examples.json").read_text(encoding="utf-8"))


def rated(example: dict[str, Any]) -> dict[str, Any]:
    """The answer in the words of the examples."""
    shared = {name: CASES[name] for name in ("default_policy", "price_lists")}
    ((_, answer),) = answers({**shared, "examples": [example]})
    return answer


def named(answer: Any, expected: Any) -> Any:
    """What the answer has under the names that the expectation names; lists whole."""
    if isinstance(expected, dict):
        return {name: named(answer[name], value) for name, value in expected.items()}
    if isinstance(expected, list) and len(answer) == len(expected):
        return [named(mine, theirs) for mine, theirs in zip(answer, expected, strict=True)]
    return answer


@pytest.mark.parametrize("example", CASES["examples"], ids=lambda example: f"{example['id']} {example['title']}")
def test_every_value_named_in_the_worked_month_is_equal(example: dict[str, Any]) -> None:
    answer = rated(example)

    assert named(answer, example["expected"]) == example["expected"]


def test_there_are_thirty_worked_months() -> None:
    assert len({example["id"] for example in CASES["examples"]}) == 30
