"""When and from where keys were last accepted, written in batches so that a check never waits for it."""

import threading
from dataclasses import dataclass
from datetime import datetime

from store.database import run_many, session, writing
from store.fields import seconds


@dataclass(slots=True)
class _Seen:
    at: int
    address: str
    uses: int

    def add(self, at: int, address: str, uses: int = 1) -> None:
        """The newer instant, its address, all uses."""
        self.uses += uses
        if at >= self.at:
            self.at = at
            self.address = address


class LastUses:
    """What has been accepted since the last flush. May be used from any thread.

    What is not flushed when the process is killed is lost: the last use is information, not a right.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[int, _Seen] = {}

    def note(self, key_id: int, now: datetime, address: str) -> None:
        """Remember that a key was accepted."""
        self.note_at(key_id, seconds(now), address)

    def note_at(self, key_id: int, at: int, address: str) -> None:
        """The same for an instant in whole seconds of UTC."""
        with self._lock:
            seen = self._seen.get(key_id)
            if seen is None:
                self._seen[key_id] = _Seen(at, address, 1)
            else:
                seen.add(at, address)

    def flush(self) -> int:
        """Write what was remembered; how many keys it was. When that fails it is remembered still."""
        with self._lock:
            taken, self._seen = self._seen, {}
        if not taken:
            return 0
        try:
            with session(), writing():
                # One order for all writers: no deadlock.
                rows = [(key_id, seen.at, seen.address[:64], seen.uses) for key_id, seen in sorted(taken.items())]
                run_many(_UPSERT, rows)
        except BaseException:
            with self._lock:
                for key_id, later in self._seen.items():
                    if key_id in taken:
                        taken[key_id].add(later.at, later.address, later.uses)
                    else:
                        taken[key_id] = later
                self._seen = taken
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
