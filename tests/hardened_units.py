"""Are the units that we ship as closed as systemd can judge? Run by `make check`, and by the suite.

Each service must have an exposure of at most 2.0 (`--threshold=20`). Where systemd-analyze is missing nothing can be
said, and that is said loudly; in CI, where nobody would hear it, it is a failure.
"""

import os
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


def main() -> int:
    if shutil.which("systemd-analyze") is None:
        is_ci = bool(os.environ.get("CI"))
        begins = "NOT CHECKED, and this is CI" if is_ci else "NOT CHECKED"
        why = "systemd-analyze is not installed (Debian: systemd), so nobody looked at deploy/*.service"
        sys.stderr.write(f"{begins}: {why}.\n")
        return int(is_ci)
    worst = 0
    for unit in services():
        closed, said = verdict(unit)
        sys.stdout.write(f"{unit.name}: {said}\n")
        worst = max(worst, not closed)
    return worst


if __name__ == "__main__":
    sys.exit(main())
