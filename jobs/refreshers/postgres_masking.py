"""What is masked in a copy in PostgreSQL, and how: before its triggers, rules, policies, keys and indexes are there."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg.sql import SQL, Composed, Identifier, Literal

from jobs.refreshers.rules import Rule, Rules
from store.errors import Refused

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True)
class Table:
    """A table that is masked, and what becomes of its columns."""

    schema: str
    name: str
    is_partitioned: bool
    masks: dict[str, Rule] = field(default_factory=dict)
    in_bytes: set[str] = field(default_factory=set)  # of these columns those that hold no text, as hashes of keys do

    @property
    def rows(self) -> Composed:
        """Its rows for a statement: those of its partitions too, of tables that inherit from it not."""
        return SQL("{}" if self.is_partitioned else "ONLY {}").format(self.identifier)

    @property
    def identifier(self) -> Identifier:
        """Its name for a statement."""
        return Identifier(self.schema, self.name)


def tables(reader: "psycopg.Connection[Any]", rules: Rules) -> list[Table]:
    """The tables of the source that the rules fit. Tables outside `public` are matched as schema.table.

    The first rule that fits counts; a column that is inherited, and that no rule fits by its own table's name, follows
    the table that it comes from. Of partitioned tables the parent's name counts. Refused when a rule fits no column, or
    when rows would be masked in another server, by a partition that is a foreign table.
    """
    found = reader.execute(_COLUMNS).fetchall()
    rule_of = {
        (table, column): rule
        for table, column, rule in rules.matched((names[0], column) for *_, names, column, _ in found)
    }
    masked: dict[tuple[str, str], Table] = {}
    for schema, name, is_partitioned, foreign, names, column, is_bytes in found:
        rule = next((rule_of[one, column] for one in names if (one, column) in rule_of), None)
        if rule is None:
            continue
        if foreign:
            raise Refused(
                f"{foreign} is a foreign table below {names[0]}, and its rows would be masked where they are; "
                "nothing was touched."
            )
        table = masked.setdefault((schema, name), Table(schema, name, is_partitioned))
        table.masks[column] = rule
        if is_bytes:
            table.in_bytes.add(column)
    return list(masked.values())


def mask(copy: "psycopg.Connection[Any]", masked: list[Table]) -> None:
    """All or nothing, and every row. The copy has no triggers, rules and policies but those of extensions.

    Afterwards nothing of what was masked is left in old rows.
    """
    with copy.transaction():
        copy.execute("SET LOCAL row_security = off")  # a policy that hides rows is an error then
        copy.execute(_UNKNOWN_TO_ALL)
        diverting = copy.execute(_DIVERTING).fetchall()
        for schema, table, kind, name, _ in diverting:
            copy.execute(_alter("DISABLE " + kind, schema, table, name))
        for each in masked:
            _mask_rows(copy, each)
        for schema, table, kind, name, enabled in diverting:
            how = {"R": "ENABLE REPLICA ", "A": "ENABLE ALWAYS "}.get(enabled, "ENABLE ")
            copy.execute(_alter(how + kind, schema, table, name))
    for each in masked:
        copy.execute(SQL("VACUUM (FULL) {}").format(each.identifier))


def forget_statistics(copy: "psycopg.Connection[Any]") -> None:
    """New statistics of all tables: the server may have made some of rows that were not masked yet."""
    copy.execute("ANALYZE")
    copy.execute("VACUUM (FULL) pg_catalog.pg_statistic")


def _mask_rows(copy: "psycopg.Connection[Any]", table: Table) -> None:
    setting = [
        SQL("{} = ").format(Identifier(column)) + _value(column, rule, is_bytes=column in table.in_bytes)
        for column, rule in table.masks.items()
    ]
    done = copy.execute(SQL("UPDATE {} SET ").format(table.rows) + SQL(", ").join(setting)).rowcount
    there = copy.execute(SQL("SELECT count(*) FROM {}").format(table.rows)).fetchone()
    if there != (done,):
        rows = there[0] if there else 0
        raise Refused(
            f"{done} of {rows} rows of {table.schema}.{table.name} were masked, so the sandbox is left as it was; "
            "see which constraint or function of the table writes rows itself."
        )


def _value(column: str, rule: Rule, *, is_bytes: bool) -> Composed:
    if rule.way in {"fixed", "null"}:
        return Composed([Literal(rule.value)])
    hashed = SQL(
        "left(encode(sha256((SELECT secret FROM pg_temp.masking_secret) || convert_to({}::text, 'UTF8')), 'hex'), 24)"
    ).format(Identifier(column))
    text = hashed + SQL(" || '@masked.invalid'") if rule.way == "mail" else Composed([hashed])
    return SQL("convert_to({}, 'UTF8')").format(text) if is_bytes else text


def _alter(how: str, schema: str, table: str, name: str) -> Composed:
    return SQL("ALTER TABLE {} {} {}").format(Identifier(schema, table), SQL(how), Identifier(name))


# Made where it is used, and gone with the transaction: nobody can try values against it afterwards.
_UNKNOWN_TO_ALL = """
    CREATE TEMPORARY TABLE masking_secret ON COMMIT DROP AS
    SELECT sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')) AS secret
"""

# Every column that can be written, with the names that rules may know its table by: its own, then those of the tables
# that it inherits from, the nearest first.
_COLUMNS = """
    WITH RECURSIVE line (relid, above, steps) AS (
        SELECT oid, oid, 0 FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
         UNION ALL
        SELECT line.relid, i.inhparent, line.steps + 1 FROM line JOIN pg_inherits i ON i.inhrelid = line.above
    ), named AS (
        SELECT line.relid, array_agg(
                   CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname ORDER BY line.steps
               ) AS names
          FROM line JOIN pg_class c ON c.oid = line.above JOIN pg_namespace n ON n.oid = c.relnamespace
         GROUP BY line.relid
    )
    SELECT n.nspname, c.relname, c.relkind = 'p',
           (SELECT p.relid::regclass::text FROM pg_partition_tree(c.oid) p JOIN pg_class f ON f.oid = p.relid
             WHERE f.relkind = 'f' LIMIT 1),
           named.names, a.attname, a.atttypid = 'bytea'::regtype
      FROM named JOIN pg_class c ON c.oid = named.relid JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
       AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
     ORDER BY 1, 2, a.attnum
"""

_DIVERTING = """
    SELECT n.nspname, c.relname, d.kind, d.name, d.enabled
      FROM (SELECT tgrelid, 'TRIGGER', tgname, tgenabled::text
              FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0
             UNION ALL
            SELECT ev_class, 'RULE', rulename, ev_enabled::text FROM pg_rewrite WHERE ev_type = '2'
           ) d (relid, kind, name, enabled)
      JOIN pg_class c ON c.oid = d.relid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND d.enabled <> 'D'
"""
