"""Which addresses for e-invoices are taken, and which are told to be wrong before an access point refuses them?"""

import pytest

from store.errors import FormatWrong
from store.rules import endpoints


@pytest.mark.parametrize(
    "address",
    [
        "0192:987654325",
        "0192:923456783",
        "0007:5598765435",
        "0088:7300010000001",
        "0184:DK12345678",
        "0037:003712345671",
        "0216:003712345671",
        "0216:003712345671ABC12",
        "0212:1234567-1",
        "0196:4501012340",
        "9930:DE123456789",
        "0204:991-1234512345-06",
    ],
)
def test_an_address_with_its_check_digit_is_taken_as_it_stands(address: str) -> None:
    assert endpoints.check(address) == address


def test_spaces_within_a_number_are_left_out() -> None:
    assert endpoints.check(" 0192: 987 654 325 ") == "0192:987654325"


@pytest.mark.parametrize(
    "address",
    [
        "0192:987654326",  # one digit off
        "0192:98765432",
        "0192:100000010",  # a remainder of 10 has no digit
        "0007:5598765436",
        "0007:559876543",
        "0088:7300010000002",
        "0184:12345678",
        "0037:003712345672",
        "0216:1234567-1",
        "0212:1234567-2",
        "0196:450101234",
    ],
)
def test_a_wrong_digit_or_length_is_told_with_the_form_of_its_scheme(address: str) -> None:
    with pytest.raises(FormatWrong) as wrong:
        endpoints.check(address)

    assert str(wrong.value).startswith(f"“{address}” is not right: in the scheme {address[:4]} stands ")


@pytest.mark.parametrize("address", ["987654325", "0192:", ":987654325", "1234:5", "192:987654325"])
def test_an_unknown_scheme_or_a_bare_number_is_no_address(address: str) -> None:
    with pytest.raises(FormatWrong, match="is not an address for e-invoices; write scheme, colon and number, like"):
        endpoints.check(address)


def test_what_could_not_stand_in_xml_or_a_line_is_refused() -> None:
    with pytest.raises(FormatWrong, match="holds characters that no address for e-invoices has"):
        endpoints.check("9930:DE1<x>")
