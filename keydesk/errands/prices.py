"""`keydesk prices check|publish|index|list|show`."""

import argparse
import sys
import tomllib
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import prices
from store.database import session
from store.errors import FormatWrong, NotFound, Refused
from store.listings import price_list_rows, price_lists
from store.listings.price_list_rows import PriceListRow
from store.rules import price_index
from store.rules.money import price_text
from store.rules.price_comparison import PriceDifference, compare
from store.rules.text import visible


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Read the file and publish all of it or none; or write from what is published."""
    if given.act in {"check", "publish"}:
        return _file(given, settings, clock)
    open_store(settings)
    with session():
        said = {"index": _index, "list": _list, "show": _show}[given.act](given)
    sys.stdout.write(said)
    return 0


def _file(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    mapping = _toml(given.file)
    try:
        if given.act == "check":
            for price_list, _ in prices.read_file(mapping):
                sys.stdout.write(f"{visible(price_list.ref)} can be published, as far as the file goes.\n")
            return 0
        open_store(settings)
        with session():
            for ref in prices.publish(local_actor(), mapping, clock()):
                sys.stdout.write(f"{visible(ref)} is published.\n")
    except (FormatWrong, Refused) as fault:
        raise type(fault)(f"{given.file}: {fault}") from None
    return 0


def _index(given: argparse.Namespace) -> str:
    """The file that would be published; what it changes is told on standard error."""
    by = price_index.percent(given.percent)
    newest = [row.prices for row in _chosen(given) if row.until is None]
    after = [price_index.indexed(each, by, given.first_month) for each in newest]
    for old, new in zip(newest, after, strict=True):
        sys.stderr.write(f"{visible(new.ref)} instead of {visible(old.ref)}\n")
        sys.stderr.writelines(_compared(compare(old, new)))
    note = f"# The yearly index of {by:+f} %: every price of the version before, rounded half away from zero.\n\n"
    return note + price_index.price_file(after)


def _compared(rows: Iterable[PriceDifference]) -> Iterable[str]:
    for row in rows:
        if row.before != row.after or row.percent:
            yield f"  {row.item:<44} {row.before:>12} {row.after:>12} {row.percent:>9}\n"


def _list(given: argparse.Namespace) -> str:
    """One line a version, the newest first."""
    lines = [f"{'list':<24} {'from':<8} {'until':<8} {'access':<24} {'extra key':>10}  published"]
    for row in _chosen(given):
        until = "" if row.until is None else f"{row.until:%Y-%m}"
        key = price_text(row.prices.extra_key, row.currency)
        name = visible(f"{row.code} {row.currency} {row.version}")
        by = f"{row.published_at:%Y-%m-%d} by {visible(row.published_by)}"
        lines.append(f"{name:<24} {row.effective_from:%Y-%m}  {until:<8} {row.access:<24} {key:>10}  {by}")
    return "\n".join(lines) + "\n"


def _show(given: argparse.Namespace) -> str:
    """The newest version, or the one asked for, as its price file; on standard error what it changed."""
    wanted = [row for row in _chosen(given) if row.version == given.version or (not given.version and not row.until)]
    if not wanted:
        raise NotFound(f"There is no version {given.version}; `keydesk prices list` has those that are published.")
    for row in wanted:
        old = price_lists.before(row.id)
        if old is not None:
            sys.stderr.write(f"{visible(row.prices.ref)}, compared with the version before\n")
            sys.stderr.writelines(_compared(price_list_rows.difference(old, row.id)))
    return price_index.price_file(row.prices for row in wanted)


def _chosen(given: argparse.Namespace) -> list[PriceListRow]:
    """All published versions of the code and currency asked for."""
    wanted = price_lists.ids()
    rows = price_list_rows.rows(wanted)
    chosen = [
        rows[each]
        for each in wanted
        if (given.code is None or rows[each].code == given.code)
        and (given.currency is None or rows[each].currency == given.currency.upper())
    ]
    if not chosen:
        code = f" {visible(given.code)}" if given.code else ""
        currency = f" in {visible(given.currency.upper())}" if given.currency else ""
        raise NotFound(f"No price list{code}{currency} is published; publish one with `keydesk prices publish`.")
    return chosen


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
