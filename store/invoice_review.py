"""What waits for a person: overuse to be approved or waived, and months that are held."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from store import companies, invoice_drafts, invoice_rows
from store.actors import Actor
from store.change import change
from store.database import backend, run_sql
from store.errors import NotFound, Refused
from store.rules.money import amount, plain
from store.rules.text import check_name
from store.tables import Company, InvoiceMonth

Decision = Literal["approve", "waive"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A line that nobody has decided about."""

    line_id: int
    company_id: int
    company: str
    external_id: str
    month: str
    line_key: str
    description: str
    because: str
    net: str  # as people read it: NOK 60.00


def waiting(company_id: int | None = None) -> Iterator[Waiting]:
    """The lines that wait for a decision, the oldest month first; of one company or of all."""
    text = f"""
        SELECT v.id, v.company_id, c.name, c.external_id, v.month, v.line_key, v.description, v.because, v.net_minor,
               v.currency
        FROM invoice_line AS v JOIN company AS c ON c.id = v.company_id
        WHERE v.status = 'needs_review'{"" if company_id is None else " AND v.company_id = ?"}
        ORDER BY v.month, c.folded, v.id
    """  # noqa: S608 - our own words
    for row in run_sql(text, () if company_id is None else (company_id,)).fetchall():
        yield Waiting(*(*row[:8], amount(row[8], row[9])))


def decide(actor: Actor, line_id: int, decision: Decision, reason: str, now: datetime) -> None:
    """Have overuse invoiced, or waive it: the line stays, at zero. Until the month is final the mind may be changed.

    The decision is about the amount: if the facts change that, it is asked again.
    """
    row = _line(line_id)
    act = "invoice.approve" if decision == "approve" else "invoice.waive"
    with change(actor, act, row["company_id"], now) as made:
        company = companies.get(row["company_id"])
        month = _open_month(company, row["month"], row["revision"])
        row = _line(line_id)
        if row["status"] == "ok":
            raise Refused(f"{row['description']} needs no decision; it is invoiced as it stands.")
        undecided = _undecided(row)
        after = invoice_rows.decided(
            undecided,
            waived=decision == "waive",
            by=actor.name,
            at=now,
            reason=check_name(reason, "reason", limit=200),
        )
        invoice_drafts.update_line(row["id"], after, now)
        rows = invoice_rows.stored([company.id], row["month"], row["revision"])[company.id].values()
        totals = invoice_rows.taxed(invoice_rows.net_of(rows), month.vat_rate)
        freed = month.state == "held" and not any(each["status"] == "needs_review" for each in rows)
        InvoiceMonth.update(**totals, **({"state": "draft", "error": None} if freed else {})).where(
            InvoiceMonth.id == month.id
        ).execute()
        made.event(
            act,
            f"{row['month']} {row['line_key']} of {company.name}",
            company.id,
            before={"status": row["status"], "net": plain(row["net_minor"], row["currency"])},
            after={"status": after["status"], "net": plain(after["net_minor"], row["currency"]), "reason": reason},
        )


def release(actor: Actor, company_id: int, month: str, reason: str, now: datetime) -> None:
    """Let a held month go: the next run makes it final as it stands. If its facts change first, it is judged anew."""
    with change(actor, "invoice.release", company_id, now) as made:
        company = companies.get(company_id)
        held = _open_month(company, month, 1)
        if held.state != "held":
            raise Refused(f"{month} of {company.name} is {held.state}, not held; there is nothing to release.")
        waits = sum(1 for each in waiting(company_id) if each.month == month)
        if waits:
            raise Refused(f"{month} of {company.name} has lines that wait for a decision; approve or waive them.")
        InvoiceMonth.update(
            state="draft",
            error=None,
            released_hash=held.facts_hash,
            reason=check_name(reason, "reason", limit=200),
        ).where(InvoiceMonth.id == held.id).execute()
        made.event(
            "invoice.release",
            f"{month} of {company.name}",
            company_id,
            before={"held": held.error},
            after={"reason": reason},
        )


def _line(line_id: int) -> invoice_rows.Row:
    row = invoice_rows.by_id(line_id)
    if row is None:
        raise NotFound("This invoice line is no longer there; look at the month again.")
    return row


def _open_month(company: Company, month: str, revision: int) -> InvoiceMonth:
    """The month, held against a run that works on it; Refused when it is final."""
    query = InvoiceMonth.select().where(
        InvoiceMonth.company == company.id, InvoiceMonth.month == month, InvoiceMonth.revision == revision
    )
    found: InvoiceMonth | None = (query if backend() == "sqlite" else query.for_update()).first()
    if found is None:
        raise NotFound(f"There is no {month} of {company.name}.")
    if found.state == "final":
        raise Refused(f"{month} of {company.name} is final; it can only be credited and billed again.")
    return found


def _undecided(row: invoice_rows.Row) -> invoice_rows.Row:
    """The line as it was before somebody decided."""
    if row["decided_by"] is None:
        return row
    discount = row["gross_minor"] - row["decided_minor"]
    because = row["because"].replace("; waived.", ".")
    return {**row, "net_minor": row["decided_minor"], "discount_minor": discount, "because": because}
