"""Accepting a key, with every rule of it, against the same look-up by hand: bare driver, HMAC and comparisons."""

import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from bench.driver import sqlite3
from bench.report import Goal, Measure
from bench.timing import cpu_rates, each_call, every, order, percentile, samples
from bench.world import NOW, RealKey, World
from store import accepting, database, last_use
from store.fields import seconds

_ADDRESS = "10.0.0.7"
_SHAPE = re.compile(r"[a-z][a-z0-9]{1,15}[psa]_[0-9A-Za-z]{42}", re.ASCII)
_MALFORMED = ("", "hello", "k" * 46, "kdp_" + "a" * 42, "kds_" + "Zz9" * 14, "kdx_" + "a" * 42, "Bearer kdp_1")


@dataclass(frozen=True)
class Sides:
    """Both sides on one store, each with a connection of its own in the same state."""

    world: World
    acceptor: accepting.Acceptor
    connection: Any  # of whichever module the store's driver is

    def ours(self, key: RealKey) -> bool:
        """The product's own check, its last use noted."""
        return self.acceptor.accept(key.secret, key.environment, NOW, _ADDRESS).accepted

    def bare(self) -> Callable[[RealKey], bool]:
        """Yes or no by the same statement and the columns as they come: no parsing, no reason, no last use."""
        pepper, now = self.world.peppers.secrets[self.world.peppers.current], seconds(NOW)
        execute, look_up = self.connection.execute, accepting._LOOK_UP

        def check(key: RealKey) -> bool:
            row = execute(look_up, (hmac.digest(pepper, key.secret.encode(), "sha256"),)).fetchone()
            if row is None:
                return False
            covers, ends_at, revoked_at, _, enabled, company_active, active, licensed = row[6:]
            return bool(
                revoked_at is None
                and ends_at > now
                and covers in {key.environment, "all"}
                and enabled
                and company_active
                and active
                and licensed
            )

        return check


@contextmanager
def both_sides(world: World) -> Iterator[Sides]:
    """Open both. Each must accept every key that will be asked for, or AssertionError: nothing would mean anything."""
    database.bind(str(world.path))
    with database.session(), closing(bare_connection(world.path)) as connection:
        sides = Sides(world, accepting.Acceptor(world.peppers), connection)
        bare = sides.bare()
        if not all(sides.ours(key) and bare(key) for key in world.real):
            raise AssertionError("A key that must be accepted was refused.")
        yield sides
    database.dispose()


def bare_connection(path: Path) -> Any:
    """A connection of the driver alone, in the state in which the store keeps its own; the store must be bound."""
    connection = sqlite3.connect(path, isolation_level=None)
    for name in (
        "busy_timeout",
        "foreign_keys",
        "synchronous",
        "cache_size",
        "mmap_size",
        "temp_store",
        "secure_delete",
    ):
        connection.execute(f"PRAGMA {name} = {database.run_sql(f'PRAGMA {name}').fetchone()[0]}")
    return connection


def against_bare(world: World, number: int, size: int) -> list[Measure]:
    """Both check the same keys in turns, `number` rounds of `size`."""
    with both_sides(world) as sides:
        return [*_times(sides, number, size), *_rates(sides, number, size)]


def _times(sides: Sides, number: int, size: int) -> list[Measure]:
    calls = (sides.ours, sides.bare())
    taken: tuple[list[int], list[int]] = ([], [])
    for turn, keys in enumerate(samples(sides.world.real, size, number, seed=1)):
        for which in order(turn):
            taken[which].extend(each_call(calls[which], keys))

    def both(share: float) -> tuple[float, float]:
        return percentile(taken[0], share) / 1000, percentile(taken[1], share) / 1000

    name = f"accept a key, {sides.world.named}"
    return [
        Measure(f"{name}, p50", *both(0.50), "µs", Goal("at most", 1.3)),
        Measure(f"{name}, p99", *both(0.99), "µs"),
    ]


def _rates(sides: Sides, number: int, size: int) -> list[Measure]:
    acceptor, connection, bare, at = sides.acceptor, sides.connection, sides.bare(), seconds(NOW)
    parts = samples(sides.world.real, size, number, seed=2)

    def ours_written(keys: Sequence[RealKey]) -> None:
        every(sides.ours)(keys)
        acceptor.last_uses.flush()

    def bare_written(keys: Sequence[RealKey]) -> None:
        every(bare)(keys)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(last_use._UPSERT, sorted((key.id, at, _ADDRESS, 1) for key in keys))
        connection.execute("COMMIT")

    def malformed(text: str) -> bool:
        return acceptor.accept(text, "prod", NOW).accepted

    acceptor.last_uses.flush()
    named = sides.world.named
    found = [
        Measure(f"accept a key, {named}", *cpu_rates(every(sides.ours), every(bare), parts), "keys/CPU s"),
        Measure(
            f"accept, last uses written each {len(parts[0]):,}, {named}",
            *cpu_rates(ours_written, bare_written, parts),
            "keys/CPU s",
        ),
    ]
    acceptor.last_uses.flush()
    texts = samples(_MALFORMED * (size // len(_MALFORMED) + 1), size, number, seed=3)
    found.append(
        Measure(
            f"refuse a malformed key, {named}", *cpu_rates(every(malformed), every(_bare_shape), texts), "keys/CPU s"
        )
    )
    return found


def _bare_shape(text: str) -> bool:
    return _SHAPE.fullmatch(text) is not None and crc32(text[:-6].encode()) == 0
