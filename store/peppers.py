"""The peppers: secrets outside the store without which its digests of keys are worth nothing.

The file holds one line a version, `1:` and 64 hex digits; the highest makes new keys, all accept. Losing it makes every
key unknown, so it is backed up apart from the store.
"""

import os
import re
import secrets
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from store.backup import sync
from store.database import private_directory
from store.errors import Refused, SettingsWrong
from store.rules.key_format import digest

_MARKED = "which pepper is this?"
_LINE = re.compile(r"([1-9][0-9]{0,4}):([0-9a-f]{64})")


@dataclass(frozen=True)
class Peppers:
    """All versions. No representation shows a secret. `path` is the file that they were read from, if they were."""

    secrets: dict[int, bytes] = field(repr=False)
    path: Path | None = field(default=None, compare=False)

    @property
    def current(self) -> int:
        """The version that new keys are made with."""
        return max(self.secrets)

    def marks(self) -> dict[str, str]:
        """What tells each version from another pepper and gives nothing of it away; the store keeps it."""
        return {str(version): digest(_MARKED, secret).hex()[:16] for version, secret in self.secrets.items()}


def make(path: Path) -> Peppers:
    """Write a first pepper into a new file (0600). Refused when there is one: it may be somebody's only copy."""
    private_directory(path.parent)
    # Named once it is whole: half a pepper that a crash left behind would be taken for one that was damaged.
    descriptor, unnamed = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"1:{secrets.token_hex(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(unnamed, path)
        sync(path.parent)
    except FileExistsError:
        raise Refused(
            f"There is a pepper file already: {path}. Keep it; without it no key made with it works."
        ) from None
    finally:
        Path(unnamed).unlink()
    return load(path)


def load(path: Path) -> Peppers:
    """Read the file. SettingsWrong when it is missing, readable by others, or not written as it must be."""
    text = read_secret(path, "pepper file", "Restore it from where you keep it, or run `keydesk init` for a new store.")
    found: dict[int, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise SettingsWrong(
                f"{path}:{number} is not a pepper (a version, a colon, 64 hex digits); restore the file."
            )
        version = int(match[1])
        if version in found:  # either may be the one that keys were made with
            raise SettingsWrong(
                f"{path}:{number} is a second pepper of version {version}. Give the one that was added last the next "
                "number that is free."
            )
        found[version] = bytes.fromhex(match[2])
    if not found:
        raise SettingsWrong(f"The pepper file {path} is empty; restore it from where you keep it.")
    return Peppers(found, path)


def read_secret(path: Path, what: str, otherwise: str) -> str:
    """The text of a secret file that only its owner can read; SettingsWrong says what to do when it is not so."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            # systemd lets the unit's user read a credential by an ACL, and its mask stands where the group's bits do.
            granted = os.environ.get("CREDENTIALS_DIRECTORY")
            if mode & (0o037 if granted and path.parent == Path(granted) else 0o077):
                raise SettingsWrong(
                    f"The {what} {path} can be read by others (mode {mode:04o}). Run `chmod 600 {path}`."
                )
            return file.read()
    except FileNotFoundError:
        raise SettingsWrong(f"The {what} {path} is not there. {otherwise}") from None
    except IsADirectoryError:
        raise SettingsWrong(f"The {what} {path} is a directory; name the file itself.") from None
    except OSError as error:
        raise SettingsWrong(
            f"The {what} {path} cannot be read ({error.strerror}). Make it yours and of mode 0600."
        ) from None
    except UnicodeDecodeError:
        raise SettingsWrong(f"The {what} {path} is not text. {otherwise}") from None
