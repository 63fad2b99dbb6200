"""`python -m bench.desk_writer`: somebody at a desk who edits one key after the other until told to stop.

Each edit is the store's own act, with its event and mails. It says how long each took, in milliseconds, the time that
it stood in line included.
"""

import json
import random
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from bench.steps import say, told
from bench.worker_world import NOW, TODAY
from store import database, keys
from store.actors import Actor
from store.errors import StoreUnavailable

_OPERATOR: Final = Actor("olav", "operator", "bench")
_BETWEEN_SECONDS: Final = (0.005, 0.03)
_KEYS: Final = 3000


def main() -> None:
    """Edit from "go" to the next line."""
    asked = told(_open)
    stop = threading.Event()
    threading.Thread(target=_wait, args=(stop,), daemon=True).start()
    chance = random.Random(1)
    taken: list[float] = []
    with database.session():
        ids = [row[0] for row in database.run_sql(_EDITABLE, (asked["keys"] // _KEYS + 1, _KEYS)).fetchall()]
        while not stop.wait(chance.uniform(*_BETWEEN_SECONDS)):
            again, which = divmod(len(taken), len(ids))
            begun = time.perf_counter()
            with suppress(StoreUnavailable):  # it has waited in vain, and the time counts
                keys.edit_expiry(_OPERATOR, ids[which], TODAY + timedelta(days=50 + again), NOW)
            taken.append((time.perf_counter() - begun) * 1000)
    say(json.dumps({"milliseconds": taken}))
    database.dispose()


def _wait(stop: threading.Event) -> None:
    sys.stdin.readline()
    stop.set()


def _open(asked: dict[str, Any]) -> None:
    database.bind(asked["location"])
    with database.session():
        database.run_sql("SELECT count(*) FROM run").fetchone()


_EDITABLE: Final = """
    SELECT id FROM api_key
     WHERE id % ? = 0 AND revoked_at IS NULL AND rotated_at IS NULL AND expires_on > '2027-12-01' ORDER BY id LIMIT ?
"""


if __name__ == "__main__":
    main()
