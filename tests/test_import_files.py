"""What may stand in a file that is imported, and what is said of each thing that may not?"""

import csv
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import import_files
from store.import_files.columns import CompanyRow, LicenceRow, UserRow
from store.import_files.incoming import Incoming
from store.rules.addresses import Address


def read(directory: Path, **files: str | bytes) -> Incoming:
    """Read files named like users_csv."""
    paths = []
    for name, text in files.items():
        path = directory / name.replace("_", ".")
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        paths.append(path)
    return import_files.read(paths, "Europe/Oslo")


def faults(directory: Path, **files: str | bytes) -> list[str]:
    return read(directory, **files).faults()


COMPANIES = "id,name,currency\n"
USERS = "company,id,name,email,active,licensed,rights\n"
LICENCES = "company,from,licences\n"
UNKNOWN_HEADER = (
    "x.csv:1: its first line is no header that is known here; write one of: "
    "id,name,currency,time_zone,language,billing_reference,price_list,vat_category,vat_rate,active,"
    "organisation_number,vat_id,endpoint,street,city,postal_code,country,invoice_email; "
    "company,id,name,email,active,licensed,rights; company,from,licences."
)
NOT_CLOSED = "a quotation mark is opened here and not closed; close it, or write it twice within a quoted field."
MISPLACED = "text follows a closing quotation mark; quote the whole field and write a mark within it twice."
NO_AT_SIGN = "“nobody” is not an email address that can be used: An email address must have an @-sign."
VAT_ID = "“987654325” is not a VAT number; begin with the country's two letters, as in NO987654325MVA."
ORGANISATION = "“987_654” is not an organisation number; write its digits and letters, such as 987654325."
ENDPOINT = "is not an address for e-invoices; write scheme, colon and number, like 0192:987654325."
NORWEGIAN = "an organisation number of 9 digits with its check digit, such as 987654325"
TOO_LARGE = "a.json:1: it holds a number or a nesting that is too large; correct it."


def test_a_file_is_told_by_its_header_not_by_its_name_and_columns_may_come_in_any_order(tmp_path: Path) -> None:
    incoming = read(
        tmp_path, a_txt="Name,ID,Currency\n名古屋 株式会社,c1,EUR\n", b_dat="from,company,licences\n2026-01-01,c1,4\n"
    )

    assert incoming.faults() == []
    assert incoming.companies == [
        CompanyRow((0, 2), "c1", "名古屋 株式会社", "EUR", None, None, None, None, None, None, None)
    ]
    assert incoming.licences == [LicenceRow((1, 2), "c1", date(2026, 1, 1), 4)]


def test_a_column_that_is_missing_says_nothing_and_an_empty_cell_says_the_default(tmp_path: Path) -> None:
    incoming = read(
        tmp_path,
        companies_csv="id,name,currency,time_zone,vat_rate,active\nc1,Åse & Ø,NOK,,,\n",
        users_csv="company,id,name,email,rights\nc1,u1,Bo,,\n",
    )

    assert incoming.companies == [
        CompanyRow((0, 2), "c1", "Åse & Ø", "NOK", "Europe/Oslo", None, None, None, None, "25", True)
    ]
    assert incoming.users == [UserRow((1, 2), "c1", "u1", "Bo", Address("", ""), None, None, ())]


def test_quotes_commas_semicolons_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    row = 'c1,u1,"Bo ""Bosse"" Dahl, cand.mag.",Bo@Blå.no,no,0, a ;b;a;'

    incoming = read(tmp_path, users_csv=f"\ufeff{USERS.strip()}\r\n{row}\r\n")

    address = Address("Bo@blå.no", "Bo@xn--bl-zia.no")
    assert incoming.users == [
        UserRow((0, 2), "c1", "u1", 'Bo "Bosse" Dahl, cand.mag.', address, False, False, ("a", "b"))
    ]


def test_a_spreadsheet_that_separates_with_semicolons_is_read_too(tmp_path: Path) -> None:
    text = 'company;id;name;rights\nc1;u1;"Dahl, Bo";"read;write"\n'

    assert read(tmp_path, users_csv=text).users == [
        UserRow((0, 2), "c1", "u1", "Dahl, Bo", None, None, None, ("read", "write"))
    ]


def test_empty_lines_and_lines_of_commas_are_passed_over(tmp_path: Path) -> None:
    incoming = read(tmp_path, companies_csv="id,name,currency\n\n,,\nc1,One,NOK\n")

    assert (incoming.faults(), [row.place for row in incoming.companies]) == ([], [(0, 4)])


@pytest.mark.parametrize(
    ("written", "start"),
    [
        ("2026-02-28", date(2026, 2, 28)),
        ("2026-11-01T09:00:00+01:00", datetime(2026, 11, 1, 8, tzinfo=UTC)),
        ("2026-11-01 09:00Z", datetime(2026, 11, 1, 9, tzinfo=UTC)),
        ("2026-11-01T09:00:00.75-0330", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
    ],
)
def test_licences_start_with_a_local_day_or_at_an_instant_with_its_offset(
    tmp_path: Path, written: str, start: date
) -> None:
    assert read(tmp_path, l_csv=f"{LICENCES}c1,{written},7\n").licences == [LicenceRow((0, 2), "c1", start, 7)]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("c1,2026-02-30,1", "from: “2026-02-30” is a date or time that does not exist; correct it."),
        ("c1,2026-11-01T24:10Z,1", "from: “2026-11-01T24:10Z” is a date or time that does not exist; correct it."),
        (
            "c1,01.02.2026,1",
            "from: “01.02.2026” is not a date; write one like 2026-11-01, or 2026-11-01T09:00:00+01:00.",
        ),
        (
            "c1,2026-11-01T09:00,1",
            "from: “2026-11-01T09:00” has no offset from UTC; end it with Z or one like +01:00, or write a day only.",
        ),
        ("c1,0026-11-01,1", "from: “0026-11-01” is outside 1971 to 2199; correct it."),
        ("c1,,1", "from: it is empty, and it is needed."),
        ("c1,2026-11-01,-1", "licences: “-1” is not a number of licences; write a whole number from 0 on."),
        ("c1,2026-11-01,1.5", "licences: “1.5” is not a number of licences; write a whole number from 0 on."),
        ("c1,2026-11-01,12345678", "licences: “12345678” is not a number of licences; write a whole number from 0 on."),
        ("c1,2026-11-01", "it has 2 fields, and the header has 3; make them equal."),
        ("c1,2026-11-01,1,x", "it has 4 fields, and the header has 3; make them equal."),
    ],
)
def test_a_wrong_licence_is_told_with_line_and_field(tmp_path: Path, row: str, fault: str) -> None:
    colon = f"licences.csv:3: {fault}"

    assert faults(tmp_path, licences_csv=f"{LICENCES}c0,2026-01-01,1\n{row}\n") == [colon]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (",u,Bo,,,,", "company: it is empty, and it is needed."),
        ("c,u,  ,,,,", "name: it is empty, and it is needed."),
        ("c,u,Bo\x07,,,,", "name: it holds characters that cannot be seen (‹0007›); remove them."),
        ("c,u,Bo\x00,,,,", "name: it holds characters that cannot be seen (‹0000›); remove them."),
        ('c,u,"Bo\nDahl",,,,', "name: it holds characters that cannot be seen (‹000A›); remove them."),
        ("c,u,\u202eoB,,,,", "name: it holds characters that cannot be seen (‹202E›); remove them."),
        (f"c,{'u' * 65},Bo,,,,", "id: it has 65 characters; shorten it to at most 64."),
        (f"c,u,{'B' * 129},,,,", "name: it has 129 characters; shorten it to at most 128."),
        (
            "c,u,Bo,bo.example.com,,,",
            "email: “bo.example.com” is not an email address that can be used: An email address must have an @-sign.",
        ),
        (
            "c,u,Bo,b..o@example.com,,,",
            (
                "email: “b..o@example.com” is not an email address that can be used: "
                "An email address cannot have two periods in a row."
            ),
        ),
        ("c,u,Bo,,maybe,,", "active: “maybe” is neither yes nor no; write one of them."),
        ("c,u,Bo,,,2,", "licensed: “2” is neither yes nor no; write one of them."),
        ("c,u,Bo,,,,read;wri\x1bte", "rights: it holds characters that cannot be seen (‹001B›); remove them."),
    ],
)
def test_a_wrong_user_is_told_with_line_and_field(tmp_path: Path, row: str, fault: str) -> None:
    assert faults(tmp_path, users_csv=f"{USERS}{row}\n") == [f"users.csv:2: {fault}"]


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("currency", "nok", "“nok” is not a currency; write three capital letters, such as NOK."),
        (
            "time_zone",
            "Mars/Phobos",
            "'Mars/Phobos' is not a time zone; write one like Europe/Oslo, from the IANA list.",
        ),
        ("language", "english", "“english” is not a language; write a code such as en or nb."),
        ("vat_category", "X", "“X” is not a VAT category; use one of S, Z, E, AE, K, G, O, L, M."),
        ("vat_rate", "100.01", "“100.01” is not a percentage; write 0 to 100, such as 25 or 25.5."),
        ("vat_rate", '"25,5"', "“25,5” is not a percentage; write 0 to 100, such as 25 or 25.5."),
        ("country", "Norway", "“Norway” is not a country; write two capital letters, such as NO."),
        ("vat_id", "987654325", VAT_ID),
        ("organisation_number", "987_654", ORGANISATION),
        ("endpoint", "987654325", f"“987654325” {ENDPOINT}"),
        ("endpoint", "0192:987654321", f"“0192:987654321” is not right: in the scheme 0192 stands {NORWEGIAN}."),
        (
            "invoice_email",
            "nobody",
            "“nobody” is not an email address that can be used: An email address must have an @-sign.",
        ),
    ],
)
def test_a_wrong_company_is_told_with_line_and_field(tmp_path: Path, column: str, value: str, fault: str) -> None:
    cells = {"id": "c1", "name": "One", "currency": "NOK", column: value}

    text = f"{','.join(cells)}\n{','.join(cells.values())}\n"

    assert faults(tmp_path, companies_csv=text) == [f"companies.csv:2: {column}: {fault}"]


def test_a_currency_in_which_nothing_can_be_billed_is_refused_with_those_that_can(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, companies_csv=f"{COMPANIES}c1,One,KWD\n")

    assert fault.startswith("companies.csv:2: currency: 'KWD' is not a currency Keydesk bills in; use one of AUD, BGN,")


def test_every_fault_of_every_file_is_told_in_the_order_of_the_files(tmp_path: Path) -> None:
    assert faults(
        tmp_path,
        companies_csv=f"{COMPANIES}c1,,nok\nc2,Two,SEK\nc2,Too,SEK\n",
        users_csv=f"{USERS}c1,u1,Bo,,,,\nc1,u1,Bo,x,,,\nc1,u1,Bo,,,,\n",
    ) == [
        "companies.csv:2: name: it is empty, and it is needed.",
        "companies.csv:2: currency: “nok” is not a currency; write three capital letters, such as NOK.",
        "companies.csv:4: id: “c2” stands in companies.csv:3 already; keep one.",
        "users.csv:3: email: “x” is not an email address that can be used: An email address must have an @-sign.",
        "users.csv:4: id: “u1” stands in users.csv:2 already; keep one.",
    ]


def test_a_header_with_unknown_missing_or_doubled_columns_is_refused_and_says_what_was_meant(tmp_path: Path) -> None:
    assert faults(tmp_path, users_csv="comapny,id,name,name,emial,shoe\n") == [
        "users.csv:1: comapny: this column is not known; did you mean “company”?",
        "users.csv:1: name: this column is there twice; keep one.",
        "users.csv:1: emial: this column is not known; did you mean “email”?",
        "users.csv:1: shoe: this column is not known; users have company, id, name, email, active, licensed, rights.",
        "users.csv:1: company: this column is missing; users need it.",
    ]


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"", "x.csv:1: it is empty; a CSV begins with a header."),
        (b" \n\n", "x.csv:1: it is empty; a CSV begins with a header."),
        ("id,name".encode("utf-16"), "x.csv:1: it is written in UTF-16; save it as CSV in UTF-8."),
        (b"id,n\xe5me\n", "x.csv:1: the byte 0xE5 is not UTF-8; save the file in UTF-8."),
        (b'"id,name\n', "x.csv:1: it does not begin with the header of a CSV; see the examples."),
        (b"colour,shape\nred,round\n", UNKNOWN_HEADER),
    ],
)
def test_what_is_no_csv_in_utf8_is_refused_at_its_first_line(tmp_path: Path, raw: bytes, fault: str) -> None:
    assert faults(tmp_path, x_csv=raw) == [fault]


def test_each_line_that_is_not_utf8_is_told_with_its_byte_and_field(tmp_path: Path) -> None:
    raw = COMPANIES.encode() + b"c1,\xc5se,NOK\nc2,Two,NOK\nc3,Bl\xe5,NOK\n"

    assert faults(tmp_path, companies_csv=raw) == [
        "companies.csv:2: name: the byte 0xC5 is not UTF-8; save the file in UTF-8.",
        "companies.csv:4: name: the byte 0xE5 is not UTF-8; save the file in UTF-8.",
    ]


def test_a_mark_that_is_not_closed_is_told_where_it_was_opened(tmp_path: Path) -> None:
    assert faults(tmp_path, companies_csv=f'{COMPANIES}c1,One,NOK\nc2,"Two,NOK\nc3,Three,NOK\n') == [
        f"companies.csv:3: {NOT_CLOSED}"
    ]


def test_a_mark_within_a_field_is_told_and_the_lines_after_it_are_still_read(tmp_path: Path) -> None:
    assert faults(tmp_path, companies_csv=f'{COMPANIES}c1,"One "AS"",NOK\nc3,,NOK\n') == [
        f"companies.csv:2: {MISPLACED}",
        "companies.csv:3: name: it is empty, and it is needed.",
    ]


def test_a_field_of_ten_megabytes_is_refused_by_name_without_being_kept(tmp_path: Path) -> None:
    assert faults(tmp_path, companies_csv=f"{COMPANIES}c1,{'x' * 10_000_000},NOK\n") == [
        "companies.csv:2: name: the line is longer than 100,000 bytes here; shorten it."
    ]


def test_a_quoted_field_that_runs_over_ten_megabytes_of_lines_is_refused_where_it_began(tmp_path: Path) -> None:
    lines = "x" * 99 + "\n"

    assert faults(tmp_path, companies_csv=f'{COMPANIES}c1,"{lines * 100_000}",NOK\n') == [
        f"companies.csv:2: {NOT_CLOSED}"
    ]


def test_a_file_that_is_not_there_is_a_fault_like_any_other(tmp_path: Path) -> None:
    missing = import_files.read([tmp_path / "no.csv", tmp_path], "Europe/Oslo")

    assert missing.faults() == [
        "no.csv: it cannot be read: No such file or directory.",
        f"{tmp_path.name}: it cannot be read: Is a directory.",
    ]


def test_reading_stops_at_a_thousand_faults(tmp_path: Path) -> None:
    assert len(faults(tmp_path, companies_csv=COMPANIES + ",,\n,x,\n" * 2000)) == 1000


def test_json_holds_the_same_in_lists(tmp_path: Path) -> None:
    whole = {
        "users": [{"company": 7, "id": "u1", "name": "Bo", "email": None, "licensed": False, "rights": ["a", "b"]}],
        "companies": [{"id": 7, "name": "Sju", "currency": "SEK", "vat_rate": 12.5}],
        "licences": [{"company": "7", "from": "2026-01-01", "licences": 3}],
    }

    incoming = read(tmp_path, all_json=json.dumps(whole))

    assert incoming.faults() == []
    assert incoming.companies == [CompanyRow((1, 0), "7", "Sju", "SEK", None, None, None, None, None, "12.5", None)]
    assert incoming.users == [UserRow((2, 0), "7", "u1", "Bo", Address("", ""), None, False, ("a", "b"))]
    assert incoming.licences == [LicenceRow((3, 0), "7", date(2026, 1, 1), 3)]


def test_faults_in_json_are_told_with_the_path_to_them(tmp_path: Path) -> None:
    users = [
        {"company": "c", "id": "u1", "name": "Bo", "emial": "bo@example.com"},
        {"company": "c", "id": "u2", "name": 5, "active": "yes", "rights": ["a;b"]},
        {"company": "c", "id": True},
        "Bo",
        {"company": "c", "id": "u1", "name": "Bo"},
        {"company": "c", "id": "u1", "name": "Bo"},
    ]

    assert faults(tmp_path, all_json=json.dumps({"users": users, "licence": []})) == [
        "all.json:1: licence: this list is not known; did you mean “licences”?",
        "all.json: users[0].emial: this name is not known; did you mean “email”?",
        "all.json: users[1].name: text is needed here.",
        "all.json: users[1].active: true or false is needed here.",
        "all.json: users[1].rights: a list of texts without semicolons is needed here.",
        "all.json: users[2].id: text is needed here.",
        "all.json: users[2].name: it is missing, and it is needed.",
        "all.json: users[3]: an object is needed.",
        "all.json: users[5].id: “u1” stands in all.json: users[4] already; keep one.",
    ]


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"[]", "a.json:1: an object with companies, users or licences is needed."),
        (b'{\n"users": [,]}', "a.json:2: it is not JSON from column 11 on: Expecting value."),
        (b'{"users":\n[{"name":"\xe5"}]}', "a.json:2: the byte 0xE5 is not UTF-8; save the file in UTF-8."),
        (b'{"users": {}}', "a.json:1: users: a list is needed."),
        (b'{"users": [], "users": []}', "a.json:1: an object has the name “users” twice; keep one."),
        (b'{"users": NaN}', "a.json:1: NaN is not a number of JSON; correct it."),
        (b'{"users": ' + b"[" * 200_000, TOO_LARGE),
        (
            b'{"users": ' + b"9" * 10_000 + b"}",
            "a.json:1: it holds a number or a nesting that is too large; correct it.",
        ),
    ],
)
def test_what_is_no_json_is_refused_in_one_sentence(tmp_path: Path, raw: bytes, fault: str) -> None:
    assert faults(tmp_path, a_json=raw) == [fault]


def test_the_progress_is_told_in_bytes_and_ends_at_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(COMPANIES + "".join(f"c{number},One,NOK\n" for number in range(2000)))
    said: list[tuple[str, int, int]] = []

    import_files.read([path], "Europe/Oslo", lambda *words: said.append(words))

    size = path.stat().st_size
    assert said == [("reading c.csv", size, size), ("reading c.csv", size, size)]


NASTY = st.text(
    st.one_of(st.sampled_from("å,\"; ø'ß名=@\t\n"), st.characters(exclude_categories=("Cs",))), min_size=1, max_size=20
)


@given(names=st.lists(NASTY, min_size=1, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_name_that_python_writes_as_csv_comes_back_or_is_refused_on_its_line(
    tmp_path: Path, names: list[str]
) -> None:
    written = io.StringIO()
    rows = csv.writer(written)
    rows.writerow(["id", "name", "currency"])
    for number, name in enumerate(names):
        rows.writerow([number, name, "NOK"])

    incoming = read(tmp_path, companies_csv=written.getvalue())

    taken = {row.id: row.name for row in incoming.companies}
    assert len(taken) + len(incoming.faults()) == len(names)
    for number, name in enumerate(names):
        if name.isascii() and name.isprintable() and any(character.isalnum() for character in name):
            assert taken[str(number)] == name.strip()
