"""How is a key written, what is not a key, and does it stay out of every text?"""

import re
import string
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import FormatWrong
from store.rules import key_format

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
PROD = "kdp_000000000000000000000000000000000000" + "2coBnr"
prefixes = st.from_regex(r"[a-z][a-z0-9]{1,15}", fullmatch=True)
environments = st.sampled_from(["prod", "sandbox", "all"])


def zeros(alphabet: str) -> str:
    return alphabet[0]


def test_a_key_is_prefix_letter_underscore_36_characters_and_their_check() -> None:
    made = [key_format.generate("kd", environment, zeros) for environment in ("prod", "sandbox", "all")]

    assert made == [PROD, "kds_" + "0" * 36 + "3YtMHg", "kda_" + "0" * 36 + "3MCLLs"]


@pytest.mark.parametrize(
    ("text", "prefix", "environment"),
    [
        (PROD, "kd", "prod"),
        ("kds_" + "0" * 36 + "3YtMHg", "kd", "sandbox"),
        ("kda_" + "0" * 36 + "3MCLLs", "kd", "all"),
    ],
)
def test_a_key_says_its_prefix_and_its_environment(text: str, prefix: str, environment: str) -> None:
    parsed = key_format.parse(text)

    assert parsed is not None
    assert (parsed.text, parsed.prefix, parsed.environment) == (text, prefix, environment)


@given(prefixes, environments)
@settings(deadline=None)
def test_a_generated_key_of_any_prefix_is_read_back(prefix: str, environment: key_format.Environment) -> None:
    key = key_format.generate(prefix, environment)

    assert key_format.parse(key) == key_format.ParsedKey(key, prefix, environment)
    assert len(key) == len(prefix) + 44
    assert re.fullmatch(key_format.pattern_for(prefix), key)


def test_no_two_keys_are_alike_and_all_62_characters_are_used_alike() -> None:
    bodies = [key_format.generate("kd", "prod")[4:40] for _ in range(2000)]

    counts = Counter("".join(bodies))
    assert len(set(bodies)) == 2000
    assert set(counts) == set(BASE62)
    assert all(900 < count < 1450 for count in counts.values())  # 1161 each on average, deviation 34


def test_every_single_wrong_character_is_noticed() -> None:
    key = key_format.generate("kd", "all")

    accepted = [
        key[:place] + character + key[place + 1 :]
        for place in range(len(key))
        for character in BASE62 + "_-é "
        if character != key[place] and key_format.parse(key[:place] + character + key[place + 1 :])
    ]

    assert accepted == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kdp_",
        PROD[:-1],
        PROD + "0",
        PROD + "\n",
        "\n" + PROD,
        " " + PROD,
        PROD + "\0",
        PROD.upper(),
        PROD.replace("_", "-"),
        PROD.replace("0", "٠"),
        PROD.replace("0", "０"),
        PROD[:-1] + "\udc80",
        "kdx_" + PROD[4:],
        "1dp_" + PROD[4:],
        "p_" + "0" * 42,
        "a" * 17 + PROD[2:],
        "kdp_" + "_" * 36 + "3m4GV5",  # the check is right
        "k" * 10_000_000,
    ],
)
def test_what_is_written_otherwise_is_not_a_key(text: str) -> None:
    assert key_format.parse(text) is None


@given(st.one_of(st.text(max_size=80), st.text(alphabet="kdpsa_0Az", min_size=44, max_size=62)))
@settings(deadline=None, max_examples=500)
def test_reading_never_raises(text: str) -> None:
    parsed = key_format.parse(text)

    assert parsed is None or parsed.text == text


@pytest.mark.parametrize("prefix", ["", "k", "1k", "Kd", "k_d", "k-d", "kå", "kd\n", "a" * 17, "k" * 100_000])
def test_a_prefix_that_no_key_could_carry_is_refused(prefix: str) -> None:
    with pytest.raises(FormatWrong, match=r"^A key prefix is 2 to 16 small letters and digits \(a-z, 0-9\) and "):
        key_format.generate(prefix, "prod")


@pytest.mark.parametrize("prefix", ["kd", "a1", "abcdefghijklmnop", "kdp", "sas"])
def test_a_prefix_of_2_to_16_small_letters_and_digits_is_taken(prefix: str) -> None:
    assert key_format.check_prefix(prefix) == prefix


def test_people_see_the_first_8_and_the_last_4_characters() -> None:
    assert key_format.shown("kdp_abcdEFGHIJKLMNOPQRSTUVWXYZ0123456789wxyz98") == ("kdp_abcd", "yz98")


def test_a_representation_shows_no_secret() -> None:
    parsed = key_format.parse(PROD)

    assert repr(parsed) == "ParsedKey(prefix='kd', environment='prod')"


def test_scanners_find_a_key_between_other_words_and_not_a_longer_word() -> None:
    pattern = re.compile(key_format.pattern_for("kd"))

    assert pattern.findall(f'token="{PROD}"; url=https://x/?k={PROD}&y') == [PROD, PROD]
    assert pattern.findall(f"x{PROD} {PROD}0 {PROD}_") == []


@given(st.text(), st.binary(min_size=1, max_size=200))
def test_a_digest_with_the_pepper_s_part_done_before_is_the_same_digest(key: str, pepper: bytes) -> None:
    assert key_format.digester(pepper)(key) == key_format.digest(key, pepper)


def test_a_digest_is_hmac_sha_256_under_the_pepper() -> None:
    # The second test case of RFC 4231.
    digest = key_format.digest("what do ya want for nothing?", b"Jefe")

    assert digest.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"key {PROD} end", "key kdp_…[key removed] end"),
        (f"key={PROD};", "key=kdp_…[key removed];"),
        ("acme9s_" + "x" * 42, "acme9s_…[key removed]"),
        (f"{PROD}\n{PROD}", "kdp_…[key removed]\nkdp_…[key removed]"),
        (f"{PROD}{PROD}", "kdp_…[key removed]"),
        (f"A{PROD}tail", "Akdp_…[key removed]"),
        (PROD[:24], "kdp_…[key removed]"),
        (PROD[:23], PROD[:23]),
        ("nothing_here to hide", "nothing_here to hide"),
        ("", ""),
    ],
)
def test_a_key_is_taken_out_of_a_text(text: str, clean: str) -> None:
    assert key_format.redact(text) == clean


@given(st.text(max_size=60), prefixes, environments, st.text(alphabet=BASE62 + "_ ", max_size=60))
@settings(deadline=None)
def test_no_text_around_a_key_saves_it_from_being_taken_out(
    before: str, prefix: str, environment: key_format.Environment, after: str
) -> None:
    key = key_format.generate(prefix, environment)

    clean = key_format.redact(before + key + after)

    assert key[-42:] not in clean
    assert key[-26:] not in clean
    assert key_format.redact(clean) == clean
