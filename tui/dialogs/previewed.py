"""A form that says what it will change before it is saved."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from textual.widgets import Static

from store.errors import KeydeskError, Refused
from tui.background import begin
from tui.dialogs.dialog import Answer, Dialog, stacked

if TYPE_CHECKING:
    from textual.timer import Timer

_PAUSE: Final = 0.2  # seconds without a change before the difference is asked for

Draft = TypeVar("Draft")
Preview = Callable[[Draft], Awaitable[tuple[str, ...]]]


class PreviewedDialog(Dialog[Answer], Generic[Answer, Draft]):
    """`preview` says in sentences what a draft would change. Subclasses give the draft and call `changed`."""

    accepting: str = "Save"

    def __init__(self, preview: Preview[Draft]) -> None:
        super().__init__()
        self.difference = Static(classes="said")
        self._preview = preview
        self._pause: Timer | None = None
        self._shown: Draft | None = None

    def draft(self) -> Draft:
        """What the fields say; raises KeydeskError while they do not say it yet."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Say what is missing, or what the proposal would change."""
        self._ask()

    def changed(self) -> None:
        """Ask again, a moment after the last change."""
        self.refuse("")
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(_PAUSE, self._ask)

    def previewed(self) -> Draft:
        """The draft, once its difference has been on the screen."""
        draft = self.draft()
        if draft != self._shown:
            raise Refused("What it changes is still being worked out; answer again when it stands above.")
        return draft

    def _ask(self) -> None:
        try:
            draft = self.draft()
        except KeydeskError as missing:
            self.difference.update(stacked([str(missing)], "dim"))
        else:
            if draft != self._shown:
                begin(self, self._say, draft, group="cost", alone=True)

    async def _say(self, draft: Draft) -> None:
        try:
            sentences = await self._preview(draft)
        except KeydeskError as unknown:
            sentences = (str(unknown),)
        try:
            still = self.draft()
        except KeydeskError:
            return
        if draft == still:  # else the answer is to a question nobody asks any more
            self._shown = draft
            self.difference.update(stacked(sentences))
