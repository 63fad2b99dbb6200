"""`keydesk doctor`: what is well, what is not, and what to do about it."""

import argparse
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from jobs.mail_server import session_for
from jobs.smtp_session import Timeouts
from keydesk.opening import open_peppers, open_store
from keydesk.settings import Settings
from store import (
    clock_seen,
    database,
    events,
    installation,
    notices,
    prices,
    restored,
    runs,
    sandbox_holds,
    waiting_mails,
)
from store.database import session
from store.errors import KeydeskError
from store.rules import price_lists
from store.rules.text import visible
from store.tables import Company, Event, InvoiceMonth, Worker
from store.workers import CALLED_EVERY

_CLOCKS_APART = timedelta(seconds=30)
_MISSED_FOR = timedelta(days=1)  # a worker that fell silent beside others is spoken of
_SILENT_AFTER = timedelta(minutes=2)
_PATIENCE_SECONDS = 10  # with a relay; a worker that delivers waits for minutes, a person who looks does not
_LITTLE_SPACE = 0.10
# Two processes in WAL mode can lose a checkpoint before these (sqlite.org/wal.html, "WAL-reset").
_SOUND_SQLITE = (3, 51, 3)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `text` says what is, and for anything but ok what to do."""

    verdict: Literal["ok", "look", "wrong"]
    about: str
    text: str


def run(_given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Print a line for each finding. Exit status 1 when something is wrong."""
    worst = 0
    for finding in findings(settings, clock()):
        sys.stdout.write(f"{finding.verdict:<5}  {finding.about:<9}  {visible(finding.text)}\n")
        worst = max(worst, finding.verdict == "wrong")
    return worst


def findings(settings: Settings, now: datetime, patience: float = _PATIENCE_SECONDS) -> Iterator[Finding]:
    """Look at everything that can be looked at; without a store there is nothing more to see.

    `patience` is how many seconds the mail relay is waited for.
    """
    yield Finding("ok", "settings", str(settings.source or "none; everything has its default"))
    try:
        open_store(settings)
        with session():
            chosen = installation.get()
    except KeydeskError as error:
        yield Finding("wrong", "store", str(error))
        return
    with session():
        yield Finding("ok", "store", f"{database.location()}, the desk of {chosen.vendor}")
        yield from _store()
        yield _pepper(settings)
        yield _clock(now)
        yield _worker(now)
        yield _mail(settings, patience)
        yield from _work(now)


def _store() -> Iterator[Finding]:
    path = database.sqlite_path()
    if path is None:
        return
    version = tuple(int(part) for part in _sqlite_version().split("."))
    if version < _SOUND_SQLITE:
        yield Finding(
            "look",
            "sqlite",
            f"{_sqlite_version()} can lose a checkpoint when desk and worker write at once; "
            "install pysqlite3 or SQLite 3.51.3, or use PostgreSQL.",
        )
    disk = shutil.disk_usage(path.parent)
    if disk.free < disk.total * _LITTLE_SPACE:
        yield Finding("look", "disk", f"{disk.free // 2**20:,} MB are free beside the store; make room.")
    if path.parent.stat().st_mode & 0o077:
        yield Finding("look", "store", f"Others can enter {path.parent}; run `chmod 700 {path.parent}`.")


def _sqlite_version() -> str:
    row = database.run_sql("SELECT sqlite_version()").fetchone()
    return str(row[0]) if row else sqlite3.sqlite_version


def _pepper(settings: Settings) -> Finding:
    try:
        found = open_peppers(settings)
    except KeydeskError as error:
        return Finding("wrong", "pepper", str(error))
    return Finding(
        "ok", "pepper", f"{settings.pepper_path()}, version {found.current}; keep a copy apart from the store"
    )


def _clock(now: datetime) -> Finding:
    server = clock_seen.of_server()
    if server is not None:
        apart = now - server
        if abs(apart) > _CLOCKS_APART:
            return Finding(
                "wrong",
                "clock",
                f"Here it is {now:%Y-%m-%d %H:%M:%S}Z, {abs(apart)} {'more' if apart > timedelta() else 'less'} than "
                "on PostgreSQL's machine. Set both by the same time service (chrony, systemd-timesyncd).",
            )
    newest = Event.select().order_by(Event.seq.desc()).first()
    if newest is not None and newest.at > now + timedelta(minutes=5):
        return Finding(
            "wrong",
            "clock",
            f"The newest event is of {newest.at:%Y-%m-%d %H:%M}Z, and here it is {now:%H:%M}Z; set the clock right.",
        )
    seen = clock_seen.latest()
    if seen is not None and seen > now + timedelta(minutes=5):
        return Finding(
            "wrong",
            "clock",
            f"A worker has already lived through {seen:%Y-%m-%d %H:%M}Z, and here it is {now:%Y-%m-%d %H:%M}Z: "
            "until then nothing is planned. Set the clock right, or restore the store from before.",
        )
    return Finding("ok", "clock", f"{now:%Y-%m-%d %H:%M}Z")


def _worker(now: datetime) -> Finding:
    newest_first = Worker.select().where(Worker.kind != "job").order_by(Worker.last_tick.desc())
    staying = newest_first.where(Worker.stopped_at.is_null(), Worker.kind == "stays")
    ticking = list(staying.where(Worker.last_tick >= now - _SILENT_AFTER))
    if ticking:
        named = "; ".join(f"{row.name}, last tick {row.last_tick:%H:%M:%S}Z" for row in ticking)
        lately = (Worker.last_tick < now - _SILENT_AFTER) & (Worker.last_tick > now - _MISSED_FOR)
        fallen = ", ".join(f"{row.name} ({row.last_tick:%Y-%m-%d %H:%M}Z)" for row in staying.where(lately))
        if fallen:
            return Finding("look", "worker", f"{named}. No longer heard: {fallen}; start it again, or see why.")
        return Finding("ok", "worker", named)
    called = newest_first.where(Worker.kind == "pass").first()
    if called is not None and now - called.last_tick <= CALLED_EVERY:
        return Finding("ok", "worker", f"`keydesk worker --once` came by at {called.last_tick:%H:%M:%S}Z")
    silent = staying.first()
    if silent is not None:
        return Finding(
            "wrong", "worker", f"{silent.name} was last heard at {silent.last_tick:%Y-%m-%d %H:%M}Z. Restart it."
        )
    if called is not None and called.id == newest_first.get().id:
        return Finding(
            "wrong",
            "worker",
            f"`keydesk worker --once` last came by at {called.last_tick:%Y-%m-%d %H:%M}Z. Have it called every "
            "5 minutes, by its timer or by cron.",
        )
    return Finding(
        "wrong", "worker", "No worker is running: no notice, no marker, no mail goes out. Start `keydesk worker`."
    )


def _mail(settings: Settings, patience: float) -> Finding:
    mail = settings.mail
    if not mail.host:
        return Finding("look", "mail", "No relay is set: mails wait in the outbox. Set [mail] host and sender.")
    try:
        timeouts = Timeouts(connect=patience, command=patience, offer=3 * patience)
        with session_for(mail, settings.mail_password(), timeouts) as relay:
            refusal = relay.check()
    except KeydeskError as error:
        return Finding("wrong", "mail", str(error))
    if refusal is not None:
        return Finding("wrong", "mail", f"{mail.host}:{mail.port}: {refusal.text}")
    return Finding("ok", "mail", f"{mail.host}:{mail.port} takes mail")


def _work(now: datetime) -> Iterator[Finding]:
    since = restored.held()
    if since is not None:
        yield Finding(
            "look",
            "restored",
            f"This store was restored at {since} and neither sends nor bills. Look what is missing since the backup, "
            "then run `keydesk restore --release`.",
        )
    waiting = waiting_mails.pending()
    if waiting.ambiguous:
        yield Finding(
            "look", "mail", f"Mails that may or may not have arrived: {waiting.ambiguous}. Settle them at the desk."
        )
    if waiting.failed:
        yield Finding("look", "mail", f"Mails that no server took: {waiting.failed}. The desk says why, under Mails.")
    unreachable = len(notices.unreachable())
    if unreachable:
        yield Finding(
            "look",
            "notices",
            f"Keys that expire with nobody to tell: {unreachable}. Give each somebody to notify, at the desk.",
        )
    yield from _sandboxes()
    for row in runs.unwell():
        yield Finding("wrong", "run", f"{runs.name_of(row)}: {row.error or row.state}")
    for waiting_month in InvoiceMonth.select().where(InvoiceMonth.state.in_(("parked", "held"))).limit(5):
        of = f"{waiting_month.month} of company {waiting_month.company.external_id}"
        yield Finding("wrong", "invoices", f"{of} is {waiting_month.state}: {waiting_month.error}")
    yield from _missing_prices(now)
    chain = events.verify()
    if chain.fault is None:
        yield Finding("ok", "events", f"{chain.events:,}, one unbroken chain")
    else:
        yield Finding("wrong", "events", chain.fault)


def _sandboxes() -> Iterator[Finding]:
    count = sandbox_holds.counts()["quarantined"]
    if count:
        named = ", ".join(company.external_id for company in sandbox_holds.in_quarantine(3))
        yield Finding(
            "look",
            "sandboxes",
            f"Not refreshed any more after failures in a row: {count} ({named}{', …' if count > 3 else ''}). "
            "Find out why (`keydesk sandbox show COMPANY`), then run `keydesk sandbox again COMPANY`.",
        )


def _missing_prices(now: datetime) -> Iterator[Finding]:
    used = Company.select(Company.price_list, Company.currency).where(Company.deactivated_at.is_null()).distinct()
    for row in used:
        try:
            price_lists.in_force(
                prices.published(row.price_list, row.currency), row.currency, row.price_list, now.date().replace(day=1)
            )
        except KeydeskError as error:
            yield Finding("look", "prices", str(error))
