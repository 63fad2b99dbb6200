"""What becomes of a file that is being made, when its maker is killed or another one makes the same?"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from store import unfinished
from store.errors import Refused

MAKER = """
import sys
from pathlib import Path
from store import unfinished
with unfinished.folder(Path(sys.argv[1]), ".making-") as folder:
    (folder / "copy.db").write_text("every row of production")
    print(folder, flush=True)
    sys.stdin.read()
"""


def maker(beside: Path) -> tuple[subprocess.Popen[str], Path]:
    """Another process that makes something, and its folder."""
    started = subprocess.Popen(
        [sys.executable, "-c", MAKER, str(beside)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    return started, Path(started.stdout.readline().strip())


def test_it_is_for_its_owner_alone_and_gone_at_the_end_however_that_comes(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), unfinished.folder(tmp_path, ".making-") as folder:
        mode = folder.stat().st_mode & 0o777
        (folder / "copy.db").touch()
        1 / 0  # noqa: B018

    assert mode == 0o700
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_maker_left_is_cleared_away_by_the_next_one_of_its_kind(tmp_path: Path) -> None:
    killed, left = maker(tmp_path)
    killed.kill()
    killed.communicate()

    with unfinished.folder(tmp_path, ".another-"):
        of_another_kind = left.exists()
    with unfinished.folder(tmp_path, ".making-"):
        of_its_kind = left.exists()

    assert (of_another_kind, of_its_kind) == (True, False)


def test_two_makers_at_once_leave_each_other_alone(tmp_path: Path) -> None:
    living, of_the_living = maker(tmp_path)

    with unfinished.folder(tmp_path, ".making-") as mine:
        kept = (of_the_living / "copy.db").read_text()
    living.communicate("")

    assert kept == "every row of production"
    assert mine != of_the_living
    assert (living.returncode, list(tmp_path.iterdir())) == (0, [])


def test_what_only_has_such_a_name_is_not_touched(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / ".making-link").symlink_to(elsewhere)
    (beside / ".making-file").touch()

    with unfinished.folder(beside, ".making-"):
        pass

    assert sorted(path.name for path in beside.iterdir()) == [".making-file", ".making-link"]
    assert (elsewhere / "kept").exists()


def test_a_folder_that_was_taken_for_a_dead_ones_before_it_was_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    make = tempfile.mkdtemp

    def make_and_lose(**where: Any) -> str:
        made.append(make(**where))
        if len(made) == 1:
            Path(made[0]).rmdir()
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_lose)
    with unfinished.folder(tmp_path, ".making-") as folder:
        assert folder.is_dir()

    assert len(made) == 2


def test_a_name_that_something_else_has_by_now_is_not_taken_from_it(tmp_path: Path) -> None:
    target = tmp_path / "kept.db"
    with unfinished.folder(tmp_path, ".making-") as folder:
        (folder / "copy.db").write_text("mine")
        target.write_text("of another maker, who was quicker")
        with pytest.raises(Refused, match="is there already; name another file"):
            unfinished.name(folder / "copy.db", target)

    assert target.read_text() == "of another maker, who was quicker"
