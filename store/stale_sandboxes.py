"""Sandboxes that nobody has refreshed for three nights, although they were marked for each and nobody holds them.

One that was never refreshed is among them, unless none ever was: then nobody refreshes sandboxes here.
"""

from datetime import date, timedelta
from typing import Any

from store.database import run_sql, session


def count() -> int:
    """Of how many active companies."""
    found = _found("count(*)")
    return int(found[0][0]) if found else 0


def find() -> list[str]:
    """The active companies, by their ids in the main system."""
    return [str(row[0]) for row in _found("c.external_id", "ORDER BY c.folded, c.id")]


def _found(columns: str, order: str = "") -> list[tuple[Any, ...]]:
    with session():
        newest = run_sql("SELECT max(night) FROM refresh_marker").fetchone()[0]
        if newest is None:
            return []
        since = date.fromisoformat(newest) - timedelta(days=1)  # there are zones where the newest has not come yet
        return list(run_sql(f"SELECT {columns} {_STALE} {order}", (since.isoformat(),)).fetchall())


_STALE = """
      FROM refresh_marker m JOIN company c ON c.id = m.company_id
     WHERE m.night >= ? AND m.state IN ('due', 'running', 'failed') AND c.deactivated_at IS NULL
       AND NOT EXISTS (SELECT 1 FROM refresh_marker n WHERE n.company_id = m.company_id AND n.night > m.night)
       AND NOT EXISTS (SELECT 1 FROM sandbox_hold h WHERE h.company_id = m.company_id AND h.ended_at IS NULL)
       AND (SELECT count(*)
              FROM (SELECT l.state FROM refresh_marker l
                     WHERE l.company_id = m.company_id ORDER BY l.night DESC LIMIT 3) AS newest
             WHERE state NOT IN ('done', 'held')) = 3
       AND EXISTS (SELECT 1 FROM refresh_marker d WHERE d.state = 'done')
"""
