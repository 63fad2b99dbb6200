"""Is every row of a PostgreSQL sandbox masked, whatever production's tables have about them?"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from postgres_server import PostgresServer

from jobs.refreshers import postgres as refresher
from jobs.refreshers.postgres import Place
from jobs.refreshers.rules import Rule, Rules
from store.errors import Refused, StoreUnavailable

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MAIL = Rule("*", "email", "mail")

Refresh = Callable[..., int]


@pytest.fixture
def refresh(postgres: PostgresServer) -> Iterator[Refresh]:
    """From a production of that schema, by logins that are no superusers; how many columns were masked."""
    postgres.sql("CREATE ROLE reader LOGIN BYPASSRLS; GRANT pg_read_all_data TO reader")
    postgres.sql("CREATE ROLE maker LOGIN CREATEDB")
    postgres.sql("CREATE DATABASE production")

    def refreshed(schema: str, *masks: Rule, role: str = "maker") -> int:
        postgres.sql(schema, "production")
        source, target = (
            Place(f"postgresql://{who}@/{name}?host={postgres.sockets}")
            for who, name in (("reader", "production"), (role, "sandbox"))
        )
        rules = Rules(("sandbox",), masks)
        return refresher.refresh(source, target, rules, keep=0, programs=postgres.binaries, now=NOON).columns

    yield refreshed
    postgres.sql("DROP DATABASE IF EXISTS sandbox WITH (FORCE)")
    postgres.sql("DROP DATABASE production WITH (FORCE)")
    postgres.sql("DROP ROLE reader, maker")


def values(postgres: PostgresServer, query: str) -> list[str]:
    return [str(row[0]) for row in postgres.sql(query, "sandbox")]


def test_policies_that_are_forced_on_the_owner_hide_no_row(refresh: Refresh, postgres: PostgresServer) -> None:
    refresh(
        """
        CREATE TABLE customer (tenant int, email text);
        INSERT INTO customer VALUES (1, 'ase@nordlys.example'), (2, 'bo@nordlys.example');
        CREATE TABLE event (tenant int, email text) PARTITION BY LIST (tenant);
        CREATE TABLE event_1 PARTITION OF event FOR VALUES IN (1);
        INSERT INTO event VALUES (1, 'ase@nordlys.example');
        ALTER TABLE customer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        ALTER TABLE event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE POLICY own ON customer USING (tenant = nullif(current_setting('app.tenant', true), '')::int);
        """,
        MAIL,
    )

    left = values(postgres, "SELECT email FROM customer UNION ALL SELECT email FROM event")
    assert [mail.partition("@")[2] for mail in left] == ["masked.invalid"] * 3
    forced = "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity ORDER BY 1"
    assert values(postgres, forced) == ["customer", "event"]


def test_rules_neither_keep_a_value_nor_take_one_elsewhere(refresh: Refresh, postgres: PostgresServer) -> None:
    refresh(
        """
        CREATE TABLE audit (email text);
        CREATE TABLE customer (email text);
        CREATE TABLE event (email text) PARTITION BY LIST (email);
        CREATE TABLE event_rest PARTITION OF event DEFAULT;
        CREATE TABLE old (was text);
        INSERT INTO audit VALUES ('ase@nordlys.example');
        INSERT INTO customer VALUES ('ase@nordlys.example');
        INSERT INTO event VALUES ('ase@nordlys.example');
        CREATE RULE never AS ON UPDATE TO audit DO INSTEAD NOTHING;
        CREATE RULE never AS ON UPDATE TO event DO INSTEAD NOTHING;
        CREATE RULE also AS ON UPDATE TO customer DO ALSO INSERT INTO old VALUES (old.email);
        ALTER TABLE customer ENABLE ALWAYS RULE also;
        """,
        MAIL,
    )

    left = values(postgres, "SELECT email FROM audit UNION ALL SELECT email FROM customer UNION ALL TABLE event")
    assert [mail.partition("@")[2] for mail in left] == ["masked.invalid"] * 3
    assert values(postgres, "SELECT was FROM old") == []
    enabled = (
        "SELECT ev_enabled::text FROM pg_rewrite WHERE rulename IN ('never', 'also') ORDER BY ev_class::regclass::text"
    )
    assert values(postgres, enabled) == ["O", "A", "O"]


def test_an_extension_s_triggers_and_rules_keep_nothing_either(refresh: Refresh, postgres: PostgresServer) -> None:
    if not postgres.sql("SELECT 1 FROM pg_settings WHERE name = 'extension_control_path'"):
        pytest.skip("this PostgreSQL looks for extensions in one place only")
    folder = postgres.base / "of the test" / "extension"
    folder.mkdir(parents=True)
    (folder / "ledger.control").write_text("default_version = '1'\n")
    (folder / "ledger--1.sql").write_text(
        """
        CREATE TABLE public.account (email text);
        CREATE TABLE public.old (was text);
        CREATE TABLE public.frozen (email text);
        SELECT pg_extension_config_dump('public.account', '');
        SELECT pg_extension_config_dump('public.frozen', '');
        CREATE RULE also AS ON UPDATE TO public.account DO ALSO INSERT INTO public.old VALUES (old.email);
        CREATE FUNCTION public.never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER never BEFORE UPDATE ON public.frozen FOR EACH ROW EXECUTE FUNCTION public.never();
        ALTER TABLE public.frozen ENABLE ALWAYS TRIGGER never;
        """
    )
    postgres.sql(f"ALTER ROLE keydesk SET extension_control_path = '{folder.parent}:$system'")
    try:
        refresh(
            """
            CREATE EXTENSION ledger;
            INSERT INTO account VALUES ('ase@nordlys.example');
            INSERT INTO frozen VALUES ('ase@nordlys.example');
            """,
            MAIL,
            role="keydesk",
        )
    finally:
        postgres.sql("ALTER ROLE keydesk RESET extension_control_path")

    left = values(postgres, "SELECT email FROM account UNION ALL SELECT email FROM frozen")
    assert [mail.partition("@")[2] for mail in left] == ["masked.invalid"] * 2
    assert values(postgres, "SELECT was FROM old") == []
    assert values(postgres, "SELECT tgenabled::text FROM pg_trigger WHERE tgname = 'never'") == ["A"]


def test_when_not_every_row_was_masked_nothing_is_swapped_in(refresh: Refresh, postgres: PostgresServer) -> None:
    with pytest.raises(Refused) as refused:
        refresh(
            """
            CREATE TABLE customer (email text);
            CREATE FUNCTION resists(mail text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
                IF mail LIKE '%masked.invalid' THEN INSERT INTO public.customer VALUES ('ase@nordlys.example'); END IF;
                RETURN true;
            END $$;
            ALTER TABLE customer ADD CHECK (resists(email));
            INSERT INTO customer VALUES ('ase@nordlys.example');
            """,
            MAIL,
        )

    assert str(refused.value) == (
        "1 of 2 rows of public.customer were masked, so the sandbox is left as it was; "
        "see which constraint or function of the table writes rows itself."
    )
    assert postgres.sql("SELECT datname FROM pg_database WHERE datname LIKE 'sandbox%'") == []


def test_a_natural_key_may_be_masked_and_its_references_go_on_leading_to_it(
    refresh: Refresh, postgres: PostgresServer
) -> None:
    refresh(
        """
        CREATE TABLE customer (email text PRIMARY KEY);
        CREATE TABLE note (email text REFERENCES customer ON UPDATE CASCADE, said text);
        INSERT INTO customer VALUES ('ase@nordlys.example'), ('bo@nordlys.example');
        INSERT INTO note VALUES ('ase@nordlys.example', 'owes us');
        """,
        MAIL,
    )

    assert values(postgres, "SELECT said FROM note JOIN customer USING (email)") == ["owes us"]
    assert values(postgres, "SELECT email FROM customer WHERE email LIKE '%nordlys%'") == []
    assert values(postgres, "SELECT convalidated FROM pg_constraint WHERE conname = 'note_email_fkey'") == ["True"]


def test_a_reference_that_is_masked_in_another_way_than_its_key_fails(refresh: Refresh) -> None:
    with pytest.raises(StoreUnavailable, match='violates foreign key constraint "note_email_fkey"'):
        refresh(
            """
            CREATE TABLE customer (email text PRIMARY KEY);
            CREATE TABLE note (email text REFERENCES customer);
            INSERT INTO customer VALUES ('ase@nordlys.example');
            INSERT INTO note VALUES ('ase@nordlys.example');
            """,
            Rule("note", "email", "hash"),
            MAIL,
        )


def test_a_hash_that_is_kept_in_bytes_becomes_another_and_stays_unique(
    refresh: Refresh, postgres: PostgresServer
) -> None:
    refresh(
        r"""
        CREATE TABLE token (digest bytea PRIMARY KEY);
        CREATE TABLE use (digest bytea REFERENCES token);
        INSERT INTO token VALUES ('\x00ff'), ('\x01');
        INSERT INTO use VALUES ('\x00ff'), (NULL);
        """,
        Rule("*", "digest", "hash"),
    )

    kept = postgres.sql("SELECT t.digest, u.digest FROM token t LEFT JOIN use u USING (digest) ORDER BY 2", "sandbox")
    (used, again), (other, no) = kept
    assert used == again != other
    assert no is None
    assert {b"\x00\xff", b"\x01"}.isdisjoint((used, other))


def test_a_table_that_inherits_is_masked_once_by_its_own_rule_or_by_that_of_the_table_above(
    refresh: Refresh, postgres: PostgresServer
) -> None:
    columns = refresh(
        """
        CREATE TABLE customer (id int, email text);
        CREATE TABLE archive (email text) INHERITS (customer);
        CREATE TABLE older () INHERITS (archive);
        CREATE TABLE ancient () INHERITS (customer);
        INSERT INTO customer VALUES (1, 'ase@nordlys.example');
        INSERT INTO archive VALUES (2, 'ase@nordlys.example');
        INSERT INTO older VALUES (3, 'ase@nordlys.example');
        INSERT INTO ancient VALUES (4, 'ase@nordlys.example');
        """,
        Rule("customer", "email", "hash"),
        Rule("archive", "email", "mail"),
    )

    found = dict(postgres.sql("SELECT id, email FROM customer", "sandbox"))
    assert columns == 4
    assert found[1] == found[4] != "ase@nordlys.example"
    assert found[2] == found[3] == f"{found[1]}@masked.invalid"


def test_materialised_views_are_made_of_masked_rows_and_empty_ones_stay_empty(
    refresh: Refresh, postgres: PostgresServer
) -> None:
    refresh(
        """
        CREATE TABLE customer (email text);
        INSERT INTO customer VALUES ('ase@nordlys.example');
        CREATE MATERIALIZED VIEW addresses AS SELECT email FROM customer;
        CREATE MATERIALIZED VIEW of_addresses AS SELECT email FROM addresses;
        CREATE MATERIALIZED VIEW later AS SELECT email FROM customer WITH NO DATA;
        """,
        MAIL,
    )

    masked = values(postgres, "SELECT email FROM customer")
    assert values(postgres, "SELECT email FROM of_addresses") == masked != ["ase@nordlys.example"]
    assert values(postgres, "SELECT relname FROM pg_class WHERE relkind = 'm' AND NOT relispopulated") == ["later"]


def test_no_statistics_tell_what_was_masked(refresh: Refresh, postgres: PostgresServer) -> None:
    refresh(
        """
        CREATE TABLE customer (email text);
        CREATE TABLE archive () INHERITS (customer);
        INSERT INTO archive SELECT 'ase' || n % 3 || '@nordlys.example' FROM generate_series(1, 100) n;
        CREATE INDEX ON archive (lower(email));
        CREATE STATISTICS both_ends (mcv) ON lower(email), upper(email) FROM archive;
        ANALYZE;
        """,
        MAIL,
    )

    told = "SELECT tablename || most_common_vals::text FROM pg_stats WHERE schemaname = 'public' ORDER BY 1"
    assert len(values(postgres, told)) == 3
    assert [one for one in values(postgres, told) if "nordlys" in one] == []
    extended = values(postgres, "SELECT most_common_vals::text FROM pg_stats_ext")
    assert "masked.invalid" in extended[0]
    assert "nordlys" not in extended[0]


def test_rows_of_another_server_are_never_masked_there(refresh: Refresh) -> None:
    with pytest.raises(Refused) as refused:
        refresh(
            """
            CREATE FOREIGN DATA WRAPPER wire;
            CREATE SERVER far FOREIGN DATA WRAPPER wire;
            CREATE TABLE event (id int, email text) PARTITION BY LIST (id);
            CREATE FOREIGN TABLE event_far PARTITION OF event FOR VALUES IN (1) SERVER far;
            """,
            MAIL,
        )

    assert str(refused.value) == (
        "event_far is a foreign table below event, and its rows would be masked where they are; nothing was touched."
    )


def test_a_dot_in_a_table_s_name_leads_to_no_other_table(refresh: Refresh, postgres: PostgresServer) -> None:
    refresh(
        """
        CREATE SCHEMA crm;
        CREATE TABLE crm.note (email text);
        CREATE TABLE "crm.note" (email text);
        INSERT INTO crm.note VALUES ('ase@nordlys.example');
        INSERT INTO "crm.note" VALUES ('ase@nordlys.example');
        """,
        Rule("crm.note", "email", "null"),
    )

    assert values(postgres, 'SELECT email FROM crm.note UNION ALL SELECT email FROM "crm.note"') == ["None", "None"]


def test_a_rule_is_blind_to_capital_letters(tmp_path: Path) -> None:
    masks = (Rule("customer", "*email*", "mail"), Rule("Note", "*", "null"))
    present = [("customer", "workEmail"), ("Customer", "EMAIL_2"), ("customer", "id"), ("note", "text")]

    chosen = Rules((str(tmp_path),), masks).matched(present)

    assert [(table, column) for table, column, _ in chosen] == [
        ("customer", "workEmail"),
        ("Customer", "EMAIL_2"),
        ("note", "text"),
    ]
