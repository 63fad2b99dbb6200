"""A month to rate as a file: the company's facts, the price lists, the policy, and what is already final."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from store.errors import FormatWrong
from store.rules import calendar
from store.rules.money import to_minor
from store.rules.price_lists import PriceList, parse
from store.rules.rating.facts import (
    AccessSpan,
    CompanyFacts,
    ContractTerm,
    Id,
    KeyFact,
    LicenceFact,
    Policy,
    TermKind,
    UsageFact,
)
from store.rules.rating.invoice import Line
from store.rules.reading import Reading

_MONTH = re.compile(r"(?:19|2[0-9])[0-9]{2}-(?:0[1-9]|1[0-2])", re.ASCII)
_TERM_KINDS: tuple[TermKind, ...] = (
    "unit_price",
    "discount_percent",
    "waive",
    "included",
    "free_test_keys",
    "access_invoiced_elsewhere",
)


@dataclass(frozen=True, slots=True)
class FinalMonth:
    """A month that is final, with its lines as stored, and how a disagreement with it is put right."""

    month: str
    lines: tuple[Line, ...]
    credit_and_rebill: bool


@dataclass(frozen=True, slots=True)
class RatingFile:
    """Everything `rate` needs for one month. `path` is where it stands in its file ("" when it is the whole)."""

    month: str
    as_of: datetime | None
    policy: Policy
    price_lists: tuple[PriceList, ...]
    facts: CompanyFacts
    final: tuple[FinalMonth, ...]
    id: Id | None = None
    path: str = ""


def rating_files(document: object) -> Iterator[RatingFile]:
    """The months of a file, in its order, each read when it is asked for.

    A file is one month, a list of months, or an object with `examples` and what they share: `price_lists` and
    `default_policy`. FormatWrong names the path of the first wrong value, as `examples[3].company.keys[0].created_at`.
    """
    if isinstance(document, list):
        yield from (_month_to_rate(Reading(row, f"[{number}]")) for number, row in enumerate(document))
        return
    top = Reading(document, "")
    if not top.has("examples"):
        yield _month_to_rate(top)
        return
    top.only("about", "default_policy", "price_lists", "examples")
    lists, policy = _price_lists(top), _default_policy(top, Policy())
    for row in top.rows("examples"):
        yield _month_to_rate(row, lists, policy)


def rating_file_from_mapping(mapping: Mapping[str, object]) -> RatingFile:
    """FormatWrong names the path of the first wrong value. Names that only describe the case (title) are not read."""
    return _month_to_rate(Reading(mapping, ""))


def _month_to_rate(top: Reading, shared: tuple[PriceList, ...] = (), default: Policy | None = None) -> RatingFile:
    """`shared` price lists stand in for those that the month does not bring itself."""
    top.only(
        "id", "title", "why", "hand", "expected",
        "period", "as_of", "policy", "default_policy", "price_lists", "company", "finalized",
    )  # fmt: skip
    facts = facts_from_mapping(top.inner("company"))
    policy = _default_policy(top, default or Policy())
    return RatingFile(
        month=_month(top, "period"),
        as_of=top.instant("as_of") if top.given("as_of") else None,
        policy=policy_from_mapping(top.inner("policy"), policy) if top.given("policy") else policy,
        price_lists=_price_lists(top) if top.has("price_lists") else shared,
        facts=facts,
        final=tuple(_final(row, facts.currency) for row in top.rows("finalized")),
        id=top.identity("id") if top.given("id") else None,
        path=top.path,
    )


def _default_policy(top: Reading, otherwise: Policy) -> Policy:
    return policy_from_mapping(top.inner("default_policy"), otherwise) if top.given("default_policy") else otherwise


def policy_from_mapping(item: Reading, default: Policy) -> Policy:
    """What is not given is the default's."""
    item.only(
        "licensed_users_rule", "rotation_grace_days", "free_test_keys_per_resource", "test_key_window",
        "test_overflow_cadence", "access_proration", "overuse_mode", "usage_envs", "late_usage_days",
    )  # fmt: skip

    def whole(key: str, otherwise: int) -> int:
        return item.whole(key, least=0, most=36_500) if item.has(key) else otherwise

    return Policy(
        licensed_users_rule=item.choice("licensed_users_rule", ("peak", "end", "start"))
        if item.has("licensed_users_rule")
        else default.licensed_users_rule,
        rotation_grace_days=whole("rotation_grace_days", default.rotation_grace_days),
        free_test_keys_per_resource=whole("free_test_keys_per_resource", default.free_test_keys_per_resource),
        test_key_window=item.choice("test_key_window", ("lifetime", "period", "concurrent"))
        if item.has("test_key_window")
        else default.test_key_window,
        test_overflow_cadence=item.choice("test_overflow_cadence", ("once", "monthly"))
        if item.has("test_overflow_cadence")
        else default.test_overflow_cadence,
        access_proration=item.choice("access_proration", ("none", "daily"))
        if item.has("access_proration")
        else default.access_proration,
        overuse_mode=item.choice("overuse_mode", ("review", "auto", "off"))
        if item.has("overuse_mode")
        else default.overuse_mode,
        usage_environments=item.choices("usage_envs", ("prod", "sandbox"))
        if item.has("usage_envs")
        else default.usage_environments,
        late_usage_days=whole("late_usage_days", default.late_usage_days),
    )


def facts_from_mapping(item: Reading) -> CompanyFacts:
    """One company. Access is given in local days, "to" excluded; everything else in UTC instants."""
    item.only(
        "id", "tz", "currency", "price_list", "vat", "access", "access_invoiced_elsewhere",
        "licences", "keys", "usage", "contract_terms",
    )  # fmt: skip
    try:
        zone = calendar.zone(item.text("tz"))
    except FormatWrong as wrong:
        raise FormatWrong(f"{item.at('tz')}: {wrong}") from None
    vat = item.inner("vat")
    vat.only("category", "rate")
    return CompanyFacts(
        company=item.identity("id"),
        zone=item.text("tz"),
        currency=item.text("currency"),
        price_list=item.text("price_list"),
        vat_rate=vat.percent("rate"),
        vat_category=vat.text("category"),
        access=tuple(_access(row, zone) for row in item.rows("access")),
        licences=tuple(_licence(row) for row in item.rows("licences")),
        keys=tuple(_keys(item.rows("keys"))),
        usage=tuple(_usage(row) for row in item.rows("usage")),
        terms=tuple(_term(row) for row in item.rows("contract_terms")),
        access_invoiced_elsewhere=item.truth("access_invoiced_elsewhere")
        if item.has("access_invoiced_elsewhere")
        else False,
    )


def _price_lists(top: Reading) -> tuple[PriceList, ...]:
    found: dict[tuple[str, str, int], PriceList] = {}
    for row in top.rows("price_lists"):
        try:
            read = parse(row.values)
        except FormatWrong as wrong:
            raise FormatWrong(f"{row.path}.{wrong}") from None
        if found.setdefault((read.code, read.currency, read.version), read) is not read:
            raise row.wrong("version", f"version {read.version} of {read.code} in {read.currency} is there already")
    return tuple(found.values())


def _access(row: Reading, zone: ZoneInfo) -> AccessSpan:
    row.only("from", "to")
    return AccessSpan(
        calendar.start_of_day(row.day("from"), zone),
        calendar.start_of_day(row.day("to"), zone) if row.given("to") else None,
    )


def _licence(row: Reading) -> LicenceFact:
    row.only("at", "count")
    return LicenceFact(row.instant("at"), row.whole("count", least=0))


def _keys(rows: Iterable[Reading]) -> Iterator[KeyFact]:
    seen: set[Id] = set()
    for row in rows:
        key = _key(row)
        if key.id in seen:
            raise row.wrong("id", f"there is another key {key.id!r}; each has an id of its own")
        seen.add(key.id)
        yield key


def _key(row: Reading) -> KeyFact:
    """A key that never lapsed in between: it works from its making until it is revoked or expires."""
    row.only("id", "resource", "kind", "created_at", "expires_at", "revoked_at", "rotated_from")
    created, end = row.instant("created_at"), row.instant("expires_at")
    if row.given("revoked_at"):
        end = min(end, row.instant("revoked_at"))
    return KeyFact(
        id=row.identity("id"),
        resource=row.identity("resource"),
        kind=row.choice("kind", ("standard", "test")),
        created_at=created,
        spans=((created, end),) if created < end else (),
        rotated_from=row.identity("rotated_from") if row.given("rotated_from") else None,
    )


def _usage(row: Reading) -> UsageFact:
    row.only("hour", "requests", "bytes", "env", "received_at")
    return UsageFact(
        hour=row.instant("hour"),
        requests=row.whole("requests", least=0),
        bytes=row.whole("bytes", least=0),
        environment=row.choice("env", ("prod", "sandbox")) if row.has("env") else "prod",
        received_at=row.instant("received_at") if row.given("received_at") else None,
    )


def _term(row: Reading) -> ContractTerm:
    row.only("line", "kind", "value", "from", "to", "ref")
    kind = row.choice("kind", _TERM_KINDS)
    value = None
    if kind == "discount_percent":
        value = row.percent("value")
    elif kind == "unit_price":
        value = row.number("value")
    elif kind in {"included", "free_test_keys"}:
        value = row.number("value")
        if value % 1:
            raise row.wrong("value", f"a whole number is needed, not {value}")
    return ContractTerm(
        line=row.choice("line", ("access", "extra_key", "extra_test_key", "overuse_requests", "overuse_data")),
        kind=kind,
        start=row.day("from"),
        end=row.day("to") if row.given("to") else None,
        value=value,
        reference=row.text("ref") if row.given("ref") else "",
    )


def _final(row: Reading, currency: str) -> FinalMonth:
    row.only("period", "style", "lines")
    style = row.choice("style", ("adjust", "credit_and_rebill")) if row.has("style") else "adjust"
    return FinalMonth(
        month=_month(row, "period"),
        lines=tuple(_stored_line(line, currency) for line in row.rows("lines")),
        credit_and_rebill=style == "credit_and_rebill",
    )


def _stored_line(row: Reading, currency: str) -> Line:
    """Of a stored line the file keeps what a correction needs."""
    row.only("line_key", "quantity", "net", "net_minor", "status")
    try:
        net = to_minor(row.text("net"), currency)
    except FormatWrong as wrong:
        raise FormatWrong(f"{row.at('net')}: {wrong}") from None
    if row.has("net_minor") and row.raw("net_minor") != net:
        raise row.wrong("net_minor", f"it does not equal net, which is {net} in minor units")
    return Line(
        line_key=row.text("line_key"),
        description=row.text("line_key"),
        quantity=row.text("quantity"),
        unit="",
        unit_price="",
        gross_minor=net,
        discount_minor=0,
        net_minor=net,
        reason="contract",
        price_list="",
        because="",
        status=row.choice("status", ("ok", "needs_review")) if row.has("status") else "ok",
    )


def _month(row: Reading, key: str) -> str:
    month = row.text(key)
    if not _MONTH.fullmatch(month):
        raise row.wrong(key, f"a month such as 2026-11 is needed, not {month!r}")
    return month
