"""`keydesk worker`: the part that never sleeps; once for cron, or through simulated time for a rehearsal."""

import argparse
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from jobs import queues
from jobs.delivery import Sender
from jobs.json_log import JsonLog
from jobs.mail_server import session_for
from jobs.process import Process
from jobs.queues import Queue
from jobs.refresh_command import Command
from jobs.worker import Worker, simulate
from keydesk import __version__
from keydesk.arguments import WronglyAsked
from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import clock_seen, restored, workers
from store.database import session
from store.errors import Refused

_DAYS, _STEP_MINUTES = 40, 30


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Work until SIGTERM. Exit status 1 when the heartbeat died or work had to be left behind."""
    _refuse_what_does_not_go_together(given)
    open_store(settings)
    log, begin = _log(given, clock)
    is_simulated = given.clock_from is not None
    queues = queues_of(settings, log, is_simulated=is_simulated)
    server_clock = _no_clock if is_simulated else clock_seen.of_server
    boot = None if is_simulated else workers.this_boot()
    worker = Worker(queues=queues, clock=clock, log=log, version=__version__, server_clock=server_clock, boot=boot)
    if given.believe_clock:
        with session():
            clock_seen.set_to(clock())
    if given.resume:
        log.say("store.released", restored_at=restored.release(local_actor(), clock()))
    if given.clock_from:
        if not given.on_a_copy:
            raise Refused(
                "Simulated time writes into the store what those days would bring. Take a copy (`keydesk backup`), "
                "name it in a settings file of its own, and say --on-a-copy."
            )
        days = _DAYS if given.days is None else given.days
        minutes = _STEP_MINUTES if given.step_minutes is None else given.step_minutes
        if not 1 <= days <= 3660 or not 1 <= minutes <= 1440:
            raise Refused("Simulated time takes 1 to 3660 days, in steps of 1 to 1440 minutes.")
        simulate(worker, given.clock_from, timedelta(days=days), timedelta(minutes=minutes))
        return 0
    if given.once:
        return Process(worker).serve_once()
    return Process(worker).serve(begin)


def _refuse_what_does_not_go_together(given: argparse.Namespace) -> None:
    """What is of simulated time never starts a worker that mails."""
    simulated = {"--days": given.days, "--step-minutes": given.step_minutes, "--on-a-copy": given.on_a_copy or None}
    told = [option for option, value in simulated.items() if value is not None]
    if told and not given.clock_from:
        raise WronglyAsked(f"{', '.join(told)}: only with --clock-from, through simulated time. No worker was started.")
    if given.once and given.clock_from:
        raise WronglyAsked("--once is for now and --clock-from for simulated time; leave one of them out.")
    if given.metrics_to_others and not given.metrics:
        raise WronglyAsked("--metrics-to-others says who may reach --metrics; name that too, or leave it out.")
    if given.metrics and (given.once or given.clock_from):
        raise WronglyAsked("--metrics is for a worker that goes on; leave out --once and --clock-from.")


def _no_clock() -> None:
    """Simulated time is compared with nothing."""


def _log(given: argparse.Namespace, clock: Callable[[], datetime]) -> tuple[JsonLog, Callable[[], object] | None]:
    """The worker's log, and what is to be started beside it when metrics are asked for."""
    if not given.metrics:
        return JsonLog(clock=clock), None
    from jobs import metrics  # noqa: PLC0415 - its library is loaded by those who want it

    address, port = given.metrics
    metrics.refuse_strangers(address, to_others=given.metrics_to_others)
    log = metrics.Metrics(clock)
    return log, partial(log.serve, address, port)


def queues_of(settings: Settings, log: JsonLog, *, is_simulated: bool) -> dict[str, Queue]:
    """What the worker empties between its runs, as far as the settings give it the means."""
    found: dict[str, Queue] = {}
    mail, password = settings.mail, settings.mail_password()
    if mail.host:
        session_for(mail, password)  # settings that cannot be used are told now, not with the first mail
        sender = Sender(mail.sender, mail.reply_to, mail.idempotency_header)
        pace = {"per_minute": mail.per_minute, "connections": mail.connections}
        found["mails"] = queues.mails(lambda: session_for(mail, password), sender, log, **pace)
    if settings.sandbox.command:
        limit = timedelta(minutes=settings.sandbox.timeout_minutes)
        dated = (lambda now: now) if is_simulated else clock_seen.believable
        found["refreshes"] = queues.refreshes(Command(settings.sandbox.command, limit), log, dated)
    return found
