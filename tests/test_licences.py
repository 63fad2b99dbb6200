"""What does it take to change how many licensed users a company pays for, and what does that change?"""

from datetime import UTC, date, datetime, timedelta

import pytest
from desk_world import AUDITOR, KARI, LONG_AGO, NOW, company, enable, user

from store import invoice_preview, invoices, licences, prices
from store.errors import FormatWrong, NotAllowed, Refused
from store.tables import Company, Event, InvoiceMonth, Licence

TODAY = date(2026, 11, 23)
ITEMS = {"access": {"model": "per_unit", "price": "25.00"}, "extra_key": {"price": "49.00"}}


def fjord(number: int = 12) -> Company:
    made = company()
    enable(made, user(made))
    Licence.create(company=made, at=LONG_AGO, licences=number, recorded_at=LONG_AGO)
    table = {"code": "standard", "currency": "NOK", "version": 1, "effective_from": "2026-01-01", "items": ITEMS}
    prices.publish(KARI, {"price_list": [table]}, LONG_AGO)
    return made


def facts() -> list[tuple[datetime, int]]:
    return [(row.at, row.licences) for row in Licence.select().order_by(Licence.at)]


def test_a_number_of_today_holds_from_now_and_one_of_another_day_from_its_first_instant(empty_store: str) -> None:
    made = fjord()

    licences.set_licences(KARI, made.id, 15, TODAY, NOW)
    licences.set_licences(KARI, made.id, 20, date(2026, 12, 1), NOW)
    licences.set_licences(KARI, made.id, 11, date(2026, 11, 2), NOW)

    assert facts() == [
        (LONG_AGO, 12),
        (datetime(2026, 11, 1, 23, tzinfo=UTC), 11),
        (NOW, 15),
        (datetime(2026, 11, 30, 23, tzinfo=UTC), 20),
    ]
    told = [(row.subject, row.before, row.after) for row in Event.select().where(Event.act == "licence.set")]
    assert told == [
        ("licences from 2026-11-23", {"licences": 12}, {"licences": 15}),
        ("licences from 2026-12-01", {"licences": 15}, {"licences": 20}),
        ("licences from 2026-11-02", {"licences": 12}, {"licences": 11}),
    ]


def test_a_slip_is_put_right_the_same_day_and_costs_nothing(empty_store: str) -> None:
    made = fjord()
    licences.set_licences(KARI, made.id, 150, TODAY, NOW)

    licences.set_licences(KARI, made.id, 15, TODAY, NOW + timedelta(minutes=5))

    assert facts() == [(LONG_AGO, 12), (NOW, 15)]
    assert invoice_preview.forecast(made.id, NOW + timedelta(minutes=6)).net_minor == 15 * 2500


def test_what_it_changes_is_what_the_invoice_then_says(empty_store: str) -> None:
    made = fjord()

    said = invoice_preview.of_licences(made.id, 15, TODAY, NOW)
    licences.set_licences(KARI, made.id, 15, TODAY, NOW)

    assert said == (
        "November 2026 changes from NOK 300.00 to NOK 375.00.",
        "December 2026 changes from NOK 300.00 to NOK 375.00.",
    )
    assert invoice_preview.forecast(made.id, NOW).net_minor == 37500


def test_a_draft_follows_at_once(empty_store: str) -> None:
    made = fjord()
    invoices.draft_months([made.id], "2026-10", NOW)

    licences.set_licences(KARI, made.id, 14, date(2026, 10, 30), NOW)

    assert [(row.state, row.net_minor) for row in InvoiceMonth.select()] == [("draft", 14 * 2500)]


def test_it_is_told_when_a_month_is_final_already_and_when_another_number_is_known_for_later(
    empty_store: str,
) -> None:
    made = fjord()
    licences.set_licences(KARI, made.id, 20, date(2026, 11, 9), NOW)
    InvoiceMonth.create(company=made, month="2026-10", state="final", currency="NOK", rated_at=NOW, final_at=NOW)

    assert invoice_preview.of_licences(made.id, 5, date(2026, 10, 1), NOW)[2:] == (
        "2026-10 is final already: credit it and bill it again to have the change invoiced.",
        "From 2026-11-09 on it is 20, as told before.",
    )


@pytest.mark.parametrize(
    ("number", "day", "why"),
    [
        (12, TODAY, "Fjord AS has 12 licences on 2026-11-23 already; nothing was changed."),
        (-1, TODAY, "A company has from 0 to 9,999,999 licences."),
        (5, date(2025, 10, 18), "2025-10-18 is too far away; choose a day from 2025-10-19 to 2027-12-28."),
        (5, date(2027, 12, 29), "2027-12-29 is too far away; choose a day from 2025-10-19 to 2027-12-28."),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(
    empty_store: str, number: int, day: date, why: str
) -> None:
    made = fjord()

    with pytest.raises(Refused) as refused:
        licences.set_licences(KARI, made.id, number, day, NOW)

    assert (str(refused.value), facts()) == (why, [(LONG_AGO, 12)])


def test_only_operators_may(empty_store: str) -> None:
    made = fjord()

    with pytest.raises(NotAllowed):
        licences.set_licences(AUDITOR, made.id, 5, TODAY, NOW)

    assert facts() == [(LONG_AGO, 12)]


def test_a_number_is_read_as_people_write_it() -> None:
    assert [licences.parse(text) for text in ("12", " 1 200 ", "1,200", "0", "9999999")] == [12, 1200, 1200, 0, 9999999]
    for text in ("", "-1", "1.5", "twelve", "１２", "10000000", "²"):
        with pytest.raises(FormatWrong, match="Write the number of licences as a whole number, such as 12"):
            licences.parse(text)
