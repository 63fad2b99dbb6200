"""How the worker is: alive or not, what it has done, and what is due next."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult

from store import run_decisions
from store.errors import KeydeskError
from store.listings import work
from store.listings.upcoming import Upcoming, upcoming
from store.listings.work import Health, WorkerSeen, WorkRow
from store.workers import AHEAD, CALLED_EVERY, QUIET_AFTER
from tui import cells, foreign
from tui.background import begin
from tui.screens import key_acts
from tui.screens.section import Listing, Section
from tui.surroundings import Surroundings
from tui.widgets.line import Line
from tui.widgets.window_table import Column

_MINUTE = timedelta(minutes=1)
_REMEMBERED = timedelta(days=1)  # for so long a worker that fell silent is still missed beside others
_COLUMNS = (
    Column("Job", 15, lambda row: foreign.text(row.job)),
    Column("Where", 18, lambda row: foreign.text(row.scope)),
    Column("Period", 13, lambda row: foreign.text(row.period)),
    Column("State", 7, lambda row: cells.state(row.state)),
    Column("Due UTC", 16, lambda row: cells.moment(row.not_before), wide=90),
    Column("Ended UTC", 16, lambda row: cells.moment(row.finished_at), wide=100),
    Column("Tries", 5, lambda row: cells.number(row.attempt), right=True, wide=110),
    Column("Rows", 6, lambda row: cells.number(row.rows), right=True),
    Column("Error", 8, lambda row: foreign.text(row.error, "red"), grow=1),
)


class WorkerState(Section):
    """Three lines of health above the list of runs."""

    kind: ClassVar[str] = "worker"
    caption: ClassVar[str] = "Worker"

    def __init__(self, desk: Surroundings) -> None:
        self.lines = (Line(), Line(), Line())
        only = desk.actor.company_id
        super().__init__(
            desk,
            Listing(
                "run",
                "runs",
                _COLUMNS,
                lambda needle, _, limit: work.ids(only, needle, limit),
                lambda wanted, _: work.rows(wanted),
                lambda needle, _, after_id: work.newer(only, needle, after_id),
                work.GRAMMAR,
                "Nothing was ever planned. Start the worker: keydesk worker",
            ),
        )

    def compose(self) -> ComposeResult:
        """Health above, runs below."""
        yield from self.lines
        yield from super().compose()

    def opened(self) -> None:
        """Health and runs."""
        begin(self, self._read_health, group="health", alone=True)
        super().opened()

    def stored_change(self) -> None:
        """Health and runs."""
        begin(self, self._read_health, group="health", alone=True)
        super().stored_change()

    async def _read_health(self) -> None:
        try:
            now, only = self.desk.clock(), self.desk.actor.company_id
            health, coming = await self.desk.reader.read(lambda: (work.health(only, now), upcoming(now)))
        except KeydeskError as fault:
            self.post_message(self.Said(str(fault), "bold"))
            return
        for line, text in zip(self.lines, (_alive(health, now), _next(health, coming), _trouble(health)), strict=True):
            line.say(Text.assemble(" ", text))

    def do_open(self) -> None:
        """The whole of one run."""
        from tui.dialogs.read_text import ReadTextDialog

        row: WorkRow = self.row
        facts = [
            f"state    {row.state}",
            f"due      {cells.spelled(row.not_before)}",
            f"began    {cells.spelled(row.started_at)}",
            f"ended    {cells.spelled(row.finished_at)}",
            f"tries    {row.attempt}",
            f"rows     {'' if row.rows is None else row.rows}",
            "",
            row.error,
        ]
        self.app.push_screen(ReadTextDialog("Run", (f"{row.job} {row.scope} {row.period}",), "\n".join(facts)))

    def do_run_now(self) -> None:
        """The worker takes it at its next look."""
        begin(self, self._run_now, self.row, group="act")

    async def _run_now(self, row: WorkRow) -> None:
        desk = self.desk
        await key_acts.carried_out(self.app, desk, lambda: run_decisions.run_now(desk.actor, row.id, desk.clock()))

    def do_release(self) -> None:
        """Held runs are let go together: the clock is right for all of them, or for none."""
        begin(self, self._release, group="act")

    async def _release(self) -> None:
        from tui.dialogs.confirm import ConfirmDialog

        desk, now = self.desk, self.desk.clock()
        held = await desk.reader.read(lambda: list(work.ids(desk.actor.company_id, "state:held")))
        question = f"Is it {cells.spelled(now)}? Then {len(held)} held runs are let go."
        details = ("They were held because the clock leapt far ahead of what the worker had seen.",)
        if await self.app.push_screen_wait(ConfirmDialog(question, details, accept="Let go", danger="danger")):
            await key_acts.carried_out(self.app, desk, lambda: run_decisions.release(desk.actor, held, desk.clock()))


def _alive(health: Health, now: datetime) -> Text:
    if not health.workers:
        return Text("No worker has ever run here. Start it: keydesk worker", "bold red")
    heard = [worker for worker in health.workers if worker.last_tick <= now + AHEAD]
    ahead = [worker for worker in health.workers if worker.last_tick > now + AHEAD]
    staying = [worker for worker in heard if worker.stopped_at is None and worker.kind == "stays"]
    alive = [worker for worker in staying if now - worker.last_tick <= QUIET_AFTER]
    if not alive:
        return _nobody(heard, ahead, now)
    silent = [worker for worker in staying if QUIET_AFTER < now - worker.last_tick <= _REMEMBERED]
    early = [worker for worker in ahead if worker.last_tick - now <= _REMEMBERED]
    error = next((f"; last error: {worker.last_error}" for worker in alive if worker.last_error), "")
    return Text.assemble(
        Text("The worker is alive" if len(alive) == 1 else f"{len(alive)} workers are alive", "green"),
        _missed("silent", silent, now),
        _missed("its clock is or was ahead", early, now),
        Text(". ", "green"),
        _ticks(alive, now),
        foreign.text(error, "yellow"),
    )


def _nobody(heard: Sequence[WorkerSeen], ahead: Sequence[WorkerSeen], now: datetime) -> Text:
    """No worker that stays is alive."""
    called = next((worker for worker in heard if worker.kind == "pass"), None)
    if called is not None and now - called.last_tick <= CALLED_EVERY:
        return Text.assemble(Text("The worker comes by, called by a timer. ", "green"), _seen(called))
    if ahead:
        early = ahead[0]
        said = f"The clock of {_process(early)} is or was ahead: last seen {cells.spelled(early.last_tick)}"
        return foreign.text(said, "bold red")
    said = "The worker was stopped. " if heard[0].stopped_at is not None else "The worker is silent. "
    return Text.assemble(Text(said, "bold red"), _seen(heard[0]))


def _missed(why: str, workers: Sequence[WorkerSeen], now: datetime) -> Text:
    """Those that should live as well, by how much the tick of each is from now."""
    named = ", ".join(f"{_process(worker)} ({_span(abs(now - worker.last_tick))})" for worker in workers)
    return foreign.text(f", {why}: {named}" if named else "", "bold red")


def _ticks(alive: Sequence[WorkerSeen], now: datetime) -> Text:
    """How old the tick of each is, the oldest first: what does not fit on the line is cut off."""
    if len(alive) == 1:
        return foreign.text(f"{_process(alive[0])} {alive[0].version}, last tick {_ago(now - alive[0].last_tick)}")
    oldest_first = ", ".join(f"{_process(worker)} {_ago(now - worker.last_tick)}" for worker in reversed(alive))
    return foreign.text(f"Last tick: {oldest_first}")


def _ago(age: timedelta) -> str:
    """To the minute: a line that says seconds would be drawn anew with every tick."""
    return "just now" if age < _MINUTE else f"{_span(age)} ago"


def _span(age: timedelta) -> str:
    minutes = age // _MINUTE
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"


def _process(worker: WorkerSeen) -> str:
    """Host and process: its name without what makes it one of a kind."""
    return worker.name.rpartition(":")[0]


def _seen(worker: WorkerSeen) -> Text:
    return foreign.text(f"{_process(worker)} {worker.version}, last seen {cells.spelled(worker.last_tick)}")


def _next(health: Health, coming: Sequence[Upcoming]) -> Text:
    """What waits for the worker now, then what the clock brings, in UTC."""
    waiting = [f"{job} {scope} {period}" for job, scope, period, _ in health.next_runs]
    clock = [f"{one.job} {one.at:%d %b %H:%M} ({one.zone})" for one in coming]
    before = f"Waiting: {', '.join(waiting)}. " if waiting else ""
    return foreign.text(f"{before}Next (UTC): {', '.join(clock)}" if clock else f"{before}Nothing is due by the clock.")


def _trouble(health: Health) -> Text:
    counts = [
        ("held runs", health.held, "red"),
        ("failing runs", health.failing, "red"),
        ("mails failed or in doubt", health.mails_in_doubt, "red"),
        ("sandboxes in quarantine", health.quarantined, "red"),
        ("keys that expire with nobody to tell", health.unreachable, "red"),
        ("mails waiting", health.mails_waiting, ""),
    ]
    said = [Text(f"{what}: {count:,}", style) for what, count, style in counts if count]
    return Text(" · ").join(said) if said else Text("No run fails, no mail waits, every key has somebody to tell.")
