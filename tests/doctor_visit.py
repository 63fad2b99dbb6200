"""What the doctor finds in a home."""

from datetime import datetime

from command import NOW, Home

from keydesk.errands import doctor

LONG_ENOUGH_HERE = 0.3  # seconds


def findings(home: Home, now: datetime = NOW, **variables: str) -> list[tuple[str, str, str]]:
    """Verdict, what it is about and text, places shortened; without what is this machine's own."""
    return [
        (finding.verdict, finding.about, finding.text.replace(str(home.path), "~"))
        for finding in doctor.findings(home.settings(**variables), now, LONG_ENOUGH_HERE)
        if finding.about not in {"disk", "sqlite"}
    ]


def found(home: Home, now: datetime = NOW, **variables: str) -> dict[str, tuple[str, str]]:
    """What is not well: about -> verdict and text."""
    return {about: (verdict, text) for verdict, about, text in findings(home, now, **variables) if verdict != "ok"}


def relay(port: int, **more: str) -> dict[str, str]:
    return {
        "KEYDESK_MAIL_HOST": "localhost",
        "KEYDESK_MAIL_PORT": str(port),
        "KEYDESK_MAIL_TLS": "none",
        "KEYDESK_MAIL_SENDER": "keys@example.com",
    } | more
