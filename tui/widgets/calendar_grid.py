"""A month to pick a day from."""

from calendar import Calendar, monthrange
from datetime import date, timedelta
from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

_WEEKS: Final = Calendar(firstweekday=0)
_CELL: Final = 4  # columns a day takes


class CalendarGrid(Widget, can_focus=True):
    """One month, Monday first. The cursor stays between the first and the last day allowed, both included."""

    DEFAULT_CSS = """
    CalendarGrid { width: 30; height: 8; padding: 0 1; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "days(-1)", "Day before", show=False),
        Binding("right", "days(1)", "Day after", show=False),
        Binding("up", "days(-7)", "Week before", show=False),
        Binding("down", "days(7)", "Week after", show=False),
        Binding("pageup", "months(-1)", "Month before", show=False),
        Binding("pagedown", "months(1)", "Month after", show=False),
        Binding("shift+pageup", "months(-12)", "Year before", show=False),
        Binding("shift+pagedown", "months(12)", "Year after", show=False),
        Binding("home", "edge('first')", "First day allowed", show=False),
        Binding("end", "edge('last')", "Last day allowed", show=False),
        Binding("enter,space", "pick", "Pick"),
        Binding("escape,f2", "close", "Close"),
    ]

    cursor: reactive[date] = reactive(date.min, init=False)

    class Picked(Message):
        """A day was picked."""

        def __init__(self, day: date) -> None:
            super().__init__()
            self.day = day

    class Closed(Message):
        """The calendar was left without picking."""

    def __init__(self, today: date, first: date, last: date) -> None:
        super().__init__()
        self.today = today
        self.first = first
        self.last = last
        self.set_reactive(CalendarGrid.cursor, self._within(today))

    def render(self) -> Text:
        """The month between the keys that change it; its days, the cursor in brackets, today with a point."""
        month = Text("pgup", style="dim").append(f"{self.cursor:%B} {self.cursor.year}".center(20), "bold not dim")
        month.append("pgdn")
        names = Text("".join(f" {name} " for name in ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")), style="dim")
        weeks = _WEEKS.monthdatescalendar(self.cursor.year, self.cursor.month)
        return Text("\n").join([month, names, *(Text().join(map(self._cell, week)) for week in weeks)])

    def _cell(self, day: date) -> Text:
        if day.month != self.cursor.month:
            return Text(" " * _CELL)
        if day == self.cursor:
            return Text(f"[{day.day:2}]", style="reverse")
        after = "·" if day == self.today else " "
        return Text(f" {day.day:2}{after}", style="" if self.first <= day <= self.last else "dim")

    def action_days(self, days: int) -> None:
        """Move by days."""
        self.cursor = self._within(self.cursor + timedelta(days=days))

    def action_months(self, months: int) -> None:
        """Move to the same day of another month, or that month's last."""
        years, month = divmod(self.cursor.month - 1 + months, 12)
        year = self.cursor.year + years
        self.cursor = self._within(date(year, month + 1, min(self.cursor.day, monthrange(year, month + 1)[1])))

    def action_edge(self, edge: str) -> None:
        """Move to the first or the last day allowed."""
        self.cursor = self.first if edge == "first" else self.last

    def action_pick(self) -> None:
        """Take the day under the cursor."""
        self.post_message(self.Picked(self.cursor))

    def action_close(self) -> None:
        """Go back to the field."""
        self.post_message(self.Closed())

    def on_click(self, event: events.Click) -> None:
        """Take the day that was clicked."""
        offset = event.get_content_offset(self)
        weeks = _WEEKS.monthdatescalendar(self.cursor.year, self.cursor.month)
        if offset is None or not 2 <= offset.y < 2 + len(weeks) or offset.x >= 7 * _CELL:
            return
        day = weeks[offset.y - 2][offset.x // _CELL]
        if self.first <= day <= self.last and day.month == self.cursor.month:
            self.cursor = day
            self.action_pick()

    def point_at(self, day: date) -> None:
        """Put the cursor on a day, or the nearest allowed."""
        self.cursor = self._within(day)

    def _within(self, day: date) -> date:
        return max(self.first, min(day, self.last))
