"""A year of chaos: workers are killed, stopped and lied to, clocks step, the relay drops and doubles, people act.

In the end, what the store and the mailboxes hold must be what the rules give: nothing lost, nothing extra, nothing
doubled but where an answer was cut, and those told one by one.
"""

import os
import random
import resource
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import chain
from pathlib import Path

from jobs import letters, mail_preview
from store import database, events, mail_decisions
from store.database import run_sql, session
from store.fields import seconds
from store.rules.notices import EXPIRED
from torture import months, people, post_office, relay, timeline
from torture.chaos_worker import Flaw, Place
from torture.conditions import Conditions
from torture.handles import PUT_OUT, Handle, await_passes
from torture.ledger import Ledger, Process, Row
from torture.model import KeyFact, OwedMail
from torture.oracle import About, Faults, Oracle
from torture.post_office import PostOffice, Tally
from torture.timeline import DAY, Happening, Measure

BEGIN = datetime(2026, 11, 23, tzinfo=UTC)
_LOOKED_BACK = 20 * DAY  # for what workers have done, by their clocks
EPILOGUE = 4 * DAY  # in which nothing is disturbed any more
_SOON = timedelta(hours=1)
_BELIEVED_AHEAD = 7 * 24 * 3600  # seconds
_BUSY_MINUTES, _QUIET_MINUTES = (2, 12), (50, 300)  # between two passes


A_YEAR = Measure(days=365, workers=3, keys=120)


@dataclass(frozen=True)
class Chosen:
    """What a run is to be like."""

    seed: int = 1
    measure: Measure = A_YEAR
    faults_per_mille: int = 150
    flaw: Flaw | None = None


@dataclass
class Result:
    """What was done to it, and what was found."""

    chosen: Chosen
    backend: str
    passes: int = 0
    kills: int = 0
    stops: int = 0
    clock_steps: int = 0
    outages: int = 0
    downtimes: int = 0
    acts: int = 0
    runs: int = 0
    notices: Counter[str] = field(default_factory=Counter)  # by state
    expired: int = 0  # of those mailed, that tell of an expiry
    markers: int = 0
    refreshed: int = 0
    left_open: int = 0  # mails that were recorded as going when their worker died
    months: int = 0
    tally: Tally = field(default_factory=Tally)
    faults: Faults = field(default_factory=Faults)
    seconds: float = 0.0
    cpu_seconds: float = 0.0


class Chaos:
    """One run on an empty store, to which this process is bound and on which no session is open."""

    def __init__(self, location: str, folder: Path, chosen: Chosen) -> None:
        self.chosen, self.folder = chosen, folder
        self.result = Result(chosen, database.backend())
        self.chance = random.Random(f"{chosen.seed}:steps")
        self.conditions = Conditions(chosen.measure.workers, BEGIN)
        self.model = people.build(chosen.measure.keys, BEGIN, random.Random(f"{chosen.seed}:world"))
        self.oracle = Oracle(self.model, _what_became)
        self.result.faults = self.oracle.faults
        set_up = BEGIN - people.BEGUN_DAYS_BEFORE * DAY
        self.ledger = Ledger(list(self.oracle.zones), set_up, self.oracle.faults)
        self.people = people.People(self.model, self.oracle, folder)
        self.record = folder / "relay"
        self.relay_pid, port = relay.start(self.conditions, chosen.seed, self.record)
        own_machine = database.backend() == "postgresql"
        self.handles = [
            Handle(Place(slot, location, folder, port, self.conditions, own_machine, chosen.flaw))
            for slot in range(chosen.measure.workers)
        ]
        self.all_up_at = BEGIN
        self.relay_up_at: datetime | None = None
        self.right_at: dict[int, datetime] = {}  # worker -> when its clock is put right
        self.seen_runs: set[int] = set()
        self.seen: set[tuple[str, int]] = set()
        self.closed_up_to = 0  # the number of a run
        self.settled: set[int] = set()
        self.cut: set[str] = set()  # mails whose sender cannot know whether the relay took them, without their domain
        self.came: set[str] = set()  # those that it took, without their domain
        self.in_hand: set[str] = set()  # mails that a worker had as it was killed or stopped
        self.left_open: set[str] = set()  # those of a killed one that were recorded as going, and not yet as taken
        self.noted: tuple[int, str] | None = None  # an event's number and hash, as somebody keeps them elsewhere
        self.record_read = 0
        self.went_on = False

    @property
    def now(self) -> datetime:
        """The true time."""
        return self.conditions.now

    def run(self) -> Result:
        """All of it."""
        begun = time.monotonic(), _cpu()
        last = BEGIN + self.chosen.measure.days * DAY
        happenings = timeline.draw(self.chosen.seed, BEGIN, self.chosen.measure)
        self.conditions.faults_per_mille = self.chosen.faults_per_mille
        try:
            self._live(happenings, last)
            self._calm_down()
            self._live([], last + EPILOGUE / 2)
            self._settle()
            self._live([], last + EPILOGUE)
        finally:
            for each in self.handles:
                each.end(kill=False)
            os.kill(self.relay_pid, signal.SIGKILL)
            os.waitpid(self.relay_pid, 0)
        self._check()
        self.result.seconds = time.monotonic() - begun[0]
        self.result.cpu_seconds = _cpu() - begun[1]
        return self.result

    # One step after the other

    def _live(self, happenings: Sequence[Happening], until: datetime) -> None:
        waiting = list(reversed(happenings))
        while self.now < until:
            self.oracle.at(self.now)
            while waiting and waiting[-1].at <= self.now:
                self._happen(waiting.pop())
            busy = self._step()
            minutes = self.chance.uniform(*(_BUSY_MINUTES if busy else _QUIET_MINUTES))
            after = self.now + timedelta(seconds=int(minutes * 60))
            was, calm = self.now, self._is_calm()
            self.conditions.now = min(after, until)
            self.oracle.weather(self.now, is_calm=calm and self._is_calm(), was=was)

    def _step(self) -> bool:
        """What has ended ends, all make a pass, and the oracle hears what came of it. Whether more is to do."""
        self._put_right()
        quiet = not any(each.state in {"stopped", "dead"} or each.fuse[0] or each.burns for each in self.handles)
        self.went_on = False
        for each in self.handles:
            if each.state == "stopped" and each.again_at is not None and each.again_at <= self.now:
                each.go_on()
                self.went_on = True
            elif each.state == "dead" and max(each.again_at or BEGIN, self.all_up_at) <= self.now:
                self._start(each)
            if each.state == "idle":
                each.order()
        begun = {each.place.slot: each.pid for each in self.handles if each.state == "passing"}
        await_passes(self.handles, self._tell_of_silence)
        for each in self.handles:
            if each.place.slot in begun:
                self._passed(each, begun[each.place.slot], quiet=quiet)
        passed = [each for each in self.handles if each.place.slot in begun]
        if passed:
            self._look()
        if any(each.state in {"dead", "stopped"} for each in passed):
            self._meddle("claimed")
        return any(each.state != "idle" or each.last.get("failed") for each in passed) or self._has_tries_left(passed)

    def _has_tries_left(self, passed: Sequence[Handle]) -> bool:
        """Whether a mail that did not leave at once is soon to be tried again."""
        if not any(each.last["taken"]["mails"] for each in passed):
            return False
        with session():
            return run_sql(_TRIES_LEFT, (seconds(self.now + _SOON),)).fetchone() is not None

    def _passed(self, each: Handle, pid: int, *, quiet: bool) -> None:
        self.result.passes += 1
        if each.state in {"dead", "stopped"}:
            self.in_hand.update(post_office.in_hand(self.folder))
        if each.state == "dead":
            self.result.kills += 1
            self._find_left_open(set(post_office.last_in_hand(each.place.file("blown"))))
            each.again_at = self.now + timedelta(seconds=int(self.chance.expovariate(1 / 3600)))
        elif each.state == "stopped":
            self.result.stops += 1
        whole = each.state == "idle" and each.last.get("failed") == ""
        clock = self.now + timedelta(seconds=self.conditions.skew(each.place.slot))
        process = Process(pid, each.place.boot, each.place.own_machine)
        self.ledger.passed(process, clock, self.now, whole=whole, quiet=quiet and whole)

    def _find_left_open(self, in_hand: set[str]) -> None:
        with session():
            going = {mail: (number, resends) for mail, number, resends in run_sql(_HANDING_OVER).fetchall()}
            self.left_open |= going.keys() & in_hand
            for number in (number for mail, (number, resends) in going.items() if mail in in_hand and resends):
                self._wait_for_a_person(number)

    def _start(self, each: Handle) -> None:
        if 0 < self.conditions.skew(each.place.slot) <= _BELIEVED_AHEAD:
            return  # ahead by so little, a clock is believed; who starts one looks at it first
        database.dispose()
        _warm_up()
        each.start()

    def _is_calm(self) -> bool:
        well = (each.state == "idle" and not self.conditions.skew(each.place.slot) for each in self.handles)
        return self.conditions.relay_is_open and any(well)

    def _put_right(self) -> None:
        if self.relay_up_at is not None and self.relay_up_at <= self.now:
            self.conditions.relay_is_open, self.relay_up_at = True, None
        for slot, at in list(self.right_at.items()):
            if at <= self.now:
                self.conditions.set_skew(slot, 0)
                del self.right_at[slot]

    def _tell_of_silence(self, sentence: str) -> None:
        tails = (path.read_text(encoding="ascii")[-1500:] for path in sorted(self.folder.glob("log-*")))
        raise TimeoutError("\n".join([sentence, *tails]))

    # What happens

    def _happen(self, what: Happening) -> None:
        if what.kind == "act":
            self.people.act(random.Random(what.seed), self.now)
        elif what.kind in {"kill", "stop"}:
            self._light(self.handles[what.worker], what)
        elif what.kind == "clock" and not self.right_at:
            self._step_clock(what)
        elif what.kind == "look":
            self._settle()
            self._meddle("queued")
        elif what.kind == "outage" and self.relay_up_at is None:
            self.result.outages += 1
            self.conditions.relay_is_open, self.relay_up_at = False, self.now + what.lasts
        elif what.kind == "downtime":
            self.result.downtimes += 1
            self.all_up_at = self.now + what.lasts
            for each in self.handles:
                each.end(kill=self.chance.random() < 0.5)

    def _light(self, each: Handle, what: Happening) -> None:
        if what.kind == "kill" and each.state == "stopped":
            each.end(kill=True)  # what it had in its hands, it has told as it was stopped
            self.result.kills += 1
            each.again_at = self.now + timedelta(minutes=10)
        elif each.state == "idle" and not each.burns:
            each.fuse = (f"{what.kind} in hand" if what.in_hand else what.kind, what.points)
            each.again_at = self.now + what.lasts

    def _meddle(self, state: str) -> None:
        """Somebody makes one of the mails in that state untrue before its turn: of those that a worker had `claimed`
        and has left lying, or of those that wait.
        """
        with session():
            told = [row[0] for row in run_sql(_TOLD, (state,)).fetchall()]
        if told:
            self.people.make_untrue(self.chance.choice(told), self.chance, self.now)

    def _step_clock(self, what: Happening) -> None:
        """Of one machine; on SQLite all workers are on it."""
        self.result.clock_steps += 1
        one = [each for each in self.handles if each.place.slot == what.worker]
        for each in one if one[0].place.own_machine else self.handles:
            self.conditions.set_skew(each.place.slot, int(what.step.total_seconds()))
            self.right_at[each.place.slot] = self.now + what.lasts

    def _calm_down(self) -> None:
        self.conditions.faults_per_mille = 0
        self.conditions.relay_is_open, self.relay_up_at, self.all_up_at = True, None, self.now
        for each in self.handles:
            self.right_at[each.place.slot] = each.again_at = self.now
            each.fuse = PUT_OUT
        with session():
            self.noted = run_sql("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1").fetchone()
        self.people.switch_everybody_on(self.now)

    def _settle(self) -> None:
        """A person looks at what is ambiguous, in the relay's log: what did not come is sent again."""
        with session():
            for mail in post_office.outbox("ambiguous"):
                self.settled.add(mail.id)
                if mail.mail in self.came:
                    mail_decisions.dismiss(people.OLAV, mail.id, "it came", self.now)
                else:
                    mail_decisions.resend(people.OLAV, mail.id, self.now)

    # What came of it

    def _look(self) -> None:
        did = any(each.state != "idle" or each.last.get("failed") != "" or each.last["done"] for each in self.handles)
        refreshed = did or any(each.last["taken"]["refreshes"] for each in self.handles)
        if refreshed:
            with session():
                self._look_at_runs()
                self._look_for("invoice_lines", _FINAL, seconds(self.now - _LOOKED_BACK))
                self._look_for("sandbox_failed", _FAILED, (self.now - _LOOKED_BACK).date().isoformat())
        self._hear()

    def _look_at_runs(self) -> None:
        """What was done since, and of what something was done, in the order in which it was planned."""
        rows = run_sql(_RUNS, (self.closed_up_to,)).fetchall()
        for number, job, scope, period, state, attempt in rows:
            is_done = state == "done"
            if number in self.seen_runs or not (is_done or (attempt and state in {"due", "running"})):
                continue
            if is_done:
                self.seen_runs.add(number)
            if job == "expiry-notices":
                self.oracle.sweep(scope, date.fromisoformat(period))
            else:
                self.oracle.marked(scope, date.fromisoformat(period), is_done=is_done)
        open_ones = [row[0] for row in rows if row[4] in {"due", "running", "held"}]
        self.closed_up_to = (
            min(open_ones) - 1 if open_ones else max((row[0] for row in rows), default=self.closed_up_to)
        )

    def _look_for(self, kind: str, query: str, since: int | str) -> None:
        """What a worker has newly come to owe those who are to be notified."""
        by_id = {company.id: company for company in self.model.companies}
        for number, company_id, about in run_sql(query, (since,)).fetchall():
            if (kind, number) not in self.seen:
                self.seen.add((kind, number))
                self._owe(kind, by_id[company_id].recipients(), about)

    def _owe(self, kind: str, recipients: set[str], about: str) -> None:
        self.model.mails += [OwedMail(kind, each, about, post_office.SOME_TIME) for each in sorted(recipients)]

    def _hear(self) -> None:
        new, self.record_read = relay.read(self.record, self.record_read)
        skewed = any(self.conditions.skew(each.place.slot) for each in self.handles)
        for each in new:
            if each.is_cut and not each.mail:
                self._cut_without_a_name(each.recipient)
            elif each.is_cut and not each.took:
                self.oracle.cut_short(each)
            if each.took:
                name = each.mail.partition("@")[0]
                is_cut = name in self.in_hand
                is_same = is_cut or name in self.cut  # it goes once more as it was, if any of it is true
                self.oracle.told(each, is_excused=self.went_on or skewed, is_same=is_same, is_cut=is_cut)
                self.came.add(name)
            if each.is_cut:
                self.cut.add(each.mail.partition("@")[0])

    def _cut_without_a_name(self, recipient: str) -> None:
        """The relay hung up before it heard a word of the body: which mail it was, only its sender knows."""
        with session():
            for number, mail, state, resends in run_sql(_UNSURE, (recipient,)).fetchall():
                self.cut.add(mail)
                if state == "ambiguous" and resends:
                    self._wait_for_a_person(number)

    def _wait_for_a_person(self, mail: int) -> None:
        """It was cut off a second time, and nobody else sends it again."""
        for key_id, expires_on, threshold, recipient in run_sql(_TOLD_BY, (mail,)).fetchall():
            self.oracle.left_for_a_person(key_id, (date.fromisoformat(expires_on), threshold, recipient))

    def _check(self) -> None:
        self.oracle.at(self.now)
        with session():
            self.oracle.end()
            rows = [Row(*row) for row in run_sql("SELECT job, scope, period, state FROM run").fetchall()]
            self.ledger.check(rows, self.now)
            found = {(name, date.fromisoformat(night)): state for name, night, state in run_sql(_MARKERS).fetchall()}
            self.oracle.check_markers(found, self.ledger.well)
            self._check_refreshed()
            self.result.months = months.check(self.oracle.zones, self.oracle.faults)
            self._check_notices()
            fault = events.verify(self.noted).fault
            self.oracle.faults.lost += [f"audit log: {fault}"] if fault is not None else []
            mails = post_office.outbox()
        heard, _ = relay.read(self.record, 0)
        post = PostOffice(mails, heard, self.settled, self.left_open, self.folder, self.oracle.faults)
        self.result.tally = post.check(self.model.mails, self.now)
        self.result.runs, self.result.markers, self.result.acts = len(rows), len(found), self.people.acted
        database.dispose()

    def _check_refreshed(self) -> None:
        lines = (path.read_text(encoding="ascii").splitlines() for path in self.folder.glob("refreshed-*"))
        done = Counter(chain.from_iterable(lines))
        self.oracle.check_refreshed(done)
        self.result.refreshed = len(done)

    def _check_notices(self) -> None:
        rows = run_sql("SELECT key_id, expires_on, threshold, recipient, state FROM notice").fetchall()
        self.oracle.check_covered({(row[0], date.fromisoformat(row[1]), *row[2:4]) for row in rows})
        self.result.notices = Counter(row[4] for row in rows)
        self.result.expired = sum(row[2] == EXPIRED and row[4] == "mailed" for row in rows)
        self.result.left_open = len(self.left_open)


def _what_became(key: KeyFact, about: About) -> str:
    """What the store says of a notice that is told as lost."""
    with session():
        row = run_sql(_BECAME, (key.id, about[0].isoformat(), *about[1:])).fetchone()
    if row is None:
        return "; the store has none"
    state, mail, attempts, resends, reply = row
    return f"; it is {state}, its mail {mail} after {attempts} tries and {resends} resends ({reply})"


@cache
def _warm_up() -> None:
    """Load once what every worker would load for its first mail."""
    for kind, samples in mail_preview.sample_contexts().items():
        letters.render(kind, next(iter(samples.values())), today=BEGIN.date(), now=BEGIN)


def _cpu() -> float:
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


_TRIES_LEFT = """
    SELECT 1 FROM email
     WHERE state IN ('queued', 'claimed', 'handing-over') AND state = 'queued' AND next_at <= ? AND attempts > 0 LIMIT 1
"""
_RUNS = """
    SELECT id, job, scope, period, state, attempt FROM run
     WHERE id > ? AND job IN ('expiry-notices', 'sandbox-refresh') ORDER BY id
"""
_FINAL = """
    SELECT m.id, m.company_id, m.month FROM invoice_month m
     WHERE m.state = 'final' AND m.final_at >= ? AND EXISTS (SELECT 1 FROM invoice_line l
                                          WHERE l.company_id = m.company_id AND l.month = m.month AND l.revision = 1)
"""
_FAILED = "SELECT id, company_id, night FROM refresh_marker WHERE state = 'failed' AND night >= ?"
_MARKERS = "SELECT c.external_id, m.night, m.state FROM refresh_marker m JOIN company c ON c.id = m.company_id"
_HANDING_OVER = """
    SELECT message_id, id, resends FROM email
     WHERE state IN ('queued', 'claimed', 'handing-over') AND state = 'handing-over'
"""
_UNSURE = (
    "SELECT id, message_id, state, resends FROM email WHERE recipient = ? AND (state = 'ambiguous' OR resends > 0)"
)
_TOLD_BY = "SELECT key_id, expires_on, threshold, recipient FROM notice WHERE email_id = ?"
_BECAME = """
    SELECT n.state, e.state, e.attempts, e.resends, e.reply FROM notice n LEFT JOIN email e ON e.id = n.email_id
     WHERE n.key_id = ? AND n.expires_on = ? AND n.threshold = ? AND n.recipient = ?
"""
_TOLD = """
    SELECT DISTINCT n.key_id FROM email e JOIN notice n ON n.email_id = e.id AND n.state = 'mailed'
     WHERE e.state = ? ORDER BY n.key_id
"""
