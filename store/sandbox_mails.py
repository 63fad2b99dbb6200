"""The mail about a sandbox that was not refreshed: to those of the company who are to be notified."""

from dataclasses import replace
from datetime import date, datetime, timedelta

from store import companies
from store.database import run_sql
from store.mail_contexts import owed
from store.outbox import queue
from store.recipients import recipients

_USEFUL_FOR = timedelta(days=3)
_LAST_DONE = """
    SELECT night FROM refresh_marker WHERE company_id = ? AND state = 'done' ORDER BY night DESC LIMIT 1
"""


def tell(company_id: int, reason: str, night: date, message: str, now: datetime, *, failures: int = 0) -> None:
    """Queue one mail to each recipient; the same reason is told once, however often this is asked.

    `failures` is how many failed in a row when that has put the sandbox in quarantine, otherwise 0.
    """
    company = companies.get(company_id)
    last_done = run_sql(_LAST_DONE, (company_id,)).fetchone()
    context = {
        "company": company.name,
        "zone": company.time_zone,
        "night": night.isoformat(),
        "message": message,
        "data_from": last_done[0] if last_done else None,
        "quarantined_after": failures or None,
    }
    mails = (owed("sandbox_failed", company, each, reason, context) for each in recipients(company_id))
    queue([replace(mail, useless_after=now + _USEFUL_FOR) for mail in mails], now)
