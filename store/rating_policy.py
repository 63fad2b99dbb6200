"""The vendor's reading of its own terms, as this installation has chosen it; what is not chosen is the product's."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal

from store.actors import Actor
from store.change import change
from store.rules.rating import Policy
from store.rules.rating_file import policy_from_mapping
from store.rules.reading import Reading
from store.tables import Setting

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


def current() -> Choices:
    """The choices of this store."""
    row = Setting.get_or_none(Setting.name == _SETTING)
    return from_mapping(row.value if row is not None else {})


def choose(actor: Actor, chosen: Mapping[str, Any], now: datetime) -> Choices:
    """Replace the choices; final months stay as they were rated. FormatWrong names the choice that cannot be."""
    choices, after = from_mapping(chosen), dict(chosen)
    with change(actor, "billing.policy", None, now) as made:
        row = Setting.get_or_none(Setting.name == _SETTING)
        if row is None:
            Setting.create(name=_SETTING, value=after)
        else:
            Setting.update(value=after).where(Setting.name == _SETTING).execute()
        made.event("billing.policy", "billing policy", None, before=row.value if row is not None else {}, after=after)
    return choices


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
