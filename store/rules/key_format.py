"""How a key is written: `<prefix><p|s|a>_`, 36 random base62 characters, and 6 that check all before them."""

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal
from zlib import crc32

from store.errors import FormatWrong

Environment = Literal["prod", "sandbox", "all"]

PREFIX_PATTERN: Final = re.compile(r"[a-z][a-z0-9]{1,15}")

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = [left + right for left in _ALPHABET for right in _ALPHABET]
_RANDOM_LENGTH: Final = 36
_CHECK_LENGTH: Final = 6
_SHORTEST: Final = 2 + 2 + _RANDOM_LENGTH + _CHECK_LENGTH
_LONGEST: Final = 16 + 2 + _RANDOM_LENGTH + _CHECK_LENGTH

_LETTERS: Final[dict[Environment, str]] = {"prod": "p", "sandbox": "s", "all": "a"}
_ENVIRONMENTS: Final[dict[str, Environment]] = {"p": "prod", "s": "sandbox", "a": "all"}

_KEY: Final = re.compile(rf"({PREFIX_PATTERN.pattern})([psa])_[0-9A-Za-z]{{42}}", re.ASCII)
# Twenty characters already give too much of a key away, and what is glued to its end may be the next key.
_KEY_SHAPED: Final = re.compile(rf"({PREFIX_PATTERN.pattern}[psa])_[0-9A-Za-z]{{20}}[0-9A-Za-z_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A well-formed key. Its text is the secret, so no representation shows it."""

    text: str = field(repr=False)
    prefix: str
    environment: Environment


def check_prefix(prefix: str) -> str:
    """Give the prefix back, or raise FormatWrong."""
    if not PREFIX_PATTERN.fullmatch(prefix):
        raise FormatWrong("A key prefix is 2 to 16 small letters and digits (a-z, 0-9) and starts with a letter.")
    return prefix


def generate(prefix: str, environment: Environment, random: Callable[[str], str] = secrets.choice) -> str:
    """Make a new key; `random` picks one character of the alphabet it is given."""
    body = "".join(random(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    unchecked = f"{check_prefix(prefix)}{_LETTERS[environment]}_{body}"
    return unchecked + _checksum(unchecked)


def parse(text: str) -> ParsedKey | None:
    """Read a key of any installation; None when it is malformed. Never raises, and a long text costs nothing."""
    if not _SHORTEST <= len(text) <= _LONGEST:
        return None
    match = _KEY.fullmatch(text)
    if match is None or _checksum(text[:-_CHECK_LENGTH]) != text[-_CHECK_LENGTH:]:
        return None
    prefix, letter = match.groups()
    return ParsedKey(text, prefix, _ENVIRONMENTS[letter])


def shown(text: str) -> tuple[str, str]:
    """Give what people may see of a key: its first 8 and its last 4 characters."""
    return text[:8], text[-4:]


def pattern_for(prefix: str) -> str:
    """Give the regular expression by which scanners find one installation's keys."""
    return rf"\b{check_prefix(prefix)}[psa]_[0-9A-Za-z]{{42}}\b"


def redact(text: str) -> str:
    """Take every key-shaped thing out of a text, whole or cut off, whatever its prefix and its check characters."""
    return _KEY_SHAPED.sub(r"\1_…[key removed]", text)


def digest(key: str, pepper: bytes) -> bytes:
    """HMAC-SHA-256 of a key, 32 bytes: fast on purpose, because 214 random bits need no slow hash."""
    return hmac.digest(pepper, key.encode(), "sha256")


def _checksum(text: str) -> str:
    """Six base62 digits of the CRC32 of an ASCII text, most significant first."""
    high, low = divmod(crc32(text.encode("ascii")), 62 * 62)
    higher, middle = divmod(high, 62 * 62)
    return _PAIRS[higher] + _PAIRS[middle] + _PAIRS[low]
