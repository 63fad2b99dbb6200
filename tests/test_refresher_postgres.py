"""Is a PostgreSQL sandbox copied, masked and swapped in whole, or left as it was?"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from command import Home
from postgres_server import PostgresServer

from jobs import refresh_command
from jobs.refresh_command import Command, Ended
from jobs.refreshers import postgres as refresher
from jobs.refreshers.postgres import Place, Refreshed
from jobs.refreshers.rules import Rule, Rules
from store.errors import KeydeskError, Refused, StoreUnavailable

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
RULES = Rules(
    ("sandbox_*",),
    (
        Rule("customer", "email", "mail"),
        Rule("customer", "phone", "fixed", "+47 0"),
        Rule("crm.note", "*text*", "null"),
        Rule("customer", "person_number", "hash"),
    ),
)
SCHEMA = """
CREATE SCHEMA crm;
CREATE TABLE customer (id int PRIMARY KEY, email text UNIQUE, phone text, person_number text,
                       shout text GENERATED ALWAYS AS (upper(email)) STORED);
CREATE TABLE crm.note (customer int REFERENCES customer, "free text" text);
CREATE TABLE log (said text);
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO log VALUES (old.email); RETURN new; END $$;
CREATE TRIGGER remember AFTER UPDATE ON customer FOR EACH ROW EXECUTE FUNCTION remember();
INSERT INTO customer VALUES (1, 'ase@nordlys.example', '22 11 00 99', '01017012345'),
                            (2, 'bo@nordlys.example', NULL, '01017012345'), (3, NULL, NULL, NULL);
INSERT INTO crm.note VALUES (1, 'owes us');
CREATE MATERIALIZED VIEW addresses AS SELECT email FROM customer;
"""


@pytest.fixture
def world(postgres: PostgresServer) -> Iterator[PostgresServer]:
    postgres.sql("CREATE DATABASE production")
    postgres.sql(SCHEMA, "production")
    postgres.sql("CREATE ROLE reader LOGIN")
    postgres.sql("GRANT pg_read_all_data TO reader")
    postgres.sql("CREATE DATABASE sandbox_nordlys")
    postgres.sql("CREATE TABLE old (id int)", "sandbox_nordlys")
    yield postgres
    for (name,) in postgres.sql("SELECT datname FROM pg_database WHERE datname ~ '^(production|sandbox_)'"):
        postgres.sql(f'DROP DATABASE "{name}" WITH (FORCE)')
    postgres.sql("DROP ROLE IF EXISTS reader, maker, boss")


def place(server: PostgresServer, name: str, role: str = "keydesk") -> Place:
    return Place(f"postgresql://{role}@/{name}?host={server.sockets}")


def refresh(
    server: PostgresServer,
    rules: Rules = RULES,
    target: str = "sandbox_nordlys",
    *,
    role: str = "reader",
    keep: int = 1,
    now: datetime = NOON,
    source: str = "production",
) -> Refreshed:
    into, out_of = place(server, target), place(server, source, role)
    return refresher.refresh(out_of, into, rules, keep=keep, programs=server.binaries, now=now)


def databases(server: PostgresServer) -> list[object]:
    found = server.sql("SELECT datname FROM pg_database WHERE datname LIKE 'sandbox%' ORDER BY 1")
    return [row[0] for row in found]


def test_the_copy_is_masked_and_takes_the_name(world: PostgresServer) -> None:
    done = refresh(world)

    first, second, third = world.sql(
        "SELECT email, phone, person_number, shout FROM customer ORDER BY id", "sandbox_nordlys"
    )
    assert done == Refreshed(columns=4, kept=("sandbox_nordlys_before_20261123T120000",))
    assert str(first[0]).endswith("@masked.invalid")
    assert first[0] != second[0]
    assert first[2] == second[2] != "01017012345"
    assert (first[1], first[3]) == ("+47 0", str(first[0]).upper())
    assert third == (None, "+47 0", None, None)
    assert world.sql('SELECT customer, "free text" FROM crm.note', "sandbox_nordlys") == [(1, None)]
    assert world.sql("SELECT * FROM log", "sandbox_nordlys") == []
    assert set(world.sql("SELECT email FROM addresses", "sandbox_nordlys")) == {(first[0],), (second[0],), (None,)}
    assert world.sql("SELECT tgenabled FROM pg_trigger WHERE tgname = 'remember'", "sandbox_nordlys") == [("O",)]
    assert world.sql("SELECT email FROM customer WHERE id = 1", "production") == [("ase@nordlys.example",)]
    assert world.sql("SELECT relname FROM pg_class WHERE relname = 'old'", done.kept[0]) == [("old",)]


def test_only_the_newest_old_databases_are_kept(world: PostgresServer) -> None:
    for day in range(3):
        done = refresh(world, keep=2, now=NOON + timedelta(days=day))

    assert done.kept == ("sandbox_nordlys_before_20261125T120000", "sandbox_nordlys_before_20261124T120000")
    assert databases(world) == [
        "sandbox_nordlys",
        "sandbox_nordlys_before_20261124T120000",
        "sandbox_nordlys_before_20261125T120000",
    ]


def test_a_sandbox_that_is_not_there_yet_is_made(world: PostgresServer) -> None:
    assert refresh(world, target="sandbox_new").kept == ()
    assert len(world.sql("SELECT * FROM customer", "sandbox_new")) == 3


@pytest.fixture
def slow(world: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where `restored` appears once a copy is there, which then waits and is not masked yet."""
    folder = tmp_path / "slow"
    programs, temporary = folder / "programs", folder / "temporary"
    for made in (folder, programs, temporary):
        made.mkdir()
    (programs / "pg_dump").symlink_to(world.binaries / "pg_dump")
    (programs / "pg_restore").write_text(
        f'#!/bin/sh\n"{world.binaries}/pg_restore" "$@"; touch {folder}/restored; exec sleep 600\n'
    )
    (programs / "pg_restore").chmod(0o755)
    (folder / "rules.toml").write_text(
        'targets = ["sandbox_*"]\n[[mask]]\ntable = "customer"\ncolumn = "email"\nwith = "mail"\n'
    )
    (folder / "password").write_text("s3cret-of-production\n")
    (folder / "password").chmod(0o600)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("TMPDIR", str(temporary))
    return folder


def slowly(world: PostgresServer, slow: Path) -> tuple[str, ...]:
    """The command that refreshes like that."""
    arguments = ("--source", place(world, "production", "reader").url, "--target", place(world, "sandbox_nordlys").url)
    files = ("--mask", slow / "rules.toml", "--programs", slow / "programs")
    secrets = ("--source-password-file", slow / "password", "--target-password-file", slow / "password")
    return (sys.executable, "-m", "keydesk", "refresher", "postgres", *map(str, (*arguments, *files, *secrets)))


def test_nothing_that_is_not_masked_and_no_password_stays_when_the_worker_ends_it(
    world: PostgresServer, slow: Path
) -> None:
    command = Command(slowly(world, slow), timedelta(minutes=1))

    ended = refresh_command.run(command, {}, lambda: True, (slow / "restored").exists)

    assert ended == Ended("put back", "The command was ended because the worker stopped.")
    assert databases(world) == ["sandbox_nordlys"]
    assert list((slow / "temporary").iterdir()) == []


def test_one_that_was_killed_leaves_a_copy_to_the_next_and_nobody_refreshes_beside_another(
    world: PostgresServer, slow: Path
) -> None:
    with subprocess.Popen(slowly(world, slow), start_new_session=True) as killed:
        while not (slow / "restored").exists():
            assert killed.poll() is None
        with pytest.raises(Refused, match="Another refresh of sandbox_nordlys is under way; nothing was touched"):
            refresh(world)
        os.killpg(killed.pid, signal.SIGKILL)
    left = databases(world)
    while world.sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"):
        pass

    refresh(world)

    assert len(left) == 2
    assert databases(world) == ["sandbox_nordlys", "sandbox_nordlys_before_20261123T120000"]
    assert list((slow / "temporary").iterdir()) == []


def test_those_at_the_sandbox_are_sent_away(world: PostgresServer) -> None:
    with psycopg.connect(f"host={world.sockets} user=keydesk dbname=sandbox_nordlys") as application:
        application.execute("SELECT 1")
        refresh(world)
        with pytest.raises(psycopg.OperationalError):
            application.execute("SELECT 1")

    assert len(world.sql("SELECT * FROM customer", "sandbox_nordlys")) == 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"role": "keydesk"}, "The source's login keydesk may write everything, as a superuser"),
        ({"target": "production", "rules": Rules(("*",), RULES.masks)}, "production is the source itself"),
        ({"target": "customers"}, "customers matches none of the allowed targets (sandbox_*)"),
        (
            {"rules": Rules(("sandbox_*",), (Rule("customer", "mail", "mail"),))},
            "The rule customer.mail matches no column",
        ),
    ],
    ids=["writer", "itself", "not allowed", "no column"],
)
def test_what_is_not_safe_is_refused_and_nothing_is_touched(
    world: PostgresServer, change: dict[str, object], sentence: str
) -> None:
    with pytest.raises(Refused) as refused:
        refresh(world, **change)  # type: ignore[arg-type]

    assert sentence in str(refused.value)
    assert databases(world) == ["sandbox_nordlys"]
    assert world.sql("SELECT * FROM old", "sandbox_nordlys") == []


@pytest.mark.parametrize("role", ["reader", "keydesk"])
def test_a_keydesk_store_is_no_source_whatever_is_masked_and_whoever_reads_it(world: PostgresServer, role: str) -> None:
    with pytest.raises(Refused) as refused:
        refresh(world, Rules(("sandbox_*",), (Rule("*", "*", "hash"),)), role=role, source="template_keydesk")

    assert str(refused.value) == (
        "The source template_keydesk is a Keydesk store: the hashes of keys, the mails and the bills in it belong into "
        "no sandbox. Name the database of your own application; a Keydesk to try things out with is a new store "
        "(`keydesk init`). Nothing was refreshed."
    )
    assert databases(world) == ["sandbox_nordlys"]


def test_a_keydesk_store_in_a_schema_beside_the_applications_tables_goes_into_no_sandbox_either(
    world: PostgresServer,
) -> None:
    world.sql("CREATE SCHEMA keys; CREATE TABLE keys.api_key (id int); CREATE TABLE schema_step (id int)", "production")
    assert refresh(world).columns == 4
    world.sql("CREATE TABLE keys.schema_step (id int)", "production")

    with pytest.raises(Refused, match="The source production is a Keydesk store"):
        refresh(world, now=NOON + timedelta(days=1))


def test_a_login_that_may_write_anything_is_refused_whichever_way_it_may(world: PostgresServer) -> None:
    world.sql("CREATE ROLE boss NOINHERIT")
    world.sql("ALTER ROLE reader NOINHERIT")
    world.sql("GRANT boss TO reader")
    world.sql("REVOKE TEMPORARY ON DATABASE production FROM PUBLIC", "production")
    for grant, revoke, may in (
        ("GRANT UPDATE ON crm.note TO reader", "REVOKE UPDATE ON crm.note FROM reader", "write crm.note;"),
        (
            "GRANT UPDATE (email) ON customer TO reader",
            "REVOKE UPDATE (email) ON customer FROM reader",
            "write public.customer;",
        ),
        (
            "GRANT DELETE ON customer TO boss",
            "REVOKE DELETE ON customer FROM boss",
            "write public.customer, as a member of boss;",
        ),
        (
            "GRANT CREATE ON SCHEMA public TO PUBLIC",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            "create in schema public (REVOKE CREATE ON schema public FROM PUBLIC);",
        ),
        (
            "GRANT CREATE ON DATABASE production TO boss",
            "REVOKE CREATE ON DATABASE production FROM boss",
            "create in database production (REVOKE CREATE ON database production FROM boss), as a member of boss;",
        ),
        (
            "GRANT pg_write_server_files TO boss",
            "REVOKE pg_write_server_files FROM boss",
            "write everything, as a member of pg_write_server_files;",
        ),
        ("ALTER ROLE reader CREATEROLE", "ALTER ROLE reader NOCREATEROLE", "make roles that write;"),
        (
            "ALTER ROLE boss SUPERUSER",
            "ALTER ROLE boss NOSUPERUSER",
            "write everything, as a superuser, as a member of",
        ),
    ):
        world.sql(grant, "production")
        with pytest.raises(Refused) as refused:
            refresh(world)
        world.sql(revoke, "production")
        assert str(refused.value).startswith(f"The source's login reader may {may}")

    world.sql("ALTER ROLE reader INHERIT")
    world.sql("GRANT TEMPORARY ON DATABASE production TO reader")
    assert refresh(world).columns == 4


def test_what_cannot_be_dropped_after_the_swap_is_told_and_dropped_by_a_later_refresh(
    world: PostgresServer, tmp_path: Path
) -> None:
    world.sql("CREATE ROLE maker LOGIN CREATEDB")
    world.sql('CREATE DATABASE "sandbox_new_before_20261101T120000" OWNER maker')
    rules = tmp_path / "rules.toml"
    rules.write_text('targets = ["sandbox_*"]\n[[mask]]\ntable = "customer"\ncolumn = "email"\nwith = "mail"\n')
    target = place(world, "sandbox_new", "maker").url
    call = ("--source", place(world, "production", "reader").url, "--target", target, "--mask", rules)
    command = Home(tmp_path, has_driver=True).keydesk

    with psycopg.connect(f"host={world.sockets} user=keydesk dbname=sandbox_new_before_20261101T120000"):
        said = command("refresher", "postgres", *call, "--keep", "0", "--programs", world.binaries)

    assert (said.status, said.err) == (0, "")
    assert said.out == (
        "sandbox_new is fresh, 1 column masked; "
        "not dropped, to be tried by the next refresh: sandbox_new_before_20261101T120000.\n"
    )
    assert refresh(world, target="sandbox_new", keep=0) == Refreshed(columns=4, kept=())
    assert databases(world) == ["sandbox_new", "sandbox_nordlys"]


def test_a_source_that_ends_idle_transactions_is_copied_all_the_same(world: PostgresServer) -> None:
    world.sql("ALTER ROLE reader SET idle_in_transaction_session_timeout = '1ms'")

    assert refresh(world).columns == 4


def test_large_objects_are_copied_as_they_are_when_the_login_may_read_each(world: PostgresServer) -> None:
    world.sql("SELECT lo_from_bytea(4711, 'ase@nordlys.example')", "production")
    with pytest.raises(StoreUnavailable, match="permission denied for large object 4711"):
        refresh(world)
    world.sql("GRANT SELECT ON LARGE OBJECT 4711 TO reader", "production")
    refresh(world)

    assert world.sql("SELECT lo_get(4711)", "sandbox_nordlys") == [(b"ase@nordlys.example",)]


def test_a_mask_that_breaks_a_rule_of_the_table_leaves_the_sandbox_and_no_copy(world: PostgresServer) -> None:
    with pytest.raises(StoreUnavailable) as error:
        refresh(world, Rules(("sandbox_*",), (Rule("customer", "email", "fixed", "one@for.all"),)))

    assert 'could not create unique index "customer_email_key"' in str(error.value)
    assert databases(world) == ["sandbox_nordlys"]


@pytest.mark.parametrize("url", ["host=x dbname=y", "postgresql://a@b/", "postgresql://a:secret@b/c"])
def test_a_place_is_a_url_without_a_password(url: str) -> None:
    with pytest.raises(KeydeskError) as wrong:
        _ = Place(url).name

    assert "secret" not in str(wrong.value)


def test_the_command_says_what_it_did(world: PostgresServer, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('targets = ["sandbox_*"]\n[[mask]]\ntable = "customer"\ncolumn = "email"\nwith = "mail"\n')
    call = ("--source", place(world, "production", "reader").url, "--target", place(world, "sandbox_nordlys").url)

    said = Home(tmp_path, has_driver=True).keydesk(
        "refresher", "postgres", *call, "--mask", rules, "--keep", "0", "--programs", world.binaries
    )

    assert (said.status, said.err) == (0, "")
    assert said.out == "sandbox_nordlys is fresh, 1 column masked.\n"
    assert databases(world) == ["sandbox_nordlys"]
