"""A step of a bench in a process of its own, so that its memory is its own and two can work at once.

Told by one line of JSON what to do, the process says "ready", waits for a second line, does it, and says what came of
it in a last line of JSON.
"""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
_ANONYMOUS: Final = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)

Process = subprocess.Popen[str]


def run(module: str, asked: dict[str, Any], processes: int = 1) -> list[dict[str, Any]]:
    """What so many processes of the module say, which begin together once all of them are ready."""
    begun = [begin(module, asked) for _ in range(processes)]
    for process in begun:
        go(process)
    return [end(process) for process in begun]


def begin(module: str, asked: dict[str, Any]) -> Process:
    """A process of the module that is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
    )
    _tell(process, json.dumps(asked))
    _hear(process)
    return process


def go(process: Process) -> None:
    """Let it do what it was told."""
    _tell(process, "go")


def end(process: Process) -> dict[str, Any]:
    """What it says once it has done it."""
    said: dict[str, Any] = json.loads(_hear(process))
    process.communicate()
    return said


def _tell(process: Process, line: str) -> None:
    if process.stdin is None:
        raise AssertionError
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _hear(process: Process) -> str:
    line = "" if process.stdout is None else process.stdout.readline()
    if not line:
        raise RuntimeError("A step's process has ended; what it said stands above.")
    return line


def told(prepare: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """In the process: what it is to do, once `prepare` is done with it and the others are ready too."""
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    prepare(asked)
    say("ready")
    sys.stdin.readline()
    return asked


def say(text: str) -> None:
    """One line, at once."""
    print(text, flush=True)


@contextmanager
def memory_meanwhile() -> Iterator[list[int]]:
    """The process's own memory in bytes, looked at often; pages of files that are mapped are not counted."""
    seen, ended = [_memory()], threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            seen.append(_memory())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    yield seen
    ended.set()
    watcher.join()
    seen.append(_memory())


def halves(seen: Sequence[int]) -> tuple[int, int]:
    """The most of each half."""
    middle = len(seen) // 2
    return max(seen[:middle]), max(seen[middle:])


def _memory() -> int:
    found = _ANONYMOUS.search(Path("/proc/self/status").read_text(encoding="ascii"))
    if found is None:
        raise AssertionError
    return int(found[1]) * 1024
