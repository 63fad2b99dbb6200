"""Which notice a key owes on a day. A threshold is a number of days before expiry; -1 stands for "has expired"."""

from collections.abc import Sequence
from datetime import date
from typing import Final

EXPIRED: Final = -1
EXPIRED_IS_NEWS_FOR_DAYS: Final = 30  # or whoever is to be notified from today on would hear of every key there was


def due_threshold(
    thresholds: Sequence[int], *, today: date, expires_on: date, set_on: date
) -> tuple[int | None, tuple[int, ...]]:
    """Give the tightest threshold that is due, and the wider ones that it covers, from tight to wide.

    `set_on` is the local day on which this expiry date was given. A threshold is due when it has been reached and is
    smaller than the days from `set_on` to the expiry, so that nobody is warned on the day he chose the date. What is
    reached after expiry is owed only as "has expired", and not for ever. (None, ()) when nothing is due.
    """
    left = (expires_on - today).days
    lifetime = (expires_on - set_on).days
    reached = sorted({days for days in thresholds if left <= days < lifetime})
    if not reached:
        return None, ()
    if left < 0 and (reached[0] > EXPIRED or -left > EXPIRED_IS_NEWS_FOR_DAYS):
        return None, ()
    return reached[0], tuple(reached[1:])
