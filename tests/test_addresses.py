"""Which email addresses are taken, and which two are one recipient?"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import FormatWrong
from store.rules.addresses import Address, check_address, same


@pytest.mark.parametrize(
    ("text", "shown", "ascii_form"),
    [
        ("ops@example.com", "ops@example.com", "ops@example.com"),
        ("  ops@example.com\n", "ops@example.com", "ops@example.com"),
        ("Ops.Team+keys@Example.COM", "Ops.Team+keys@example.com", "Ops.Team+keys@example.com"),
        ("ase@exämple.no", "ase@exämple.no", "ase@xn--exmple-cua.no"),
        ("ase@xn--exmple-cua.no", "ase@exämple.no", "ase@xn--exmple-cua.no"),
        ("o'neill@example.com", "o'neill@example.com", "o'neill@example.com"),
    ],
)
def test_an_address_is_shown_as_people_write_it_and_sent_to_in_ascii(text: str, shown: str, ascii_form: str) -> None:
    assert check_address(text) == Address(shown, ascii_form)


@pytest.mark.parametrize(
    "text",
    [
        "ops",
        "ops@",
        "@example.com",
        "ops@@example.com",
        "ops@localhost",
        "ops@example..com",
        "ops@exa mple.com",
        "ops@example.com, eve@example.org",
        "Ops <ops@example.com>",
        "ops@example.com\r\nBcc: eve@example.org",
        "ops\0@example.com",
        "ops\u200b@example.com",
        "ops@example.com\u202e",
        "\udc80@example.com",
        '"a b"@example.com',
        "ops@[127.0.0.1]",
        "x" * 65 + "@example.com",
        "\x1b[2J@example.com",
    ],
)
def test_what_is_not_one_address_is_refused_in_one_printable_sentence(text: str) -> None:
    with pytest.raises(FormatWrong, match=r"^“.*” is not an email address that can be used: .*[^.]\.$") as refused:
        check_address(text)

    assert str(refused.value).isprintable()
    assert ". " not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The email address is empty; write one like name@example.com."),
        (" \n", "The email address is empty; write one like name@example.com."),
        (
            "åse@example.no",
            "“åse@example.no” has letters other than a-z before the @, which many servers refuse; use another.",
        ),
        (
            "a" * 64 + "@" + "b" * 62 + "." + "c" * 62 + "." + "d" * 62 + ".example.com",
            "“" + "a" * 64 + "@" + "b" * 14 + "…” is longer than 254 characters; write a shorter email address.",
        ),
    ],
)
def test_the_sentence_says_what_to_do(text: str, sentence: str) -> None:
    with pytest.raises(FormatWrong) as refused:
        check_address(text)

    assert str(refused.value) == sentence


def test_ten_megabytes_are_refused_by_their_length() -> None:
    with pytest.raises(FormatWrong, match="is longer than 254 characters"):
        check_address("a@" + "b." * 5_000_000)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("ops@example.com", "OPS@Example.Com", True),
        ("ase@exämple.no", "ASE@xn--exmple-cua.no", True),
        ("ops@example.com", "ops+keys@example.com", False),
        ("o.ps@example.com", "ops@example.com", False),
        ("ops@example.com", "ops@example.org", False),
    ],
)
def test_two_spellings_are_one_recipient_when_only_case_or_punycode_differs(one: str, other: str, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(check_address(one), check_address(other)) is equal
    assert (check_address(one).key == check_address(other).key) is equal


@given(st.one_of(st.text(max_size=40), st.emails()))
@settings(deadline=None)
def test_an_address_once_taken_is_taken_again_and_plain_ascii(text: str) -> None:
    try:
        address = check_address(text)
    except FormatWrong:
        return

    assert check_address(address.shown) == address
    assert address.ascii.isascii()
    assert address.ascii.isprintable()
