"""What a user installs: a wheel with one top-level name, its mails, and a command that works. Run by `make check`."""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="keydesk-wheel-") as name:
        folder = Path(name)
        # Without isolation: the build backend is in the lock like everything else.
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = folder.glob("*.whl")
        look_inside(wheel)
        run_installed(wheel, folder)
    sys.stdout.write("The built wheel holds one name, its mails, and a command that works.\n")


def look_inside(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    expected = {"keydesk", next(top for top in tops if top.endswith(".dist-info"))}
    require(tops == expected, f"top-level names {sorted(tops)}")
    for needed in (
        "keydesk/store/tables/__init__.py",
        "keydesk/templates/email/key_created.j2",
        "keydesk/tui/desk.tcss",
    ):
        require(needed in names, f"{needed} is missing")
    strange = [name for name in names if name.endswith((".db", ".pepper", ".pyc", ".toml"))]
    require(not strange, f"strange files {strange}")


def run_installed(wheel: Path, folder: Path) -> None:
    """In an environment that has the dependencies but not this checkout."""
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    home = folder / "home"
    home.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}

    def keydesk(*arguments: str, expect: int = 0) -> str:
        code = (
            f"import sys; sys.path = [p for p in sys.path if p != {str(ROOT)!r}]; import keydesk; "
            f"assert keydesk.__file__.startswith({str(site)!r}), keydesk.__file__; "
            "from keydesk.command import main; main()"
        )
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
        require(
            done.returncode == expect, f"keydesk {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    require("keydesk worker" in keydesk("--help"), "the help page")
    keydesk("init", "--vendor", "Wheel AS")
    require("one unbroken chain" in keydesk("events", "verify"), "a working store")
    require("Wheel AS" not in keydesk("mail", "preview", "key_created"), "a mail from its template")
    keydesk("worker", "--once")


def require(held: bool, what: str) -> None:
    if not held:
        sys.exit(f"The built wheel is wrong: {what}")


if __name__ == "__main__":
    main()
