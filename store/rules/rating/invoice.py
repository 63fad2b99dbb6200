"""The result of rating: lines that carry their own derivation, and the totals of their stored amounts."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from store.rules.money import percent_of

Explain = dict[str, Any]  # text, whole numbers, None, and lists and objects of them: it goes into JSON as it is
Reason = Literal["contract", "clause", "beyond_included", "adjustment", "credit"]
Status = Literal["ok", "needs_review"]


@dataclass(frozen=True, slots=True)
class Line:
    """`description` is a short label, `because` the sentence for people, `explain` every number behind them.

    `quantity`, `unit_price` and `fraction` ("3/31" of a month, else "") are exact text. net = gross - discount.
    """

    line_key: str
    description: str
    quantity: str
    unit: str
    unit_price: str
    gross_minor: int
    discount_minor: int
    net_minor: int
    reason: Reason
    price_list: str
    because: str
    status: Status = "ok"
    fraction: str = ""
    explain: Explain = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Invoice:
    """One company's month. Lines that need review are listed but not in the totals. `so_far`: `as_of` cut the month."""

    month: str
    currency: str
    lines: tuple[Line, ...]
    net_minor: int
    vat_minor: int
    gross_minor: int
    vat_category: str
    vat_rate: Decimal
    so_far: bool
    explain: Explain

    def with_lines(self, more: Iterable[Line]) -> "Invoice":
        """The same document with further lines (adjustments), totalled and taxed again as one."""
        lines = (*self.lines, *more)
        net, vat = totals(lines, self.vat_rate)
        return replace(self, lines=lines, net_minor=net, vat_minor=vat, gross_minor=net + vat)


def totals(lines: Iterable[Line], vat_rate: Decimal) -> tuple[int, int]:
    """Net and VAT: the sum of the stored amounts that are not under review, and one tax on that sum."""
    net = sum(line.net_minor for line in lines if line.status == "ok")
    return net, percent_of(net, vat_rate)
