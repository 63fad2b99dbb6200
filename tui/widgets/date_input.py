"""A day, written or picked."""

import re
from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import ClassVar, Final

from textual import on
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Static

from store.errors import FormatWrong, KeydeskError
from store.rules.expiry import days_left
from store.rules.text import one_line
from tui import foreign
from tui.widgets.calendar_grid import CalendarGrid
from tui.widgets.choice_row import ChoiceRow
from tui.widgets.field import Field

_WRITTEN: Final = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})", re.ASCII)
_AHEAD: Final = re.compile(r"\+ ?([0-9]{1,5}) ?([dw])", re.ASCII)


def parse_date(text: str, today: date) -> date:
    """Read `2027-11-23`, `+90d`, `+6w`, `today` or `eom` (this month's last day), else raise FormatWrong."""
    wanted = text.strip().lower()
    try:
        if written := _WRITTEN.fullmatch(wanted):
            year, month, day = map(int, written.groups())
            return date(year, month, day)
        if ahead := _AHEAD.fullmatch(wanted):
            return today + timedelta(days=int(ahead[1]) * (7 if ahead[2] == "w" else 1))
    except (ValueError, OverflowError):
        raise FormatWrong(f"The calendar has no day “{one_line(wanted, 20)}”; write one like 2027-11-23.") from None
    if wanted == "today":
        return today
    if wanted == "eom":
        return today.replace(day=monthrange(today.year, today.month)[1])
    if not wanted:
        raise FormatWrong("The date is empty; write one like 2027-11-23, +90d or eom.")
    raise FormatWrong(f"“{one_line(wanted, 20)}” is not a date; write one like 2027-11-23, +90d or eom.")


def spelled(day: date, today: date) -> str:
    """A day as people say it, and how far away it is: `Tue 23 November 2027, in 365 days`."""
    days = days_left(day, today)
    near = {-1: "yesterday", 0: "today", 1: "tomorrow"}
    away = near.get(days) or (f"in {days:,} days" if days > 0 else f"{-days:,} days ago")
    return f"{day:%a} {day.day} {day:%B} {day.year}, {away}"


class DateInput(Vertical):
    """A field for a day, the day spelled out, quick choices and a calendar.

    `rule` raises KeydeskError for a day that may not be chosen; its sentence stands under the field while one writes.
    `quick` are (title, day, key). The calendar (F2 or down) goes from `first` to `last`.
    """

    DEFAULT_CSS = """
    DateInput { width: 1fr; height: auto; }
    DateInput Horizontal { height: 1; }
    DateInput Field { width: 14; }
    DateInput .spelled { width: 1fr; padding: 0 0 0 2; text-wrap: nowrap; text-overflow: ellipsis; }
    DateInput .wrong { color: $text-error; height: auto; display: none; }
    DateInput.-wrong .wrong { display: block; }
    DateInput CalendarGrid { display: none; }
    DateInput.-calendar CalendarGrid { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "calendar", "Calendar"),
        Binding("down", "calendar_from_field", "Calendar", show=False),
    ]

    class Changed(Message):
        """The day has become another, or none."""

    def __init__(
        self,
        today: date,
        value: date | None,
        *,
        first: date,
        last: date,
        rule: Callable[[date], None],
        quick: Sequence[tuple[str, date, str]] = (),
    ) -> None:
        super().__init__()
        self.today = today
        self.first = first
        self.last = last
        self._rule = rule
        self._quick = {title: day for title, day, _ in quick}
        self._field = Field(value.isoformat() if value else "", "2027-11-23, +90d, eom")
        self._spelled = Static(classes="spelled")
        self._choices = ChoiceRow([(title, title, key) for title, _, key in quick])
        self._wrong = Static(classes="wrong")
        self._calendar = CalendarGrid(today, first, max(first, last))
        self._fixed: date | None = None
        self._written_before = ""

    def compose(self) -> ComposeResult:
        """The field and its day, what is wrong with it, the quick choices, the calendar."""
        with Horizontal():
            yield self._field
            yield self._spelled
        yield self._wrong
        if self._quick:
            yield self._choices
        yield self._calendar

    def on_mount(self) -> None:
        """Spell the first value out."""
        self._show()

    @property
    def value(self) -> date | None:
        """The day, if it is one that may be chosen."""
        try:
            return self.checked()
        except KeydeskError:
            return None

    def checked(self) -> date:
        """The day, or KeydeskError with the sentence that says what is wrong with it."""
        if self._fixed is not None:
            return self._fixed
        day = parse_date(self._field.value, self.today)
        self._rule(day)
        return day

    def fix(self, day: date | None) -> None:
        """Hold one day that cannot be changed; None gives back what was written before."""
        if self._fixed is None:
            self._written_before = self._field.value
        self._fixed = day
        with self._field.prevent(Input.Changed):
            self._field.value = self._written_before if day is None else day.isoformat()
        self._field.disabled = self._choices.disabled = day is not None
        self._close()
        self._show()

    def action_calendar(self) -> None:
        """Open the calendar at the day written, if any."""
        if self._fixed is not None or self.first > self.last:
            return
        self._calendar.point_at(self.value or self.today)
        self.add_class("-calendar")
        self._calendar.focus()
        self.call_after_refresh(self._calendar.scroll_visible, animate=False)  # it has no place before

    def action_calendar_from_field(self) -> None:
        """Down opens it only in the field itself."""
        if not self._field.has_focus:
            raise SkipAction
        self.action_calendar()

    @on(CalendarGrid.Picked)
    def _day_picked(self, event: CalendarGrid.Picked) -> None:
        event.stop()
        self._close()
        self._field.focus()
        self._field.value = event.day.isoformat()

    @on(CalendarGrid.Closed)
    def _calendar_left(self, event: CalendarGrid.Closed) -> None:
        event.stop()
        self._close()
        self._field.focus()

    @on(ChoiceRow.Changed)
    def _chosen(self, event: ChoiceRow.Changed) -> None:
        event.stop()
        self._field.value = self._quick[event.value].isoformat()

    @on(Input.Changed)
    def _written(self, event: Input.Changed) -> None:
        event.stop()
        self._show()
        self.post_message(self.Changed())

    def _close(self) -> None:
        self.remove_class("-calendar")

    def _show(self) -> None:
        try:
            day = self.checked()
        except KeydeskError as wrong:
            self._spelled.update("")
            self._wrong.update(foreign.text(wrong))
            self.add_class("-wrong")
            self._choices.value = None
        else:
            self._spelled.update(foreign.text(spelled(day, self.today) + (" (fixed)" if self._fixed else "")))
            self.remove_class("-wrong")
            self._choices.value = next((title for title, quick in self._quick.items() if quick == day), None)
