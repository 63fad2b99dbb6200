"""One PostgreSQL store that all tests of a process use in turn: rewinding it costs a tenth of making another."""

import psycopg
from postgres_server import PostgresServer

NAME = "keydesk_test"
TEMPLATE = "template_keydesk"
LARGE = 1_000_000  # bytes of dead rows that are not worth looking through again

_END_SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_NAMED = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
_SHAPE = """
    SELECT string_agg(part, ' ' ORDER BY part) FROM (
        SELECT c.relname || c.relkind::text || c.relnatts AS part FROM pg_class AS c
          JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
        UNION ALL
        SELECT a.attrelid::regclass || a.attname || a.atttypid || a.attnotnull::text FROM pg_attribute AS a
          JOIN pg_class AS c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace
        UNION ALL SELECT tgrelid::regclass || tgname || tgenabled::text FROM pg_trigger
        UNION ALL SELECT conname || convalidated::text FROM pg_constraint
        UNION ALL SELECT proname || md5(prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT setconfig::text FROM pg_db_role_setting
    ) AS parts
"""


class RewoundStore:
    """What a test wrote is deleted before the next one; a store whose schema a test has changed is made anew."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._make()
        with self.connection.transaction():
            connection = self.connection
            self.shape = connection.execute(_SHAPE).fetchone()
            self.tables = [str(name) for (name,) in connection.execute(_NAMED)]
            found = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in self.tables}
            self.rows = {table: rows for table, rows in found.items() if rows}
            at = "SELECT sequencename, coalesce(last_value, 1), last_value IS NOT NULL FROM pg_sequences"
            begun = ", ".join(f"setval('{name}', {value}, {called})" for name, value, called in connection.execute(at))
        self.begin_ids = f"SELECT {begun}"
        self.written = " UNION ALL ".join(
            f"(SELECT '{table}', pg_relation_size('{table}') FROM {table} LIMIT 1)" for table in self.tables
        )

    def rewind(self) -> str:
        """Where it lies, migrated and empty, with nobody else at it."""
        if self._is_lost():
            self._connect()
        with self.connection.transaction():
            self.connection.execute(_END_SESSIONS)
            changed = self.connection.execute(_SHAPE).fetchone() != self.shape
            if not changed:
                self._empty(self.connection)
        if changed:
            self.connection.close()
            self.server.sql(f"DROP DATABASE {NAME} WITH (FORCE)")
            self._make()
        return self.server.url(NAME)

    def _empty(self, connection: psycopg.Connection) -> None:
        # As a replica applies rows: no trigger forbids it, and no order has to be kept.
        connection.execute("SET LOCAL session_replication_role = replica")
        for table, size in connection.execute(self.written).fetchall():
            connection.execute(f"TRUNCATE {table} CASCADE" if size > LARGE else f"DELETE FROM {table}")
        for table, rows in self.rows.items():
            marks = ", ".join(["%s"] * len(rows[0]))
            connection.cursor().executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        connection.execute(self.begin_ids)

    def _make(self) -> None:
        self.server.sql(f"CREATE DATABASE {NAME} TEMPLATE {TEMPLATE} STRATEGY file_copy")
        self._connect()

    def _connect(self) -> None:
        # Kept open: a server's new process first reads the catalogue, which is most of what rewinding costs.
        self.connection = psycopg.connect(self.server.url(NAME), autocommit=True)

    def _is_lost(self) -> bool:
        """Whether the server has been started anew meanwhile."""
        try:
            self.connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return True
        return False
