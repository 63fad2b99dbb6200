"""A living world for the demo: forty companies over three months and more, made by the same functions that a desk uses.

Whatever happened is a step at an instant; the steps are done in that order, each with its own past `now`, and in one
transaction. The same seed and `now` give the same world, but for the keys' secrets and handles.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from random import Random
from typing import Final

from jobs.json_log import JsonLog
from jobs.schedule import TIMETABLE
from jobs.worker import Worker
from keydesk.demonstration import billing, keys, names
from keydesk.demonstration.names import Firm
from keydesk.demonstration.prices import lists
from keydesk.demonstration.world import INGRID, TOR, World
from store import admins, installation, integrations, markers, prices, sandbox_holds
from store.actors import WORKER
from store.database import run_sql, session, writing
from store.fields import seconds
from store.installation import Installation
from store.peppers import Peppers
from store.rules import calendar
from store.tables import Company, User

_ADMINS: Final = (("ingrid", "operator", None), ("nora", "auditor", None), ("frida", "company-admin", "c-1003"))

# How many days ago what happened to some companies; they are the last ones of their places.
_DISABLED: Final = {"c-1012": 5, "c-1023": 31}
_LEFT: Final = {"c-1020": 9}
_ENDED: Final = {**_DISABLED, **_LEFT}
_NEVER_ENABLED: Final = frozenset({"c-1006", "c-1013", "c-1018", "c-1026", "c-1035"})
_HELD_SANDBOX: Final = {"c-1021": 3}
_FAILING_SANDBOX: Final = {"c-1034": 5}
_WATCHED_DAYS: Final = 12  # for so long the real worker has lived through every part of the day
_DELIVERED_DAYS: Final = 2  # for so long mails were written and handed over; writing one takes time


def build(
    now: datetime,
    peppers: Peppers,
    seed: int = 1,
    deliver: Callable[[datetime], object] = lambda _now: None,
    firms: Sequence[Firm] = names.FIRMS,
) -> None:
    """Fill the empty, migrated store that this process is bound to. `deliver` hands over the mails of the last days."""
    first_month = calendar.month_of(now.date())
    for _ in range(3):
        first_month = calendar.previous_month(first_month)
    first_day = date.fromisoformat(f"{first_month}-01")
    begin = datetime(first_day.year, first_day.month, 1, 12, tzinfo=UTC)
    random = Random(seed)  # noqa: S311 - invents people, no secret comes from it
    world = World(now, peppers, random, deliver, begin)
    with session(), writing():
        _found(world, firms, first_day)
        for firm in firms:
            if firm.id not in _NEVER_ENABLED:
                _settle(world, firm)
        _employ_worker(world)
        billing.plan(world, firms)
        world.live()
        keys.use(world, {world.companies[firm.id]: _end(world, firm) for firm in firms})
        world.last_uses.flush()


def _found(world: World, firms: Sequence[Firm], first_day: date) -> None:
    """The installation, its prices and admins, and what the main system tells."""
    begin = world.begin
    installation.set_up(Installation(vendor="Fjord Software"), begin, INGRID, world.peppers)
    prices.publish(INGRID, {"price_list": lists(first_day)}, begin)
    raised_on = (begin + timedelta(days=40)).date()
    world.tell(
        begin,
        companies=[names.company_object(firm) for firm in firms],
        users=[user for firm in firms for user in names.user_objects(firm, world.random)],
        licences=[told for firm in firms for told in names.licence_objects(firm, first_day, raised_on, world.random)],
    )
    for name, role, of in _ADMINS:
        admins.add(TOR, name, role, of, None, begin)
    world.companies = {row.external_id: row.id for row in Company.select()}
    ids = {row_id: name for name, row_id in world.companies.items()}
    usable = User.select().where(User.deactivated_at.is_null(), User.licensed_at.is_null(False))
    for user in usable.order_by(User.id):
        world.users.setdefault(ids[user.company_id], []).append(user.id)


def _end(world: World, firm: Firm) -> datetime:
    """Until when keys of the company can be made and used."""
    return world.days_ago(_ENDED[firm.id]) if firm.id in _ENDED else world.now


def _settle(world: World, firm: Firm) -> None:
    """Enable API Access, make keys, and let happen what happens to a company."""
    company_id, random = world.companies[firm.id], world.random
    told = world.users[firm.id][: random.choice((1, 1, 2))]
    emails = [f"api@{names.domain(firm)}"] if random.random() < 0.3 else []

    def save(when: datetime, *, enabled: bool, who: list[int] = told) -> None:
        integrations.save_api_access(INGRID, company_id, enabled=enabled, user_ids=who, emails=emails, now=when)

    enabled_at = world.begin + timedelta(hours=random.randint(1, 200))
    world.at(enabled_at, lambda when: save(when, enabled=True))
    keys.plan(world, firm, enabled_at, _end(world, firm))
    if firm.id in _DISABLED:
        world.at(world.days_ago(_DISABLED[firm.id]), lambda when: save(when, enabled=False))
    elif random.random() < 0.2:
        one_more = world.users[firm.id][: len(told) + 1]
        world.at(world.days_ago(random.uniform(0.05, 20)), lambda when: save(when, enabled=True, who=one_more))
    if firm.id in _LEFT:
        gone = names.company_object(firm, active=False)
        world.at(world.days_ago(_LEFT[firm.id]), lambda when: world.tell(when, companies=[gone]))
    if firm.id in _HELD_SANDBOX:
        world.at(
            world.days_ago(_HELD_SANDBOX[firm.id]),
            lambda when: sandbox_holds.hold(INGRID, company_id, "Their own tests run in it this week", None, when),
        )


# The worker


def _employ_worker(world: World) -> None:
    """Around the first of each month, when invoice lines are written and made final; lately all day."""
    invoices = [job for job in TIMETABLE if job.name.startswith("invoice-")]
    lately = world.days_ago(_WATCHED_DAYS)
    month = calendar.month_of(world.begin.date())
    while (month := calendar.next_month(month)) <= calendar.month_of(lately.date()):
        first = datetime.fromisoformat(f"{month}-01T12:00:00+00:00")
        for when in (first, first + timedelta(days=4)):
            if when < lately:
                world.at(when, lambda when: _pass(Worker(timetable=invoices, log=_silent()), when))
    # Tidying needs transactions of its own, and there is nothing to tidy.
    watching = Worker(timetable=[job for job in TIMETABLE if job.scope == "time zone"], log=_silent())
    ticks = [lately + timedelta(hours=8 * number) for number in range(3 * _WATCHED_DAYS)]
    world.at(world.days_ago(_DELIVERED_DAYS), _count_as_sent)
    for tick in ticks:
        world.at(tick, lambda when: _watch(world, watching, when))
    world.at(ticks[-1], watching.end)


def _silent() -> JsonLog:
    return JsonLog(StringIO())


def _pass(worker: Worker, when: datetime) -> None:
    worker.once(when)
    worker.end(when)


def _watch(world: World, worker: Worker, when: datetime) -> None:
    worker.once(when)
    lease = timedelta(hours=1)
    waits = 3 if when > world.days_ago(0.6) else 0  # a pipeline still has something to do
    for claim in markers.claim(WORKER, 100, lease, when, "refresh-pipeline")[waits:]:
        if world.random.random() < 0.04 or when > world.days_ago(_FAILING_SANDBOX.get(claim.company, 0)):
            markers.fail(WORKER, claim.token, "pg_restore: error: could not connect to the sandbox: timeout", when)
        else:
            markers.done(WORKER, claim.token, f"{world.random.randint(8, 90)} tables", when)
    if when > world.days_ago(_DELIVERED_DAYS):
        world.deliver(when)


def _count_as_sent(when: datetime) -> None:
    """The mails of earlier weeks went out; their bytes are no longer kept."""
    run_sql(
        "UPDATE email SET state = 'sent', sent_at = queued_at + 20, attempts = 1, reply = '250 2.0.0 Ok' "
        "WHERE state = 'queued' AND queued_at < ?",
        (seconds(when),),
    )
    for kind, subject in _EARLIER_SUBJECTS.items():
        run_sql("UPDATE email SET subject = ? WHERE kind = ? AND state = 'sent' AND subject IS NULL", (subject, kind))


_EARLIER_SUBJECTS: Final = {
    "key_created": "New API key",
    "key_expiry_changed": "API key has another expiry date",
    "key_revoked": "API key revoked",
    "key_rotated": "API key rotated",
    "integration_changed": "API Access changed",
    "key_expiring": "API key expires",
    "key_expired": "API key expired",
    "sandbox_failed": "Sandbox refresh failed",
    "invoice_lines": "Invoice lines",
}
