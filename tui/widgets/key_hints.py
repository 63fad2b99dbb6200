"""The last row: the keys that do something here, the most wanted first."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from tui.widgets.line import Line


class KeyHints(Line):
    """As many hints as fit; the last one, `? help`, always does."""

    def __init__(self) -> None:
        super().__init__()
        self.hints: tuple[tuple[str, str], ...] = ()

    def offer(self, hints: Sequence[tuple[str, str]]) -> None:
        """Show these (key, title)."""
        if tuple(hints) != self.hints:
            self.hints = tuple(hints)
            self.refresh()

    def render(self) -> Text:
        """Keys in bold, titles plain."""
        if not self.hints:
            return Text()
        *first, last = [Text.assemble((key, "bold"), " ", title) for key, title in self.hints]
        room = self.size.width - 2 - cell_len(last.plain)
        row = Text(" ", no_wrap=True)
        for hint in first:
            length = cell_len(hint.plain) + 2
            if length > room:
                break
            room -= length
            row.append_text(hint).append("  ")
        return row.append_text(last)
