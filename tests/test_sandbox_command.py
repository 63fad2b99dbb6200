"""What does `keydesk sandbox` tell a pipeline, and what a person who looks after sandboxes?"""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from cast import OLAV, company, enable, key_of, user
from command import Home

from keydesk import command
from keydesk.errands import sandbox
from store import database, marking, restored
from store.errors import KeydeskError

NIGHT = date(2026, 11, 23)
TWO_OCLOCK = datetime(2026, 11, 23, 1, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def keydesk(home: Home, capsys: pytest.CaptureFixture[str]) -> Call:
    """`keydesk sandbox …` at an instant: its exit status and what it said. Fjellbekk and Havn have sandboxes."""
    with home.opened():
        for number, (external_id, name) in enumerate((("c-1", "Fjellbekk"), ("c-2", "Havn"))):
            one = company(external_id, name)
            owner = user(one, f"u-{number}", "Kari")
            enable(one, owner, now=LONG_AGO)
            key_of(owner, environment="sandbox", expires_on=date(2027, 12, 31), now=LONG_AGO)
        marking.create("Europe/Oslo", NIGHT, TWO_OCLOCK)

    def call(*arguments: str, now: datetime = TWO_OCLOCK) -> tuple[int, str]:
        given = command.parser().parse_args(["sandbox", *arguments])
        try:
            status = sandbox.run(given, home.settings(), lambda: now)
        except KeydeskError as error:
            return 1, str(error)
        finally:
            database.dispose()
        said = capsys.readouterr()
        return status, said.out + said.err

    return call


def claimed(keydesk: Call, now: datetime = TWO_OCLOCK) -> dict[str, Any]:
    return dict(json.loads(keydesk("next", now=now)[1]))


def test_a_claim_and_each_report_are_one_json_object(keydesk: Call) -> None:
    first, second = (json.loads(line) for line in keydesk("next", "--limit", "5")[1].splitlines())

    assert {name: value for name, value in first.items() if name != "token"} == {
        "company": "c-1",
        "name": "Fjellbekk",
        "night": "2026-11-23",
        "attempt": 1,
        "lease_until": "2026-11-23T02:00:00+00:00",
    }
    assert keydesk("next") == (0, "")
    assert keydesk("heartbeat", first["token"], "--lease-minutes", "90") == (
        0, '{"lease_until": "2026-11-23T02:30:00+00:00"}\n',
    )  # fmt: skip
    for _ in range(2):
        assert keydesk("done", first["token"], "--message", "fresh") == (
            0,
            (
                '{"company": "c-1", "night": "2026-11-23", "attempt": 1, "state": "done", "due_at": null, '
                '"failures": 0, "quarantined": false}\n'
            ),
        )
    for _ in range(2):
        assert keydesk("fail", second["token"], "--message", "no space", "--retry-in", "30") == (
            0,
            (
                '{"company": "c-2", "night": "2026-11-23", "attempt": 1, "state": "due", '
                '"due_at": "2026-11-23T01:30:00+00:00", "failures": 1, "quarantined": false}\n'
            ),
        )


def test_another_try_that_is_asked_for_too_late_is_refused_and_of_two_the_first_counts(keydesk: Call) -> None:
    one, other = (json.loads(line)["token"] for line in keydesk("next", "--limit", "2")[1].splitlines())
    failed = keydesk("fail", one, "--message", "no space")
    first = keydesk("fail", other, "--message", "no space", "--retry-in", "30")

    assert keydesk("fail", one, "--message", "no space", "--retry-in", "30") == (
        1,
        (
            "This refresh was reported as failed before, without another try; nothing was changed. `keydesk sandbox "
            "again c-1` has it tried again."
        ),
    )
    assert keydesk("fail", one, "--message", "no space") == failed
    assert keydesk("fail", other, "--message", "no space", "--retry-in", "60") == first


def test_the_failure_that_began_a_quarantine_may_be_said_twice_with_another_try(keydesk: Call) -> None:
    for tries in range(3):
        now = TWO_OCLOCK + timedelta(minutes=2 * tries)
        token = json.loads(keydesk("next", "--limit", "2", now=now)[1].splitlines()[-1 if tries else 0])["token"]
        said = [keydesk("fail", token, "--message", "no space", "--retry-in", "1", now=now) for _ in range(2)]

    assert said[0] == said[1]
    assert json.loads(said[0][1])["quarantined"] is True


def test_a_claim_that_went_to_another_is_told_by_75(keydesk: Call) -> None:
    slow = claimed(keydesk)
    later = TWO_OCLOCK + timedelta(hours=1)
    quick = claimed(keydesk, later)

    assert (quick["company"], quick["attempt"]) == ("c-1", 2)
    for verb in (("done",), ("fail", "--message", "late"), ("heartbeat",)):
        status, said = keydesk(verb[0], slow["token"], *verb[1:], now=later)
        assert (status, said) == (
            75, "keydesk: The lease of this claim is lost: the refresh is due again or somebody else has taken it.\n",
        )  # fmt: skip


def test_a_heartbeat_after_the_report_hears_that_it_was_reported(keydesk: Call) -> None:
    done, failed = (json.loads(line)["token"] for line in keydesk("next", "--limit", "2")[1].splitlines())
    keydesk("done", done)
    keydesk("fail", failed, "--message", "no space", "--retry-in", "30")

    assert [keydesk("heartbeat", token) for token in (done, failed)] == [
        (75, "keydesk: This refresh was reported as done before; its claim is over.\n"),
        (75, "keydesk: This refresh was reported as failed before; its claim is over.\n"),
    ]


def test_a_restored_store_hands_nothing_out_until_it_is_released_and_takes_what_is_reported(
    home: Home, keydesk: Call
) -> None:
    token = claimed(keydesk)["token"]
    with home.opened():
        restored.hold(OLAV, "from kept.db", TWO_OCLOCK)

    assert keydesk("next") == (
        1,
        (
            "This store was restored at 2026-11-23T01:00:00Z: it neither sends nor bills, and gives out no sandbox. "
            "Look what is missing since the backup, then run `keydesk restore --release`."
        ),
    )
    assert keydesk("heartbeat", token)[0] == keydesk("done", token)[0] == 0
    with home.opened():
        restored.release(OLAV, TWO_OCLOCK)
    assert claimed(keydesk)["company"] == "c-2"


def test_the_list_says_of_each_how_it_is_and_how_old_its_data(keydesk: Call) -> None:
    keydesk("done", claimed(keydesk)["token"])
    keydesk("fail", claimed(keydesk)["token"], "--message", "no space left\non db7")
    later = TWO_OCLOCK + timedelta(days=2)

    assert keydesk("list", now=later) == (
        0,
        (
            "c-1           done         2026-11-23  of 2026-11-23, 2 nights old  Fjellbekk\n"
            "c-2           failed       2026-11-23  never refreshed  Havn: no space left on db7\n"
        ),
    )
    assert [json.loads(line)["company"] for line in keydesk("list", "--json", "--state", "failed")[1].splitlines()] == [
        "c-2"
    ]
    assert keydesk("list", "--state", "held") == (0, "No sandbox is in that state.\n")
    assert keydesk("list", "--state", "fine")[1].startswith("'fine' is no state of a sandbox; there are quarantined, ")


def test_a_person_holds_a_sandbox_and_lets_it_go(keydesk: Call) -> None:
    noon = TWO_OCLOCK + timedelta(hours=11)
    for _ in range(2):
        assert keydesk("hold", "c-1", "--reason", "demo week", "--until", "2026-11-25", now=noon) == (
            0, "The sandbox of Fjellbekk is held through the night of 2026-11-25.\n",
        )  # fmt: skip

    status, shown = keydesk("show", "c-1", now=noon)
    refused = keydesk("again", "c-1", now=noon)
    released = [keydesk("release", "c-1", now=noon)[1] for _ in range(2)]
    again = [keydesk("again", "c-1", now=noon)[1] for _ in range(2)]

    assert (status, shown) == (
        0,
        "Fjellbekk (c-1), Europe/Oslo\n"
        "state       held\n"
        "data        never refreshed\n"
        "night       2026-11-23, held, tries: 0\n"
        "failures    0 in a row\n"
        "held        since 2026-11-23 13:00, by " + shown.split("by ")[1].split(",")[0] + ", through the night of "
        "2026-11-25: demo week\n"
        "message     Held: demo week\n",
    )
    assert refused == (1, "The sandbox of Fjellbekk is held (demo week); release it first.")
    assert released == [
        "The sandbox of Fjellbekk is refreshed from the next night on; `keydesk sandbox again c-1` does it now.\n",
        "The sandbox of Fjellbekk is neither held nor in quarantine; nothing was changed.\n",
    ]
    assert again == ["The refresh of Fjellbekk for the night of 2026-11-23 is due now.\n"] * 2


def test_a_night_that_is_done_is_not_promised_again_and_none_where_none_will_come(home: Home, keydesk: Call) -> None:
    noon = TWO_OCLOCK + timedelta(hours=11)
    keydesk("done", claimed(keydesk)["token"])

    def let_go() -> list[str]:
        keydesk("hold", "c-1", "--reason", "demo week", now=noon)
        return [keydesk(verb, "c-1", now=noon)[1] for verb in ("release", "again")]

    as_it_is = let_go()
    told = []
    for text in (
        "UPDATE api_key SET environment = 'prod'",
        "UPDATE integration SET enabled_at = NULL",
        "UPDATE company SET deactivated_at = created_at WHERE external_id = 'c-1'",
    ):
        home.sql(text)
        told.append(let_go())

    assert as_it_is == [
        "The sandbox of Fjellbekk is refreshed from the next night on.\n",
        "The night of 2026-11-23 is done; the next one is refreshed by itself.",
    ]
    whys = ("it has no key that is accepted in Sandbox", "API Access is off", "the company is not active")
    assert told == [
        [
            f"The sandbox of Fjellbekk is let go, and no night is marked for it: {why}.\n",
            f"The night of 2026-11-23 is done, and no other is marked: {why}.",
        ]
        for why in whys
    ]


def test_a_program_that_holds_and_releases_hears_how_the_sandbox_is_then(keydesk: Call) -> None:
    noon = TWO_OCLOCK + timedelta(hours=11)
    acts = [
        ("hold", "c-1", "--reason", "demo week", "--until", "2026-11-25", "--json"),
        ("release", "c-1", "--json"),
        ("again", "c-1", "--json"),
    ]

    said = [json.loads(keydesk(*act, now=noon)[1]) for act in acts]

    assert [(each["company"], each["state"]) for each in said] == [("c-1", "held"), ("c-1", "held"), ("c-1", "due")]
    assert [each["hold"] and each["hold"]["last_night"] for each in said] == ["2026-11-25", None, None]
    assert said[2] == json.loads(keydesk("show", "c-1", "--json", now=noon)[1])


def test_the_third_failure_says_that_it_was_the_last_and_a_person_has_it_tried_again(keydesk: Call) -> None:
    reports = []
    for tries in range(3):
        now = TWO_OCLOCK + timedelta(minutes=2 * tries)
        token = json.loads(keydesk("next", "--limit", "2", now=now)[1].splitlines()[-1 if tries else 0])["token"]
        reports.append(json.loads(keydesk("fail", token, "--message", "no space", "--retry-in", "1", now=now)[1]))
    facts = json.loads(keydesk("show", "c-1", "--json")[1])
    shown = keydesk("show", "c-1")[1]
    again = keydesk("again", "c-1", now=TWO_OCLOCK + timedelta(hours=11))

    assert [(each["state"], each["quarantined"]) for each in reports] == [
        ("due", False), ("due", False), ("failed", True),
    ]  # fmt: skip
    assert (facts["state"], facts["quarantine"]["reason"]) == ("quarantined", "3 refreshes failed in a row.")
    assert "\nquarantine  since 2026-11-23 02:04, by " in shown
    assert again == (0, "Its quarantine is over. The refresh of Fjellbekk for the night of 2026-11-23 is due now.\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("next", "--limit", "0"), "The limit must be at least 1."),
        (("next", "--lease-minutes", "0"), "The lease must be from 1 to 10,080 minutes (a week)."),
        (("heartbeat", "nonsense"), "This is not a token of a claim; `keydesk sandbox next` prints one."),
        (("show", "nobody"), "There is no company with the id nobody; the desk's company list shows the ids."),
        (("hold", "c-1", "--reason", " "), "The reason is empty; write 1 to 200 characters."),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(keydesk: Call, arguments: tuple[str, ...], sentence: str) -> None:
    assert keydesk(*arguments) == (1, sentence)
