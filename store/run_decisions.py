"""What a person decides about runs: held ones may go, and one is run now."""

from collections.abc import Sequence
from datetime import datetime

from store import clock_seen, runs
from store.actors import Actor
from store.change import change
from store.database import run_sql
from store.errors import Refused
from store.fields import seconds
from store.runs import EVERYWHERE, Planned


def release(actor: Actor, run_ids: Sequence[int], now: datetime) -> None:
    """Let held runs go: the clock was right, and is believed from here on. Refused unless all of them are held."""
    with change(actor, "run.release", None, now) as made:
        for run_id in run_ids:
            run = runs.get(run_id)
            text = "UPDATE run SET state = 'due', not_before = ? WHERE id = ? AND state = 'held'"
            if run_sql(text, (seconds(now), run_id)).rowcount != 1:
                raise Refused(f"The run {runs.name_of(run)} is {run.state}, not held; there is nothing to release.")
            made.event(
                "run.release", f"run {runs.name_of(run)}", None, before={"state": "held"}, after={"state": "due"}
            )
        clock_seen.set_to(now)


def run_now(actor: Actor, run_id: int, now: datetime) -> None:
    """Make a run that waits after a failure, or was given up, due at once. Refused when it is done, running or held."""
    with change(actor, "run.now", None, now) as made:
        run = runs.get(run_id)
        text = (
            "UPDATE run SET state = 'due', not_before = ?, finished_at = NULL, cursor = NULL "
            "WHERE id = ? AND state IN ('due', 'failed', 'missed')"
        )
        if run_sql(text, (seconds(now), run_id)).rowcount != 1:
            raise Refused(
                f"The run {runs.name_of(run)} is {run.state}; only one that is due, failed or missed can be run now."
            )
        made.event("run.now", f"run {runs.name_of(run)}", None, before={"state": run.state}, after={"state": "due"})


def make_due(actor: Actor, wanted: Planned, now: datetime) -> None:
    """Put a run into the ledger, or make it due again where it is done, missed, failed or waiting.

    Refused while a worker runs it, or while it is held.
    """
    with change(actor, "run.now", None, now) as made:
        runs.plan([wanted], now)
        text = (
            "UPDATE run SET state = 'due', not_before = ?, finished_at = NULL, cursor = NULL "
            "WHERE job = ? AND scope = ? AND period = ? AND state IN ('due', 'done', 'failed', 'missed')"
        )
        name = " ".join(part for part in (wanted.job, wanted.scope, wanted.period) if part != EVERYWHERE)
        if run_sql(text, (seconds(now), wanted.job, wanted.scope, wanted.period)).rowcount != 1:
            raise Refused(f"The run {name} is held or being run just now; look at it on the desk.")
        made.event("run.now", f"run {name}", None, after={"state": "due"})
