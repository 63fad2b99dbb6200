"""Which companies does a monthly run take, and how many of them at once?"""

from datetime import UTC, datetime

import pytest
from cast import company

from store import months_owed
from store.tables import Company, InvoiceMonth

END_OF_NOVEMBER = int(datetime(2026, 11, 30, 23, tzinfo=UTC).timestamp())
FIRST_OF_DECEMBER = datetime(2026, 12, 1, 2, tzinfo=UTC)


@pytest.fixture
def companies(empty_store: str, monkeypatch: pytest.MonkeyPatch) -> list[Company]:
    monkeypatch.setattr(months_owed, "TOGETHER", 3)
    return [company(f"c{number}", f"Company {number}") for number in range(8)]


def chunks(job: str) -> list[list[int]]:
    return list(months_owed.chunks(job, "Europe/Oslo", "2026-11", END_OF_NOVEMBER))


def month(of: Company, state: str, rated_at: datetime = FIRST_OF_DECEMBER) -> None:
    InvoiceMonth.create(company=of, month="2026-11", state=state, currency="NOK", rated_at=rated_at)


def test_companies_without_a_draft_are_taken_by_age_some_at_once(companies: list[Company]) -> None:
    ids = [each.id for each in companies]

    assert chunks("invoice-lines") == [ids[:3], ids[3:6], ids[6:]]


def test_those_that_are_drafted_or_final_are_passed_over_and_the_others_are_still_taken_together(
    companies: list[Company],
) -> None:
    for number, state in ((0, "final"), (1, "draft"), (3, "parked"), (4, "held"), (5, "draft"), (6, "final")):
        month(companies[number], state)

    # 2 and 7 have no month, 3 waits parked.
    assert chunks("invoice-lines") == [[companies[2].id, companies[3].id, companies[7].id]]


def test_what_is_made_final_is_drafted_parked_or_held(companies: list[Company]) -> None:
    for number, state in ((0, "final"), (1, "draft"), (3, "parked"), (4, "held"), (5, "draft"), (6, "final")):
        month(companies[number], state)

    assert chunks("invoice-final") == [
        [companies[1].id, companies[3].id, companies[4].id],
        [companies[5].id],
    ]


def test_a_company_of_another_zone_or_that_came_after_the_month_is_not_taken(companies: list[Company]) -> None:
    Company.update(time_zone="Europe/Helsinki").where(Company.id == companies[0].id).execute()
    Company.update(created_at=FIRST_OF_DECEMBER).where(Company.id == companies[1].id).execute()

    assert [company_id for ids in chunks("invoice-lines") for company_id in ids] == [each.id for each in companies[2:]]
