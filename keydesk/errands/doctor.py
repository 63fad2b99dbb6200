"""`keydesk doctor`: what is well, what is not, and what to do about it."""

import argparse
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from jobs import refresh_command
from keydesk import faults
from keydesk.errands import doctor_clocks, doctor_mail
from keydesk.finding import Finding
from keydesk.opening import open_peppers, open_store
from keydesk.settings import Settings
from store import (
    database,
    events,
    installation,
    notices,
    prices,
    restored,
    runs,
    sandbox_holds,
    stale_sandboxes,
    untold_ends,
)
from store.database import session
from store.errors import KeydeskError, StoreUnavailable
from store.listings import sandboxes
from store.rules import price_lists
from store.rules.text import visible
from store.tables import Company, InvoiceMonth
from store.write_check import check_writable

# With a relay, and with who writes to the store; a worker waits for minutes, a person who looks does not.
_PATIENCE_SECONDS = 10
_LITTLE_SPACE = 0.10
_NAMED = 3  # of many companies
# Two processes in WAL mode can lose a checkpoint before these (sqlite.org/wal.html, "WAL-reset").
_SOUND_SQLITE = (3, 51, 3)
_Look = Callable[[], Iterator[Finding]]


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Print a line for each finding. Exit status 1 when something is wrong."""
    worst = 0
    for finding in findings(settings, clock()):
        sys.stdout.write(f"{json.dumps(asdict(finding)) if given.json else _line(finding)}\n")
        worst = max(worst, finding.verdict == "wrong")
    return worst


def _line(finding: Finding) -> str:
    return f"{finding.verdict:<5}  {finding.about:<9}  {visible(finding.text)}"


def findings(settings: Settings, now: datetime, patience: float = _PATIENCE_SECONDS) -> Iterator[Finding]:
    """Look at everything that can be looked at; without a store, at what needs none.

    `patience` is how many seconds the mail relay is waited for.
    """
    yield Finding("ok", "settings", str(settings.source or "none; everything has its default"))
    wait = min(settings.store.lock_wait_seconds, _PATIENCE_SECONDS)
    try:
        open_store(replace(settings, store=replace(settings.store, lock_wait_seconds=wait)))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        yield Finding("wrong", "store", faults.sentence(error))
        for about, look in _without_a_store(settings, now, patience):
            yield from _looked(about, look)
        return
    for about, look in _at_the_store(settings, now, patience):
        yield from _looked(about, partial(_in_a_session, look))


def _at_the_store(settings: Settings, now: datetime, patience: float) -> tuple[tuple[str, _Look], ...]:
    return (
        ("store", _store),
        ("store", _beside_the_store),
        ("pepper", partial(_pepper, settings)),
        ("clock", partial(doctor_clocks.clock, now)),
        ("worker", partial(doctor_clocks.worker, now)),
        ("mail", partial(doctor_mail.relay, settings, patience)),
        ("mail", doctor_mail.record),
        ("restored", _restored),
        ("mail", doctor_mail.unsettled),
        ("notices", partial(_notices, now)),
        ("sandboxes", partial(_refresher, settings)),
        ("sandboxes", _sandboxes),
        ("run", _runs),
        ("invoices", _invoices),
        ("prices", partial(_missing_prices, now)),
        ("events", _events),
    )


def _without_a_store(settings: Settings, now: datetime, patience: float) -> tuple[tuple[str, _Look], ...]:
    """In the same order; each says what it could not compare."""
    return (
        ("pepper", partial(_pepper_alone, settings)),
        ("clock", partial(doctor_clocks.clock_alone, now)),
        ("mail", partial(doctor_mail.relay, settings, patience)),
        ("sandboxes", partial(_refresher, settings)),
    )


def _looked(about: str, look: _Look) -> Iterator[Finding]:
    """What one look finds; that it failed is a finding too, and keeps nobody from the next."""
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        yield Finding("wrong", about, faults.sentence(error))


def _in_a_session(look: _Look) -> Iterator[Finding]:
    with session():
        yield from look()


def _store() -> Iterator[Finding]:
    vendor = installation.get().vendor
    try:
        check_writable()
    except StoreUnavailable as error:
        if not error.is_busy:
            raise
        yield Finding("look", "store", f"It can be read; whether it can be written to was not seen. {error}")
    else:
        yield Finding("ok", "store", f"{database.location()}, the desk of {vendor}")


def _beside_the_store() -> Iterator[Finding]:
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


def _pepper(settings: Settings) -> Iterator[Finding]:
    found = open_peppers(settings)
    yield Finding(
        "ok", "pepper", f"{settings.pepper_path()}, version {found.current}; keep a copy apart from the store"
    )


def _pepper_alone(settings: Settings) -> Iterator[Finding]:
    found = settings.peppers()
    unseen = "can be read; whether it is the one of the store's keys was not seen."
    yield Finding("look", "pepper", f"{settings.pepper_path()}, version {found.current}, {unseen}")


def _restored() -> Iterator[Finding]:
    waits = restored.why_it_waits()
    if waits is not None:
        yield Finding("look", "restored", waits)


def _notices(now: datetime) -> Iterator[Finding]:
    unreachable = len(notices.unreachable())
    if unreachable:
        yield Finding(
            "look",
            "notices",
            f"Keys that expire with nobody to tell: {unreachable}. Give each somebody to notify, at the desk.",
        )
    untold = untold_ends.find(now)
    if untold is not None:
        yield Finding(
            "look",
            "notices",
            f"Keys of which nobody was told that they have expired: {untold.keys} (last days {untold.first} to "
            f"{untold.last}). When notices were written again, on {untold.since}, that was more than 30 days ago. The "
            "desk lists them among `state:expired`, under All keys; tell whoever used them. This is said until "
            f"{untold.said_until}.",
        )


def _runs() -> Iterator[Finding]:
    for row in runs.unwell():
        yield Finding("wrong", "run", f"{runs.name_of(row)}: {row.error or row.state}")


def _invoices() -> Iterator[Finding]:
    for waiting_month in InvoiceMonth.select().where(InvoiceMonth.state.in_(("parked", "held"))).limit(5):
        of = f"{waiting_month.month} of company {waiting_month.company.external_id}"
        yield Finding("wrong", "invoices", f"{of} is {waiting_month.state}: {waiting_month.error}")


def _events() -> Iterator[Finding]:
    chain = events.verify()
    if chain.fault is None:
        yield Finding("ok", "events", f"{chain.events:,}, one unbroken chain")
    else:
        yield Finding("wrong", "events", chain.fault)


def _refresher(settings: Settings) -> Iterator[Finding]:
    command = settings.sandbox.command
    if command:
        program = refresh_command.program_of(command)
        interpreter = None if program is None else refresh_command.lacks(program)
        if program is None:
            yield Finding("wrong", "sandboxes", _no_program(command[0]))
        elif interpreter is not None:
            told = f"[sandbox] command: {program} asks for {visible(interpreter)}, which cannot be run; install it, or "
            yield Finding("wrong", "sandboxes", f"{told}correct the first line of the script.")
        else:
            yield Finding("ok", "sandboxes", f"{program} refreshes them")


def _sandboxes() -> Iterator[Finding]:
    failed, quarantined, stale = sandboxes.failed(), sandbox_holds.counts()["quarantined"], stale_sandboxes.find()
    if failed:
        yield Finding(
            "look",
            "sandboxes",
            f"Whose last refresh failed: {_some(failed, len(failed))}. `keydesk sandbox list --state failed` says why; "
            "`keydesk sandbox again COMPANY` tries once more before the next night.",
        )
    if quarantined:
        named = [company.external_id for company in sandbox_holds.in_quarantine(_NAMED)]
        yield Finding(
            "look",
            "sandboxes",
            f"Not refreshed any more after failures in a row: {_some(named, quarantined)}. `keydesk sandbox list "
            "--state quarantined` lists them. Find out why (`keydesk sandbox show COMPANY`), then run `keydesk sandbox "
            "again COMPANY`.",
        )
    if stale:
        yield Finding(
            "look",
            "sandboxes",
            f"Not fresh for three nights or more: {_some(stale, len(stale))}. `keydesk sandbox show COMPANY` says how "
            "old. See why neither the worker's command nor a pipeline refreshes them, then run `keydesk sandbox again "
            "COMPANY`; one that is to stay as it is you hold (`keydesk sandbox hold`).",
        )


def _no_program(name: str) -> str:
    if "/" not in name:
        return (
            f"[sandbox] command: there is no program {name} on the PATH here ({os.environ.get('PATH', os.defpath)}), "
            "and a worker's may be another. Write its whole path into the settings, or install it."
        )
    if Path(name).is_file():
        return f"[sandbox] command: {name} cannot be run; make it executable (`chmod +x {name}`)."
    return f"[sandbox] command: there is no program {name}; correct the settings, or install it."


def _some(companies: list[str], count: int) -> str:
    """How many, and the first of them."""
    return f"{count} ({', '.join(companies[:_NAMED])}{', …' if count > _NAMED else ''})"


def _missing_prices(now: datetime) -> Iterator[Finding]:
    used = Company.select(Company.price_list, Company.currency).where(Company.deactivated_at.is_null()).distinct()
    for row in used:
        try:
            price_lists.in_force(
                prices.published(row.price_list, row.currency), row.currency, row.price_list, now.date().replace(day=1)
            )
        except KeydeskError as error:
            yield Finding("look", "prices", str(error))
