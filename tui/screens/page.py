"""What every page of the desk is: crumbs, tabs, a filter, one open section, a status line and the keys."""

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Input

from tui import acts
from tui.acts import ACTS, Act, Situation
from tui.screens.section import Section
from tui.surroundings import Surroundings
from tui.widgets.crumbs import Crumbs
from tui.widgets.filter_bar import FilterBar
from tui.widgets.key_hints import KeyHints
from tui.widgets.status_line import StatusLine
from tui.widgets.tab_row import TabRow
from tui.widgets.window_table import WindowTable

ACTING = {"act", "open"}  # workers that open a dialog or a page


class Page(Screen[None]):
    """Sections side by side, one of them open. An act is looked for in the section, then here, then in the app."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(",".join(act.keys), f"act('{act.id}')", act.title, show=False, priority=True, id=act.id)
        for act in ACTS
        if act.id not in {"quit", "palette"}  # the library's own, with these keys
    ]
    AUTO_FOCUS = None

    def __init__(self, desk: Surroundings, sections: Sequence[Section]) -> None:
        super().__init__()
        self.desk = desk
        self.sections = {section.kind: section for section in sections}
        self.section = sections[0]
        self.crumbs = Crumbs(_who(desk))
        self.tabs = TabRow()
        self.filter = FilterBar()
        self.status = StatusLine()
        self.hints = KeyHints()

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield self.crumbs
        yield self.tabs
        yield self.filter
        with Vertical(id="sections"):
            yield from self.sections.values()
        yield self.status
        yield self.hints

    def on_mount(self) -> None:
        """Open the first section."""
        self.open(self.section.kind)

    def on_screen_resume(self) -> None:
        """Somebody may have written while another page was in front."""
        if self.is_mounted:
            self.draw_frame()
            self.stored_change()

    # What a page may say otherwise

    def places(self) -> list[str]:
        """The crumbs."""
        return [self.section.caption]

    def open_kinds(self) -> list[str]:
        """The sections that can be opened now."""
        return list(self.sections)

    def tab_title(self, kind: str) -> str:
        """What a section's tab says."""
        return self.sections[kind].caption

    def company_id(self) -> int | None:
        """The company that the page, or the row under the cursor, is about."""
        return acts.company_of(self.section.row)

    def api_access(self) -> bool | None:
        """Whether that company has API Access enabled; None when it is not known."""
        return getattr(self.section.row, "api_access", None)

    # Moving about

    def open(self, kind: str) -> None:
        """Show one section."""
        self.section = self.sections[kind]
        for name, section in self.sections.items():
            section.display = name == kind
        self.filter.suit(self.section.needle, self.section.listing.grammar)
        self.status.tell("")
        self.draw_frame()
        self.section.opened()

    def draw_frame(self) -> None:
        """Bring everything around the list up to date."""
        self.crumbs.lead(self.places())
        self.tabs.offer([(kind, self.tab_title(kind)) for kind in self.open_kinds()], self.section.kind)
        self.status.place(self.section.place())
        situation = self.situation()
        hints = [act for act in acts.allowed(situation) if act.hint]
        self.hints.offer([(acts.shown(act.keys[0]), act.hint) for act in hints])

    def stored_change(self) -> None:
        """Somebody wrote."""
        self.section.stored_change()

    def outdated(self) -> None:
        """The desk itself wrote: all lists are read again when they are looked at."""
        for section in self.sections.values():
            section.outdated()
        self.section.opened()

    def tell(self, text: str, style: str = "") -> None:
        """Say something on the status line."""
        self.status.tell(text, style)

    # Acts

    def situation(self) -> Situation:
        """What decides about acts now."""
        return Situation(
            self.section.kind,
            self.desk.actor,
            self.desk.read_only,
            self.section.row,
            self.company_id(),
            self.api_access(),
            can_go_back=self._can_go_back(),
            has_filter=self.section.listing.grammar is not None,
            month=getattr(self.section, "month_row", None),
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While one types into the filter, letters are letters. One key may be another act in another section."""
        if action != "act":
            return True
        offered = any(acts.BY_ID[str(name)].offered(self.section.kind) for name in parameters)
        return offered and not isinstance(self.focused, Input)

    def action_act(self, name: str) -> None:
        """Do it, or say why not. While a dialog is on its way, what was meant for it is not taken for an act."""
        if any(worker.group in ACTING and not worker.is_finished for worker in self.app.workers):
            return
        act = acts.BY_ID[name]
        situation = self.situation()
        why = act.refusal(situation)
        self.tell("" if why is None else why)
        if why is None:
            self.do(act)

    def do(self, act: Act) -> None:
        """Do what is allowed."""
        for place in (self.section, self, self.app):
            run: Any = getattr(place, f"do_{act.id}", None)
            if run is not None:
                run()
                return

    def do_filter(self) -> None:
        """Go to the filter."""
        self.set_focus(self.filter.field)  # at once, so that what is typed behind the slash goes there

    def do_back(self) -> None:
        """Take the filter away first, then go back."""
        if self.section.needle:
            self.filter.field.value = ""
        else:
            self.app.pop_screen()

    def _can_go_back(self) -> bool:
        pages = [page for page in self.app.screen_stack if isinstance(page, Page)]
        return bool(self.section.needle) or pages[:1] != [self]

    def do_help(self) -> None:
        """All keys that mean something here, and why some of them do nothing now."""
        from tui.dialogs.help import HelpDialog, HelpLine

        situation = self.situation()
        lines = [
            HelpLine(" ".join(acts.shown(key) for key in act.keys), act.title, act.refusal(situation) or "")
            for act in ACTS
            if act.offered(situation.section)
        ]
        self.app.push_screen(HelpDialog(lines))

    def do_next_tab(self) -> None:
        """The section to the right, round and round."""
        self._step(1)

    def do_previous_tab(self) -> None:
        """The section to the left."""
        self._step(-1)

    def _step(self, steps: int) -> None:
        kinds = self.open_kinds()
        self.open(kinds[(kinds.index(self.section.kind) + steps) % len(kinds)])

    # What its parts say

    @on(Section.Changed)
    def _section_changed(self) -> None:
        self.draw_frame()

    @on(Section.Said)
    def _section_said(self, event: Section.Said) -> None:
        self.tell(event.text, event.style)
        self.draw_frame()

    @on(Section.Swapped)
    def _section_swapped(self) -> None:
        self.filter.suit(self.section.needle, self.section.listing.grammar)
        self.draw_frame()

    @on(FilterBar.Changed)
    def _narrowed(self, event: FilterBar.Changed) -> None:
        self.section.narrow(event.needle)

    @on(FilterBar.Left)
    def _filter_left(self) -> None:
        self.set_focus(self.section.table)

    @on(WindowTable.Opened)
    def _row_opened(self) -> None:
        self.action_act("open")

    @on(TabRow.Chosen)
    def _tab_chosen(self, event: TabRow.Chosen) -> None:
        self.open(event.name)


def _who(desk: Surroundings) -> Text:
    actor = desk.actor
    read_only = " read-only" if desk.read_only else ""
    return Text(f"{actor.name} · {actor.role}{read_only}")
