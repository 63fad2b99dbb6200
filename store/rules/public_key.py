"""A public SSH key as a person pastes it: one line of type, base64 and comment, checked to the last byte.

What comes out of here is printed for sshd, so nothing passes that is not exactly one key: no options before the type,
no second line, no base64 that decodes alike but is written differently. Formats: RFC 4253 6.6, RFC 5656 3.1, RFC 8709
4, and OpenSSH's PROTOCOL.u2f.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from store.errors import FormatWrong
from store.rules.text import check_name

_LONGEST: Final = 8192  # an RSA key of 16384 bits takes 2,800 characters
_POINT_BYTES: Final = MappingProxyType({"nistp256": 65, "nistp384": 97, "nistp521": 133})
_RSA_BITS: Final = (3072, 16384)


@dataclass(frozen=True)
class PublicKey:
    """A key that sshd may compare with. `type` and `blob` are plain ASCII without blanks."""

    type: str
    blob: str
    comment: str = ""

    @property
    def fingerprint(self) -> str:
        """SHA256:…, as sshd and ssh-keygen say it."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


def parse(text: str) -> PublicKey:
    """Read the one line of a .pub file. FormatWrong says what is the matter with it."""
    if "PRIVATE KEY" in text:
        raise FormatWrong("This is a private key, which nobody else may see; give the file that ends in .pub.")
    if len(text) > _LONGEST:
        raise FormatWrong("This is far too long for a public SSH key; give one line of a .pub file.")
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != 1:
        raise FormatWrong(f"Give exactly one public key, on one line; these are {len(lines)} lines.")
    key_type, _, rest = lines[0].strip(" \t").partition(" ")
    blob, _, comment = rest.strip(" \t").partition(" ")
    if key_type not in _READERS:
        raise FormatWrong(_wrong_type(key_type, lines[0]))
    _READERS[key_type](_Fields(_decoded(blob), key_type))
    return PublicKey(key_type, blob, check_name(comment, "The key's comment", limit=128) if comment.strip() else "")


def _wrong_type(word: str, line: str) -> str:
    if any(f" {known} " in line for known in _READERS):
        return "Options stand before the key's type; give the key alone, Keydesk sets its own."
    known = ", ".join(_READERS)
    return f"A key of type {word[:40]!a} is not taken; make one with `ssh-keygen -t ed25519` (taken are {known})."


def _decoded(blob: str) -> bytes:
    try:
        raw = base64.b64decode(blob.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raw = b""
    if not raw or base64.b64encode(raw).decode("ascii") != blob:
        raise FormatWrong("The key's base64 is damaged; copy the whole line of the .pub file again.")
    return raw


class _Fields:
    """The length-prefixed strings inside a key's blob."""

    def __init__(self, raw: bytes, key_type: str) -> None:
        self._rest = raw
        self.key_type = key_type
        self.expect(self.string() == key_type.encode("ascii"))

    def string(self) -> bytes:
        length = int.from_bytes(self._rest[:4], "big")
        self.expect(len(self._rest) >= 4 + length)
        value, self._rest = self._rest[4 : 4 + length], self._rest[4 + length :]
        return value

    def number(self) -> int:
        """A positive number in its one shortest form."""
        value = self.string()
        number = int.from_bytes(value, "big", signed=True)
        self.expect(number > 0 and len(value) == number.bit_length() // 8 + 1)
        return number

    def end(self) -> None:
        self.expect(not self._rest)

    def expect(self, holds: bool) -> None:  # noqa: FBT001 - reads as a sentence
        if not holds:
            raise FormatWrong(f"This is not a sound {self.key_type} key; copy the whole line of the .pub file again.")


def _ed25519(inside: _Fields) -> None:
    inside.expect(len(inside.string()) == 32)
    inside.end()


def _ecdsa(inside: _Fields) -> None:
    _point(inside, inside.key_type.removeprefix("ecdsa-sha2-"))
    inside.end()


def _rsa(inside: _Fields) -> None:
    exponent, modulus = inside.number(), inside.number()
    inside.end()
    shortest, longest = _RSA_BITS
    if modulus.bit_length() < shortest:
        raise FormatWrong(
            f"An RSA key of {modulus.bit_length()} bits is too weak (at least {shortest}); "
            "make one with `ssh-keygen -t ed25519`."
        )
    inside.expect(modulus.bit_length() <= longest and modulus % 2 == 1 and exponent >= 3 and exponent % 2 == 1)


def _sk_ed25519(inside: _Fields) -> None:
    inside.expect(len(inside.string()) == 32)
    _application(inside)


def _sk_ecdsa(inside: _Fields) -> None:
    _point(inside, "nistp256")
    _application(inside)


def _point(inside: _Fields, curve: str) -> None:
    inside.expect(inside.string() == curve.encode("ascii"))
    point = inside.string()
    inside.expect(len(point) == _POINT_BYTES[curve] and point[0] == 4)


def _application(inside: _Fields) -> None:
    inside.expect(inside.string().startswith(b"ssh:"))
    inside.end()


_READERS: Final[Mapping[str, Callable[[_Fields], None]]] = MappingProxyType(
    {
        "ssh-ed25519": _ed25519,
        "ecdsa-sha2-nistp256": _ecdsa,
        "ecdsa-sha2-nistp384": _ecdsa,
        "ecdsa-sha2-nistp521": _ecdsa,
        "sk-ssh-ed25519@openssh.com": _sk_ed25519,
        "sk-ecdsa-sha2-nistp256@openssh.com": _sk_ecdsa,
        "ssh-rsa": _rsa,
    }
)
