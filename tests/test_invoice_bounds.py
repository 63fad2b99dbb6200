"""What is too strange to be invoiced before a person has looked at it, and what is only a lot?"""

import pytest

from store.rules.rating.bounds import Billed, median, strange

USUAL = {"access": 30000}


@pytest.mark.parametrize(
    ("lines", "keys", "sentences"),
    [
        ([Billed("access", 12, 300000)], 0, ()),
        (
            [Billed("access", 12, 300001)],
            0,
            ("The line access is NOK 3,000.01, more than 10 times the NOK 300.00 that it was before.",),
        ),
        ([Billed("overuse_data", 900, 9_000_000)], 0, ()),  # it never was there before
        ([Billed("extra_key", 2, 9800), Billed("extra_test_key", 1, 4900)], 3, ()),
        (
            [Billed("extra_key", 2, 9800), Billed("extra_test_key", 2, 9800)],
            3,
            ("It has 4 extra keys, but the company has only 3 keys.",),
        ),
        (
            [Billed("access", 0, 0), Billed("adj:2026-10:overuse_data", -1, -1)],
            0,
            ("Its total is negative: NOK -0.01.",),
        ),
        ([Billed(f"access/t{number}", 1, 1) for number in range(60)], 0, ()),
        (
            [Billed(f"access/t{number}", 1, 1) for number in range(61)],
            0,
            ("It has 61 lines, more than a month can have (60).",),
        ),
    ],
)
def test_a_month_is_held_for_what_cannot_be(lines: list[Billed], keys: int, sentences: tuple[str, ...]) -> None:
    assert strange(lines, keys, USUAL, limit=10, currency="NOK") == sentences


def test_a_limit_of_zero_asks_nothing_of_amounts() -> None:
    assert strange([Billed("access", 12, 10**9)], 0, USUAL, limit=0, currency="NOK") == ()


@pytest.mark.parametrize(("numbers", "middle"), [([7], 7), ([9, 1], 1), ([5, 1, 3], 3), ([4, 1, 3, 2], 2)])
def test_the_median_stays_a_whole_number(numbers: list[int], middle: int) -> None:
    assert median(numbers) == middle
