"""`keydesk invoice export`: a month's documents for other systems, and the mark that they have been handed over."""

import argparse
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from keydesk import __version__
from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import invoice_documents, restored, transfers, unfinished
from store.database import session
from store.errors import Refused
from store.exports import csv_file, json_file, parties, sie, ubl
from store.exports.document import InvoiceDocument, Seller
from store.rules.money import amount
from store.rules.text import visible
from store.sellers import seller_of

Files = Iterator[tuple[str, bytes]]  # a name and what stands in it, one at a time: e-invoices are many
_SHOWN = 20  # companies that one sentence names


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Write the files, then mark what is in them. What is left out is told on standard error."""
    if given.drafts and (given.mark or given.format == "sie"):
        what = "marked as transferred" if given.mark else "booked"
        raise Refused(f"Drafts may still change and cannot be {what}; leave out --drafts.")
    seller = seller_of(asdict(settings.seller))
    open_store(settings)
    with session():
        if given.new or given.mark:
            restored.require_released()
        found = list(invoice_documents.documents(given.month, given.company, drafts=given.drafts))
        told = list(_left_out(given))
        chosen = [document for document in found if not (given.new and document.was_transferred)]
        if not found:
            raise Refused(" ".join([f"Nothing of {given.month} can be exported yet.", *told]))
        chosen = _exportable(given, settings, seller, chosen, told)
        one_each = len(chosen) if given.format == "ubl" else 1
        sha256 = _write(given.out, one_each, _files(given, settings, seller, chosen))
        if given.mark:
            told.append(_mark(given, chosen, sha256, clock()))
    sums = Counter[str]()
    for document in chosen:
        sums[document.currency] += document.gross_minor
    amounts = ", ".join(amount(minor, currency) for currency, minor in sorted(sums.items()))
    counted = f"{_counted(len(chosen), 'document')}, {_counted(sum(len(each.lines) for each in chosen), 'line')}"
    for sentence in [f"{counted}{f': {amounts} with VAT' if amounts else ''}.", *told]:
        sys.stderr.write(visible(sentence) + "\n")
    return 0


def _exportable(
    given: argparse.Namespace, settings: Settings, seller: Seller, chosen: list[InvoiceDocument], told: list[str]
) -> list[InvoiceDocument]:
    """Those that the format can take. Refused when something that can be put right is wrong with one of them."""
    if given.format == "sie":
        foreign = sorted({document.company for document in chosen if document.currency != sie.CURRENCY})
        if foreign:
            told.append(f"Left out, as SIE takes {sie.CURRENCY} only: {_names(foreign)}.")
        _refuse_seller([name for name in ("name", "organisation_number") if not getattr(seller.party, name)], settings)
        return [document for document in chosen if document.currency == sie.CURRENCY]
    if given.format != "ubl":
        return chosen
    chosen = [_completed(document, seller) for document in chosen]
    unreached = sorted({document.company for document in chosen if not document.buyer.endpoint})
    if unreached and given.company is None:
        told.append(f"Left out, as no endpoint for e-invoices is known of them: {_names(unreached)}.")
        chosen = [document for document in chosen if document.buyer.endpoint]
    faults = dict.fromkeys(fault for each in chosen for fault in _seller_faults(each))
    _refuse_seller(list(faults), settings)
    wrong = {document.company: found for document in chosen if (found := parties.buyer_faults(document))}
    if wrong:
        lines = [f"{company}: {'; '.join(found)}" for company, found in list(wrong.items())[:_SHOWN]]
        more = f"\n… and {len(wrong) - _SHOWN} more companies." if len(wrong) > _SHOWN else ""
        raise Refused(
            "Nothing was exported: an e-invoice needs these of a company, missing or wrong here; import them.\n"
            + "\n".join(lines)
            + more
        )
    return chosen


def _completed(document: InvoiceDocument, seller: Seller) -> InvoiceDocument:
    """With the seller and buyer as they were when the month became final.

    Where an e-invoice needs what was not known then, or was wrong: as they are known now.
    """
    if document.present is not None and parties.buyer_faults(document):
        buyer, reference = document.present
        document = replace(document, buyer=buyer, billing_reference=reference)
    return replace(document, seller=seller) if _seller_faults(document) else document


def _seller_faults(document: InvoiceDocument) -> list[str]:
    return ["name"] if document.seller is None else parties.seller_faults(document.seller, document.vat_category)


def _files(given: argparse.Namespace, settings: Settings, seller: Seller, chosen: Sequence[InvoiceDocument]) -> Files:
    """The bytes by file name, the same whenever the same documents are exported."""
    name = f"{'DRAFT-' if given.drafts else ''}invoices-{given.month}"
    if given.company is not None:
        name += f"-{_file_name(given.company)}"
    if given.format == "csv":
        yield f"{name}.csv", csv_file.write(chosen)
    elif given.format == "json":
        yield f"{name}.json", json_file.write(chosen, given.month)
    elif given.format == "sie":
        yield f"{name}.si", sie.write(chosen, seller.party, _accounts(settings), __version__)
    else:
        yield from (
            (f"{_file_name(document.number)}.xml", ubl.write(document, document.seller or seller))
            for document in chosen
        )


def _write(out: Path | None, number: int, files: Files) -> str:
    """To standard output, into a folder, or as the file that is named; each file appears whole or not at all.

    The SHA-256 of the one file; of several, of what `sha256sum` prints of them in the order of their names.
    """
    to_stdout = out is None or str(out) == "-"
    if number > 1 and to_stdout:
        raise Refused(f"These are {number} files; name a folder for them with --out.")
    if number > 1 and not (out is not None and out.is_dir()):
        raise Refused(f"These are {number} files, and {out} is no folder; make it first, or name another.")
    digests: dict[str, str] = {}
    for name, written in files:
        digests[name] = hashlib.sha256(written).hexdigest()
        if out is None or to_stdout:
            sys.stdout.buffer.write(written)
        else:
            _write_file(out / name if out.is_dir() else out, written)
    sys.stdout.buffer.flush()
    if len(digests) == 1:
        return next(iter(digests.values()))
    listed = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(listed.encode()).hexdigest()


def _write_file(path: Path, written: bytes) -> None:
    """On disk before anything is marked; a reader never sees half of it."""
    with unfinished.folder(path.parent, ".exporting-") as folder:
        part = folder.joinpath(path.name)
        with part.open("wb") as file:
            file.write(written)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


def _mark(given: argparse.Namespace, chosen: Sequence[InvoiceDocument], sha256: str, now: datetime) -> str:
    handed = transfers.Handed(
        month=given.month,
        format=given.format,
        documents=len(chosen),
        sha256=sha256,
        company_id=chosen[0].company_id if given.company is not None and chosen else None,
    )
    ids = [line.id for document in chosen for line in document.lines]
    marked = transfers.mark(local_actor(), handed, ids, now)
    before = len(ids) - marked
    return f"{_counted(marked, 'line')} marked as transferred{f', {before} had been before' if before else ''}."


def _left_out(given: argparse.Namespace) -> Iterator[str]:
    left = invoice_documents.left_out(given.month, given.company)
    if left.not_final and not given.drafts:
        companies = sorted(set(left.not_final))
        yield f"Not final yet, and left out: {_names(companies)}; --drafts shows drafts."
    if left.undecided:
        waits = "waits" if left.undecided == 1 else "wait"
        yield f"{_counted(left.undecided, 'line')} {waits} for a decision, and {_are(left.undecided)} left out."
    if left.held_back:
        yield f"{_counted(left.held_back, 'line')} {_are(left.held_back)} not to be transferred, and left out."


def _refuse_seller(faults: Sequence[str], settings: Settings) -> None:
    if faults:
        where = settings.source or "the settings"
        raise Refused(
            f"Nothing was exported: [seller] in {where} needs these, missing or wrong there: {'; '.join(faults)}."
        )


def _accounts(settings: Settings) -> sie.Accounts:
    chosen = settings.seller_sie
    return sie.Accounts(
        receivable=chosen.receivable_account,
        access=chosen.access_account,
        keys=chosen.key_account,
        overuse=chosen.overuse_account,
        vat=chosen.vat_account,
        without_vat=chosen.without_vat_account,
        chart=chosen.chart,
        series=chosen.series,
    )


def _file_name(text: str) -> str:
    """No name that leaves the folder or hides; the same text is the same name, another text another."""
    name = quote(text, safe="")
    return f"%2E{name[1:]}" if name.startswith(".") else name


def _names(companies: Sequence[str]) -> str:
    more = f" and {len(companies) - _SHOWN} more" if len(companies) > _SHOWN else ""
    return ", ".join(companies[:_SHOWN]) + more


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
