"""Who was told, who is to be told, and whom nothing reaches."""

import email
import json
from email import policy
from email.message import EmailMessage
from typing import ClassVar

from store.errors import KeydeskError
from store.listings import emails
from store.listings.emails import MailRow, NoticeRow
from store.rules import key_format
from store.tables import Email
from tui import cells, foreign
from tui.background import begin
from tui.dialogs.read_text import ReadTextDialog
from tui.screens.company import open_company
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.window_table import Column

_MAILS = Listing(
    "mail",
    "mails",
    (
        Column("Queued UTC", 16, lambda row: cells.moment(row.queued_at)),
        Column("To", 20, lambda row: foreign.text(row.recipient), grow=1),
        Column("About", 14, lambda row: foreign.text(row.subject or row.kind.replace("_", " ")), grow=2),
        Column("State", 12, lambda row: cells.state(row.state)),
        Column("Company", 14, lambda row: foreign.text(row.company), grow=1, wide=100),
        Column("Sent UTC", 16, lambda row: cells.moment(row.sent_at), wide=120),
        Column("Tries", 5, lambda row: cells.number(row.attempts), wide=110, right=True),
    ),
    lambda needle, _, limit: emails.mail_ids(needle, limit),
    lambda wanted, _: emails.mail_rows(wanted),
    lambda needle, _, after_id: emails.newer_mails(needle, after_id),
    emails.MAIL_GRAMMAR,
    "No mail was ever owed to anybody.",
)
_NOTICES = Listing(
    "notice",
    "notices",
    (
        Column("Written UTC", 16, lambda row: cells.moment(row.created_at)),
        Column("To", 18, lambda row: foreign.text(row.recipient or "nobody could be reached"), grow=1),
        Column("Key", 14, lambda row: foreign.text(row.key), grow=2),
        Column("Threshold", 10, lambda row: foreign.text("expired" if row.threshold < 0 else f"{row.threshold} days")),
        Column("Expires", 10, lambda row: foreign.text(row.expires_on), wide=90),
        Column("State", 11, lambda row: cells.state(row.state)),
        Column("Company", 14, lambda row: foreign.text(row.company), grow=1, wide=110),
    ),
    lambda needle, _, limit: emails.notice_ids(needle, limit),
    lambda wanted, _: emails.notice_rows(wanted),
    lambda needle, _, after_id: emails.newer_notices(needle, after_id),
    emails.NOTICE_GRAMMAR,
    "No notice yet. The worker writes them 14 and 3 days before a key expires, and when it has.",
)


class Mails(Section):
    """The mails, or with `v` the notices that led to them."""

    kind: ClassVar[str] = "mails"
    caption: ClassVar[str] = "Mails"

    def __init__(self, desk: Surroundings) -> None:
        super().__init__(desk, _MAILS)

    def place(self) -> str:
        """Where one is, and where mails go on a demonstration."""
        caught = f"  mails are kept in {self.desk.mail_catcher}, not sent" if self.desk.mail_catcher else ""
        return super().place() + caught

    def do_swap(self) -> None:
        """Mails to notices, and back."""
        self.listing = _NOTICES if self.listing is _MAILS else _MAILS
        self.needle = ""
        self.table.change_columns(self.listing.columns)
        self.post_message(self.Swapped())
        self.reload(from_start=True)

    def do_go_company(self) -> None:
        """To the page of the company concerned."""
        row: MailRow | NoticeRow = self.row
        if row.company_id is None:
            self.post_message(self.Said("This mail is about no company."))
        else:
            begin(self, open_company, self, row.company_id, group="open")

    def do_open(self) -> None:
        """The mail's text."""
        row: MailRow | NoticeRow = self.row
        wanted = row.id if isinstance(row, MailRow) else row.email_id
        if wanted is None:
            self.post_message(self.Said("No mail was made for this notice."))
        else:
            begin(self, self._open, wanted, group="open")

    async def _open(self, email_id: int) -> None:
        try:
            row = await self.desk.reader.read(lambda: emails.mail(email_id))
        except KeydeskError as fault:
            self.post_message(self.Said(str(fault), "bold"))
        else:
            if row is not None:
                self.app.push_screen(ReadTextDialog("Mail", *_read(row)))


def _read(row: Email) -> tuple[tuple[str, ...], str]:
    """Head and text as the recipient gets them; before it is written, what it will be about."""
    state = f"State    {row.state}{f': {row.reply}' if row.reply else ''}"
    to = f"To       {row.recipient_name} <{row.recipient}>" if row.recipient_name else f"To       {row.recipient}"
    if row.message is None:
        about = json.dumps(row.context, indent=2, ensure_ascii=False, sort_keys=True)
        return (to, state), f"Not written yet. It will say, as {row.kind}:\n\n{key_format.redact(about)}"
    message = email.message_from_bytes(bytes(row.message), policy=policy.default)
    body = message.get_body(("plain", "html")) if isinstance(message, EmailMessage) else None
    text = body.get_content() if body is not None else "(it has no text)"
    return (to, f"Subject  {row.subject or ''}", state), key_format.redact(str(text))
