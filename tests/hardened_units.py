"""Are the units that we ship as closed as systemd can judge? Run by `make check`, and by the suite.

Each service must have an exposure of at most 2.0 (`--threshold=20`). Where systemd-analyze is missing nothing can be
said, and that is said loudly.
"""

import shutil
import subprocess
import sys
from pathlib import Path

DEPLOY = Path(__file__).parent.parent / "deploy"
THRESHOLD = "20"


def services() -> list[Path]:
    return sorted(DEPLOY.glob("*.service"))


def verdict(unit: Path) -> tuple[bool, str]:
    """Whether systemd finds it closed enough, and its last word."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={THRESHOLD}", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode == 0, said[-1] if said else "nothing was said"


def is_there() -> bool:
    return shutil.which("systemd-analyze") is not None


def main() -> int:
    if not is_there():
        sys.stderr.write("NOT CHECKED: systemd-analyze is missing, so nobody looked at deploy/*.service.\n")
        return 0
    worst = 0
    for unit in services():
        closed, said = verdict(unit)
        sys.stdout.write(f"{unit.name}: {said}\n")
        worst = max(worst, not closed)
    return worst


if __name__ == "__main__":
    sys.exit(main())
