"""`keydesk mail list|show|resend|dismiss|preview|test`."""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from uuid import uuid4

from jinja2 import TemplateError

from jobs import delivery, letters, mail_preview, messages
from jobs.messages import Mailbox
from keydesk.errands import mail_list
from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import mail_contexts, mail_decisions
from store.change import change
from store.database import session
from store.errors import FormatWrong, KeydeskError, NotFound
from store.listings import emails
from store.mail_truth import NoLongerTrue, still_true
from store.outbox import Owed, mailbox
from store.rules.addresses import check_address
from store.rules.key_format import redact
from store.rules.text import one_line, visible
from store.tables import Email

_SHOWN = ("From", "To", "Subject", "Date", "Message-ID")


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Print, or queue the test mail."""
    if given.act == "preview":
        return _preview(given)
    open_store(settings)
    with session():
        if given.act == "test":
            return _test(given.address, settings, clock())
        if given.act == "resend":
            mail_decisions.resend(local_actor(), _mail(given.id).id, clock())
            sys.stdout.write(f"Mail {given.id} is in the outbox again; the worker hands it over.\n")
            return 0
        if given.act == "dismiss":
            mail_decisions.dismiss(local_actor(), _mail(given.id).id, given.reason, clock())
            sys.stdout.write(f"Mail {given.id} will not be sent.\n")
            return 0
        if given.act == "list":
            return mail_list.run(given)
        return _show(_mail(given.id), settings, clock(), as_json=given.json)


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
    sys.stdout.write(visible(f"{path} is written.") + "\n")


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
                dedupe_key=f"test_mail:{mailbox(address.ascii)}:{mail_contexts.instant_text(now)}:{uuid4().hex[:8]}",
                context={"by": actor.name, "at": mail_contexts.instant_text(now), "roles": ["operator"]},
            )
        )
    what_next = (
        "the worker hands it over. `keydesk mail list` shows what became of it."
        if settings.mail.host
        else "it waits there, since no relay is set. Set [mail] host and sender."
    )
    sys.stdout.write(f"A test mail to {visible(address.shown)} is in the outbox; {what_next}\n")
    return 0


def _show(mail: Email, settings: Settings, now: datetime, *, as_json: bool) -> int:
    """The bytes that were handed over, or what would be as of now."""
    raw, note = _bytes(mail, settings, now)
    message = message_from_bytes(raw, policy=policy.default)
    body = message.get_body(("plain",))
    text = redact(str(body.get_content()).replace("\r\n", "\n")) if body is not None else ""
    if as_json:
        said = {
            **mail_list.facts(emails.mail_rows([mail.id])[mail.id]),
            "written": note or "as it was handed over",
            "headers": {name: str(value) for name, value in message.items()} if raw else {},
            "text": text or None,
        }
        sys.stdout.write(json.dumps(said, indent=2) + "\n")
        return 0
    lines = [f"{mail.kind} to {mail.recipient}: {mail.state}{f'  ({note})' if note else ''}"]
    lines += [f"queued {_minute(mail.queued_at)}"]
    lines += [f"attempts {mail.attempts}"] if mail.attempts else []
    lines += [f"handed over {_minute(mail.handed_over_at)}"] if mail.handed_over_at and not mail.sent_at else []
    lines += [f"sent {_minute(mail.sent_at)}"] if mail.sent_at else []
    lines += [f"last words: {one_line(mail.reply, 300)}"] if mail.reply else []
    lines += ["", *(f"{name}: {message[name]}" for name in _SHOWN if message[name])]
    sys.stdout.write("\n".join(visible(line) for line in (*lines, "", *text.splitlines())) + "\n")
    return 0


def _bytes(mail: Email, settings: Settings, now: datetime) -> tuple[bytes, str]:
    """The mail, and in words what it is when it is not what was handed over."""
    if mail.message is not None:
        return bytes(mail.message), ""
    sender = delivery.Sender(settings.mail.sender or "keys@example.com", settings.mail.reply_to)
    kept = "its bytes are no longer kept; " if mail.sent_at else ""
    try:
        return delivery.write(mail, still_true(mail, now), sender, now)[1], f"{kept}as it would be written now"
    except NoLongerTrue as reason:
        return b"", str(reason)
    except (KeydeskError, TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        return b"", f"it cannot be written: {one_line(str(error), 200)}"


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}Z"


def _mail(number: int) -> Email:
    found: Email | None = Email.get_or_none(Email.id == number)
    if found is None:
        raise NotFound(f"There is no mail number {number}; `keydesk mail list` shows the newest.")
    return found
