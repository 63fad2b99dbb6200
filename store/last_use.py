"""When and from where keys were last accepted, written in batches so that a check never waits for it."""

import threading
from dataclasses import dataclass
from datetime import datetime

from store.database import run_sql, writing
from store.fields import seconds


@dataclass
class _Seen:
    at: int
    address: str
    uses: int


class LastUses:
    """What has been accepted since the last flush. May be used from any thread.

    What is not flushed when the process is killed is lost: the last use is information, not a right.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[int, _Seen] = {}

    def note(self, key_id: int, now: datetime, address: str) -> None:
        """Remember that a key was accepted."""
        at = seconds(now)
        with self._lock:
            seen = self._seen.setdefault(key_id, _Seen(at, address, 0))
            seen.uses += 1
            if at >= seen.at:
                seen.at, seen.address = at, address

    def flush(self) -> int:
        """Write what was remembered; how many keys it was. When that fails it is remembered still."""
        with self._lock:
            taken, self._seen = self._seen, {}
        if not taken:
            return 0
        try:
            with writing():
                for key_id, seen in sorted(taken.items()):  # one order for all writers: no deadlock
                    run_sql(_UPSERT, (key_id, seen.at, seen.address[:64], seen.uses))
        except BaseException:
            with self._lock:
                for key_id, seen in taken.items():
                    later = self._seen.setdefault(key_id, _Seen(seen.at, seen.address, 0))
                    later.uses += seen.uses
            raise
        return len(taken)


# A newer value is never overwritten by an older one that was flushed late.
_UPSERT = """
    INSERT INTO last_use (key_id, at, address, uses) VALUES (?, ?, ?, ?)
    ON CONFLICT (key_id) DO UPDATE SET
        address = CASE WHEN excluded.at >= last_use.at THEN excluded.address ELSE last_use.address END,
        at = CASE WHEN excluded.at >= last_use.at THEN excluded.at ELSE last_use.at END,
        uses = last_use.uses + excluded.uses
"""
