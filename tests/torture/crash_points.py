"""An act is killed with -9 at each of its fault points in turn, Keydesk starts again, and what is then found must be
what an undisturbed run leaves.

For every n: a fresh copy of a prepared store, a process that dies at its n-th point, a second one that restarts. What a
kill leaves is looked at first: where the same was left before (a transaction that was rolled back leaves what was there
at its beginning) the restart would only be repeated, and is not.
"""

import gc
import os
import pickle
import shutil
import signal
import sys
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from store import database, sent_record
from torture.fault_points import FaultPoints
from torture.found import Found, differences, files_in, find
from torture.stores import Stores

LOOKED_AT = "what was looked at"
READS = ("SELECT", "PRAGMA")  # or locks, which ends with the process
PREPARATIONS = frozenset({"os.open", "os.mkdir", "os.rmdir", "os.chmod", "file.flush", "file.close"})
SECONDS_TO_LIVE = 60  # of one process, before it is held to hang


@dataclass(frozen=True)
class World:
    """Where an act happens: a store, and a folder for all else that it leaves behind."""

    store: str
    folder: Path
    points: FaultPoints

    def bind(self) -> None:
        """Make the store and its record of sent mails those of this process."""
        database.bind(self.store)
        sent_record.use(self.folder / "sent-record")


@dataclass(frozen=True)
class Restart:
    """What happens after a crash. Where `now` is another instant than the act's, instants are not compared."""

    name: str
    begin: Callable[[World], None]
    same_instant: bool = True


Judge = Callable[[Found, Found, Found], list[str]]
"""What is wrong with what was found, from what the kill left, what is found now, and what an undisturbed run leaves."""


def judge_equal(_left: Found, found: Found, wanted: Found) -> list[str]:
    """The same as if nothing had been."""
    return differences(found, wanted)


@dataclass(frozen=True)
class Scenario:
    """An act, where it begins, what follows a crash, and what it must leave.

    `leaves` are numbers of rows after an undisturbed run, so that a scenario in which nothing happens is noticed.
    With `in_one_step` a kill must leave the store as it was before or after the act, before anything is restarted.
    `look` finds more than the tables say; it is part of what is compared, and asked right after the kill as well.
    """

    name: str
    furnish: Callable[[], None]
    act: Callable[[World], None]
    restarts: tuple[Restart, ...]
    leaves: dict[str, int]
    judge: Judge = judge_equal
    in_one_step: bool = False
    watches_files: bool = False
    files: tuple[str, ...] = ()
    look: Callable[[World], list[str]] | None = None
    backends: tuple[str, ...] = ("sqlite", "postgresql")
    changes_tables: bool = False
    warm_up: Callable[[], object] = lambda: None  # once, in the process from which all others are forked
    is_set_up: bool = True  # False: there is nothing yet, not even a schema
    beside: Callable[[World], None] = lambda _world: None  # puts what is no part of the store beside each fresh copy


@dataclass
class Result:
    """One scenario on one database. `differences` are sentences; empty means that every kill was survived."""

    scenario: str
    backend: str
    points: int = 0  # of an undisturbed act
    killed: int = 0  # processes that died at a point of theirs
    remains: int = 0  # that differ from each other, each followed by every restart
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = "as if nothing had been" if not self.differences else f"{len(self.differences)} differences"
        return f"{self.scenario:28} {self.backend:10} {self.points:5} {self.killed:6} {self.remains:7}  {told}"


HEADING = f"{'scenario':28} {'database':10} {'points':>5} {'killed':>6} {'remains':>7}"


def run(
    scenarios: Iterable[Scenario],
    backends: Sequence[Stores],
    folder: Path,
    *,
    short: bool = False,
    progress: Callable[[Result], None] = lambda _result: None,
) -> list[Result]:
    """Kill every scenario at every point of it on each database. `folder` is emptied again and again.

    The short form leaves out the points before a statement that only reads, since the moment before it is the moment
    before what follows it; and of the statements inside a transaction and of what only prepares a change of a file it
    takes each fourth, others in each scenario and database. COMMIT, and every other change outside the database, it
    always takes. It restarts once: on SQLite in the first
    way of the scenario, on PostgreSQL in the last.
    """
    results = []
    for scenario in scenarios:
        for stores in backends:
            if stores.backend in scenario.backends:
                results.append(_Trial(scenario, stores, folder, short=short).run())
                progress(results[-1])
    return results


class _Trial:
    """One scenario on one database."""

    def __init__(self, scenario: Scenario, stores: Stores, folder: Path, *, short: bool) -> None:
        self.scenario, self.stores, self.folder, self.short = scenario, stores, folder, short
        self.restarts = scenario.restarts
        if short:
            self.restarts = scenario.restarts[:1] if stores.backend == "sqlite" else scenario.restarts[-1:]
        self.result = Result(scenario.name, stores.backend)
        self.store: str | None = None  # None: the copy has been used up
        self.names: list[str] = []  # of the points, as an undisturbed act passes them

    def run(self) -> Result:
        self.scenario.warm_up()
        gc.freeze()  # a child that collected garbage would copy all of our memory
        furnish = self._furnish if self.scenario.is_set_up else None
        self.stores.prepare(self.scenario.name, furnish, keeps_tables=not self.scenario.changes_tables)
        try:
            self._kill_everywhere()
        finally:
            self.stores.discard(self.scenario.name)
            shutil.rmtree(self.folder, ignore_errors=True)
            gc.unfreeze()
        return self.result

    def _furnish(self, place: str) -> None:
        def furnish() -> None:
            database.bind(place)
            with database.session():
                self.scenario.furnish()
            database.dispose()

        _in_child(furnish)

    def _kill_everywhere(self) -> None:
        before = self._looked_at()
        wanted = [self._undisturbed(restart) for restart in self.restarts]
        self._act()
        steps, self.store = (before, self._looked_at()), None
        seen: set[str] = set()
        for n in self._points():
            self._kill_at(n, wanted, steps, seen)
        if self._act(len(self.names) + 1):
            self._blame(len(self.names) + 1, "", ["the act has more points this time"])
        self.store = None
        self.result.points, self.result.remains = len(self.names), len(seen)

    def _points(self) -> Iterator[int]:
        """The numbers of the points that are tried, from 1 on."""
        inside = zlib.crc32(f"{self.scenario.name} {self.stores.backend}".encode())
        for n, name in enumerate(self.names, 1):
            if self.short and name.startswith(READS):
                continue
            inside += 1
            prepares = name in PREPARATIONS or (name[0].isupper() and name != "COMMIT")
            if not self.short or not prepares or inside % 4 == 0:
                yield n

    def _kill_at(self, n: int, wanted: Sequence[Found], steps: tuple[Found, Found], seen: set[str]) -> None:
        digest = ""
        for restart, should in zip(self.restarts, wanted, strict=True):
            if not self._act(n):
                self._blame(n, restart.name, ["the act has fewer points this time"])
                return
            self.result.killed += 1
            digest, told = self._restarted(restart, should, steps, seen)
            self._blame(n, restart.name, told)
            if digest in seen:
                self.store = self.store if digest == steps[0].digest() else None
                return
            self.store = None
        seen.add(digest)

    def _undisturbed(self, restart: Restart) -> Found:
        self._act()
        world, self.store = self._world(), None
        found: Found = _in_child(lambda: self._begun(world, restart))
        for name, rows in self.scenario.leaves.items():
            if len(found.tables[name]) != rows:
                told = f"an undisturbed run leaves {len(found.tables[name])} rows of {name}, not {rows}"
                self.result.differences.append(f"{self.scenario.name} on {self.stores.backend}: {told}")
        return found

    def _act(self, die_at: int = 0) -> bool:
        """The act on a fresh copy; whether it was killed at that point."""
        if not die_at:
            self.store = None
        world = self._world(FaultPoints(die_at))

        def act() -> list[str]:
            with world.points.watching(files=self.scenario.watches_files):
                world.bind()
                self.scenario.act(world)
                world.points.reach("the end")
            return world.points.passed

        passed = _in_child(act, may_die=True)
        if passed is not None and not die_at:
            self.names = passed
        return passed is None

    def _world(self, points: FaultPoints | None = None) -> World:
        """What there is, or, where that is used up, a fresh copy in an empty folder."""
        if self.store is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self.store = self.stores.fresh(self.scenario.name, self.folder)
            self.scenario.beside(World(self.store, self.folder, FaultPoints()))
        return World(self.store, self.folder, points or FaultPoints())

    def _looked_at(self) -> Found:
        world = self._world()
        found: Found = _in_child(lambda: self._look(world))
        return found

    def _look(self, world: World) -> Found:
        """All that a restart could depend on."""
        world.bind()
        return find(tries=True, files=files_in(world.folder) | self._files(world))

    def _restarted(
        self, restart: Restart, wanted: Found, steps: tuple[Found, Found], seen: set[str]
    ) -> tuple[str, list[str]]:
        """What the kill left, as a digest, and what was wrong after a restart; none is made when it was seen before."""
        world = self._world()

        def restarted() -> tuple[str, list[str]]:
            left = self._look(world)
            digest = left.digest()
            if digest in seen:
                return digest, []
            if self.scenario.in_one_step and all(differences(left, step) for step in steps):
                return digest, ["half of it was kept", *differences(left, steps[1])]
            return digest, self.scenario.judge(left, self._begun(world, restart), wanted)

        try:
            answer: tuple[str, list[str]] = _in_child(restarted)
        except ChildFailed as error:
            return f"failed {error}", [f"it could not be started again: {error}"]
        return answer

    def _begun(self, world: World, restart: Restart) -> Found:
        world.bind()
        restart.begin(world)
        return find(instants=restart.same_instant, files=self._files(world))

    def _files(self, world: World) -> dict[str, list[str]]:
        looked = {LOOKED_AT: self.scenario.look(world)} if self.scenario.look is not None else {}
        return files_in(world.folder, self.scenario.files) | looked

    def _blame(self, n: int, restarted: str, told: list[str]) -> None:
        point = self.names[n - 1] if n <= len(self.names) else "?"
        self.result.differences += [
            f"{self.scenario.name} on {self.stores.backend}, killed at {n} ({point[:90]}), {restarted}: {each}"
            for each in told
        ]


class ChildFailed(Exception):
    """A process ended otherwise than it should; the text is its traceback."""


def _in_child(body: Callable[[], Any], *, may_die: bool = False) -> Any:
    """What `body` gives in a process of its own; None, with `may_die`, when it killed itself. ChildFailed otherwise."""
    ours, its = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # threads of a test runner, which do not matter to the child
        child = os.fork()
    if child == 0:
        os.close(ours)
        _live(body, its)
    os.close(its)
    with os.fdopen(ours, "rb") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL and may_die:
        return None
    if status != 0:
        raise ChildFailed(said.decode(errors="replace") or f"it ended with status {status}")
    return pickle.loads(said)


def _live(body: Callable[[], Any], out: int) -> NoReturn:
    status = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS_TO_LIVE)
        gc.disable()
        said = pickle.dumps(body())
        database.dispose()
        status = 0
    except BaseException:  # noqa: BLE001 - a child must end here whatever happens, and the parent tells of it
        said = traceback.format_exc().encode()
    finally:
        sys.setprofile(None)
        with os.fdopen(out, "wb") as pipe:
            pipe.write(said)
        os._exit(status)
