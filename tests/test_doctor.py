"""What does the doctor see, and does it say what to do? Each thing that can be unwell is made so, one at a time."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command import NOW, Home, right_now
from doctor_visit import findings, found, relay
from smtp_server import canned_server, smtp_server

from jobs import lifeline
from keydesk.errands import doctor_clocks
from store import clock_seen, database, workers


@pytest.fixture
def well(home: Home) -> Iterator[Home]:
    """A home with a worker that is alive; its mail is set by each test."""
    with home.opened():
        workers.register(workers.this_host(), "0.1.0", NOW)
    yield home
    database.dispose()


@contextmanager
def nobody() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def test_nothing_is_found_where_all_is_well(well: Home) -> None:
    with smtp_server() as server:
        assert found(well, **relay(server.port)) == {}
        assert server.received == []


def test_without_a_relay_mails_wait_and_that_is_said(well: Home) -> None:
    assert found(well) == {
        "mail": ("look", "No relay is set: mails wait in the outbox. Set [mail] host and sender."),
    }


def test_a_relay_that_is_down_refuses_or_says_nothing_is_told_apart(well: Home) -> None:
    with nobody() as port:
        assert found(well, **relay(port)) == {
            "mail": (
                "wrong",
                (
                    f"The mail server localhost:{port} cannot be reached: Connection refused. "
                    "See whether it runs, and whether host and port in [mail] are right."
                ),
            ),
        }
    with canned_server(b"554 5.7.1 Not you\r\n") as port:
        assert found(well, **relay(port)) == {
            "mail": (
                "wrong",
                (
                    f"localhost:{port}: 554 5.7.1 Not you. It wants nothing of this machine, or not now: ask who runs "
                    "it, or see whether [mail] port is right."
                ),
            ),
        }
    with canned_server(b"", hang_up=False) as port:
        assert found(well, **relay(port)) == {
            "mail": ("wrong", f"localhost:{port}: The mail server fell silent: timed out"),
        }


def test_mail_settings_that_cannot_be_used_are_said(well: Home) -> None:
    assert found(well, **relay(25, KEYDESK_MAIL_HOST="relay.example.com")) == {
        "mail": (
            "wrong",
            "Mail to relay.example.com needs TLS; without it only this machine (localhost) may be used.",
        ),
    }


@pytest.mark.parametrize(
    ("later", "unwell"),
    [
        (timedelta(minutes=2), False),
        (timedelta(minutes=2, seconds=1), True),
    ],
)
def test_a_worker_that_has_been_silent_for_more_than_two_minutes_is_not_alive(
    well: Home, later: timedelta, unwell: bool
) -> None:
    sentence = f"was last heard at {NOW:%Y-%m-%d %H:%M}Z. Restart it."

    said = found(well, NOW + later).get("worker", ("ok", ""))

    assert (said[0], said[1].endswith(sentence)) == (("wrong", True) if unwell else ("ok", False))


def test_no_worker_is_said(home: Home) -> None:
    assert found(home)["worker"] == (
        "wrong",
        "No worker is running: no notice, no marker, no mail goes out. Start `keydesk worker`.",
    )
    database.dispose()


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(minutes=15), None),
        (timedelta(minutes=16), "`keydesk worker --once` last came by at {at}Z. Have it called every 5 minutes, "),
    ],
)
def test_a_worker_that_a_timer_calls_is_well_while_it_is_called(home: Home, ago: timedelta, said: str | None) -> None:
    with home.opened():
        workers.stop(workers.register(workers.this_host(), "0.1.0", NOW - ago, kind="pass"), NOW - ago)

    worker = found(home).get("worker")

    if said is None:
        assert worker is None
    else:
        assert worker is not None
        assert (worker[0], worker[1].startswith(said.format(at=f"{NOW - ago:%Y-%m-%d %H:%M}"))) == ("wrong", True)
    database.dispose()


def test_of_two_workers_the_one_that_is_no_longer_heard_is_named(well: Home) -> None:
    with well.opened():
        name = workers.register(workers.this_host(), "0.1.0", NOW - timedelta(hours=1), pid=4242)

    verdict, text = found(well)["worker"]

    assert verdict == "look"
    assert text.endswith(
        f". No longer heard: {name} ({NOW - timedelta(hours=1):%Y-%m-%d %H:%M}Z); start it again, or see why."
    )


GONE = 2**22 + 1  # beyond the kernel's highest: there is no such process


def test_a_worker_that_was_killed_on_this_machine_is_wrong_at_once(home: Home) -> None:
    with home.opened():
        name = workers.register(workers.this_host(), "0.1.0", NOW, pid=GONE)

    assert found(home)["worker"] == (
        "wrong",
        (
            f"Killed since it was last heard: {name} ({NOW:%H:%M:%S}Z); its process is gone. Start `keydesk worker` "
            "again, and see in the log of the machine what ended it."
        ),
    )
    database.dispose()


def test_a_worker_that_was_killed_beside_one_that_lives_is_named_at_once(well: Home) -> None:
    with well.opened():
        name = workers.register(workers.this_host(), "0.1.0", NOW, pid=GONE)

    verdict, text = found(well)["worker"]

    assert verdict == "look"
    assert text.endswith(f". No longer heard: {name} ({NOW:%Y-%m-%d %H:%M}Z); start it again, or see why.")


def test_whether_a_process_of_another_machine_lives_is_not_guessed(home: Home) -> None:
    with home.opened():
        workers.register(workers.Host("elsewhere", "another boot", 1), "0.1.0", NOW, pid=GONE)

    assert "worker" not in found(home)
    database.dispose()


def test_a_pass_that_came_by_buries_a_worker_that_was_killed(home: Home) -> None:
    with home.opened():
        workers.register(workers.this_host(), "0.1.0", NOW, pid=GONE)
    assert home.keydesk("worker", "--once").status == 0

    assert "worker" not in found(home, right_now())
    database.dispose()


def test_one_job_by_hand_is_no_worker(home: Home) -> None:
    with home.opened():
        workers.stop(workers.register(workers.this_host(), "0.1.0", NOW, kind="job"), NOW)

    assert found(home)["worker"][1].startswith("No worker is running")
    database.dispose()


def test_a_clock_that_was_put_back_is_seen_by_the_newest_event(well: Home) -> None:
    verdict, text = found(well, NOW - timedelta(hours=1))["clock"]

    assert verdict == "wrong"
    assert text.endswith(
        f"Z, and here it is {NOW - timedelta(hours=1):%Y-%m-%d %H:%M}Z. Set the clock right. If it is right, it was "
        "ahead then; this is said until the next event."
    )


def test_a_clock_that_was_ahead_is_put_right_by_the_command_of_the_guide(well: Home) -> None:
    with well.opened():
        clock_seen.set_to(NOW + timedelta(days=2))

    verdict, text = found(well)["clock"]

    assert (verdict, text) == (
        "wrong",
        (
            f"A worker has already lived through {NOW + timedelta(days=2):%Y-%m-%d %H:%M:%S}Z, and here it is "
            f"{NOW:%Y-%m-%d %H:%M:%S}Z: until then nothing is planned. Set the clock right. If it is right, and was "
            "ahead then, run `keydesk worker --believe-clock --once`."
        ),
    )
    assert well.keydesk("worker", "--believe-clock", "--once").status == 0
    assert "clock" not in found(well, right_now())


def test_a_clock_that_is_far_ahead_of_what_the_machine_has_run_is_wrong_until_a_person_believes_it(well: Home) -> None:
    last = NOW - timedelta(days=8)
    with well.opened():
        clock_seen.advance(last, None)
        clock_seen.note_boot(str(workers.this_boot()), last - timedelta(seconds=lifeline.seconds()))

    verdict, text = found(well)["clock"]

    assert (verdict, text) == (
        "wrong",
        (
            f"Here it is {NOW:%Y-%m-%d %H:%M:%S}Z, and the clock was last believed at {last:%Y-%m-%d %H:%M:%S}Z: this "
            "machine has not run for so long since then. Nothing is run or sent until the clock is set right. If it is "
            "right, as after a pause of a virtual machine, run `keydesk worker --believe-clock --once`."
        ),
    )
    assert well.keydesk("worker", "--believe-clock", "--once").status == 0
    assert "clock" not in found(well, right_now())


def test_a_price_list_that_is_missing_is_named(well: Home) -> None:
    well.sql("UPDATE company SET price_list = 'OLD' WHERE external_id = 'fjell-1001'")

    assert found(well)["prices"] == (
        "look",
        f"No price list OLD in NOK is in force for {NOW:%Y-%m}; publish one with `keydesk prices publish`.",
    )


def test_an_audit_log_with_a_gap_is_wrong(well: Home) -> None:
    well.sql("DELETE FROM event WHERE seq = 7")

    assert found(well)["events"] == ("wrong", "Event 7 is missing: the log goes from 6 to 8.")


def test_the_wrong_pepper_and_one_that_others_read_are_wrong(well: Home) -> None:
    well.pepper.chmod(0o640)
    assert found(well)["pepper"] == (
        "wrong",
        (
            "The pepper file ~/.config/keydesk/keydesk.pepper can be read by others (mode 0640). "
            "Run `chmod 600 ~/.config/keydesk/keydesk.pepper`."
        ),
    )
    well.pepper.chmod(0o600)
    well.pepper.write_text("1:" + "ab" * 32 + "\n", encoding="ascii")
    assert found(well)["pepper"] == (
        "wrong",
        (
            "The pepper file ~/.config/keydesk/keydesk.pepper has a version 1 with another secret than the one that "
            "keys of this store were made with, so none of those would be accepted. Restore the right pepper file."
        ),
    )


def test_a_folder_that_others_can_enter_is_said(well: Home) -> None:
    well.store.parent.chmod(0o755)

    assert found(well)["store"] == (
        "look",
        "Others can enter ~/.local/share/keydesk; run `chmod 700 ~/.local/share/keydesk`.",
    )


def test_a_key_about_whose_end_nobody_can_be_told_is_said(well: Home) -> None:
    well.issue(at=NOW - timedelta(days=10), days=12)
    well.sql("UPDATE company_user SET email = '', email_ascii = ''")
    well.keydesk("run", "expiry-notices")

    assert found(well)["notices"] == (
        "look",
        "Keys that expire with nobody to tell: 1. Give each somebody to notify, at the desk.",
    )


def test_without_a_store_what_needs_none_is_looked_at_in_the_same_order(tmp_path: Path) -> None:
    home = Home(tmp_path)

    said = home.keydesk("doctor")

    assert (said.status, said.err) == (1, "")
    assert [line.split()[:2] for line in said.out.splitlines()] == [
        ["ok", "settings"],
        ["wrong", "store"],
        ["wrong", "pepper"],
        ["look", "clock"],
        ["look", "mail"],
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_opened_hides_neither_pepper_nor_clock_nor_relay_nor_program(well: Home) -> None:
    well.store.write_bytes(b"no database" * 1000)

    with smtp_server() as server:
        said = findings(well, **relay(server.port, KEYDESK_SANDBOX_COMMAND="/bin/true"))
    with nobody() as port:
        away = found(well, **relay(port, KEYDESK_SANDBOX_COMMAND="/bin/none"))

    assert said[1:] == [
        (
            "wrong",
            "store",
            (
                "~/.local/share/keydesk/keydesk.db is not a sound SQLite store. Restore a backup "
                "(`keydesk backup` makes them)."
            ),
        ),
        (
            "look",
            "pepper",
            (
                "~/.config/keydesk/keydesk.pepper, version 1, can be read; whether it is the one of the "
                "store's keys was not seen."
            ),
        ),
        ("look", "clock", f"{NOW:%Y-%m-%d %H:%M}Z here. Without the store there is nothing to compare it with."),
        ("ok", "mail", f"localhost:{server.port} takes mail"),
        ("ok", "sandboxes", "/bin/true refreshes them"),
    ]
    assert [away[about][0] for about in ("mail", "sandboxes")] == ["wrong", "wrong"]


def test_without_its_store_a_pepper_that_others_read_is_wrong(well: Home) -> None:
    well.store.unlink()
    well.pepper.chmod(0o640)

    assert found(well)["pepper"][0] == "wrong"


def test_the_page_has_one_finding_a_line_and_1_says_that_something_is_wrong(home: Home) -> None:
    said = home.keydesk("doctor")

    about = [line.split()[:2] for line in said.out.splitlines() if line.split()[1] not in {"disk", "sqlite"}]
    assert (said.status, said.err) == (1, "")
    assert about == [
        ["ok", "settings"],
        ["ok", "store"],
        ["ok", "pepper"],
        ["ok", "clock"],
        ["wrong", "worker"],
        ["look", "mail"],
        ["ok", "events"],
    ]


def test_for_programs_each_finding_is_an_object_and_the_status_is_the_same(home: Home) -> None:
    said = home.keydesk("doctor", "--json")

    told = [json.loads(line) for line in said.out.splitlines()]
    assert (said.status, said.err) == (1, "")
    assert [each for each in told if each["about"] in {"store", "mail"}] == [
        {"verdict": "ok", "about": "store", "text": f"{home.store}, the desk of Fjord Software"},
        {
            "verdict": "look",
            "about": "mail",
            "text": "No relay is set: mails wait in the outbox. Set [mail] host and sender.",
        },
    ]


def test_what_others_wrote_does_not_speak_to_the_terminal(home: Home) -> None:
    home.sql(
        "INSERT INTO run (job, scope, period, state, bounds, attempt, planned_at, not_before, error) "
        "VALUES ('expiry-notices', 'Europe/Oslo', '2026-11-23', 'due', '{}', 1, 0, 0, ?)",
        "OperationalError: \x1b]52;c;c2VjcmV0\x07",
    )

    said = home.keydesk("doctor")

    assert [line for line in said.out.splitlines() if "expiry-notices" in line] == [
        "wrong  run        expiry-notices Europe/Oslo 2026-11-23: OperationalError: ‹001B›]52;c;c2VjcmV0‹0007›"
    ]


def test_sandboxes_in_quarantine_are_named_with_what_to_do(well: Home) -> None:
    with well.opened():
        database.run_sql(
            "INSERT INTO sandbox_hold (company_id, kind, reason, started_at, started_by)"
            " SELECT id, CASE WHEN id = 2 THEN 'hold' ELSE 'quarantine' END, 'failures', 1, 'worker'"
            " FROM company ORDER BY id LIMIT 4"
        )

    verdict, text = found(well)["sandboxes"]

    assert verdict == "look"
    assert text == (
        "Not refreshed any more after failures in a row: 3 (fjell-1001, fjell-1003, skog-2001). `keydesk sandbox list "
        "--state quarantined` lists them. Find out why (`keydesk sandbox show COMPANY`), then run `keydesk sandbox "
        "again COMPANY`."
    )


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)  # SQLite has no clock of its own
@pytest.mark.parametrize("apart", [0, 27, -27, 33, -33, 63, -63])
def test_a_clock_that_is_not_that_of_postgresql_s_machine_is_wrong_before_a_worker_stands_still(
    empty_store: str, apart: int
) -> None:
    (finding,) = doctor_clocks.clock(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=apart))

    set_both = " than on PostgreSQL's machine. Set both by the same time service (chrony, systemd-timesyncd)."
    assert finding.verdict == ("wrong" if abs(apart) > 30 else "ok")
    assert (set_both in finding.text) == (abs(apart) > 30)
    assert finding.text.endswith(" Until then a worker here does nothing.") == (abs(apart) > 60)
