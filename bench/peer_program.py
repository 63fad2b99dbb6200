"""The peer's half of the comparison; runs in the peer's environment and knows nothing of Keydesk.

Asked `{"build": n, "real": m}`, it makes a database of n keys, m of them with known texts. Asked `{"check": n, "seed":
s}`, it checks n of those by the model's own `is_valid` and says how many a second of CPU it checked.
"""

import hashlib
import json
import random
import string
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any


def main() -> None:
    """Answer each line until there are no more."""
    django = import_module("django")
    import_module("django.conf").settings.configure(
        INSTALLED_APPS=["rest_framework_api_key"],
        USE_TZ=True,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": sys.argv[1],
                # As Keydesk keeps its own store.
                "OPTIONS": {"init_command": "PRAGMA journal_mode = wal; PRAGMA cache_size = -65536"},
            }
        },
    )
    django.setup()
    keys: list[str] = []
    for line in sys.stdin:
        asked = json.loads(line)
        answer = build(asked["build"], asked["real"], keys) if "build" in asked else check(asked, keys)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def build(size: int, real: int, keys: list[str]) -> int:
    """Make the tables by the peer's own migrations and fill them, with all indexes."""
    import_module("django.core.management").call_command("migrate", verbosity=0)
    connection = import_module("django.db").connection
    transaction = import_module("django.db").transaction
    every = max(1, size // real)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.cursor.executemany(
            "INSERT INTO rest_framework_api_key_apikey (id, prefix, hashed_key, created, name, revoked, expiry_date) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            _rows(size, every, keys),
        )
    return len(keys)


def _rows(size: int, every: int, keys: list[str]) -> Iterator[tuple[Any, ...]]:
    """In the order of their ids, so that the peer's unique indexes are packed."""
    chance = random.Random(size)
    alphabet = string.ascii_letters + string.digits
    for number, prefix in enumerate(sorted({"".join(chance.choices(alphabet, k=8)) for _ in range(size)})):
        if number % every == 0:
            key = prefix + "." + "".join(chance.choices(alphabet, k=32))
            keys.append(key)
            digest = hashlib.sha512(key.encode()).hexdigest()
        else:
            digest = chance.randbytes(64).hex()
        hashed = "sha512$$" + digest
        yield (
            f"{prefix}.{hashed}", prefix, hashed, f"2026-01-01 12:00:{number % 60:02}", "erp-sync", 0,
            "2099-01-01 12:00:00" if number % 2 else None,
        )  # fmt: skip


def check(asked: dict[str, int], keys: list[str]) -> float:
    """Keys per second of CPU; every one must be valid."""
    objects = import_module("rest_framework_api_key.models").APIKey.objects
    chosen = random.Random(asked["seed"]).sample(keys, asked["check"])
    begun = time.process_time()
    valid = sum(objects.is_valid(key) for key in chosen)
    taken = time.process_time() - begun
    if valid != len(chosen):
        raise AssertionError("The peer refused a key that it had made.")
    return len(chosen) / taken


if __name__ == "__main__":
    main()
