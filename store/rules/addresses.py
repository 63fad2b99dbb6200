"""Email addresses: checked by syntax alone, shown as people write them, sent to in ASCII."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from store.errors import FormatWrong
from store.rules.text import one_line

_LONGEST: Final = 254  # RFC 5321, as corrected by erratum 1690 of RFC 3696
_PLAIN: Final = re.compile(
    r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+){0,9}@(?:[a-z0-9][a-z0-9-]{0,40}\.){1,5}[a-z]{2,20}", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Address:
    """An address as people see it, and as mail servers do (domain in punycode)."""

    shown: str
    ascii: str

    @property
    def key(self) -> str:
        """What is equal for two addresses that reach one mailbox everywhere that matters."""
        return self.ascii.lower()


def check_address(text: str) -> Address:
    """Read an address, without asking DNS; FormatWrong when it is not one, or when no server could be told of it."""
    # Late: it costs every start of the desk 40 ms, and most never check an address.
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415

    trimmed = text.strip()
    quoted = f"“{one_line(trimmed, 80)}”"
    if not trimmed:
        raise FormatWrong("The email address is empty; write one like name@example.com.")
    if len(trimmed) > _LONGEST:
        raise FormatWrong(f"{quoted} is longer than {_LONGEST} characters; write a shorter email address.")
    try:
        checked = validate_email(trimmed, strict=True, check_deliverability=False)
    except EmailNotValidError as wrong:
        reason = one_line(str(wrong), 200).rstrip(".").replace(". ", "; ")
        raise FormatWrong(f"{quoted} is not an email address that can be used: {reason}.") from None
    if checked.ascii_email is None:
        raise FormatWrong(f"{quoted} has letters other than a-z before the @, which many servers refuse; use another.")
    return Address(checked.normalized, checked.ascii_email)


def for_servers(text: str) -> str:
    """The one address that this is, as mail servers are told it. FormatWrong when it is none."""
    return text if _PLAIN.fullmatch(text) else _checked(text)


@lru_cache(maxsize=64)
def _checked(text: str) -> str:
    return check_address(text).ascii


def same(one: Address | str, other: Address | str) -> bool:
    """Whether two addresses are one recipient; a text is checked first."""
    return _key(one) == _key(other)


def _key(address: Address | str) -> str:
    return address.key if isinstance(address, Address) else check_address(address).key
