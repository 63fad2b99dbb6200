"""What the relay has answered and the store has not been told: kept until the store takes it, however often it fails.

It outlives the slice and the beat in which the answer came. Told late it changes nothing of somebody else's: whatever
is told names the owner whose claim it ends.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from store import outgoing
from store.outgoing import ClaimLost, Taken


@dataclass
class Unwritten:
    """Of one worker. Each of the `others` tells the store what became of a mail that was not taken."""

    taken: list[Taken] = field(default_factory=list)
    others: list[Callable[[], object]] = field(default_factory=list)

    def write(self, owner: str) -> set[int]:
        """Tell the store all of it. Gives those that were taken, and are somebody else's by now, who may send them."""
        lost = self.write_taken(owner)
        for tell in tuple(self.others):
            with suppress(ClaimLost):  # it was given back, or was told though the store could not say so
                tell()
            with suppress(ValueError):  # a worker that ends may have told it from another thread
                self.others.remove(tell)
        return lost

    def write_taken(self, owner: str) -> set[int]:
        """The same for what was taken alone."""
        taken = tuple(self.taken)
        not_ours = outgoing.all_sent(owner, taken) if taken else set()
        self.written(taken)
        return {email_id for email_id in not_ours if outgoing.get(email_id).state != "sent"}

    def written(self, taken: Iterable[Taken]) -> None:
        """The store knows of these."""
        known = set(taken)
        self.taken = [each for each in self.taken if each not in known]
