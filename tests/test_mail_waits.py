"""Since when has a mail waited, whatever came between?"""

from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest
from cast import LONG_AGO, NOON, OLAV, arrive, enable, key_of
from smtp_server import smtp_server
from worker_log import Said

from jobs.delivery import Outcome, Relay, Sender, deliver_slice
from jobs.json_log import JsonLog
from jobs.smtp_session import SmtpSession
from store import database, figures, mail_decisions, notices, outbox, outgoing, waiting_mails
from store.outbox import Owed
from store.tables import Email

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
MIDNIGHT = datetime(2026, 11, 22, 23, tzinfo=NOON.tzinfo)  # in Oslo, where the 23rd begins
SEVEN = datetime(2026, 11, 23, 6, tzinfo=NOON.tzinfo)  # in Oslo


def one_test_mail() -> None:
    arrive()
    context = {"by": "olav", "at": "2026-11-23T11:00:00Z", "roles": ["operator"]}
    outbox.queue([Owed("test_mail", "olav@fjord.example", "", "test:olav", context)], NOON)


def one_warning_at_midnight() -> None:
    people = arrive()
    enable(people.nordlys, people.ase, now=LONG_AGO)
    key_of(people.ase, expires_on=date(2026, 11, 26), now=LONG_AGO)
    Email.delete().execute()
    notices.sweep("Europe/Oslo", date(2026, 11, 23), MIDNIGHT, (14, 3, -1))


def hand_over(now: datetime, word: str, log: JsonLog | None = None) -> Outcome:
    with smtp_server(word) as server:
        return deliver_slice(
            lambda: SmtpSession("localhost", server.port, tls="none"),
            Sender("keys@fjord.example", ""),
            lambda: now,
            owner="worker-1",
            relay=Relay(),
            log=log,
        )


def test_a_mail_at_which_the_relay_stopped_has_waited_as_long_as_before_it_went_behind_the_others(
    empty_store: str,
) -> None:
    one_test_mail()
    context = {"by": "olav", "at": "2026-11-23T11:00:00Z", "roles": ["operator"]}
    outbox.queue([Owed("test_mail", "kari@fjord.example", "", "test:kari", context)], NOON + 8 * HOUR)

    hand_over(NOON + 9 * HOUR, "451 mail")

    assert [mail.next_at for mail in Email.select().order_by(Email.id)] == [NOON + 8 * HOUR + SECOND, NOON + 8 * HOUR]
    assert figures.read(NOON + 9 * HOUR).oldest_mail == NOON


def test_a_mail_that_is_refused_for_now_has_waited_since_it_was_queued(empty_store: str) -> None:
    one_test_mail()
    said = Said()

    told = []
    for at in (MINUTE, HOUR, 8 * HOUR):
        hand_over(NOON + at, "450 rcpt")
        told.append(figures.read(NOON + at + MINUTE).oldest_mail)
    hand_over(NOON + 10 * HOUR, "ok", JsonLog(said))

    assert told == [NOON, NOON, NOON]
    assert [line["waited"] for line in said.named("mail.sent")] == [36_000]
    assert figures.read(NOON + 11 * HOUR).oldest_mail is None


def test_a_warning_that_waited_for_the_morning_has_waited_since_then(empty_store: str) -> None:
    one_warning_at_midnight()
    said = Said()

    at_night = figures.read(SEVEN - MINUTE).oldest_mail
    hand_over(SEVEN + MINUTE, "450 rcpt")
    refused = figures.read(SEVEN + 2 * MINUTE).oldest_mail
    hand_over(SEVEN + HOUR, "ok", JsonLog(said))

    assert (at_night, refused) == (None, SEVEN)
    assert [line["waited"] for line in said.named("mail.sent")] == [3600]


def test_a_mail_whose_relay_is_away_has_waited_all_the_time_also_after_a_refusal(empty_store: str) -> None:
    one_test_mail()

    told = []
    for at, word in ((MINUTE, "451 mail"), (HOUR, "450 rcpt"), (2 * HOUR, "451 mail"), (3 * HOUR, "451 mail")):
        hand_over(NOON + at, word)
        told.append(figures.read(NOON + at + MINUTE).oldest_mail)

    assert Email.get().attempts == 1
    assert told == [NOON] * 4


def test_a_mail_whose_answer_was_lost_has_waited_since_the_first_time(empty_store: str) -> None:
    one_warning_at_midnight()

    hand_over(SEVEN + MINUTE, "drop after dot")

    assert (Email.get().state, Email.get().resends) == ("queued", 1)
    assert figures.read(SEVEN + 2 * MINUTE).oldest_mail == SEVEN


def test_a_mail_that_a_worker_holds_has_not_left(empty_store: str) -> None:
    one_test_mail()

    outgoing.claim("worker-1", 10, 30 * MINUTE, NOON + MINUTE)

    assert figures.read(NOON + 10 * MINUTE).oldest_mail == NOON


@pytest.mark.parametrize("owe", [one_test_mail, one_warning_at_midnight])
def test_a_mail_that_a_person_sends_again_waits_anew_until_it_is_refused_as_well(
    empty_store: str, owe: Callable[[], None]
) -> None:
    owe()
    hand_over(NOON, "450 rcpt")
    hand_over(NOON + HOUR, "550 rcpt")
    failed = figures.read(NOON + 2 * HOUR).oldest_mail

    first = figures.read(NOON).oldest_mail
    mail_decisions.resend(OLAV, Email.get().id, NOON + 3 * HOUR)
    again = figures.read(NOON + 4 * HOUR).oldest_mail
    hand_over(NOON + 4 * HOUR, "450 rcpt")
    refused_again = figures.read(NOON + 5 * HOUR).oldest_mail

    assert (failed, first, again) == (None, None, NOON + 3 * HOUR)
    assert refused_again == (NOON if owe is one_test_mail else SEVEN)


def test_the_longest_wait_is_told_of_many(empty_store: str) -> None:
    one_warning_at_midnight()
    hand_over(SEVEN, "450 rcpt")
    context = {"by": "olav", "at": "2026-11-23T11:00:00Z", "roles": ["operator"]}
    outbox.queue([Owed("test_mail", "a@fjord.example", "", "test:a", context)], SEVEN - HOUR)
    untried = figures.read(NOON).oldest_mail
    hand_over(SEVEN, "450 rcpt")

    assert (untried, figures.read(NOON).oldest_mail) == (SEVEN - HOUR, SEVEN - HOUR)


def test_a_notice_that_another_program_has_queued_counts_from_then(empty_store: str) -> None:
    one_warning_at_midnight()
    database.run_sql("UPDATE email SET dedupe_key = 'key_expiring', attempts = 1")

    assert figures.read(NOON).oldest_mail == MIDNIGHT
    assert waiting_mails.due_since(Email.get()) == MIDNIGHT
