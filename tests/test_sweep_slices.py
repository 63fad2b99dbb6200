"""What becomes of a night's notices when a worker is stopped, overtaken or paused in the middle of them?"""

from datetime import UTC, datetime, timedelta

import pytest
from cast import NOON, OLAV, arrive, company, enable, user
from warned import DAYS, OSLO, TODAY, expiring_in, queue_of_notices, sweep, written

from jobs.expiry_notices import sweep as sweep_of_run
from store import notices, run_decisions, runs
from store.database import run_sql
from store.fields import canonical
from store.runs import LeaseLost, Planned, RunRow
from store.tables import Email, Run

MIDNIGHT = datetime(2026, 11, 22, 23, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


@pytest.fixture(autouse=True)
def _a_company_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_SLICE", 1)


def three_companies() -> list[str]:
    """Each owes its one user two notices, as they are told of a tighter threshold that covers a wider one."""
    people = arrive()
    enable(people.nordlys, people.ase)
    expiring_in(3, people.ase)
    for name in ("east", "west"):
        made = company(name, name.title())
        ann = user(made, "ann", "Ann")
        enable(made, ann)
        expiring_in(3, ann)
    return ["ase@nordlys.example", "ann@east.example", "ann@west.example"]


def claimed(owner: str, now: datetime = NOON) -> RunRow:
    runs.plan([Planned("expiry-notices", OSLO, "2026-11-23", "due", MIDNIGHT, {"start": 1, "end": 2})], now)
    run = runs.claim(owner, ["expiry-notices"], now)
    assert run is not None
    return run


def told() -> list[str]:
    return [recipient for _, recipient, _ in queue_of_notices()]


def test_what_was_swept_stays_when_the_worker_dies_and_another_goes_on_after_it(empty_store: str) -> None:
    everybody = three_companies()
    slices = sweep_of_run(claimed("one"), NOON)
    next(slices), next(slices)

    second = claimed("two", LATER)
    rest = list(sweep_of_run(second, LATER))
    runs.finish(second, second.rows_before + sum(rest), LATER)

    assert told() == everybody
    assert (rest, len(written())) == ([2], 6)
    done = runs.get(second.id)
    assert (done.state, done.rows, done.cursor) == ("done", 6, None)


def test_a_worker_that_was_paused_past_its_lease_writes_nothing_more(empty_store: str) -> None:
    everybody = three_companies()
    paused = sweep_of_run(claimed("one"), NOON)
    next(paused)
    claimed("two", LATER)

    with pytest.raises(LeaseLost):
        next(paused)

    assert told() == everybody[:1]


def test_a_run_that_a_person_wants_again_begins_with_the_first_company(empty_store: str) -> None:
    three_companies()
    run = claimed("one")
    next(sweep_of_run(run, NOON))
    runs.fail(run, "the disk is full", NOON)

    run_decisions.run_now(OLAV, run.id, NOON)

    assert Run.get_by_id(run.id).cursor is None


def test_what_somebody_else_swept_meanwhile_is_not_owed_twice(empty_store: str) -> None:
    everybody = three_companies()
    slices = notices.sweep_in_slices(OSLO, TODAY, NOON, DAYS)
    next(slices)

    meanwhile = sweep()
    rest = list(slices)

    assert (meanwhile, rest) == (4, [0, 0])
    assert told() == everybody
    assert Email.select().where(Email.dedupe_key.endswith(":2")).count() == 0


def test_what_a_mail_says_is_stored_as_any_other_json(empty_store: str) -> None:
    three_companies()

    sweep()

    for text, context in [(row[0], Email.get_by_id(row[1]).context) for row in run_sql(_CONTEXTS).fetchall()]:
        assert text == canonical(context)


_CONTEXTS = "SELECT context, id FROM email WHERE kind = 'key_expiring'"


def test_a_company_whose_keys_are_many_gets_one_mail_all_the_same(empty_store: str) -> None:
    people = arrive()
    enable(people.nordlys, people.ase)
    for number in range(4):
        expiring_in(3, people.ase, label=f"key {number}")

    sweep()

    assert queue_of_notices() == [
        ("key_expiring", "ase@nordlys.example", ["key 0", "key 1", "key 2", "key 3"]),
    ]
