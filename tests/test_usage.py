"""What does taking in usage write, and is anything ever counted twice?"""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any
from zoneinfo import ZoneInfo

import cast
import pytest
from hypothesis import given
from hypothesis import strategies as st
from told_usage import HANDLE, HEADER, NOON, OLAV, ZONES, days, file, key_of, take

from store import events, prices, usage, usage_keys, usage_rollup
from store.database import run_sql
from store.errors import Refused
from store.tables import Company, Event, Key, UsageBatch, UsageDay
from store.usage import DayUse, Included
from store.usage_files import Fields, UsageFile
from store.usage_rollup import LocalDays


@pytest.fixture
def who(empty_store: str) -> cast.Cast:
    who = cast.arrive()
    cast.enable(who.nordlys, who.ase)
    cast.enable(who.sydlys, who.dorte)
    return who


# What is written


def test_rows_are_added_up_by_key_local_day_and_environment(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)
    key_of(who.ase, "key_00000000000000a2", environment="sandbox")

    batch = take(
        HEADER
        + f"{HANDLE},2026-11-21T22:59:59Z,2,10,200\n"  # the last second of the 21st in Oslo
        + f"{HANDLE},2026-11-21T23:00:00Z,3,20,404\n"
        + f"{HANDLE},2026-11-22T22:00:00Z,4,30,\n"
        + f"{HANDLE},2026-11-22T22:00:00Z,9,90,429\n"
        + f"{HANDLE},2026-11-22T22:00:00Z,9,90,503\n"
        + "key_00000000000000a2,2026-11-22T22:00:00Z,5,40,200\n",
        source="gw-1",
        batch="night 22",
    )[0]

    assert days() == [
        (HANDLE, "2026-11-21", "prod", 2, 10),
        (HANDLE, "2026-11-22", "prod", 7, 50),
        ("key_00000000000000a2", "2026-11-22", "sandbox", 5, 40),
    ]
    stored = UsageBatch.get()
    assert (stored.source, stored.batch, stored.received_at) == ("gw-1", "night 22", NOON)
    assert (stored.rows, stored.rejected) == (6, 0)
    assert (stored.first_day, stored.last_day) == (date(2026, 11, 21), date(2026, 11, 22))
    assert batch.sentence() == (
        "a.csv: 6 rows, 2026-11-21 to 2026-11-22: 14 requests and 100 bytes count; "
        "2 rows answered with 429 or 5xx do not."
    )
    event = Event.select().order_by(Event.seq.desc()).first()
    assert (event.act, event.subject, event.actor, event.after) == (
        "usage.import",
        "usage gw-1/night 22",
        "olav",
        {
            "rows": 6,
            "refused": 0,
            "requests": 14,
            "bytes": 100,
            "days": ["2026-11-21", "2026-11-22"],
            "sha256": stored.sha256,
        },
    )
    assert events.verify().fault is None


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("Europe/Oslo", "2026-10-24T21:59:59Z", "2026-10-24"),
        ("Europe/Oslo", "2026-10-24T22:00:00Z", "2026-10-25"),
        ("Europe/Oslo", "2026-10-25T22:59:59Z", "2026-10-25"),  # a day of 25 hours
        ("Europe/Oslo", "2026-10-25T23:00:00Z", "2026-10-26"),
        ("Asia/Kathmandu", "2026-11-10T18:14:59Z", "2026-11-10"),  # 5:45 ahead
        ("Asia/Kathmandu", "2026-11-10T18:15:00Z", "2026-11-11"),
        ("Pacific/Kiritimati", "2026-11-10T10:00:00Z", "2026-11-11"),
        ("America/Havana", "2026-11-01T04:59:59Z", "2026-11-01"),  # 00:59:59, and then the clock shows 00:00 again
        ("America/Havana", "2026-11-01T03:59:59Z", "2026-10-31"),
    ],
)
def test_a_day_is_that_of_the_zone(zone: str, at: str, day: str) -> None:
    days = LocalDays()
    instant = int(datetime.fromisoformat(at).timestamp())
    for before in (instant - 1, instant + 1, instant):  # what was asked before changes no answer
        found = days.ordinal(before, zone)

    assert date.fromordinal(found).isoformat() == day


@given(st.integers(946_684_800, 4_102_444_800), st.sampled_from(ZONES))
def test_a_day_is_the_one_on_the_wall_in_every_zone(at: int, zone: str) -> None:
    days = LocalDays()

    for near in (at, at - at % 900, at - at % 900 + 899, at):
        assert days.ordinal(near, zone) == datetime.fromtimestamp(near, ZoneInfo(zone)).date().toordinal()


def test_a_day_is_the_companys_own(who: cast.Cast) -> None:
    Company.update(time_zone="Asia/Kathmandu").where(Company.id == who.sydlys.id).execute()
    key_of(who.ase, HANDLE)
    key_of(who.dorte, "key_00000000000000b1", "kdp_Cd34…0000")

    take(HEADER + f"{HANDLE},2026-11-10T18:15:00Z,1,0,200\nkey_00000000000000b1,2026-11-10T18:15:00Z,1,0,200\n")

    assert days() == [
        (HANDLE, "2026-11-10", "prod", 1, 0),
        ("key_00000000000000b1", "2026-11-11", "prod", 1, 0),
    ]


def test_the_environment_is_the_rows_or_else_the_files_or_else_the_keys(who: cast.Cast) -> None:
    cases: list[tuple[Any, str, str | None, str]] = [
        ("prod", "", None, "prod"),
        ("sandbox", "", None, "sandbox"),
        ("all", "", None, "prod"),
        ("all", "", "sandbox", "sandbox"),
        ("all", "sandbox", None, "sandbox"),
        ("all", "prod", "sandbox", "prod"),
        ("prod", "prod", "sandbox", "prod"),
    ]
    for number, (of_key, of_row, asked, _) in enumerate(cases):
        key_of(who.ase, f"key_{number:016x}", environment=of_key)
        take(f"key,at,environment\nkey_{number:016x},2026-11-23T11:00:00Z,{of_row}\n", environment=asked)

    assert [environment for _, _, environment, _, _ in days()] == [counted for *_, counted in cases]


def test_rows_of_several_companies_are_told_apart_and_keys_may_be_named_as_they_are_shown(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE, "kdp_Ab12…9zYx")
    key_of(who.dorte, "key_00000000000000b1", "kdp_Cd34…0000")
    at = "2026-11-23T11:00:00Z,1,0,200\n"

    take(HEADER + f"kdp_Ab12…9zYx,{at}kdp_Ab12...9zYx,{at}kdp_Ab12,{at}{HANDLE},{at}kdp_Cd34...0000,{at}")

    assert sorted((row.company.external_id, row.key.handle, row.requests) for row in UsageDay.select()) == [
        ("nordlys", HANDLE, 4),
        ("sydlys", "key_00000000000000b1", 1),
    ]


def test_usage_of_a_key_that_has_ended_meanwhile_is_taken(who: cast.Cast) -> None:
    key = key_of(who.ase, HANDLE)
    Key.update(revoked_at=NOON).where(Key.id == key.id).execute()

    take(HEADER + f"{HANDLE},2026-11-23T11:00:00Z,1,0,200\n", now=NOON + timedelta(days=40))

    assert days() == [(HANDLE, "2026-11-23", "prod", 1, 0)]
    assert UsageBatch.get().received_at == NOON + timedelta(days=40)


# Never twice


def test_the_same_text_from_the_same_source_counts_once(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)
    text = HEADER + f"{HANDLE},2026-11-23T11:00:00Z,1,0,200\n"
    take(text)

    again = take(text, HEADER + f"{HANDLE},2026-11-23T11:00:00Z,2,0,200\n", now=NOON + timedelta(hours=1))

    assert [batch.sentence() for batch in again] == [
        "a.csv: was taken already, 2026-11-23 12:00 UTC; nothing was changed.",
        "b.csv: 1 row, 2026-11-23: 2 requests and 0 bytes count.",
    ]
    assert [requests for *_, requests, _ in days()] == [1, 2]


def test_the_same_text_twice_in_one_call_counts_once(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)
    text = HEADER + f"{HANDLE},2026-11-23T11:00:00Z,1,0,200\n"

    assert [batch.before for batch in take(text, text)] == [None, NOON]
    assert len(days()) == 1


def test_the_same_text_from_another_source_is_refused_unless_it_is_named_as_a_batch_of_its_own(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)
    text = HEADER + f"{HANDLE},2026-11-23T11:00:00Z,1,0,200\n"
    take(text, source="gw-1")

    with pytest.raises(Refused, match=r"^a\.csv was taken already, from the source “gw-1”; nothing was taken\."):
        take(text, source="gw-2")
    take(text, source="gw-2", batch="mine")

    assert len(days()) == 2


def test_of_two_who_take_the_same_at_once_one_does(who: cast.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    key_of(who.ase, HANDLE)
    text = HEADER + f"{HANDLE},2026-11-23T11:00:00Z,1,0,200\n"
    both_have_read = Barrier(2, timeout=30)
    check = usage._check

    def checked(*given: Any, **named: Any) -> None:
        check(*given, **named)
        both_have_read.wait()

    monkeypatch.setattr(usage, "_check", checked)
    with ThreadPoolExecutor(2) as two:
        taken = [future.result()[0] for future in [two.submit(take, text), two.submit(take, text)]]

    assert sorted(str(batch.before) for batch in taken) == ["2026-11-23 12:00:00+00:00", "None"]
    assert days() == [(HANDLE, "2026-11-23", "prod", 1, 0)]


def test_several_files_with_one_name_are_one_batch(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)
    row = f"{HANDLE},2026-11-23T11:00:00Z,1,0,200\n"

    taken = take(HEADER + row, HEADER + row * 2, batch="monday")
    again = take(HEADER + row * 2, HEADER + row, batch="monday")

    assert [batch.sentence() for batch in taken] == ["a.csv, b.csv: 3 rows, 2026-11-23: 3 requests and 0 bytes count."]
    assert again[0].before == NOON
    assert days() == [(HANDLE, "2026-11-23", "prod", 3, 0)]


def test_something_else_under_the_name_of_a_batch_is_refused_and_so_is_the_batch_without_its_name(
    who: cast.Cast,
) -> None:
    key_of(who.ase, HANDLE)
    row = f"{HANDLE},2026-11-23T11:00:00Z,1,0,200\n"
    (taken,) = take(HEADER + row, batch="monday")
    (event,) = Event.select().where(Event.act == "usage.import")
    assert event.after["sha256"] == taken.sha256

    for dry_run in (False, True):
        with pytest.raises(Refused) as refused:
            take(HEADER + row * 9, batch="monday", dry_run=dry_run)
        assert str(refused.value) == (
            "a.csv is not what was taken as the batch “monday” of “default” on 2026-11-23 12:00 UTC; nothing was "
            "taken. Give what is new another --batch."
        )
    with pytest.raises(
        Refused, match=r"^a\.csv was taken already, as the batch “monday” of “default”; nothing was taken"
    ):
        take(HEADER + row)

    assert days() == [(HANDLE, "2026-11-23", "prod", 1, 0)]


def test_one_file_that_cannot_be_read_and_nothing_of_any_is_taken(who: cast.Cast, tmp_path: Path) -> None:
    key_of(who.ase, HANDLE)
    good = file(HEADER + f"{HANDLE},2026-11-23T11:00:00Z,1,0,200\n")

    with pytest.raises(FileNotFoundError):
        usage.take(OLAV, [good, UsageFile("x", tmp_path / "x")], NOON)

    assert (UsageBatch.select().count(), days()) == (0, [])


def test_interrupted_while_it_writes_nothing_is_taken(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)

    def interrupted(what: str, _done: int, _total: int) -> None:
        if what.startswith("writing"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        usage.take(OLAV, [file(HEADER + f"{HANDLE},2026-11-23T11:00:00Z,,,\n")], NOON, progress=interrupted)

    assert (UsageBatch.select().count(), days()) == (0, [])


def test_a_dry_run_says_what_would_be_taken_and_changes_nothing(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)
    text = HEADER + f"{HANDLE},2026-11-23T11:00:00Z,1,0,200\n"

    assert [(batch.rows, batch.before) for batch in take(text, dry_run=True)] == [(1, None)]
    assert days() == []
    take(text)
    assert [batch.before for batch in take(text, dry_run=True)] == [NOON]


def test_a_file_without_rows_is_nothing_and_leaves_nothing(who: cast.Cast) -> None:
    assert [batch.sentence() for batch in take(HEADER, "")] == [
        "a.csv: 0 rows: 0 requests and 0 bytes count.",
        "b.csv: 0 rows: 0 requests and 0 bytes count.",
    ]
    assert UsageBatch.select().count() == 0


def test_lines_without_a_key_are_counted_and_charged_to_nobody(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)
    log = f'{{"key":"","msec":1.5}}\n{{"key":"{HANDLE}","msec":1795435200}}\n'

    assert [batch.sentence() for batch in take(log)] == [
        "a.csv: 1 row, 2026-11-23: 1 requests and 0 bytes count; 1 row without a key."
    ]


# Large files


def test_what_does_not_fit_in_memory_adds_up_to_the_same(who: cast.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [key_of(who.ase, f"key_{number:016x}", f"kdp_{number:04d}…0000") for number in range(7)]
    monkeypatch.setattr(usage, "_CHUNK", 5)
    monkeypatch.setattr(usage_rollup, "_MOST_SUMS", 3)
    monkeypatch.setattr(usage_rollup, "_PAGE", 2)
    monkeypatch.setattr(usage_rollup, "_MOST_STEPS", 2)
    monkeypatch.setattr(usage_keys, "_MOST_KEPT", 2)
    monkeypatch.setattr(usage_keys, "_PAGE", 3)
    monkeypatch.setattr(usage_keys, "_SLICE", 2)
    rows = [
        f"{key.handle if number % 2 else key.first},2026-11-{1 + (number * 7) % 20:02d}T12:00:00Z,1,{number},200\n"
        for number, key in enumerate(keys * 30)
    ]

    take(HEADER + "".join(rows))

    wanted: dict[tuple[str, str], tuple[int, int]] = {}
    for number, key in enumerate(keys * 30):
        place = (key.handle, f"2026-11-{1 + (number * 7) % 20:02d}")
        requests, size = wanted.get(place, (0, 0))
        wanted[place] = (requests + 1, size + number)
    assert {(handle, day): (requests, size) for handle, day, _, requests, size in days()} == wanted
    assert len(days()) == len(wanted)


def test_the_progress_is_told_in_bytes_of_the_file(who: cast.Cast, tmp_path: Path) -> None:
    key_of(who.ase, HANDLE)
    path = tmp_path / "u.csv"
    path.write_text(HEADER + f"{HANDLE},2026-11-23T11:00:00Z,1,0,200\n" * 4000, encoding="utf-8")
    told: list[tuple[str, int, int]] = []

    usage.take(OLAV, [UsageFile("u.csv", path)], NOON, progress=lambda *step: told.append(step))

    size = path.stat().st_size
    assert [what for what, *_ in told] == [
        "reading u.csv, line 2,001",
        "reading u.csv, line 4,001",
        "writing 1 days of keys",
    ]
    assert [0 < done <= total == size for _, done, total in told[:2]] == [True, True]


# What was used


def test_usage_is_told_by_day_with_zeros_where_there_is_none(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)
    key_of(who.ase, "key_00000000000000a2", "kdp_zzzz…0000")
    key_of(who.ase, "key_00000000000000a3", "kdp_yyyy…0000", environment="sandbox")
    key_of(who.dorte, "key_00000000000000b1", "kdp_xxxx…0000")
    for handle in (HANDLE, "key_00000000000000a2", "key_00000000000000a3", "key_00000000000000b1"):
        take(HEADER + f"{handle},2026-11-20T11:00:00Z,3,5,200\n{handle},2026-11-22T11:00:00Z,4,6,200\n")

    assert usage.by_day(who.nordlys.id, date(2026, 11, 20), date(2026, 11, 22)) == [
        DayUse(date(2026, 11, 20), 6, 10),
        DayUse(date(2026, 11, 21), 0, 0),
        DayUse(date(2026, 11, 22), 8, 12),
    ]
    assert usage.by_day(who.nordlys.id, date(2026, 11, 20), date(2026, 11, 20), "sandbox") == [
        DayUse(date(2026, 11, 20), 3, 5)
    ]


def test_what_is_included_is_what_rating_says(who: cast.Cast) -> None:
    overuse = {"included_base": 1000, "included_per_user": 100, "block": 500, "price": "10.00"}
    items = {"access": {"model": "per_unit", "price": "25.00"}, "extra_key": {"price": "49.00"}}
    table = {"code": "API", "currency": "NOK", "version": 1, "effective_from": "2026-01-01"}
    prices.publish(OLAV, {"price_list": [{**table, "items": {**items, "overuse_requests": overuse}}]}, NOON)

    assert usage.included(who.nordlys.id, "2026-11", NOON) == Included(2200, None)  # twelve licensed users


def test_the_fields_of_a_log_may_have_other_names(who: cast.Cast) -> None:
    key_of(who.ase, HANDLE)

    take(f'{{"k":"{HANDLE}","t":"2026-11-23T11:00:00Z"}}\n', fields=Fields.of(["key=k", "at=t"]))

    assert days() == [(HANDLE, "2026-11-23", "prod", 1, 0)]
    assert run_sql("SELECT count(*) FROM usage_batch").fetchone()[0] == 1
