"""Is what cannot be asked told so with exit status 2, and is nothing begun then?"""

import pytest
from command import Home

from keydesk.command import parser

NO_TEXT = "x\udcff"  # the byte FF on a command line


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--days", "3"), "--days: only with --clock-from, through simulated time. No worker was started."),
        (("--step-minutes", "30"), "--step-minutes: only with --clock-from, through simulated time. No worker was "),
        (("--on-a-copy",), "--on-a-copy: only with --clock-from, through simulated time. No worker was started."),
        (("--once", "--days", "3", "--on-a-copy"), "--days, --on-a-copy: only with --clock-from, "),
        (
            ("--once", "--clock-from", "2026-12-01T00:00"),
            "--once is for now and --clock-from for simulated time; leave one of them out.",
        ),
        (
            ("--metrics-to-others",),
            "--metrics-to-others says who may reach --metrics; name that too, or leave it out.",
        ),
        (("--once", "--metrics-to-others"), "--metrics-to-others says who may reach --metrics; "),
        (
            ("--once", "--metrics", "127.0.0.1:9464"),
            "--metrics is for a worker that goes on; leave out --once and --clock-from.",
        ),
        (("--metrics", "foo"), "--metrics: 'foo' is not an address and a port like 127.0.0.1:9464 or [::1]:9464. "),
    ],
)
def test_a_worker_is_not_started_with_options_that_say_nothing_to_it(
    home: Home, options: tuple[str, ...], sentence: str
) -> None:
    said = home.keydesk("worker", *options)

    assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
    assert sentence in said.err
    assert home.sql("SELECT count(*) FROM worker") == [(0,)]


@pytest.mark.parametrize("text", ["127.0.0.1:9464", "[::1]:0", "192.0.2.1:65535"])
def test_metrics_are_told_at_an_address_and_a_port(text: str) -> None:
    address, port = parser().parse_args(["worker", "--metrics", text]).metrics

    assert f"{address}:{port}" == text.replace("[", "").replace("]", "")


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1", "localhost:9464", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:٩", ":9464", NO_TEXT]
)
def test_metrics_are_told_nowhere_else(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["worker", "--metrics", text])

    assert end.value.code == 2
    assert " is not an address and a port like 127.0.0.1:9464 or [::1]:9464. " in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("sandbox", "show", NO_TEXT),
        ("sandbox", "done", NO_TEXT),
        ("sandbox", "hold", "fjell-1001", "--reason", NO_TEXT),
        ("mail", "list", "--company", NO_TEXT),
        ("mail", "list", NO_TEXT),
        ("mail", "test", f"{NO_TEXT}@example.com"),
        ("key", "show", NO_TEXT),
        ("key", "revoke", NO_TEXT, "--reason", "left"),
        ("invoice", "show", NO_TEXT, "2026-11"),
        ("admin", "add", NO_TEXT, "--role", "operator"),
        ("usage", "import", "usage.csv", "--source", NO_TEXT),
        ("run", NO_TEXT),
    ],
)
def test_an_argument_that_is_not_utf_8_is_told_as_one(home: Home, arguments: tuple[str, ...]) -> None:
    said = home.keydesk(*arguments)

    assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith("keydesk: The argument x‹DCFF›")
    assert said.err.endswith(" is not UTF-8; correct it.\n")
