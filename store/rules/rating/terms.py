"""The contract terms in force for one month, and which of them reaches which line."""

from collections.abc import Iterable
from datetime import date

from store.rules.rating.facts import ContractTerm, TermKind
from store.rules.rating.invoice import Explain


class Terms:
    """Of several terms of one kind for one line, the one that began last is in force."""

    def __init__(self, terms: Iterable[ContractTerm], first_day: date) -> None:
        self._found: dict[tuple[str, str], ContractTerm] = {}
        for term in sorted(terms, key=lambda term: (term.start, str(term.value), term.reference)):
            if term.start <= first_day and (term.end is None or first_day < term.end):
                self._found[term.line, term.kind] = term

    def find(self, line: str, kind: TermKind) -> ContractTerm | None:
        """A further test key costs an extra key, so it follows the terms of those unless it has its own."""
        own = self._found.get((line, kind))
        if own is None and line == "extra_test_key" and kind in {"unit_price", "discount_percent", "waive"}:
            return self._found.get(("extra_key", kind))
        return own

    def number(self, line: str, kind: TermKind) -> int | None:
        """The term's value as a whole number, None when nothing was agreed."""
        term = self.find(line, kind)
        return None if term is None or term.value is None else int(term.value)


def told(terms: Iterable[ContractTerm | None]) -> list[Explain]:
    """The terms that were used, for `explain`."""
    return [
        {
            "line": term.line,
            "kind": term.kind,
            "value": None if term.value is None else str(term.value),
            "reference": term.reference,
        }
        for term in terms
        if term is not None
    ]
