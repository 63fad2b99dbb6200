"""What is said when a file of facts to be rated is wrong?"""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from store.errors import FormatWrong
from store.rules.rating import Policy
from store.rules.rating_file import rating_file_from_mapping

CASES = json.loads((Path(__file__).parent / "billing" / "examples.json").read_text(encoding="utf-8"))
(E17,) = (each for each in CASES["examples"] if each["id"] == "E17")


def test_a_policy_that_is_not_given_is_the_products_in_which_overuse_waits_for_approval() -> None:
    assert rating_file_from_mapping(E17).policy == Policy(
        licensed_users_rule="peak",
        rotation_grace_days=7,
        free_test_keys_per_resource=3,
        test_key_window="lifetime",
        test_overflow_cadence="once",
        access_proration="none",
        overuse_mode="review",
        usage_environments=("prod",),
        late_usage_days=35,
    )


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("period", "2026-13", "period: "),
        ("as_of", "2026-11-15", "as_of: a UTC instant such as 2026-11-01T09:00:00Z is needed, not '2026-11-15'."),
        ("policy", {"overuse_mode": "ask"}, "policy.overuse_mode: one of review, auto, off is needed, not 'ask'."),
        ("policy", {"usage_envs": ["live"]}, "policy.usage_envs: a list of prod, sandbox is needed, not ['live']."),
        ("policy", {"grace": 1}, "policy.grace: this name is not known here; known are licensed_users_rule,"),
        ("policy", {"rotation_grace_days": -1}, "policy.rotation_grace_days: a whole number of 0 or more is needed"),
        ("price_lists", [{"code": "API"}], "price_lists[0].currency: it is missing."),
        ("company.tz", "Mars/Olympus", "company.tz: "),
        ("company.id", True, "company.id: an id is needed, not True."),
        ("company.vat.rate", "101", "company.vat.rate: a percentage from 0 to 100 is needed, not 101."),
        ("company.access.0.from", "soon", "company.access[0].from: a date such as 2026-11-01 is needed, not 'soon'."),
        ("company.access_invoiced_elsewhere", "no", "company.access_invoiced_elsewhere: true or false is needed"),
        ("company.licences.0.count", 1.5, "company.licences[0].count: a whole number of 0 or more is needed, not 1.5."),
        ("company.licences.0.at", "2026-01-01T00:00:00+01:00", "company.licences[0].at: a UTC instant such as"),
        ("company.keys.0.kind", "trial", "company.keys[0].kind: one of standard, test is needed, not 'trial'."),
        ("company.keys.0.created_at", "2026-02-30T00:00:00Z", "company.keys[0].created_at: a UTC instant such as"),
        ("company.usage.1.requests", -1, "company.usage[1].requests: a whole number of 0 or more is needed, not -1."),
        ("company.contract_terms", [{"line": "vat"}], "company.contract_terms[0].kind: it is missing."),
        (
            "company.contract_terms",
            [{"line": "extra_key", "kind": "included", "value": "1.5", "from": "2026-01-01"}],
            "company.contract_terms[0].value: a whole number is needed, not 1.5.",
        ),
        ("finalized.0.lines.1.net", "120.001", "finalized[0].lines[1].net: 120.001 has more decimals than NOK has"),
        ("finalized.0.lines.1.net_minor", 120, "finalized[0].lines[1].net_minor: it does not equal net"),
    ],
)
def test_the_path_of_the_wrong_value_is_named(path: str, value: Any, complaint: str) -> None:
    wrong = copy.deepcopy(E17)
    *parents, last = (int(step) if step.isdigit() else step for step in path.split("."))
    inner = wrong
    for step in parents:
        inner = inner[step]
    inner[last] = value

    with pytest.raises(FormatWrong) as refused:
        rating_file_from_mapping(wrong)

    assert str(refused.value).startswith(complaint)


def test_a_file_that_is_no_object_is_refused() -> None:
    with pytest.raises(FormatWrong, match=r"^The file: an object with named values is needed\.$"):
        rating_file_from_mapping([])  # type: ignore[arg-type]
