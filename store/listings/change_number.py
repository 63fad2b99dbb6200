"""A number that is another one after somebody else wrote: cheap enough to be asked every other second."""

from store.database import backend, run_sql


def change_number() -> str:
    """Compare it with the one before, of the same connection; equal means that nothing was written between."""
    if backend() == "sqlite":
        return str(run_sql("PRAGMA data_version").fetchone()[0])
    return str(run_sql("SELECT pg_current_snapshot()::text").fetchone()[0])
