"""What does a program load that it does not need? The check of a key, sshd's question and the worker stay slim."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import Home

WORKED = Path(__file__).parent / "billing" / "examples.json"
_WATCHED = ("textual", "rich", "jinja2", "css_inline", "apscheduler", "peewee", "tui", "jobs")
_AFTER = f"""
import json, sys
status = 0
try:
    %s
except SystemExit as end:
    status = end.code
sys.stdout.flush()
print(json.dumps([status, [name for name in {_WATCHED!r} if name in sys.modules]]), file=sys.stderr)
"""


def loaded(body: str, home: Path, stdin: str = "") -> list[object]:
    """The exit status, and which of the watched modules a fresh interpreter holds after that statement."""
    done = subprocess.run(
        [sys.executable, "-c", _AFTER % body],
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
        env=Home(home).environment(),
    )
    found: list[object] = json.loads(done.stderr.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("arguments", "status", "modules"),
    [
        (["--help"], 0, []),
        (["--version"], 0, []),
        (["invoice", "rate", "--facts", str(WORKED)], 0, []),
        (["key", "accept", "--environment", "prod"], 3, ["peewee"]),
        (["ssh", "authorized-keys", "ssh-ed25519", "AAAA"], 0, ["peewee"]),
        (["sandbox", "next"], 0, ["peewee"]),
        (["worker", "--once"], 0, ["jinja2", "css_inline", "apscheduler", "peewee", "jobs"]),
    ],
    ids=lambda value: " ".join(value[:2]) if value and isinstance(value, list) and isinstance(value[0], str) else "",
)
def test_a_verb_loads_only_what_it_needs(home: Home, arguments: list[str], status: int, modules: list[str]) -> None:
    assert loaded(f"from keydesk.command import main; main({arguments!r})", home.path, "x\n") == [status, modules]


@pytest.mark.parametrize(
    ("module", "modules"),
    [
        ("tui.app", ["textual", "rich", "peewee", "tui"]),
        ("store.rules.rating", []),
        ("store.rules.key_format", []),
        ("store.exports.ubl", []),
        ("store.accepting", ["peewee"]),
    ],
)
def test_a_part_loads_no_other_part(tmp_path: Path, module: str, modules: list[str]) -> None:
    assert loaded(f"import {module}", tmp_path) == [0, modules]


def test_the_desk_loads_no_dialog_and_no_page_before_it_is_opened(tmp_path: Path) -> None:
    body = "import keydesk.errands.desk, sys; sys.exit(str(sorted(name for name in sys.modules if name in late)))"
    late = (
        "tui.dialogs.dialog",
        "tui.dialogs.new_key",
        "tui.palette",
        "tui.screens.company",
        "store.importing",
        "store.invoices",
    )

    status, _ = loaded(f"late = {late!r}; {body}", tmp_path)

    assert status == "[]"
