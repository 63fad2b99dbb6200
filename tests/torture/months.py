"""Whether every month that is over was invoiced once, as the facts give it."""

from collections.abc import Mapping
from datetime import date, timedelta

from store import invoice_verify
from store.database import run_sql
from torture.model import CompanyFact
from torture.oracle import Faults


def check(zones: Mapping[str, list[CompanyFact]], faults: Faults) -> int:
    """Every month that is over is final once, and what was invoiced is what the facts give. How many months there are.

    One that came out far above the months before it waits for a person, one without a price list for that; neither
    is lost.
    """
    text = "SELECT company_id, month, state, error FROM invoice_month WHERE revision = 1"
    months = {(company_id, month): told for company_id, month, *told in run_sql(text).fetchall()}
    final = {
        (company_id, month)
        for (company_id, month), (state, error) in months.items()
        if state == "final"
        or (state == "parked" and error.startswith("No price list API in USD is in force"))
        or (state == "held" and is_unusual(_lines(company_id), month))
    }
    for name, companies in zones.items():
        done = {row[0] for row in run_sql(_FINAL_RUNS, (name,)).fetchall()}
        for company in companies:
            for month in done - {month for of, month in final if of == company.id}:
                faults.lost.append(f"month {month} of {company.name}: {months.get((company.id, month))}")
    for month in sorted({month for _, month in months}):
        for drift in invoice_verify.verify(month):
            faults.extra.append(f"invoice of {drift}")
    return len(months)


def is_unusual(lines: Mapping[tuple[str, str], int], month: str) -> bool:
    """Whether a line is more than ten times what it was, as the middle of those of three months before that had it.

    `lines` are amounts by the line's key and its month.
    """
    begun = date.fromisoformat(f"{month}-01")
    before = [f"{begun - timedelta(days=days):%Y-%m}" for days in (15, 45, 75)]

    def is_far_above(line: str) -> bool:
        was = sorted(lines[line, each] for each in before if (line, each) in lines)
        return len(was) >= 2 and lines[line, month] > 10 * was[(len(was) - 1) // 2] > 0

    return any(is_far_above(line) for line, of in lines if of == month)


def _lines(company_id: int) -> dict[tuple[str, str], int]:
    return {(line, of): net for line, of, net in run_sql(_LINES, (company_id,)).fetchall()}


_FINAL_RUNS = "SELECT period FROM run WHERE job = 'invoice-final' AND scope = ? AND state = 'done'"
_LINES = "SELECT line_key, month, net_minor FROM invoice_line WHERE company_id = ? AND revision = 1"
