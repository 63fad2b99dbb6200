"""Can anybody check the arithmetic? `keydesk invoice rate` answers a file of facts, without a store."""

import copy
import json
import sys
from contextlib import suppress
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from command import Home
from hypothesis import given
from hypothesis import strategies as st

from keydesk.command import main
from store.errors import FormatWrong, Refused
from store.rules.rating_answer import answers

WORKED = Path(__file__).parent / "billing" / "examples.json"
CASES = json.loads(WORKED.read_text(encoding="utf-8"))
E01, E17 = (next(each for each in CASES["examples"] if each["id"] == name) for name in ("E01", "E17"))


def named(answer: Any, expected: Any) -> Any:
    """What the answer has under the names that the expectation names; lists whole."""
    if isinstance(expected, dict):
        return {name: named(answer[name], value) for name, value in expected.items()}
    if isinstance(expected, list) and len(answer) == len(expected):
        return [named(mine, theirs) for mine, theirs in zip(answer, expected, strict=True)]
    return answer


class Asked:
    """The command in this process, reading `stdin`."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys = capsys
        self.monkeypatch = monkeypatch

    def __call__(self, document: object, *options: str) -> tuple[object, str, str]:
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(raw)))
        with pytest.raises(SystemExit) as end:
            main(["invoice", "rate", "--facts", "-", *options])
        said = self.capsys.readouterr()
        return end.value.code, said.out, said.err

    def answers(self, document: object) -> list[dict[str, Any]]:
        status, out, err = self(document, "--json")
        assert (status, err) == (0, "")
        found: list[dict[str, Any]] = json.loads(out)
        return found

    def complaint(self, document: object) -> str:
        """Of a file that is refused with one sentence and nothing else."""
        status, out, err = self(document, "--json")
        assert (status, out, err.count("\n")) == (1, "", 1)
        return err.removeprefix("keydesk: ").rstrip("\n")


@pytest.fixture
def asked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(capsys, monkeypatch)


def test_thirty_worked_months_are_answered_to_the_smallest_unit_where_there_is_no_store(tmp_path: Path) -> None:
    home = Home(tmp_path)

    said = home.keydesk("invoice", "rate", "--facts", WORKED, "--json")

    assert (said.status, said.err) == (0, "")
    answered = json.loads(said.out)
    assert [answer["id"] for answer in answered] == [example["id"] for example in CASES["examples"]]
    assert len(answered) == 30
    for answer, example in zip(answered, CASES["examples"], strict=True):
        assert named(answer, example["expected"]) == example["expected"]
    assert list(tmp_path.iterdir()) == []


def test_settings_that_are_wrong_do_not_matter(tmp_path: Path) -> None:
    said = Home(tmp_path).keydesk("invoice", "rate", "--facts", WORKED, "--json", KEYDESK_STORE_LOCATION="nowhere://")

    assert (said.status, said.err) == (0, "")


def test_an_answer_has_the_members_of_the_worked_months_and_corrections_only_where_a_month_is_final(
    asked: Asked,
) -> None:
    plain, adjusted, credited = asked.answers(CASES | {"examples": [E01, E17, _example("E18")]})

    totals = ["net_total", "vat_total", "gross_total"]
    assert list(plain) == ["id", "lines", *totals, "explain"]
    assert list(adjusted) == ["id", "lines", *totals, "explain", "adjustments"]
    assert list(credited) == ["id", "lines", *totals, "explain", "credit_note", "rebill"]
    assert plain["lines"] == [
        {
            "line_key": "access",
            "description": "API access, 10 licensed users",
            "because": "API Access was on for all 30 days in November 2026; "
            "the highest number was 10 licensed users, on 1 November.",
            "quantity": "10",
            "unit": "user",
            "unit_price": "25.00",
            "gross": "250.00",
            "discount": "0.00",
            "net": "250.00",
            "net_minor": 25000,
            "reason": "contract",
            "price_list": "API/NOK@2026-01-01#1",
            "status": "ok",
            "fraction": "",
            "was": None,
            "now": None,
            "explain": {
                "billed_users": 10,
                "billed_users_on": "2026-11-01",
                "licensed_users_rule": "peak",
                "access_days": 30,
                "days_in_month": 30,
                "price_list": "API/NOK@2026-01-01#1",
                "terms": [],
                "fraction": "",
                "arithmetic": "10 x 25.00 = 250.00",
            },
        }
    ]


def test_a_file_is_one_month_or_a_list_or_months_that_share_lists_and_policy(asked: Asked) -> None:
    shared = {"default_policy": CASES["default_policy"], "price_lists": CASES["price_lists"]}
    whole = {**shared, **E17}

    (of_shared,) = asked.answers({**shared, "examples": [E17]})

    assert asked.answers(whole) == [of_shared]
    assert asked.answers([whole, whole]) == [of_shared, of_shared]
    assert asked.answers([]) == []
    assert asked.answers({**shared, "examples": []}) == []


def test_a_months_own_lists_and_policy_go_before_the_shared_ones(asked: Asked) -> None:
    dearer = copy.deepcopy(CASES["price_lists"][0])
    dearer["items"]["access"]["price"] = "30.00"
    own = {**_example("E11"), "price_lists": [dearer], "policy": {"overuse_mode": "off"}}

    (answer,) = asked.answers({**CASES, "examples": [own]})

    assert [(line["line_key"], line["net"]) for line in answer["lines"]] == [("access", "300.00")]


def test_without_any_policy_overuse_waits_for_approval(asked: Asked) -> None:
    (answer,) = asked.answers({**_example("E11"), "price_lists": CASES["price_lists"]})

    assert [(line["line_key"], line["status"]) for line in answer["lines"]] == [
        ("access", "ok"),
        ("overuse_requests", "needs_review"),
        ("overuse_data", "needs_review"),
    ]
    assert answer["net_total"] == "250.00"


def test_a_price_without_quotes_is_exact_too(asked: Asked) -> None:
    text = json.dumps({**E01, "price_lists": CASES["price_lists"]}).replace('"25.00"', "25.10")

    (answer,) = asked.answers(text.encode())

    assert answer["net_total"] == "251.00"


def test_without_json_the_months_are_for_reading(asked: Asked) -> None:
    status, out, err = asked({**CASES, "examples": [_example("E16"), E17]})

    assert (status, err) == (0, "")
    assert [line[:96] for line in out.splitlines()] == [
        "E16: November 2026, NOK",
        "  access             5 users x 25.00, less 125.00                      0.00",
        "    API Access was on for all 30 days in November 2026; the highest number was 5 licensed users,",
        "  extra_key          3 keys x 29.00, less 8.70                        78.30",
        "    8 keys were in use at the same time on 1 November; 5 are included. The price is agreed (cont",
        "  net                                                                 78.30",
        "  vat                                                                 19.58",
        "  gross                                                               97.88",
        "",
        "E17: November 2026, NOK",
        "  access             10 users x 25.00                                250.00",
        "    API Access was on for all 30 days in November 2026; the highest number was 10 licensed users",
        "  adjustments",
        "  adj:2026-10:overuse_requests 1 adjustment x 60.00                   60.00",
        "    This line of October 2026 was invoiced at NOK 120.00; with what is known now it is NOK 180.0",
        "  net                                                                250.00",
        "  vat                                                                 62.50",
        "  gross                                                              312.50",
    ]


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (
            "examples.3.company.keys.0.created_at",
            "yesterday",
            "examples[3].company.keys[0].created_at: a UTC instant such as 2026-11-01T09:00:00Z is needed, not 'yes",
        ),
        (
            "examples.3.company.keys.0.created_at",
            "9999-12-31T23:59:59Z",
            "examples[3].company.keys[0].created_at: an instant from 1900 to 2999 is needed, not 9999-12-31T23:59:59Z.",
        ),
        ("examples.3.period", "9999-12", "examples[3].period: a month such as 2026-11 is needed, not '9999-12'."),
        (
            "examples.3.company.keys.1.id",
            "K1",
            "examples[3].company.keys[1].id: there is another key 'K1'; each has an id of its own.",
        ),
        ("examples.3.company", None, "examples[3].company: an object with named values is needed."),
        ("examples.3", "E04", "examples[3]: an object with named values is needed."),
        ("examples", {}, "examples: a list is needed."),
        (
            "default_policy.overuse_mode",
            "ask",
            "default_policy.overuse_mode: one of review, auto, off is needed, not 'ask'.",
        ),
        (
            "default_policy.rotation_grace_days",
            10**12,
            "default_policy.rotation_grace_days: a whole number of at most 36500 is needed.",
        ),
        ("price_lists.2.items.extra_key.price", 10**400, "price_lists[2].items.extra_key.price: '1000000000"),
        (
            "price_lists.1.version",
            1,
            "price_lists[1].version: version 1 of API in NOK is there already.",
        ),
        (
            "examples.0.company.licences.0.count",
            1.5,
            "examples[0].company.licences[0].count: a whole number of 0 or more is needed, not 1.5.",
        ),
        (
            "examples.0.company.licences.0.count",
            10**18 + 1,
            "examples[0].company.licences[0].count: a whole number of at most 1000000000000000000 is needed.",
        ),
        (
            "examples.0.company.price_list",
            "OTHER",
            "examples[0]: No price list OTHER in NOK is in force for 2026-11; publish one with `keydesk prices publis",
        ),
        ("prices", [], "prices: this name is not known here; known are about, default_policy, price_lists, examples."),
    ],
)
def test_the_path_of_the_wrong_value_is_named(asked: Asked, path: str, value: object, complaint: str) -> None:
    assert asked.complaint(_with(path, value)).startswith(complaint)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"", "it is not JSON from line 1, column 1 on: Expecting value."),
        (b'{"id": "E01",\n "period": }', "it is not JSON from line 2, column 12 on: Expecting value."),
        (b'{"id": "\xff"}', "it is not UTF-8 from byte 9 on."),
        (b'{"id": NaN}', "NaN is not a number of JSON; correct it."),
        (b'{"period": "2026-11", "period": "2026-12"}', "an object has the name “period” twice; keep one."),
        (b"[" * 100_000, "it holds a number or a nesting that is too large; correct it."),
        (b'{"as_of": 1' + b"0" * 5000 + b"}", "it holds a number or a nesting that is too large; correct it."),
        (b"7", "The file: an object with named values is needed."),
    ],
    ids=range(8),
)
def test_what_is_no_file_of_facts_is_told_in_one_sentence(asked: Asked, raw: bytes, complaint: str) -> None:
    assert asked.complaint(raw) == complaint


def test_a_file_that_cannot_be_read_is_named(home: Home) -> None:
    missing = home.keydesk("invoice", "rate", "--facts", "nowhere.json", "--json")

    assert (missing.status, missing.out) == (1, "")
    assert missing.err == "keydesk: nowhere.json: it cannot be read: No such file or directory.\n"


def _example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in CASES["examples"] if each["id"] == name)
    return found


def _with(path: str, value: object) -> dict[str, Any]:
    changed: dict[str, Any] = copy.deepcopy(CASES)
    *parents, last = (int(step) if step.isdigit() else step for step in path.split("."))
    inner: Any = changed
    for step in parents:
        inner = inner[step]
    inner[last] = value
    return changed


def _places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [before, *(place for name, each in inner for place in _places(each, (*before, name)))]


_RICH = [_example(name) for name in ("E05", "E07", "E11", "E12", "E13", "E16", "E17", "E18", "E21", "E23")]
_DOCUMENT = {**CASES, "examples": _RICH}
_HOSTILE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([10**30, -1, 0, "", "0", "1", "-1", "1e9", "K1"]),
    st.just("\ud800"),
    st.sampled_from(["1900-01-01T00:00:00Z", "2999-12-31T23:59:59Z", "2999-12-31", "1900-01-01", "1900-01", "2999-12"]),
    st.sampled_from(["Pacific/Apia", "Pacific/Kiritimati", "ISK", "EUR", "credit_and_rebill", "flat_by_tier"]),
    st.text(max_size=8), st.just([]), st.just({}), st.just([{}]),
)  # fmt: skip


@given(place=st.sampled_from(_places(_DOCUMENT)), value=_HOSTILE)
def test_whatever_stands_anywhere_in_the_file_the_answer_is_an_answer_or_a_sentence(
    place: tuple[Any, ...], value: object
) -> None:
    document: Any = copy.deepcopy(_DOCUMENT)
    if place:
        inner = document
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = value
    else:
        document = value

    with suppress(FormatWrong, Refused):
        assert json.loads(json.dumps([answer for _, answer in answers(document)])) != [None]
