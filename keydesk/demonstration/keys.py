"""The demo's keys, in every state that a key can be in, each led there by what leads there in life."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

from keydesk.demonstration.names import Firm
from keydesk.demonstration.world import World
from store import companies, keys
from store.rules import calendar, expiry
from store.rules.key_format import Environment
from store.tables import Company, Key, User

_LABELS: Final = (
    "erp-sync", "lønn", "timeføring", "BI-eksport", "webshop", "lager", "kundeportal", "årsoppgjør", "mobil-app",
    "webhooks", "bókhald", "palkat", "fakturaflöde", "n8n", "Power BI", "crm", "kør-app", "Zeiterfassung", "nattjobb",
)  # fmt: skip
_REASONS: Final = (
    "found in a public repository", "the integration was taken out of use", "the consultant has left",
    "shared by mail", "replaced by a key of its own for each system",
)  # fmt: skip
_EVERY_STATE: Final = frozenset({"c-1001", "c-1014"})
_MANY_TESTS: Final = frozenset({"c-1004", "c-1017"})  # more than are free


def plan(world: World, firm: Firm, enabled_at: datetime, until: datetime) -> None:
    """Plan the keys of a company that has API Access from `enabled_at` to `until`."""
    story = _Story(world, firm, enabled_at, until)
    count = firm.licences + 6 if firm.licences < 5 else world.random.randint(7, 13)
    fates = world.random.choices(list(_FATES), [weight for weight, _ in _FATES.values()], k=count)
    if firm.id in _EVERY_STATE:
        fates += _FATES
    for fate in fates:
        _FATES[fate][1](story)
    if firm.id in _MANY_TESTS:
        story.many_tests()


def use(world: World, ends: dict[int, datetime]) -> None:
    """Have most keys used for as long as they worked; `ends` is when API Access ended for some companies (row ids)."""
    random = world.random
    for key in Key.select().order_by(Key.id):
        end = min(world.now, key.ends_at, key.revoked_at or world.now, ends.get(key.company_id, world.now))
        lasted = (end - key.created_at).total_seconds()
        if lasted < 3600 or random.random() < 0.15:
            continue
        address = f"198.51.100.{random.randint(1, 254)}"
        for _ in range(min(int(random.expovariate(1 / 120)) + 1, 900)):
            seconds = int(lasted * (1 - random.random() ** 2))
            world.last_uses.note(key.id, key.created_at + timedelta(seconds=seconds), address)


class _Story:
    """What can become of a company's keys. Times are days before now, expiry dates days from today."""

    def __init__(self, world: World, firm: Firm, enabled_at: datetime, until: datetime) -> None:
        self.world = world
        self.random = world.random
        self.firm = firm
        self.company_id = world.companies[firm.id]
        self.since = (world.now - enabled_at) / timedelta(days=1) - 1
        self.until = until
        self.today = calendar.local_day(world.now, companies.zone(Company.get_by_id(self.company_id)))

    def lives(self) -> None:
        self.make(self.ago(0.1), self.random.randint(20, 640))

    def expires(self, days: int) -> None:
        self.make(self.ago(16), days)

    def expires_soon(self) -> None:
        self.expires(self.random.randint(4, 13))

    def expired(self) -> None:
        days = self.random.randint(1, 40)
        self.make(self.ago(days + 15), -days)

    def is_revoked(self) -> None:
        made = self.ago(1)
        reason = self.random.choice(_REASONS)
        self.make(
            made,
            self.random.randint(90, 600),
            self.random.uniform(0.1, made),
            lambda key, when: keys.revoke(self.world.actor(), key.id, reason, when),
        )

    def is_rotated(self, least: float, most: float) -> None:
        self.make(
            self.ago(most + 1),
            self.random.randint(60, 300),
            self.random.uniform(least, most),
            lambda key, when: keys.rotate(self.world.actor(), self.world.peppers, key.id, when),
        )

    def is_extended(self) -> None:
        made, day = self.ago(30), self.today + timedelta(days=self.random.randint(200, 500))
        self.make(
            made,
            self.random.randint(10, 40),
            self.random.uniform(0.2, 25),
            lambda key, when: keys.edit_expiry(self.world.actor(), key.id, day, when),
        )

    def tests(self, least: float, most: float) -> None:
        self.make(self.random.uniform(least, most), None)

    def many_tests(self) -> None:
        tester = self.resource()
        for days in (80, 78, 75, 70, 48, 20, 4, 2):
            self.make(days, None, resource=tester)

    def user_changes(self, days: float, **change: bool) -> None:
        """A key whose resource, who has no other, is no longer what a resource must be."""
        resource = self.world.users[self.firm.id].pop()
        self.make(self.ago(days + 1), self.random.randint(60, 600), resource=resource)

        def tell(when: datetime) -> None:
            user = User.get_by_id(resource)
            told = {"company": self.firm.id, "id": user.external_id, "name": user.name, **change}
            self.world.tell(when, users=[told])

        self.world.at(self.world.days_ago(days), tell)

    def ago(self, least: float) -> float:
        return self.random.uniform(least, max(self.since, least))

    def resource(self) -> int:
        return self.random.choice(self.world.users[self.firm.id][:40])

    def make(
        self,
        ago: float,
        expires_in: int | None,
        then_ago: float = 0,
        then: Callable[[Key, datetime], object] | None = None,
        resource: int | None = None,
    ) -> None:
        """Have a key made, a test key when it is not said when it expires, and something done to it later."""
        made, later = self.world.days_ago(ago), self.world.days_ago(then_ago)
        resource_id = resource or self.resource()
        label = self.random.choice(_LABELS)
        environment: Environment = self.random.choice(_ENVIRONMENTS)
        if made >= self.until or ago > self.since:
            return

        def create(when: datetime) -> None:
            key = keys.create(
                self.world.actor(),
                self.world.peppers,
                company_id=self.company_id,
                resource_id=resource_id,
                environment=environment,
                kind="test" if expires_in is None else "standard",
                label=label,
                expires_on=None if expires_in is None else self.last_day(expires_in, when),
                now=when,
            ).key
            if then is not None and later < self.until:
                self.world.at(later, lambda when: then(key, when))

        self.world.at(made, create)

    def last_day(self, expires_in: int, made: datetime) -> date:
        """The day so many days from today, or as late as was allowed when the key was made."""
        latest = expiry.latest(companies.today(companies.get(self.company_id), made))
        return min(self.today + timedelta(days=expires_in), latest)


_ENVIRONMENTS: Final[tuple[Environment, ...]] = ("prod", "prod", "prod", "sandbox", "all")
_FATES: Final[dict[str, tuple[int, Callable[[_Story], None]]]] = {
    "lives": (50, _Story.lives),
    "expires today": (1, lambda story: story.expires(0)),
    "expires tomorrow": (2, lambda story: story.expires(1)),
    "expires in 3 days": (3, lambda story: story.expires(3)),
    "expires in 14 days": (3, lambda story: story.expires(14)),
    "expires soon": (5, _Story.expires_soon),
    "expired": (9, _Story.expired),
    "revoked": (8, _Story.is_revoked),
    "retiring": (5, lambda story: story.is_rotated(0.3, 6)),
    "retired": (6, lambda story: story.is_rotated(8, 40)),
    "extended": (4, _Story.is_extended),
    "test": (6, lambda story: story.tests(0.1, 12)),
    "test, over": (5, lambda story: story.tests(16, 60)),
    "not licensed any more": (2, lambda story: story.user_changes(6, licensed=False)),
    "not active any more": (2, lambda story: story.user_changes(2, active=False)),
}
