"""An error in a final month: all that was invoiced for it is credited, and it is billed again.

Both are one revision of the month, final from the start. Its lines are `credit:…`, each the exact negation of a stored
line, and those of the month as it should have been; each names what it corrects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store import companies, invoice_closing, invoice_rows, late_usage, restored
from store.actors import Actor
from store.change import change
from store.database import backend
from store.errors import Refused
from store.invoice_mails import Document
from store.invoice_parties import keep_buyers, keep_seller
from store.invoice_rows import Row
from store.rules.money import amount, plain
from store.rules.rating import credit_and_rebill as corrected
from store.rules.rating.sentences import month_words
from store.rules.text import check_name
from store.tables import Company, InvoiceMonth


@dataclass(frozen=True, slots=True)
class Correction:
    """What a correction writes, or would write. `undecided` are lines of the new bill that somebody must decide about.

    `totals` are what the credit and the new bill add to what was invoiced, each taxed once.
    """

    revision: int
    currency: str
    credit: tuple[Row, ...]
    rebill: tuple[Row, ...]
    undecided: tuple[Row, ...]
    totals: dict[str, int]
    explain: dict[str, Any]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All lines, the credit first."""
        return (*self.credit, *self.rebill)

    def told(self) -> tuple[str, ...]:
        """What each line was invoiced at and is now, such as "extra_key: NOK 98.00 becomes NOK 49.00"."""
        was, now = _amounts(self.credit), _amounts(self.rebill)
        said = []
        for line_key in dict.fromkeys((*was, *now)):
            before, after = (amount(net, self.currency) for net in (-was.get(line_key, 0), now.get(line_key, 0)))
            said.append(f"{line_key}: {before} {'stays' if before == after else f'becomes {after}'}")
        said += [
            f"{row['line_key']}: {amount(row['net_minor'], self.currency)} is asked in the next draft"
            for row in self.undecided
        ]
        return tuple(said)

    def sentence(self, month: str) -> str:
        """Such as "October 2026 changes from NOK 272.00 to NOK 125.00."."""
        before = -invoice_rows.net_of(self.credit)
        was, now = (amount(net, self.currency) for net in (before, invoice_rows.net_of(self.rebill)))
        return f"{month_words(month)} changes from {was} to {now}."


def preview(company_id: int, month: str, now: datetime) -> Correction:
    """What `credit_and_rebill` would write. Refused when the month is not final, or nothing would change."""
    company = companies.get(company_id)
    return _correction(company, _newest(company, month, hold=False), now)


def credit_and_rebill(
    actor: Actor, company_id: int, month: str, reason: str, now: datetime, seen: Correction | None = None
) -> Correction:
    """Take back what was invoiced for a final month and bill it as the facts stand now; those to be notified are told.

    Refused when the month is not final, when nothing would change, when it is not what somebody has `seen` before, or
    from a restored store that nobody has let go on.
    """
    restored.require_released()
    with change(actor, "invoice.correct", company_id, now) as made:
        company = companies.held(company_id)
        final = _newest(company, month, hold=True)
        correction = _correction(company, final, now)
        if seen is not None and (seen.revision, seen.told()) != (correction.revision, correction.told()):
            raise Refused(f"What {month} of {company.name} becomes has changed meanwhile; look at it again.")
        explained = check_name(reason, "reason", limit=200)
        row = InvoiceMonth.create(
            company=company_id,
            month=month,
            revision=correction.revision,
            state="draft",
            currency=correction.currency,
            vat_category=final.vat_category,
            vat_rate=final.vat_rate,
            **correction.totals,
            explain=correction.explain,
            policy=final.policy,
            reason=explained,
            carried=len(correction.undecided),
            rated_at=now,
        )
        lines = [(company_id, each) for each in correction.rows]
        invoice_rows.insert(lines, month, correction.revision, now)
        final_columns = {"state": "final", "final_at": now, "seller": keep_seller()}
        InvoiceMonth.update(**final_columns).where(InvoiceMonth.id == row.id).execute()
        keep_buyers([company_id], month, correction.revision)
        made.event(
            "invoice.correct",
            f"{month} of {company.name}",
            company_id,
            before={"net": plain(-invoice_rows.net_of(correction.credit), correction.currency)},
            after={
                "net": plain(invoice_rows.net_of(correction.rebill), correction.currency),
                "revision": correction.revision,
                "reason": explained,
            },
        )
        document = Document(
            company, month, correction.revision, correction.currency, correction.totals, list(correction.rows)
        )
        made.mails.extend(invoice_closing.mails([document]))
    return correction


def _newest(company: Company, month: str, *, hold: bool) -> InvoiceMonth:
    """The newest revision of the month, held against others until the transaction ends; Refused unless it is final."""
    query = InvoiceMonth.select().where(InvoiceMonth.company == company.id, InvoiceMonth.month == month)
    query = query.order_by(InvoiceMonth.revision.desc())
    found: InvoiceMonth | None = (query.for_update() if hold and backend() != "sqlite" else query).first()
    if found is None or found.state != "final":
        state = "not there" if found is None else found.state
        raise Refused(f"{month} of {company.name} is {state}, not final; a draft follows the facts by itself.")
    return found


def _correction(company: Company, final: InvoiceMonth, now: datetime) -> Correction:
    month, revision = final.month, final.revision + 1
    rated = late_usage.as_rated(company, final)
    standing = outstanding(company.id, month)
    result = corrected(
        rated.facts,
        month,
        [invoice_rows.line_of(row) for row in standing],
        rated.price_lists,
        rated.policy,
        as_of=now,
    )
    credit = _credits(standing, [invoice_rows.row_of(line, final.currency) for line in result.credit])
    own = {row["line_key"]: row for row in standing if row["month"] == month}
    decided = _decided(standing)
    billed = [
        invoice_rows.as_decided(invoice_rows.row_of(line, final.currency), decided.get(line.line_key))
        for line in result.rebill.lines
    ]
    rebill = [
        {**row, "month": month, "corrects": _name(own.get(row["line_key"]), month, final.revision)} for row in billed
    ]
    undecided = tuple(row for row in rebill if row["status"] == "needs_review")
    kept = tuple(row for row in rebill if row["status"] != "needs_review")
    if _amounts(standing) == _amounts(kept) and not undecided:
        raise Refused(f"Nothing of {month} of {company.name} would change; it was invoiced as the facts are.")
    explain = {name: value for name, value in result.rebill.explain.items() if name != "as_of"}
    if undecided:
        explain["carried"] = [
            {"line_key": row["line_key"], "net": plain(row["net_minor"], final.currency)} for row in undecided
        ]
    taken, added = (invoice_rows.taxed(invoice_rows.net_of(rows), final.vat_rate) for rows in (credit, kept))
    return Correction(
        revision=revision,
        currency=final.currency,
        credit=credit,
        rebill=kept,
        undecided=undecided,
        totals={name: taken[name] + added[name] for name in taken},
        explain=explain,
    )


def _decided(standing: Sequence[Row]) -> dict[str, Row]:
    """What was decided about each line, its adjustments in later months counted in; nothing where answers differ."""
    about: dict[str, list[Row]] = {}
    for row in standing:
        about.setdefault(invoice_rows.owner(row)[1], []).append(row)
    return {
        line_key: {**rows[-1], "decided_minor": sum(map(invoice_rows.settled, rows))}
        for line_key, rows in about.items()
        if len({row["status"] for row in rows}) == 1
    }


def outstanding(company_id: int, month: str) -> list[Row]:
    """The final lines about a month that no credit has taken back."""
    rows = invoice_rows.about(company_id, month)
    credited = {row["corrects"] for row in rows if row["line_key"].startswith("credit:")}
    return invoice_rows.in_order(
        row for row in rows if not row["line_key"].startswith("credit:") and name_of(row) not in credited
    )


def name_of(row: Row) -> str:
    """What corrections call a stored line: "2026-10#1/extra_key", its month, revision and key."""
    return f"{row['month']}#{row['revision']}/{row['line_key']}"


def _name(row: Row | None, month: str, revision: int) -> str:
    return f"{month}#{revision}" if row is None else name_of(row)


def _credits(standing: Sequence[Row], negated: Sequence[Row]) -> tuple[Row, ...]:
    """The negated lines with the names of what they take back; a waiver is taken back with its line."""
    credit: list[Row] = []
    taken: set[str] = set()
    for row, each in zip(standing, negated, strict=True):
        line_key = each["line_key"]
        if line_key in taken:  # an adjustment of the same line in another month
            line_key = f"{line_key}@{row['month']}"
        taken.add(line_key)
        decided_minor = None if row["decided_minor"] is None else -row["decided_minor"]
        credit.append(
            {
                **each,
                "month": row["month"],
                "line_key": line_key,
                "corrects": name_of(row),
                "status": row["status"],
                "decided_by": row["decided_by"],
                "decided_at": row["decided_at"],
                "decided_reason": row["decided_reason"],
                "decided_minor": decided_minor,
            }
        )
    return tuple(credit)


def _amounts(rows: Sequence[Row]) -> dict[str, int]:
    """What lines come to by what they are about."""
    sums: dict[str, int] = {}
    for row in rows:
        line_key = invoice_rows.owner(row)[1]
        sums[line_key] = sums.get(line_key, 0) + row["net_minor"]
    return {line_key: net for line_key, net in sums.items() if net}
