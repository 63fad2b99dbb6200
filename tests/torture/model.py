"""What the people of the chaos have done, kept apart from the store: the facts from which the oracle reckons."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

Span = tuple[datetime, datetime | None]


@dataclass
class KeyFact:
    """An API key as people have made it. `ends_at` is the instant from which it is refused."""

    id: int
    company: "CompanyFact"
    resource: "UserFact"
    label: str
    environment: str
    kind: str
    created_at: datetime
    expires_on: date
    set_on: date
    ends_at: datetime
    spans: list[Span] = field(default_factory=list)
    revoked_at: datetime | None = None
    rotated_at: datetime | None = None

    def works(self, at: datetime) -> bool:
        """Whether it lives by itself."""
        return self.revoked_at is None and self.created_at <= at < self.ends_at

    def worked(self, at: datetime) -> bool:
        """Whether it lived then, whatever was done to it since."""
        return self.resource.was_there(at) and any(
            start <= at and (end is None or at < end) for start, end in self.spans
        )

    def end(self, at: datetime) -> None:
        """The span that lasts beyond `at` ends then."""
        self.spans = [(start, at if end is None or end > at else end) for start, end in self.spans]


@dataclass
class UserFact:
    """A co-worker; `id` is the store's, `name` the main system's."""

    id: int
    name: str
    address: str
    active: bool = True
    left_at: datetime | None = None

    def was_there(self, at: datetime) -> bool:
        """Whether he could be a key's resource then; of who has come back only that is known."""
        return self.active or (self.left_at is not None and self.left_at > at)


@dataclass
class CompanyFact:
    """A company with its users and keys. `name` is the main system's id for it."""

    id: int
    name: str
    zone: ZoneInfo
    users: list[UserFact]
    told: UserFact
    emails: list[str]
    enabled_at: datetime | None
    spans: list[Span] = field(default_factory=list)
    keys: list[KeyFact] = field(default_factory=list)
    licences: int = 2

    def recipients(self, resource: UserFact | None = None) -> set[str]:
        """Who hears of a change, or of one of the keys."""
        users = [user for user in (resource, self.told) if user is not None and user.active]
        return {user.address for user in users} | set(self.emails)

    def was_enabled(self, at: datetime) -> bool:
        """Whether API Access was on then."""
        return any(start <= at and (end is None or at < end) for start, end in self.spans)


@dataclass(frozen=True)
class OwedMail:
    """A mail that somebody is owed because something was done: `about` is a key's label, a month, or empty."""

    kind: str
    recipient: str
    about: str
    at: datetime


@dataclass
class Model:
    """All of it."""

    companies: list[CompanyFact]
    mails: list[OwedMail] = field(default_factory=list)

    def every_key(self) -> Iterator[KeyFact]:
        """Every key that was ever made."""
        for company in self.companies:
            yield from company.keys

    def by_zone(self) -> dict[str, list[CompanyFact]]:
        """The companies by the name of their time zone, which is the scope of a run."""
        found: dict[str, list[CompanyFact]] = {}
        for company in self.companies:
            found.setdefault(company.zone.key, []).append(company)
        return found
