"""Price lists: published once for a currency and a first month, and never changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from store.actors import Actor
from store.change import change
from store.database import backend, run_sql
from store.errors import FormatWrong, Refused
from store.rules import price_lists
from store.rules.calendar import month_of
from store.rules.price_lists import PriceList as Prices
from store.tables import Company, InvoiceMonth, PriceList

_LOCK = 0x6B64_7072  # on PostgreSQL no version is published while months become final by those before it


def read_file(mapping: Mapping[str, Any]) -> list[tuple[Prices, dict[str, Any]]]:
    """The lists of a TOML file (`[[price_list]]` tables), each with its stored form. Raises FormatWrong or Refused.

    The sentence names the path of the wrong value, as `price_list[2].items.access.price`.
    """
    unknown = sorted(set(mapping) - {"price_list"})
    tables = mapping.get("price_list")
    if unknown or not isinstance(tables, list) or not tables:
        raise FormatWrong(
            f"A price file holds [[price_list]] tables and nothing else{f' (not {unknown[0]})' if unknown else ''}."
        )
    read = []
    for place, table in enumerate(tables, 1):
        try:
            prices = price_lists.parse(table)
            price_lists.check_publishable(prices)
        except FormatWrong as fault:
            raise FormatWrong(f"price_list[{place}].{fault}") from None
        except Refused as fault:
            raise Refused(f"price_list[{place}].{fault}") from None
        read.append((prices, dict(table)))
    return read


def publish(actor: Actor, mapping: Mapping[str, Any], now: datetime) -> list[str]:
    """Publish all lists of a file, or none, and return their names.

    Refused when a version is there already or is not the next one, or when its first month is final for a company
    that it would rate.
    """
    read = read_file(mapping)
    with change(actor, "prices.publish", None, now) as made:
        if backend() == "postgresql":
            run_sql("SELECT pg_advisory_xact_lock(?)", (_LOCK,))
        for prices, table in read:
            _publishable(prices)
            PriceList.create(
                code=prices.code,
                currency=prices.currency,
                version=prices.version,
                effective_from=prices.effective_from,
                items=table["items"],
                published_at=now,
                published_by=actor.name,
            )
            made.event("prices.publish", f"price list {prices.ref}", None, after=_plain(table))
    return [prices.ref for prices, _ in read]


def hold() -> None:
    """Let no version be published until this transaction ends. Called before anything is read that prices rate."""
    if backend() == "postgresql":  # on SQLite one transaction at a time writes
        run_sql("SELECT pg_advisory_xact_lock_shared(?)", (_LOCK,))


def published(code: str, currency: str) -> Sequence[Prices]:
    """All versions of a list in a currency, oldest first."""
    rows = (
        PriceList.select()
        .where(PriceList.code == code, PriceList.currency == currency)
        .order_by(PriceList.effective_from, PriceList.version)
    )
    return [
        price_lists.parse(
            {
                "code": row.code,
                "currency": row.currency,
                "version": row.version,
                "effective_from": row.effective_from.isoformat(),
                "items": row.items,
            }
        )
        for row in rows
    ]


def _publishable(prices: Prices) -> None:
    others = published(prices.code, prices.currency)
    name = f"{prices.code} in {prices.currency}"
    due = max((other.version for other in others), default=0) + 1
    if prices.version != due:
        raise Refused(
            f"Version {prices.version} of {name} cannot be published: the next version is {due}. "
            "A published price list is never changed."
        )
    if any(other.effective_from >= prices.effective_from for other in others):
        raise Refused(f"Version {prices.version} of {name} must begin later than the versions before it.")
    final = (
        InvoiceMonth.select()
        .join(Company)
        .where(
            InvoiceMonth.state == "final",
            InvoiceMonth.month >= month_of(prices.effective_from),
            Company.price_list == prices.code,
            Company.currency == prices.currency,
        )
        .order_by(InvoiceMonth.month.desc())
        .first()
    )
    if final is not None:
        raise Refused(
            f"Version {prices.version} of {name} would begin in {month_of(prices.effective_from)}, but {final.month} "
            "is final already; let it begin with a later month."
        )


def _plain(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table as JSON takes it; TOML has dates."""
    return {name: value if isinstance(value, str | int | dict | list) else str(value) for name, value in table.items()}
