"""Whether a key is accepted: one indexed look-up over all that must be true, and no cache.

So what was committed counts for the very next check: a revocation is at once.
"""

import json
from dataclasses import dataclass
from datetime import datetime

from store.database import run_sql
from store.fields import instant
from store.last_use import LastUses
from store.peppers import Peppers
from store.rules.acceptance import Asked, Facts, refusal
from store.rules.key_format import digest, parse


@dataclass(frozen=True, slots=True)
class Answer:
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
        self._peppers = [peppers.secrets[version] for version in sorted(peppers.secrets, reverse=True)]
        self.last_uses = last_uses or LastUses()

    def accept(self, text: str, environment: Asked, now: datetime, address: str = "") -> Answer:
        """Whether `text` may call `environment` at `now`, asked from `address` (kept as the last use when it may)."""
        if parse(text) is None:
            return Answer(accepted=False, reason="malformed")
        for pepper in self._peppers:
            row = run_sql(_LOOK_UP, (digest(text, pepper),)).fetchone()
            if row is not None:
                break
        else:
            return Answer(accepted=False, reason="unknown-key")
        (
            key_id,
            handle,
            covers,
            ends_at,
            revoked_at,
            rotated_at,
            resource,
            name,
            rights,
            inactive,
            licensed,
            company,
            company_inactive,
            enabled_at,
        ) = row
        reason = refusal(
            Facts(
                environment=covers,
                ends_at=instant(ends_at),
                revoked_at=None if revoked_at is None else instant(revoked_at),
                retired=rotated_at is not None,
                integration_enabled=enabled_at is not None,
                company_active=company_inactive is None,
                resource_active=inactive is None,
                resource_licensed=licensed is not None,
            ),
            environment,
            now,
        )
        if reason is not None:
            return Answer(accepted=False, reason=reason, handle=handle, company=company)
        self.last_uses.note(key_id, now, address)
        return Answer(True, resource, name, company, tuple(json.loads(rights)), "", handle)


_LOOK_UP = """
    SELECT k.id, k.handle, k.environment, k.ends_at, k.revoked_at, k.rotated_at,
           u.external_id, u.name, u.rights, u.deactivated_at, u.licensed_at,
           c.external_id, c.deactivated_at, i.enabled_at
    FROM api_key k
    JOIN company_user u ON u.id = k.resource_id
    JOIN company c ON c.id = k.company_id
    LEFT JOIN integration i ON i.company_id = k.company_id AND i.code = 'api_access'
    WHERE k.digest = ?
"""
