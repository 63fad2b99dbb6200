"""How many licensed users a company pays for, said at the desk."""

from datetime import date, datetime, timedelta

from store import companies, invoice_drafts
from store.actors import Actor
from store.change import change
from store.errors import FormatWrong, Refused
from store.rules import calendar
from store.tables import Licence

MOST = 9_999_999
_SPAN = timedelta(days=400)  # back and ahead


def parse(text: str) -> int:
    """A number of licences as people write it; FormatWrong when it is none."""
    digits = text.strip().replace(",", "").replace(" ", "")
    if not (digits.isascii() and digits.isdigit() and int(digits) <= MOST):
        raise FormatWrong("Write the number of licences as a whole number, such as 12.")
    return int(digits)


def check_day(day: date, today: date) -> None:
    """Raise Refused for a day that nobody can mean."""
    if not today - _SPAN <= day <= today + _SPAN:
        raise Refused(f"{day} is too far away; choose a day from {today - _SPAN} to {today + _SPAN}.")


def set_licences(actor: Actor, company_id: int, licences: int, day: date, now: datetime) -> Licence:
    """From the local `day` on the company pays for so many; what was said for that day before is put right.

    The number of a day is the one in force at its end, so a slip that is corrected the same day costs nothing. A later
    day that is known already keeps its number. The company's drafts are brought to it at once.
    """
    with change(actor, "licence.set", company_id, now) as made:
        company = companies.held(company_id)
        zone = companies.zone(company)
        check_day(day, companies.today(company, now))
        if not 0 <= licences <= MOST:
            raise Refused(f"A company has from 0 to {MOST:,} licences.")
        start, end = calendar.start_of_day(day, zone), calendar.start_of_day(day + timedelta(days=1), zone)
        said = Licence.select().where(Licence.company == company_id, Licence.at < end).order_by(Licence.at.desc())
        before: Licence | None = said.first()
        if before is not None and before.licences == licences:
            raise Refused(f"{company.name} has {licences:,} licences on {day} already; nothing was changed.")
        if before is not None and before.at >= start:
            was, fact = before.licences, before
            Licence.update(licences=licences, recorded_at=now).where(Licence.id == before.id).execute()
            fact.licences = licences
        else:
            was = 0 if before is None else before.licences
            at = now if start <= now < end else start
            fact = Licence.create(company=company_id, at=at, licences=licences, recorded_at=now)
        made.event(
            "licence.set", f"licences from {day}", company_id, before={"licences": was}, after={"licences": licences}
        )
        invoice_drafts.of_company(company_id, now)
        return fact
