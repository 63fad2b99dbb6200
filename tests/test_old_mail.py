"""Which mails lose their bytes, and what stays of them?"""

from datetime import UTC, datetime, timedelta

import pytest

from store import old_mail
from store.tables import Email

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def mail(state: str, days_ago: int) -> None:
    number = Email.select().count()
    Email.create(
        kind="test_mail",
        recipient="ase@nordlys.example",
        recipient_name="",
        language="en",
        dedupe_key=f"test:{number}",
        message_id=f"kd.{number}",
        context={},
        state=state,
        queued_at=NOON - days_ago * DAY,
        next_at=NOON - days_ago * DAY,
        message=b"Subject: hello",
        subject="hello",
    )


def test_closed_mails_lose_their_bytes_after_their_time_and_nothing_else(
    empty_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_mail, "_TOGETHER", 2)
    for state in ("sent", "failed", "withdrawn", "queued", "ambiguous"):
        mail(state, 91)
    mail("sent", 89)

    cleared = [list(old_mail.clear_bytes(NOON - 90 * DAY)) for _ in range(2)]

    assert cleared == [[2, 1], []]
    assert [(each.state, each.message is None, each.subject) for each in Email.select().order_by(Email.id)] == [
        ("sent", True, "hello"),
        ("failed", True, "hello"),
        ("withdrawn", True, "hello"),
        ("queued", False, "hello"),
        ("ambiguous", False, "hello"),
        ("sent", False, "hello"),
    ]


def test_an_old_mail_behind_younger_ones_is_cleared_and_one_behind_very_many_is_when_they_are(
    empty_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_mail, "_TOGETHER", 1)
    monkeypatch.setattr(old_mail, "_YOUNG", 3)
    for days_ago in (91, 89, 89, 91, 89, 89, 89, 91):
        mail("sent", days_ago)

    cleared = [sum(old_mail.clear_bytes(NOON - days * DAY)) for days in (90, 88)]

    assert cleared == [2, 6]
