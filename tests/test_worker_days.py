"""Does the worker meet each company's nights and months, also after days away?"""

from datetime import UTC, datetime, timedelta

from cast import OLAV, company
from worker_log import Said
from worker_world import PRICES, START, populate

from jobs.json_log import JsonLog
from jobs.worker import Worker, simulate
from store import prices, runs
from store.tables import InvoiceMonth, RefreshMarker, Run

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_four_zones_have_their_nights_and_months_each_by_its_own_clock(empty_store: str) -> None:
    populate()
    told = Said()
    real = Worker(log=JsonLog(told, clock=lambda: NOON), version="0.1.0")

    simulate(real, datetime(2026, 11, 29, tzinfo=UTC), timedelta(days=7), timedelta(hours=2))

    assert told.named("run.failed") == []
    nights: dict[str, list[str]] = {}
    for row in RefreshMarker.select().order_by(RefreshMarker.night):
        nights.setdefault(row.company.external_id, []).append(f"{row.night:%m-%d}")
    until_the_fifth = ["11-28", "11-29", "11-30", "12-01", "12-02", "12-03", "12-04", "12-05"]
    assert nights == {
        "nordlys": until_the_fifth,
        "hraun": until_the_fifth,
        "hudson": until_the_fifth,
        "kauri": [*until_the_fifth[1:], "12-06"],  # in Auckland it is already tomorrow
    }
    months = sorted(
        (row.company.external_id, row.month, row.state)
        for row in InvoiceMonth.select().where(InvoiceMonth.month == "2026-11")
    )
    assert months == [
        ("hraun", "2026-11", "final"),
        ("hudson", "2026-11", "parked"),
        ("kauri", "2026-11", "final"),
        ("nordlys", "2026-11", "final"),
    ]
    assert InvoiceMonth.select().where(InvoiceMonth.month == "2026-12").count() == 0
    assert {row.state for row in Run.select()} <= {"done", "missed"}


def test_a_company_that_comes_to_a_zone_after_its_invoice_run_still_gets_its_month(empty_store: str) -> None:
    populate()
    real = Worker(log=JsonLog(Said(), clock=lambda: NOON), version="0.1.0")
    real.once(datetime(2026, 12, 1, 3, tzinfo=UTC))
    assert runs.listed(job="invoice-lines", states=("done",))

    late = company("late", "Late AS")  # in Oslo, there since January as the main system says
    real.once(datetime(2026, 12, 1, 4, tzinfo=UTC))
    real.once(datetime(2026, 12, 1, 4, 1, tzinfo=UTC))

    months = InvoiceMonth.select().where(InvoiceMonth.company == late).order_by(InvoiceMonth.month)
    assert [(row.month, row.state) for row in months] == [("2026-11", "draft")]


def test_a_parked_month_is_tried_again_the_next_day_when_its_price_list_is_there(empty_store: str) -> None:
    places = populate()
    hudson = places["hudson"].company
    real = Worker(log=JsonLog(Said(), clock=lambda: NOON), version="0.1.0")

    def state() -> str:
        return InvoiceMonth.get(InvoiceMonth.company == hudson, InvoiceMonth.month == "2026-11").state

    real.once(datetime(2026, 12, 1, 9, tzinfo=UTC))
    (list_in_euro,) = [table for table in PRICES["price_list"] if table["currency"] == "EUR"]
    prices.publish(OLAV, {"price_list": [{**list_in_euro, "currency": "USD"}]}, datetime(2026, 12, 1, 9, tzinfo=UTC))

    states = [state()]
    for hour in (3, 4):  # the first pass of the hour opens the runs again, the second runs them
        real.once(datetime(2026, 12, 2, hour, tzinfo=UTC))
        real.once(datetime(2026, 12, 2, hour, 1, tzinfo=UTC))
        states.append(state())

    assert states == ["parked", "parked", "draft"]


def test_ten_days_away_mark_the_last_night_only_and_record_the_others_as_missed(empty_store: str) -> None:
    populate()
    Worker(log=JsonLog(Said()), version="0.1.0").once(START)

    Worker(log=JsonLog(Said()), version="0.1.0").once(START + timedelta(days=10))

    oslo = Run.select().where(Run.job == "sandbox-refresh", Run.scope == "Europe/Oslo").order_by(Run.period)
    assert [row.state for row in oslo] == ["done", *["missed"] * 9, "done"]
