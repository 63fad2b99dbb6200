"""How a key is written: `<prefix><p|s|a>_`, 36 random base62 characters, and 6 that check all before them."""

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Literal
from zlib import crc32

from store.errors import FormatWrong

Environment = Literal["prod", "sandbox", "all"]

PREFIX_PATTERN: Final = re.compile(r"[a-z][a-z0-9]{1,15}")

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = [left + right for left in _ALPHABET for right in _ALPHABET]
_RANDOM_LENGTH: Final = 36
_CHECK_LENGTH: Final = 6

_LETTERS: Final[dict[Environment, str]] = {"prod": "p", "sandbox": "s", "all": "a"}
_ENVIRONMENTS: Final[dict[str, Environment]] = {"p": "prod", "s": "sandbox", "a": "all"}

_KEY: Final = re.compile(rf"{PREFIX_PATTERN.pattern}[psa]_[0-9A-Za-z]{{42}}", re.ASCII)
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
    if not is_well_formed(text):
        return None
    before, _, _ = text.partition("_")
    return ParsedKey(text, before[:-1], _ENVIRONMENTS[before[-1]])


def is_well_formed(text: str) -> bool:
    """Whether `parse` can read it, for a check that asks no more."""
    return _KEY.fullmatch(text) is not None and text.endswith(_checksum(text[:-_CHECK_LENGTH]))


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


def digester(pepper: bytes) -> Callable[[str], bytes]:
    """`digest` for many keys of one pepper, in a third of the time: what HMAC does with the pepper is done once.

    May be shared between threads.
    """
    block = (pepper if len(pepper) <= 64 else sha256(pepper).digest()).ljust(64, b"\0")
    inner, outer = (sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))  # RFC 2104

    def of(key: str) -> bytes:
        within, around = inner.copy(), outer.copy()
        within.update(key.encode())
        around.update(within.digest())
        return around.digest()

    return of


def _checksum(text: str) -> str:
    """Six base62 digits of the CRC32 of an ASCII text, most significant first."""
    high, low = divmod(crc32(text.encode("ascii")), 62 * 62)
    higher, middle = divmod(high, 62 * 62)
    return _PAIRS[higher] + _PAIRS[middle] + _PAIRS[low]
