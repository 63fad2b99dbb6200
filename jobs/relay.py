"""What a worker knows of the relay: whether to leave it alone for a while, and how much it takes at once."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_BREAKER: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10))
_MAILS_FOR_ANOTHER: Final = 5  # connection: fewer are not worth its greeting and login
_CROWDED_FOR: Final = timedelta(hours=1)


@dataclass
class Relay:
    """After a refusal of its own it is left alone, for longer each time; after "too many" it is given less at once.

    `per_minute` is what it takes in a minute from all workers together; 0: it has set no limit. `connections` is how
    many it is spoken with at once.
    """

    per_minute: int = 0
    connections: int = 1
    refusals: int = 0
    closed_until: datetime | None = None
    reason: str = ""
    most: int | None = None  # mails in one slice; None: as many as there are
    fewer: int | None = None  # connections than were wanted, which is how many it let stand
    crowded_until: datetime | None = None

    @property
    def is_slowed(self) -> bool:
        """Whether it lately said that it gets too many."""
        return self.most is not None

    def is_closed(self, now: datetime) -> bool:
        """Whether it is too early to ask again. A clock that was put back does not keep it closed for longer."""
        return self.closed_until is not None and now < self.closed_until <= now + _BREAKER[-1]

    def refused(self, reason: str, now: datetime) -> None:
        """Leave it alone for a while, for longer each time."""
        self.closed_until = now + _BREAKER[min(self.refusals, len(_BREAKER) - 1)]
        self.refusals += 1
        self.reason = reason

    def answered(self) -> None:
        """It works."""
        self.refusals, self.closed_until, self.reason = 0, None, ""

    def at_once(self, mails: int, now: datetime) -> int:
        """Over how many connections so many mails go."""
        most = self.connections
        if self.fewer and self.crowded_until is not None and now < self.crowded_until <= now + _CROWDED_FOR:
            most = min(most, self.fewer)
        return max(1, min(most, -(-mails // _MAILS_FOR_ANOTHER)))

    def was_crowded(self, stood: int, now: datetime) -> None:
        """It let so many connections stand and took no more: for an hour it gets no more than these."""
        self.fewer, self.crowded_until = stood, now + _CROWDED_FOR

    def had_too_many(self, taken: int) -> None:
        """It took so many and no more: from now on half of that at once."""
        self.most = max(1, taken // 2)

    def took_all(self, usual: int) -> None:
        """It took a slice without a word: twice as many next time, until it is the usual number again."""
        if self.most is not None:
            self.most = self.most * 2 if self.most * 2 < usual else None
