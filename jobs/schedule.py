"""The timetable: what Keydesk does by the clock. Nothing else decides when anything runs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from jobs import expiry_notices, housekeeping, invoice_lines, sandbox_refresh
from jobs.periods import Cadence, EachDay, EachHour, EachMonth
from store.runs import RunRow

Body = Callable[[RunRow, datetime], int]
"""Writes a run's rows inside the transaction that closes it, from the store and the run alone; gives how many."""

Slices = Callable[[RunRow, datetime], Iterator[int]]
"""Writes them in transactions of its own, each repeatable; yields after each how many rows it wrote."""


@dataclass(frozen=True)
class Job:
    """One line of the timetable. Exactly one of `body` and `slices` does the work."""

    name: str
    sentence: str
    scope: Literal["time zone", "all"]
    cadence: Cadence
    # After downtime: only the newest period, older ones recorded as missed; or every one, the oldest first; or only the
    # newest and no word about the others.
    catch_up: Literal["latest", "every", "silent"]
    body: Body | None = None
    slices: Slices | None = None


TIMETABLE: tuple[Job, ...] = (
    Job(
        "expiry-notices",
        "As each local day begins, owe a notice to everybody whose key is about to expire or has expired.",
        scope="time zone",
        cadence=EachDay(hour=lambda _: 0),  # the mails wait for the morning
        catch_up="latest",
        slices=expiry_notices.sweep,
    ),
    Job(
        "sandbox-refresh",
        "Each night at the refresh hour, mark the sandboxes that are to be refreshed.",
        scope="time zone",
        cadence=EachDay(hour=lambda installation: installation.refresh_hour),
        catch_up="latest",
        slices=sandbox_refresh.mark,
    ),
    Job(
        "invoice-lines",
        "On the 1st at the invoice hour, write last month's invoice lines as drafts.",
        scope="time zone",
        cadence=EachMonth(days_after=lambda _: 0),
        catch_up="every",
        slices=invoice_lines.draft,
    ),
    Job(
        "invoice-final",
        "After the days of grace, make last month's invoice lines final.",
        scope="time zone",
        cadence=EachMonth(days_after=lambda installation: installation.grace_days),
        catch_up="every",
        slices=invoice_lines.finalise,
    ),
    Job(
        "housekeeping",
        "Each hour, free what dead workers held and open an invoice run again that lacks a company.",
        scope="all",
        cadence=EachHour(),
        catch_up="silent",
        slices=housekeeping.hourly,
    ),
    Job(
        "tidying",
        "Each day, try parked invoices again and clear what is old.",
        scope="all",
        cadence=EachDay(hour=lambda _: 4),  # UTC
        catch_up="latest",
        slices=housekeeping.daily,
    ),
)
# Mails are no runs: each pass hands over a slice of what the outbox holds and what is due by then (jobs/delivery.py).
