"""The desk with a person before it, in a terminal of 80 columns and 24 rows unless another size is asked for."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

from desk_world import KARI, NOW, PEPPERS
from dialog_stage import Stage
from textual.worker import WorkerCancelled

from store.actors import Actor
from tui.app import DeskApp
from tui.screens.page import Page

READING = {"read", "rows", "sums", "health", "company"}
SHIFT = {"G": "upper_g", "?": "question_mark", "/": "slash"}


class DeskStage(Stage):
    """`app` is the desk; `message` what stands on its status line."""

    app: DeskApp

    @property
    def page(self) -> Page:
        pages = [screen for screen in self.app.screen_stack if isinstance(screen, Page)]
        return pages[-1]

    @property
    def message(self) -> str:
        return self.page.status.message

    @property
    def hints(self) -> dict[str, str]:
        return {title: key for key, title in self.page.hints.hints}

    @property
    def tabs(self) -> list[str]:
        return [title for _, title in self.page.tabs.tabs]

    async def typed(self, text: str) -> None:
        await self.press(*("space" if character == " " else SHIFT.get(character, character) for character in text))

    async def settled(self) -> None:
        """Nothing is being read any more."""
        for _ in range(3):
            reading = [worker for worker in self.app.workers if worker.group in READING]
            if reading:  # the library takes an empty list for all of them
                with suppress(WorkerCancelled):  # overtaken by a newer one
                    await self.app.workers.wait_for_complete(reading)
            await self.pilot.pause()


@asynccontextmanager
async def at_the_desk(
    actor: Actor = KARI,
    *,
    size: tuple[int, int] = (80, 24),
    now: datetime = NOW,
    clock: Callable[[], datetime] | None = None,
    **more: Any,
) -> AsyncIterator[DeskStage]:
    app = DeskApp(actor, PEPPERS, clock=clock or (lambda: now), **more)
    async with app.run_test(size=size) as pilot:
        stage = DeskStage(pilot)  # type: ignore[arg-type]
        await stage.settled()
        yield stage
    app.desk.reader.close()
    app.desk.recorder.close()
