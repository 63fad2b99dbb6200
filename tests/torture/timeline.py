"""When what goes wrong and who acts, drawn from the seed before anything begins."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle, islice
from typing import Literal

Kind = Literal["kill", "stop", "clock", "outage", "downtime", "act", "look"]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CLOCK_STEPS = (-HOUR, 9 * DAY, -3 * DAY)  # of a clock that is put right again after a while


@dataclass(frozen=True)
class Happening:
    """One disturbance. Workers are counted from 0; a fuse burns for so many points."""

    at: datetime
    kind: Kind
    worker: int = 0
    points: int = 0
    lasts: timedelta = timedelta(0)
    step: timedelta = timedelta(0)
    seed: float = 0.0
    in_hand: bool = False  # only while a mail is handed over


@dataclass(frozen=True)
class Measure:
    """How much is to happen. `in_hand` is the share of kills and stops that come while a mail is handed over."""

    days: int
    workers: int
    keys: int
    kills_a_day: float = 1.0
    in_hand: float = 0.5


def draw(seed: int, begin: datetime, measure: Measure) -> list[Happening]:
    """Everything between the first day and the last, in order; each kind at least once."""
    days, workers, kills = measure.days, measure.workers, measure.kills_a_day
    chance = random.Random(f"{seed}:timeline")
    longest = max(2.0, days / 40)  # days that a downtime or an outage may last

    def when() -> datetime:
        return begin + timedelta(seconds=chance.randrange(DAY // timedelta(seconds=1), days * 86400))

    def who() -> int:
        return chance.randrange(workers)

    def fuse() -> tuple[int, bool]:
        """After how many points, of all or of those at which a mail is handed over."""
        in_hand = chance.random() < measure.in_hand
        return (chance.randint(1, 12) if in_hand else min(3000, int(chance.lognormvariate(4.2, 1.1)) + 1)), in_hand

    found = []
    for _ in range(max(24, round(days * kills))):
        points, in_hand = fuse()
        found.append(Happening(when(), "kill", who(), points, in_hand=in_hand))
    for _ in range(max(6, days // 5)):
        points, in_hand = fuse()
        lasts = timedelta(minutes=chance.randrange(6, 600))
        found.append(Happening(when(), "stop", who(), points, lasts, in_hand=in_hand))
    for step in islice(cycle(CLOCK_STEPS), max(3, days // 18)):
        lasts = timedelta(minutes=chance.randrange(90, 1800))
        found.append(Happening(when(), "clock", who(), lasts=lasts, step=step))
    for number in range(max(1, days // 12)):
        hours = chance.uniform(1, 40) if number else 24 * longest
        found.append(Happening(when(), "outage", lasts=timedelta(hours=hours)))
    found.extend(
        Happening(when(), "downtime", lasts=timedelta(days=chance.uniform(1.2, longest)))
        for _ in range(max(1, days // 45))
    )
    found.extend(Happening(when(), "look") for _ in range(days // 2))
    acts = round(days * max(3, min(measure.keys / 100, 6)))
    found.extend(Happening(when(), "act", seed=chance.random()) for _ in range(acts))
    return sorted(found, key=lambda each: each.at)
