"""The vendor's reading of its own terms, as this installation has chosen it; what is not chosen is the product's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final, Literal

from store.actors import Actor
from store.change import change
from store.database import session, writing
from store.errors import FormatWrong
from store.rules.rating import Policy
from store.rules.rating_file import policy_from_mapping
from store.rules.reading import Reading
from store.rules.text import check_name, visible
from store.tables import Setting

ACT: Final = "billing.policy"
_SETTING = "billing"
_OURS = ("undecided", "line_limit")
_WRITTEN = {"usage_environments": "usage_envs"}  # where files have another name for a field


@dataclass(frozen=True)
class Choices:
    """How months are rated and closed.

    `undecided`: what becomes of overuse that nobody has decided about when its month is to be made final: it is carried
    into the next draft, or it holds the month. `line_limit`: a line that is more than so many times what it usually was
    holds its month for review; 0 asks nothing.
    """

    policy: Policy = field(default_factory=Policy)
    undecided: Literal["carry", "hold"] = "carry"
    line_limit: int = 10


@dataclass(frozen=True, slots=True)
class Question:
    """One thing about which the terms can be read in more than one way. Without `words` the answer is a number."""

    name: str
    meaning: str
    words: tuple[str, ...] = ()


QUESTIONS: Final = (
    Question("licensed_users_rule", "which licences of the month count: the most, the last or the first", (
        "peak", "end", "start")),
    Question("rotation_grace_days", "days for which a rotated key and its successor count as one"),
    Question("free_test_keys_per_resource", "test keys of one resource that cost nothing"),
    Question("test_key_window", "over what free test keys are counted", ("lifetime", "period", "concurrent")),
    Question("test_overflow_cadence", "how often a test key beyond the free ones costs", ("once", "monthly")),
    Question("access_proration", "whether part of a month costs part of the fee", ("none", "daily")),
    Question("overuse_mode", "what becomes of usage above what is included", ("review", "auto", "off")),
    Question("usage_envs", "the environments whose usage counts", ("prod", "prod,sandbox", "sandbox")),
    Question("late_usage_days", "days after a month in which its usage is still invoiced"),
    Question("undecided", "what undecided overuse does when its month is to become final", ("carry", "hold")),
    Question("line_limit", "times its usual amount at which a line holds its month; 0: never"),
)  # fmt: skip
_BY_NAME: Final = {question.name: question for question in QUESTIONS}


def current() -> Choices:
    """The choices of this store."""
    return from_mapping(written())


def written() -> dict[str, Any]:
    """What this store has chosen other than the product, under the names of files."""
    row = Setting.get_or_none(Setting.name == _SETTING)
    return dict(row.value) if row is not None else {}


def answers(chosen: Mapping[str, Any]) -> dict[str, str]:
    """Each question's answer as people read and write it, those of the product among them."""
    choices = from_mapping(chosen)
    fields_of = {_WRITTEN.get(each.name, each.name): getattr(choices.policy, each.name) for each in fields(Policy)}
    told = {**fields_of, "undecided": choices.undecided, "line_limit": choices.line_limit}
    return {
        name: ",".join(value) if isinstance(value := told[name], tuple) else str(value)
        for name in (question.name for question in QUESTIONS)
    }


def answered(chosen: Mapping[str, Any], name: str, text: str) -> dict[str, Any]:
    """The choices with another answer to one question; FormatWrong for what is none. The product's own is not kept."""
    question = _BY_NAME.get(name)
    if question is None:
        raise FormatWrong(f"{visible(name)} is nothing to choose; there are {', '.join(_BY_NAME)}.")
    value: Any = text
    if question.words:
        if text not in question.words:
            raise FormatWrong(f"{name} is one of {', '.join(question.words)}, not {visible(text)}.")
        value = text.split(",") if name == "usage_envs" else text
    elif not re.fullmatch(r"[0-9]{1,7}", text, re.ASCII):
        raise FormatWrong(f"{name} is a whole number, not {visible(text)}.")
    else:
        value = int(text)
    others = {key: each for key, each in chosen.items() if key != name}
    after = {**others, name: value}
    return others if answers(after)[name] == answers({})[name] else after


def choose(actor: Actor, chosen: Mapping[str, Any], now: datetime, reason: str = "") -> Choices:
    """Replace the choices; final months stay as they were rated. FormatWrong names the choice that cannot be.

    Drafts follow with the next run.
    """
    choices, after = from_mapping(chosen), dict(chosen)
    why = {"reason": check_name(reason, "The reason", limit=200)} if reason else {}
    with change(actor, ACT, None, now) as made:
        before = written()
        row = Setting.get_or_none(Setting.name == _SETTING)
        if row is None:
            Setting.create(name=_SETTING, value=after)
        else:
            Setting.update(value=after).where(Setting.name == _SETTING).execute()
        made.event(ACT, "billing policy", None, before=before, after={**after, **why})
    return choices


def answer(actor: Actor, given: Mapping[str, str], now: datetime, reason: str) -> Choices:
    """Answer some of the questions otherwise and leave the others as they stand now."""
    with session(), writing():
        after = written()
        for name, text in given.items():
            after = answered(after, name, text)
        return choose(actor, after, now, check_name(reason, "The reason", limit=200))


def from_mapping(chosen: Mapping[str, Any]) -> Choices:
    """The choices as they are written: a policy's names as in files that are rated, `undecided` and `line_limit`."""
    ours, product = Reading(chosen, ""), Choices()
    return Choices(
        policy=policy_of({name: value for name, value in chosen.items() if name not in _OURS}),
        undecided=ours.choice("undecided", ("carry", "hold")) if ours.has("undecided") else product.undecided,
        line_limit=ours.whole("line_limit", least=0, most=1_000_000) if ours.has("line_limit") else product.line_limit,
    )


def policy_of(chosen: Mapping[str, Any]) -> Policy:
    """A policy from what differs from the product's own, as a month keeps it."""
    return policy_from_mapping(Reading(chosen, ""), Policy())


def differing(policy: Policy) -> dict[str, Any]:
    """What of a policy differs from the product's own, under the names of files."""
    product = Policy()
    return {
        _WRITTEN.get(each.name, each.name): list(value) if isinstance(value, tuple) else value
        for each in fields(policy)
        if (value := getattr(policy, each.name)) != getattr(product, each.name)
    }
