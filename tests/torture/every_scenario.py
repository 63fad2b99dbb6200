"""All acts that are killed. `SHORT` is what the suite tries, `EVERY` all there is.

PYTHONPATH=tests .venv/bin/python -m torture.every_scenario [WORD]...    # scenarios with such a word in their name
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from postgres_server import PostgresServer

from store import database, migrations
from torture import crash_points, file_scenarios, people_scenarios, refresher_scenarios, scenarios
from torture.crash_points import HEADING, Result, Scenario
from torture.stores import PostgresStores, SqliteStores

SHORT = (
    *scenarios.SCENARIOS,
    *people_scenarios.SCENARIOS,
    *file_scenarios.SCENARIOS,
    *refresher_scenarios.SCENARIOS,
)
EVERY = (
    *SHORT,
    *scenarios.MORE_SCENARIOS,
    *people_scenarios.MORE_SCENARIOS,
    *refresher_scenarios.MORE_SCENARIOS,
)
_SET_UP = datetime(2026, 1, 1, 12, tzinfo=UTC)


def kill_everywhere(
    chosen: Sequence[Scenario] = EVERY, progress: Callable[[Result], None] = lambda _result: None
) -> list[Result]:
    """The long form: every act at every point, on both databases. `progress` hears of each result as it comes."""
    server = PostgresServer()
    with tempfile.TemporaryDirectory(prefix="keydesk-crash-") as folder:
        try:
            empty = Path(folder) / "empty.db"
            server.sql("CREATE DATABASE template_keydesk")
            for place in (str(empty), server.url("template_keydesk")):
                database.bind(place)
                migrations.migrate(_SET_UP)
                database.dispose()
            backends = [SqliteStores(empty, Path(folder) / "prepared"), PostgresStores(server, "template_keydesk")]
            return crash_points.run(chosen, backends, Path(folder) / "world", progress=progress)
        finally:
            server.stop()


def main(words: Sequence[str]) -> int:
    """Print a line for each scenario and database; 1 when there is any difference."""
    chosen = [each for each in EVERY if not words or any(word in each.name for word in words)]
    sys.stdout.write(f"{HEADING}\n")
    results = kill_everywhere(chosen, _say)
    return int(any(each.differences for each in results))


def _say(result: Result) -> None:
    sys.stdout.write("\n  ".join([str(result), *result.differences]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
