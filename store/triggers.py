"""What the database itself refuses: that a final month, a line of it, or who bought and sold, is changed.

Only where a line has gone (`transfer`) is written afterwards.
"""

from store.database import backend, run_sql
from store.tables import InvoiceLine

_REFUSED = "A final month is never changed; credit it and bill it again."
_OTHER_COLUMNS = ", ".join(column for column in InvoiceLine._meta.columns if column not in {"id", "transfer"})  # noqa: SLF001

_FACTS = ("buyer_facts", "seller_facts")

_IS_FINAL = """
    EXISTS (SELECT 1 FROM invoice_month AS m WHERE m.company_id = {row}.company_id AND m.month = {row}.month
            AND m.revision = {row}.revision AND m.state = 'final')
"""
_SQLITE = (
    """
    CREATE TRIGGER invoice_month_kept BEFORE UPDATE ON invoice_month WHEN OLD.state = 'final'
    BEGIN SELECT RAISE(ABORT, '{refused}'); END
    """,
    """
    CREATE TRIGGER invoice_month_not_deleted BEFORE DELETE ON invoice_month WHEN OLD.state = 'final'
    BEGIN SELECT RAISE(ABORT, '{refused}'); END
    """,
    *(
        f"""
    CREATE TRIGGER {table}_{act.lower()} BEFORE {act} ON {table} BEGIN SELECT RAISE(ABORT, '{{refused}}'); END
    """
        for table in _FACTS
        for act in ("UPDATE", "DELETE")
    ),
    """
    CREATE TRIGGER invoice_line_kept BEFORE UPDATE OF {columns} ON invoice_line WHEN {old_is_final} OR {new_is_final}
    BEGIN SELECT RAISE(ABORT, '{refused}'); END
    """,
    """
    CREATE TRIGGER invoice_line_not_deleted BEFORE DELETE ON invoice_line WHEN {old_is_final}
    BEGIN SELECT RAISE(ABORT, '{refused}'); END
    """,
    """
    CREATE TRIGGER invoice_line_not_added BEFORE INSERT ON invoice_line WHEN {new_is_final}
    BEGIN SELECT RAISE(ABORT, '{refused}'); END
    """,
)
# PostgreSQL looks at what a statement added once, not row by row: a run adds thousands.
_POSTGRESQL = (
    """
    CREATE FUNCTION final_month_kept() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN RAISE EXCEPTION '{refused}' USING ERRCODE = 'integrity_constraint_violation'; END $body$
    """,
    """
    CREATE FUNCTION final_lines_kept() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
        IF {old_is_final} OR (TG_OP = 'UPDATE' AND {new_is_final}) THEN
            RAISE EXCEPTION '{refused}' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
        RETURN NEW;
    END $body$
    """,
    """
    CREATE FUNCTION final_lines_not_added() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
        IF EXISTS (SELECT 1 FROM added WHERE {added_is_final}) THEN
            RAISE EXCEPTION '{refused}' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NULL;
    END $body$
    """,
    """
    CREATE TRIGGER invoice_month_kept BEFORE UPDATE OR DELETE ON invoice_month FOR EACH ROW
    WHEN (OLD.state = 'final') EXECUTE FUNCTION final_month_kept()
    """,
    *(
        f"""
    CREATE TRIGGER {table}_kept BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION final_month_kept()
    """
        for table in _FACTS
    ),
    """
    CREATE TRIGGER invoice_line_kept BEFORE UPDATE OF {columns} ON invoice_line FOR EACH ROW
    EXECUTE FUNCTION final_lines_kept()
    """,
    """
    CREATE TRIGGER invoice_line_not_deleted BEFORE DELETE ON invoice_line FOR EACH ROW
    EXECUTE FUNCTION final_lines_kept()
    """,
    """
    CREATE TRIGGER invoice_line_not_added AFTER INSERT ON invoice_line REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION final_lines_not_added()
    """,
)


def create() -> None:
    """Make them, in a store that has the tables and no triggers yet."""
    words = {
        "refused": _REFUSED,
        "columns": _OTHER_COLUMNS,
        **{f"{row}_is_final": _IS_FINAL.format(row=row.upper()) for row in ("old", "new")},
        "added_is_final": _IS_FINAL.format(row="added"),
    }
    for statement in _SQLITE if backend() == "sqlite" else _POSTGRESQL:
        run_sql(statement.format(**words))
