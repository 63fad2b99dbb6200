"""Does an operator see which mails wait for a person, and settle them at the desk?"""

import pytest
from desk_stage import at_the_desk
from desk_world import AUDITOR, NOW, small_world

from store import waiting_mails
from store.tables import Email, Event

pytestmark = pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)

LAST_WORDS = "550 no such user"


def one_left(state: str, **more: object) -> Email:
    """The newest mail in that state, all others sent."""
    small_world()
    Email.update(state="sent").execute()
    newest = Email.select().order_by(Email.id.desc()).first()
    Email.update(state=state, reply=LAST_WORDS, attempts=1, **more).where(Email.id == newest.id).execute()
    return newest  # type: ignore[no-any-return]


def now(mail: Email) -> Email:
    return Email.get_by_id(mail.id)  # type: ignore[no-any-return]


async def test_a_failed_mail_is_counted_and_sent_again_after_a_question_with_the_relays_last_words(
    empty_store: str,
) -> None:
    mail = one_left("failed")

    async with at_the_desk() as desk:
        await desk.press("3")
        await desk.until_seen("1 failed: to be settled")
        assert {"resend": "r", "put aside": "x"}.items() <= desk.hints.items()
        await desk.press("r")
        await desk.until_seen("Send this mail again?")
        assert [desk.sees(text) for text in (mail.recipient, LAST_WORDS, mail.message_id)] == [True] * 3
        await desk.press("enter")  # in passing
        await desk.until(lambda: not desk.sees("Send this mail again?"))
        assert now(mail).state == "failed"

        await desk.press("r")
        await desk.until_seen("Send this mail again?")
        await desk.press("y")
        await desk.until(lambda: now(mail).state == "queued")
        await desk.until(lambda: not desk.sees("to be settled"))

    assert (now(mail).resends, now(mail).message, now(mail).next_at) == (1, None, NOW)
    assert Event.select().order_by(Event.id.desc()).first().act == "mail.resend"


async def test_an_ambiguous_mail_is_asked_about_with_the_message_id_that_the_relay_logged(empty_store: str) -> None:
    sent = b"Message-ID: <kd.1234@keys.example.com>\r\nSubject: A key\r\n\r\nHello.\r\n"
    mail = one_left("ambiguous", message=sent)

    async with at_the_desk() as desk:
        await desk.press("3")
        await desk.until_seen("1 ambiguous: to be settled")
        await desk.press("r")
        await desk.until_seen("It may have arrived")
        assert desk.sees("Message-ID <kd.1234@keys.example.com>")
        await desk.press("y")
        await desk.until(lambda: now(mail).state == "queued")

    assert bytes(now(mail).message) == sent


async def test_a_mail_is_put_aside_only_with_a_reason_which_is_kept(empty_store: str) -> None:
    mail = one_left("failed")

    async with at_the_desk() as desk:
        await desk.press("3")
        await desk.until_seen("1 failed: to be settled")
        await desk.press("x")
        await desk.until_seen("Put mail aside")
        await desk.press("ctrl+s")
        await desk.until_seen("The reason is empty")
        await desk.write("told by telephone")
        await desk.press("ctrl+s")
        await desk.until(lambda: now(mail).state == "withdrawn")

    assert now(mail).reply == "told by telephone"


async def test_what_is_settled_or_not_ones_own_to_settle_is_not_offered_and_says_why(empty_store: str) -> None:
    mail = one_left("failed")

    async with at_the_desk(AUDITOR) as desk:
        await desk.press("3")
        await desk.until_seen("1 failed: to be settled")
        assert {"resend", "put aside"} & set(desk.hints) == set()
        await desk.press("r")
        assert desk.message == "aud (auditor) may not do this here; ask an operator."
        assert waiting_mails.pending().failed == 1
    Email.update(state="sent").where(Email.id == mail.id).execute()
    async with at_the_desk() as desk:
        await desk.press("3")
        await desk.until(lambda: bool(desk.page.section.row))
        await desk.press("x")
        assert desk.message == "Only a mail that waits, failed, or whose answer was lost is put aside."
        await desk.press("v", "r")
        await desk.until_seen("1 of 1 notice")
        assert desk.message == "Only a mail that failed, or whose answer was lost, is sent again."


async def test_a_mail_that_is_not_written_yet_shows_its_facts_line_by_line_and_no_value_forges_one(
    empty_store: str,
) -> None:
    about = {
        "api_access": True,
        "changes": [{"after": "2027-01-01", "field": "Expiry"}],
        "company": "Fjord AS\nkey: forged",
        "key": {"first": "kdp_Ab12", "label": "[bold]ERP[/]\x1b[31m", "note": None},
        "roles": ["resource", "user-to-notify"],
    }
    one_left("queued", context=about, message=None)

    async with at_the_desk(size=(100, 40)) as desk:
        await desk.press("3", "enter")
        await desk.until_seen("Not written yet")
        seen = [line.rstrip() for line in desk.lines()]

    start = next(number for number, line in enumerate(seen) if line.startswith("api access:"))
    assert [line.strip() for line in seen[start : start + 10]] == [
        "api access: yes",
        "changes 1:",
        "after: 2027-01-01",
        "field: Expiry",
        "company: Fjord AS‹000A›key: forged",
        "key:",
        "first: kdp_Ab12",
        "label: [bold]ERP[/]‹001B›[31m",
        "note: none",
        "roles: resource, user-to-notify",
    ]
