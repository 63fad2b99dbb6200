"""What does `keydesk invoice export` write for accounting and access points, and when does it write nothing?

The examples' twelve companies in five currencies are invoiced for October 2026 and exported by the installed command.
"""

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command import Home, Said, as_an_ordinary_owner, copied

from store import invoices
from store.tables import Company, Event, Integration, IntegrationSpan, InvoiceLine

VALIDATOR = Path(__file__).parent / "ubl" / "validator.py"
SINCE = datetime(2026, 1, 1, 12, tzinfo=UTC)
FINAL = datetime(2026, 11, 4, 5, tzinfo=UTC)
SELLER = {
    "NAME": "Fjord Software AS",
    "ORGANISATION_NUMBER": "987654325",
    "VAT_ID": "NO987654325MVA",
    "ENDPOINT": "0192:987654325",
    "STREET": "Kaigata 1",
    "CITY": "Bergen",
    "POSTAL_CODE": "5003",
    "COUNTRY": "NO",
    "ACCOUNT": "NO93 8601 1117 947",
    "TAX_REGISTRATION": "Foretaksregisteret",
}
SUMMARY = "12 documents, 12 lines: DKK 262.50, EUR 200.07, ISK 7,118, NOK 1,125.00, SEK 715.00 with VAT.\n"


@pytest.fixture(scope="module")
def invoiced(furnished: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = copied(furnished, tmp_path_factory.mktemp("invoiced") / "home")
    with home.opened():
        Company.update(created_at=SINCE).execute()
        for company in Company.select():
            access = Integration.create(company=company, code="api_access", enabled_at=SINCE)
            IntegrationSpan.create(integration=access, started_at=SINCE, ended_at=None)
        ids = [company.id for company in Company.select().order_by(Company.id)]
        invoices.draft_months(ids, "2026-10", FINAL)
        invoices.finalise_months(ids, "2026-10", FINAL)
        invoices.draft_months(ids[:1], "2026-11", datetime(2026, 12, 1, 5, tzinfo=UTC))
    (home.path / ".config" / "keydesk" / "keydesk.toml").touch()
    return home


@pytest.fixture
def books(invoiced: Home, tmp_path: Path) -> Home:
    return copied(invoiced, tmp_path / "home")


def export(home: Home, kind: str, *arguments: str | Path, month: str = "2026-10", **seller: str) -> Said:
    """`**seller` takes the place of a setting of the seller."""
    settings = {f"KEYDESK_SELLER_{name}": value for name, value in (SELLER | seller).items()}
    return home.keydesk("invoice", "export", "--format", kind, "--month", month, *arguments, **settings)


def states(home: Home) -> set[str]:
    with home.opened():
        return {line.transfer for line in InvoiceLine.select()}


def test_every_company_with_an_endpoint_has_an_e_invoice_that_holds_against_all_rules_and_comes_out_the_same_again(
    books: Home, tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        said = export(books, "ubl", "--out", tmp_path / folder)
    assert said == Said(
        0,
        "",
        "11 documents, 11 lines: DKK 262.50, EUR 171.07, ISK 7,118, NOK 1,125.00, SEK 715.00 with VAT.\n"
        "Left out, as no endpoint for e-invoices is known of them: kontor-6002.\n",
    )

    files = sorted((tmp_path / "one").iterdir())
    assert [file.name for file in files][:3] == [
        "dansk-3001-2026-10.xml", "fjell-1001-2026-10.xml", "fjell-1002-2026-10.xml",
    ]  # fmt: skip
    assert [file.read_bytes() for file in files] == [(tmp_path / "two" / file.name).read_bytes() for file in files]
    done = subprocess.run([sys.executable, str(VALIDATOR), *map(str, files)], capture_output=True, check=True)
    validated = json.loads(done.stdout)
    assert validated["layers"][:2] == ["UBL 2.1", "EN 16931"]
    assert {file: failed for file, failed in validated["failed"].items() if failed} == {}
    assert len(validated["failed"]) == 11


def test_rows_and_json_say_the_same_amounts(books: Home) -> None:
    rows, told = export(books, "csv"), export(books, "json")

    assert (rows.status, rows.err) == (told.status, told.err) == (0, SUMMARY)
    assert rows.out.count("\n") == 13
    documents = json.loads(told.out)["documents"]
    assert [document["number"] for document in documents] == re.findall(r"(?m)^\S+?-2026-10(?=,)", rows.out)
    assert [document["net_minor"] for document in documents] == [
        int(row["net_minor"]) for row in csv.DictReader(io.StringIO(rows.out))
    ]


def test_what_is_written_is_marked_with_the_digest_of_the_file_and_is_then_not_new(books: Home, tmp_path: Path) -> None:
    file = tmp_path / "october.csv"

    said = export(books, "csv", "--mark", "--out", file)

    assert (said.status, said.err) == (0, SUMMARY + "12 lines marked as transferred.\n")
    with books.opened():
        (event,) = Event.select().where(Event.act == "invoice.transfer")
        assert event.after == {
            "format": "csv",
            "documents": 12,
            "lines": 12,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
    assert export(books, "csv", "--new").err == "0 documents, 0 lines.\n"
    assert export(books, "csv").out == file.read_bytes().decode().replace("\r\n", "\n")


def test_a_restored_store_hands_nothing_over_as_new_until_it_is_released(books: Home, tmp_path: Path) -> None:
    file = tmp_path / "october.csv"
    assert books.keydesk("restore", "--hold").status == 0

    for arguments in (("--mark",), ("--new",), ("--new", "--mark")):
        refused = export(books, "csv", "--out", file, *arguments)
        assert (refused.status, refused.err.split(" at ")[0]) == (1, "keydesk: This store was restored")
    assert not file.exists()
    assert states(books) == {"to-transfer"}

    assert export(books, "csv").status == 0
    books.keydesk("restore", "--release")
    assert export(books, "csv", "--new", "--mark").status == 0


def test_several_files_are_marked_with_the_digest_of_their_list(books: Home, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()

    export(books, "ubl", "--mark", "--out", out)

    names = sorted(file.name for file in out.iterdir())
    listed = subprocess.run(["sha256sum", *names], cwd=out, capture_output=True, check=True)
    with books.opened():
        (event,) = Event.select().where(Event.act == "invoice.transfer")
    assert event.after["sha256"] == hashlib.sha256(listed.stdout).hexdigest()


def test_swedish_accounting_takes_what_is_in_kronor(books: Home, tmp_path: Path) -> None:
    said = export(books, "sie", "--out", tmp_path)

    assert said.err.startswith(
        "2 documents, 2 lines: SEK 715.00 with VAT.\nLeft out, as SIE takes SEK only: dansk-3001, "
    )
    written = (tmp_path / "invoices-2026-10.si").read_bytes().decode("cp437")
    assert written.count("#VER") == 2
    assert '#VER "" "" 20261104 "skog-2002-2026-10 \\"Hörnan\\" Bageri, Kök & Kafé HB"\r\n{\r\n' in written


def test_a_seller_of_whom_something_is_missing_is_told_in_one_sentence(books: Home, tmp_path: Path) -> None:
    said = export(books, "ubl", "--out", tmp_path, VAT_ID="", STREET="", ENDPOINT="0192:987654326")

    assert said.status == 1
    assert said.err.startswith(
        "keydesk: Nothing was exported: [seller] in the settings needs these, missing or wrong there: "
        "street; vat_id; endpoint: “0192:987654326” is not right: "
    )
    assert said.err.count("\n") == 1


def test_a_company_of_whom_something_is_missing_holds_up_all_e_invoices_and_is_named(
    books: Home, tmp_path: Path
) -> None:
    known(books, tmp_path, "0192:987654325,,")
    out = tmp_path / "out"
    out.mkdir()

    assert export(books, "ubl", "--out", out, "--mark") == Said(
        1,
        "",
        "keydesk: Nothing was exported: an e-invoice needs these of a company, missing or wrong here; import them.\n"
        "kontor-6002: country; billing_reference\n",
    )
    assert list(out.iterdir()) == []
    assert states(books) == {"to-transfer"}


def known(books: Home, tmp_path: Path, rest: str) -> None:
    """The main system tells endpoint, country and billing reference of a company whose month is final."""
    new = tmp_path / "new.csv"
    new.write_text(f"id,name,currency,endpoint,country,billing_reference\nkontor-6002,Kontor,EUR,{rest}\n", "utf-8")
    assert books.keydesk("import", new).status == 0


def test_what_an_e_invoice_needs_and_was_not_known_when_the_month_became_final_may_come_later(
    books: Home, tmp_path: Path
) -> None:
    known(books, tmp_path, "0192:987654325,NO,PO-9")

    said = export(books, "ubl", "--company", "kontor-6002")

    assert (said.status, said.err) == (0, "1 document, 1 line: EUR 29.00 with VAT.\n")
    assert ">987654325</cbc:EndpointID>" in said.out
    rows = export(books, "csv", "--company", "kontor-6002").out
    assert "Kontor," not in rows  # what was known then was enough for these


def test_one_company_without_an_endpoint_is_told_what_it_lacks(books: Home) -> None:
    said = export(books, "ubl", "--company", "kontor-6002")

    assert (said.status, said.out) == (1, "")
    assert said.err.endswith("\nkontor-6002: endpoint\n")


def test_a_file_that_cannot_be_written_marks_nothing(books: Home, tmp_path: Path) -> None:
    out = tmp_path / "closed"
    out.mkdir(mode=0o500)

    said = books.keydesk(
        "invoice",
        "export",
        "--format",
        "csv",
        "--month",
        "2026-10",
        "--out",
        out,
        "--mark",
        before=as_an_ordinary_owner,
    )

    assert said.status == 1
    assert "cannot be used: Permission denied." in said.err
    assert states(books) == {"to-transfer"}


def test_drafts_say_that_they_are_and_are_neither_marked_nor_booked(books: Home) -> None:
    waits = "Nothing of 2026-11 can be exported yet. Not final yet, and left out: fjell-1001; --drafts shows drafts.\n"
    assert export(books, "csv", month="2026-11") == Said(1, "", f"keydesk: {waits}")

    rows = export(books, "csv", "--drafts", month="2026-11").out.splitlines()
    assert [row[: row.index(",fjell-1001,")] for row in rows[1:]] == ["fjell-1001-2026-11-DRAFT,invoice,draft"]
    assert "DRAFT. Not an invoice" in export(books, "ubl", "--drafts", month="2026-11").out
    for arguments in (("csv", "--drafts", "--mark"), ("sie", "--drafts")):
        assert export(books, *arguments, month="2026-11").err.startswith(
            "keydesk: Drafts may still change and cannot be "
        )


def test_no_company_s_id_leads_out_of_the_folder(books: Home, tmp_path: Path) -> None:
    with books.opened():
        Company.update(external_id="../../æ /x").where(Company.external_id == "fjell-1001").execute()
    out = tmp_path / "out"
    out.mkdir()

    export(books, "ubl", "--company", "../../æ /x", "--out", out)
    export(books, "csv", "--company", "../../æ /x", "--out", out)

    assert sorted(file.name for file in out.iterdir()) == [
        "%2E.%2F..%2F%C3%A6%20%2Fx-2026-10.xml",
        "invoices-2026-10-%2E.%2F..%2F%C3%A6%20%2Fx.csv",
    ]


def test_several_files_need_a_folder(books: Home, tmp_path: Path) -> None:
    assert export(books, "ubl").err == "keydesk: These are 11 files; name a folder for them with --out.\n"
    file = tmp_path / "file.xml"
    assert export(books, "ubl", "--out", file).err == (
        f"keydesk: These are 11 files, and {file} is no folder; make it first, or name another.\n"
    )
    assert not file.exists()
