"""What every dialog is: a form or a question over the desk, left by an answer or by Escape."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar, TypeVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from store.errors import KeydeskError
from store.rules.text import visible
from tui import foreign

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """Subclasses give the fields and the answer; a KeydeskError raised by `answer` is shown and the dialog stays.

    Enter goes to the next field, Ctrl+S answers from anywhere, Escape gives None.
    """

    DEFAULT_CSS = """
    Dialog { align: center middle; background: transparent; }
    Dialog > .panel {
        width: 100%; max-width: 80; height: auto; max-height: 100%;
        background: $panel; border: round $primary; padding: 0 1;
        border-title-style: bold; border-title-color: $text; border-subtitle-color: $text;
    }
    Dialog.-danger > .panel { border: heavy $error; }
    Dialog .body { height: auto; }
    Dialog .row { height: auto; }
    Dialog .row > .name { width: 14; }
    Dialog .row.-here > .name { text-style: bold reverse; }
    Dialog .said { height: auto; }
    Dialog .row > .said { width: 1fr; }
    Dialog .gap { margin: 1 0 0 0; }
    Dialog .refusal { color: $text-error; text-style: bold; height: auto; display: none; }
    Dialog .refusal.-told { display: block; }
    Dialog .buttons { height: 1; align-horizontal: right; }
    Dialog .buttons Button { margin: 0 0 0 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("ctrl+s", "accept", "Accept"),
        # First of all, so that what is typed fast or comes late over a slow line lands in the field after the Tab.
        Binding("tab", "app.focus_next", "Next", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", "Previous", show=False, priority=True),
        Binding("up,left", "app.focus_previous", "Previous", show=False),
        Binding("down,right", "app.focus_next", "Next", show=False),
    ]

    caption: str
    accepting: str = "OK"
    cancelling: str | None = "Cancel"
    keys: str = "enter next · ctrl+s {accept} · esc cancel"

    def __init__(self, *, danger: bool = False) -> None:
        super().__init__(classes="-danger" if danger else None)
        self._left = False
        self._panel = Vertical(classes="panel")
        self._body = VerticalScroll(classes="body", can_focus=False)
        self._refusal = Static(classes="refusal")

    def fields(self) -> ComposeResult:
        """What stands between caption and buttons."""
        raise NotImplementedError

    def answer(self) -> Answer:
        """What the fields say; raises KeydeskError when they may not say it."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        """The panel: fields, refusal, buttons; the keys stand in its lower edge."""
        self._panel.border_title = Content(visible(self.caption))
        keys = self.keys.format(accept=self.accepting.lower())
        self._panel.border_subtitle = Content(visible(keys))
        with self._panel:
            with self._body:
                yield from self.fields()
            yield self._refusal
            with Horizontal(classes="buttons"):
                yield Button(
                    Content(visible(self.accepting)),
                    variant="error" if self.has_class("-danger") else "primary",
                    id="accept",
                    compact=True,
                )
                if self.cancelling is not None:
                    yield Button(self.cancelling, id="cancel", compact=True)

    def action_cancel(self) -> None:
        """Leave without an answer."""
        self.leave(None)

    def action_accept(self) -> None:
        """Leave with the answer, or say why not."""
        try:
            answer = self.answer()
        except KeydeskError as refused:
            self.refuse(str(refused))
        else:
            self.leave(answer)

    def action_advance(self) -> None:
        """Go to the next field."""
        self.focus_next()

    def leave(self, answer: Answer | None) -> None:
        """Dismiss once, however often a key was pressed."""
        if not self._left:
            self._left = True
            self.dismiss(answer)

    def refuse(self, sentence: str) -> None:
        """Say why it cannot be; an empty sentence takes the last one away."""
        self._refusal.update(foreign.text(sentence))
        self._refusal.set_class(bool(sentence), "-told")
        self.call_after_refresh(self._fit)

    @contextmanager
    def about(self, field: Widget) -> Iterator[None]:
        """Put the focus where the fault is."""
        try:
            yield
        except KeydeskError:
            field.focus()
            raise

    @on(Button.Pressed, "#accept")
    def _accept_pressed(self) -> None:
        self.action_accept()

    @on(Button.Pressed, "#cancel")
    def _cancel_pressed(self) -> None:
        self.action_cancel()

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.action_advance()

    def on_resize(self, event: events.Resize) -> None:
        """Keep refusal, buttons and keys on a small screen; the fields scroll."""
        del event
        self._fit()

    def _fit(self) -> None:
        around = 2 + 1 + (self._refusal.outer_size.height if self._refusal.display else 0)
        self._body.styles.max_height = max(1, self.size.height - around)


class _Row(Horizontal):
    """Marks its name while the focus is inside it."""

    def on_descendant_focus(self) -> None:
        """Mark it."""
        self.add_class("-here")

    def on_descendant_blur(self) -> None:
        """Take the mark away."""
        self.remove_class("-here")


def row(name: str, *widgets: Widget) -> Horizontal:
    """A field with its name before it."""
    return _Row(Static(stacked(name.splitlines()), classes="name"), *widgets, classes="row")


def said(*sentences: str, style: str = "", gap: bool = False) -> Static:
    """Sentences, one below the other."""
    return Static(stacked(sentences, style), classes="said gap" if gap else "said")


def stacked(sentences: Iterable[str], style: str = "") -> Text:
    """Foreign sentences, one below the other."""
    return Text("\n").join(foreign.text(sentence, style) for sentence in sentences)
