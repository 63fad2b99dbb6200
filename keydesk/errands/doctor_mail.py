"""What `keydesk doctor` says of the relay, the record of what was sent, and mails that wait for a person."""

from collections.abc import Iterator

from jobs.mail_server import session_for
from jobs.outcome import reply_of
from jobs.smtp_answers import NO_REPLY, BadAddress
from jobs.smtp_session import Refusal, Timeouts
from keydesk.finding import Finding
from keydesk.settings import Settings
from store import sent_record, waiting_mails

_BY_COMMAND = (
    "by command: `keydesk mail list --state {state}`, then `keydesk mail resend NUMBER` or "
    "`keydesk mail dismiss NUMBER --reason TEXT` for each."
)
# Of a refusal that the relay words itself, by how far it was.
_WHAT_TO_DO = {
    "greeting": "It wants nothing of this machine, or not now: ask who runs it, or see whether [mail] port is right.",
    "tls": "It began no TLS: ask who runs it, or see whether [mail] port and tls are right.",
    "auth": "That is its word about the login: see username and the password file in [mail].",
}


def relay(settings: Settings, patience: float) -> Iterator[Finding]:
    """Whether the relay lets this machine in; it is waited for so many seconds. Nothing is sent."""
    mail = settings.mail
    if not mail.host:
        yield Finding("look", "mail", "No relay is set: mails wait in the outbox. Set [mail] host and sender.")
        return
    timeouts = Timeouts(connect=patience, command=patience, offer=3 * patience)
    with session_for(mail, settings.mail_password(), timeouts) as line:
        refusal = line.check()
    if refusal is not None:
        where, reply = f"{mail.host}:{mail.port}", reply_of(refusal)
        told = reply if where in reply else f"{where}: {reply}"
        hint = _what_to_do(refusal)
        yield Finding("wrong", "mail", f"{told.rstrip('.')}. {hint}" if hint else told)
    else:
        yield Finding("ok", "mail", f"{mail.host}:{mail.port} takes mail")


def _what_to_do(refusal: Refusal) -> str:
    """Empty where Keydesk worded the refusal itself: it says so already."""
    if isinstance(refusal, BadAddress) or refusal.code == NO_REPLY:
        return ""
    return _WHAT_TO_DO.get(refusal.phase, "")


def record() -> Iterator[Finding]:
    """Whether what is sent can be written down beside the store."""
    try:
        sent_record.check()
    except OSError as error:
        yield Finding(
            "wrong",
            "mail",
            f"The record of what was sent, {sent_record.path()}, cannot be written ({error.strerror}): if the store is "
            "ever restored, what is mailed meanwhile goes out twice. Give that file and its directory to the worker's "
            "account, or mount what is missing.",
        )


def unsettled() -> Iterator[Finding]:
    """Which mails wait for a person."""
    waiting = waiting_mails.pending()
    if waiting.ambiguous:
        yield Finding(
            "look",
            "mail",
            f"Mails that may or may not have arrived: {waiting.ambiguous}. Look in the relay's log, then settle them "
            f"at the desk, under Mails, or {_BY_COMMAND.format(state='ambiguous')}",
        )
    if waiting.failed:
        yield Finding(
            "look",
            "mail",
            f"Mails that no server took: {waiting.failed}. The desk says why, under Mails, and so does `keydesk mail "
            f"show NUMBER`. Mend that, then settle them there or {_BY_COMMAND.format(state='failed')}",
        )
