"""`keydesk prices check|publish`."""

import argparse
import sys
import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import prices
from store.database import session
from store.errors import FormatWrong, Refused


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Read the file; publish all of it, or none."""
    mapping = _toml(given.file)
    try:
        if given.act == "check":
            for price_list, _ in prices.read_file(mapping):
                sys.stdout.write(f"{price_list.ref} can be published, as far as the file goes.\n")
            return 0
        open_store(settings)
        with session():
            for ref in prices.publish(local_actor(), mapping, clock()):
                sys.stdout.write(f"{ref} is published.\n")
    except (FormatWrong, Refused) as fault:
        raise type(fault)(f"{given.file}: {fault}") from None
    return 0


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FormatWrong(f"The price file {path} is not there.") from None
    except tomllib.TOMLDecodeError as error:
        raise FormatWrong(f"The price file {path} is not TOML: {error}.") from None
    except (UnicodeDecodeError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise FormatWrong(f"The price file {path} cannot be read: {why}.") from None
