"""Does the record beside the store know what was told, when the store has forgotten it or never heard?"""

import errno
import io
import os
import stat
from datetime import date, timedelta
from pathlib import Path
from threading import Event

import pytest
from cast import LONG_AGO, NOON, arrive, enable, key_of
from hooked_hand_over import around_the_record
from smtp_server import ScriptedServer, smtp_server
from worker_log import Said

from jobs import queues
from jobs.delivery import Outcome, Relay, Sender, deliver_slice
from jobs.json_log import JsonLog
from jobs.smtp_session import Conversation, SmtpSession
from jobs.worker import Worker
from store import notices, outbox, restored, runs, sent_record, workers
from store.actors import WORKER
from store.database import session
from store.errors import Refused
from store.outbox import Owed
from store.tables import Email, Notice, User

DAY = timedelta(days=1)
DAYS = (14, 3, -1)


pytestmark = pytest.mark.usefixtures("empty_store", "record")


def send(
    server: ScriptedServer, days_later: int = 0, log: JsonLog | None = None, by: type[SmtpSession] = SmtpSession
) -> Outcome:
    now = NOON + days_later * DAY
    return deliver_slice(
        lambda: by("localhost", server.port, tls="none"),
        Sender("keys@fjord.example", ""),
        lambda: now,
        owner="worker-1",
        relay=Relay(),
        log=log,
    )


def one_warning() -> None:
    people = arrive()
    enable(people.nordlys, people.ase, now=LONG_AGO)
    key_of(people.ase, expires_on=date(2026, 11, 30), now=LONG_AGO)
    Email.delete().execute()
    notices.sweep("Europe/Oslo", date(2026, 11, 23), NOON, DAYS)


def forget() -> None:
    """As a backup from before the notices: neither they nor their mails are known."""
    Notice.delete().execute()
    Email.delete().execute()
    restored.hold(WORKER, "a test", NOON)
    restored.release(WORKER, NOON)


def states() -> list[tuple[str, str]]:
    return [(mail.recipient, mail.state) for mail in Email.select().order_by(Email.id)]


def test_a_worker_that_died_between_record_and_store_has_sent_all_the_same() -> None:
    one_warning()
    with smtp_server() as server:
        send(server)
        Email.update(state="handing-over", owner="dead", lease_until=NOON, sent_at=None).execute()
        outcome = send(server, days_later=1)

    mail = Email.get()
    assert len(server.received) == 1
    assert outcome == Outcome()
    assert (mail.state, mail.sent_at) == ("sent", NOON)
    assert mail.reply == "The record of what was sent says that a relay took it; it was not sent again."


@pytest.mark.parametrize("days_later", [0, 1, 4])
def test_a_warning_that_was_given_is_not_given_again_on_that_day_or_a_later_one(days_later: int) -> None:
    one_warning()
    with smtp_server() as server:
        send(server)
        forget()
        day = date(2026, 11, 23) + days_later * DAY
        notices.sweep("Europe/Oslo", day, NOON + days_later * DAY, DAYS)
        send(server, days_later)

    expected = 2 if days_later == 4 else 1  # three days before the end another warning is owed
    assert len(server.received) == expected
    assert states() == [("ase@nordlys.example", "sent")]


def test_a_digest_with_one_more_key_is_sent() -> None:
    one_warning()
    with smtp_server() as server:
        send(server)
        forget()
        key_of(User.get(User.external_id == "ase"), label="new", expires_on=date(2026, 12, 1), now=LONG_AGO)
        Email.delete().execute()
        notices.sweep("Europe/Oslo", date(2026, 11, 23), NOON, DAYS)
        send(server)

    assert len(server.received) == 2


def test_the_same_reason_with_other_words_is_another_mail() -> None:
    arrive()
    with smtp_server() as server:
        for by in ("olav", "olav", "kari"):
            Email.delete().execute()
            context = {"by": by, "at": "2026-11-23T11:00:00Z", "roles": ["operator"]}
            outbox.queue([Owed("test_mail", "olav@fjord.example", "", "test:1", context)], NOON)
            if by == "olav" and not server.received:
                restored.hold(WORKER, "a test", NOON)
            send(server)

    assert len(server.received) == 2


@pytest.mark.parametrize(
    ("keys", "as_in_the_backup", "is_ahead"),
    [
        (1, {"state": "queued", "sent_at": None, "attempts": 0}, True),
        (190, {"state": "queued", "sent_at": None, "attempts": 0}, True),
        (1, {"state": "claimed", "sent_at": None, "attempts": 0, "owner": "somebody"}, True),
        (1, {"state": "handing-over", "sent_at": None, "attempts": 0, "owner": "somebody"}, False),
        (1, {"state": "queued", "sent_at": None, "attempts": 1, "reply": "451 greylisted"}, True),
        (1, {"state": "queued", "resends": 1}, False),
        (1, {"state": "sent"}, False),
    ],
)
def test_a_store_that_knows_less_of_the_newest_mail_than_that_it_was_handed_over_was_restored(
    keys: int, as_in_the_backup: dict[str, object], is_ahead: bool
) -> None:
    people = arrive()
    enable(people.nordlys, people.ase, now=LONG_AGO)
    for number in range(keys):
        key_of(people.ase, label=f"key-{number}", expires_on=date(2026, 11, 30), now=LONG_AGO)
    Email.delete().execute()
    notices.sweep("Europe/Oslo", date(2026, 11, 23), NOON, DAYS)
    with smtp_server() as server:
        send(server)
        Email.update(**as_in_the_backup).execute()

    assert sent_record.is_ahead() is is_ahead


def test_a_store_that_lacks_any_of_the_newest_mails_was_restored(record: Path) -> None:
    one_warning()
    known = Email.get().message_id
    lines = [f"1795435200 {message_id} {'0' * 32}\n" for message_id in ("kd.unknown", known)]
    Email.update(state="sent").execute()

    record.write_text(lines[1])
    assert not sent_record.is_ahead()
    record.write_text("".join(lines))
    assert sent_record.is_ahead()
    restored.hold(WORKER, "a test", NOON)
    restored.release(WORKER, NOON)
    assert not sent_record.is_ahead()


def test_a_line_that_was_torn_hides_no_other(record: Path) -> None:
    one_warning()
    record.write_text("1763899200 kd.torn 0123")
    with smtp_server() as server:
        send(server)
        forget()
        notices.sweep("Europe/Oslo", date(2026, 11, 23), NOON, DAYS)
        send(server)

    assert len(server.received) == 1


def test_a_record_that_cannot_be_written_holds_no_mail_back(tmp_path: Path) -> None:
    one_warning()
    sent_record.use(tmp_path / "nowhere" / "sent")
    with smtp_server() as server:
        outcome = send(server)

    assert len(outcome.sent) == len(server.received) == 1


def test_the_next_mail_goes_only_once_the_record_of_this_one_is_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    arrive()
    for address in ("a@x.example", "b@x.example"):
        outbox.queue([Owed("test_mail", address, "", address, {"by": "olav", "at": "2026-11-23T11:00:00Z"})], NOON)
    bodies, sync, seen = [Event(), Event(), Event()], os.fsync, []

    class Watched(SmtpSession):
        def hand_over(self, sender: str, recipient: str, raw: bytes) -> Conversation:
            is_second = recipient == "b@x.example"
            return around_the_record(super().hand_over(sender, recipient, raw), after=bodies[is_second].set)

    def slowly(descriptor: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            with session():
                seen.append((bodies[len(seen) + 1].wait(0.1), [state for _, state in states()]))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", slowly)
    with smtp_server() as server:
        send(server, by=Watched)

    assert seen == [(False, ["handing-over", "claimed"]), (False, ["sent", "handing-over"])]
    assert [state for _, state in states()] == ["sent", "sent"]


def test_a_record_that_the_disk_does_not_take_holds_no_mail_back(monkeypatch: pytest.MonkeyPatch) -> None:
    one_warning()
    said = io.StringIO()

    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with smtp_server() as server:
        outcome = send(server, log=JsonLog(said, clock=lambda: NOON))

    assert len(outcome.sent) == len(server.received) == 1
    assert [state for _, state in states()] == ["sent"]
    assert '"fact": "mail.not-recorded"' in said.getvalue()
    assert '"error": "Input/output error"' in said.getvalue()


def test_a_record_that_cannot_be_read_leaves_the_mails_for_later(record: Path) -> None:
    one_warning()
    with smtp_server("450 rcpt") as server:
        send(server)
        record.mkdir()  # as good as a disk that fails, or a process without a descriptor left
        with pytest.raises(IsADirectoryError):
            send(server, days_later=1)
        kept = states()
        record.rmdir()
        send(server, days_later=1)

    assert [state for _, state in kept] == ["queued"]
    assert [state for _, state in states()] == ["sent"]


@pytest.mark.parametrize(
    ("things", "known"),
    [
        (["a" * 32], True),
        (["a" * 32, "b" * 32], True),
        (["a" * 32, "c" * 32], False),
        (["c" * 32], False),
        (["d" * 32], True),
        (["e" * 32], False),
        (["f" * 32], True),
        (["0" * 32], True),
        (["1" * 32], False),
        (["2" * 32], True),
        ([], False),
    ],
)
def test_what_was_told_before_a_restored_store_went_on_is_found_among_all_that_ever_was(
    record: Path, things: list[str], known: bool
) -> None:
    at = int(NOON.timestamp())
    record.write_text(
        f"{at - 99} kd.1 {'a' * 32} {'b' * 32}\n"
        f"{at - 3_700} kd.6 {'0' * 32}\n"
        f"{at - 90_001} kd.7 {'1' * 32}\n"
        f"{at + 86_400} kd.2 {'d' * 32}\n"  # the clocks of two machines may be a day apart
        f"{at + 86_401} kd.3 {'e' * 32}\n"
        f"torn kd.4 {'f' * 32}\n"
        f"{at - 1} kd.5 {'c' * 31}\n"
        f"{at - 1} kd.8 {'2' * 32}"
    )

    assert sent_record.may_know(things, (NOON - timedelta(hours=1), NOON)) is known


@pytest.mark.parametrize("acted", [False, True])
def test_a_store_that_was_put_back_by_hand_mails_nothing_twice_also_when_somebody_used_it_first(acted: bool) -> None:
    one_warning()
    with smtp_server() as server:
        send(server)
        Notice.delete().execute()
        Email.delete().execute()
        if acted:
            key_of(User.get(), expires_on=date(2027, 11, 30), now=NOON + 2 * DAY)
            Email.delete().execute()
        restored.hold(WORKER, "found by hand", NOON + 3 * DAY)
        restored.release(WORKER, NOON + 3 * DAY)
        notices.sweep("Europe/Oslo", date(2026, 11, 26), NOON + 3 * DAY, DAYS)
        send(server, days_later=3)

    assert len(server.received) == 1
    assert [state for _, state in states()] == ["sent"]


def test_half_a_line_does_not_hide_the_one_that_follows_it(record: Path) -> None:
    arrive()
    context = {"by": "olav", "at": "2026-11-23T11:00:00Z"}
    outbox.queue([Owed("test_mail", "olav@fjord.example", "", "test", context)], NOON)
    record.write_text("1795435200 kd.of-a-full-disk 0123")
    with smtp_server() as server:
        send(server)
        Email.update(state="handing-over", owner="killed before the store heard", lease_until=NOON).execute()
        send(server, days_later=1)

    assert len(server.received) == 1
    assert [state for _, state in states()] == ["sent"]


def test_without_a_restore_the_record_is_not_asked(record: Path) -> None:
    one_warning()
    with smtp_server() as server:
        send(server)
        Notice.delete().execute()
        Email.delete().execute()
        notices.sweep("Europe/Oslo", date(2026, 11, 23), NOON, DAYS)
        send(server)

    assert len(server.received) == 2
    assert len(record.read_text().splitlines()) == 2


def test_a_worker_that_cannot_read_the_record_as_it_starts_mails_nothing_and_goes_on_once_it_can(record: Path) -> None:
    one_warning()
    said = Said()
    with smtp_server() as server:
        send(server)
        in_the_record = record.read_bytes()
        Email.update(state="queued", sent_at=None, attempts=0).execute()  # as in a store that somebody put back
        record.unlink()
        record.mkdir()  # as good as a file of root's, for who is root
        worker = worker_of(server, said)
        worker.begin(NOON)
        worker.work()
        while_it_cannot = worker.empty("mails", lambda: NOON), runs.listed(), restored.held()
        worker.tick(NOON)
        (row,) = workers.alive(NOON)
        record.rmdir()
        record.write_bytes(in_the_record)
        worker.work()
        worker.empty("mails", lambda: NOON)
        worker.end(NOON)

    assert while_it_cannot == (0, [], None)
    (unread,) = said.named("mail.record-unread")
    assert unread["text"] == row.last_error
    assert str(row.last_error).startswith(f"The record of what was sent, {record}, cannot be read (Is a directory): ")
    assert [fact["fact"] for fact in said.facts] == [
        "worker.started",
        "mail.record-unread",
        "mail.record-read",
        "store.held",
        "worker.stopped",
    ]
    assert len(server.received) == 1
    assert restored.held() is not None


def test_a_worker_that_can_read_the_record_at_last_does_what_is_due(record: Path) -> None:
    one_warning()
    said = Said()
    record.mkdir()
    with smtp_server() as server:
        worker = worker_of(server, said)
        worker.begin(NOON)
        worker.work()
        record.rmdir()
        worker.work()
        worker.empty("mails", lambda: NOON)

    assert [len(said.named(fact)) for fact in ("mail.record-unread", "mail.record-read", "store.held")] == [1, 1, 0]
    assert runs.listed()
    assert len(server.received) == 1


def test_a_pass_and_a_job_that_cannot_read_the_record_end_before_they_are_workers(record: Path) -> None:
    one_warning()
    record.mkdir()
    for act in (Worker.once, Worker.run_due):
        with smtp_server() as server, pytest.raises(Refused, match=r"cannot be read \(Is a directory\): nobody knows"):
            act(worker_of(server, Said()), NOON)

    assert workers.listed() == []
    assert server.received == []


def test_what_a_dead_worker_handed_over_waits_until_the_record_can_tell_of_it(record: Path) -> None:
    one_warning()
    said = Said()
    with smtp_server() as server:
        send(server)
        dead = workers.register(workers.this_host(), "0.1.0", NOON, pid=2**22 + 1)  # beyond the kernel's highest
        Email.update(state="handing-over", owner=dead, lease_until=NOON + DAY / 48, sent_at=None).execute()
        in_the_record = record.read_bytes()
        record.unlink()
        record.mkdir()
        worker = worker_of(server, said)
        worker.begin(NOON)
        kept = states()
        record.rmdir()
        record.write_bytes(in_the_record)
        worker.work()
        worker.empty("mails", lambda: NOON + DAY)

    assert said.named("worker.buried")
    assert kept == [("ase@nordlys.example", "handing-over")]
    assert states() == [("ase@nordlys.example", "sent")]
    assert len(server.received) == 1


def worker_of(server: ScriptedServer, said: Said) -> Worker:
    mails = queues.mails(lambda: SmtpSession("localhost", server.port, tls="none"), Sender("keys@fjord.example", ""))
    return Worker(queues={"mails": mails}, clock=lambda: NOON, log=JsonLog(said, clock=lambda: NOON))
