"""The people and companies of these tests.

Nordlys AS in Oslo pays for twelve licences. Åse is an active, licensed co-worker and the one to notify; Bo is active
but not licensed; Cecilie has left. Sydlys ApS in Copenhagen is somebody else's business. Olav is an operator.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from store import installation, integrations, keys
from store.actors import Actor
from store.installation import Installation
from store.peppers import Peppers
from store.rules.key_format import Environment
from store.tables import Company, Licence, User

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday; 13:00 in Oslo
LONG_AGO = datetime(2026, 1, 1, 12, tzinfo=UTC)
PEPPERS = Peppers({1: b"p" * 32})
OLAV = Actor("olav", "operator", "test")


@dataclass(frozen=True)
class Cast:
    nordlys: Company
    sydlys: Company
    ase: User
    bo: User
    cecilie: User
    dorte: User


def company(
    external_id: str, name: str, *, zone: str = "Europe/Oslo", currency: str = "NOK", licences: int = 12
) -> Company:
    made = Company.create(
        external_id=external_id,
        name=name,
        folded=name.casefold(),
        time_zone=zone,
        currency=currency,
        language="en",
        billing_reference=f"PO-{external_id}",
        price_list="API",
        vat_category="S",
        vat_rate="25",
        created_at=LONG_AGO,
    )
    Licence.create(company=made, at=LONG_AGO, licences=licences, recorded_at=LONG_AGO)
    return made


def user(of: Company, external_id: str, name: str, *, active: bool = True, licensed: bool = True) -> User:
    address = f"{external_id}@{of.external_id}.example"
    return User.create(
        company=of,
        external_id=external_id,
        name=name,
        folded=name.casefold(),
        email=address,
        email_ascii=address,
        rights=["projects.read", "hours.write"],
        created_at=LONG_AGO,
        deactivated_at=None if active else LONG_AGO,
        licensed_at=LONG_AGO if licensed else None,
    )


def arrive() -> Cast:
    installation.set_up(Installation(vendor="Fjord Software"), LONG_AGO)
    nordlys = company("nordlys", "Nordlys AS")
    sydlys = company("sydlys", "Sydlys ApS", zone="Europe/Copenhagen", currency="DKK")
    return Cast(
        nordlys=nordlys,
        sydlys=sydlys,
        ase=user(nordlys, "ase", "Åse Berg"),
        bo=user(nordlys, "bo", "Bo Dahl", licensed=False),
        cecilie=user(nordlys, "cecilie", "Cecilie Eng", active=False),
        dorte=user(sydlys, "dorte", "Dorte Friis"),
    )


def enable(of: Company, told: User, *emails: str, now: datetime = LONG_AGO) -> None:
    integrations.save_api_access(OLAV, of.id, enabled=True, user_ids=[told.id], emails=list(emails), now=now)


def key_of(
    resource: User,
    *,
    environment: Environment = "prod",
    kind: keys.Kind = "standard",
    expires_on: date | None = date(2028, 11, 23),
    label: str = "erp-sync",
    now: datetime = NOON,
) -> keys.Created:
    return keys.create(
        OLAV,
        PEPPERS,
        company_id=resource.company_id,
        resource_id=resource.id,
        environment=environment,
        kind=kind,
        label=label,
        expires_on=expires_on,
        now=now,
    )
