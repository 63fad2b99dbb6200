"""A small world to look at from the desk: three companies, keys in every state, mails, notices, runs, nights, lines."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from store import installation, integrations, keys, peppers
from store.actors import Actor
from store.database import writing
from store.installation import Installation
from store.tables import (
    Company,
    Email,
    InvoiceLine,
    InvoiceMonth,
    Key,
    LastUse,
    Licence,
    Notice,
    RefreshMarker,
    Run,
    User,
    Worker,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 10, 9, tzinfo=UTC)
KARI = Actor("kari", "operator", "local tty")
AUDITOR = Actor("aud", "auditor", "ssh 10.0.0.7")
PEPPERS = peppers.Peppers({1: b"p" * 32})


def company(name: str = "Fjord AS", zone: str = "Europe/Oslo", **more: Any) -> Company:
    return Company.create(
        external_id=f"C{Company.select().count() + 1:04}",
        name=name,
        folded=name.casefold(),
        time_zone=zone,
        currency="NOK",
        language="en",
        billing_reference="",
        price_list="standard",
        vat_category="S",
        vat_rate="25",
        created_at=LONG_AGO,
        **more,
    )


def user(of: Company, name: str = "Ola Nordmann", **more: Any) -> User:
    number = User.select().count() + 1
    values = {"email": f"user{number}@example.com", "rights": ["projects:read"], "licensed_at": LONG_AGO, **more}
    return User.create(
        company=of,
        external_id=f"U{number:04}",
        name=name,
        folded=name.casefold(),
        email_ascii=values["email"],
        created_at=LONG_AGO,
        **values,
    )


def enable(of: Company, *people: User, at: datetime = LONG_AGO) -> None:
    ids = [one.id for one in people]
    integrations.save_api_access(KARI, of.id, enabled=True, user_ids=ids, emails=["it@example.com"], now=at)


def key(of: Company, resource: User, label: str, day: date = date(2027, 6, 1), **more: Any) -> Key:
    at = more.pop("at", LONG_AGO)
    kind = more.pop("kind", "standard")
    environment = more.pop("environment", "prod")
    made = keys.create(
        KARI,
        PEPPERS,
        company_id=of.id,
        resource_id=resource.id,
        environment=environment,
        kind=kind,
        label=label,
        expires_on=day,
        now=at,
    )
    return made.key


@writing()  # one transaction: two hundred would each wait for the disk
def small_world() -> Company:
    """Fjord AS has keys in all states; Tun ehf has API Access off; Kiwi Ltd is in Auckland."""
    installation.set_up(Installation("Vendor AS"), LONG_AGO)
    fjord = company()
    ola, lisa = user(fjord), user(fjord, "Lisa Øst", email="")
    user(fjord, "Nils Borte", deactivated_at=LONG_AGO)
    user(fjord, "Siv Ulisens", licensed_at=None)
    enable(fjord, ola)
    Licence.create(company=fjord, at=LONG_AGO, licences=12, recorded_at=LONG_AGO)
    live = key(fjord, ola, "ERP export")
    key(fjord, ola, "Expiring soon", date(2026, 12, 1))
    key(fjord, ola, "Over", date(2026, 11, 1))
    key(fjord, lisa, "Try", kind="test", at=NOW - timedelta(days=2), environment="sandbox")
    key(fjord, lisa, "For all", environment="all")
    rotating = key(fjord, ola, "Rotating")
    keys.rotate(KARI, PEPPERS, rotating.id, NOW - timedelta(days=1))
    retired = key(fjord, ola, "Retired")
    keys.rotate(KARI, PEPPERS, retired.id, NOW - timedelta(days=30))
    revoked = key(fjord, ola, "Leaked")
    keys.revoke(KARI, revoked.id, "on a USB stick", NOW - timedelta(days=3))
    LastUse.create(key=live, at=NOW - timedelta(hours=5), address="10.1.2.3", uses=48211)
    tun = company("Tun ehf", "Atlantic/Reykjavik")
    user(tun, "Björk")
    kiwi = company("Kiwi Ltd", "Pacific/Auckland")
    ana = user(kiwi, "Ana Waititi")
    enable(kiwi, ana)
    key(kiwi, ana, "Till tomorrow", date(2026, 11, 24))
    _of_the_worker(fjord, live)
    return fjord


def _of_the_worker(fjord: Company, live: Key) -> None:
    Worker.create(
        name="host:1:a",
        host="host",
        boot_id="b",
        pid=1,
        version="0.1",
        started_at=LONG_AGO,
        last_tick=NOW - timedelta(minutes=1),
    )
    for number, state in enumerate(("done", "failed", "due", "held", "missed")):
        Run.create(
            job="sandbox-refresh",
            scope="Europe/Oslo",
            period=f"2026-11-2{number}",
            state=state,
            planned_at=NOW,
            not_before=NOW + timedelta(hours=number),
            error="the disk is full" if state == "failed" else None,
            rows=3,
        )
    for number, state in enumerate(("done", "failed", "missed", "due")):
        RefreshMarker.create(
            company=fjord,
            night=date(2026, 11, 20) + timedelta(days=number),
            state=state,
            due_at=NOW,
            message="rsync: exit 12" if state == "failed" else None,
        )
    mail = Email.get()
    Email.update(
        state="sent",
        subject="A new API key",
        sent_at=NOW,
        message=b"Subject: A new API key\r\nTo: b@example.com\r\n\r\nHello Ola,\r\na key was made.\r\n",
    ).where(Email.id == mail.id).execute()
    Notice.create(
        key=live,
        expires_on=date(2027, 6, 1),
        threshold=14,
        recipient="",
        state="unreachable",
        created_at=NOW,
    )
    InvoiceMonth.create(
        company=fjord,
        month="2026-10",
        state="draft",
        currency="NOK",
        net_minor=34900,
        vat_minor=8725,
        gross_minor=43625,
        rated_at=NOW,
    )
    InvoiceLine.create(
        company=fjord,
        month="2026-10",
        line_key="access",
        description="API Access",
        because="API Access was enabled in October.",
        quantity="1",
        unit="month",
        unit_price="349.00",
        currency="NOK",
        gross_minor=34900,
        discount_minor=0,
        net_minor=34900,
        status="ok",
        reason="rated",
        price_list="standard NOK v1",
        explain={"enabled_days": 31},
        rated_at=NOW,
    )
