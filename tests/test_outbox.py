"""Who may hand a mail over, what is known of it afterwards, and what waits for a person?"""

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from cast import NOON, OLAV, arrive
from peewee import DataError

from store import ambiguous_mails, mail_decisions, outbox, outgoing, waiting_mails
from store.actors import Actor
from store.database import run_sql, session
from store.errors import NotAllowed, NotFound, Refused
from store.outbox import Owed
from store.outgoing import Bound, ClaimLost, Going, Taken
from store.tables import Email, Event
from store.waiting_mails import Pending

LEASE = timedelta(minutes=30)
MINUTE = timedelta(minutes=1)
BYTES = Bound("A subject", b"the bytes")


def owe(reason: str = "one", kind: str = "key_created", not_before: datetime | None = None) -> int:
    """A mail in the outbox; its number."""
    owed = Owed(kind, "ase@nordlys.example", "Åse", reason, {"roles": ["resource"]}, not_before=not_before)
    outbox.queue([owed], NOON)
    return Email.get(Email.dedupe_key == reason).id


def claim(owner: str = "one", now: datetime = NOON, limit: int = 10) -> list[int]:
    return [mail.id for mail in outgoing.claim(owner, limit, LEASE, now)]


def handed_over(owner: str = "one", kind: str = "key_created") -> int:
    number = owe(kind=kind)
    claim(owner)
    outgoing.handing_over(number, owner, LEASE, NOON, BYTES)
    return number


def row(number: int) -> dict[str, Any]:
    mail = Email.get_by_id(number)
    names = ("state", "attempts", "resends", "owner", "reply")
    return {name: getattr(mail, name) for name in names}


def test_the_same_mail_is_never_owed_twice(empty_store: str) -> None:
    first, second = owe("same"), owe("same")

    assert first == second
    assert Email.select().count() == 1


def test_a_mail_goes_when_its_time_has_come_and_not_before(empty_store: str) -> None:
    number = owe(not_before=NOON + MINUTE)

    assert claim(now=NOON + MINUTE - timedelta(seconds=1)) == []
    assert claim(now=NOON + MINUTE) == [number]


def test_the_oldest_go_first_as_many_as_asked_for(empty_store: str) -> None:
    late, early = owe("late", not_before=NOON + MINUTE), owe("early")
    owe("later", not_before=NOON + 2 * MINUTE)

    assert claim(now=NOON + 2 * MINUTE, limit=2) == [early, late]


def test_two_workers_never_get_the_same_mail(empty_store: str) -> None:
    numbers = [owe(f"mail {number}") for number in range(60)]
    taken: dict[str, list[int]] = {"one": [], "two": []}

    def work(owner: str) -> None:
        with session():
            while got := claim(owner, limit=7):
                taken[owner] += got

    threads = [threading.Thread(target=work, args=(owner,)) for owner in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(taken["one"] + taken["two"]) == numbers


def test_a_worker_that_lost_its_lease_changes_nothing(empty_store: str) -> None:
    number = owe()
    claim("slow")
    claim("quick", now=NOON + LEASE)
    before = row(number)

    for late in (
        lambda: outgoing.handing_over(number, "slow", LEASE, NOON, BYTES),
        lambda: outgoing.sent(number, "slow", "250", NOON),
        lambda: outgoing.later(number, "slow", NOON, "450", attempted=True),
        lambda: outgoing.failed(number, "slow", "550"),
        lambda: outgoing.withdrawn(number, "slow", "untrue"),
        lambda: ambiguous_mails.answer_lost(number, "slow", "", NOON),
    ):
        with pytest.raises(ClaimLost):
            late()

    assert row(number) == before | {"owner": "quick"}


def test_what_was_sent_is_not_claimed_again(empty_store: str) -> None:
    number = handed_over()

    outgoing.sent(number, "one", "250 2.0.0 Queued as 4711", NOON)

    expected = {"state": "sent", "attempts": 1, "resends": 0, "owner": None, "reply": "250 2.0.0 Queued as 4711"}
    assert row(number) == expected
    assert Email.get_by_id(number).sent_at == NOON
    assert claim(now=NOON + 100 * LEASE) == []


def test_what_was_taken_and_what_goes_next_is_written_down_at_once_or_neither(empty_store: str) -> None:
    first, second = handed_over(), owe("second")
    claim()
    taken = Taken(first, "250 2.0.0 Queued", NOON)

    with pytest.raises((OverflowError, DataError)):
        outgoing.hand_over("one", LEASE, NOON, [Going(2**63, BYTES)], [taken])
    before = [row(number)["state"] for number in (first, second)]
    not_ours = outgoing.hand_over("one", LEASE, NOON, [Going(second, BYTES)], [taken])

    assert before == ["handing-over", "claimed"]
    assert not_ours == set()
    assert [row(number)["state"] for number in (first, second)] == ["sent", "handing-over"]


def test_what_another_has_taken_over_is_told_and_does_not_keep_the_others_back(empty_store: str) -> None:
    first, second, third, fourth = (owe(reason) for reason in ("first", "second", "third", "fourth"))
    claim()
    outgoing.hand_over("one", LEASE, NOON, [Going(first, BYTES), Going(second, BYTES)])
    Email.update(owner="quick").where(Email.id.in_([second, fourth])).execute()

    taken = [Taken(number, "250 2.0.0 Queued", NOON) for number in (first, second)]
    not_ours = outgoing.hand_over("one", LEASE, NOON, [Going(third, BYTES), Going(fourth, BYTES)], taken)

    assert not_ours == {second, fourth}
    states = [(row(number)["state"], row(number)["owner"]) for number in (first, second, third, fourth)]
    assert states == [("sent", None), ("handing-over", "quick"), ("handing-over", "one"), ("claimed", "quick")]


def test_a_refusal_counts_as_an_attempt_and_a_relay_in_trouble_does_not(empty_store: str) -> None:
    number = handed_over()
    outgoing.later(number, "one", NOON + MINUTE, "450 later", attempted=True)
    claim(now=NOON + MINUTE)
    outgoing.later(number, "one", NOON + MINUTE, "421 going down", attempted=False)

    expected = {"state": "queued", "attempts": 1, "resends": 0, "owner": None, "reply": "421 going down"}
    assert row(number) == expected


def test_what_a_relay_says_is_kept_on_one_line_without_hidden_characters_or_keys(empty_store: str) -> None:
    number = handed_over()
    secret = "kdp_" + "a" * 42

    outgoing.failed(number, "one", f"550 no\x1b]52;c;\r\nsuch {secret} user \u202e" + "x" * 1000)

    reply = str(row(number)["reply"])
    assert reply.startswith("550 no‹001B›]52;c; such ")
    assert secret not in reply
    assert len(reply) <= 600


@pytest.mark.parametrize(
    ("kind", "state", "resends"),
    [
        ("key_created", "queued", 1),
        ("key_expiry_changed", "queued", 1),
        ("key_revoked", "queued", 1),
        ("key_rotated", "queued", 1),
        ("key_expiring", "queued", 1),
        ("key_expired", "queued", 1),
        ("integration_changed", "ambiguous", 0),
        ("sandbox_failed", "ambiguous", 0),
        ("invoice_lines", "ambiguous", 0),
        ("test_mail", "ambiguous", 0),
    ],
)
def test_what_a_crash_left_between_hand_over_and_answer_is_sent_again_only_about_a_key(
    empty_store: str, kind: str, state: str, resends: int
) -> None:
    number = handed_over(kind=kind)

    found = [ambiguous_mails.find(NOON + LEASE - timedelta(seconds=1)), ambiguous_mails.find(NOON + LEASE)]

    assert found == [[], [number]]
    assert row(number) == {
        "state": state,
        "attempts": 0,
        "resends": resends,
        "owner": None,
        "reply": "the worker ended between hand-over and answer; the mail may have arrived",
    }
    assert bytes(Email.get_by_id(number).message) == b"the bytes"


def test_a_lease_that_a_clock_far_ahead_has_given_is_not_waited_for(empty_store: str) -> None:
    ahead = NOON + timedelta(days=3650)
    number = owe()
    outgoing.claim("dead", 1, LEASE, ahead)
    outgoing.handing_over(number, "dead", LEASE, ahead, BYTES)

    assert ambiguous_mails.find(NOON) == [number]


def test_it_is_sent_again_once_and_then_waits_for_a_person(empty_store: str) -> None:
    number = handed_over()
    first = ambiguous_mails.answer_lost(number, "one", "connection lost", NOON)
    assert claim(now=NOON + 4 * MINUTE) == []
    assert claim(now=NOON + 5 * MINUTE) == [number]
    outgoing.handing_over(number, "one", LEASE, NOON)

    second = ambiguous_mails.answer_lost(number, "one", "connection lost", NOON)

    assert (first, second) == ("queued", "ambiguous")


def test_a_worker_known_to_be_dead_is_buried_without_waiting_for_its_leases(empty_store: str) -> None:
    lost = handed_over("dead", kind="test_mail")
    claimed = owe("claimed")
    claim("dead")
    others = owe("of another")
    claim("alive")

    assert ambiguous_mails.bury("dead", NOON) == [lost]
    assert [row(number)["state"] for number in (lost, claimed, others)] == ["ambiguous", "queued", "claimed"]


def test_what_was_claimed_and_not_handed_over_can_be_given_back(empty_store: str) -> None:
    going = handed_over()
    waiting = owe("waiting")
    claim()

    assert outgoing.release("one") == 1
    assert [row(number)["state"] for number in (going, waiting)] == ["handing-over", "queued"]


def test_a_person_sends_an_ambiguous_mail_again_as_it_was_and_a_failed_one_written_anew(empty_store: str) -> None:
    lost = handed_over(kind="invoice_lines")
    ambiguous_mails.answer_lost(lost, "one", "lost", NOON)
    failed = owe("failed")
    claim()
    outgoing.handing_over(failed, "one", LEASE, NOON, BYTES)
    outgoing.failed(failed, "one", "550")

    for number in (lost, failed):
        mail_decisions.resend(OLAV, number, NOON)

    assert [(row(number)["state"], row(number)["resends"]) for number in (lost, failed)] == [("queued", 1)] * 2
    assert bytes(Email.get_by_id(lost).message) == b"the bytes"
    assert Email.get_by_id(failed).message is None
    assert [(event.act, event.subject) for event in Event.select().order_by(Event.seq)] == [
        ("mail.resend", "mail invoice_lines to ase@nordlys.example"),
        ("mail.resend", "mail key_created to ase@nordlys.example"),
    ]


def test_a_person_dismisses_a_mail_with_a_reason(empty_store: str) -> None:
    number = handed_over(kind="invoice_lines")
    ambiguous_mails.answer_lost(number, "one", "lost", NOON)

    mail_decisions.dismiss(OLAV, number, "she told me it came", NOON)

    assert (row(number)["state"], row(number)["reply"]) == ("withdrawn", "she told me it came")
    assert Event.get().after == {"reason": "she told me it came"}


@pytest.mark.parametrize("hand_over", [False, True])
def test_a_mail_that_is_on_its_way_may_be_dismissed_later_and_that_is_said(empty_store: str, hand_over: bool) -> None:
    number = handed_over() if hand_over else owe()
    claim()

    with pytest.raises(Refused) as dismissed:
        mail_decisions.dismiss(OLAV, number, "no", NOON)
    with pytest.raises(Refused) as resent:
        mail_decisions.resend(OLAV, number, NOON)

    when = (
        "This mail is being handed over to the relay. What became of it is known in up to 14 minutes, or 30 if its "
        "worker has died; try again then."
        if hand_over
        else "This mail is on its way to the relay. If it has not gone, try again in a minute."
    )
    assert str(dismissed.value) == str(resent.value) == when


def test_nobody_resends_or_dismisses_what_was_sent_or_what_is_not_there(empty_store: str) -> None:
    number = handed_over()
    outgoing.sent(number, "one", "250", NOON)

    with pytest.raises(Refused, match="This mail is sent; only one that failed or whose answer was lost"):
        mail_decisions.resend(OLAV, number, NOON)
    with pytest.raises(Refused, match="This mail is sent; there is nothing left to dismiss"):
        mail_decisions.dismiss(OLAV, number, "no", NOON)
    with pytest.raises(NotFound):
        mail_decisions.resend(OLAV, 4711, NOON)
    assert Event.select().count() == 0


def test_only_an_operator_decides_about_mails(empty_store: str) -> None:
    people = arrive()
    number = handed_over()
    outgoing.failed(number, "one", "550")
    kari = Actor("kari", "company-admin", "test", company_id=people.nordlys.id)

    with pytest.raises(NotAllowed):
        mail_decisions.resend(kari, number, NOON)

    assert row(number)["state"] == "failed"


def test_what_waits_and_what_needs_a_person_is_counted(empty_store: str) -> None:
    assert waiting_mails.pending() == Pending(queued=0, on_their_way=0, failed=0, ambiguous=0)

    lost = handed_over(kind="invoice_lines")
    ambiguous_mails.answer_lost(lost, "one", "lost", NOON)
    for reason, end in (("failed", outgoing.failed), ("withdrawn", outgoing.withdrawn)):
        number = owe(reason)
        claim()
        end(number, "one", "550")
    owe("claimed")
    claim()
    owe("queued")

    assert waiting_mails.pending() == Pending(queued=1, on_their_way=1, failed=1, ambiguous=1)


@pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)  # PostgreSQL chooses by what is there
@pytest.mark.parametrize(
    ("asked_each_beat", "values"),
    [(outgoing._NEXT, (0, 0, 0, 50)), (ambiguous_mails._ABANDONED, (0, 0)), (ambiguous_mails._OF_OWNER, ("one",))],
)
def test_each_beat_reads_what_waits_and_none_of_the_mails_of_all_years(
    empty_store: str, asked_each_beat: str, values: tuple[object, ...]
) -> None:
    (plan, *_) = run_sql(f"EXPLAIN QUERY PLAN {asked_each_beat}", values).fetchall()

    assert plan[-1].startswith("SCAN email USING INDEX email_pending")
