"""The desk: what an admin sees in a terminal, over SSH."""

import asyncio
import os
import signal
import sys
import termios
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import App
from textual.binding import Binding, BindingType

from store import database, installation
from store.actors import Actor
from store.errors import KeydeskError
from store.listings.change_number import change_number
from store.peppers import Peppers
from tui import faults
from tui.background import begin
from tui.reading import Reader
from tui.recording import Recorder
from tui.screens.home import HomePage
from tui.screens.page import Page
from tui.surroundings import Surroundings

if TYPE_CHECKING:
    from tui.palette import ActProvider

LOOK_EVERY_SECONDS = 2  # for what others wrote
_ENDS = {signal.SIGHUP: 129, signal.SIGTERM: 143}


def open_desk(
    actor: Actor,
    peppers: Peppers,
    *,
    clock: Callable[[], datetime],
    read_only: bool = False,
    mail_catcher: Path | None = None,
) -> int:
    """Run the desk until its admin leaves it; the exit status. The store must be bound.

    Without a terminal it refuses with status 1. A connection that is lost (SIGHUP) ends it with 129, SIGTERM with 143.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        sys.stderr.write("The desk needs a terminal. Over SSH ask for one (`ssh -t`), or use a `keydesk` errand.\n")
        return 1
    for ending in _ENDS:
        signal.signal(ending, signal.SIG_DFL)  # inherited as ignored, a lost line would leave an orphan behind
    app = DeskApp(actor, peppers, clock=clock, read_only=read_only, mail_catcher=mail_catcher)
    try:
        app.run()
    finally:
        app.desk.reader.close()
        app.desk.recorder.close()
    _forget_lost_terminal()
    if app.fault:
        sys.stderr.write(f"{app.fault}\n")
    return app.return_code or 0


def _forget_lost_terminal() -> None:
    """Nothing is owed to a terminal that has gone; left open, the interpreter would end with a status of its own."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _palette_provider() -> "type[ActProvider]":
    from tui.palette import ActProvider

    return ActProvider


class DeskApp(App[None]):
    """Pages on a stack. It draws nothing by itself: no clock, no blinking, no spinner."""

    TITLE = "Keydesk"
    CSS_PATH = "desk.tcss"
    COMMANDS = {_palette_provider}  # noqa: RUF012 - the library's declaration
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "leave", "Quit", show=False, priority=True, id="leave"),
    ]
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        actor: Actor,
        peppers: Peppers,
        *,
        clock: Callable[[], datetime],
        read_only: bool = False,
        mail_catcher: Path | None = None,
    ) -> None:
        super().__init__()
        self.animation_level = "none"
        self.desk = Surroundings(actor, peppers, clock, Reader(), Recorder(), read_only, mail_catcher)
        self.fault = ""  # one line for the admin, once the terminal is his again
        self._own_session = False
        self._seen = ""

    def on_mount(self) -> None:
        """Open the first page, and the installation's first questions when they were never answered."""
        self._end_on_signals()
        if database.backend() == "sqlite" and database.db.is_closed():
            database.db.connect()  # for blocks by primary key, which are read at once
            self._own_session = True
        self.push_screen(HomePage(self.desk))
        if not self.desk.read_only:
            begin(self, self._welcome, group="welcome")
        self.set_interval(LOOK_EVERY_SECONDS, self._look)

    async def _welcome(self) -> None:
        """Ask what the store must be told once."""
        try:
            known = await self.desk.reader.read(installation.read)
        except KeydeskError as fault:
            self._tell(str(fault))
            return
        if known is None and self.desk.actor.may("installation.set-up", None):
            from tui.screens import welcome

            await welcome.ask(self, self.desk)

    def on_unmount(self) -> None:
        """Give the connection back."""
        if self._own_session:
            database.db.close()

    def action_leave(self) -> None:
        """Quit, unless a key is on the screen that nobody has stored yet."""
        if getattr(self.screen, "may_quit", True):
            self.exit()
        else:
            self.bell()

    def do_quit(self) -> None:
        """The act of that name."""
        self.action_leave()

    def do_palette(self) -> None:
        """The act of that name."""
        self.action_command_palette()

    def action_command_palette(self) -> None:
        """Open the palette, once."""
        from tui.palette import Palette

        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

    # The sections of the first page, from anywhere

    def do_companies(self) -> None:
        """Companies."""
        self._home("companies")

    def do_all_keys(self) -> None:
        """All keys."""
        self._home("keys")

    def do_mails(self) -> None:
        """Mails and notices."""
        self._home("mails")

    def do_worker(self) -> None:
        """Worker."""
        self._home("worker")

    def do_invoices(self) -> None:
        """Invoices."""
        self._home("invoices")

    def do_prices(self) -> None:
        """Prices."""
        self._home("prices")

    def _home(self, kind: str) -> None:
        while not isinstance(self.screen, HomePage):
            self.pop_screen()
        self.screen.open(kind)

    # What others wrote

    def _look(self) -> None:
        begin(self, self._compare, group="look", alone=True)

    async def _compare(self) -> None:
        try:
            number = await self.desk.reader.read(change_number)
        except KeydeskError as fault:
            self._tell(str(fault))
            return
        # Days end, and workers fall silent, without anybody writing.
        seen, self._seen = self._seen, f"{number} {self.desk.clock():%Y-%m-%d %H:%M}"
        page = self.screen
        if seen not in {"", self._seen} and isinstance(page, Page):
            page.stored_change()

    def _tell(self, sentence: str) -> None:
        page = self.screen
        if isinstance(page, Page):
            page.tell(sentence, "bold")

    # Ends

    def _end_on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for ending, status in _ENDS.items():
            try:
                loop.add_signal_handler(ending, partial(self.exit, return_code=status))
            except (RuntimeError, ValueError):  # not the main thread: a test drives the app
                return
        if sys.stdin.isatty():
            self.set_interval(LOOK_EVERY_SECONDS, self._leave_a_lost_terminal)

    def _leave_a_lost_terminal(self) -> None:
        """Only the session's leader is told that the line is lost; `make` or `sudo` before us keeps that to itself."""
        try:
            termios.tcgetattr(sys.stdin.fileno())
        except termios.error:
            self.exit(return_code=_ENDS[signal.SIGHUP])

    def _fatal_error(self) -> None:
        """One line and a reference instead of a traceback: its locals hold names, and perhaps a key."""
        self.fault = faults.recorded(sys.exc_info()[1], self.desk.clock())
        self._exit_renderables.append(Text(""))
        self._close_messages_no_wait()
