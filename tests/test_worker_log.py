"""Is the worker's log one line of JSON a fact, without secrets, and no reason to stop?"""

import os
from datetime import UTC, datetime, timedelta

import pytest
from worker_log import Said

from jobs.json_log import JsonLog

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
