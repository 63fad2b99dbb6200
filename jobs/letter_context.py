"""What each mail says: one frozen record a kind of mail, as the outbox keeps it (JSON) and the templates read it.

No secret fits in: a key is its first eight and last four characters and its label. Days are local dates of the company,
instants are aware UTC. How many days are left is never kept; it is counted on the day of sending.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from functools import cache, partial
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

from store.errors import FormatWrong

Role = Literal["resource", "user-to-notify", "email-to-notify", "operator", "billing"]
"""Why somebody gets a mail; the sentence for it stands in the layout."""

Environment = Literal["prod", "sandbox", "all"]
KeyKind = Literal["standard", "test"]


@dataclass(frozen=True, slots=True)
class Foreign:
    """Marks text that somebody typed: defanged in bodies, cut at `limit`, and `empty` stands where it says nothing."""

    empty: str = "(no name)"
    limit: int = 64


Name = Annotated[str, Foreign()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Who writes to whom and why; the same for every kind. `reference` finds the mail again when somebody answers."""

    vendor: Name
    reply_to: str
    recipient_name: Annotated[str, Foreign(empty="")] = ""
    roles: tuple[Role, ...]
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key as people may see it: `first` eight and `last` four characters, never more."""

    first: str
    last: str
    label: Name
    resource: Name
    environment: Environment
    kind: KeyKind
    expires_on: date

    def __post_init__(self) -> None:
        """Refuse what could give the key back."""
        if len(self.first) > 8 or len(self.last) > 4:
            raise FormatWrong("A mail may show only the first 8 and the last 4 characters of a key.")

    @property
    def shown(self) -> str:
        """`kdp_Ab12…x9Qz`."""
        return f"{self.first}…{self.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastUse:
    """When and from where a key was last used; `calls` counts all its accepted calls so far."""

    at: datetime
    address: str
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticedKey:
    """One key of a digest; `last_use` is None for a key that was never used."""

    key: Key
    last_use: LastUse | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One setting that changed, its values as people read them."""

    field: Name
    before: Annotated[str, Foreign(empty="(none)", limit=400)]
    after: Annotated[str, Foreign(empty="(none)", limit=400)]


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """One invoice line, its amounts already written with their currency."""

    description: Annotated[str, Foreign(limit=200)]
    because: Annotated[str, Foreign(empty="", limit=400)]
    quantity: str
    unit_price: str
    net: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What every kind of mail has."""

    envelope: Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyContext(Context):
    """A mail about one company; `zone` is its IANA time zone."""

    company: Name
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyContext(CompanyContext):
    """A mail about what `by` did to one key at `at`."""

    key: Key
    by: Name
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCreated(KeyContext):
    """A key was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyExpiryChanged(KeyContext):
    """A key got another expiry date; `key.expires_on` is the new one."""

    before: date

    @property
    def after(self) -> date:
        """The new expiry date."""
        return self.key.expires_on

    @property
    def change(self) -> Literal["shortened", "lengthened", "revived"]:
        """Revived when the old date had passed on the day of the change, in the company's zone."""
        if self.after < self.before:
            return "shortened"
        return "revived" if self.before < self.at.astimezone(ZoneInfo(self.zone)).date() else "lengthened"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRevoked(KeyContext):
    """A key was revoked, at once and for good."""

    reason: Annotated[str, Foreign(empty="(no reason given)", limit=400)]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotated(KeyContext):
    """`key` succeeds the one shown by `old_first` and `old_last`, which works until `old_works_until`."""

    old_first: str
    old_last: str
    old_works_until: datetime

    def __post_init__(self) -> None:
        """Refuse what could give the old key back."""
        if len(self.old_first) > 8 or len(self.old_last) > 4:
            raise FormatWrong("A mail may show only the first 8 and the last 4 characters of a key.")

    @property
    def old_shown(self) -> str:
        """`kdp_Ab12…x9Qz`."""
        return f"{self.old_first}…{self.old_last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationChanged(CompanyContext):
    """An integration's settings changed. Switched on or off, `keys` keys work again or stop working."""

    integration: Name
    changes: tuple[Change, ...]
    switched: Literal["on", "off"] | None
    keys: int
    by: Name
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDigest(CompanyContext):
    """One or more keys of one company for one recipient, in the order in which they are to be read, and `more`."""

    keys: tuple[NoticedKey, ...]
    more: int = 0  # keys that are not listed, where there are very many

    @property
    def count(self) -> int:
        """How many keys it is about."""
        return len(self.keys) + self.more

    @property
    def first_day(self) -> date:
        """The expiry date of the listed key that ends first."""
        return min(noticed.key.expires_on for noticed in self.keys)

    @property
    def last_day(self) -> date:
        """The expiry date of the listed key that ends last."""
        return max(noticed.key.expires_on for noticed in self.keys)

    @property
    def labels(self) -> str:
        """The labels of the listed keys in their order."""
        return ", ".join(noticed.key.label for noticed in self.keys)

    @property
    def tests(self) -> int:
        """How many of the listed keys are test keys."""
        return sum(noticed.key.kind == "test" for noticed in self.keys)

    def __post_init__(self) -> None:
        """Refuse a digest that says nothing."""
        if not self.keys:
            raise FormatWrong("A mail about expiring keys needs at least one key.")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyExpiring(KeyDigest):
    """These keys stop working soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyExpired(KeyDigest):
    """These keys have stopped working."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxFailed(CompanyContext):
    """The refresh of one night failed; the sandbox still holds what was copied in the night `data_from`, or nothing.

    `quarantined_after` so many failures in a row it is not tried again until the vendor has looked; None: next night.
    """

    night: date
    message: Annotated[str, Foreign(empty="(the refresh gave no message)", limit=600)]
    data_from: date | None
    quarantined_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLines(CompanyContext):
    """A company's final lines of one month (`2026-11`)."""

    month: str
    lines: tuple[InvoiceLine, ...]
    net: str
    vat: str
    gross: str
    billing_reference: Annotated[str, Foreign(empty="(none)")]
    is_correction: bool = False  # of a month that was invoiced before: the sums are the difference


@dataclass(frozen=True, slots=True, kw_only=True)
class TestMail(Context):
    """Proof that mail works, asked for by `by` at `at`."""

    __test__ = False  # not a test, whatever pytest thinks of the name

    by: Name
    at: datetime


CONTEXTS: Final[dict[str, type[Context]]] = {
    "key_created": KeyCreated,
    "key_expiry_changed": KeyExpiryChanged,
    "key_revoked": KeyRevoked,
    "key_rotated": KeyRotated,
    "integration_changed": IntegrationChanged,
    "key_expiring": KeyExpiring,
    "key_expired": KeyExpired,
    "sandbox_failed": SandboxFailed,
    "invoice_lines": InvoiceLines,
    "test_mail": TestMail,
}


def to_json(context: Context) -> dict[str, Any]:
    """The record as JSON values: dates as `2026-12-06`, instants as `2026-11-23T13:02:00Z`."""
    written = _written(context, type(context).__name__)
    return dict(written)


def from_json(kind: str, mapping: Mapping[str, Any]) -> Context:
    """The record of that kind; FormatWrong names the place of anything unknown, missing or of the wrong type."""
    if kind not in CONTEXTS:
        raise FormatWrong(f"There is no mail of the kind {kind!r}; there are {', '.join(CONTEXTS)}.")
    try:
        read = _reader(CONTEXTS[kind])(mapping)  # type: ignore[arg-type]
    except _Misfit as misfit:
        raise FormatWrong(f"{kind}{misfit.place} {misfit.fault}") from None
    if not isinstance(read, Context):  # pragma: no cover - CONTEXTS holds nothing else
        raise TypeError(kind)
    return read


def _written(value: Any, path: str) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise FormatWrong(f"{path} is an instant without a time zone.")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_written(item, f"{path}[{place}]") for place, item in enumerate(value)]
    if is_dataclass(value):
        return {f.name: _written(getattr(value, f.name), f"{path}.{f.name}") for f in fields(value)}
    return value


class _Misfit(Exception):
    """A value does not fit; `place` is where below what was to be read."""

    def __init__(self, fault: str, place: str = "") -> None:
        self.fault, self.place = fault, place
        super().__init__(fault)


Reader = Callable[[Any], Any]


@cache
def _reader(wanted: Any) -> Reader:
    """What reads a value of that type; made once, because mails are read all night long."""
    origin, args = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        inner = _reader(next(arg for arg in args if arg is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is Literal:
        return partial(_read_literal, args)
    if origin is tuple:
        return partial(_read_list, _reader(args[0]))
    if is_dataclass(wanted) and isinstance(wanted, type):
        optional = frozenset(field.name for field in fields(wanted) if field.default is not MISSING)
        hints = get_type_hints(wanted)
        return partial(
            _read_record, wanted, {each.name: _reader(hints[each.name]) for each in fields(wanted)}, optional
        )
    return partial(_read_time if wanted in (date, datetime) else _read_plain, wanted)


def _read_plain(wanted: type[Any], value: Any) -> Any:
    if type(value) is not wanted:
        raise _Misfit(f"must be of type {wanted.__name__}.")
    return value


def _read_literal(words: tuple[Any, ...], value: Any) -> Any:
    if value not in words:
        raise _Misfit(f"is {value!r}; it must be one of {', '.join(map(str, words))}.")
    return value


def _read_list(reader: Reader, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _Misfit("must be a list.")
    read = []
    for item in value:
        try:
            read.append(reader(item))
        except _Misfit as misfit:
            raise _Misfit(misfit.fault, f"[{len(read)}]{misfit.place}") from None
    return tuple(read)


def _read_record(wanted: type[Any], readers: Mapping[str, Reader], optional: AbstractSet[str], value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _Misfit("must be an object.")
    if value.keys() != readers.keys():
        odd = (value.keys() ^ readers.keys()) - (optional - value.keys())
        if odd:
            raise _Misfit(f"has unknown or missing names: {', '.join(sorted(map(str, odd)))}.")
    read = {}
    for name, given in value.items():
        try:
            read[name] = readers[name](given)
        except _Misfit as misfit:
            raise _Misfit(misfit.fault, f".{name}{misfit.place}") from None
    return wanted(**read)


def _read_time(wanted: type[date], value: Any) -> date:
    try:
        read = wanted.fromisoformat(value)
    except (TypeError, ValueError):
        raise _Misfit(f"is not a {'date' if wanted is date else 'UTC instant'}.") from None
    if isinstance(read, datetime):
        if read.tzinfo is None:
            raise _Misfit("is an instant without a time zone.")
        return read.astimezone(UTC)
    return read
