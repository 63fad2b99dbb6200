"""Which rows of a usage file are sound, what do they say, and what is said of each that is not?"""

import gzip
import json
from io import BufferedReader, BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import FormatWrong, Refused
from store.rules.key_format import generate
from store.usage_files import Fields, Lines, Row, UsageFile, Wrong, rows

NOON = 1795435200  # 2026-11-23T12:00:00Z
KEY = "kdp_" + "Ab12" * 9 + "000000"  # like a key, but its check characters are wrong
HANDLE = "key_00000000000000a1"

CUT_OFF = gzip.compress(b"key,at\n" * 9999, mtime=0)[:60]


def read(content: str | bytes, *fields: str, prefix: str = "kd") -> list[Row | Wrong]:
    raw = content.encode() if isinstance(content, str) else content
    lines = Lines(UsageFile("u", BufferedReader(BytesIO(raw))), prefix)  # type: ignore[arg-type]
    return list(rows(lines, Fields.of(fields)))


def csv(*lines: str, header: str = "key,at,requests,bytes,status") -> list[Row | Wrong]:
    return read("\n".join([header, *lines]) + "\n")


def why(*found: Row | Wrong) -> list[tuple[int, str]]:
    return [(row.line, row.why) for row in found if isinstance(row, Wrong)]


# What a row says


def test_a_csv_row_says_key_instant_requests_bytes_and_status() -> None:
    assert csv(f"{HANDLE},2026-11-23T13:00:00+01:00,12,3400,200") == [Row(2, HANDLE, NOON, 12, 3400, True, "")]


def test_columns_may_come_in_any_order_and_all_but_key_and_instant_may_be_missing() -> None:
    assert csv(f"2026-11-23T12:00:00Z,{HANDLE}", header="At, KEY") == [Row(2, HANDLE, NOON, 1, 0, True, "")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_commas_semicolons_and_tabs_separate_and_an_empty_cell_means_one_request_of_no_bytes(delimiter: str) -> None:
    header = delimiter.join(("key", "at", "requests", "bytes", "status", "environment"))
    row = delimiter.join((HANDLE, "2026-11-23T12:00:00Z", "", "", "", ""))

    assert csv(row, header=header) == [Row(2, HANDLE, NOON, 1, 0, True, "")]


def test_quotes_a_byte_order_mark_windows_line_ends_and_empty_lines_are_read() -> None:
    content = f'\ufeffkey,at,requests\r\n\r\n"{HANDLE}","2026-11-23T12:00:00Z","3"\r\n'

    assert read(content) == [Row(3, HANDLE, NOON, 3, 0, True, "")]


def test_a_json_line_says_the_same() -> None:
    said = {
        "key": HANDLE,
        "at": "2026-11-23T12:00:00Z",
        "requests": 2,
        "bytes": 7,
        "status": 200,
        "environment": "prod",
    }

    assert read(json.dumps(said) + "\n") == [Row(1, HANDLE, NOON, 2, 7, True, "prod")]


def test_a_line_of_an_nginx_access_log_is_one_request_and_its_two_sizes_are_added() -> None:
    line = f'{{"time_iso8601":"2026-11-23T13:00:00+01:00","key":"{HANDLE}","status":"200",'

    assert read(line + '"request_length":"300","bytes_sent":5000,"request":"GET / HTTP/1.1"}') == [
        Row(1, HANDLE, NOON, 1, 5300, True, "")
    ]
    assert read(line + '"content_length":"-","request_length":300,"bytes_sent":5000,"body_bytes_sent":4800}') == [
        Row(1, HANDLE, NOON, 1, 4800, True, "")
    ]
    assert read(f'{{"msec":"1795435200.999","key":"{HANDLE}","status":"200"}}') == [
        Row(1, HANDLE, NOON, 1, 0, True, "")
    ]


def test_other_names_of_fields_can_be_given_and_several_sizes_are_added() -> None:
    line = f'{{"ts":1795435200.25,"id":"{HANDLE}","in":10,"out":"20","code":503,"n":4,"env":"sandbox"}}'
    named = ("at=ts", "key=id", "bytes=in+out", "status=code", "requests=n", "environment=env")

    assert read(line, *named) == [Row(1, HANDLE, NOON, 4, 30, False, "sandbox")]


def test_lines_of_one_log_may_differ_in_their_names() -> None:
    lines = f'{{"at":{NOON},"key":"{HANDLE}"}}\n{{"key":"{HANDLE}","time_iso8601":"2026-11-23T12:00:00Z"}}\n'

    assert [row.at for row in read(lines) if isinstance(row, Row)] == [NOON, NOON]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-23T12:00:00Z", NOON),
        ("2026-11-23 12:00Z", NOON),
        ("2026-11-23T12:00:00.999999Z", NOON),
        ("2026-11-23T07:00:00-05:00", NOON),
        ("2026-11-23T17:45:00+0545", NOON),
        ("2026-10-25T02:30:00+02:00", 1792888200),  # the clock shows this twice in Oslo; the offset says which it is
        ("2026-10-25T02:30:00+01:00", 1792891800),
        ("1795435200", NOON),
        ("1795435200.999", NOON),
    ],
)
def test_an_instant_is_read_with_its_offset_or_as_seconds(text: str, at: int) -> None:
    assert csv(f"{HANDLE},{text},1,0,200") == [Row(2, HANDLE, at, 1, 0, True, "")]


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        ("100", True),
        ("200", True),
        ("404", True),
        ("428", True),
        ("429", False),
        ("430", True),
        ("499", True),
        ("500", False),
        ("503", False),
        ("599", False),
        ("000", False),
    ],
)
def test_429_and_5xx_and_no_answer_do_not_count(status: str, counts: bool) -> None:
    assert csv(f"{HANDLE},{NOON},1,5,{status}") == [Row(2, HANDLE, NOON, 1, 5, counts, "")]
    assert read(f'{{"key":"{HANDLE}","at":{NOON},"status":{int(status)}}}') == [Row(1, HANDLE, NOON, 1, 0, counts, "")]


@pytest.mark.parametrize("key", ['""', '"-"', "null", '" "'])
def test_a_line_of_a_log_without_a_key_is_nobodys_usage_and_no_fault(key: str) -> None:
    assert read(f'{{"key":{key},"at":{NOON}}}') == [Row(1, "", NOON, 1, 0, True, "")]


# What is wrong with a row


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (",2026-11-23T12:00:00Z,1,0,200", "key: it is empty; write the key's handle."),
        ("k,2026-11-23T12:00:00,1,0,200", "at: “2026-11-23T12:00:00” is no instant with its offset; "),
        ("k,2026-02-30T12:00:00Z,1,0,200", "at: “2026-02-30T12:00:00Z” is an instant that never was."),
        ("k,2026-11-23T24:00:00Z,1,0,200", "at: “2026-11-23T24:00:00Z” is no instant with its offset; "),
        ("k,2026-11-23T12:00:60Z,1,0,200", "at: “2026-11-23T12:00:60Z” is an instant that never was."),
        ("k,0000-01-01T00:00:00Z,1,0,200", "at: “0000-01-01T00:00:00Z” is an instant that never was."),
        ("k,2026-11-23,1,0,200", "at: “2026-11-23” is no instant with its offset; "),
        ("k,,1,0,200", "at: “” is no instant with its offset; "),
        ("k,-5,1,0,200", "at: “-5” is no instant with its offset; "),
        ("k,1795435200,-1,0,200", "requests: “-1” is negative."),
        ("k,1795435200,1.5,0,200", "requests: “1.5” is not a whole number."),
        ("k,1795435200,1e3,0,200", "requests: “1e3” is not a whole number."),
        ("k,1795435200,١,0,200", "requests: “١” is not a whole number."),
        ("k,1795435200,1000000001,0,200", "requests: “1000000001” is more than one row can have (1,000,000,000)."),
        ("k,1795435200,1,-7,200", "bytes: “-7” is negative."),
        ("k,1795435200,1,1000000000000001,200", "bytes: “1000000000000001” is more than one row can have ("),
        ("k,1795435200,1,0,99", "status: 99 is no HTTP status."),
        ("k,1795435200,1,0,OK", "status: “OK” is not a whole number."),
        ("k,1795435200,1,0", "it has 4 fields, and the header has 5."),
        ("k,1795435200,1,0,200,7", "it has 6 fields, and the header has 5."),
        ('k,1795435200,"1,0,200', "a quotation mark is not closed, or text follows it."),
    ],
)
def test_a_wrong_row_is_refused_by_line_and_value_and_the_next_is_read(row: str, sentence: str) -> None:
    found = csv(row, f"{HANDLE},{NOON},1,0,200")

    assert [(line, told[: len(sentence)]) for line, told in why(*found)] == [(2, sentence)]
    assert found[1:] == [Row(3, HANDLE, NOON, 1, 0, True, "")]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"key":"k","at":', "it is not JSON from column 17 on: Expecting value."),
        ('{"key":"k","at":NaN}', "NaN is not a number of JSON."),
        ('{"key":"k","at":true}', "at: “True” is no instant; "),
        ('{"key":"k","at":1e999}', "at: “inf” is no instant; "),
        ('{"key":7,"at":1795435200}', "key: a text is needed, the key's handle."),
        ('{"kee":"k","at":1795435200}', "key: there is no “key” here; name its field, as --field key=…"),
        ('{"key":"k","when":1795435200}', "at: there is no “at or time_iso8601 or msec” here; "),
        ('{"key":"k","at":1795435200,"requests":1.0}', "requests: “1.0” is not a whole number."),
        ('{"key":"k","at":1795435200,"requests":true}', "requests: “True” is not a whole number."),
        ('{"key":"k","at":1795435200,"bytes_sent":-1}', "bytes_sent: “-1” is negative."),
        ('{"key":"k","at":1795435200,"status":[200]}', "status: “[200]” is not a whole number."),
        ('{"key":"k","at":1795435200,"environment":"all"}', "environment: “all” is not prod or sandbox."),
        ('["k"]', "an object is needed, one a line."),
        ('{"key":"k","at":' + "9" * 5000 + "}", "it holds a number or a nesting that is too large."),
        ('{"key":' + "[" * 40000, "it holds a number or a nesting that is too large."),
        ('{"key":"' + "x" * 100_000 + '"}', "the line is longer than 100,000 bytes."),
    ],
)
def test_a_wrong_line_of_json_is_refused_and_the_next_is_read(line: str, sentence: str) -> None:
    good = f'{{"key":"{HANDLE}","at":{NOON}}}'

    found = read(f"{good}\n{line}\n{good}\n")

    assert [(number, told[: len(sentence)]) for number, told in why(*found)] == [(2, sentence)]
    assert [row.line for row in found if isinstance(row, Row)] == [1, 3]


def test_a_field_that_was_named_must_be_there() -> None:
    line = f'{{"key":"{HANDLE}","at":{NOON}}}'

    assert why(*read(line, "requests=calls")) == [
        (1, "requests: there is no “calls” here; name its field, as --field requests=…")
    ]
    assert why(*read(line, "bytes=in+out")) == [(1, "bytes: there is no “in” here, which --field names.")]


def test_what_is_not_utf8_is_refused_on_its_line() -> None:
    found = read(b"key,at\n\xff\xfe,1795435200\nk,1795435200\n")

    assert why(*found) == [(2, "the byte 0xFF is not UTF-8.")]
    assert [row.line for row in found] == [2, 3]


@given(st.text(alphabet=st.characters(exclude_characters="\n"), max_size=60))
def test_no_line_whatever_it_holds_ends_the_reading(line: str) -> None:
    raw = line.encode("utf-8", "surrogatepass")
    good = f"{HANDLE},{NOON}".encode()

    found = read(b"key,at\n" + raw + b"\n" + good + b"\n")

    assert found[-1] == Row(3, HANDLE, NOON, 1, 0, True, "")
    found = read(f'{{"key":"{HANDLE}","at":{NOON}}}\n'.encode() + raw + b"\n" + b'{"key":"-","at":1}')
    assert found[-1] == Row(3, "", 1, 1, 0, True, "")


# Keys that leaked


def test_a_whole_key_anywhere_in_a_line_is_a_leak_and_is_told_only_as_it_may_be_shown() -> None:
    key = generate("acme", "sandbox")
    lines = (
        f'{{"key":"{HANDLE}","at":{NOON},"request":"GET /?api_key={key}&x=1"}}\n',
        f'{{"key":"{key}","at":{NOON}}}\n',
        f'{{"key":"{HANDLE}","at":{NOON}}}\n',
    )

    found = read("".join(lines))

    shown = f"{key[:8]}…{key[-4:]}"
    sentence = (
        f"an API key stands in this line ({shown}): a leak. Rotate that key, clean the log, and let the gateway "
        "log its handle."
    )
    assert why(*found) == [(1, sentence), (2, sentence)]
    assert found[2:] == [Row(3, HANDLE, NOON, 1, 0, True, "")]


def test_a_key_of_this_installation_that_was_cut_off_or_mistyped_is_a_leak_too() -> None:
    sentence = (
        "an API key stands in this line (kdp_…[key removed]): a leak. Rotate that key, clean the log, and let the "
        "gateway log its handle."
    )

    for spoilt in (KEY, KEY[:-9]):
        assert why(*csv(f"{spoilt},{NOON},1,0,200")) == [(2, sentence)]


def test_an_identifier_of_another_system_that_only_looks_like_a_key_is_no_leak() -> None:
    line = f'{{"key":"{HANDLE}","at":{NOON},"request_id":"ops_{"Ab12" * 9}000000"}}'

    assert read(line) == [Row(1, HANDLE, NOON, 1, 0, True, "")]


# Files as a whole


def test_a_packed_file_reads_the_same_and_has_the_same_sha256(tmp_path: Path) -> None:
    text = f"key,at\n{HANDLE},{NOON}\n".encode()
    (tmp_path / "a.csv").write_bytes(text)
    (tmp_path / "b.csv").write_bytes(gzip.compress(text[:9]) + gzip.compress(text[9:]))  # as rotated logs are joined

    found = []
    for name in ("a.csv", "b.csv"):
        lines = Lines(UsageFile(name, tmp_path / name), "kd")
        found.append((list(rows(lines, Fields())), lines.sha256()))
        assert lines.done() == lines.size
        lines.close()

    assert found[0] == found[1]
    assert found[0][0] == [Row(2, HANDLE, NOON, 1, 0, True, "")]


def test_an_empty_file_has_no_rows() -> None:
    assert read(b"") == []
    assert read(gzip.compress(b"\n\n")) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfek\0e\0y\0", "u is written in UTF-16; save it in UTF-8. Nothing was taken."),
        (CUT_OFF, "u is packed by gzip, and damaged or cut off; fetch it again. "),
        (b"\x1f\x8bnonsense that is long enough", "u is packed by gzip, and damaged or cut off; fetch it again. "),
        (b'[{"key": "k"}]', "u is one JSON list; write one object a line (`jq -c '.[]'`). Nothing was taken."),
        (b"k,1795435200\n", "u:1: key: there is no “key” here; "),
        (b"key,when\n", "u:1: at: there is no “at or time_iso8601 or msec” here; "),
        (b"key,at,reqests\n", "u:1: reqests: this column is not known; did you mean “requests”? A CSV begins with "),
        (b"key,at,key\n", "u:1: key: this column is there twice; keep one. "),
        (b'"key,at\n', "u:1: a quotation mark is not closed, or text follows it."),
    ],
)
def test_a_file_of_no_use_is_refused_as_a_whole(content: bytes, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        read(content)

    assert str(refused.value).startswith(sentence)


def test_a_column_that_means_nothing_is_passed_over() -> None:
    assert csv(f"{HANDLE},{NOON},Oslo", header="key,at,city") == [Row(2, HANDLE, NOON, 1, 0, True, "")]


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("k=id", "“k=id” names no field; write NAME=FIELD with one of key, at, requests, bytes, status, environment."),
        ("key", "“key” names no field; "),
        ("bytes=in+", "“bytes=in+” names no field; "),
    ],
)
def test_a_field_that_is_wrongly_named_is_refused(named: str, sentence: str) -> None:
    with pytest.raises(FormatWrong) as wrong:
        Fields.of([named])

    assert str(wrong.value).startswith(sentence)


def test_a_field_named_twice_is_refused() -> None:
    with pytest.raises(FormatWrong, match=r"^The field of key is named twice; keep one\.$"):
        Fields.of(["key=a", "key=b"])
