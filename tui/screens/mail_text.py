"""A mail as a text to read: as the recipient gets it, or before it is written, what it will be about."""

import email
from collections.abc import Iterator, Mapping
from email import policy
from email.message import EmailMessage
from typing import Any

from store.rules import key_format
from store.rules.text import visible
from store.tables import Email


def read(row: Email) -> tuple[tuple[str, ...], str]:
    """Head and text."""
    state = f"State    {row.state}{f': {row.reply}' if row.reply else ''}"
    to = f"To       {row.recipient_name} <{row.recipient}>" if row.recipient_name else f"To       {row.recipient}"
    if row.message is None:
        about = "\n".join(_facts(row.context))
        return (to, state), f"Not written yet. It will say, as {_words(row.kind)}:\n\n{key_format.redact(about)}"
    message = _parsed(row)
    body = message.get_body(("plain", "html")) if isinstance(message, EmailMessage) else None
    text = body.get_content() if body is not None else "(it has no text)"
    return (to, f"Subject  {row.subject or ''}", state), key_format.redact(str(text))


def message_id(row: Email) -> str:
    """What to look for in the relay's log; before the first try only the part before the @ is known."""
    known = None if row.message is None else _parsed(row)["Message-ID"]
    return str(known or row.message_id)


def _parsed(row: Email) -> Any:
    return email.message_from_bytes(bytes(row.message or b""), policy=policy.default)


def _facts(value: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """`field: value`, one a line, what belongs together indented. A value cannot begin a line of its own."""
    for name, one in value.items():
        before = f"{'  ' * depth}{visible(_words(name))}:"
        if isinstance(one, Mapping):
            yield before
            yield from _facts(one, depth + 1)
        elif isinstance(one, list) and any(isinstance(each, Mapping) for each in one):
            for number, each in enumerate(one, 1):
                yield f"{before[:-1]} {number}:"
                yield from _facts(each if isinstance(each, Mapping) else {"": each}, depth + 1)
        else:
            yield f"{before} {_plain(one)}"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None or value == "" else visible(str(value))


def _words(name: str) -> str:
    return name.replace("_", " ")
