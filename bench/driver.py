"""The SQLite driver that the store runs on: both sides of a comparison use the same."""

from typing import Any

import peewee

sqlite3: Any = peewee.sqlite3  # type: ignore[attr-defined]  # pysqlite3 where it has a wheel, else the standard library's
