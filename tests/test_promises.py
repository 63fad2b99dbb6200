"""Is each promise of the operator's guide followed by a test that is there?"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
TABLE = GUIDE.partition("### What it promises\n")[2].partition("\n### ")[0]
PROMISES = [line for line in TABLE.splitlines() if line.startswith("| **")]


def named(promise: str) -> list[tuple[str, str]]:
    """The files and tests in its last column."""
    return re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", promise)


def test_the_guide_promises_something() -> None:
    assert len(PROMISES) >= 10


@pytest.mark.parametrize("promise", PROMISES, ids=lambda line: line.split("**")[1])
def test_a_promise_names_the_tests_that_prove_it(promise: str) -> None:
    tests = named(promise.rsplit("|", 2)[1])

    assert tests
    for file, test in tests:
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert f"def {test}(" in text, f"{file} has no {test}"
