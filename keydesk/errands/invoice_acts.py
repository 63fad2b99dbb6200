"""`keydesk invoice review|decide|release|hold-back|let-go|credit|verify`: what waits for a person, and the proof."""

import argparse
import sys
from collections.abc import Callable, Iterator
from datetime import datetime

from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import companies, invoice_corrections, invoice_review, invoice_verify, transfers
from store.database import session
from store.rules.money import amount
from store.rules.rating.sentences import month_words
from store.rules.text import visible
from store.tables import InvoiceLine, InvoiceMonth


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Exit status 3 when `verify` finds that a final line is not what the facts give."""
    open_store(settings)
    with session():
        if given.act == "verify":
            return _verify(given)
        told = {
            "review": _review,
            "decide": _decide,
            "release": _release,
            "hold-back": _hold_back,
            "let-go": _let_go,
            "credit": _credit,
        }[given.act]
        sys.stdout.writelines(f"{line}\n" for line in told(given, clock()))
    return 0


def _review(given: argparse.Namespace, _now: datetime) -> Iterator[str]:
    """The lines that wait for a decision, with the number by which they are decided, and the months that are held."""
    only = None if given.company is None else companies.by_external_id(given.company).id
    waits = False
    undecided = set()
    for line in invoice_review.waiting(only):
        waits = True
        undecided.add((line.company_id, line.month))
        who = f"{visible(line.company)} ({visible(line.external_id)})"
        yield f"{line.line_id}  {who}, {month_words(line.month)}: {visible(line.description)}, {line.net}"
        yield f"    {visible(line.because)}"
    if waits:
        yield "`keydesk invoice decide NUMBER approve|waive --reason TEXT` decides."
    held = InvoiceMonth.select().where(InvoiceMonth.state == "held").order_by(InvoiceMonth.month, InvoiceMonth.id)
    for month in held if only is None else held.where(InvoiceMonth.company == only):
        waits = True
        company = month.company
        yield f"{visible(company.name)} ({visible(company.external_id)}), {month_words(month.month)} is held."
        yield f"    {visible(month.error or '')}"
        if (company.id, month.month) not in undecided:  # else deciding is what lets it go
            yield (
                f"    `keydesk invoice release {visible(company.external_id)} {month.month} --reason TEXT` "
                "lets it become final as it is."
            )
    if not waits:
        yield "Nothing waits for a decision."


def _decide(given: argparse.Namespace, now: datetime) -> Iterator[str]:
    invoice_review.decide(local_actor(), given.line, given.decision, given.reason, now)
    line = InvoiceLine.get_by_id(given.line)
    about = f"{visible(line.description)}, {month_words(line.month)} of {visible(line.company.name)}"
    if line.status == "approved":
        yield f"{about}: approved, {amount(line.net_minor, line.currency)} is in the totals now."
    else:
        yield f"{about}: waived, the line stays at zero."


def _release(given: argparse.Namespace, now: datetime) -> Iterator[str]:
    company = companies.by_external_id(given.company)
    invoice_review.release(local_actor(), company.id, given.month, given.reason, now)
    yield f"{given.month} of {visible(company.name)} becomes final with the next run, if its facts do not change."


def _hold_back(given: argparse.Namespace, now: datetime) -> Iterator[str]:
    line = _line(given)
    transfers.hold_back(local_actor(), line.id, given.reason, now)
    yield f"{_about(line)} is held back: no export has it until it is let go."


def _let_go(given: argparse.Namespace, now: datetime) -> Iterator[str]:
    line = _line(given)
    transfers.let_go(local_actor(), line.id, now)
    yield f"{_about(line)} is let go: the next export has it."


def _line(given: argparse.Namespace) -> InvoiceLine:
    company = companies.by_external_id(given.company)
    return InvoiceLine.get_by_id(transfers.named(company.id, given.month, given.line, given.revision))


def _about(line: InvoiceLine) -> str:
    net = amount(line.net_minor, line.currency)
    return f"{visible(line.description)}, {net}, {month_words(line.month)} of {visible(line.company.name)}"


def _credit(given: argparse.Namespace, now: datetime) -> Iterator[str]:
    """What was taken back and what is billed instead, line by line."""
    company = companies.by_external_id(given.company)
    if given.dry_run:
        correction = invoice_corrections.preview(company.id, given.month, now)
    else:
        correction = invoice_corrections.credit_and_rebill(local_actor(), company.id, given.month, given.reason, now)
    for row in correction.rows:
        yield f"  {row['line_key']:<32} {amount(row['net_minor'], row['currency']):>20}"
    for row in correction.undecided:
        yield f"  {row['line_key']:<32} {amount(row['net_minor'], row['currency']):>20}  asked in the next draft"
    yield correction.sentence(given.month)
    if given.dry_run:
        yield "Nothing was changed."


def _verify(given: argparse.Namespace) -> int:
    """Each difference on a line of its own, as it is found."""
    only = None if given.company is None else companies.by_external_id(given.company).id
    found = 0
    for drift in invoice_verify.verify(given.month, only):
        found += 1
        revision = f" (revision {drift.revision})" if drift.revision > 1 else ""
        line = f" {drift.line_key}" if drift.line_key else ""
        sys.stdout.write(
            f"{visible(drift.company)} ({visible(drift.external_id)}) {drift.month}{revision}{line}: "
            f"{drift.what} is stored as {visible(drift.stored)}, the facts give {visible(drift.computed)}\n"
        )
    finals = InvoiceMonth.select().where(InvoiceMonth.month == given.month, InvoiceMonth.state == "final")
    number = (finals if only is None else finals.where(InvoiceMonth.company == only)).count()
    if found:
        sys.stdout.write(f"{found:,} difference{'' if found == 1 else 's'} in {given.month}.\n")
        return 3
    if number:
        noun = "document" if number == 1 else "documents"
        sys.stdout.write(f"{number:,} final {noun} of {given.month}: every line is what the facts give.\n")
    else:
        sys.stdout.write(f"Nothing of {given.month} is final yet.\n")
    return 0
