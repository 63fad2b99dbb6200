"""Whether a key is accepted: one indexed look-up over all that must be true, and no cache.

So what was committed counts for the very next check: a revocation is at once.
"""

import json
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from store.database import first_row
from store.fields import seconds
from store.last_use import LastUses
from store.peppers import Peppers
from store.rules.acceptance import Asked, Facts, refusal
from store.rules.key_format import digester, is_well_formed


class Answer(NamedTuple):
    """`accepted`, with the resource and its rights, is all that the caller may learn; the rest is for admins."""

    accepted: bool
    resource: str = ""  # the user's external id
    resource_name: str = ""
    company: str = ""  # the company's external id
    rights: tuple[str, ...] = ()
    reason: str = ""  # a code of store.rules.acceptance.REASONS, or "malformed"
    handle: str = ""


class Acceptor:
    """Accepts keys with the peppers of this installation. A malformed key costs no query."""

    def __init__(self, peppers: Peppers, last_uses: LastUses | None = None) -> None:
        self._digesters = [digester(peppers.secrets[version]) for version in sorted(peppers.secrets, reverse=True)]
        self.last_uses = last_uses or LastUses()

    def accept(self, text: str, environment: Asked, now: datetime, address: str = "") -> Answer:
        """Whether `text` may call `environment` at `now`, asked from `address` (kept as the last use when it may)."""
        if not is_well_formed(text):
            return Answer(accepted=False, reason="malformed")
        for digest in self._digesters:
            row = first_row(_LOOK_UP, (digest(text),))
            if row is not None:
                break
        else:
            return Answer(accepted=False, reason="unknown-key")
        key_id, handle, resource, name, rights, company, *facts = row
        at = seconds(now)
        reason = refusal(Facts(*facts), environment, at)
        if reason is not None:
            return Answer(accepted=False, reason=reason, handle=handle, company=company)
        self.last_uses.note_at(key_id, at, address)
        return Answer(True, resource, name, company, _rights(rights), "", handle)


# The same few sets of rights come again and again, and a text that is equal says the same.
@lru_cache(maxsize=1024)
def _rights(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


# The last eight columns are those of Facts, in their order.
_LOOK_UP = """
    SELECT k.id, k.handle, u.external_id, u.name, u.rights, c.external_id,
           k.environment, k.ends_at, k.revoked_at, k.rotated_at IS NOT NULL,
           i.enabled_at IS NOT NULL, c.deactivated_at IS NULL, u.deactivated_at IS NULL, u.licensed_at IS NOT NULL
    FROM api_key k
    JOIN company_user u ON u.id = k.resource_id
    JOIN company c ON c.id = k.company_id
    LEFT JOIN integration i ON i.company_id = k.company_id AND i.code = 'api_access'
    WHERE k.digest = ?
"""
