"""Who may call a sandbox: the keys for which it is refreshed, and why a company gets no night."""

from datetime import datetime

from store.database import run_sql
from store.fields import seconds
from store.tables import Company

# Of the company `c` and its resources as they were at an instant, given twice; what is asked of the keys follows.
KEYS_THEN = """
    SELECT 1 FROM api_key k JOIN company_user u ON u.id = k.resource_id {more}
     WHERE k.company_id = c.id AND k.environment IN ('sandbox', 'all')
       AND u.licensed_at <= ? AND (u.deactivated_at IS NULL OR u.deactivated_at > ?)
"""


def why_none(company: Company, now: datetime) -> str | None:
    """Why no night would be marked for a company's sandbox as things stand; None when its next one is."""
    at = seconds(now)
    if company.deactivated_at is not None and company.deactivated_at <= now:
        return "the company is not active"
    if run_sql(_ENABLED, (company.id, at)).fetchone() is None:
        return "API Access is off"
    if run_sql(_KEY, (at, at, at, at, at, company.id)).fetchone() is None:
        return "it has no key that is accepted in Sandbox"
    return None


_ENABLED = "SELECT 1 FROM integration WHERE company_id = ? AND code = 'api_access' AND enabled_at <= ?"
_KEY = """
    SELECT 1 FROM company c
     WHERE EXISTS ({keys} AND k.created_at <= ? AND k.ends_at > ? AND (k.revoked_at IS NULL OR k.revoked_at > ?))
       AND c.id = ?
""".replace("{keys}", KEYS_THEN.replace("{more}", ""))
