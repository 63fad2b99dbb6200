"""Who may write next? Writers stand in line at the gate, and nobody waits for ever or is held back by who gave up."""

import errno
import fcntl
import os
from pathlib import Path
from threading import Event, Thread, active_count
from threading import enumerate as threads

import pytest

from store.gate import GateClosedError, GateMissingError, WriteGate, _shut_turnstile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keydesk.db.gate"


def test_one_writer_at_a_time_goes_through_and_the_next_follows_at_once(path: Path) -> None:
    order: list[str] = []
    waiting = Event()

    def next_one() -> None:
        waiting.set()
        with WriteGate(path, 30).held():
            order.append("second")

    with WriteGate(path, 30).held():
        follower = Thread(target=next_one)
        follower.start()
        waiting.wait(10)
        order.append("first")
    follower.join(10)

    assert order == ["first", "second"]


def test_who_leaves_and_is_back_at_once_stands_in_line_behind_who_waits(path: Path) -> None:
    order: list[str] = []

    def person() -> None:
        with WriteGate(path, 30).held():
            order.append("the person")

    batch, others = WriteGate(path, 30), threads()
    with batch.held():
        waiting = Thread(target=person)
        waiting.start()
        # Before standing in line one tries the gate, and shuts the turnstile for a moment; that is not yet waiting.
        while not any(thread.name == "write-gate" for thread in threads() if thread not in others):
            pass
        while not somebody_waits(path):
            pass
    with batch.held():
        order.append("the batch")
    waiting.join(10)

    assert order == ["the person", "the batch"]


def somebody_waits(path: Path) -> bool:
    with path.open("r+b") as file:
        try:
            _shut_turnstile(file.fileno(), wait=False)
        except BlockingIOError:
            return True
        return False


def test_who_has_waited_long_enough_is_told_and_stands_in_nobodys_way(path: Path) -> None:
    gate = WriteGate(path, 0.05)
    before = active_count()

    with WriteGate(path, 30).held():
        for _ in range(10):
            with pytest.raises(GateClosedError), gate.held():
                pytest.fail("two writers at once")
        assert active_count() <= before + 1

    for _ in range(3):
        with WriteGate(path, 30).held():
            pass


def test_many_threads_write_one_after_the_other_whoever_gives_up_on_the_way(path: Path) -> None:
    patient, hasty = WriteGate(path, 30), WriteGate(path, 0.001)
    inside: list[int] = []
    written: list[int] = []

    def write(number: int) -> None:
        for _ in range(50):
            try:
                with (hasty if number % 2 else patient).held():
                    inside.append(number)
                    assert inside == [number]
                    inside.remove(number)
                    written.append(number)
            except GateClosedError:
                assert number % 2

    writers = [Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)

    assert [written.count(number) for number in range(0, 8, 2)] == [50, 50, 50, 50]
    with patient.held():
        assert inside == []


def test_the_gate_is_open_again_after_an_error_behind_it(path: Path) -> None:
    gate = WriteGate(path, 0.05)

    with pytest.raises(ZeroDivisionError), gate.held():
        raise ZeroDivisionError

    with gate.held():
        pass


def test_the_gate_is_the_owners_alone(path: Path) -> None:
    with WriteGate(path, 1).held():
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_kernel_without_locks_is_said_so_at_once_and_costs_no_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = WriteGate(path, 5)
    lock = fcntl.flock

    def no_lock(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    def none_to_wait_for(descriptor: int, how: int) -> None:
        if not how & fcntl.LOCK_NB:
            no_lock(descriptor, how)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", no_lock)
    with pytest.raises(GateMissingError, match="No locks available"), gate.held():
        pass
    monkeypatch.setattr(fcntl, "flock", none_to_wait_for)
    with gate.held(), pytest.raises(GateMissingError, match="No locks available"), gate.held():
        pass

    assert path not in [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
