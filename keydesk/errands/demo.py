"""`keydesk demo`: a living world in a temporary folder, a worker beside it, and the desk on it."""

import argparse
import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from keydesk.demonstration import building
from keydesk.demonstration.names import SELLER
from keydesk.demonstration.post import SENDER, Postman
from keydesk.settings import Settings
from store import database, migrations, peppers, sellers
from store.actors import Actor
from store.database import private_directory, private_file
from store.errors import KeydeskError, Refused
from store.peppers import Peppers
from store.rules.text import visible

_SETTINGS: Final = """\
[store]
location = {store}

[keys]
pepper_file = {pepper}

[seller]
{seller}
"""
_MAIL: Final = """
[mail]
host = "127.0.0.1"
port = {port}
tls = "none"
sender = "{sender}"
reply_to = "{reply_to}"
"""
_CATCHER: Final = "keydesk.demonstration.mail_catcher"
_STOP_SECONDS: Final = 10


def run(given: argparse.Namespace, _settings: Settings, clock: Callable[[], datetime]) -> int:
    """Build it, live in it, and leave nothing behind. The user's own settings and store are not touched."""
    if given.build_only is not None:
        build(_empty(given.build_only), clock(), given.seed)
        sys.stdout.write(visible(f"keydesk --settings {given.build_only.absolute()}/keydesk.toml") + "\n")
        return 0
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused("The demo opens the desk, and that needs a terminal; `--build-only DIR` only builds its world.")
    with _temporary_folder(keep=given.keep) as folder:
        sys.stderr.write("Building a world of forty companies …\n")
        made = build(folder, clock(), given.seed)
        with _child(folder, _CATCHER, str(folder / "mails"), stdout=subprocess.PIPE) as catcher:
            _add_mail_server(folder, catcher)
            with _child(folder, "keydesk.bound", "--settings", str(folder / "keydesk.toml"), "worker"):
                # Late: building a world needs no screen.
                from tui.app import open_desk  # noqa: PLC0415

                actor = Actor(getpass.getuser(), "operator", "local demo")
                return open_desk(actor, made, clock=clock, mail_catcher=folder / "mails")


def build(folder: Path, now: datetime, seed: int) -> Peppers:
    """Make store, pepper, settings, mails and world in an empty folder, and bind this process to the store."""
    private_directory(folder / "mails")
    private_file(folder / "keydesk.db")
    private_file(folder / "keydesk.toml")
    (folder / "keydesk.toml").write_text(_settings(folder), encoding="utf-8")
    sellers.use(SELLER)
    made = peppers.make(folder / "keydesk.pepper")
    database.bind(str(folder.absolute() / "keydesk.db"))
    migrations.migrate(now)
    building.build(now, made, seed, Postman(folder / "mails"))
    return made


def _settings(folder: Path) -> str:
    seller = "\n".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in SELLER.items())
    store, pepper = (
        json.dumps(str(folder.absolute() / name), ensure_ascii=False) for name in ("keydesk.db", "keydesk.pepper")
    )
    return _SETTINGS.format(store=store, pepper=pepper, seller=seller)


def _empty(folder: Path) -> Path:
    if not str(folder.absolute()).isprintable():
        raise Refused(f"{folder} has a name that a settings file cannot hold; name another folder.")
    if folder.exists() and any(folder.iterdir()):
        raise Refused(f"{folder} is not empty; name a new folder for the demo's world.")
    private_directory(folder)
    return folder


@contextmanager
def _temporary_folder(*, keep: bool) -> Iterator[Path]:
    """A folder for one user's eyes that goes away again, also when the demo is told to end."""
    folder = Path(tempfile.mkdtemp(prefix="keydesk-demo-"))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        yield folder
    finally:
        database.dispose()
        if keep:
            sys.stdout.write(visible(f"The demo is kept in {folder}: keydesk --settings {folder}/keydesk.toml") + "\n")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


@contextmanager
def _child(folder: Path, module: str, *arguments: str, stdout: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A child of this process that ends before it, and with it, whatever happens to either."""
    # The user's own settings are not the demo's.
    own = {name: value for name, value in os.environ.items() if not name.startswith("KEYDESK_")}
    with (folder / "children.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - this program itself, with arguments made here
            [sys.executable, "-m", module, str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log if stdout is None else stdout,
            stderr=log,
            env=own,
            start_new_session=True,  # Ctrl+C in the terminal is the desk's
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _add_mail_server(folder: Path, catcher: subprocess.Popen[bytes]) -> None:
    port = catcher.stdout.readline().strip().decode() if catcher.stdout else ""
    if not port:
        raise KeydeskError(f"The demo's mail server did not start; {folder / 'children.log'} says why.")
    mail = _MAIL.format(port=port, sender=SENDER.address, reply_to=SENDER.reply_to)
    with (folder / "keydesk.toml").open("a", encoding="utf-8") as settings:
        settings.write(mail)
