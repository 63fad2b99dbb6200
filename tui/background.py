"""Work that goes on while the desk stays usable."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from textual.dom import DOMNode


def begin(
    node: DOMNode,
    work: Callable[..., Coroutine[Any, Any, Any]],
    *about: Any,
    group: str,
    alone: bool = False,
) -> None:
    """Start it in the background of `node`. `alone`: what still runs in this group is given up first.

    The work is called only when it starts, so that one that is overtaken before leaves no coroutine behind.
    """
    node.run_worker(partial(work, *about), exclusive=alone, group=group)
