"""A hand-over alone, and one with something done just before it is written down that the body goes, or just after."""

from collections.abc import Callable
from contextlib import closing

from jobs.smtp_session import Answer, Conversation, SmtpSession


def around_the_record(
    steps: Conversation, before: Callable[[], object] = lambda: None, after: Callable[[], object] = lambda: None
) -> Conversation:
    with closing(steps):
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                answer: Answer = end.value
                return answer
            if step != "asked":
                yield step
            else:
                before()
                yield step
                after()


def delivered(
    session: SmtpSession, sender: str, recipient: str, raw: bytes, before_body: Callable[[], object] = lambda: None
) -> Answer:
    """The answer; where `before_body` raises, its error."""
    steps = around_the_record(session.hand_over(sender, recipient, raw), before_body)
    with closing(steps):
        while True:
            try:
                next(steps)
            except StopIteration as end:
                answer: Answer = end.value
                return answer
