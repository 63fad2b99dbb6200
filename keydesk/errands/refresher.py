"""`keydesk refresher`: two safe ways to make a sandbox from production, for `[sandbox] command` or any pipeline."""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from jobs.refreshers import rules, sqlite
from keydesk.settings import Settings
from store.errors import FormatWrong, Refused, SettingsWrong
from store.peppers import read_secret
from store.rules.text import visible

_LEAVES = (signal.SIGTERM, signal.SIGHUP)


def run(given: argparse.Namespace, _settings: Settings, clock: Callable[[], datetime]) -> int:
    """Exit status 0 when the sandbox is fresh; otherwise it is as it was. No store of Keydesk is opened."""
    for number in _LEAVES:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _leave)
    read = rules.read(given.mask)
    company = _company() if "{company}" in given.source + given.target else None
    source, target = rules.place(given.source, company), rules.place(given.target, company)
    if given.act == "sqlite":
        done = sqlite.refresh(Path(source).expanduser(), Path(target).expanduser(), read)
        kept = f"; the one before is {done.previous}" if done.previous else ""
        sys.stdout.write(visible(f"{target} is fresh, {_counted(done.columns)} masked{kept}.") + "\n")
    else:
        _postgres(given, source, target, read, clock())
    return 0


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Go as from Ctrl-C, so that nothing stays behind; not disturbed while it is cleared away."""
    for number in _LEAVES:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _postgres(given: argparse.Namespace, source: str, target: str, read: rules.Rules, now: datetime) -> None:
    if find_spec("psycopg") is None:
        raise SettingsWrong("PostgreSQL's driver is not installed: run `pip install 'keydesk[postgres]'`.")
    from jobs.refreshers import postgres  # noqa: PLC0415 - its driver may not be there

    if given.keep < 0:
        raise Refused("How many old databases are kept is 0 or more.")
    into = postgres.Place(target, _secret(given.target_password_file))
    done = postgres.refresh(
        postgres.Place(source, _secret(given.source_password_file)),
        into,
        read,
        keep=given.keep,
        programs=given.programs,
        now=now,
    )
    kept = f"; kept from before: {', '.join(done.kept)}" if done.kept else ""
    stuck = f"; not dropped, to be tried by the next refresh: {', '.join(done.stuck)}" if done.stuck else ""
    sys.stdout.write(visible(f"{into.name} is fresh, {_counted(done.columns)} masked{kept}{stuck}.") + "\n")


def _counted(columns: int) -> str:
    return f"{columns} column{'' if columns == 1 else 's'}"


def _company() -> str:
    """The company of the JSON object that the worker gives a `[sandbox] command` on its standard input."""
    try:
        told = json.loads(sys.stdin.read(1 << 16))
        company = told["company"]
    except (ValueError, KeyError, TypeError):
        raise FormatWrong("Standard input holds no JSON object with a company, which {company} asks for.") from None
    return str(company)


def _secret(path: Path | None) -> str | None:
    return read_secret(path, "password file", "Write the password into it.").rstrip("\r\n") if path else None
