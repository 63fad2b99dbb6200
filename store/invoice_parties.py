"""Who sells and who buys, kept as it is known when a month becomes final: an old document never changes its address."""

from collections.abc import Sequence
from hashlib import sha256

from store import sellers
from store.database import run_sql
from store.fields import canonical
from store.usage_facts import marks

_BUYERS = """
    INSERT INTO buyer_facts (company_id, month, revision, time_zone, name, billing_reference, organisation_number,
                             vat_id, endpoint, street, city, postal_code, country, invoice_email)
    SELECT c.id, ?, ?, c.time_zone, c.name, c.billing_reference, coalesce(b.organisation_number, ''),
           coalesce(b.vat_id, ''), coalesce(b.endpoint, ''), coalesce(b.street, ''), coalesce(b.city, ''),
           coalesce(b.postal_code, ''), coalesce(b.country, ''), coalesce(b.invoice_email, '')
    FROM company AS c LEFT JOIN company_billing AS b ON b.company_id = c.id WHERE c.id IN ({ids}) ORDER BY c.id
"""


def keep_buyers(company_ids: Sequence[int], month: str, revision: int) -> None:
    """Keep what is known of these companies with their month. Must run in the transaction that makes it final."""
    if company_ids:
        run_sql(_BUYERS.format(ids=marks(len(company_ids))), (month, revision, *company_ids))


def keep_seller() -> int | None:
    """The row with what the settings say of the seller, written if it is new; None when they say nothing.

    Must run in the transaction that makes a month final.
    """
    facts = sellers.in_use()
    if facts is None:
        return None
    text = canonical(facts)
    digest = sha256(text.encode()).hexdigest()
    run_sql("INSERT INTO seller_facts (sha256, facts) VALUES (?, ?) ON CONFLICT (sha256) DO NOTHING", (digest, text))
    return int(run_sql("SELECT id FROM seller_facts WHERE sha256 = ?", (digest,)).fetchone()[0])
