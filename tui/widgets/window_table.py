"""A table of any length: it holds the ids of its rows and asks for those that can be seen.

A million rows are 8 MB here. Nothing moves under the cursor by itself: new ids are given by the owner, and then the
cursor stays on its row and the row on its line.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

Ids: TypeAlias = "array[int]"

CURSOR = "window-table--cursor"
RESTING = "window-table--resting"
BLOCK = 64  # rows asked for at once
_KEPT = 4096  # rows remembered
_ROOMY = 100  # from so many cells on two stand between columns, below one


@dataclass(frozen=True)
class Column:
    """One column. `cell` gives its text for a row, made with `foreign.text` where it holds what others wrote."""

    title: str
    width: int  # cells
    cell: Callable[[Any], Text]
    grow: int = 0  # its share of what is left over
    wide: int = 0  # shown only in a table of at least so many cells
    below: int = 10_000  # shown only in a table of fewer cells
    right: bool = False


class WindowTable(ScrollView, can_focus=True):
    """Rows by id. `fetch` gives rows it can give at once; for the others, `Wanted` is posted and `put` brings them."""

    DEFAULT_CSS = """
    WindowTable { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }
    WindowTable > .window-table--header { text-style: bold; color: $text-muted; }
    WindowTable > .window-table--cursor { background: $primary; color: $text; text-style: bold; }
    WindowTable > .window-table--resting { background: $surface-lighten-2; text-style: bold; }
    WindowTable > .window-table--dim { color: $text-muted; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "window-table--header",
        "window-table--cursor",
        "window-table--resting",
        "window-table--dim",
    }
    # With priority, keys are handled in the order in which they were typed: an act meets the row it was meant for.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(keys, action, title, show=False, priority=True)
        for keys, action, title in (
            ("up,k", "move(-1)", "Up"),
            ("down,j", "move(1)", "Down"),
            ("pageup,ctrl+b", "page(-1)", "Page up"),
            ("pagedown,ctrl+f,space", "page(1)", "Page down"),
            ("home,g", "to_end(0)", "First"),
            ("end,G", "to_end(1)", "Last"),
        )
    ]

    class Moved(Message):
        """The cursor is on another row, or on none."""

        def __init__(self, table: "WindowTable") -> None:
            super().__init__()
            self.table = table

    class Opened(Message):
        """A row was clicked twice."""

    class Wanted(Message):
        """Rows that can be seen and are not here."""

        def __init__(self, table: "WindowTable", ids: Sequence[int]) -> None:
            super().__init__()
            self.table = table
            self.ids = ids

    def __init__(
        self,
        columns: Sequence[Column],
        fetch: Callable[[Sequence[int]], Mapping[int, Any] | None],
        *,
        id: str | None = None,  # noqa: A002 (Textual's name)
    ) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.fetch = fetch
        self.ids: Ids = array("q")
        self.empty = Text()
        self.cursor = 0
        self._rows: dict[int, Any] = {}
        self._asked: set[int] = set()

    # What is shown

    @property
    def cursor_id(self) -> int | None:
        """The id under the cursor, None in an empty table."""
        return self.ids[self.cursor] if self.ids else None

    @property
    def cursor_row(self) -> Any:
        """The row under the cursor; None while it is not here, or when it has gone."""
        return None if self.cursor_id is None else self._row(self.cursor)

    @property
    def visible_ids(self) -> list[int]:
        """The ids on the screen."""
        top = self.scroll_offset.y
        return list(self.ids[top : top + self._lines])

    def show(self, ids: Ids, empty: Text, *, from_start: bool = False) -> None:
        """Take a new snapshot. The cursor stays on its row, and that on its line, when it is still there."""
        before, seen = self.cursor_id, self.visible_ids
        line = self.cursor - self.scroll_offset.y
        self.ids, self.empty = ids, empty
        self._asked.clear()
        at = 0 if before is None or from_start else _index(ids, before, self.cursor)
        self.cursor = max(0, min(at, len(ids) - 1))
        self.virtual_size = Size(0, len(ids) + 1)
        top = max(0, min(self.cursor - max(0, line), len(ids) - self._lines))
        self.scroll_to(y=top, animate=False, force=True, immediate=True)
        self._into_view()
        if not seen or seen != self.visible_ids:
            self.refresh()
        self.post_message(self.Moved(self))

    def change_columns(self, columns: Sequence[Column]) -> None:
        """Become a table of other things, empty at first."""
        self.columns = tuple(columns)
        self.ids, self.cursor = array("q"), 0
        self._rows.clear()
        self._asked.clear()
        self.refresh()

    def put(self, rows: Mapping[int, Any], asked: Sequence[int]) -> None:
        """Take rows that were read; drawn only when one on the screen differs."""
        self._forget_far()
        seen = set(self.visible_ids)
        changed = any(self._rows.get(one) != rows.get(one) for one in asked if one in seen)
        under = self.cursor_id
        cursor_changed = under is not None and under in asked and self._rows.get(under) != rows.get(under)
        for one in asked:
            self._rows[one] = rows.get(one)
            self._asked.discard(one)
        if changed:
            self.refresh()
        if cursor_changed:
            self.post_message(self.Moved(self))

    # Moving

    def move_to(self, index: int) -> None:
        """Put the cursor on the row with this index."""
        index = max(0, min(index, len(self.ids) - 1))
        if index != self.cursor:
            old, self.cursor = self.cursor, index
            top = self.scroll_offset.y
            self._into_view()
            if self.scroll_offset.y == top:
                self._draw_line(old)
                self._draw_line(index)
            self.post_message(self.Moved(self))

    def action_move(self, rows: int) -> None:
        """Up or down."""
        self.move_to(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        """A screen up or down."""
        self.move_to(self.cursor + pages * max(1, self._lines - 1))

    def action_to_end(self, end: int) -> None:
        """To the first (0) or the last (1) row."""
        self.move_to(len(self.ids) - 1 if end else 0)

    def on_click(self, event: events.Click) -> None:
        """One click puts the cursor there, two open the row."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y == 0:
            return
        index = offset.y - 1 + self.scroll_offset.y
        if index < len(self.ids):
            self.move_to(index)
            if event.chain == 2:
                self.post_message(self.Opened())

    def on_resize(self) -> None:
        """Keep the cursor on the screen."""
        self._into_view()

    def on_focus(self) -> None:
        """The cursor's colour tells where the keys go."""
        self._draw_line(self.cursor)

    def on_blur(self) -> None:
        """The cursor's colour tells where the keys go."""
        self._draw_line(self.cursor)

    def _draw_line(self, index: int) -> None:
        self.refresh(Region(0, index - self.scroll_offset.y + 1, self.size.width, 1))

    @property
    def _lines(self) -> int:
        """Rows that fit below the header."""
        return max(1, self.size.height - 1)

    def _into_view(self) -> None:
        top = self.scroll_offset.y
        wanted = min(max(top, self.cursor - self._lines + 1), self.cursor)
        if wanted != top:
            self.scroll_to(y=wanted, animate=False, force=True, immediate=True)

    # Drawing

    def render_line(self, y: int) -> Strip:
        """The header, a row, what an empty table says, or nothing."""
        width = self.size.width
        if y == 0:
            return self._strip([(column.title, "") for column in self._fitting(width)], "window-table--header")
        if not self.ids:
            return self._says(y - 1, width)
        index = y - 1 + self.scroll_offset.y
        if index >= len(self.ids):
            return Strip.blank(width, self.rich_style)
        name = "" if index != self.cursor else CURSOR if self.has_focus else RESTING
        row = self._row(index)
        if row is None:
            return self._strip([("…", "")], name or "window-table--dim")
        cells = [column.cell(row) for column in self._fitting(width)]
        return self._strip([(cell.plain, cell.style) for cell in cells], name)

    def _says(self, line: int, width: int) -> Strip:
        lines = self.empty.split("\n")
        if line == 0 or line > len(lines):
            return Strip.blank(width, self.rich_style)
        style = self.get_component_rich_style("window-table--dim")
        text = set_cell_size("  " + lines[line - 1].plain, width)
        return Strip([Segment(text, style)], width)

    def _strip(self, cells: Sequence[tuple[str, str | Style]], name: str) -> Strip:
        base = self.get_component_rich_style(name) if name else self.rich_style
        width = self.size.width
        segments = [Segment(" ", base)]
        widths = self._widths(width)
        if len(cells) != len(widths):
            return Strip([*segments, Segment(cells[0][0], base)]).adjust_cell_length(width, base)
        for (text, style), (column, size) in zip(cells, widths, strict=True):
            own = Style.parse(style) if isinstance(style, str) else style
            if name in {CURSOR, RESTING}:
                own = Style()  # one colour on the cursor's line, so that it can always be read
            segments.append(Segment(_fitted(text, size, right=column.right), base + own))
            segments.append(Segment(" " * _gap(width), base))
        return Strip(segments).adjust_cell_length(width, base).simplify()  # a third of the bytes over a line

    def _fitting(self, width: int) -> list[Column]:
        return [column for column in self.columns if column.wide <= width < column.below]

    def _widths(self, width: int) -> list[tuple[Column, int]]:
        columns = self._fitting(width)
        gap = _gap(width)
        spare = width - 1 - sum(column.width + gap for column in columns) + gap
        shares = sum(column.grow for column in columns) or 1
        return [
            (column, max(4, column.width + spare * column.grow // shares) if column.grow else column.width)
            for column in columns
        ]

    # Rows

    def _row(self, index: int) -> Any:
        wanted = self.ids[index]
        if wanted not in self._rows and wanted not in self._asked:
            start = index - index % BLOCK
            block = [one for one in self.ids[start : start + BLOCK] if one not in self._rows]
            self._forget_far()
            found = self.fetch(block)
            if found is None:
                self._asked.update(block)
                self.post_message(self.Wanted(self, block))
            else:
                for one in block:
                    self._rows[one] = found.get(one)
        return self._rows.get(wanted)

    def _forget_far(self) -> None:
        if len(self._rows) > _KEPT:
            seen = set(self.visible_ids)
            self._rows = {one: row for one, row in self._rows.items() if one in seen}


def _gap(width: int) -> int:
    return 2 if width >= _ROOMY else 1


def _fitted(text: str, size: int, *, right: bool) -> str:
    """Exactly `size` cells; what does not fit ends in an ellipsis."""
    length = cell_len(text)
    if length > size:
        return set_cell_size(set_cell_size(text, max(0, size - 1)).rstrip() + "…", size)
    return " " * (size - length) + text if right else set_cell_size(text, size)


def _index(ids: Ids, wanted: int, near: int) -> int:
    """Where an id is now, else where it was. Lists are newest first or by name; both are looked through at C speed."""
    try:
        return ids.index(wanted)
    except ValueError:
        return near
