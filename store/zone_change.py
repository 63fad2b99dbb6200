"""What a new time zone of a company does to its keys: each keeps its last day, and ends at another instant."""

from datetime import datetime

from store import companies
from store.rules import expiry
from store.tables import Company, Key, KeySpan


def follow(company: Company, now: datetime) -> int:
    """Move the ends of the company's keys into its present zone; how many moved.

    A revoked key has ended and a rotated one ends with its overlap, whatever the zone. What was before now stays: a key
    that has ended by either zone is left alone, and one that the new zone brings back begins a new span.
    """
    zone = companies.zone(company)
    keys = Key.select().where(Key.company == company.id, Key.revoked_at.is_null(), Key.rotated_at.is_null())
    moved = 0
    for key in keys.order_by(Key.id):
        ends_at = expiry.ends_at(key.expires_on, zone)
        was_alive = key.ends_at > now
        if ends_at == key.ends_at or not (was_alive or ends_at > now):
            continue
        if was_alive:
            worked_until = max(ends_at, now)
            KeySpan.update(ended_at=worked_until).where(KeySpan.key == key.id, KeySpan.ended_at > now).execute()
        else:
            KeySpan.create(key=key, started_at=now, ended_at=ends_at)
        Key.update(ends_at=ends_at).where(Key.id == key.id).execute()
        moved += 1
    return moved
