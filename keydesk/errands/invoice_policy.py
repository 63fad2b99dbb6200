"""`keydesk invoice policy`: how the vendor reads its own terms, and what another reading would change."""

import argparse
import sys
from collections.abc import Callable, Iterator
from datetime import datetime

from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import policy_preview, rating_policy
from store.database import session
from store.errors import FormatWrong, Refused
from store.rules.text import visible

_NOT_SAVED = "Nothing was changed; say --yes and --reason to save it.\n"


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Exit status 3 when only told what would change, for want of --yes."""
    open_store(settings)
    with session():
        before = rating_policy.written()
        if not given.answers:
            sys.stdout.writelines(f"{line}\n" for line in _listed())
            return 0
        after, answers = before, dict(map(_answer, given.answers))
        for name, value in answers.items():
            after = rating_policy.answered(after, name, value)
        if after == before:
            raise Refused("This is what is chosen already; nothing was changed.")
        if given.yes and not given.reason:
            raise Refused("Say why with --reason; it is kept in the audit log.")
        for sentence in policy_preview.of_policy(after, clock()):
            sys.stdout.write(f"{sentence}\n")
        if not given.yes:
            sys.stdout.write(_NOT_SAVED)
            return 3
        rating_policy.answer(local_actor(), answers, clock(), given.reason)
        sys.stdout.write("Saved.\n")
    return 0


def _answer(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise FormatWrong(f"{visible(text)} is not NAME=VALUE, such as overuse_mode=auto.")
    return name.strip(), value.strip()


def _listed() -> Iterator[str]:
    """Each choice with what can be chosen; a star marks what differs from the product's own."""
    chosen, product = rating_policy.answers(rating_policy.written()), rating_policy.answers({})
    for question in rating_policy.QUESTIONS:
        value = chosen[question.name]
        mark = " " if value == product[question.name] else "*"
        others = ", ".join(question.words) or "a whole number"
        own = "" if mark == " " else f"; the product's own is {product[question.name]}"
        yield f"{mark} {question.name + '=' + value:<32} {question.meaning}"
        yield f"  {'':<32} {others}{own}"
