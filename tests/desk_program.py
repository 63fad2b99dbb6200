"""The desk as a program of its own: `desk_program.py STORE [benign|hostile] [auditor] [fault]`, at a fixed instant."""

import sys

from desk_world import AUDITOR, KARI, NOW, PEPPERS

from store import database
from tui import app


def main() -> int:
    database.bind(sys.argv[1])
    if "fault" in sys.argv:

        def fail() -> None:
            secret = "kdp_" + "s3cr3t" * 7
            raise ValueError(f"cannot do with {secret}")

        app.DeskApp.do_help = lambda _: fail()  # type: ignore[attr-defined]
        app.HomePage.do_help = lambda _: fail()  # type: ignore[method-assign]
    return app.open_desk(AUDITOR if "auditor" in sys.argv else KARI, PEPPERS, clock=lambda: NOW)


if __name__ == "__main__":
    sys.exit(main())
