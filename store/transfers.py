"""Where a final line has gone: to transfer, transferred, or not to be transferred; each change is an event."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from store import restored
from store.actors import Actor
from store.change import change
from store.database import run_sql
from store.errors import NotFound, Refused
from store.rules.text import check_name, visible
from store.tables import InvoiceLine, InvoiceMonth

ACT: Final = "invoice.transfer"
_SLICE: Final = 500
_MAY_BE_MARKED: Final = """
    SELECT count(*) FROM invoice_line v
    JOIN invoice_month m ON m.company_id = v.company_id AND m.month = v.month AND m.revision = v.revision
    WHERE v.id IN ({marks}) AND m.state = 'final' AND v.transfer <> 'do-not-transfer'
"""


@dataclass(frozen=True, slots=True)
class Handed:
    """What was handed over: which month, in which format, how many documents, and the digest of the bytes."""

    month: str
    format: str
    documents: int
    sha256: str
    company_id: int | None  # None: of all companies


def mark(actor: Actor, handed: Handed, line_ids: Sequence[int], now: datetime) -> int:
    """Say that these lines have been transferred; how many had not been before. One transaction, one event.

    Refused, and nothing is marked, when one of them is no longer final or is not to be transferred, or from a restored
    store that nobody has let go on: what was transferred since the backup is forgotten in it.
    """
    restored.require_released()
    with change(actor, ACT, handed.company_id, now) as made:
        marked = 0
        for start in range(0, len(line_ids), _SLICE):
            part = list(line_ids[start : start + _SLICE])
            may = run_sql(_MAY_BE_MARKED.format(marks=", ".join("?" * len(part))), part).fetchone()
            if may[0] != len(part):
                raise Refused(
                    f"Lines of {handed.month} were changed while they were exported; nothing was marked. Export again."
                )
            marked += (
                InvoiceLine.update(transfer="transferred")
                .where(InvoiceLine.id.in_(part), InvoiceLine.transfer == "to-transfer")
                .execute()
            )
        if marked:
            told = {
                "format": handed.format,
                "documents": handed.documents,
                "lines": marked,
                "sha256": handed.sha256,
            }
            made.event(ACT, f"lines of {handed.month}", handed.company_id, after=told)
        return marked


def named(company_id: int, month: str, line_key: str, revision: int | None = None) -> int:
    """The id of a line; of its newest revision unless one is asked for. NotFound names the lines that are there."""
    rows = InvoiceLine.select().where(InvoiceLine.company == company_id, InvoiceLine.month == month)
    there = sorted(rows.order_by(InvoiceLine.id), key=lambda line: line.revision)
    found = [line for line in there if line.line_key == line_key and revision in {None, line.revision}]
    if not found:
        keys = ", ".join(dict.fromkeys(line.line_key for line in there)) or "no line at all"
        of_revision = "" if revision is None else f" in revision {revision}"
        raise NotFound(f"There is no line {visible(line_key)}{of_revision} of {month}; it has {keys}.")
    return int(found[-1].id)


def hold_back(actor: Actor, line_id: int, reason: str, now: datetime) -> None:
    """Keep a final line out of every export. Refused when it has been transferred; then it must be credited."""
    why = check_name(reason, "The reason", 200)
    _move(actor, line_id, "to-transfer", "do-not-transfer", now, {"reason": why})


def let_go(actor: Actor, line_id: int, now: datetime) -> None:
    """Let a line that was held back be exported after all."""
    _move(actor, line_id, "do-not-transfer", "to-transfer", now, {})


def _move(actor: Actor, line_id: int, was: str, becomes: str, now: datetime, why: dict[str, str]) -> None:
    line = InvoiceLine.get_or_none(InvoiceLine.id == line_id)
    if line is None:
        raise NotFound("There is no such invoice line any more; look at the month again.")
    subject = f"line {line.line_key} of {line.month}"
    with change(actor, ACT, line.company_id, now) as made:
        if not _is_final(line):
            raise Refused(f"The {subject} is a draft, which is not transferred anyhow; wait until the month is final.")
        changed = (
            InvoiceLine.update(transfer=becomes).where(InvoiceLine.id == line_id, InvoiceLine.transfer == was).execute()
        )
        if changed != 1:
            stands = InvoiceLine.get_by_id(line_id).transfer.replace("-", " ")
            raise Refused(f"The {subject} stands as “{stands}”, and cannot become “{becomes.replace('-', ' ')}”.")
        made.event(ACT, subject, line.company_id, before={"transfer": was}, after={"transfer": becomes, **why})


def _is_final(line: InvoiceLine) -> bool:
    return bool(
        InvoiceMonth.select()
        .where(
            InvoiceMonth.company == line.company_id,
            InvoiceMonth.month == line.month,
            InvoiceMonth.revision == line.revision,
            InvoiceMonth.state == "final",
        )
        .exists()
    )
