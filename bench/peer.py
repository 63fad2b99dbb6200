"""Keydesk against djangorestframework-api-key: in an environment and process of its own, with as many keys."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench import accept
from bench.report import Goal, Measure
from bench.timing import cpu_rate, every, samples
from bench.world import World

PEER: Final = "djangorestframework-api-key 3.1.0"
_PINNED: Final = (
    "djangorestframework-api-key==3.1.0",
    "django==5.2.19",
    "djangorestframework==3.18.3",
    "asgiref==3.11.1",
    "packaging==26.3",
    "sqlparse==0.5.5",
)
_PROGRAM: Final = Path(__file__).with_name("peer_program.py")


def install(folder: Path) -> Path:
    """The Python of the peer's own environment, made when it is not there yet or holds other versions."""
    python, mark = folder / "bin" / "python", folder / "installed"
    if not mark.exists() or mark.read_text(encoding="utf-8").split() != list(_PINNED):
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
        subprocess.run([*pip, *_PINNED], check=True)
        mark.write_text("\n".join(_PINNED), encoding="utf-8")
    return python


class Peer:
    """The peer's process. It answers one line of JSON for each that it is asked."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, **question: Any) -> Any:
        """Its answer; RuntimeError when it has died."""
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("The peer's process has ended; what it said stands above.")
        return json.loads(answer)


@contextmanager
def running(python: Path, database: Path) -> Iterator[Peer]:
    """Start the peer on an empty database of its own, and end it."""
    with subprocess.Popen(
        [python, "-I", _PROGRAM, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            yield Peer(process)
        finally:
            process.kill()


def against_peer(world: World, python: Path, number: int, size: int) -> Measure:
    """Both check as many of as many keys, in turns, `number` rounds of `size`."""
    ours, theirs = [], []
    with running(python, world.path.with_name("peer.db")) as peer:
        peer.ask(build=world.size, real=len(world.real))
        with accept.both_sides(world) as sides:
            for turn, keys in enumerate(samples(world.real, size, number, seed=4)):
                if turn % 2:
                    ours.append(cpu_rate(every(sides.ours), keys))
                theirs.append(float(peer.ask(check=len(keys), seed=turn)))
                if turn % 2 == 0:
                    ours.append(cpu_rate(every(sides.ours), keys))
    name = f"accept a key, against {PEER}, {world.named}"
    return Measure(name, median(ours), median(theirs), "keys/CPU s", Goal("at least", 10))
