"""Does a table of any length show the right rows, ask only for those that can be seen, and keep its cursor?"""

from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from dialog_stage import Stage
from rich.text import Text
from textual.app import App, ComposeResult

from tui.widgets.window_table import Column, WindowTable

COLUMNS = (
    Column("Number", 8, lambda row: Text(str(row)), right=True),
    Column("Name", 6, lambda row: Text(f"row {row}"), grow=1),
    Column("Wide", 6, lambda _: Text("wide"), wide=60),
)


class Book(App[None]):
    """Rows are their own ids; `asked` holds each block that was wanted."""

    def __init__(self, *, later: bool) -> None:
        super().__init__()
        self.asked: list[list[int]] = []
        self.later = later
        self.table = WindowTable(COLUMNS, self.fetch)

    def fetch(self, ids: Sequence[int]) -> Mapping[int, Any] | None:
        self.asked.append(list(ids))
        return None if self.later else {one: one for one in ids}

    def compose(self) -> ComposeResult:
        yield self.table

    def on_mount(self) -> None:
        self.table.focus()


@asynccontextmanager
async def a_table(ids: Sequence[int], *, later: bool = False, width: int = 40) -> AsyncIterator[tuple[Stage, Book]]:
    app = Book(later=later)
    async with app.run_test(size=(width, 11)) as pilot:
        app.table.show(array("q", ids), Text("Nothing.\nReally."))
        await pilot.pause()
        yield Stage(pilot), app


async def test_a_million_rows_ask_for_the_block_that_is_seen() -> None:
    async with a_table(range(1_000_000)) as (stage, app):
        assert app.asked == [list(range(64))]
        await stage.press("end")
        assert app.asked[1:] == [list(range(999_936, 1_000_000))]
        assert stage.sees("999999 row 999999")
        await stage.press("home", "pagedown")
        assert app.table.cursor == 9
        assert app.asked[2:] == []


async def test_rows_that_come_later_are_asked_for_once_and_drawn_when_they_are_there() -> None:
    async with a_table(range(5), later=True) as (stage, app):
        await stage.press("down", "up", "down")
        assert app.asked == [[0, 1, 2, 3, 4]]
        assert stage.sees("…")
        app.table.put({one: one for one in range(4)}, range(5))
        await stage.until_seen("1 row 1")
        assert app.table.cursor_row == 1


async def test_a_new_snapshot_keeps_the_cursor_on_its_row_and_the_row_on_its_line() -> None:
    async with a_table(range(100, 200)) as (stage, app):
        await stage.press("pagedown", "pagedown", "up", "up")
        line = app.table.cursor - app.table.scroll_offset.y
        under = app.table.cursor_id

        app.table.show(array("q", range(50, 200)), Text())
        await stage.pilot.pause()

        assert app.table.cursor_id == under == 116
        assert app.table.cursor - app.table.scroll_offset.y == line


async def test_a_row_that_has_gone_leaves_the_cursor_where_it_was() -> None:
    async with a_table(range(10)) as (stage, app):
        await stage.press("down", "down", "down")

        app.table.show(array("q", [0, 1, 2, 4, 5]), Text())
        assert app.table.cursor_id == 4
        app.table.show(array("q", [7]), Text())
        assert app.table.cursor_id == 7
        app.table.show(array("q"), Text("Nothing.\nReally."))
        await stage.pilot.pause()

        assert (app.table.cursor_id, app.table.cursor_row) == (None, None)
        assert [line for line in stage.lines() if line][1:] == ["Nothing.", "Really."]
        await stage.press("up", "down", "end", "pagedown")
        assert app.table.cursor == 0


async def test_columns_come_and_go_with_the_width_and_every_line_is_filled() -> None:
    for width, header in ((40, ["Number", "Name"]), (80, ["Number", "Name", "Wide"])):
        async with a_table(range(3), width=width) as (stage, _):
            strips = stage.app.screen._compositor.render_strips()
            assert stage.lines()[0].split() == header
            assert [strip.cell_length for strip in strips] == [width] * 11
