"""The command palette: the acts that can be done here and now, and nothing else."""

from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui import acts
from tui.acts import Act
from tui.screens.page import Page


class ActProvider(Provider):
    """The library's own commands are left out: one of them saves the screen, and with it a key, into a file."""

    async def discover(self) -> Hits:
        """All of them, in the footer's order."""
        for act in self._acts():
            yield DiscoveryHit(act.title, partial(self._do, act), help=_keys(act))

    async def search(self, query: str) -> Hits:
        """Those that match."""
        matcher = self.matcher(query)
        for act in self._acts():
            score = matcher.match(act.title)
            if score > 0:
                yield Hit(score, matcher.highlight(act.title), partial(self._do, act), help=_keys(act))

    def _acts(self) -> list[Act]:
        page = self.screen
        if not isinstance(page, Page):
            return []
        return [act for act in acts.allowed(page.situation()) if act.id != "palette"]

    def _do(self, act: Act) -> None:
        page = self.screen
        if isinstance(page, Page):
            page.action_act(act.id)


def _keys(act: Act) -> str:
    return " ".join(acts.shown(key) for key in act.keys)
