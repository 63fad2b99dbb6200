"""The command palette: the acts that can be done here and now, and nothing else."""

from functools import partial

from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.widgets import Input

from tui import acts
from tui.acts import Act
from tui.screens.page import Page


class ActProvider(Provider):
    """The library's own commands are left out: one of them saves the screen, and with it a key, into a file."""

    async def discover(self) -> Hits:
        """All of them, in the footer's order."""
        for act in self._acts():
            yield DiscoveryHit(_with_keys(Content(act.title), act), partial(self._do, act), text=act.title)

    async def search(self, query: str) -> Hits:
        """Those that match."""
        matcher = self.matcher(query)
        for act in self._acts():
            score = matcher.match(act.title)
            if score > 0:
                found = _with_keys(matcher.highlight(act.title), act)
                yield Hit(score, found, partial(self._do, act), text=act.title)

    def _acts(self) -> list[Act]:
        page = self.screen
        if not isinstance(page, Page):
            return []
        return [act for act in acts.allowed(page.situation()) if act.id != "palette"]

    def _do(self, act: Act) -> None:
        page = self.screen
        if isinstance(page, Page):
            page.action_act(act.id)


class Palette(CommandPalette):
    """The library's, without the blinking."""

    def on_mount(self) -> None:
        """Be silent while nobody types."""
        self.query_one(Input).cursor_blink = False


def _with_keys(title: Content, act: Act) -> Content:
    """One row an act: its title, and the keys that would have done it."""
    return Content.assemble(title, ("  " + " ".join(acts.shown(key) for key in act.keys), "dim"))
