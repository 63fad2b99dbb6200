"""The customer: its days, its money, how many licensed users it pays for."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from store.database import backend, run_sql
from store.errors import NotFound
from store.fields import seconds
from store.rules import calendar
from store.rules.text import visible
from store.tables import Company, Licence


def get(company_id: int) -> Company:
    """The company, or NotFound."""
    found: Company | None = Company.get_or_none(Company.id == company_id)
    if found is None:
        raise NotFound("There is no such company any more; go back and look again.")
    return found


def held(company_id: int) -> Company:
    """The company as it stands in this transaction, or NotFound; who else changes it or its keys waits for the end."""
    if backend() == "postgresql":  # on SQLite one transaction at a time writes
        run_sql("SELECT id FROM company WHERE id = ? FOR NO KEY UPDATE", (company_id,))
    return get(company_id)


def by_external_id(external_id: str) -> Company:
    """The company that the main system calls so, or NotFound."""
    found: Company | None = Company.get_or_none(Company.external_id == external_id)
    if found is None:
        raise NotFound(
            f"There is no company with the id {visible(external_id)}; the desk's company list shows the ids."
        )
    return found


def zone(company: Company) -> ZoneInfo:
    """The zone in which the company's days begin and end."""
    return calendar.zone(company.time_zone)


def today(company: Company, now: datetime) -> date:
    """The company's local day."""
    return calendar.local_day(now, zone(company))


def licences_at(company_id: int, now: datetime) -> int:
    """How many licensed users are paid for at this instant; 0 when nothing was ever said."""
    newest = (
        Licence.select()
        .where(Licence.company == company_id, Licence.at <= seconds(now))
        .order_by(Licence.at.desc())
        .first()
    )
    return 0 if newest is None else int(newest.licences)
