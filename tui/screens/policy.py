"""How the vendor reads its own terms, for all companies: each question, what is chosen, what the product's own is."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from rich.text import Text

from store import policy_preview, rating_policy
from store.listings.selection import Ids
from store.rating_policy import QUESTIONS, Question
from tui import foreign
from tui.background import begin
from tui.screens.key_acts import Desk, carried_out, tell_in
from tui.screens.page import Page
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.window_table import Column


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One question with its answers."""

    question: Question
    chosen: str
    product: str


def _chosen(row: AnswerRow) -> Text:
    """What is chosen; the product's own behind it where that is another."""
    if row.chosen == row.product:
        return foreign.text(row.chosen)
    return Text.assemble((row.chosen, "yellow"), (f" (not {row.product})", "dim"))


_COLUMNS = (
    Column("Choice", 27, lambda row: foreign.text(row.question.name)),
    Column("Chosen", 20, _chosen),
    Column("It decides", 24, lambda row: foreign.text(row.question.meaning), grow=1),
)


class PolicyAnswers(Section):
    """Enter asks for another answer."""

    kind: ClassVar[str] = "policy"
    caption: ClassVar[str] = "How the terms are read"

    def __init__(self, desk: Surroundings) -> None:
        super().__init__(desk, Listing("choice", "choices", _COLUMNS, _ids, _rows))

    def place(self) -> str:
        """What the choice under the cursor decides, in full."""
        return str(self.row.question.meaning) if self.row is not None else super().place()

    def do_answer(self) -> None:
        """Another one."""
        begin(self, _answer, self.app, self.desk, self.row, group="act")

    def do_open(self) -> None:
        """The same, where it is allowed."""
        if isinstance(self.screen, Page):
            self.screen.action_act("answer")


class PolicyPage(Page):
    """The choices alone."""

    def __init__(self, desk: Surroundings) -> None:
        super().__init__(desk, [PolicyAnswers(desk)])

    def places(self) -> list[str]:
        """Behind the prices."""
        return ["Prices", self.section.caption]


async def _answer(app: Desk, desk: Surroundings, row: AnswerRow) -> None:
    from tui.dialogs.policy_answer import PolicyDialog

    name = row.question.name
    before = await desk.reader.read(rating_policy.written)

    async def preview(value: str) -> tuple[str, ...]:
        chosen = rating_policy.answered(before, name, value)
        return await desk.reader.read(lambda: policy_preview.of_policy(chosen, desk.clock()))

    answer = await app.push_screen_wait(PolicyDialog(row.question, row.chosen, row.product, preview))
    if answer is None:
        return
    given = {name: answer.value}
    if await carried_out(app, desk, lambda: rating_policy.answer(desk.actor, given, desk.clock(), answer.reason)):
        tell_in(app, f"{name} is {answer.value} from now on; drafts follow with the next run.")


def _ids(_needle: str, _now: datetime, _limit: int | None) -> Ids:
    return array("q", range(len(QUESTIONS)))


def _rows(wanted: Sequence[int], _now: datetime) -> dict[int, AnswerRow]:
    chosen, product = rating_policy.answers(rating_policy.written()), rating_policy.answers({})
    return {
        each: AnswerRow(QUESTIONS[each], chosen[QUESTIONS[each].name], product[QUESTIONS[each].name]) for each in wanted
    }
