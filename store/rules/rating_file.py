"""A month to rate as a file: the company's facts, the price lists, the policy, and what is already final."""

from collections.abc import Mapping
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
    KeyFact,
    LicenceFact,
    Policy,
    TermKind,
    UsageFact,
)
from store.rules.rating.invoice import Line
from store.rules.reading import Reading

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
    """Everything `rate` needs."""

    month: str
    as_of: datetime | None
    policy: Policy
    price_lists: tuple[PriceList, ...]
    facts: CompanyFacts
    final: tuple[FinalMonth, ...]


def rating_file_from_mapping(mapping: Mapping[str, object]) -> RatingFile:
    """FormatWrong names the path of the first wrong value. Names that only describe the case (title) are not read."""
    top = Reading(mapping, "")
    top.only(
        "id", "title", "why", "hand", "expected",
        "period", "as_of", "policy", "price_lists", "company", "finalized",
    )  # fmt: skip
    facts = facts_from_mapping(top.inner("company"))
    return RatingFile(
        month=_month(top, "period"),
        as_of=top.instant("as_of") if top.given("as_of") else None,
        policy=policy_from_mapping(top.inner("policy")) if top.given("policy") else Policy(),
        price_lists=tuple(_price_list(row) for row in top.rows("price_lists")),
        facts=facts,
        final=tuple(_final(row, facts.currency) for row in top.rows("finalized")),
    )


def policy_from_mapping(item: Reading) -> Policy:
    """What is not given is the product's default."""
    default = Policy()
    item.only(
        "licensed_users_rule", "rotation_grace_days", "free_test_keys_per_resource", "test_key_window",
        "test_overflow_cadence", "access_proration", "overuse_mode", "usage_envs", "late_usage_days",
    )  # fmt: skip

    def whole(key: str, otherwise: int) -> int:
        return item.whole(key, least=0) if item.has(key) else otherwise

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
        keys=tuple(_key(row) for row in item.rows("keys")),
        usage=tuple(_usage(row) for row in item.rows("usage")),
        terms=tuple(_term(row) for row in item.rows("contract_terms")),
        access_invoiced_elsewhere=item.truth("access_invoiced_elsewhere")
        if item.has("access_invoiced_elsewhere")
        else False,
    )


def _price_list(row: Reading) -> PriceList:
    try:
        return parse(row.values)
    except FormatWrong as wrong:
        raise FormatWrong(f"{row.path}.{wrong}") from None


def _access(row: Reading, zone: ZoneInfo) -> AccessSpan:
    row.only("from", "to")
    return AccessSpan(
        calendar.start_of_day(row.day("from"), zone),
        calendar.start_of_day(row.day("to"), zone) if row.given("to") else None,
    )


def _licence(row: Reading) -> LicenceFact:
    row.only("at", "count")
    return LicenceFact(row.instant("at"), row.whole("count", least=0))


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
    try:
        calendar.next_month(month)
    except FormatWrong as wrong:
        raise FormatWrong(f"{row.at(key)}: {wrong}") from None
    return month
