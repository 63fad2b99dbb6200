"""What people have decided about lines, put into what is rated for looking at: a preview says what the invoice will."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from store.database import run_sql
from store.rules.rating import Invoice
from store.rules.rating.invoice import Line
from store.rules.rating.sentences import WAITS
from store.usage_facts import marks


@dataclass(frozen=True, slots=True)
class Decided:
    """The net amount that was decided about, and what was decided."""

    minor: int
    waived: bool


def settling(company_id: int, months: Iterable[str]) -> Callable[[Invoice], Invoice]:
    """A function that puts into these rated months what was decided about their stored lines, the newest decision.

    As in a draft, a decision is about its amount: a line that comes to another one waits.
    """
    wanted = sorted(set(months))
    text = f"""
        SELECT month, line_key, decided_minor, status FROM invoice_line
        WHERE company_id = ? AND month IN ({marks(len(wanted))}) AND decided_minor IS NOT NULL
          AND line_key NOT LIKE 'credit:%' ORDER BY revision, id
    """  # noqa: S608 - our own words
    rows = run_sql(text, (company_id, *wanted)).fetchall() if wanted else []
    decided = {(month, line_key): Decided(int(minor), status == "waived") for month, line_key, minor, status in rows}
    return lambda invoice: _settled(invoice, decided) if decided else invoice


def _settled(invoice: Invoice, decided: Mapping[tuple[str, str], Decided]) -> Invoice:
    lines = tuple(_line(line, decided.get((invoice.month, line.line_key))) for line in invoice.lines)
    return replace(invoice, lines=lines).with_lines(())


def _line(line: Line, decided: Decided | None) -> Line:
    if line.status != "needs_review" or decided is None or decided.minor != line.net_minor:
        return line
    settled = replace(line, status="ok", because=line.because.replace(WAITS, "; waived" if decided.waived else ""))
    return replace(settled, discount_minor=line.gross_minor, net_minor=0) if decided.waived else settled
