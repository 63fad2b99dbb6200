"""The desk's writer: one thread that calls the store, one change after the other, each to its end."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from store.database import session

T = TypeVar("T")


class Recorder:
    """Changes are made in the order in which they were asked for. A change that has begun is never cut short."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="desk-writer")

    async def record(self, change: Callable[[], T]) -> T:
        """What `change` returns; the store's own errors pass to the caller."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, _in_session, change))

    def close(self) -> None:
        """Wait for the change that runs; those that have not begun are dropped."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def _in_session(change: Callable[[], T]) -> T:
    with session():
        return change()
