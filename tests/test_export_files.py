"""What stands in the CSV, JSON and SIE files of a month, and what is refused rather than written wrong?"""

import csv
import hashlib
import io
import json
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from billing_documents import BUYERS, NORWEGIAN, SWEDISH, credit_note, document, line, worked_months
from hypothesis import given
from hypothesis import strategies as st

from store.errors import Refused
from store.exports import csv_file, json_file, parties, sie
from store.exports.document import InvoiceDocument, Party

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "invoice.schema.json").read_text(encoding="utf-8"))
ACCOUNTS = sie.Accounts("1510", "3041", "3042", "3043", "2611", "", "EUBAS97", "")
KEYS = line(line_key="extra_key", quantity="3", unit_price="49.00", gross_minor=14700, net_minor=14700)
USAGE = line(line_key="overuse_data", quantity="1", unit_price="60.00", gross_minor=6000, net_minor=6000)


# CSV


def test_a_row_has_local_days_minor_units_and_decimal_text() -> None:
    october = line(line_key="adj:2026-10:access", quantity="-1", gross_minor=-50, net_minor=-50, month="2026-10")
    written = csv_file.write([document(replace(october, unit_price="0.50", reason="adjustment", unit="adjustment"))])

    assert written.decode() == (
        "document,kind,state,company,name,billing_reference,issued_on,line_key,revision,description,quantity,unit,"
        "unit_price,gross,discount,net,gross_minor,discount_minor,net_minor,currency,vat_category,vat_rate,"
        "service_from,service_to,price_list,reason,corrects\r\n"
        "nordlys-2026-11,invoice,final,nordlys,Nordlys Æventyr AS,PO-7,2026-12-04,adj:2026-10:access,1,"
        '"API access, 10 licensed users",-1,adjustment,0.50,-0.50,0.00,-0.50,-50,0,-50,NOK,S,25,2026-10-01,2026-10-31,'
        "API NOK v1,adjustment,\r\n"
    )


@given(st.text(max_size=20), st.text(max_size=20), st.integers(-(10**12), 10**12))
def test_any_text_and_amount_come_back_from_the_rows_and_no_text_is_a_formula(
    name: str, reference: str, net: int
) -> None:
    told = document(
        line(net_minor=net, gross_minor=net),
        buyer="NO",
        billing_reference=reference,
    )
    written = csv_file.write([replace(told, buyer=replace(told.buyer, name=name))])

    (row,) = csv.DictReader(io.StringIO(written.decode(), newline=""))
    assert row["name"].removeprefix("'") == name.removeprefix("'")
    assert int(row["net_minor"]) == net
    assert Decimal(row["net"]) * 100 == net
    for cell in (row["name"], row["billing_reference"]):
        assert cell.lstrip(" ")[:1] not in {"=", "@", "\t", "\r"}
        assert cell[:1] not in {"+", "-"} or re.fullmatch(r"[+-][0-9]+(?:[.,][0-9]+)?", cell)


def test_a_draft_is_marked_in_each_row() -> None:
    rows = csv.DictReader(io.StringIO(csv_file.write([document(line(), KEYS, is_draft=True)]).decode()))

    assert [row["state"] for row in rows] == ["draft", "draft"]


# JSON


def faults(schema: dict[str, Any], value: Any, path: str = "$") -> list[str]:
    """Where a value is not what the schema says, for the words that the schema uses."""
    if "$ref" in schema:
        return faults(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], value, path)
    assert schema.keys() <= {
        "$schema", "$defs", "title", "description", "type", "additionalProperties", "required", "properties", "items",
        "pattern", "enum", "const",
    }  # fmt: skip
    types = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None)}
    named = schema.get("type", [])
    allowed = tuple(types[name] for name in ([named] if isinstance(named, str) else named))
    found = []
    if (allowed and (not isinstance(value, allowed) or isinstance(value, bool))) or (
        value not in schema.get("enum", [value]) or value != schema.get("const", value)
    ):
        found.append(f"{path}: {value!r}")
    if "pattern" in schema and not re.search(schema["pattern"], str(value)):
        found.append(f"{path}: {value!r} is not like {schema['pattern']}")
    if isinstance(value, dict):
        properties = schema["properties"]
        found += [f"{path}.{name} is missing" for name in schema["required"] if name not in value]
        found += [f"{path}.{name} is not known" for name in value if name not in properties]
        for name, part in value.items():
            found += faults(properties.get(name, {}), part, f"{path}.{name}")
    if isinstance(value, list):
        for number, part in enumerate(value):
            found += faults(schema["items"], part, f"{path}[{number}]")
    return found


def test_every_worked_month_and_its_credit_is_as_the_schema_says() -> None:
    months = list(worked_months())
    written = json.loads(json_file.write([*months, *map(credit_note, months)], "2026-11"))

    assert faults(SCHEMA, written) == []
    assert len(written["documents"]) == 62


def test_the_schema_notices_what_is_missing_unknown_or_of_another_kind() -> None:
    written = json.loads(json_file.write([document()], "2026-11"))
    del written["month"]
    written["more"] = 1
    written["documents"][0]["net"] = 250.0

    written["documents"][0]["lines"][0]["reason"] = "because"

    assert sorted(faults(SCHEMA, written)) == [
        "$.documents[0].lines[0].reason: 'because'",
        "$.documents[0].net: 250.0",
        "$.documents[0].net: 250.0 is not like ^-?[0-9]+([.][0-9]{2})?$",
        "$.month is missing",
        "$.more is not known",
    ]


def test_the_digest_is_of_the_documents_in_canonical_form() -> None:
    written = json.loads(json_file.write([document()], "2026-11"))
    canonical = json.dumps(written["documents"], ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    assert written["sha256"] == hashlib.sha256(canonical.encode()).hexdigest()


def test_totals_are_the_sum_of_the_lines_and_one_tax_on_it() -> None:
    (told,) = json.loads(json_file.write([document(line(), KEYS)], "2026-11"))["documents"]

    assert [told[name] for name in ("net", "vat", "gross", "gross_minor")] == ["397.00", "99.25", "496.25", 49625]


# SIE


def vouchers(written: bytes) -> list[tuple[str, list[tuple[str, Decimal]]]]:
    """The text of each voucher with its postings."""
    text = written.decode("cp437")
    assert text.endswith("\r\n")
    return [
        (head, [(account, Decimal(posted)) for account, posted in re.findall(r"#TRANS (\d+) \{\} (\S+)", body)])
        for head, body in re.findall(r"(#VER [^\r]*)\r\n\{\r\n(.*?)\r\n\}\r\n", text, re.DOTALL)
    ]


def book(*documents: InvoiceDocument, accounts: sie.Accounts = ACCOUNTS) -> bytes:
    return sie.write(documents, SWEDISH.party, accounts, "1.0")


def test_a_voucher_books_what_is_owed_against_sales_and_vat_and_balances() -> None:
    swedish = document(line(), KEYS, USAGE, buyer="SE", currency="SEK")

    assert vouchers(book(swedish)) == [
        (
            '#VER "" "" 20261204 "nordlys-2026-11 Björk & Öberg AB"',
            [
                ("1510", Decimal("571.25")),
                ("3041", Decimal("-250.00")),
                ("3042", Decimal("-147.00")),
                ("3043", Decimal("-60.00")),
                ("2611", Decimal("-114.25")),
            ],
        )
    ]


def test_the_head_names_the_form_the_seller_and_the_day_of_the_newest_document() -> None:
    head = book(document(currency="SEK"), document(currency="SEK", issued_on=date(2026, 12, 9))).decode("cp437")

    assert head.split("\r\n")[:9] == [
        "#FLAGGA 0",
        '#PROGRAM "Keydesk" "1.0"',
        "#FORMAT PC8",
        "#GEN 20261209",
        "#SIETYP 4",
        "#ORGNR 551234-5678",
        '#FNAMN "Fjärd & Ö AB"',
        "#KPTYP EUBAS97",
        "#VALUTA SEK",
    ]


def test_a_credit_note_books_the_mirror_of_its_invoice_and_an_adjustment_where_its_line_was_booked() -> None:
    adjusted = line(line_key="adj:2026-10:overuse_requests", quantity="1", gross_minor=6000, net_minor=6000)
    invoice = document(line(line_key="access/t2"), adjusted, currency="SEK")

    ((_, booked), (_, mirrored)) = vouchers(book(invoice, credit_note(invoice)))
    assert [account for account, _ in booked] == ["1510", "3041", "3043", "2611"]
    assert mirrored == [(account, -posted) for account, posted in booked]


@pytest.mark.parametrize(
    ("line_key", "account"),
    [
        ("access", "3041"),
        ("access/t2", "3041"),
        ("credit:access/t2", "3041"),
        ("credit:adj:2026-10:access@2026-11", "3041"),
        ("extra_key", "3042"),
        ("adj:2026-10:extra_test_key", "3042"),
        ("overuse_requests", "3043"),
        ("credit:adj:2026-10:overuse_data@2026-11", "3043"),
    ],
)
def test_each_line_is_booked_on_the_account_of_what_it_is_about(line_key: str, account: str) -> None:
    ((_, booked),) = vouchers(book(document(line(line_key=line_key), currency="SEK")))

    assert [posted[0] for posted in booked] == ["1510", account, "2611"]


def test_a_month_that_was_waived_whole_books_nothing() -> None:
    assert vouchers(book(document(line(discount_minor=25000, net_minor=0), currency="SEK"))) == []


def test_another_currency_and_a_sale_without_an_account_are_refused() -> None:
    with pytest.raises(Refused, match="nordlys-2026-11 is in NOK, and SIE takes SEK only"):
        book(document())
    free = document(currency="SEK", vat_category="AE", vat_rate=Decimal(0))
    with pytest.raises(Refused, match=r"no account is named for that; set without_vat_account in \[seller.sie\]"):
        book(free)
    assert [posted for _, posted in vouchers(book(free, accounts=replace(ACCOUNTS, without_vat="3308")))] == [
        [("1510", Decimal("250.00")), ("3308", Decimal("-250.00"))]
    ]


@given(st.text(max_size=30))
def test_any_name_is_one_field_of_the_code_page_and_cannot_end_it(name: str) -> None:
    buyer = replace(BUYERS["SE"], name=name)
    written = book(replace(document(currency="SEK"), buyer=buyer))

    ((head, _),) = vouchers(written)
    assert re.fullmatch(r'#VER "" "" 20261204 "(?:[^"\\]|\\")*"', head)


def test_letters_that_the_code_page_lacks_lose_their_accent_or_become_a_question_mark() -> None:
    buyer = Party('Þór "Æ" Çøřé 名 \\')

    ((head, _),) = vouchers(book(replace(document(currency="SEK"), buyer=buyer)))
    assert head.endswith('"nordlys-2026-11 Thór \\"Æ\\" Çoré ? /"')


# Who sells and buys


def test_a_seller_and_a_buyer_with_everything_have_no_faults() -> None:
    assert parties.seller_faults(NORWEGIAN) == parties.seller_faults(SWEDISH) == []
    assert {country: parties.buyer_faults(document(buyer=country)) for country in BUYERS} == {
        country: [] for country in BUYERS
    }


def test_what_is_missing_is_named_as_the_settings_and_the_import_name_it() -> None:
    nobody = replace(NORWEGIAN, party=Party(""), account="")
    unknown = replace(document(billing_reference="", vat_category="AE", vat_rate=Decimal(0)), buyer=Party("X"))

    assert parties.seller_faults(nobody) == [
        "name", "organisation_number", "endpoint", "street", "city", "postal_code", "country", "vat_id", "account",
    ]  # fmt: skip
    assert parties.buyer_faults(unknown) == ["endpoint", "country", "billing_reference", "vat_id"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"vat_id": "NO987654326MVA"}, "vat_id: NO987654326MVA is not a VAT number of its country"),
        ({"vat_id": "SE5512345678"}, "vat_id: SE5512345678 is not a VAT number of its country"),
        ({"country": "Norway"}, "country: Norway is not two capital letters"),
        ({"organisation_number": "987654326"}, "organisation_number: “0192:987654326” is not right"),
        ({"endpoint": "0088:7300010000002"}, "endpoint: “0088:7300010000002” is not right"),
    ],
)
def test_what_is_wrong_is_told_before_an_access_point_refuses_it(changes: dict[str, str], fault: str) -> None:
    (told,) = parties.seller_faults(replace(NORWEGIAN, party=replace(NORWEGIAN.party, **changes)))

    assert told.startswith(fault)


@pytest.mark.parametrize(("category", "rate"), [("S", 0), ("AE", 25), ("O", 25)])
def test_a_rate_that_its_category_cannot_have_is_a_fault(category: str, rate: int) -> None:
    (told,) = parties.buyer_faults(document(vat_category=category, vat_rate=Decimal(rate)))

    assert told == f"vat_rate: {rate} cannot be, in the VAT category {category}"
