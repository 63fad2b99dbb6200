"""Do the pipelines of docs/sandbox.md refresh what is due as they stand there, and does the contract hold if one dies?

`keydesk` and `refresh-sandbox` are programs on their PATH; the store is a real one.
"""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import needed
import pytest
from cast import LONG_AGO, arrive, company, enable, key_of, user

from store import database, marking
from store.database import run_sql
from store.rules import calendar

PAGE = (Path(__file__).parent.parent / "docs" / "sandbox.md").read_text(encoding="utf-8")
NOW = datetime.now(UTC).replace(microsecond=0)  # the command reads the real clock
KEYDESK = f'#!/bin/sh\nexec {sys.executable} -m keydesk "$@"\n'
# The first try of c-1 waits until it is killed; the second succeeds. c-2 always fails.
REFRESH = """#!/bin/sh
case "$1" in
    c-1) [ -p "$HOME/waits" ] && { mv "$HOME/waits" "$HOME/waited"; exec cat "$HOME/waited"; }
         echo "412 tables" ;;
    *) echo "--no space \\"left\\"" >&2; exit 3 ;;
esac
"""


def taken_out(language: str) -> str:
    """The page's example in that language."""
    (block,) = re.findall(rf"```{language}\n(#!.*?)```", PAGE, re.DOTALL)
    return str(block)


@dataclass(frozen=True)
class Machine:
    """Where a pipeline is at home."""

    home: Path
    environment: dict[str, str]

    def start(self, program: str) -> "subprocess.Popen[str]":
        path = self.home / "pipeline"
        path.write_text(program.replace("#!/usr/bin/env python3", f"#!{sys.executable}"), encoding="utf-8")
        path.chmod(0o755)
        return subprocess.Popen([path], env=self.environment, text=True, start_new_session=True)

    def run(self, program: str) -> int:
        return self.start(program).wait(60)

    def keydesk(self, *arguments: str) -> int:
        return subprocess.run(["keydesk", "sandbox", *arguments], env=self.environment, check=False).returncode


@pytest.fixture
def machine(store_location: str, tmp_path: Path) -> Machine:
    """Two companies whose sandboxes are due tonight."""
    with database.session():
        arrive()
        for number in (1, 2):
            one = company(f"c-{number}", f'Company "{number}"')
            owner = user(one, "kari", "Kari")
            enable(one, owner, now=LONG_AGO)
            key_of(owner, environment="sandbox", expires_on=date(NOW.year + 1, 1, 1), now=NOW - timedelta(days=300))
        night = calendar.latest_night(NOW, calendar.zone("Europe/Oslo"), 2)
        marking.create("Europe/Oslo", night, NOW)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("keydesk", KEYDESK), ("refresh-sandbox", REFRESH)):
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    return Machine(
        tmp_path,
        {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "KEYDESK_STORE_LOCATION": store_location,
            "PYTHONPATH": str(Path(__file__).parent.parent),
        },
    )


def markers() -> list[tuple[object, ...]]:
    text = """SELECT c.external_id, m.state, m.attempt, m.failures, m.message
                FROM refresh_marker m JOIN company c ON c.id = m.company_id ORDER BY c.external_id"""
    with database.session():
        return [tuple(row) for row in run_sql(text).fetchall()]


@pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)
def test_the_pipeline_in_shell_reports_what_is_fresh_and_what_failed(machine: Machine) -> None:
    needed.program("jq", "jq")

    assert machine.run(taken_out("sh")) == 0

    assert markers() == [
        ("c-1", "done", 1, 0, "412 tables"),
        ("c-2", "failed", 1, 1, '--no space "left"'),
    ]


def test_the_one_in_python_may_be_killed_and_its_late_report_changes_nothing(machine: Machine) -> None:
    os.mkfifo(machine.home / "waits")
    killed = machine.start(taken_out("python"))
    while killed.poll() is None and not (machine.home / "waited").exists():
        with suppress(subprocess.TimeoutExpired):
            killed.wait(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    with database.session():
        (token,) = run_sql("SELECT token FROM refresh_marker WHERE state = 'running'").fetchone()
        run_sql("UPDATE refresh_marker SET lease_until = 1 WHERE state = 'running'")

    assert machine.run(taken_out("python")) == 0
    reported = markers()
    late = machine.keydesk("fail", token, "--message=late")

    assert reported == [
        ("c-1", "done", 2, 0, "412 tables"),
        ("c-2", "due", 1, 1, '--no space "left"'),
    ]
    assert (late, markers()) == (75, reported)


def test_the_page_reads_the_store_as_it_is(machine: Machine) -> None:
    (statement,) = re.findall(r"```sql\n(.*?);\n```", PAGE, re.DOTALL)

    with database.session():
        assert [row[0] for row in run_sql(statement).fetchall()] == ["c-1", "c-2"]


def shapes() -> list[list[str]]:
    """The names in each JSON object of the page, in its order."""
    return [list(json.loads(block)) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


@pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)
def test_the_page_shows_claim_report_and_listing_as_they_are_printed(machine: Machine) -> None:
    printed = []
    for arguments in (("next",), ("fail", "TOKEN", "--message=no"), ("list", "--json")):
        call = ["keydesk", "sandbox", *(printed[0]["token"] if each == "TOKEN" else each for each in arguments)]
        out = subprocess.run(call, env=machine.environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        printed.append(json.loads(out.splitlines()[0]))

    assert [list(each) for each in printed] == shapes()
