"""Whether a key is accepted for an environment, and if not, why: the caller learns yes or no, admins the reason."""

from datetime import datetime
from typing import Final, Generic, Literal, NamedTuple, TypeVar

from store.rules.key_format import Environment

Asked = Literal["prod", "sandbox"]
# Instants are only compared: a list has them as aware datetimes, the check as the seconds that the store keeps.
Instant = TypeVar("Instant", datetime, int)

REASONS: Final[dict[str, str]] = {
    "unknown-key": "No key of this installation has this text; it may be mistyped, or from another installation.",
    "revoked": "The key has been revoked for good; make a new key.",
    "expired": "The key's expiry date has passed; edit the date, or make a new key.",
    "retired": "The key was rotated and its overlap is over; use its successor.",
    "wrong-environment": "The key is not for the environment that was asked for; use a key that covers it.",
    "access-disabled": "API Access is disabled for the company; enable it under Integrations.",
    "company-inactive": "The company is not active; activate it in the main system.",
    "resource-inactive": "The key's resource is not active; activate the user or make a key for another.",
    "resource-unlicensed": "The key's resource is not licensed; license the user or make a key for another.",
}


class Facts(NamedTuple, Generic[Instant]):
    """What one row holds about a key that is known."""

    environment: Environment
    ends_at: Instant
    revoked_at: Instant | None
    retired: bool  # its end was set by a rotation, not by its expiry
    integration_enabled: bool
    company_active: bool
    resource_active: bool
    resource_licensed: bool


def refusal(facts: Facts[Instant] | None, environment: Asked, now: Instant) -> str | None:
    """Give the first reason, in the product's order, for which a key is refused; None when it is accepted."""
    if facts is None:
        return "unknown-key"
    reason = _of_the_key(facts, environment, now)
    return reason or _of_its_company(facts)


def _of_the_key(facts: Facts[Instant], environment: Asked, now: Instant) -> str | None:
    if facts.revoked_at is not None:
        return "revoked"
    if facts.ends_at <= now:
        return "retired" if facts.retired else "expired"
    if environment not in {"prod", "sandbox"} or facts.environment not in {environment, "all"}:
        return "wrong-environment"
    return None


def _of_its_company(facts: Facts[Instant]) -> str | None:
    if not facts.integration_enabled:
        return "access-disabled"
    if not facts.company_active:
        return "company-inactive"
    if not facts.resource_active:
        return "resource-inactive"
    if not facts.resource_licensed:
        return "resource-unlicensed"
    return None
