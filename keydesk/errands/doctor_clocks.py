"""What `keydesk doctor` says of the clock, and of the workers that were heard."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jobs.planning import Planner
from keydesk.finding import Finding
from store import clock_seen, workers, zones
from store.tables import Event, Worker
from store.workers import AHEAD, CALLED_EVERY

if TYPE_CHECKING:
    from peewee import ModelSelect

_CLOCKS_APART = timedelta(seconds=30)  # said before a worker stands still for it
_PUT_BACK = timedelta(minutes=5)  # what was written later than that was written by a clock that has been put back
_MISSED_FOR = timedelta(days=1)  # a worker that fell silent beside others is spoken of
_SILENT_AFTER = timedelta(minutes=2)
_STAYS = Worker.stopped_at.is_null() & (Worker.kind == "stays")
_CALLED = ("`keydesk worker --once`", "have it called every 5 minutes, by its timer or by cron")


def clock(now: datetime) -> Iterator[Finding]:
    """Whether it is as late here as at the server, and later than anything was before."""
    wrong = _clock_of_server(now) or _clock_of_workers(now) or _clock_of_events(now)
    yield Finding("wrong", "clock", wrong) if wrong else Finding("ok", "clock", f"{now:%Y-%m-%d %H:%M}Z")
    unknown = zones.unknown()
    if unknown:
        text = f"This machine does not know the time zones of some companies: {', '.join(unknown)}."
        yield Finding(
            "wrong", "clock", f"{text} A worker here plans nothing for them: update tzdata, and start it anew."
        )


def clock_alone(now: datetime) -> Iterator[Finding]:
    """How late it is here, for a person to compare: what else there is to compare it with is in the store."""
    yield Finding(
        "look", "clock", f"{now:%Y-%m-%d %H:%M}Z here. Without the store there is nothing to compare it with."
    )


def _clock_of_server(now: datetime) -> str | None:
    server = clock_seen.of_server()
    if server is None or abs(now - server) <= _CLOCKS_APART:
        return None
    stands_still = " Until then a worker here does nothing." if clock_seen.is_apart(now, server) else ""
    return clock_seen.told_apart(now, server) + stands_still


def _clock_of_workers(now: datetime) -> str | None:
    seen = clock_seen.latest()
    if seen is None:
        return None
    if seen > now + _PUT_BACK:
        return clock_seen.told_back(seen, now)
    leapt = Planner((), boot=workers.this_boot()).verdict(now) == "leap"
    return clock_seen.told_leap(seen, now) if leapt else None


def _clock_of_events(now: datetime) -> str | None:
    newest = Event.select().order_by(Event.seq.desc()).first()
    if newest is None or newest.at <= now + _PUT_BACK:
        return None
    return (
        f"The newest event is of {newest.at:%Y-%m-%d %H:%M}Z, and here it is {now:%Y-%m-%d %H:%M}Z. Set the clock "
        "right. If it is right, it was ahead then; this is said until the next event."
    )


def worker(now: datetime) -> Iterator[Finding]:
    """Whether a worker is there, or is called often enough."""
    newest_first = Worker.select().where(Worker.kind != "job").order_by(Worker.last_tick.desc())
    heard = newest_first.where(Worker.last_tick <= now + AHEAD)
    ahead = newest_first.where(Worker.last_tick > now + AHEAD)
    lately = list(heard.where(_STAYS, Worker.last_tick >= now - _SILENT_AFTER))
    gone = [row for row in lately if workers.is_gone(row)]
    ticking = [row for row in lately if row not in gone]
    called = heard.where(Worker.kind == "pass").first()
    silent = heard.where(_STAYS).first()
    early = ahead.where(_STAYS | (Worker.kind == "pass")).first()
    if ticking:
        yield _ticking(ticking, gone, heard, ahead, now)
    elif gone:
        who = ", ".join(f"{row.name} ({_at(row, now)})" for row in gone)
        yield Finding(
            "wrong",
            "worker",
            f"Killed since it was last heard: {who}; its process is gone. Start `keydesk worker` again, and see in the "
            "log of the machine what ended it.",
        )
    elif called is not None and now - called.last_tick <= CALLED_EVERY:
        yield Finding("ok", "worker", f"`keydesk worker --once` came by at {_at(called, now)}")
    elif early is not None:
        who, then = (f"Worker {early.name}", "restart it") if early.kind == "stays" else _CALLED
        yield Finding(
            "wrong",
            "worker",
            f"{who} was last heard at {_at(early, now)}, and here it is {now:%Y-%m-%d %H:%M:%S}Z: its clock is or was "
            f"ahead. Set it right if it still is, then {then}.",
        )
    elif silent is not None:
        yield Finding(
            "wrong", "worker", f"{silent.name} was last heard at {silent.last_tick:%Y-%m-%d %H:%M}Z. Restart it."
        )
    elif called is not None and called.id == heard.get().id:
        yield Finding(
            "wrong",
            "worker",
            f"`keydesk worker --once` last came by at {called.last_tick:%Y-%m-%d %H:%M}Z. Have it called every "
            "5 minutes, by its timer or by cron.",
        )
    else:
        yield Finding(
            "wrong", "worker", "No worker is running: no notice, no marker, no mail goes out. Start `keydesk worker`."
        )


def _ticking(
    ticking: list[Worker], gone: list[Worker], heard: "ModelSelect[Worker]", ahead: "ModelSelect[Worker]", now: datetime
) -> Finding:
    """The workers that live, and those beside them that should."""
    text = "; ".join(f"{row.name}, last tick {_at(row, now)}" for row in ticking)
    lately = (Worker.last_tick < now - _SILENT_AFTER) & (Worker.last_tick > now - _MISSED_FOR)
    missed = [*gone, *heard.where(_STAYS, lately)]
    fallen = ", ".join(f"{row.name} ({row.last_tick:%Y-%m-%d %H:%M}Z)" for row in missed)
    soon = Worker.last_tick < now + _MISSED_FOR
    early = ", ".join(f"{row.name} ({row.last_tick:%Y-%m-%d %H:%M}Z)" for row in ahead.where(_STAYS, soon))
    if fallen:
        text += f". No longer heard: {fallen}; start it again, or see why."
    if early:
        text = f"{text.rstrip('.')}. Its clock is or was ahead: {early}; set it right if it still is, then restart it."
    return Finding("look" if fallen or early else "ok", "worker", text)


def _at(row: Worker, now: datetime) -> str:
    """When it was last heard, with the day unless that is today."""
    return f"{row.last_tick:%H:%M:%S}Z" if row.last_tick.date() == now.date() else f"{row.last_tick:%Y-%m-%d %H:%M:%S}Z"
