"""What only root can try: to be somebody else for a while."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@contextmanager
def user(number: int) -> Iterator[None]:
    """Be somebody else, of a group of the same number and no other."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(number)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
