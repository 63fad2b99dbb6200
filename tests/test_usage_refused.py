"""What does taking in usage refuse, and what becomes of the rest?"""

from io import StringIO

import cast
import pytest
from told_usage import HANDLE, HEADER, NOON, OLAV, days, file, key_of, refused, take

from store import usage
from store.actors import Actor
from store.errors import FormatWrong, NotAllowed, Refused
from store.tables import UsageBatch
from store.usage import Refusals


@pytest.fixture
def who(empty_store: str) -> cast.Cast:
    who = cast.arrive()
    cast.enable(who.nordlys, who.ase)
    cast.enable(who.sydlys, who.dorte)
    return who


# What is refused


def test_each_row_that_cannot_be_is_told_and_the_others_are_taken(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)
    key_of(who.ase, "key_00000000000000a2", "kdp_Ab12…0000")

    told = refused(
        "key_0000000000000000,2026-11-23T11:00:00Z,1,0,200\n"
        f"{HANDLE},2026-11-23T12:00:01Z,1,0,200\n"
        f"{HANDLE},2026-10-31T23:59:59Z,1,0,200\n"
        f"{HANDLE},2026-11-23T11:00:00Z,-1,0,200\n"
        "kdp_Ab12,2026-11-23T11:00:00Z,1,0,200\n"
        "kdp_Ab12…zzzz,2026-11-23T11:00:00Z,1,0,200\n"
        "kari's key\x1b[2J,2026-11-23T11:00:00Z,1,0,200\n"
        f"kdp_{'Ab12' * 9}000000,2026-11-23T11:00:00Z,1,0,200\n"
        f"ops_{'Ab12' * 9}000000,2026-11-23T11:00:00Z,1,0,200\n"
        f"{HANDLE},2026-11-23T12:00:00Z,1,0,200\n"
        f"{HANDLE},2026-11-01T00:00:00Z,1,0,200"
    )

    clean = "Rotate that key, clean the log, and let the gateway log its handle."
    assert told == [
        "u.csv:2: key: there is no key key_0000000000000000.",
        "u.csv:3: at: 2026-11-23T12:00:01Z is in the future; look at the gateway's clock and at this machine's.",
        "u.csv:4: at: at 2026-10-31T23:59:59Z this key was not there yet; it was made at 2026-11-01T00:00:00Z.",
        "u.csv:5: requests: “-1” is negative.",
        "u.csv:6: key: more than one key is shown as kdp_Ab12; have the gateway log the handle.",
        "u.csv:7: key: there is no key that is shown as kdp_Ab12…zzzz.",
        "u.csv:8: key: “kari's key‹001B›[2J” is neither a handle (key_…) nor a key as it is shown (kdp_Ab12…9zYx).",
        f"u.csv:9: an API key stands in this line (kdp_…[key removed]): a leak. {clean}",
        "u.csv:10: key: “ops_…[key removed]” is neither a handle (key_…) nor a key as it is shown (kdp_Ab12…9zYx).",
    ]
    assert [(row.rows, row.rejected) for row in UsageBatch.select()] == [(3, 9)]
    assert days() == [(HANDLE, "2026-11-01", "prod", 1, 0), (HANDLE, "2026-11-23", "prod", 2, 0)]


def test_a_row_that_contradicts_its_key_is_refused(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)
    key_of(who.ase, "key_00000000000000a2", environment="sandbox")

    told = refused("key_00000000000000a2,2026-11-23T11:00:00Z,1,0,200", environment="prod")

    assert told == ["u.csv:2: environment: the key is for sandbox, and this row is said to be of prod."]


def test_strictly_one_wrong_row_and_nothing_is_taken(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)
    good = HEADER + f"{HANDLE},2026-11-23T11:00:00Z,1,0,200\n"

    with pytest.raises(Refused) as nothing:
        take(good, HEADER + "k,1,1,0,200\n", strict=True)

    assert str(nothing.value) == (
        "Nothing was taken: 1 refused of 2 rows. Correct and import again.\n"
        "b.csv:2: key: “k” is neither a handle (key_…) nor a key as it is shown (kdp_Ab12…9zYx)."
    )
    assert (UsageBatch.select().count(), days()) == (0, [])
    assert [batch.rows for batch in take(good, strict=True)] == [1]


def test_a_file_of_which_no_row_is_sound_is_not_taken_and_may_come_again(who: cast.Cast) -> None:
    text = HEADER + f"{HANDLE},2026-11-23T11:00:00Z,1,0,200\n"
    with pytest.raises(Refused, match=r"^Nothing was taken: 1 refused of 1 row\. "):
        take(text)
    key_of(who.ase, HANDLE)

    take(text)

    assert days() == [(HANDLE, "2026-11-23", "prod", 1, 0)]


def test_all_refusals_are_written_where_asked_and_the_first_twenty_told(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)
    out = StringIO()
    refusals = Refusals(out)

    usage.take(OLAV, [file(HEADER + ",,,,\n" * 30 + f"{HANDLE},2026-11-23T11:00:00Z,,,\n")], NOON, refusals=refusals)

    assert (refusals.count, len(refusals.first), len(out.getvalue().splitlines())) == (30, 20, 30)
    assert refusals.told().splitlines()[-1] == "… and 10 more."


def test_sums_that_no_column_can_hold_are_refused(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)

    with pytest.raises(Refused, match=r"^a\.csv adds up to more than can be kept"):
        take(HEADER + f"{HANDLE},2026-11-23T11:00:00Z,1,1000000000000000,200\n" * 4001)

    assert days() == []


@pytest.mark.parametrize("role", ["company-admin", "auditor"])
def test_only_an_operator_may_take_usage(who: cast.Cast, role: str) -> None:
    with pytest.raises(NotAllowed):
        take("nonsense", actor=Actor("kari", role, "test"))


def test_a_key_as_the_name_of_a_source_or_batch_is_refused(who: cast.Cast) -> None:
    key = f"kdp_{'Ab12' * 9}000000"
    for named in ({"source": key}, {"batch": key}):
        with pytest.raises(FormatWrong, match=r"holds a key; name the (source|batch) in another way\.$"):
            take("nonsense", **named)
