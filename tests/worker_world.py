"""Four companies around the world, with keys in every state, for what the worker does over days.

Nordlys in Oslo and Hraun in Reykjavik have price lists in their currencies; Hudson in New York has none, so that its
invoices are parked; Kauri in Auckland pays in euro. Each has Åse or a namesake, who owns the keys and is told, and an
address beside hers.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tomllib import loads

from cast import OLAV, PEPPERS, company, enable, key_of, user

from store import installation, keys, prices
from store.database import writing
from store.installation import Installation
from store.tables import Company, Key, User

SET_UP = datetime(2026, 11, 1, 12, tzinfo=UTC)
START = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)  # a Monday
PRICES = loads((Path(__file__).parent.parent / "examples" / "prices.toml").read_text(encoding="utf-8"))
PLACES = (
    ("nordlys", "Nordlys AS", "Europe/Oslo", "NOK", "Åse Berg"),
    ("hraun", "Hraun ehf.", "Atlantic/Reykjavik", "ISK", "Ása Jónsdóttir"),
    ("hudson", "Hudson Inc.", "America/New_York", "USD", "Asa Brown"),
    ("kauri", "Kauri Ltd", "Pacific/Auckland", "EUR", "Aroha Tane"),
)


@dataclass(frozen=True)
class Place:
    """A company, who owns its keys, and its keys by what they are."""

    company: Company
    resource: User
    keys: dict[str, Key]


@writing()  # one transaction: a hundred would each wait for the disk
def populate(start: datetime = START) -> dict[str, Place]:
    """Set the store up on 1 November, so that November is the first month owed, and fill it as it stands at `start`."""
    installation.set_up(Installation(vendor="Fjord Software"), SET_UP)
    prices.publish(OLAV, PRICES, SET_UP)
    return {place[0]: _place(*place, start) for place in PLACES}


def _place(external_id: str, name: str, zone: str, currency: str, resource: str, start: datetime) -> Place:
    made = company(external_id, name, zone=zone, currency=currency, licences=2)
    owner = user(made, "ase", resource)
    enable(made, owner, f"ops@{external_id}.example")
    day = start.date()
    return Place(made, owner, _keys(owner, start, day))


def _keys(owner: User, start: datetime, day: date) -> dict[str, Key]:
    def key(label: str, days: int, made_before: int = 100, **more: str) -> Key:
        """Expires `days` after the start, made some days before it."""
        return key_of(
            owner,
            label=label,
            expires_on=day + timedelta(days=days),
            now=start - timedelta(days=made_before),
            **more,  # type: ignore[arg-type]
        ).key

    revoked = key("revoked", 30)
    keys.revoke(OLAV, revoked.id, "no longer used", start - timedelta(days=10))
    rotated = key("rotated", 30)
    successor = keys.rotate(OLAV, PEPPERS, rotated.id, start - timedelta(days=2), day + timedelta(days=400)).key
    test = key_of(owner, label="test", kind="test", expires_on=None, now=start - timedelta(days=1)).key
    return {
        "lives": key("lives", 500, environment="all"),
        "sandbox": key("sandbox", 500, environment="sandbox"),
        "soon": key("soon", 10),
        "later": key("later", 30),
        "expired": key("expired", -5),
        "revoked": revoked,
        "rotated": rotated,
        "successor": successor,
        "test": test,
    }
