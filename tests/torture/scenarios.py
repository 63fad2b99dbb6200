"""The worker's acts, and what each has to leave. It is shortly after noon on Friday, 4 December 2026.

Nordlys AS in Oslo joined in November; its key, for everything, expires in ten days, and nobody was told of it yet.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

from cast import OLAV, company, enable, key_of, user
from worker_world import PRICES

from jobs import letters, queues
from jobs.mail_preview import sample_contexts
from jobs.planning import Planner
from jobs.queues import Queue
from jobs.refresh_command import Command
from jobs.schedule import TIMETABLE
from store import installation, markers, marking, months_owed, notices, outbox, prices, runs
from store.actors import WORKER
from store.database import run_sql, session
from store.fields import seconds
from store.installation import Installation
from store.outbox import Owed
from store.tables import User
from torture.acts import LATER, LETTERS, NOW, Queues, a_pass, letterbox, no_queues, passing, side_by_side, workers_after
from torture.crash_points import LOOKED_AT, Restart, Scenario, World
from torture.found import Found, Row, differences

NOVEMBER = datetime(2026, 11, 2, 12, tzinfo=UTC)
TODAY = date(2026, 12, 4)
EVERY_JOB = tuple(job.name for job in TIMETABLE)
REFRESHED = "refreshed"
QUARTER = timedelta(minutes=15)


def one_company(*emails: str) -> User:
    installation.set_up(Installation(vendor="Fjord Software"), NOVEMBER)
    prices.publish(OLAV, PRICES, NOVEMBER)
    nordlys = company("nordlys", "Nordlys AS", licences=2)
    ase = user(nordlys, "ase", "Åse Berg")
    enable(nordlys, ase, *emails, now=NOVEMBER)
    key_of(ase, environment="all", expires_on=date(2026, 12, 14), now=NOVEMBER)
    settle()
    return ase


def settle() -> None:
    """All companies came in November, and what was mailed so far is forgotten."""
    run_sql("UPDATE company SET created_at = ?", (seconds(NOVEMBER),))
    run_sql("DELETE FROM email")


def planned() -> None:
    one_company()
    plan()


def plan() -> None:
    with session():
        Planner(TIMETABLE).plan(NOW)


# Rows, and invoices: three companies, a transaction each; nobody has published prices for the one that pays in dollars.


def three_companies() -> None:
    one_company()
    for name, currency in (("sydlys", "NOK"), ("hudson", "USD")):
        other = company(name, name.capitalize(), currency=currency, licences=1)
        owner = user(other, "bo", "Bo Dahl")
        enable(other, owner, now=NOVEMBER)
        key_of(owner, environment="all", expires_on=date(2026, 12, 8), now=NOVEMBER)
    settle()


def three_planned() -> None:
    three_companies()
    plan()


def nights_after_downtime() -> None:
    """The night of 1 December was marked, and one of its sandboxes refreshed; then no worker ran for two nights."""
    three_companies()
    a_pass(None, ["sandbox-refresh"], no_queues, NOW - timedelta(days=3))
    run_sql("UPDATE refresh_marker SET state = 'done', finished_at = due_at WHERE company_id = 1")


def drafted() -> None:
    three_planned()
    a_pass(None, ["invoice-lines"], no_queues, NOW)


def one_by_one(act: Callable[[World], None]) -> Callable[[World], None]:
    """What some hundred companies share is done for each by itself."""

    def acted(world: World) -> None:
        for module, name in ((months_owed, "TOGETHER"), (notices, "_SLICE"), (marking, "_SLICE"), (marking, "_FEWEST")):
            if not hasattr(module, name):
                raise AssertionError(f"{module.__name__} has no {name} any more.")
            setattr(module, name, 1)
        act(world)

    return acted


def in_slices(name: str, furnish: Callable[[], None], job: str, leaves: dict[str, int]) -> Scenario:
    restarts = tuple(replace(each, begin=one_by_one(each.begin)) for each in workers_after(job))
    return Scenario(name, furnish, one_by_one(passing(job)), restarts, leaves)


# Housekeeping


def housework() -> None:
    """A worker elsewhere died an hour ago with a run and a sandbox in its hands; old mail lies about."""
    planned()
    hour_ago = NOW - timedelta(hours=1)
    runs.claim("dead", ["expiry-notices"], hour_ago)
    marking.create("Europe/Oslo", TODAY, hour_ago)
    markers.claim(WORKER, 1, QUARTER, hour_ago, "dead")
    queue_mail("old@nordlys.example", NOVEMBER)
    run_sql("UPDATE email SET state = 'sent', sent_at = ?, message = ?", (seconds(NOW - timedelta(days=99)), b"old"))


def queue_mail(address: str, at: datetime) -> None:
    context = {"by": "olav", "at": "2026-12-04T11:00:00Z", "roles": ["operator"]}
    outbox.queue([Owed("test_mail", address, "", f"test:{address}", context)], at)


# Mails


def two_mails() -> None:
    """Åse is warned about her key, and somebody has asked for a mail that says nothing about a key."""
    one_company()
    notices.sweep("Europe/Oslo", TODAY, NOW, (14, 3, -1))
    queue_mail("olav@fjord.example", NOW)


def six_mails() -> None:
    """And four more have asked, so that mails go over two connections."""
    two_mails()
    for name in ("kari", "per", "liv", "nils"):
        queue_mail(f"{name}@fjord.example", NOW)


def write_samples() -> None:
    """Compile the templates once, and not in each process."""
    for kind in ("key_expiring", "test_mail"):
        letters.render(kind, sample_contexts()[kind]["typical"], today=TODAY, now=NOW)


def recorded_for(world: World) -> list[str]:
    """To whom a mail is in the record of what was sent; everybody here gets one."""
    record = world.folder / "sent-record"
    lines = record.read_text(encoding="ascii") if record.exists() else ""
    with session():
        mails = run_sql("SELECT recipient, message_id FROM email ORDER BY recipient").fetchall()
    return [recipient for recipient, message_id in mails if f" {message_id} " in lines]


def judge_mails(left: Found, found: Found, wanted: Found, at_once: int = 1) -> list[str]:
    """Each mail reached the relay once, and its row says so.

    Only what the kill left between hand-over and answer, unknown to the record of what was sent, may be otherwise: a
    warning about a key is sent once more, anything else waits for a person. Both are named in the store.
    """
    rows = left.tables["email"]
    unsure = {_of(row) for row in rows if row["state"] == "handing-over"}
    recorded = {_of(row) for row in rows if row["recipient"] in left.files[LOOKED_AT]}
    reached, here = _letters(left), _letters(found)
    told = [f"{len(unsure)} mails were in hand at once"] if len(unsure) > at_once else []
    for mail in sorted(here.keys() | {_of(row) for row in wanted.tables["email"]}):
        row = next(row for row in found.tables["email"] if _of(row) == mail)
        once, state, resends = 1, "sent", 0
        if mail in unsure - recorded and row["kind"] == "key_expiring":
            once, resends = reached[mail] + 1, 1
        elif mail in unsure - recorded:
            once, state = reached[mail], "ambiguous"
        if (here[mail], row["state"], row["resends"]) != (once, state, resends):
            told.append(f"{mail} arrived {here[mail]} times and is {row['state']} after {row['resends']} resends")
        if len({line for line in found.files[LETTERS] if line.startswith(" | ".join(mail))}) > 1:
            told.append(f"{mail} arrived in two forms")
    return told + differences(_without(found, unsure), _without(wanted, unsure))


def _of(row: Row) -> tuple[str, str]:
    return row["recipient"], row["subject"] or ""


def _letters(found: Found) -> Counter[tuple[str, ...]]:
    return Counter(tuple(line.split(" | ")[:2]) for line in found.files[LETTERS])


def _without(found: Found, mails: set[tuple[str, str]]) -> Found:
    """The tables without those mails, and what refers to a mail without saying to which."""
    tables = dict(found.tables)
    tables["email"] = [
        {name: value for name, value in row.items() if name != "attempts"}
        for row in found.tables["email"]
        if _of(row) not in mails
    ]
    tables["notice"] = [{**row, "email_id": row["email_id"] is not None} for row in found.tables["notice"]]
    return Found(tables, found.chain)


# Sandboxes


def a_night() -> None:
    one_company()
    marking.create("Europe/Oslo", TODAY, NOW)


def refreshing(world: World) -> dict[str, Queue]:
    command = Command(("/bin/sh", "-c", f"cat >> {world.folder / REFRESHED}"), timedelta(minutes=10))
    return {"sandbox": queues.refreshes(command)}


def judge_refresh(left: Found, found: Found, wanted: Found) -> list[str]:
    """The sandbox is fresh, and its command ran once more only where a worker died while it ran."""
    times, died = len(found.files[REFRESHED]), any(row["state"] == "running" for row in left.tables["refresh_marker"])
    told = [] if times == 1 or (died and times == 2) else [f"the command ran {times} times"]
    return told + differences(found, Found(wanted.tables, wanted.chain))


def pipeline(report: Callable[[str, datetime], None]) -> Callable[[datetime], Callable[[World], None]]:
    """A pipeline that takes what is due, works on it, holds its claim and reports; at an instant."""

    def at(now: datetime) -> Callable[[World], None]:
        def act(_world: World) -> None:
            with session():
                while claims := markers.claim(OLAV, 1, QUARTER, now, "pipeline"):
                    markers.heartbeat(OLAV, claims[0].token, QUARTER, now)
                    report(claims[0].token, now)

        return act

    return at


DONE = pipeline(lambda token, now: markers.done(OLAV, token, "1 GB", now))
FAILED = pipeline(lambda token, now: markers.fail(OLAV, token, "no space", now))


def refresh(name: str, act: Callable[[datetime], Callable[[World], None]], leaves: dict[str, int]) -> Scenario:
    later = Restart("the pipeline, when its lease is over", act(LATER), same_instant=False)
    return Scenario(name, a_night, act(NOW), (later,), leaves)


def mailing(queues_of: Queues = letterbox) -> Scenario:
    return Scenario(
        "hand over mails",
        two_mails,
        passing(queues=queues_of),
        workers_after(queues=queues_of),
        {"email": 2, "notice": 1},
        judge=judge_mails,
        watches_files=True,
        files=(LETTERS,),
        look=recorded_for,
        warm_up=write_samples,
    )


SIDE_BY_SIDE = replace(
    mailing(side_by_side),
    name="hand over mails side by side",
    furnish=six_mails,
    leaves={"email": 6, "notice": 1},
    judge=partial(judge_mails, at_once=2),
)

SCENARIOS = (
    Scenario("plan", one_company, lambda _world: plan(), workers_after(*EVERY_JOB), {"run": 6}),
    in_slices("expiry notices", three_planned, "expiry-notices", {"notice": 3, "email": 3}),
    in_slices("refresh markers", nights_after_downtime, "sandbox-refresh", {"refresh_marker": 12}),
    in_slices("draft invoices", three_planned, "invoice-lines", {"invoice_month": 3, "invoice_line": 2}),
    in_slices("finalise invoices", drafted, "invoice-final", {"invoice_month": 3, "event": 14, "email": 2}),
    Scenario(
        "housekeeping",
        housework,
        passing("housekeeping", "tidying"),
        workers_after("housekeeping", "tidying"),
        {"run": 6, "refresh_marker": 1},
    ),
    SIDE_BY_SIDE,
    Scenario(
        "refresh a sandbox",
        a_night,
        passing(queues=refreshing),
        workers_after(queues=refreshing)[1:],
        {"refresh_marker": 1},
        judge=judge_refresh,
        watches_files=True,
        files=(REFRESHED,),
    ),
    refresh("a pipeline is done", DONE, {"refresh_marker": 1, "email": 0}),
    refresh("a pipeline fails", FAILED, {"refresh_marker": 1, "email": 1}),
)

MORE_SCENARIOS = (mailing(),)
