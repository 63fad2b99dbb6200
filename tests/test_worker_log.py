"""Is the worker's log one line of JSON a fact, without secrets, and no reason to stop?"""

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from worker_log import Said

from jobs.json_log import JsonLog, take_over

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECRET = "kdp_Ab12Cd34Ef56Gh78Ij90Kl12Mn34Op56Qr78St90Uv"


def test_a_line_of_the_log_is_ascii_json_without_secrets() -> None:
    stream = Said()

    JsonLog(stream, clock=lambda: NOON).say("tea.made", who="Åse", key=SECRET, at_desk=timedelta(1))

    assert stream.getvalue().isascii()
    assert stream.facts == [
        {
            "at": "2026-11-23T12:00:00Z", "level": "info", "fact": "tea.made",
            "who": "Åse", "key": "kdp_…[key removed]", "at_desk": "1 day, 0:00:00",
        },
    ]  # fmt: skip


def test_a_reader_that_has_gone_does_not_stop_the_worker() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")

    JsonLog(stream).say("tea.made")

    with pytest.raises(BrokenPipeError):
        stream.close()


@pytest.fixture
def taken_over(monkeypatch: pytest.MonkeyPatch) -> Iterator[Said]:
    """What is said once the log has taken over; afterwards all is as it was."""
    said, root = Said(), logging.getLogger()
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        take_over(JsonLog(said, clock=lambda: NOON))
        yield said
        logging.captureWarnings(capture=False)
    root.setLevel(level)


def test_what_a_library_warns_of_is_a_fact_in_one_line(taken_over: Said, capsys: pytest.CaptureFixture[str]) -> None:
    warnings.warn(f"tea with {SECRET} goes out of fashion", DeprecationWarning, stacklevel=1)

    (fact,) = taken_over.facts
    assert (fact["level"], fact["fact"], fact["name"]) == ("warning", "library", "py.warnings")
    assert "DeprecationWarning: tea with kdp_…[key removed] goes out of fashion" in fact["text"]
    assert capsys.readouterr().err == ""


def test_what_a_thread_dies_of_is_a_fact_in_one_line(taken_over: Said, capsys: pytest.CaptureFixture[str]) -> None:
    def spill() -> None:
        raise RuntimeError(f"the cup broke over {SECRET}")

    def leave() -> None:
        raise SystemExit(1)  # as a thread ends that wants to

    for body in (spill, leave):
        thread = threading.Thread(target=body, name="kettle")
        thread.start()
        thread.join()

    (fact,) = taken_over.facts
    assert fact | {"where": ""} == {
        "at": "2026-11-23T12:00:00Z", "level": "error", "fact": "thread.died", "thread": "kettle", "where": "",
        "error": "RuntimeError: the cup broke over kdp_…[key removed]",
    }  # fmt: skip
    assert fact["where"].endswith(" spill")
    assert capsys.readouterr().err == ""
