"""Where one is, and as whom: the first row of a page."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from tui import foreign
from tui.widgets.line import Line


class Crumbs(Line):
    """`Keydesk › Acme AS › API keys`, and at the right the admin."""

    def __init__(self, who: Text) -> None:
        super().__init__()
        self.who = who
        self.places: tuple[str, ...] = ()

    def lead(self, places: Sequence[str]) -> None:
        """The way from the start to here."""
        if tuple(places) != self.places:
            self.places = tuple(places)
            self.refresh()

    def render(self) -> Text:
        """The way, shortened in its middle so that the admin can always be read."""
        way = Text(" › ").join(foreign.text(place, "bold") for place in self.places)
        room = self.size.width - cell_len(self.who.plain) - 3
        way.truncate(max(8, room), overflow="ellipsis")
        gap = max(1, self.size.width - cell_len(way.plain) - cell_len(self.who.plain) - 2)
        return Text.assemble(" ", way, " " * gap, self.who, " ")
