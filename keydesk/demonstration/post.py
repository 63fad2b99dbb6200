"""How the mails of the demo's last days went out, before there was a server to take them."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from jobs.delivery import Sender, write
from store import mail_truth, outgoing
from store.mail_truth import NoLongerTrue

SENDER: Final = Sender("keys@fjord.example", "support@fjord.example")
_OWNER: Final = "demo"
_LEASE: Final = timedelta(minutes=30)
_MOST: Final = 200


class Postman:
    """Writes each mail that is due and leaves it in a folder, as the demo's mail server does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept = 0

    def __call__(self, now: datetime) -> None:
        """Hand over what is due."""
        for mail in outgoing.claim(_OWNER, _MOST, _LEASE, now):
            try:
                confirmed = mail_truth.confirm(mail, now)
            except NoLongerTrue as reason:
                outgoing.withdrawn(mail.id, _OWNER, str(reason))
                continue
            letter, message = write(mail, confirmed, SENDER, now)
            outgoing.handing_over(mail.id, _OWNER, _LEASE, now, outgoing.Bound(letter.subject, message))
            self._kept += 1
            name = f"{self._kept:05d}.eml"
            (self._folder / name).write_bytes(message)
            outgoing.sent(mail.id, _OWNER, f"250 2.0.0 Ok: kept as {name}", now)
