"""`python -m bench`: everything in one run, a table at the end, and build/bench.json."""

import argparse
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import accept, desk, invoices, peer, report, taking_in, worker, world
from bench.driver import sqlite3
from bench.report import Measure

_BUILD = Path(__file__).parent.parent / "build"


def main() -> None:
    """Measure, print, write."""
    given = _parser().parse_args()
    print(_machine(), flush=True)
    begun = time.perf_counter()
    _BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_BUILD) as folder:
        extent = "quick" if given.quick else "full" if given.full else "default"
        found = [
            *_measures(Path(folder), quick=given.quick),
            *worker.measured(Path(folder), extent),
            *invoices.against_bare(Path(folder), invoices.SIZES[extent]),
        ]
    print(f"\n{report.table(found)}\n")
    report.write(found, _BUILD / "bench.json")
    print(f"{time.perf_counter() - begun:.0f} seconds; written to build/bench.json")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Speed against the bare library and a peer.")
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="small numbers, to try the bench itself")
    extent.add_argument(
        "--full", action="store_true", help="the night and invoices of 100,000 companies (forty minutes)"
    )
    return parser


def _measures(folder: Path, *, quick: bool) -> Iterator[Measure]:
    """One store after the other, so that no more than one lies on the disk."""
    sizes = (1_000, 10_000) if quick else (10_000, 1_000_000)
    number, size = (3, 500) if quick else (12, 5_000)
    python = peer.install(_BUILD / "peer")
    for keys in sizes:
        print(f"building a store of {keys:,} keys ...", flush=True)
        built = world.build(folder / str(keys), keys)
        print("accepting keys ...", flush=True)
        yield from accept.against_bare(built, number, size)
        print(f"accepting keys beside {peer.PEER} ...", flush=True)
        yield peer.against_peer(built, python, number, size)
        print("starting the desk ...", flush=True)
        yield desk.against_minimal(built, 1 if quick else 5)
        shutil.rmtree(folder / str(keys))
    print("importing users ...", flush=True)
    yield taking_in.against_bare(folder / "import", 2_000 if quick else 100_000)


def _machine() -> str:
    """What the numbers were taken on; the driver is named because both sides use the same."""
    driver = f"{sqlite3.__name__.partition('.')[0]} with SQLite {sqlite3.sqlite_version}"
    return f"Python {platform.python_version()}, {driver}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()
