"""A PostgreSQL of the bench's own: the tests' server, set as one that is meant to keep what it is told."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_SERVER: Final = Path(__file__).parent.parent / "tests" / "postgres_server.py"
_SETTINGS: Final = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "listen_addresses": "",
    "log_min_messages": "fatal",
}


@contextmanager
def running() -> Iterator[Any]:
    """The server: it has `url(name)` and `sql(text, name)`."""
    spec = importlib.util.spec_from_file_location("bench_postgres_server", _SERVER)
    if spec is None or spec.loader is None:
        raise AssertionError
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.PostgresServer(_SETTINGS)
    try:
        yield server
    finally:
        server.stop()
