"""What each mail says: one frozen record a kind of mail, as the outbox keeps it (JSON) and the templates read it.

No secret fits in: a key is its first eight and last four characters and its label. Days are local dates of the company,
instants are aware UTC. How many days are left is never kept; it is counted on the day of sending.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Final, Literal
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
