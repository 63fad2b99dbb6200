"""PYTHONPATH=tests python -m torture: a year of chaos on both databases, and a table of what was found.

With --all: several seeds, 10,000 keys, rules that are broken on purpose and must be noticed, every act killed at each
of its fault points, and a fault after each statement. Exit status 1 when anything is lost, extra or doubled, or when a
broken rule was not noticed.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from postgres_server import FAST, PostgresServer

from store import database, migrations
from torture import each_statement, every_scenario, summary
from torture.chaos import Chaos, Chosen, Result
from torture.crash_points import HEADING
from torture.flaws import FLAWS
from torture.timeline import Measure

_SET_UP = datetime(2026, 1, 1, 12, tzinfo=UTC)
_MEMORY = Path("/dev/shm")  # what is written to a disk is synced each time, which tells nothing about kills
# Vacuumed as in production, where that comes once a minute: by the pace of the chaos it would be never, and each day
# would read what all days before it have left behind. The rest is what nobody here looks at.
_VACUUMED = {
    "autovacuum": "on",
    "autovacuum_naptime": "5s",
    "update_process_title": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
_SEEDS = (1, 2, 3)
_FOUR_WORKERS = 3  # the seed of a year that has one more than the others
_MANY_KEYS = Chosen(1, Measure(days=100, workers=2, keys=10_000), faults_per_mille=30)
_FLAWED = Chosen(3, Measure(days=60, workers=3, keys=120, kills_a_day=10, in_hand=0.8))
_SHOWN = 20


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for and print the table."""
    given = _read(arguments)
    backends = ("sqlite", "postgresql") if given.backend == "both" else (given.backend,)
    seeds = given.seed or (_SEEDS if given.all else _SEEDS[:1])
    measure = Measure(given.days, given.workers, given.keys, given.kills)
    wanted = []
    for seed in seeds:
        workers = 4 if given.all and seed == _FOUR_WORKERS else given.workers
        wanted.append(Chosen(seed, replace(measure, workers=workers), given.faults))
    if given.all:
        wanted.append(_MANY_KEYS)
    _say(summary.heading())
    results = []
    for chosen in wanted:
        for backend in backends:
            results.append(run(backend, chosen))
            _say(summary.row(results[-1]), *(f"  {text}" for text in results[-1].faults.all[:_SHOWN]))
    well = not any(result.faults.all for result in results)
    _say("", summary.LEGEND)
    if given.all:
        well = all((_flaws_are_noticed(), _killed_everywhere(), _broken_at_each_statement(), well))
    return int(not well)


def run(backend: str, chosen: Chosen) -> Result:
    """One run on a new store, which is gone afterwards.

    What it leaves when anything is wrong is kept: the logs of the workers, what the relay heard, and SQLite's store.
    """
    with _folder() as folder, _empty_store(backend, folder) as location:
        result = Chaos(location, folder, chosen).run()
        if result.faults.all and chosen.flaw is None:
            kept = tempfile.mkdtemp(prefix="keydesk-faults-")
            shutil.copytree(folder, kept, dirs_exist_ok=True)
            _say(f"Faults were found; what the run has left is in {kept}.")
        return result


def _flaws_are_noticed() -> bool:
    _say("", "Rules broken on purpose, and whether that is noticed:")
    noticed = []
    for flaw in FLAWS:
        found = run("postgresql", replace(_FLAWED, flaw=flaw)).faults.all
        noticed.append(bool(found))
        _say(f"{flaw.__name__.replace('_', ' '):45} {f'{len(found)} faults' if found else 'NOT NOTICED'}")
    return all(noticed)


def _killed_everywhere() -> bool:
    _say("", "Every act, killed with -9 at each of its fault points and started again:", HEADING)
    results = every_scenario.kill_everywhere(progress=lambda result: _say(str(result), *result.differences))
    _say(f"{sum(each.killed for each in results):,} kills in all.")
    return not any(each.differences for each in results)


def _broken_at_each_statement() -> bool:
    _say("", "A day for each statement of a worker, with a fault after it, and whether the books are right in the end:")
    return each_statement.main() == 0


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="keydesk-chaos-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def _empty_store(backend: str, folder: Path) -> Iterator[str]:
    """A migrated store to which this process is bound; nothing of it is open."""
    server = PostgresServer(FAST | _VACUUMED) if backend == "postgresql" else None
    try:
        if server is not None:
            server.sql("CREATE DATABASE chaos")
        location = str(folder / "keydesk.db") if server is None else server.url("chaos")
        database.bind(location)
        migrations.migrate(_SET_UP)
        database.dispose()
        yield location
    finally:
        database.dispose()
        if server is not None:
            server.stop()


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--seed", type=int, action="append", help="may be given several times; 1")
    parser.add_argument("--days", type=int, default=365, help="simulated days; 365")
    parser.add_argument("--keys", type=int, default=120, help="120, of a company for each twelve")
    parser.add_argument("--workers", type=int, default=3, help="3")
    parser.add_argument("--faults", type=int, default=150, help="of a thousand mails that meet a fault; 150")
    parser.add_argument("--kills", type=float, default=1.0, help="a day; 1")
    parser.add_argument("--backend", choices=("sqlite", "postgresql", "both"), default="both", help="both")
    parser.add_argument("--all", action="store_true", help="what `make torture` does")
    return parser.parse_args(arguments)


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
