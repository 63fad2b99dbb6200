"""From settings to an open line to the relay."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from jobs.smtp_session import SmtpSession, Timeouts

if TYPE_CHECKING:
    from jobs.smtp_connection import Tls


class MailServerSettings(Protocol):
    """What the settings say of the relay."""

    @property
    def host(self) -> str:
        """Its name."""

    @property
    def port(self) -> int:
        """Its port."""

    @property
    def tls(self) -> str:
        """`implicit`, `starttls` or `none`."""

    @property
    def username(self) -> str:
        """The login, empty when it asks for none."""

    @property
    def ca_file(self) -> str:
        """Certificates to trust instead of the system's."""


def session_for(mail: MailServerSettings, password: str | None, timeouts: Timeouts | None = None) -> SmtpSession:
    """A session that connects when the first mail comes. KeydeskError when the settings cannot be used."""
    return SmtpSession(
        mail.host,
        mail.port,
        tls=cast("Tls", mail.tls),
        user=mail.username or None,
        password=password,
        ca_file=Path(mail.ca_file) if mail.ca_file else None,
        timeouts=timeouts,
    )
