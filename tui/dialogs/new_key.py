"""A new API key: whose, for what, until when, and what it will cost."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Final

from textual import on
from textual.app import ComposeResult
from textual.widgets import Static

from store.errors import KeydeskError, Refused
from store.rules import expiry
from store.rules.expiry import Kind
from store.rules.key_format import Environment
from store.rules.text import check_name
from tui.background import begin
from tui.dialogs.dialog import Dialog, row, said, stacked
from tui.widgets.choice_row import ChoiceRow
from tui.widgets.date_input import DateInput
from tui.widgets.field import Field
from tui.widgets.finder import Finder
from tui.widgets.tick import Tick

if TYPE_CHECKING:
    from textual.timer import Timer

_PAUSE: Final = 0.2  # seconds without a change before the cost is asked for
_ENVIRONMENTS: Final[dict[str, Environment]] = {"prod": "prod", "sandbox": "sandbox", "all": "all"}
_QUICK_KEYS: Final = {"3 months": "3", "1 year": "1", "2 years": "2"}


@dataclass(frozen=True, slots=True)
class ResourceChoice:
    """A resource a key can be made for: active and licensed."""

    id: int
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class NewKeyDraft:
    """The key somebody is about to make."""

    resource_id: int
    label: str
    environment: Environment
    kind: Kind
    expires_on: date


def quick_dates(today: date) -> list[tuple[str, date, str]]:
    """The choices of a date field: title, day, key."""
    return [(title, day, _QUICK_KEYS[title]) for title, day in expiry.quick_choices(today)]


class NewKeyDialog(Dialog[NewKeyDraft]):
    """`search` lists active, licensed resources for a needle, the best first.

    `cost` says in sentences what a draft, its label left empty, will cost; Generate waits until they have been shown.
    """

    caption: str = "New API key"
    accepting: str = "Generate"

    def __init__(
        self,
        company: str,
        today: date,
        search: Callable[[str], Awaitable[Sequence[ResourceChoice]]],
        cost: Callable[[NewKeyDraft], Awaitable[tuple[str, ...]]],
        *,
        resource: ResourceChoice | None = None,
    ) -> None:
        super().__init__()
        self._company = company
        self._today = today
        self._cost = cost
        self._resource = Finder(
            search,
            placeholder="search by name or email",
            nothing="No active, licensed user of this company matches.",
            picked=resource,
        )
        self._label = Field(placeholder="what it is for, like “ERP export”", limit=64)
        self._environment = ChoiceRow([("prod", "Prod", "p"), ("sandbox", "Sandbox", "s"), ("all", "All", "a")], "prod")
        self._test = Tick("Test key: works for 14 days, and no longer")
        self._expiry = DateInput(
            today,
            dict(expiry.quick_choices(today))["1 year"],
            first=today,
            last=expiry.latest(today),
            rule=lambda day: expiry.check(day, today),
            quick=quick_dates(today),
        )
        self._costs = Static(classes="said")
        self._pause: Timer | None = None
        self._costed: NewKeyDraft | None = None

    def fields(self) -> ComposeResult:
        """The form, and what it costs."""
        yield said(f"for {self._company}", style="bold")
        yield row("Resource", self._resource)
        yield row("Label", self._label)
        yield row("Environment", self._environment)
        yield row("Test", self._test)
        yield row("Expiry date", self._expiry)
        yield row("Cost", self._costs)

    def on_mount(self) -> None:
        """Say what is missing before a cost can be said."""
        self._ask()

    def answer(self) -> NewKeyDraft:
        """The draft, once its cost has been on the screen."""
        with self.about(self._resource.query_one(Field)):
            if self._resource.picked is None:
                raise Refused("Choose the resource the key is for: write a part of the name and press Enter.")
        with self.about(self._label):
            label = check_name(self._label.value, "The label")
        with self.about(self._expiry.query_one(Field)):
            self._expiry.checked()
        draft = self._unlabelled()
        if draft is None or draft != self._costed:
            raise Refused("What it will cost is still being worked out; answer again when it stands above.")
        return replace(draft, label=label)

    def _unlabelled(self) -> NewKeyDraft | None:
        """What a cost can be worked out for; the label costs nothing."""
        resource, expires_on = self._resource.picked, self._expiry.value
        if resource is None or expires_on is None:
            return None
        environment = _ENVIRONMENTS[self._environment.value or "prod"]
        return NewKeyDraft(resource.id, "", environment, "test" if self._test.ticked else "standard", expires_on)

    @on(Tick.Changed)
    def _test_ticked(self) -> None:
        self._expiry.fix(expiry.test_expiry(self._today) if self._test.ticked else None)
        self._changed()

    @on(Finder.Changed)
    @on(ChoiceRow.Changed)
    @on(DateInput.Changed)
    def _changed(self) -> None:
        """Ask for the cost again, a moment after the last change."""
        self.refuse("")
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(_PAUSE, self._ask)

    def _ask(self) -> None:
        draft = self._unlabelled()
        if draft is None:
            self._costs.update("Choose a resource and a date to see it.")
        elif draft != self._costed:
            begin(self, self._say_cost, draft, group="cost", alone=True)

    async def _say_cost(self, draft: NewKeyDraft) -> None:
        try:
            sentences = await self._cost(draft)
        except KeydeskError as unknown:
            sentences = (str(unknown),)
        if draft == self._unlabelled():  # else the answer is to a question nobody asks any more
            self._costed = draft
            self._costs.update(stacked(sentences))
