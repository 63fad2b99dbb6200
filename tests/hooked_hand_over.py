"""A hand-over with something done just before it is written down that the body goes, and just after that."""

from collections.abc import Callable
from contextlib import closing

from jobs.smtp_session import Answer, Conversation


def around_the_record(
    steps: Conversation, before: Callable[[], None] = lambda: None, after: Callable[[], None] = lambda: None
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
