"""A store of Keydesk's own, which is no production to make a sandbox from."""

from collections.abc import Iterable
from typing import Final

from store.errors import Refused

TABLES: Final = frozenset({"schema_step", "api_key"})  # by which a store is known, whatever its version


def is_one(tables: Iterable[str]) -> bool:
    """Whether these tables are those of a store."""
    return {name.lower() for name in tables} >= TABLES


def refused(source: object) -> Refused:
    """Why such a source is not copied, whatever the rules mask, and what to do."""
    return Refused(
        f"The source {source} is a Keydesk store: the hashes of keys, the mails and the bills in it belong into no "
        "sandbox. Name the database of your own application; a Keydesk to try things out with is a new store "
        "(`keydesk init`). Nothing was refreshed."
    )
