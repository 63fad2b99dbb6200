"""What becomes of what was planned when the rules of its zone change before it is run? It comes once all the same."""

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from zoneinfo import TZPATH

import pytest
from worker_world import populate

from store.tables import InvoiceLine, InvoiceMonth, Run

HERE = Path(__file__).parent
DAY_BEFORE = "2026-11-30T02:00:00+00:00"
PLANNED_AT = "2026-12-01T02:00:00+00:00"  # 03:00 in Oslo: November's lines are due, and the day of 1 December
UNTIL = "2026-12-05T08:00:00+00:00"


def go(store: str, rules: Path, *act: str) -> None:
    """In a process of its own, as after an update of tzdata, by the rules in that folder where it has some."""
    subprocess.run(
        [sys.executable, str(HERE / "new_zone_rules.py"), store, *act],
        check=True,
        cwd=HERE.parent,
        env={**os.environ, "PYTHONPATH": str(HERE.parent), "PYTHONTZPATH": f"{rules}:{':'.join(TZPATH)}"},
    )


def of_oslo(job: str) -> list[tuple[str, str]]:
    rows = Run.select().where(Run.job == job, Run.scope == "Europe/Oslo").order_by(Run.period)
    return [(row.period, row.state) for row in rows]


@pytest.mark.parametrize("like", ["Atlantic/Azores", "Europe/Istanbul", "Pacific/Apia", "Pacific/Pago_Pago"])
def test_what_was_planned_by_the_old_rules_is_done_once_and_what_comes_by_the_new_ones_follows(
    empty_store: str, tmp_path: Path, like: str
) -> None:
    places = populate()
    (tmp_path / "Europe").mkdir()
    others = files("tzdata").joinpath("zoneinfo", like).read_bytes()

    for instant in (DAY_BEFORE, PLANNED_AT):
        go(empty_store, tmp_path, "plan", instant)
    was_planned = of_oslo("invoice-lines"), of_oslo("expiry-notices")
    (tmp_path / "Europe" / "Oslo").write_bytes(others)
    go(empty_store, tmp_path, "pass", PLANNED_AT, UNTIL)

    assert was_planned == ([("2026-11", "due")], [("2026-11-30", "missed"), ("2026-12-01", "due")])
    assert of_oslo("invoice-lines") == of_oslo("invoice-final") == [("2026-11", "done")]
    before, *days = of_oslo("expiry-notices")
    assert before == ("2026-11-30", "missed")  # also where the clocks go back into it
    assert days == [(f"2026-12-0{number}", "done") for number in range(1, len(days) + 1)]
    assert len(days) >= 4
    month = InvoiceMonth.get(InvoiceMonth.company == places["nordlys"].company, InvoiceMonth.month == "2026-11")
    lines = [row.line_key for row in InvoiceLine.select().where(InvoiceLine.company == places["nordlys"].company)]
    assert month.state == "final"
    assert lines
    assert len(lines) == len(set(lines))
