"""A new key, shown once."""

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from store.errors import Refused
from store.rules.key_format import Environment
from tui import clipboard, foreign
from tui.dialogs.dialog import Dialog, row, said
from tui.widgets.tick import Tick


@dataclass(frozen=True, slots=True)
class NewKey:
    """What is known of the key beside its secret."""

    company: str
    resource: str
    label: str
    environment: Environment
    expires: str  # spelled out


class ShowKeyDialog(Dialog[None]):
    """Left only by ticking "stored" and then Enter. The secret is in one widget, and gone from it afterwards.

    `may_quit` is False while it is open: the app asks it before it quits.
    """

    DEFAULT_CSS = """
    ShowKeyDialog .secret { height: 1; margin: 1 0; text-style: bold; background: $surface; color: $text-success; }
    ShowKeyDialog .copied { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy"),
        Binding("ctrl+c", "copy", "Copy", priority=True),
        Binding("enter", "accept", "Close", show=False),
    ]
    ALLOW_SELECT = False  # a selection is copied through App.clipboard, which keeps it

    caption: str = "The new key, shown only now"
    accepting: str = "Close"
    cancelling: str | None = None
    keys: str = "c copy · space tick · then enter closes"
    may_quit: ClassVar[bool] = False

    def __init__(self, secret: str, key: NewKey, *, tmux: bool = False, may_copy: bool = True) -> None:
        super().__init__()
        self._secret = secret
        self._key = key
        self._tmux = tmux
        self._may_copy = may_copy
        self._line = Static(Text(secret, no_wrap=True), classes="secret")
        self._copied = Static("Press c to copy it." if may_copy else "Copying is switched off.", classes="copied")
        self._stored = Tick("I have stored it where it belongs")

    def fields(self) -> ComposeResult:
        """Whose key, the key, how to try it, and the step that leaves."""
        yield row("Key", said(self._key.label))
        yield row("Resource", said(f"{self._key.resource}, {self._key.company}"))
        yield row("Expires", said(self._key.expires))
        yield self._line
        yield self._copied
        environment = "prod" if self._key.environment == "all" else self._key.environment
        yield said(
            "It is not kept, so nobody can show it again. To try it, paste it into",
            f"    keydesk key accept --environment {environment}",
            "",
            gap=True,
        )
        yield self._stored

    def on_mount(self) -> None:
        """Begin at the box."""
        self._stored.focus()

    def on_unmount(self) -> None:
        """Leave nothing in memory that a later look at the desk could find."""
        self._forget()

    def action_copy(self) -> None:
        """Send it to the terminal's clipboard, only ever by this key."""
        if self._may_copy:
            clipboard.copy(self.app, self._secret, tmux=self._tmux)
            self._copied.update(foreign.text(clipboard.SENT))

    def action_cancel(self) -> None:
        """Stay: what is left here is lost."""
        self.refuse("The key is lost if you leave without storing it: tick the box with Space, then press Enter.")

    def action_advance(self) -> None:
        """Enter closes, once the box is ticked."""
        self.action_accept()

    def answer(self) -> None:
        """Nothing to give back; only refuses while the box is empty."""
        if not self._stored.ticked:
            self._stored.focus()
            raise Refused("Store the key first, then tick the box with Space and press Enter.")

    def leave(self, answer: None) -> None:
        """Overwrite before the dialog closes."""
        self._forget()
        super().leave(answer)

    def _forget(self) -> None:
        self._secret = ""
        self._line.update("")
