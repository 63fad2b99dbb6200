"""`python -m keydesk.bound PARENT …`: the command as a child that does not outlive the process that started it."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel send SIGTERM when the parent ends, however it ends; only Linux knows such a wish."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(128 + signal.SIGTERM)  # it had gone before the wish was made


if __name__ == "__main__":
    die_with(int(sys.argv.pop(1)))
    from keydesk.command import main

    main()
