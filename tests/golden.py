"""Approved outputs in tests/golden; KEYDESK_APPROVE=1 writes them anew, to be read before they are committed."""

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def compare(name: str, written: bytes) -> None:
    path = GOLDEN / name
    if os.environ.get("KEYDESK_APPROVE"):
        path.write_bytes(written)
    assert written == path.read_bytes(), f"{name} differs; KEYDESK_APPROVE=1 approves it"
