"""`keydesk mail show|resend|dismiss|preview|test`."""

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

from jobs import delivery, letters, mail_preview, messages
from jobs.messages import Mailbox
from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import mail_contexts, outgoing
from store.change import change
from store.database import session
from store.errors import FormatWrong, NotFound
from store.notices import NoLongerTrue, still_true
from store.outbox import Owed, mailbox
from store.rules.addresses import check_address
from store.rules.text import one_line, visible
from store.tables import Email

_NEWEST = 20


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Print, or queue the test mail."""
    if given.act == "preview":
        return _preview(given)
    open_store(settings)
    with session():
        if given.act == "test":
            return _test(given.address, settings, clock())
        if given.act == "resend":
            outgoing.resend(local_actor(), _mail(given.id).id, clock())
            sys.stdout.write(f"Mail {given.id} is in the outbox again; the worker hands it over.\n")
            return 0
        if given.act == "dismiss":
            outgoing.dismiss(local_actor(), _mail(given.id).id, given.reason, clock())
            sys.stdout.write(f"Mail {given.id} will not be sent.\n")
            return 0
        if given.id is None:
            return _list()
        return _show(_mail(given.id), settings, clock())


def _preview(given: argparse.Namespace) -> int:
    samples = mail_preview.sample_contexts()
    if given.kind is None:
        sys.stdout.write("\n".join(samples) + "\n")
        return 0
    if given.kind not in samples:
        raise NotFound(f"There is no kind of mail called {visible(given.kind)}; there are {', '.join(samples)}.")
    context = samples[given.kind]["typical"]
    letter = letters.render(given.kind, context, today=mail_preview.SAMPLE_TODAY, now=mail_preview.SAMPLE_NOW)
    if given.html:
        _write(given.html, letter.html.encode())
    if given.eml:
        raw = messages.build(
            letter,
            kind=given.kind,
            sender=Mailbox(context.envelope.vendor, "keys@example.com"),
            recipient=Mailbox(context.envelope.recipient_name, "ase@example.com"),
            reply_to=context.envelope.reply_to,
            message_id=messages.message_id(f"preview:{given.kind}", "example.com"),
            date=mail_preview.SAMPLE_NOW,
            reference=context.envelope.reference,
        )
        _write(given.eml, raw)
    if not given.html and not given.eml:
        sys.stdout.write(f"Subject: {letter.subject}\n\n{letter.text}\n")
    return 0


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise FormatWrong(f"{path} cannot be written: {error.strerror}.") from None
    sys.stdout.write(f"{path} is written.\n")


def _test(text: str, settings: Settings, now: datetime) -> int:
    address = check_address(text)
    actor = local_actor()
    with change(actor, "mail.test", None, now) as made:
        made.event("mail.test", f"test mail to {address.shown}", None)
        made.mail(
            Owed(
                kind="test_mail",
                recipient=address.ascii,
                recipient_name="",
                dedupe_key=f"test_mail:{mailbox(address.ascii)}:{mail_contexts.instant_text(now)}",
                context={"by": actor.name, "at": mail_contexts.instant_text(now), "roles": ["operator"]},
            )
        )
    what_next = (
        "the worker hands it over. `keydesk mail show` lists what became of it."
        if settings.mail.host
        else "it waits there, since no relay is set. Set [mail] host and sender."
    )
    sys.stdout.write(f"A test mail to {visible(address.shown)} is in the outbox; {what_next}\n")
    return 0


def _list() -> int:
    newest = list(Email.select().order_by(Email.id.desc()).limit(_NEWEST))
    if not newest:
        sys.stdout.write("No mail has been written yet.\n")
    for mail in newest:
        about = one_line(mail.subject or mail.kind, 60)
        sys.stdout.write(
            f"{mail.id:>8}  {mail.queued_at:%Y-%m-%d %H:%M}Z  {mail.state:<12}  {mail.recipient}  {about}\n"
        )
    return 0


def _show(mail: Email, settings: Settings, now: datetime) -> int:
    """The bytes that were handed over, or what would be as of now."""
    sender = delivery.Sender(settings.mail.sender or "keys@example.com", settings.mail.reply_to)
    note = ""
    if mail.message is not None:
        raw = bytes(mail.message)
    else:
        try:
            _, raw = delivery.write(mail, still_true(mail, now), sender, now)
            kept = "its bytes are no longer kept; " if mail.sent_at else ""
            note = f"  ({kept}as it would be written now)"
        except NoLongerTrue as reason:
            raw, note = b"", f"  ({reason})"
    facts = [
        f"{mail.kind} to {mail.recipient}: {mail.state}{note}",
        f"queued {mail.queued_at.astimezone(UTC):%Y-%m-%d %H:%M}Z",
    ]
    facts += [f"attempts {mail.attempts}"] if mail.attempts else []
    facts += [f"sent {mail.sent_at.astimezone(UTC):%Y-%m-%d %H:%M}Z"] if mail.sent_at else []
    facts += [f"the relay said: {one_line(mail.reply, 300)}"] if mail.reply else []
    sys.stdout.write("\n".join(facts) + "\n\n")
    message = message_from_bytes(raw, policy=policy.default)
    for name in ("From", "To", "Subject", "Date", "Message-ID"):
        if message[name]:
            sys.stdout.write(f"{name}: {visible(str(message[name]))}\n")
    body = message.get_body(("plain",))
    if body is not None:
        sys.stdout.write("\n" + "\n".join(map(visible, body.get_content().splitlines())) + "\n")
    return 0


def _mail(number: int) -> Email:
    found: Email | None = Email.get_or_none(Email.id == number)
    if found is None:
        raise NotFound(f"There is no mail number {number}; `keydesk mail show` lists the newest.")
    return found
