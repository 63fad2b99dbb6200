"""A stage for one dialog: an app of 80 columns and 24 rows that keeps what the dialog answered."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual import events
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static


class _Desk(App[None]):
    ENABLE_COMMAND_PALETTE = False

    def compose(self) -> ComposeResult:
        yield Static("the desk below")


class Stage:
    """One dialog with a person before it; `answers` holds what it was dismissed with."""

    def __init__(self, pilot: Pilot[None]) -> None:
        self.pilot = pilot
        self.app = pilot.app
        self.answers: list[Any] = []

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def write(self, text: str) -> None:
        """All at once, as a paste."""
        assert self.app.focused is not None
        self.app.focused.post_message(events.Paste(text))
        await self.pilot.pause()

    def lines(self) -> list[str]:
        """What is on the screen, edges of the panel taken off."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip).strip(" │┃") for strip in strips]

    def sees(self, text: str) -> bool:
        """Whether a text stands on the screen, however it is wrapped."""
        return " ".join(text.split()) in " ".join(" ".join(self.lines()).split())

    async def until(self, happened: Callable[[], bool]) -> None:
        for _ in range(400):
            if happened():
                return
            await self.pilot.pause(0.01)
        raise AssertionError("it never happened; on the screen:\n" + "\n".join(self.lines()))

    async def until_seen(self, text: str) -> None:
        await self.until(lambda: self.sees(text))


@asynccontextmanager
async def on_stage(dialog: Screen[Any], *, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Stage]:
    app = _Desk()
    app.animation_level = "none"
    async with app.run_test(size=size) as pilot:
        stage = Stage(pilot)
        app.push_screen(dialog, stage.answers.append)
        await pilot.pause()
        yield stage
