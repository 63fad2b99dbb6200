"""One change: the right is asked, rows change, the event is written and mails are queued, or nothing happens."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from store import events, migrations, outbox
from store.actors import Actor, require
from store.database import session, writing
from store.events import Fact
from store.outbox import Owed


class Change:
    """What a change has said so far; it is written when the change's block ends well."""

    def __init__(self, actor: Actor, now: datetime) -> None:
        self.actor = actor
        self.now = now
        self.facts: list[Fact] = []
        self.mails: list[Owed] = []

    def event(self, act: str, subject: str, company_id: int | None, *, before: Any = None, after: Any = None) -> None:
        """Say what was done to what."""
        self.facts.append(Fact(act, subject, company_id, before, after))

    def mail(self, owed: Owed) -> None:
        """Owe a mail for it."""
        self.mails.append(owed)


@contextmanager
def change(actor: Actor, act: str, company_id: int | None, now: datetime) -> Iterator[Change]:
    """One transaction. Raises NotAllowed before the block runs when the actor's role does not reach `act` there.

    OtherVersion when the store has been brought to another version since this program opened it.
    """
    with session(), writing():
        migrations.check()
        require(actor, act, company_id)
        made = Change(actor, now)
        yield made
        if made.facts:
            events.append(actor, now, made.facts)
        outbox.queue(made.mails, now)
