"""What a job would do as of a day: the same code, in a transaction that is taken back, or the rule alone."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from jobs.planning import scopes
from jobs.schedule import TIMETABLE, Job
from store import companies, installation, invoices, marking, notices, zones
from store.database import db, run_sql, writing
from store.errors import KeydeskError, Refused
from store.rules import calendar
from store.rules.money import amount
from store.rules.text import visible
from store.runs import Planned
from store.zones import ZoneInUse

_EXPECTED = {"key_expiring": "expiring", "key_expired": "expired"}


@dataclass(frozen=True)
class Scene:
    """One zone's run: its period and the instant at which it would be done."""

    zone: ZoneInUse
    period: str
    now: datetime

    def planned(self, job: Job, now: datetime) -> Planned:
        """The run, due now."""
        bounds = job.cadence.bounds(self.period, calendar.zone(self.zone.zone))
        return Planned(job.name, self.zone.name, self.period, "due", now, bounds)


def named(job: str) -> Job:
    """The job of the timetable, or Refused."""
    found = next((line for line in TIMETABLE if line.name == job), None)
    if found is None:
        names = ", ".join(line.name for line in TIMETABLE)
        raise Refused(f"There is no job called {visible(job)}; there are {names}, deliver-mail.")
    return found


def scenes(job: Job, now: datetime, as_of: date | None) -> list[Scene]:
    """The newest period of the job in each zone, now or at the end of that local day."""
    found = []
    for zone in scopes(job, zones.in_use()):
        place = calendar.zone(zone.zone)
        at = now if as_of is None else calendar.start_of_day(as_of + timedelta(days=1), place) - timedelta(seconds=1)
        found.append(Scene(zone, job.cadence.latest(at, place, installation.get()), at))
    return found


def rehearse(job: Job, now: datetime, as_of: date | None) -> Iterator[str]:
    """Lines that say what the job would do; nothing is changed."""
    told: dict[str, Callable[[Scene], Iterator[str]]] = {
        "expiry-notices": _notices,
        "sandbox-refresh": _markers,
        "invoice-lines": _lines,
        "invoice-final": _lines,
    }
    if job.name not in told:
        raise Refused(f"{job.name} cannot be rehearsed; it only tidies up.")
    for scene in scenes(job, now, as_of):
        yield from told[job.name](scene)


def _notices(scene: Scene) -> Iterator[str]:
    for mail in notices.dry_run(date.fromisoformat(scene.period), installation.get().notice_days, scene.zone.zone):
        to = visible(mail.recipient) if mail.recipient else "nobody can be reached"
        keys = ", ".join(_key(json.loads(each.noticed)["key"], each.expires_on) for each in mail.keys)
        yield f"{scene.period}  {visible(mail.company)}  {_EXPECTED[mail.kind]}  {to}: {keys}"


def _key(said: dict[str, str], expires_on: date) -> str:
    return f"{visible(said['label'])} ({said['first']}…{said['last']}, through {expires_on})"


def _markers(scene: Scene) -> Iterator[str]:
    night = date.fromisoformat(scene.period)
    with writing(), db.atomic() as taken_back:
        marking.create(scene.zone.zone, night, scene.now, hour=installation.get().refresh_hour)
        found = run_sql(_DUE, (scene.period, scene.zone.zone)).fetchall()
        taken_back.rollback()
    for (company,) in found:
        yield f"{scene.period}  {visible(company)}  refresh"


_DUE = """
    SELECT c.name FROM refresh_marker m JOIN company c ON c.id = m.company_id
    WHERE m.night = ? AND m.state = 'due' AND c.time_zone = ? ORDER BY c.name
"""


def _lines(scene: Scene) -> Iterator[str]:
    for company_id in invoices.owed(scene.zone.zone, scene.period):
        name = companies.get(company_id).name
        try:
            invoice = invoices.rate(company_id, scene.period, scene.now)
        except KeydeskError as error:
            yield f"{scene.period}  {visible(name)}  cannot be rated: {error}"
            continue
        for line in invoice.lines:
            net = amount(line.net_minor, invoice.currency)
            yield f"{scene.period}  {visible(name)}  {line.description}: {net}. {line.because}"
