"""Programs of the system that some tests need: without one they are skipped; in CI, which installs it, they fail."""

import os
import shutil

import pytest

PLACES = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"


def program(name: str, package: str) -> str:
    """Where it is; without it the test that asks ends here."""
    found = shutil.which(name, path=PLACES)
    if found is None:
        why = f"{name} is not installed (Debian: {package})"
        if os.environ.get("CI"):
            pytest.fail(f"Not tested in CI: {why}.", pytrace=False)
        pytest.skip(f"NOT TESTED: {why}.")
    return found
