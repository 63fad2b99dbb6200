"""The people of the chaos: a world to begin with, and acts of admins and co-workers that make notices untrue."""

import hashlib
import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from tomllib import loads
from typing import Protocol

from cast import OLAV, PEPPERS, company, user

from store import importing, installation, integrations, keys, licences, prices
from store.database import db, run_many, run_sql, session
from store.errors import Refused, StoreUnavailable
from store.installation import Installation
from store.rules import calendar, expiry
from store.tables import Integration, IntegrationEmail, IntegrationSpan, IntegrationUser, Key, KeySpan
from store.tables.record import Record
from torture.model import CompanyFact, KeyFact, Model, OwedMail, UserFact

PRICES = loads((Path(__file__).parents[2] / "examples" / "prices.toml").read_text(encoding="utf-8"))
BEGUN_DAYS_BEFORE = 9
# Midnight is skipped in Santiago, Beirut and Cairo, half hours in Lord Howe; Kathmandu is a quarter off.
ZONES = (
    "Europe/Oslo", "America/New_York", "Pacific/Auckland", "America/Santiago", "Asia/Beirut", "Australia/Lord_Howe",
    "Asia/Kathmandu", "America/St_Johns",
)  # fmt: skip
CURRENCIES = ("NOK", "EUR", "ISK", "SEK", "DKK", "EUR", "NOK", "USD")  # for USD there is no price list
ENVIRONMENTS = ("prod", "sandbox", "all")


class Oracle(Protocol):
    """Who has to know that what is queued is withdrawn."""

    def key_changed(self, key: KeyFact) -> None:
        """The key has another date, or was revoked or rotated."""

    def switched_off(self, company: CompanyFact) -> None:
        """API Access of the company is off."""

    def recipients_changed(self, company: CompanyFact) -> None:
        """Others are told of the company's keys."""


def build(size: int, begin: datetime, chance: random.Random) -> Model:
    """A store that was set up some days before, with so many keys; written by bare rows, so that nobody is mailed."""
    set_up = begin - timedelta(days=BEGUN_DAYS_BEFORE)
    with session(), db.atomic():
        installation.set_up(Installation(vendor="Fjord Software"), set_up)
        prices.publish(OLAV, PRICES, set_up)
        many = max(4, min(size // 12, 100))
        companies = [_company(number, set_up) for number in range(many)]
        _keys(companies, size, begin, chance)
    return Model(companies)


def _company(number: int, set_up: datetime) -> CompanyFact:
    zone, currency = ZONES[number % len(ZONES)], CURRENCIES[(number + number // len(ZONES)) % len(CURRENCIES)]
    name = f"c{number:03}"
    row = company(name, f"Company {number}", zone=zone, currency=currency, licences=2)
    users = [
        user(row, f"gone{number}" if extra == 2 and number % 5 == 0 else f"u{extra}", f"User {extra}")
        for extra in range(3)
    ]
    access = Integration.create(company=row, code="api_access", enabled_at=set_up)
    IntegrationSpan.create(integration=access, started_at=set_up)
    IntegrationUser.create(integration=access, user=users[0])
    ops = f"ops@{name}.example"
    IntegrationEmail.create(integration=access, address=ops, ascii=ops)
    facts = [UserFact(each.id, each.external_id, each.email) for each in users]
    return CompanyFact(row.id, name, calendar.zone(zone), facts, facts[0], [ops], set_up, [(set_up, None)])


def _keys(companies: list[CompanyFact], size: int, begin: datetime, chance: random.Random) -> None:
    rows, facts = [], []
    made = begin - timedelta(days=40)
    for number in range(size):
        of = companies[number % len(companies)]
        resource = chance.choice(of.users)
        set_on = calendar.local_day(made, of.zone)
        expires_on = set_on + timedelta(days=chance.randint(38, 730))
        ends_at = expiry.ends_at(expires_on, of.zone)
        label = f"k{number:05}"
        fact = KeyFact(
            0, of, resource, label, chance.choice(ENVIRONMENTS), "standard", made, expires_on, set_on, ends_at,
            [(made, ends_at)],
        )  # fmt: skip
        facts.append(fact)
        rows.append(_row(fact))
    _insert(Key, rows)
    ids = dict(run_sql("SELECT label, id FROM api_key").fetchall())
    for fact in facts:
        fact.id = ids[fact.label]
        fact.company.keys.append(fact)
    _insert(KeySpan, [{"key": fact.id, "started_at": made, "ended_at": fact.ends_at} for fact in facts])


def _insert(table: type[Record], rows: list[dict[str, object]]) -> None:
    """All in one statement that is prepared once: to put together one for many rows takes longer than to write them."""
    columns = [table._meta.fields[name] for name in rows[0]]
    names, marks = ", ".join(column.column_name for column in columns), ", ".join("?" * len(columns))
    text = f"INSERT INTO {table._meta.table_name} ({names}) VALUES ({marks})"
    run_many(text, [[column.db_value(row[column.name]) for column in columns] for row in rows])


def _row(fact: KeyFact) -> dict[str, object]:
    digest = hashlib.sha256(fact.label.encode()).digest()
    return {
        "company": fact.company.id, "resource": fact.resource.id, "handle": "key_" + digest.hex()[:16],
        "label": fact.label, "folded": fact.label, "environment": fact.environment, "kind": fact.kind,
        "digest": digest, "pepper_version": 1, "first": f"kdp_{fact.label[2:]}", "last": "wxyz",
        "created_at": fact.created_at, "created_by": "olav", "expires_on": fact.expires_on,
        "expiry_set_on": fact.set_on, "lifetime_days": (fact.expires_on - fact.set_on).days, "ends_at": fact.ends_at,
    }  # fmt: skip


class People:
    """Who acts, by a seed, through the product's own doors."""

    def __init__(self, model: Model, oracle: Oracle, folder: Path) -> None:
        self.model, self.oracle, self.folder = model, oracle, folder
        self.refused = 0
        self.acted = 0
        self.acts: tuple[tuple[Callable[[random.Random, datetime], None], int], ...] = (
            (self._new_key, 5), (self._edit, 6), (self._rotate, 2), (self._revoke, 2), (self._licences, 2),
            (self._switch, 3), (self._address, 2), (self._leave, 2),
        )  # fmt: skip

    def act(self, chance: random.Random, now: datetime) -> None:
        """One act. What the product refuses, and what a stopped worker keeps from being written, did not happen."""
        act = chance.choices([each for each, _ in self.acts], [weight for _, weight in self.acts])[0]
        self._try(lambda: act(chance, now))

    def make_untrue(self, key_id: int, chance: random.Random, now: datetime) -> None:
        """Do something about one key of which somebody is just being told."""
        key = next(each for each in self.model.every_key() if each.id == key_id)
        drawn = chance.random()
        if drawn < 0.2 and key.company.enabled_at is not None:
            self._try(lambda: self._save(key.company, now, enabled=False))
        elif drawn < 0.6 and key.works(now):
            self._try(lambda: self._revoke_one(key, now))
        else:
            self._try(lambda: self._edit_one(key, chance, now))

    def _try(self, act: Callable[[], None]) -> None:
        try:
            with session():
                act()
            self.acted += 1
        except (Refused, StoreUnavailable):
            self.refused += 1

    def switch_everybody_on(self, now: datetime) -> None:
        """So that what was held back by that alone can be seen."""
        for each in self.model.companies:
            if each.enabled_at is None:
                with session():
                    self._save(each, now, enabled=True)

    def _company(self, chance: random.Random, *, on: bool = True) -> CompanyFact:
        fit = [each for each in self.model.companies if (each.enabled_at is not None) == on]
        return chance.choice(fit or self.model.companies)

    def _key(self, chance: random.Random, now: datetime, *, expired: bool = False) -> KeyFact:
        fit = [
            key for key in self._company(chance).keys
            if key.revoked_at is None and key.rotated_at is None and key.kind == "standard"
            and (key.works(now) or (expired and key.ends_at <= now))
        ]  # fmt: skip
        if not fit:
            raise Refused("There is no such key.")
        return chance.choice(fit)

    def _new_key(self, chance: random.Random, now: datetime) -> None:
        company = self._company(chance)
        today = calendar.local_day(now, company.zone)
        resource = chance.choice([each for each in company.users if each.active])
        kind: keys.Kind = "test" if chance.random() < 0.2 else "standard"
        label = f"k{sum(len(each.keys) for each in self.model.companies):05}"
        made = keys.create(
            OLAV, PEPPERS, company_id=company.id, resource_id=resource.id, environment=chance.choice(ENVIRONMENTS),
            kind=kind, label=label, expires_on=None if kind == "test" else today + _days(chance), now=now,
        )  # fmt: skip
        self._made(company, resource, made.key)
        self._owe("key_created", company, resource, label, now)

    def _made(self, company: CompanyFact, resource: UserFact, row: Key) -> None:
        company.keys.append(
            KeyFact(
                row.id, company, resource, row.label, row.environment, row.kind, row.created_at, row.expires_on,
                row.expiry_set_on, row.ends_at, [(row.created_at, row.ends_at)],
            )
        )  # fmt: skip

    def _edit(self, chance: random.Random, now: datetime) -> None:
        self._edit_one(self._key(chance, now, expired=True), chance, now)

    def _edit_one(self, key: KeyFact, chance: random.Random, now: datetime) -> None:
        wanted = calendar.local_day(now, key.company.zone) + _days(chance)
        if wanted == key.expires_on:
            return
        row = keys.edit_expiry(OLAV, key.id, wanted, now)
        if key.ends_at > now:
            key.spans = [(start, row.ends_at if end is None or end > now else end) for start, end in key.spans]
        else:
            key.spans.append((now, row.ends_at))
        self.oracle.key_changed(key)
        key.expires_on, key.set_on, key.ends_at = row.expires_on, row.expiry_set_on, row.ends_at
        self._owe("key_expiry_changed", key.company, key.resource, key.label, now)

    def _rotate(self, chance: random.Random, now: datetime) -> None:
        key = self._key(chance, now)
        made = keys.rotate(OLAV, PEPPERS, key.id, now, calendar.local_day(now, key.company.zone) + _days(chance))
        self.oracle.key_changed(key)
        old = keys.get(key.id)
        key.rotated_at, key.ends_at = now, old.ends_at
        key.end(old.ends_at)
        self._made(key.company, key.resource, made.key)
        self._owe("key_rotated", key.company, key.resource, key.label, now)

    def _revoke(self, chance: random.Random, now: datetime) -> None:
        self._revoke_one(self._key(chance, now), now)

    def _revoke_one(self, key: KeyFact, now: datetime) -> None:
        keys.revoke(OLAV, key.id, "no longer used", now)
        self.oracle.key_changed(key)
        key.revoked_at = now
        key.end(now)
        self._owe("key_revoked", key.company, key.resource, key.label, now)

    def _licences(self, chance: random.Random, now: datetime) -> None:
        company = chance.choice(self.model.companies)
        number = chance.randint(1, 9)
        licences.set_licences(OLAV, company.id, number, calendar.local_day(now, company.zone), now)
        company.licences = number

    def _switch(self, chance: random.Random, now: datetime) -> None:
        company = self._company(chance, on=chance.random() < 0.4)
        self._save(company, now, enabled=company.enabled_at is None)

    def _address(self, chance: random.Random, now: datetime) -> None:
        company = self._company(chance)
        extra = f"extra@{company.name}.example"
        emails = (
            [each for each in company.emails if each != extra] if extra in company.emails else [*company.emails, extra]
        )
        self._save(company, now, enabled=True, emails=emails)

    def _save(self, company: CompanyFact, now: datetime, *, enabled: bool, emails: list[str] | None = None) -> None:
        emails = company.emails if emails is None else emails
        told = company.recipients()
        integrations.save_api_access(
            OLAV, company.id, enabled=enabled, user_ids=[company.told.id], emails=emails, now=now
        )
        if company.enabled_at is not None and not enabled:
            self.oracle.switched_off(company)
            company.spans[-1] = (company.spans[-1][0], now)
        elif company.enabled_at is None and enabled:
            company.spans.append((now, None))
        if enabled != (company.enabled_at is not None):
            company.enabled_at = now if enabled else None
        company.emails = emails
        self.oracle.recipients_changed(company)
        told |= company.recipients()
        self.model.mails += [OwedMail("integration_changed", each, "", now) for each in sorted(told)]

    def _leave(self, chance: random.Random, now: datetime) -> None:
        company = self._company(chance)
        leaver = company.users[chance.randint(1, 2)]
        path = self.folder / "main-system.json"
        row = {
            "company": company.name, "id": leaver.name, "name": f"User {company.users.index(leaver)}",
            "email": leaver.address, "rights": ["projects.read", "hours.write"],
            "active": not leaver.active,
        }  # fmt: skip
        path.write_text(json.dumps({"users": [row]}), encoding="utf-8")
        importing.take(OLAV, [path], now)
        leaver.active = not leaver.active
        leaver.left_at = None if leaver.active else now
        self.oracle.recipients_changed(company)

    def _owe(self, kind: str, company: CompanyFact, resource: UserFact, label: str, now: datetime) -> None:
        self.model.mails += [OwedMail(kind, each, label, now) for each in sorted(company.recipients(resource))]


def _days(chance: random.Random) -> timedelta:
    """How far away an expiry date is chosen: mostly so near that notices come of it."""
    near = chance.random() < 0.7
    return timedelta(days=chance.randint(2, 45) if near else chance.randint(60, 700))
