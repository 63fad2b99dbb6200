"""The lists of API keys: of one company, or of all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from store.database import run_sql
from store.fields import instant, seconds
from store.filters import Grammar, Term, fold, like, one_of, parse
from store.listings.key_states import STATES, refusal_of, state_condition, state_of
from store.listings.selection import Conditions, Ids, count, marks, read_ids
from store.rules import acceptance, calendar, expiry

GRAMMAR: Grammar = {
    "state": STATES,
    "env": ("prod", "sandbox", "all"),
    "kind": ("standard", "test"),
    "company": None,
    "resource": None,
    "label": None,
}
EXPIRING_DAYS = 14  # from then on a key is shown as expiring
ORDERS = ("newest", "expiry")  # expiry: those that end next first, after them what has ended, the latest first


@dataclass(frozen=True, slots=True)
class KeyScope:
    """Which keys are looked at, and when. `expiring_days`: the widest notice threshold."""

    company_id: int | None
    now: datetime
    expiring_days: int = EXPIRING_DAYS


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as the lists show it. Names are as given; days are the company's, instants UTC."""

    id: int
    company_id: int
    company: str
    resource_id: int
    resource: str
    handle: str
    label: str
    environment: str
    kind: str
    first: str
    last: str
    expires_on: date
    days_left: int  # 0 on the last day
    ends_at: datetime
    state: str  # live, expiring, expired, retiring, retired, revoked, off
    refusal: str | None  # why it is not accepted now, in a sentence
    created_at: datetime
    created_by: str
    rotated_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    revoked_reason: str | None
    used_at: datetime | None
    used_from: str | None
    uses: int
    zone: str
    api_access: bool  # whether the company has it enabled


def ids(scope: KeyScope, needle: str = "", order: str = "newest", limit: int | None = None) -> Ids:
    """The ids of the keys that the filter leaves. FormatWrong for a filter that cannot be read."""
    conditions, joins = _conditions(scope, needle)
    select = f"SELECT k.id FROM api_key k{joins}"
    if order == "newest":
        return read_ids(select, conditions, "k.id DESC", limit)
    working, ended = conditions, conditions.copy()
    working.add("k.ends_at > ?", seconds(scope.now))
    ended.add("k.ends_at <= ?", seconds(scope.now))
    found = read_ids(select, working, "k.ends_at, k.id", limit)
    rest = None if limit is None else limit - len(found)
    return found + read_ids(select, ended, "k.ends_at DESC, k.id DESC", rest)


def newer(scope: KeyScope, needle: str, after_id: int) -> int:
    """How many keys that the filter leaves were made after the given one."""
    conditions, joins = _conditions(scope, needle)
    conditions.add("k.id > ?", after_id)
    return count(f"SELECT COUNT(*) FROM api_key k{joins}", conditions)


_ROWS = """
    SELECT k.id, k.company_id, c.name, k.resource_id, u.name, k.handle, k.label, k.environment, k.kind, k.first, k.last,
           k.expires_on, k.ends_at, k.created_at, k.created_by, k.rotated_at, k.revoked_at, k.revoked_by,
           k.revoked_reason, l.at, l.address, l.uses, c.time_zone, c.deactivated_at, u.deactivated_at, u.licensed_at,
           EXISTS (SELECT 1 FROM integration i
                   WHERE i.company_id = k.company_id AND i.code = 'api_access' AND i.enabled_at IS NOT NULL)
    FROM api_key k
    JOIN company c ON c.id = k.company_id
    JOIN company_user u ON u.id = k.resource_id
    LEFT JOIN last_use l ON l.key_id = k.id
    WHERE k.id IN ({marks})
"""


def rows(wanted: Sequence[int], now: datetime, expiring_days: int = EXPIRING_DAYS) -> dict[int, KeyRow]:
    """The rows of these keys by id, as they stand now."""
    found = run_sql(_ROWS.format(marks=marks(wanted)), list(wanted)).fetchall()
    return {int(row[0]): _row(row, now, expiring_days) for row in found}


def _row(row: Sequence[object], now: datetime, expiring_days: int) -> KeyRow:
    (
        key_id, company_id, company, resource_id, resource, handle, label, environment, kind, first, last,
        expires_on, ends_at, created_at, created_by, rotated_at, revoked_at, revoked_by, reason,
        used_at, used_from, uses, zone, company_left, user_left, licensed, enabled,
    ) = row  # fmt: skip
    last_day = date.fromisoformat(str(expires_on))
    days_left = expiry.days_left(last_day, calendar.local_day(now, calendar.zone(str(zone))))
    facts = acceptance.Facts(
        environment=environment,  # type: ignore[arg-type]  # the column's CHECK
        ends_at=instant(_number(ends_at)),
        revoked_at=_instant(revoked_at),
        retired=rotated_at is not None,
        integration_enabled=bool(enabled),
        company_active=company_left is None,
        resource_active=user_left is None,
        resource_licensed=licensed is not None,
    )
    refusal = refusal_of(facts, now)
    return KeyRow(
        id=_number(key_id),
        company_id=_number(company_id),
        company=str(company),
        resource_id=_number(resource_id),
        resource=str(resource),
        handle=str(handle),
        label=str(label),
        environment=str(environment),
        kind=str(kind),
        first=str(first),
        last=str(last),
        expires_on=last_day,
        days_left=days_left,
        ends_at=facts.ends_at,
        state=state_of(refusal, rotated=rotated_at is not None, days_left=days_left, expiring_days=expiring_days),
        refusal=None if refusal is None else acceptance.REASONS[refusal],
        created_at=instant(_number(created_at)),
        created_by=str(created_by),
        rotated_at=_instant(rotated_at),
        revoked_at=facts.revoked_at,
        revoked_by=None if revoked_by is None else str(revoked_by),
        revoked_reason=None if reason is None else str(reason),
        used_at=_instant(used_at),
        used_from=None if used_from is None else str(used_from),
        uses=0 if uses is None else _number(uses),
        zone=str(zone),
        api_access=facts.integration_enabled,
    )


def _number(value: object) -> int:
    return int(value)  # type: ignore[call-overload, no-any-return]


def _instant(value: object) -> datetime | None:
    return None if value is None else instant(_number(value))


def _conditions(scope: KeyScope, needle: str) -> tuple[Conditions, str]:
    """What must hold, and the joins that it needs."""
    conditions = Conditions()
    joined = False
    if scope.company_id is not None:
        conditions.add("k.company_id = ?", scope.company_id)
    for term in parse(needle, GRAMMAR):
        if term.field == "state":
            joined = True
            parts = [state_condition(state, scope.now, scope.expiring_days) for state in one_of(term, STATES)]
            values = [value for _, part in parts for value in part]
            conditions.add_term(term, " OR ".join(f"({text})" for text, _ in parts), *values)
        else:
            _add_plain(conditions, term)
    joins = " JOIN company c ON c.id = k.company_id JOIN company_user u ON u.id = k.resource_id" if joined else ""
    return conditions, joins


_OF_COMPANY = "k.company_id IN (SELECT id FROM company WHERE folded LIKE ? ESCAPE '!')"
_OF_RESOURCE = "k.resource_id IN (SELECT id FROM company_user WHERE folded LIKE ? ESCAPE '!')"


def _add_plain(conditions: Conditions, term: Term) -> None:
    if term.field in {"env", "kind"}:
        choices = one_of(term, GRAMMAR[term.field] or ())
        column = "k.environment" if term.field == "env" else "k.kind"
        conditions.add_term(term, f"{column} IN ({marks(choices)})", *choices)
    elif term.field == "company":
        conditions.add_term(term, _OF_COMPANY, like(term.value))
    elif term.field == "resource":
        conditions.add_term(term, _OF_RESOURCE, like(term.value))
    elif term.field == "label":
        conditions.add_term(term, "k.folded LIKE ? ESCAPE '!'", like(term.value))
    elif "…" in term.value:  # kdp_Ab12…9zYx, as the desk and the mails write a key
        first, last = term.value.split("…", 1)
        both = "lower(k.first) LIKE ? ESCAPE '!' AND lower(k.last) LIKE ? ESCAPE '!'"
        conditions.add_term(term, both, like(first)[1:], like(last)[:-1])
    else:
        pattern = like(term.value)
        conditions.add_term(
            term,
            "k.folded LIKE ? ESCAPE '!' OR lower(k.handle) LIKE ? ESCAPE '!' OR lower(k.first) LIKE ? ESCAPE '!'"
            f" OR lower(k.last) = ? OR {_OF_COMPANY} OR {_OF_RESOURCE}",
            pattern,
            pattern,
            pattern,
            fold(term.value),
            pattern,
            pattern,
        )
