"""A window of a few rows on a list of any length."""

from collections.abc import Callable

from rich.text import Text
from textual import events
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget


class ShortList(Widget):
    """Draws only the rows it shows, so thousands cost no more than eight. Its owner moves the cursor."""

    DEFAULT_CSS = """
    ShortList { width: 1fr; height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    class Clicked(Message):
        """A row was clicked; the cursor is on it."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.cursor = 0
        self.count = 0
        self._draw: Callable[[int], Text] = lambda _: Text()
        self._top = 0
        self._lit = False

    def show(self, count: int, draw: Callable[[int], Text], cursor: int = 0) -> None:
        """List `count` rows; `draw` gives one of them by its place."""
        self.count = count
        self._draw = draw
        self._top = 0
        self.cursor = 0
        self.move(cursor)
        self.refresh(layout=True)

    def move(self, steps: int) -> None:
        """Move the cursor; the list has ends."""
        self.cursor = max(0, min(self.cursor + steps, self.count - 1))
        self._top = max(self.cursor - self.rows + 1, min(self._top, self.cursor, max(0, self.count - self.rows)))
        self.refresh()

    def render(self) -> Text:
        """The rows in the window, the cursor's with an arrow."""
        shown = range(self._top, min(self._top + self.rows, self.count))
        return Text("\n").join(self._row(place) for place in shown)

    def _row(self, place: int) -> Text:
        here = place == self.cursor and self._lit
        row = Text("▸ " if here else "  ").append_text(self._draw(place))
        if here:
            row.stylize("reverse")
        return row

    def light(self, *, lit: bool) -> None:
        """Show the cursor, or hide it while the focus is elsewhere."""
        self._lit = lit
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on the row that was clicked."""
        offset = event.get_content_offset(self)
        if offset is not None and self._top + offset.y < self.count:
            self.move(self._top + offset.y - self.cursor)
            self.post_message(self.Clicked())


class ListOwner(Vertical):
    """Lights its lists while the focus is inside it, and has the class -here."""

    def on_descendant_focus(self) -> None:
        """Show the cursor."""
        self._here(here=True)

    def on_descendant_blur(self) -> None:
        """Hide it."""
        self._here(here=False)

    def _here(self, *, here: bool) -> None:
        self.set_class(here, "-here")
        for short_list in self.query(ShortList):
            short_list.light(lit=here)
