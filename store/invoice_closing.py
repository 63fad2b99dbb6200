"""A month is made final once, by compare-and-set, unless something about it is so strange that a person must look."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from store import events, invoice_drafts, invoice_mails, invoice_rows, outbox, prices, rating_policy, recipients
from store.actors import WORKER
from store.database import run_many, run_sql
from store.events import Fact
from store.fields import canonical, seconds
from store.invoice_mails import Document
from store.invoice_parties import keep_buyers, keep_seller
from store.invoice_rows import Row
from store.outbox import Owed
from store.rules import calendar
from store.rules.money import plain
from store.rules.rating.bounds import Billed, median, strange
from store.tables import Company, InvoiceMonth
from store.usage_facts import marks

_MONTHS_BEFORE: Final = 3
_AT_LEAST: Final = 2  # of them must have had a line before its amount can be called unusual


@dataclass(slots=True)
class _Month:
    """One company's month that is to be made final."""

    id: int
    company_id: int
    state: str
    hashes: tuple[str | None, str | None]  # of the facts, and of those that a person let pass
    currency: str
    totals: dict[str, int]
    explain: str | None
    error: str | None
    rows: list[Row] = field(default_factory=list)

    @property
    def waiting(self) -> list[Row]:
        """The lines that nobody has decided about."""
        return [row for row in self.rows if row["status"] == "needs_review"]

    @property
    def invoiced(self) -> list[Row]:
        """The lines that the month is made final with."""
        return [row for row in self.rows if row["status"] != "needs_review"]


def finalise(company_ids: Sequence[int], month: str, now: datetime) -> int:
    """Rate once more and make the months final; for how many companies this call did it.

    One transaction, which the caller has begun: the lines, the state, the event and the mails, or nothing. A company
    that cannot be rated is parked, and one whose month is strange is held with the reason.
    """
    prices.hold()
    invoice_drafts.draft(company_ids, month, now)
    months = _open(company_ids, month)
    if not months:
        return 0
    choices = rating_policy.current()
    held = _reasons(months, month, choices)
    for each in months:
        if each.company_id in held and (each.state, each.error) != ("held", held[each.company_id]):
            values = (held[each.company_id], each.id)
            run_sql("UPDATE invoice_month SET state = 'held', error = ? WHERE id = ?", values)
    closed = _close([each for each in months if each.company_id not in held], month, now)
    _announce(_documents(closed, month), now)
    return len(closed)


def _announce(documents: Sequence[Document], now: datetime) -> None:
    """Write what became final into the audit log, and owe those who are to be notified the lines."""
    facts = [
        Fact(
            "invoice.final",
            f"{document.month} of {document.company.name}",
            document.company.id,
            after={
                "lines": len(document.rows),
                "net": plain(document.totals["net_minor"], document.currency),
                "currency": document.currency,
            },
        )
        for document in documents
    ]
    if facts:
        events.append(WORKER, now, facts)
        outbox.queue(mails(documents), now)


def mails(documents: Sequence[Document]) -> list[Owed]:
    """The mails about them, to whoever is to be notified; none about a month without lines."""
    told = [document for document in documents if document.rows]
    to = recipients.of_companies([document.company.id for document in told]) if told else {}
    return [mail for document in told for mail in invoice_mails.owed(document, to[document.company.id])]


_OPEN: Final = """
    SELECT id, company_id, state, facts_hash, released_hash, currency, net_minor, vat_minor, gross_minor, explain, error
    FROM invoice_month WHERE company_id IN ({ids}) AND month = ? AND revision = 1 AND state IN ('draft', 'held')
    ORDER BY company_id
"""


def _open(company_ids: Sequence[int], month: str) -> list[_Month]:
    found = run_sql(_OPEN.format(ids=marks(len(company_ids))), (*company_ids, month)).fetchall()
    lines = invoice_rows.stored([row[1] for row in found], month) if found else {}
    return [
        _Month(
            id=row[0],
            company_id=row[1],
            state=row[2],
            hashes=(row[3], row[4]),
            currency=row[5],
            totals=dict(zip(("net_minor", "vat_minor", "gross_minor"), row[6:9], strict=True)),
            explain=row[9],
            error=row[10],
            rows=invoice_rows.in_order(lines.get(row[1], {}).values()),
        )
        for row in found
    ]


def _reasons(months: Sequence[_Month], month: str, choices: rating_policy.Choices) -> dict[int, str]:
    """Why a month must not be made final yet, by company."""
    asked = {each.company_id for each in months if each.hashes[0] is None or each.hashes[0] != each.hashes[1]}
    ids = sorted(asked)
    keys, usual = (_keys(ids), _usual(ids, month)) if ids else ({}, {})
    found: dict[int, str] = {}
    for each in months:
        reasons: list[str] = []
        if choices.undecided == "hold" and each.waiting:
            number = len(each.waiting)
            reasons.append(f"{'1 line waits' if number == 1 else f'{number} lines wait'} for a decision.")
        if each.company_id in asked:
            billed = (Billed(row["line_key"], int(row["quantity"]), row["net_minor"]) for row in each.invoiced)
            reasons += strange(
                billed,
                keys.get(each.company_id, 0),
                usual.get(each.company_id, {}),
                limit=choices.line_limit,
                currency=each.currency,
            )
        if reasons:
            found[each.company_id] = " ".join(reasons)
    return found


def _keys(company_ids: Sequence[int]) -> dict[int, int]:
    text = f"SELECT company_id, count(*) FROM api_key WHERE company_id IN ({marks(len(company_ids))}) GROUP BY 1"  # noqa: S608
    return {int(row[0]): int(row[1]) for row in run_sql(text, tuple(company_ids)).fetchall()}


def _usual(company_ids: Sequence[int], month: str) -> dict[int, dict[str, int]]:
    """What each line came to in the final months before: the median of those that had it."""
    before = [calendar.previous_month(month)]
    while len(before) < _MONTHS_BEFORE:
        before.append(calendar.previous_month(before[-1]))
    text = f"""
        SELECT v.company_id, v.line_key, v.net_minor FROM invoice_line AS v
        JOIN invoice_month AS m ON m.company_id = v.company_id AND m.month = v.month AND m.revision = v.revision
        WHERE v.company_id IN ({marks(len(company_ids))}) AND v.month IN ({marks(len(before))}) AND v.revision = 1
          AND m.state = 'final'
    """  # noqa: S608 - our own words
    amounts: dict[tuple[int, str], list[int]] = {}
    for company_id, line_key, net_minor in run_sql(text, (*company_ids, *before)).fetchall():
        amounts.setdefault((company_id, line_key), []).append(net_minor)
    usual: dict[int, dict[str, int]] = {}
    for (company_id, line_key), numbers in amounts.items():
        if len(numbers) >= _AT_LEAST:
            usual.setdefault(company_id, {})[line_key] = median(numbers)
    return usual


def _close(months: Sequence[_Month], month: str, now: datetime) -> list[_Month]:
    """Those that this call made final. What nobody had decided about leaves the month; its explanation names it."""
    for each in months:
        if each.waiting:
            carried = [
                {"line_key": row["line_key"], "net": plain(row["net_minor"], each.currency)} for row in each.waiting
            ]
            explain = {**(InvoiceMonth.explain.python_value(each.explain) or {}), "carried": carried}
            run_many("DELETE FROM invoice_line WHERE id = ?", [(row["id"],) for row in each.waiting])
            values = (len(carried), canonical(explain), each.id)
            run_sql("UPDATE invoice_month SET carried = ?, explain = ? WHERE id = ?", values)
    if not months:
        return []
    text = f"""
        UPDATE invoice_month SET state = 'final', final_at = ?, rated_at = ?, seller_id = ?, error = NULL
        WHERE id IN ({marks(len(months))}) AND state IN ('draft', 'held') RETURNING id
    """  # noqa: S608 - our own words
    values_of_all: list[Any] = [seconds(now), seconds(now), keep_seller(), *(each.id for each in months)]
    closed = {int(row[0]) for row in run_sql(text, values_of_all).fetchall()}
    made_final = [each for each in months if each.id in closed]
    keep_buyers([each.company_id for each in made_final], month, 1)
    return made_final


def _documents(months: Sequence[_Month], month: str) -> list[Document]:
    ids = [each.company_id for each in months]
    by_id = {company.id: company for company in Company.select().where(Company.id.in_(ids))} if ids else {}
    return [Document(by_id[each.company_id], month, 1, each.currency, each.totals, each.invoiced) for each in months]
