"""Is anything of what the rules name left in a SQLite sandbox: a row, a word of an index, a sample of a statistic?"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jobs.refreshers import sqlite
from jobs.refreshers.rules import Rule, Rules
from store.errors import KeydeskError, Refused, StoreUnavailable

SECRETS = (b"haraldsson", b"zygmuntowicz", b"22110099")


@pytest.fixture
def production(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    (tmp_path / "sandbox").mkdir()
    with closing(sqlite3.connect(tmp_path / "production.db", isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    return tmp_path / "sandbox" / "nordlys.db"


def refresh(sandbox: Path, *masks: Rule) -> sqlite.Refreshed:
    source = sandbox.parent.parent / "production.db"
    return sqlite.refresh(source, sandbox, Rules((f"{sandbox.parent}/*.db",), masks))


def rows(path: Path, text: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(text).fetchall()


def left(path: Path) -> list[bytes]:
    content = path.read_bytes().lower()
    assert b"create " in content
    return [secret for secret in SECRETS if secret in content]


@pytest.mark.parametrize(
    ("column", "rule", "sentence"),
    [
        (
            "phone TEXT NOT NULL ON CONFLICT IGNORE",
            Rule("customer", "phone", "null"),
            "NOT NULL constraint failed: customer.phone",
        ),
        (
            "phone TEXT NOT NULL ON CONFLICT REPLACE DEFAULT '33110099'",
            Rule("customer", "phone", "null"),
            "NOT NULL constraint failed: customer.phone",
        ),
        (
            "phone TEXT UNIQUE ON CONFLICT IGNORE",
            Rule("customer", "phone", "fixed", "0"),
            "UNIQUE constraint failed: customer.phone",
        ),
        (
            "phone TEXT UNIQUE ON CONFLICT REPLACE",
            Rule("customer", "phone", "fixed", "0"),
            "UNIQUE constraint failed: customer.phone",
        ),
    ],
)
def test_a_table_that_passes_over_its_conflicts_is_not_called_fresh(
    production: sqlite3.Connection, sandbox: Path, column: str, rule: Rule, sentence: str
) -> None:
    production.execute(f"CREATE TABLE customer (id INTEGER PRIMARY KEY, {column})")
    production.execute("INSERT INTO customer VALUES (1, '22110099'), (2, '44110099'), (3, '55110099')")

    with pytest.raises(StoreUnavailable) as failed:
        refresh(sandbox, rule)

    assert str(failed.value) == f"The sandbox {sandbox} was not refreshed and is as it was: {sentence}."
    assert list(sandbox.parent.iterdir()) == []


def test_a_trigger_that_passes_over_rows_passes_over_none(production: sqlite3.Connection, sandbox: Path) -> None:
    production.executescript("""
        CREATE TABLE customer (id INTEGER PRIMARY KEY, phone TEXT);
        INSERT INTO customer VALUES (1, '22110099'), (2, '44110099');
        CREATE TRIGGER keep BEFORE UPDATE ON customer BEGIN SELECT RAISE(IGNORE); END;
    """)

    refresh(sandbox, Rule("customer", "phone", "null"))

    assert rows(sandbox, "SELECT phone FROM customer") == [(None,), (None,)]
    assert rows(sandbox, "SELECT name FROM sqlite_schema WHERE type = 'trigger'") == [("keep",)]


def test_rows_that_are_counted_and_not_masked_are_noticed(production: sqlite3.Connection, sandbox: Path) -> None:
    production.executescript("""
        CREATE TABLE customer (id INTEGER PRIMARY KEY, phone TEXT, vip INTEGER);
        INSERT INTO customer VALUES (1, '22110099', 1), (2, '44110099', 0);
        CREATE INDEX by_vip ON customer (vip) WHERE vip = 1;
        PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = 'CREATE INDEX by_vip ON customer (vip)' WHERE name = 'by_vip';
    """)  # an index that lacks a row, and that rows are counted by

    with pytest.raises(Refused) as refused:
        refresh(sandbox, Rule("customer", "phone", "null"))

    assert str(refused.value) == (
        "Of 1 rows of customer 2 were masked, and 1 are there afterwards; the sandbox is as it was."
    )


@pytest.mark.parametrize("module", ["fts3", "fts4", "fts5"])
def test_a_full_text_table_that_is_masked_finds_nothing_of_what_it_held(
    production: sqlite3.Connection, sandbox: Path, module: str
) -> None:
    production.executescript(f"""
        CREATE VIRTUAL TABLE note USING {module}(body, place);
        INSERT INTO note VALUES ('Haraldsson owes', 'Oslo'), ('Zygmuntowicz paid', 'Bergen'), ('22110099', 'Bergen');
        DELETE FROM note WHERE body = '22110099';
    """)

    done = refresh(sandbox, Rule("note", "body", "fixed", "masked"))

    assert left(sandbox) == []
    assert done.columns == 1
    assert rows(sandbox, "SELECT body, place FROM note WHERE note MATCH 'masked'") == [
        ("masked", "Oslo"),
        ("masked", "Bergen"),
    ]
    assert rows(sandbox, "SELECT place FROM note WHERE note MATCH 'bergen'") == [("Bergen",)]


@pytest.mark.parametrize("module", ["fts4", "fts5"])
@pytest.mark.parametrize("content", ["content='customer'", 'content="CUSTOMER"', "-- of it\n content=[shown]"])
def test_an_index_over_what_is_masked_is_built_anew(
    production: sqlite3.Connection, sandbox: Path, module: str, content: str
) -> None:
    production.executescript(f"""
        CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, place TEXT);
        CREATE VIEW shown AS SELECT id AS rowid, name, place FROM customer;
        INSERT INTO customer VALUES (1, 'Haraldsson', 'Oslo'), (7, 'Zygmuntowicz', 'Bergen');
        CREATE VIRTUAL TABLE search USING {module}(name, place, {content});
        INSERT INTO search (rowid, name, place) SELECT id, name, place FROM customer;
        CREATE TRIGGER follow AFTER UPDATE ON customer BEGIN
            INSERT INTO search (rowid, name, place) VALUES (new.id, new.name, new.place);
        END;
    """)

    done = refresh(sandbox, Rule("*", "name", "fixed", "masked"))

    assert left(sandbox) == []
    assert done.columns == 1
    assert rows(sandbox, "SELECT rowid FROM search WHERE search MATCH 'masked'") == [(1,), (7,)]
    assert rows(sandbox, "SELECT rowid FROM search WHERE search MATCH 'bergen'") == [(7,)]


def test_an_index_over_what_no_rule_names_stays_as_it_is(production: sqlite3.Connection, sandbox: Path) -> None:
    production.executescript("""
        CREATE TABLE customer (id INTEGER PRIMARY KEY, phone TEXT);
        CREATE TABLE place (id INTEGER PRIMARY KEY, name TEXT);
        INSERT INTO customer VALUES (1, '22110099');
        INSERT INTO place VALUES (1, '<b>Oslo</b>');
        CREATE VIRTUAL TABLE search USING fts5(name, content='place');
        INSERT INTO search (rowid, name) VALUES (1, 'capital');
    """)

    refresh(sandbox, Rule("customer", "phone", "null"))

    assert rows(sandbox, "SELECT rowid FROM search WHERE search MATCH 'capital'") == [(1,)]


@pytest.mark.parametrize("module", ["fts4", "fts5"])
def test_an_index_without_the_text_is_empty_when_a_rule_names_it(
    production: sqlite3.Connection, sandbox: Path, module: str
) -> None:
    production.executescript(f"""
        CREATE VIRTUAL TABLE search USING {module}(name, place, content='');
        INSERT INTO search (rowid, name, place) VALUES (1, 'Haraldsson', 'Oslo'), (2, 'Zygmuntowicz', 'Bergen');
    """)

    refresh(sandbox, Rule("*", "name", "hash"))

    assert left(sandbox) == []
    assert rows(sandbox, "SELECT rowid FROM search WHERE search MATCH 'oslo'") == []
    with closing(sqlite3.connect(sandbox)) as application:
        application.execute("INSERT INTO search (rowid, name, place) VALUES (1, 'masked', 'Oslo')")
        assert application.execute("SELECT rowid FROM search WHERE search MATCH 'oslo'").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "using",
    [
        "USING fts4(body, content='')",
        "USING fts5(body, content='')",
        "USING/**/fts5(body, content='')",
        "/* USING fts4(x) */ using -- fts3 (\n [FTS5] /* ) */ (body /*, content='customer'*/, content = '')",
        "USING fts5(body, con='')",  # FTS5 takes a beginning for the whole
        "USING fts5(body, content=)",
        'USING fts5(body, tokenize="unicode61 tokenchars \',)(\'", content="")',
    ],
)
@pytest.mark.parametrize("name", ["search", '"a USING fts3(""/*"', "[it's -- one]"])
def test_an_index_without_the_text_is_empty_whatever_is_masked(
    production: sqlite3.Connection, sandbox: Path, name: str, using: str
) -> None:
    production.executescript(f"""
        CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);
        INSERT INTO customer VALUES (1, 'Haraldsson');
        CREATE VIRTUAL TABLE {name} {using};
        INSERT INTO {name} (rowid, body) VALUES (1, 'Haraldsson');
    """)

    refresh(sandbox, Rule("customer", "name", "hash"))

    assert left(sandbox) == []
    with closing(sqlite3.connect(sandbox)) as application:
        application.execute(f"INSERT INTO {name} (rowid, body) VALUES (1, 'masked')")


@pytest.mark.parametrize("using", ["USING/**/fts4(name)", "USING fts3(name, content='')"])  # to FTS3 that is a column
def test_a_full_text_table_is_known_by_its_module_however_that_is_written(
    production: sqlite3.Connection, sandbox: Path, using: str
) -> None:
    production.executescript(f"""
        CREATE VIRTUAL TABLE note {using};
        INSERT INTO note (name) VALUES ('Haraldsson');
    """)

    done = refresh(sandbox, Rule("*", "*name", "fixed", "masked"))

    assert left(sandbox) == []
    assert done.columns == 1
    assert rows(sandbox, "SELECT name FROM note WHERE note MATCH 'masked'") == [("masked",)]


@pytest.mark.parametrize("using", ["USING spellfix1", "USING/* fts5 */\"Spellfix1\"(x, 'USING fts5')"])
def test_a_virtual_table_that_may_keep_words_in_its_own_way_is_refused(
    production: sqlite3.Connection, sandbox: Path, using: str
) -> None:
    production.executescript("CREATE TABLE customer (phone TEXT); CREATE VIRTUAL TABLE hint USING fts5(word)")
    production.execute("PRAGMA writable_schema = ON")  # as an application with that module leaves it
    production.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'hint'", ("CREATE VIRTUAL TABLE hint " + using,))

    with pytest.raises(Refused) as refused:
        refresh(sandbox, Rule("customer", "phone", "null"))

    assert str(refused.value) == (
        "The source's table hint is virtual, of the module spellfix1, which may keep what is masked where no rule "
        "reaches. Refresh from a copy of the source from which that table was dropped. Nothing was refreshed."
    )
    assert list(sandbox.parent.iterdir()) == []


def test_a_text_beside_the_numbers_of_a_tree_is_masked_and_what_only_shows_is_let_be(
    production: sqlite3.Connection, sandbox: Path
) -> None:
    production.executescript("""
        CREATE VIRTUAL TABLE place USING rtree(id, least, most, +word);
        INSERT INTO place VALUES (1, 2, 3, 'Haraldsson');
        CREATE VIRTUAL TABLE search USING fts5(body);
        CREATE VIRTUAL TABLE words USING fts5vocab(search, row);
        INSERT INTO search VALUES ('Oslo');
        CREATE TABLE term (term TEXT);
    """)

    refresh(sandbox, Rule("*", "word", "fixed", "masked"), Rule("*", "term", "null"))

    assert left(sandbox) == []
    assert rows(sandbox, "SELECT * FROM place") == [(1, 2.0, 3.0, "masked")]
    assert rows(sandbox, "SELECT term FROM words") == [("oslo",)]


@pytest.mark.parametrize(
    "text",
    [
        "CREATE VIRTUAL TABLE search USING fts5(name, content='customer')",
        "CREATE VIRTUAL TABLE search USING fts4(name)",
    ],
)
def test_what_an_index_only_shows_or_keeps_itself_in_is_nothing_that_a_rule_could_mask(
    production: sqlite3.Connection, sandbox: Path, text: str
) -> None:
    production.execute("CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)")
    production.execute(text)
    rule = Rule("search", "name", "null") if "content" in text else Rule("search_content", "c0name", "null")

    with pytest.raises(Refused, match="matches no column of the source"):
        refresh(sandbox, rule)


def test_equal_values_stay_equal_in_a_table_and_in_a_full_text_table(
    production: sqlite3.Connection, sandbox: Path
) -> None:
    production.executescript("""
        CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);
        INSERT INTO customer VALUES (1, 'Haraldsson');
        CREATE VIRTUAL TABLE note USING fts4(name);
        INSERT INTO note SELECT name FROM customer;
    """)

    done = refresh(sandbox, Rule("*", "*name", "hash"))  # the table that note keeps itself in has a column c0name

    assert done.columns == 2
    assert rows(sandbox, "SELECT count(*) FROM customer JOIN note USING (name)") == [(1,)]
    assert rows(sandbox, "SELECT count(*) FROM note WHERE note MATCH (SELECT name FROM customer)") == [(1,)]


@pytest.mark.parametrize("table", ["sqlite_stat3", "sqlite_stat4"])
def test_no_sample_of_a_statistic_is_left_and_what_holds_no_value_is(
    production: sqlite3.Connection, sandbox: Path, table: str
) -> None:
    production.executescript(f"""
        CREATE TABLE customer (id INTEGER PRIMARY KEY, phone TEXT UNIQUE);
        INSERT INTO customer VALUES (1, '22110099'), (2, '44110099');
        ANALYZE;
        CREATE TABLE samples (tbl, idx, neq, nlt, ndlt, sample);
        INSERT INTO samples VALUES ('customer', 'sqlite_autoindex_customer_1', 1, 0, 0, x'0315093232313130303939');
        PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET name = '{table}', tbl_name = '{table}',
               sql = 'CREATE TABLE {table}(tbl,idx,neq,nlt,ndlt,sample)' WHERE name = 'samples';
    """)  # as a SQLite that was built with samples leaves it

    refresh(sandbox, Rule("customer", "phone", "hash"))

    assert left(sandbox) == []
    assert rows(sandbox, f"SELECT count(*) FROM {table}") == [(0,)]
    assert rows(sandbox, "SELECT tbl, stat FROM sqlite_stat1") == [("customer", "2 1")]


@pytest.mark.parametrize("log", ["-wal", "-journal"])
def test_a_log_of_a_sandbox_that_is_gone_is_not_read_into_the_new_one(
    production: sqlite3.Connection, sandbox: Path, log: str
) -> None:
    production.executescript("CREATE TABLE customer (phone TEXT); INSERT INTO customer VALUES ('22110099')")
    beside = sandbox.with_name("nordlys.db" + log)
    beside.write_bytes(b"of another file")

    with pytest.raises(KeydeskError) as refused:
        refresh(sandbox, Rule("customer", "phone", "null"))

    assert str(refused.value) == (
        f"{beside} is left of a sandbox that is gone, and would be read into the new one; move it away."
    )
    assert list(sandbox.parent.iterdir()) == [beside]
