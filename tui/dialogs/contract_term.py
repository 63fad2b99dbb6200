"""A contract term: what is agreed for which line, for which months, by which reference; and a term's end."""

from dataclasses import dataclass
from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input

from store.errors import FormatWrong
from store.rules import calendar
from store.rules.text import check_name
from tui.dialogs.dialog import row, said
from tui.dialogs.previewed import Preview, PreviewedDialog
from tui.widgets.choice_row import ChoiceRow
from tui.widgets.field import Field

LINE_WORDS: Final = {
    "access": "API access",
    "extra_key": "Extra keys",
    "extra_test_key": "Extra test keys",
    "overuse_requests": "Requests above",
    "overuse_data": "Data above",
}
KIND_WORDS: Final = {
    "unit_price": "Unit price",
    "discount_percent": "Discount",
    "waive": "Waived",
    "included": "Included",
    "free_test_keys": "Free test keys",
    "access_invoiced_elsewhere": "Billed elsewhere",
}
_LINES: Final = (
    ("access", "Access", "a"),
    ("extra_key", "Keys", "k"),
    ("extra_test_key", "Test", "t"),
    ("overuse_requests", "Requests", "r"),
    ("overuse_data", "Data", "d"),
)
_ALWAYS: Final = (("unit_price", "Price", "p"), ("discount_percent", "Discount", "d"), ("waive", "Waived", "w"))
_INCLUDED: Final = ("included", "Included", "i")
_LAST_KIND: Final = {
    "access": ("access_invoiced_elsewhere", "Billed elsewhere", "b"),
    "extra_key": _INCLUDED,
    "extra_test_key": ("free_test_keys", "Free ones", "f"),
    "overuse_requests": _INCLUDED,
    "overuse_data": _INCLUDED,
}
_VALUE: Final = {
    "unit_price": "the agreed price, such as 45.00",
    "discount_percent": "percent off, such as 10",
    "included": "a whole number: keys, requests or bytes",
    "free_test_keys": "a whole number per resource",
}


@dataclass(frozen=True, slots=True)
class TermDraft:
    """A term to be. `value` is None where its kind has none, `last_month` where it has no end."""

    line: str
    kind: str
    value: str | None
    first_month: str
    last_month: str | None
    reference: str = ""


class ContractTermDialog(PreviewedDialog[TermDraft, TermDraft]):
    """Saving waits until it has been shown what the months become."""

    caption: str = "Contract term"

    def __init__(self, company: str, month: str, preview: Preview[TermDraft]) -> None:
        super().__init__(preview)
        self._company = company
        self._line = ChoiceRow(_LINES, "access")
        self._kind = ChoiceRow(_kinds("access"), "unit_price")
        self._value = Field(placeholder=_VALUE["unit_price"], limit=20)
        self._first = Field(month, "2026-11", limit=7)
        self._last = Field("", "empty: until it is ended", limit=7)
        self._reference = Field(placeholder="the contract or order it stands in", limit=128)

    def fields(self) -> ComposeResult:
        """What, how much, from when until when, by which paper; and what it changes."""
        yield said(f"agreed with {self._company}", style="bold")
        yield row("Line", self._line)
        yield row("Agreed", self._kind)
        yield row("Value", self._value)
        yield row("First month", self._first)
        yield row("Last month", self._last)
        yield row("Reference", self._reference)
        yield said("")
        yield row("Invoice", self.difference)

    def draft(self) -> TermDraft:
        """All but the reference, which costs nothing."""
        kind = self._kind.value or "unit_price"
        value = self._value.value.strip() if kind in _VALUE else None
        if value == "":
            raise FormatWrong(f"The value is missing: {_VALUE[kind]}.")
        last = self._last.value.strip()
        draft = TermDraft(self._line.value or "access", kind, value, self._first.value.strip(), last or None)
        for month in (draft.first_month, draft.last_month):
            if month is not None:
                calendar.next_month(month)  # raises for what is none
        return draft

    def answer(self) -> TermDraft:
        """The draft with its reference, once its difference was seen."""
        with self.about(self._reference):
            reference = check_name(self._reference.value, "The reference", limit=128)
        draft = self.previewed()
        return TermDraft(draft.line, draft.kind, draft.value, draft.first_month, draft.last_month, reference)

    @on(ChoiceRow.Changed)
    def _chosen(self, event: ChoiceRow.Changed) -> None:
        if event.row is self._line:
            kinds = _kinds(event.value)
            self._kind.choices = kinds
            if self._kind.value not in {kind for kind, _, _ in kinds}:
                self._kind.value = kinds[-1][0]
            self._kind.refresh()
        kind = self._kind.value or ""
        self._value.placeholder = _VALUE.get(kind, "")
        self._value.disabled = kind not in _VALUE
        self.changed()

    @on(Input.Changed)
    def _edited(self) -> None:
        self.changed()


@dataclass(frozen=True, slots=True)
class EndDraft:
    """A term's last month; None withdraws it, as if it had never been agreed."""

    last_month: str | None


class EndTermDialog(PreviewedDialog[EndDraft, EndDraft]):
    """Ended or, with the month left empty, withdrawn."""

    caption: str = "End contract term"
    accepting: str = "End"

    def __init__(self, term: str, month: str, preview: Preview[EndDraft]) -> None:
        super().__init__(preview)
        self._term = term
        self._last = Field(month, "empty: as if it had never been agreed", limit=7)

    def fields(self) -> ComposeResult:
        """Which term, its last month, and what that changes."""
        yield said(self._term, style="bold")
        yield said("")
        yield row("Last month", self._last)
        yield said("")
        yield row("Invoice", self.difference)

    def draft(self) -> EndDraft:
        """The month."""
        month = self._last.value.strip() or None
        if month is not None:
            calendar.next_month(month)  # raises for what is none
        return EndDraft(month)

    def answer(self) -> EndDraft:
        """The same, once seen."""
        with self.about(self._last):
            return self.previewed()

    @on(Input.Changed)
    def _edited(self) -> None:
        self.changed()


def _kinds(line: str) -> tuple[tuple[str, str, str], ...]:
    return (*_ALWAYS, _LAST_KIND[line])
