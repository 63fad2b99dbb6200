"""What the verbs' arguments are read as, what is no argument at all, and how an act of a verb is made."""

import argparse
import re
from datetime import UTC, date, datetime

from store.errors import KeydeskError
from store.rules.text import one_line


class WronglyAsked(KeydeskError):
    """These arguments are none, or do not go together. Exit status 2 on the command line."""


def refuse_other_bytes(given: argparse.Namespace) -> None:
    """WronglyAsked for an argument that is not UTF-8. Paths, which may be any bytes, are taken as they are."""
    for value in vars(given).values():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and re.search("[\ud800-\udfff]", text):
                raise WronglyAsked(f"The argument {one_line(text, 64)} is not UTF-8; correct it.")


def act(acts: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str) -> argparse.ArgumentParser:
    """One more act of a verb, with its page of help."""
    return acts.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)


def number(text: str) -> int:
    """A whole number."""
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number below a thousand million")
    return int(text)


def notice_days(text: str) -> tuple[int, ...]:
    """`14,3`, the widest first; that a key has expired (-1) is told whatever they are."""
    return (*sorted({number(part) for part in text.split(",")}, reverse=True), -1)


def endpoint(text: str) -> tuple[str, int]:
    """An address and a port such as 127.0.0.1:9464 or [::1]:9464."""
    import ipaddress  # noqa: PLC0415 - asked for by few

    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        address = None
    if address is None or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address and a port like 127.0.0.1:9464 or [::1]:9464")
    return str(address), int(port)


def day(text: str) -> date:
    """A date such as 2026-12-01."""
    try:
        read = date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date like 2026-12-01") from None
    if not 2000 <= read.year < 2200:
        raise argparse.ArgumentTypeError(f"{text!r} is beyond every key and invoice; name a day from 2000 to 2199")
    return read


def month(text: str) -> str:
    """A month such as 2026-11."""
    if not re.fullmatch(r"2[01][0-9]{2}-(?:0[1-9]|1[0-2])", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a month like 2026-11")
    return text


def instant(text: str) -> datetime:
    """An instant; UTC where it names no offset."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an instant like 2026-11-23T00:00") from None
    if not 2000 <= read.year < 2200:
        raise argparse.ArgumentTypeError(f"{text!r} is beyond every key and invoice; name one from 2000 to 2199")
    return read.replace(tzinfo=read.tzinfo or UTC).astimezone(UTC)
