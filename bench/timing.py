"""How long a thing takes when another is measured beside it: in turns, so that what else the machine does hits both."""

import gc
import random
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeVar

T = TypeVar("T")


def samples(things: Sequence[T], size: int, number: int, seed: int) -> list[list[T]]:
    """`number` samples of different things, each in an order of its own, alike in every run."""
    chance = random.Random(seed)
    return [chance.sample(things, min(size, len(things))) for _ in range(number)]


def order(turn: int) -> tuple[int, int]:
    """Which of two sides is first: each every other time."""
    return (0, 1) if turn % 2 == 0 else (1, 0)


def each_call(call: Callable[[T], object], things: Sequence[T]) -> list[int]:
    """Nanoseconds of wall time of each call."""
    clock, taken = time.perf_counter_ns, []
    for thing in things:
        begun = clock()
        call(thing)
        taken.append(clock() - begun)
    return taken


def every(call: Callable[[T], object]) -> Callable[[Sequence[T]], None]:
    """The call for each of many."""

    def body(things: Sequence[T]) -> None:
        for thing in things:
            call(thing)

    return body


def cpu_rate(body: Callable[[Sequence[T]], object], things: Sequence[T]) -> float:
    """How many of the things one second of this process's CPU does."""
    begun = time.process_time()
    body(things)
    return len(things) / (time.process_time() - begun)


def cpu_rates(
    ours: Callable[[Sequence[T]], object], reference: Callable[[Sequence[T]], object], parts: Sequence[Sequence[T]]
) -> tuple[float, float]:
    """The medians of both rates over the same parts, done in turns."""
    found: tuple[list[float], list[float]] = ([], [])
    for turn, things in enumerate(parts):
        for which in order(turn):
            found[which].append(cpu_rate((ours, reference)[which], things))
    return median(found[0]), median(found[1])


def wall_seconds(body: Callable[[], object]) -> float:
    """Seconds of wall time, with earlier litter collected before."""
    gc.collect()
    begun = time.perf_counter()
    body()
    return time.perf_counter() - begun


def in_turns(ours: Callable[[], float], reference: Callable[[], float], number: int) -> tuple[float, float]:
    """The medians of what both say, asked in turns."""
    found: tuple[list[float], list[float]] = ([], [])
    for turn in range(number):
        for which in order(turn):
            found[which].append((ours, reference)[which]())
    return median(found[0]), median(found[1])


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of all values lies."""
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])
