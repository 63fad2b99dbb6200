"""The address at which e-invoices are received, as PEPPOL writes it: a scheme and a number in it, `0192:987654325`.

Check digits after the rules PEPPOL-COMMON-R040 to R049 of BIS Billing 3.0; the schemes are the code list EAS.
"""

import re
from collections.abc import Callable
from typing import Final

from store.errors import FormatWrong
from store.rules.text import one_line

_SCHEMES: Final = frozenset({
    "0002", "0007", "0009", "0037", "0060", "0088", "0096", "0097", "0106", "0130", "0135", "0142", "0147", "0151",
    "0154", "0158", "0170", "0177", "0183", "0184", "0188", "0190", "0191", "0192", "0193", "0194", "0195", "0196",
    "0198", "0199", "0200", "0201", "0202", "0203", "0204", "0205", "0208", "0209", "0210", "0211", "0212", "0213",
    "0215", "0216", "0217", "0218", "0219", "0220", "0221", "0225", "0230", "0235", "0240", "0242", "0244", "0245",
    "0246", "0248", "9910", "9913", "9914", "9915", "9918", "9919", "9920", "9922", "9923", "9924", "9925", "9926",
    "9927", "9928", "9929", "9930", "9931", "9932", "9933", "9934", "9935", "9936", "9937", "9938", "9939", "9940",
    "9941", "9942", "9943", "9944", "9945", "9946", "9947", "9948", "9949", "9950", "9951", "9952", "9953", "9957",
    "9959",
})  # fmt: skip


def check(text: str) -> str:
    """The address as it is kept, or FormatWrong with what is wrong with it."""
    scheme, _, number = text.replace(" ", "").partition(":")
    shown = one_line(text.strip(), 60)
    if scheme not in _SCHEMES or not number:
        raise FormatWrong(
            f"“{shown}” is not an address for e-invoices; write scheme, colon and number, like 0192:987654325."
        )
    if not re.fullmatch(r"[0-9A-Za-z._~+-]{1,50}", number, re.ASCII):
        raise FormatWrong(f"“{shown}” holds characters that no address for e-invoices has; correct it.")
    if scheme in _FORMS:
        is_right, form = _FORMS[scheme]
        if not is_right(number):
            raise FormatWrong(f"“{shown}” is not right: in the scheme {scheme} stands {form}.")
    return f"{scheme}:{number}"


def is_norwegian(number: str) -> bool:
    """Nine digits, the last by modulus 11."""
    weights = (3, 2, 7, 6, 5, 4, 3, 2)
    if not re.fullmatch(r"[0-9]{9}", number, re.ASCII):
        return False
    return -_weighted(number[:8], weights) % 11 == int(number[8])


def is_swedish(number: str) -> bool:
    """Ten digits, the last after Luhn."""
    if not re.fullmatch(r"[0-9]{10}", number, re.ASCII):
        return False
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(number))
    return sum(digit // 10 + digit % 10 for digit in doubled) % 10 == 0


def _is_gln(number: str) -> bool:
    """Thirteen digits, the last after GS1."""
    return bool(re.fullmatch(r"[0-9]{13}", number, re.ASCII)) and _weighted(number, (1, 3) * 6 + (1,)) % 10 == 0


def _is_finnish(number: str) -> bool:
    """A business id: seven digits, a hyphen or not, and the check digit by modulus 11."""
    digits = number.replace("-", "")
    if not re.fullmatch(r"[0-9]{7}-?[0-9]", number, re.ASCII):
        return False
    return -_weighted(digits[:7], (7, 9, 10, 5, 8, 4, 2)) % 11 == int(digits[7])


def _is_ovt(number: str) -> bool:
    """0037, a business id without its hyphen, and up to five characters of the company's own."""
    return number.startswith("0037") and _is_finnish(number[4:12]) and len(number) <= 17


def _weighted(number: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=True))


_FORMS: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "0007": (is_swedish, "an organisation number of 10 digits with its check digit, such as 5512345678"),
    "0037": (
        lambda number: _is_ovt(number) or _is_finnish(number),
        "an OVT or business id, such as 003712345671",
    ),
    "0088": (_is_gln, "a GLN of 13 digits with its check digit, such as 7300010000001"),
    "0184": (
        lambda number: bool(re.fullmatch(r"DK[0-9]{8}", number, re.ASCII)),
        "a CVR number of 8 digits after DK, such as DK12345678",
    ),
    "0192": (is_norwegian, "an organisation number of 9 digits with its check digit, such as 987654325"),
    "0196": (
        lambda number: bool(re.fullmatch(r"[0-9]{10}", number, re.ASCII)),
        "a kennitala of 10 digits, such as 4501012340",
    ),
    "0212": (_is_finnish, "a business id with its check digit, such as 1234567-1"),
    "0216": (_is_ovt, "an OVT: 0037, then a business id without its hyphen, such as 003712345671"),
}
