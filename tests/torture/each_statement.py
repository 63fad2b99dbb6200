"""A fault after each statement of a worker's day, one day for each; then the books are held against quiet days'.

The suite puts it after every fifth or ninth statement. `PYTHONPATH=tests .venv/bin/python -m torture.each_statement`
tries each, with the same tests.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

_TESTS = Path(__file__).parent.parent
_FULL = "test_disk_faults.py::test_a_disk_that_is_full_after_any_statement_costs_nothing_but_a_beat"
FAULTS = {
    "PostgreSQL ends the session": (
        "test_postgres_faults.py::test_a_session_that_is_ended_after_any_statement_costs_nothing_but_a_beat"
    ),
    "the disk is full, SQLite": f"{_FULL}[disk]",
    "a quota is used up, SQLite": f"{_FULL}[quota]",
}


def main() -> int:
    """Print a line for each fault; 1 when the books were wrong after any."""
    well = [_try(fault, test) for fault, test in FAULTS.items()]
    return int(not all(well))


def _try(fault: str, test: str) -> bool:
    """Whether nothing was wrong, be it that the fault cannot be made on this machine."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-rs", "--tb=short", "--no-header", test],
        check=False,
        cwd=_TESTS,
        env={**os.environ, "KEYDESK_EVERY_NTH": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    ended = "well" if done.returncode == 0 else "WRONG"
    if "SKIPPED" in done.stdout:
        ended = "NOT TRIED"
    sys.stdout.write(f"{fault:28} {ended:9} {time.monotonic() - began:4.0f} s\n")
    sys.stdout.write("" if ended == "well" else done.stdout)
    sys.stdout.flush()
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
