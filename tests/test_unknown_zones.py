"""What does a worker do about companies in a time zone that its machine does not know?"""

from datetime import date, timedelta

from cast import LONG_AGO, NOON, arrive, enable, key_of
from command import NOW, Home
from doctor_visit import found
from smtp_server import smtp_server
from worker_log import Said

from jobs import queues
from jobs.delivery import Sender
from jobs.json_log import JsonLog
from jobs.schedule import TIMETABLE
from jobs.smtp_session import SmtpSession
from jobs.worker import Worker
from store import workers
from store.tables import Company, Email, Run

NEW_ZONE = "Europe/Atlantis"  # of rules that are newer than this machine's


def test_nothing_is_planned_for_them_and_all_else_is_done(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    key_of(people.ase, expires_on=date(2027, 12, 31), now=LONG_AGO)
    Company.update(time_zone=NEW_ZONE).where(Company.id == people.sydlys.id).execute()
    said = Said()
    worker = Worker(timetable=TIMETABLE, log=JsonLog(said), version="0.1.0")

    done = worker.once(NOON)

    assert done.failed == 0
    assert {(row.scope, row.state) for row in Run.select() if row.scope != "all"} == {("Europe/Oslo", "done")}
    assert [(fact["level"], fact["zones"]) for fact in said.named("zones.unknown")] == [("error", [NEW_ZONE])]


def test_a_mail_about_their_keys_is_set_aside_and_the_others_go(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase, "post@nordlys.example")
    enable(people.sydlys, people.dorte, *(f"{name}@sydlys.example" for name in ("post", "drift", "it", "db")))
    for user in (people.ase, people.dorte):
        key_of(user, expires_on=NOON.date(), now=LONG_AGO)
    Worker(timetable=TIMETABLE, log=JsonLog(Said()), version="0.1.0").once(NOON)
    Email.update(next_at=NOON).where(Email.kind == "key_expiring").execute()
    Email.update(next_at=NOON - timedelta(minutes=1)).where(Email.company_id == people.nordlys.id).execute()  # first
    Company.update(time_zone=NEW_ZONE).where(Company.id == people.sydlys.id).execute()

    with smtp_server() as server:
        post = queues.mails(
            lambda: SmtpSession("127.0.0.1", server.port, tls="none"),
            Sender("keys@example.com", "help@example.com"),
            connections=2,
        )
        Worker(timetable=[], queues={"mails": post}, log=JsonLog(Said()), version="0.1.0").once(NOON)

    of_sydlys = Email.select().where(Email.company_id == people.sydlys.id, Email.kind == "key_expiring")
    assert {mail.state for mail in of_sydlys} == {"failed"}
    assert all("Europe/Atlantis" in mail.reply and "not a time zone" in mail.reply for mail in of_sydlys)
    others = Email.select().where(Email.kind == "key_expiring", Email.company_id == people.nordlys.id)
    assert {mail.state for mail in others} == {"sent"}


def test_the_doctor_names_them(home: Home) -> None:
    with home.opened():
        workers.register(workers.this_host(), "0.1.0", NOW)
    home.sql("UPDATE company SET time_zone = 'Europe/Atlantis' WHERE external_id = 'fjell-1001'")

    assert found(home)["clock"] == (
        "wrong",
        (
            "This machine does not know the time zones of some companies: Europe/Atlantis. A worker here plans nothing "
            "for them: update tzdata, and start it anew."
        ),
    )
