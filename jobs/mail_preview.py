"""Mails to look at before anybody gets them: a few made-up contexts a kind, from the shortest to a hostile one."""

from datetime import UTC, date, datetime
from typing import Final

from jobs.letter_context import (
    Change,
    Context,
    Envelope,
    IntegrationChanged,
    InvoiceLine,
    InvoiceLines,
    Key,
    KeyCreated,
    KeyExpired,
    KeyExpiring,
    KeyExpiryChanged,
    KeyRevoked,
    KeyRotated,
    LastUse,
    NoticedKey,
    Role,
    SandboxFailed,
    TestMail,
)

SAMPLE_TODAY: Final = date(2026, 11, 23)
SAMPLE_NOW: Final = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)

# What a name may try: a tag, an entity, a header, a link, a bidi override, no space to break a line at.
_HOSTILE: Final = (
    "<b onclick=x>&amp;{{ 7*7 }}</b>\r\nBcc: evil@evil.example =?utf-8?q?=0D=0ABcc:_x=40y?= "
    "https://evil.example \u202eesrever\u2066 \x1b[31m\x00 Økonomi-ß-名-integrasjonsnøkkelforregnskapsavstemming"
)
_COMPANY: Final = "Fjordfisk AS"
_ZONE: Final = "Europe/Oslo"
_AT: Final = datetime(2026, 11, 23, 7, 42, tzinfo=UTC)


def sample_contexts() -> dict[str, dict[str, Context]]:
    """By kind, then by name: `minimal`, `typical` and `hostile` for each, and what else a kind can say."""
    return {
        "key_created": _key_created(),
        "key_expiry_changed": _key_expiry_changed(),
        "key_revoked": _key_revoked(),
        "key_rotated": _key_rotated(),
        "integration_changed": _integration_changed(),
        "key_expiring": _key_expiring(),
        "key_expired": _key_expired(),
        "sandbox_failed": _sandbox_failed(),
        "invoice_lines": _invoice_lines(),
        "test_mail": _test_mail(),
    }


def _envelope(*roles: Role, to: str = "Åse Berg", vendor: str = "Nordlys Regnskap") -> Envelope:
    return Envelope(
        vendor=vendor,
        reply_to="support@nordlys.example",
        recipient_name=to,
        roles=roles or ("resource", "user-to-notify"),
        reference="KD-7F3K2",
    )


_MINIMAL: Final = _envelope("email-to-notify", to="", vendor="N")
_ATTACKED: Final = _envelope("resource", "user-to-notify", "email-to-notify", to=_HOSTILE, vendor=_HOSTILE)


def _key(
    expires_on: date, label: str = "erp-sync", *, shown: tuple[str, str] = ("kdp_Ab12", "x9Qz"), test: bool = False
) -> Key:
    return Key(
        first=shown[0],
        last=shown[1],
        label=label,
        resource="Åse Berg" if label != _HOSTILE else _HOSTILE,
        environment="sandbox" if test else "prod",
        kind="test" if test else "standard",
        expires_on=expires_on,
    )


def _key_created() -> dict[str, Context]:
    def made(envelope: Envelope, key: Key, company: str, by: str) -> KeyCreated:
        return KeyCreated(envelope=envelope, company=company, zone=_ZONE, key=key, by=by, at=_AT)

    return {
        "minimal": made(_MINIMAL, _key(date(2026, 11, 23), "x"), "C", "b"),
        "typical": made(_envelope(), _key(date(2027, 12, 6)), _COMPANY, "kari@nordlys.example"),
        "test": made(_envelope(), _key(date(2026, 12, 7), "try-out", test=True), _COMPANY, "kari@nordlys.example"),
        "hostile": made(_ATTACKED, _key(date(2028, 2, 29), _HOSTILE), _HOSTILE, _HOSTILE),
    }


def _key_expiry_changed() -> dict[str, Context]:
    def changed(envelope: Envelope, key: Key, before: date, company: str = _COMPANY) -> KeyExpiryChanged:
        by = _HOSTILE if company == _HOSTILE else "kari@nordlys.example"
        return KeyExpiryChanged(envelope=envelope, company=company, zone=_ZONE, key=key, before=before, by=by, at=_AT)

    return {
        "minimal": changed(_MINIMAL, _key(date(2026, 11, 23), ""), date(2026, 11, 24)),
        "typical": changed(_envelope(), _key(date(2027, 12, 6)), date(2026, 12, 6)),
        "shortened": changed(_envelope(), _key(date(2026, 11, 30)), date(2027, 12, 6)),
        "revived": changed(_envelope(), _key(date(2027, 11, 22)), date(2026, 11, 20)),
        "hostile": changed(_ATTACKED, _key(date(2027, 12, 6), _HOSTILE), date(2026, 12, 6), _HOSTILE),
    }


def _key_revoked() -> dict[str, Context]:
    def revoked(envelope: Envelope, key: Key, reason: str, company: str = _COMPANY) -> KeyRevoked:
        by = _HOSTILE if company == _HOSTILE else "kari@nordlys.example"
        return KeyRevoked(envelope=envelope, company=company, zone=_ZONE, key=key, reason=reason, by=by, at=_AT)

    return {
        "minimal": revoked(_MINIMAL, _key(date(2026, 11, 23), "x"), ""),
        "typical": revoked(_envelope(), _key(date(2027, 12, 6)), "Found in a public repository"),
        "hostile": revoked(_ATTACKED, _key(date(2027, 12, 6), _HOSTILE), _HOSTILE, _HOSTILE),
    }


def _key_rotated() -> dict[str, Context]:
    def rotated(envelope: Envelope, key: Key, company: str = _COMPANY) -> KeyRotated:
        return KeyRotated(
            envelope=envelope,
            company=company,
            zone=_ZONE,
            key=key,
            old_first="kdp_Zz90",
            old_last="b7Lm",
            old_works_until=datetime(2026, 11, 30, 7, 42, tzinfo=UTC),
            by=_HOSTILE if company == _HOSTILE else "kari@nordlys.example",
            at=_AT,
        )

    return {
        "minimal": rotated(_MINIMAL, _key(date(2026, 12, 1), "x"), "C"),
        "typical": rotated(_envelope(), _key(date(2027, 12, 6))),
        "hostile": rotated(_ATTACKED, _key(date(2027, 12, 6), _HOSTILE), _HOSTILE),
    }


def _integration_changed() -> dict[str, Context]:
    def changed(
        envelope: Envelope, *changes: tuple[str, str, str], switched: str = "", keys: int = 0, company: str = _COMPANY
    ) -> IntegrationChanged:
        return IntegrationChanged(
            envelope=envelope,
            company=company,
            zone=_ZONE,
            integration=_HOSTILE if company == _HOSTILE else "API Access",
            changes=tuple(Change(field=field, before=before, after=after) for field, before, after in changes),
            switched="on" if switched == "on" else "off" if switched == "off" else None,
            keys=keys,
            by=_HOSTILE if company == _HOSTILE else "kari@nordlys.example",
            at=_AT,
        )

    told = ("Users to notify", "Åse Berg", "Åse Berg, Jón Þórsson")
    mailed = ("Emails to notify", "", "drift@fjordfisk.example")
    return {
        "minimal": changed(_MINIMAL, ("Emails to notify", "a@b.example", "")),
        "typical": changed(_envelope("user-to-notify"), told, mailed),
        "switched on": changed(_envelope("user-to-notify"), ("Enabled", "No", "Yes"), told, switched="on", keys=12),
        "switched off": changed(_envelope("user-to-notify"), ("Enabled", "Yes", "No"), switched="off", keys=1204),
        "hostile": changed(_ATTACKED, (_HOSTILE, _HOSTILE, _HOSTILE), switched="off", keys=1, company=_HOSTILE),
    }


_USED: Final = LastUse(at=datetime(2026, 11, 23, 6, 58, tzinfo=UTC), address="192.0.2.17", calls=48211)
_USED_ONCE: Final = LastUse(at=datetime(2026, 3, 2, 13, 5, tzinfo=UTC), address="2001:db8::1f", calls=1)


def _key_expiring() -> dict[str, Context]:
    def expiring(envelope: Envelope, *keys: NoticedKey, company: str = _COMPANY) -> KeyExpiring:
        return KeyExpiring(envelope=envelope, company=company, zone=_ZONE, keys=keys)

    two_weeks = NoticedKey(key=_key(date(2026, 12, 7)), last_use=_USED)
    three_days = NoticedKey(key=_key(date(2026, 11, 26), "webshop", shown=("kda_P0o9", "Uu77")), last_use=_USED_ONCE)
    test = NoticedKey(key=_key(date(2026, 11, 26), "try-out", shown=("kds_Qq34", "tt01"), test=True))
    attacked = NoticedKey(
        key=_key(date(2026, 11, 26), _HOSTILE), last_use=LastUse(at=_AT, address="2001:db8:0:1:2:3:4:5", calls=1)
    )
    return {
        "minimal": expiring(_MINIMAL, NoticedKey(key=_key(date(2026, 11, 23), "x"))),
        "typical": expiring(_envelope("resource"), two_weeks),
        "tomorrow": expiring(_envelope("resource"), NoticedKey(key=_key(date(2026, 11, 24)), last_use=_USED)),
        "test": expiring(_envelope("resource"), test),
        "digest": expiring(_envelope("user-to-notify"), three_days, test, two_weeks),
        "hostile": expiring(_ATTACKED, attacked, attacked, company=_HOSTILE),
    }


def _key_expired() -> dict[str, Context]:
    def expired(envelope: Envelope, *keys: NoticedKey, company: str = _COMPANY) -> KeyExpired:
        return KeyExpired(envelope=envelope, company=company, zone=_ZONE, keys=keys)

    until_midnight = LastUse(at=datetime(2026, 11, 22, 22, 58, tzinfo=UTC), address="192.0.2.17", calls=48211)
    yesterday = NoticedKey(key=_key(date(2026, 11, 22)), last_use=until_midnight)
    older = NoticedKey(key=_key(date(2026, 11, 20), "webshop", shown=("kda_P0o9", "Uu77")), last_use=_USED_ONCE)
    test = NoticedKey(key=_key(date(2026, 11, 22), "try-out", shown=("kds_Qq34", "tt01"), test=True))
    attacked = NoticedKey(key=_key(date(2026, 11, 22), _HOSTILE), last_use=None)
    return {
        "minimal": expired(_MINIMAL, NoticedKey(key=_key(date(2026, 11, 22), "x"))),
        "typical": expired(_envelope("resource"), yesterday),
        "digest": expired(_envelope("user-to-notify"), older, yesterday, test),
        "hostile": expired(_ATTACKED, attacked, attacked, company=_HOSTILE),
    }


def _sandbox_failed() -> dict[str, Context]:
    def failed(
        envelope: Envelope, company: str, message: str, data_from: date | None, quarantined_after: int | None = None
    ) -> SandboxFailed:
        return SandboxFailed(
            envelope=envelope,
            company=company,
            zone=_ZONE,
            night=date(2026, 11, 23),
            message=message,
            data_from=data_from,
            quarantined_after=quarantined_after,
        )

    said = "pg_restore: error: could not execute query: ERROR: disk full (exit status 1)"
    return {
        "minimal": failed(_MINIMAL, "C", "", None),
        "typical": failed(_envelope("operator"), _COMPANY, said, date(2026, 11, 21)),
        "quarantined": failed(_envelope("user-to-notify"), _COMPANY, said, date(2026, 11, 20), 3),
        "hostile": failed(_ATTACKED, _HOSTILE, _HOSTILE * 3, date(2026, 11, 21)),
    }


def _invoice_lines() -> dict[str, Context]:
    def owed(
        envelope: Envelope, company: str, lines: tuple[InvoiceLine, ...], *sums: str, is_correction: bool = False
    ) -> InvoiceLines:
        return InvoiceLines(
            is_correction=is_correction,
            envelope=envelope,
            company=company,
            zone=_ZONE,
            month="2026-11",
            lines=lines,
            net=sums[0],
            vat=sums[1],
            gross=sums[2],
            billing_reference=_HOSTILE if company == _HOSTILE else "PO 4711 / Åse" if lines else "",
        )

    access = InvoiceLine(
        description="API access, 10 licensed users",
        because="10 users were licensed at the most, from 1 November on.",
        quantity="10 users",
        unit_price="NOK 89.00",
        net="NOK 890.00",
    )
    extra = InvoiceLine(
        description="Extra API keys",
        because="8 keys were in use at the same time on 12 November at 10:00; 5 are included.",
        quantity="3 keys",
        unit_price="NOK 49.00",
        net="NOK 147.00",
    )
    taken_back = InvoiceLine(
        description="Credit for November 2026: API access, 11 licensed users",
        because="Takes back this line of November 2026 exactly as it was invoiced.",
        quantity="-11 users",
        unit_price="NOK 89.00",
        net="NOK -979.00",
    )
    attacked = InvoiceLine(
        description=_HOSTILE, because=_HOSTILE, quantity="1 key", unit_price="NOK 49.00", net="NOK 1,234,567,890.00"
    )
    return {
        "minimal": owed(_MINIMAL, "C", (), "NOK 0.00", "NOK 0.00", "NOK 0.00"),
        "typical": owed(_envelope("billing"), _COMPANY, (access, extra), "NOK 1,037.00", "NOK 259.25", "NOK 1,296.25"),
        "hostile": owed(_ATTACKED, _HOSTILE, (attacked,), "NOK 49.00", "NOK 12.25", "NOK 61.25"),
        "correction": owed(
            _envelope("billing"),
            _COMPANY,
            (taken_back, access),
            "NOK -89.00",
            "NOK -22.25",
            "NOK -111.25",
            is_correction=True,
        ),
    }


def _test_mail() -> dict[str, Context]:
    return {
        "minimal": TestMail(envelope=_MINIMAL, by="b", at=_AT),
        "typical": TestMail(envelope=_envelope("operator", to="Kari Lien"), by="kari@nordlys.example", at=_AT),
        "hostile": TestMail(envelope=_ATTACKED, by=_HOSTILE, at=_AT),
    }
