"""Who was told, who is to be told, whom nothing reaches, and which mails wait for a person."""

from typing import ClassVar

from store import mail_decisions
from store.errors import KeydeskError
from store.listings import emails
from store.listings.emails import MailRow, NoticeRow, Unsettled
from store.tables import Email
from tui import cells, foreign
from tui.background import begin
from tui.screens import key_acts
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.window_table import Column


def _mails(only: int | None) -> Listing:
    return Listing(
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
        lambda needle, _, limit: emails.mail_ids(only, needle, limit),
        lambda wanted, _: emails.mail_rows(wanted),
        lambda needle, _, after_id: emails.newer_mails(only, needle, after_id),
        emails.MAIL_GRAMMAR,
        "No mail was ever owed to anybody.",
    )


def _notices(only: int | None) -> Listing:
    return Listing(
        "notice",
        "notices",
        (
            Column("Written UTC", 16, lambda row: cells.moment(row.created_at)),
            Column("To", 18, lambda row: foreign.text(row.recipient or "nobody could be reached"), grow=1),
            Column("Key", 14, lambda row: foreign.text(row.key), grow=2),
            Column(
                "Threshold", 10, lambda row: foreign.text("expired" if row.threshold < 0 else f"{row.threshold} days")
            ),
            Column("Expires", 10, lambda row: foreign.text(row.expires_on), wide=90),
            Column("State", 11, lambda row: cells.state(row.state)),
            Column("Company", 14, lambda row: foreign.text(row.company), grow=1, wide=110),
        ),
        lambda needle, _, limit: emails.notice_ids(only, needle, limit),
        lambda wanted, _: emails.notice_rows(wanted),
        lambda needle, _, after_id: emails.newer_notices(only, needle, after_id),
        emails.NOTICE_GRAMMAR,
        "No notice yet. The worker writes them 14 and 3 days before a key expires, and when it has.",
    )


class Mails(Section):
    """The mails, or with `v` the notices that led to them."""

    kind: ClassVar[str] = "mails"
    caption: ClassVar[str] = "Mails"

    def __init__(self, desk: Surroundings) -> None:
        only = desk.actor.company_id
        self.mails, self.notices = _mails(only), _notices(only)
        self.unsettled = Unsettled()
        super().__init__(desk, self.mails)

    def place(self) -> str:
        """Where one is, what waits for a person, and where mails go on a demonstration."""
        counts = (("failed", self.unsettled.failed), ("ambiguous", self.unsettled.ambiguous))
        waiting = " and ".join(f"{count:,} {state}" for state, count in counts if count)
        settle = f"  {waiting}: to be settled" if waiting else ""
        caught = f"  mails are kept in {self.desk.mail_catcher}, not sent" if self.desk.mail_catcher else ""
        return super().place() + settle + caught

    def opened(self) -> None:
        """The list, and what waits for a person."""
        begin(self, self._read_unsettled, group="unsettled", alone=True)
        super().opened()

    def stored_change(self) -> None:
        """The list, and what waits for a person."""
        begin(self, self._read_unsettled, group="unsettled", alone=True)
        super().stored_change()

    async def _read_unsettled(self) -> None:
        only = self.desk.actor.company_id
        try:
            self.unsettled = await self.desk.reader.read(lambda: emails.unsettled(only))
        except KeydeskError:
            return  # the list says what is wrong
        self.post_message(self.Changed())

    def do_swap(self) -> None:
        """Mails to notices, and back."""
        self.listing = self.notices if self.listing is self.mails else self.mails
        self.needle = ""
        self.table.change_columns(self.listing.columns)
        self.post_message(self.Swapped())
        self.reload(from_start=True)

    def do_go_company(self) -> None:
        """To the page of the company concerned."""
        from tui.screens.company import open_company

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
        from tui.dialogs.read_text import ReadTextDialog
        from tui.screens import mail_text

        found = await self._found(email_id)
        if found is not None:
            self.app.push_screen(ReadTextDialog("Mail", *mail_text.read(found)))

    async def _found(self, email_id: int) -> Email | None:
        only = self.desk.actor.company_id
        try:
            return await self.desk.reader.read(lambda: emails.mail(only, email_id))
        except KeydeskError as fault:
            self.post_message(self.Said(str(fault), "bold"))
            return None

    def do_resend(self) -> None:
        """Ask with what is known of it."""
        begin(self, self._resend, self.row, group="act")

    async def _resend(self, row: MailRow) -> None:
        from tui.dialogs.confirm import ConfirmDialog

        found = await self._found(row.id)
        if found is None:
            return
        lost = found.state == "ambiguous"
        arrived = "It may have arrived: look for its Message-ID in the relay's log first." if lost else ""
        how = "The same bytes go again." if lost else "It is written anew, as things stand then."
        question = ConfirmDialog(
            "Send this mail again?",
            (*_known(found), "", *filter(None, (arrived, how))),
            accept="Send again",
            danger="danger",
        )
        if not await self.app.push_screen_wait(question):
            return
        desk = self.desk
        await key_acts.carried_out(self.app, desk, lambda: mail_decisions.resend(desk.actor, row.id, desk.clock()))

    def do_dismiss(self) -> None:
        """Ask for the reason."""
        begin(self, self._dismiss, self.row, group="act")

    async def _dismiss(self, row: MailRow) -> None:
        from tui.dialogs.put_aside import PutAsideDialog

        found = await self._found(row.id)
        if found is None:
            return
        reason = await self.app.push_screen_wait(PutAsideDialog(_known(found)))
        if reason is not None:
            desk = self.desk
            await key_acts.carried_out(
                self.app, desk, lambda: mail_decisions.dismiss(desk.actor, row.id, reason, desk.clock())
            )


def _known(mail: Email) -> tuple[str, ...]:
    """By what a person decides whether it arrived."""
    from tui.screens import mail_text

    return (
        f"To          {mail.recipient}",
        f"About       {mail.subject or mail.kind.replace('_', ' ')}",
        f"State       {mail.state}, {mail.attempts} {'try' if mail.attempts == 1 else 'tries'}",
        f"Last words  {mail.reply or 'none'}",
        f"Message-ID  {mail_text.message_id(mail)}",
    )
