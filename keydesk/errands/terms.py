"""`keydesk terms list|add|end`: what was agreed with one company, and what saving it would change."""

import argparse
import sys
from collections.abc import Callable, Iterator
from datetime import datetime

from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import companies, contract_terms
from store.database import session
from store.errors import NotFound
from store.rules.text import visible
from store.tables import Company, ContractTerm

_NOT_SAVED = "Nothing was changed; say --yes to save it.\n"


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Exit status 3 when only told what would change, for want of --yes."""
    open_store(settings)
    with session():
        company = companies.by_external_id(given.company)
        if given.act == "list":
            sys.stdout.writelines(f"{line}\n" for line in _list(company))
            return 0
        return {"add": _add, "end": _end}[given.act](company, given, clock())


def _list(company: Company) -> Iterator[str]:
    found = contract_terms.listed(company.id)
    if not found:
        yield f"Nothing else was agreed with {visible(company.name)} than its price list {visible(company.price_list)}."
    yield from map(_told, found)


def _add(company: Company, given: argparse.Namespace, now: datetime) -> int:
    draft = contract_terms.Draft(
        given.line, given.kind, given.value, given.first_month, given.last_month, given.reference
    )
    for sentence in contract_terms.preview(company.id, draft, now):
        sys.stdout.write(f"{sentence}\n")
    if not given.yes:
        sys.stdout.write(_NOT_SAVED)
        return 3
    term = contract_terms.set_term(local_actor(), company.id, draft, now)
    sys.stdout.write(f"Saved: {_told(term)}\n")
    return 0


def _end(company: Company, given: argparse.Namespace, now: datetime) -> int:
    term = contract_terms.get(given.term)
    if term.company_id != company.id:
        raise NotFound(f"{visible(company.name)} has no term {given.term}; `keydesk terms list` has the numbers.")
    for sentence in contract_terms.preview_end(term.id, given.last_month, now):
        sys.stdout.write(f"{sentence}\n")
    if not given.yes:
        sys.stdout.write(_NOT_SAVED)
        return 3
    contract_terms.end(local_actor(), term.id, given.last_month, now)
    if given.last_month is None:
        sys.stdout.write(f"Withdrawn: {_told(term)}\n")
    else:
        sys.stdout.write(f"Saved: {_told(contract_terms.get(term.id))}\n")
    return 0


def _told(term: ContractTerm) -> str:
    """Such as "7  extra_key unit_price 29.00, 2026-01 to 2026-12 (contract 2026-17 §5)"."""
    value = "" if term.value is None else f" {term.value}"
    until = f"to {term.last_month}" if term.last_month else "on"
    return f"{term.id}  {term.line} {term.kind}{value}, {term.first_month} {until} ({visible(term.reference)})"
