"""Who sells, as this process's settings say it: what becomes final keeps it."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from store.exports.document import Party, Seller

_in_use: Mapping[str, Any] | None = None


def use(facts: Mapping[str, Any] | None) -> None:
    """From now on months become final with these: the names and values of the settings' section [seller]."""
    global _in_use  # noqa: PLW0603 - one process, one store, one seller
    _in_use = dict(facts) if facts is not None and facts.get("name") else None


def in_use() -> Mapping[str, Any] | None:
    """What the settings say; None when they name no seller."""
    return _in_use


def seller_of(facts: Mapping[str, Any]) -> Seller:
    """The seller of a document from what the settings say, or said."""
    return Seller(
        party=Party(**{part.name: facts[part.name] for part in fields(Party)}),
        account=facts["account"].replace(" ", ""),
        bank=facts["bank"],
        payment_days=facts["payment_days"],
        tax_registration=facts["tax_registration"],
    )
