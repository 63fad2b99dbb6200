"""An invoice line's derivation, from what was stored with it: the sentence, the numbers, the keys that counted."""

import textwrap
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual import events

from store.listings import invoice_lines, keys
from store.listings.invoice_lines import LineRow
from store.listings.keys import KeyRow
from store.listings.selection import Ids
from store.rules import calendar, explanation, money
from store.rules.rating import quantity_words
from store.rules.text import visible
from tui import cells, foreign
from tui.background import begin
from tui.screens import billing_acts
from tui.screens.key_list import open_key
from tui.screens.page import Page
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.window_table import Column

_NAME = 16  # cells for the name of a value
_WIDEST = 110  # a longer line is hard to read


@dataclass(frozen=True, slots=True)
class ExplainedRow:
    """One row of the derivation; `key` where it names one that counted."""

    line: LineRow
    text: Text
    key: KeyRow | None = None

    @property
    def company_id(self) -> int:
        """The line's."""
        return self.line.company_id


class Explained(Section):
    """Text, and at its end the keys: Enter opens one."""

    kind: ClassVar[str] = "line"
    caption: ClassVar[str] = "Derivation"

    def __init__(self, desk: Surroundings, line: LineRow) -> None:
        self.line = line
        self._rows_made: dict[int, ExplainedRow] = {}
        column = Column("How this line came about", 10, lambda row: row.text, grow=1)
        super().__init__(desk, Listing("row", "rows", (column,), self._ids, self._rows))

    def on_resize(self, event: events.Resize) -> None:
        """Wrap again."""
        del event
        if self.table.ids:
            self.reload()

    def stored_change(self) -> None:
        """A decision may have been made."""
        self.reload()

    def place(self) -> str:
        """Which keys counted is what one looks for here."""
        count = len(self._keys())
        return f"{count:,} {'key' if count == 1 else 'keys'} counted" if count else ""

    def do_open(self) -> None:
        """The key under the cursor."""
        begin(self, open_key, self, self.row.key, group="open")

    def do_go_key(self) -> None:
        """To the key, in its company's list."""
        begin(self, billing_acts.go_to_key, self.app, self.desk, self.row.key, group="open")

    def do_decide(self) -> None:
        """Yes, or waived."""
        begin(self, billing_acts.decide, self.app, self.desk, self.line, group="act")

    def do_hold_back(self) -> None:
        """Not for accounting."""
        begin(self, billing_acts.hold_back, self.app, self.desk, self.line, group="act")

    def do_let_go(self) -> None:
        """For accounting after all."""
        begin(self, billing_acts.let_go, self.app, self.desk, self.line, group="act")

    def _keys(self) -> list[int]:
        return explanation.counted_keys(self.line.explain)

    def _ids(self, _needle: str, now: datetime, _limit: int | None) -> Ids:
        if self.line.id > 0:
            self.line = invoice_lines.rows([self.line.id]).get(self.line.id, self.line)
        width = max(40, min(self.size.width - 2, _WIDEST))
        found = keys.rows(self._keys(), now)
        made = [ExplainedRow(self.line, text) for text in _told(self.line, width)]
        made += [ExplainedRow(self.line, _key(row), row) for one in self._keys() if (row := found.get(one))]
        self._rows_made = dict(enumerate(made))
        return array("q", self._rows_made)

    def _rows(self, wanted: Sequence[int], _: datetime) -> dict[int, ExplainedRow]:
        return {each: self._rows_made[each] for each in wanted if each in self._rows_made}


class LinePage(Page):
    """The derivation alone."""

    def __init__(self, desk: Surroundings, line: LineRow) -> None:
        self.line = line
        super().__init__(desk, [Explained(desk, line)])

    def places(self) -> list[str]:
        """Companies, the company, the month, the line."""
        return ["Companies", self.line.company, self.line.month, self.line.line_key]

    def company_id(self) -> int:
        """The line's."""
        return self.line.company_id


def _told(line: LineRow, width: int) -> Iterator[Text]:
    for sentence in (f"{line.description}: {money.amount(line.net_minor, line.currency)}", line.because):
        for part in textwrap.wrap(visible(sentence), width):
            yield foreign.text(part, "bold")
        yield Text()
    price = f"{line.currency} {line.unit_price}"
    facts = [
        ("Quantity", f"{quantity_words(line.quantity, line.unit)} at {price}"),
        *explanation.told(line.line_key, line.explain, line.zone),
        ("Discount", money.amount(line.discount_minor, line.currency) if line.discount_minor else ""),
        ("Net", money.amount(line.net_minor, line.currency)),
        ("Status", billing_acts.status(line).plain),
        ("Decided", _decision(line) if line.decided_by else ""),
        ("Month", f"{line.month}, {line.month_state}"),
        ("Identity", f"{line.line_key}, revision {line.revision}" if line.id > 0 else ""),
        ("Corrects", line.corrects),
        ("Transfer", line.transfer.replace("-", " ")),
    ]
    for name, value in facts:
        for number, part in enumerate(textwrap.wrap(visible(value), width - _NAME)):
            yield foreign.text(f"{'' if number else name:<{_NAME}}{part}")
    yield Text()
    count = len(explanation.counted_keys(line.explain))
    if count:
        yield foreign.text(f"{'The key' if count == 1 else f'The {count:,} keys'} behind it:", "bold")


def _decision(line: LineRow) -> str:
    when = cells.spelled(line.decided_at, calendar.zone(line.zone))
    return f"by {line.decided_by} on {when}: {line.decided_reason}"


def _key(key: KeyRow) -> Text:
    made = cells.spelled(key.created_at, calendar.zone(key.zone))
    ended = "" if key.state in {"live", "expiring"} else f", {key.state}"
    return foreign.text(f"  {key.first}…{key.last}  {key.label} · {key.resource} · made {made}{ended}")
