"""What does `keydesk usage import` say, with which status does it end, and are the examples taken?"""

import gzip
import os
import pty
import re
import subprocess
import sys
from datetime import timedelta

import pytest
from command import EXAMPLES, NOW, Home, one_sentence

from store.keys import Created


def handled(home: Home, key: Created, handle: str) -> None:
    """Give a key the handle that the example files name."""
    home.sql("UPDATE api_key SET handle = ? WHERE id = ?", handle, key.key.id)


def used(home: Home) -> list[tuple[object, ...]]:
    return home.sql("SELECT day, environment, requests, bytes FROM usage_day ORDER BY day")


@pytest.fixture
def key(home: Home) -> Created:
    made = home.issue(at=NOW - timedelta(days=3))
    handled(home, made, "key_00000000000000a1")
    return made


def row(days_ago: int = 1, handle: str = "key_00000000000000a1") -> str:
    return f"{handle},{NOW - timedelta(days=days_ago):%Y-%m-%dT%H:%M:%SZ},2,10,200\n"


def test_the_examples_are_taken_once(home: Home) -> None:
    made = home.issue()
    handled(home, made, "key_0123456789abcdef")
    home.sql("UPDATE api_key SET created_at = 0, first = 'kdp_Ab12', last = '9zYx'")
    files = (EXAMPLES / "usage" / "usage.csv", EXAMPLES / "usage" / "access.log")

    first = home.keydesk("usage", "import", "--source", "gw-1", *files)
    again = home.keydesk("usage", "import", "--source", "gw-1", *files)

    assert first.out == (
        "usage.csv: 6 rows, 2026-11-01 to 2026-11-02: 24,518 requests and 913,420,000 bytes count; "
        "1 row answered with 429 or 5xx does not.\n"
        "access.log: 4 rows, 2026-11-03: 3 requests and 15,405 bytes count; "
        "1 row answered with 429 or 5xx does not; 1 row without a key.\n"
    )
    assert (first.status, first.err) == (0, "")
    assert [re.sub(r"[0-9-]{10} [0-9:]{5}", "…", line) for line in again.out.splitlines()] == [
        "usage.csv: was taken already, … UTC; nothing was changed.",
        "access.log: was taken already, … UTC; nothing was changed.",
    ]
    assert (again.status, again.err) == (0, "")
    assert used(home) == [
        ("2026-11-01", "prod", 12018, 450_220_000),
        ("2026-11-02", "prod", 12500, 463_200_000),
        ("2026-11-03", "prod", 3, 15_405),
    ]


def test_what_comes_on_standard_input_packed_or_not_is_the_same(home: Home, key: Created) -> None:
    text = "key,at,requests,bytes,status\n" + row()
    packed = home.path / "u.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))

    piped = home.keydesk("usage", "import", "-", stdin=text)
    filed = home.keydesk("usage", "import", packed)

    assert (piped.status, piped.out.startswith("standard input: 1 row, "), piped.err) == (0, True, "")
    assert (filed.status, "u.csv.gz: was taken already, " in filed.out) == (0, True)
    assert [requests for _, _, requests, _ in used(home)] == [2]


def test_refused_rows_are_told_and_the_status_is_4_or_strictly_1(home: Home, key: Created) -> None:
    file = home.path / "u.csv"
    file.write_text("key,at,requests,bytes,status\n" + row() + row(-1) + f"{key.secret},1,1,1,200\n", encoding="utf-8")
    shown = f"{key.key.first}…{key.key.last}"

    strict = home.keydesk("usage", "import", "--strict", file)
    assert (strict.status, strict.out) == (1, "")
    assert strict.err.startswith("keydesk: Nothing was taken: 2 refused of 3 rows. Correct and import again.\nu.csv:3")
    assert used(home) == []

    dry = home.keydesk("usage", "import", "--dry-run", file)
    assert (dry.status, dry.out.splitlines()[-1]) == (4, "That is what would be taken; nothing was changed.")
    assert used(home) == []

    said = home.keydesk("usage", "import", file)
    assert (said.status, said.out.endswith("; 2 rows refused.\n")) == (4, True)
    future, leak = said.err.splitlines()
    assert future.startswith("u.csv:3: at: ")
    assert leak.startswith(f"u.csv:4: an API key stands in this line ({shown}): a leak. Rotate that key, ")
    assert key.secret[8:-4] not in home.heard
    assert len(used(home)) == 1


def test_all_refused_rows_are_written_where_asked_for_ones_own_eyes(home: Home, key: Created) -> None:
    file, rejects = home.path / "u.csv", home.path / "rejects.txt"
    file.write_text("key,at,requests,bytes,status\n" + row() + row(-1) * 100 + f"{key.secret},,,,\n", encoding="utf-8")

    said = home.keydesk("usage", "import", "--rejects", rejects, file)

    assert (said.status, said.err) == (4, f"The refused rows are told in {rejects}.\n")
    told = rejects.read_text(encoding="utf-8")
    assert [line.split(": ")[0] for line in told.splitlines()] == [f"u.csv:{number}" for number in range(3, 104)]
    assert key.secret[8:-4] not in told
    assert rejects.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nowhere.csv",), "nowhere.csv cannot be used: No such file or directory."),
        (("--field", "when=t", "u.csv"), "“when=t” names no field; write NAME=FIELD with one of key, at, requests, "),
        (("-", "-"), "Standard input can be read once; name - once."),
        (("--rejects", "u.csv", "u.csv"), "u.csv is a file of usage itself; name another for the rejects."),
        (("--rejects", "no/where", "u.csv"), "no/where cannot be used: No such file or directory."),
        (("--source", "", "u.csv"), "source is empty; write 1 to 64 characters."),
        (("u.csv",), "u.csv:1: key: there is no “key” here; "),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(home: Home, arguments: tuple[str, ...], sentence: str) -> None:
    (home.path / "u.csv").write_text("k,t\n", encoding="utf-8")

    said = home.keydesk("usage", "import", *arguments)

    assert one_sentence(home, said.status, said.err).startswith(sentence)
    assert (home.path / "u.csv").read_text(encoding="utf-8") == "k,t\n"
    assert used(home) == []


def test_on_a_terminal_a_bar_shows_how_far_it_is(home: Home, key: Created) -> None:
    file = home.path / "u.csv"
    file.write_text("key,at,requests,bytes,status\n" + row() * 5000, encoding="utf-8")
    ours, theirs = pty.openpty()

    done = subprocess.run(
        [sys.executable, "-m", "keydesk", "usage", "import", file],
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
        timeout=60,
        env=home.environment(),
    )
    os.close(theirs)
    drawn = os.read(ours, 100_000).decode()
    os.close(ours)

    assert " % ████" in drawn
    assert "reading u.csv, line 4,001" in drawn
    assert drawn.endswith("\r\x1b[K")
    assert done.stdout.startswith(b"u.csv: 5,000 rows, ")
