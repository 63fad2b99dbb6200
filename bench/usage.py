"""`python -m bench.usage [ROWS]`: taking in a file of usage by the command itself, in seconds and memory."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench import world

_KEYS: Final = 100_000
_FIRST: Final = datetime(2026, 11, 1, tzinfo=UTC)
_DAYS: Final = 22
_STATUSES: Final = (200, 200, 200, 201, 404, 200, 429, 503)


def write_file(path: Path, rows: int) -> None:
    """A month's usage in the order of time: every key on every day, so that there are two million sums to keep."""
    with path.open("w", encoding="ascii") as file:
        file.write("key,at,requests,bytes,status\n")
        for number in range(rows):
            at = _FIRST + timedelta(seconds=number * _DAYS * 86400 // rows)
            key, size = number * 7919 % _KEYS + 1, number * 31 % 90_000
            file.write(f"key_{key:016x},{at:%Y-%m-%dT%H:%M:%SZ},1,{size},{_STATUSES[number % 8]}\n")


def main() -> None:
    """Everything is made in a temporary folder."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        built = world.build(Path(folder) / "world", _KEYS)
        file = Path(folder) / "usage.csv"
        write_file(file, rows)
        command = [sys.executable, "-m", "keydesk", "--settings", str(built.settings), "usage", "import", str(file)]
        begun = time.perf_counter()
        done = subprocess.run(command, check=False, env={**os.environ, "HOME": folder})
        seconds = time.perf_counter() - begun
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
        megabytes = file.stat().st_size / 1e6
    speed = f"{seconds:.1f} s, {rows / seconds:,.0f} rows/s"
    print(f"{rows:,} rows of {megabytes:,.0f} MB: {speed}, {most:.0f} MB of memory; exit status {done.returncode}")


if __name__ == "__main__":
    main()
