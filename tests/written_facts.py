"""A worked month of tests/billing/examples.json as rows of the store."""

import json
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any

from cast import LONG_AGO, OLAV, company, user

from store import contract_terms
from store.contract_terms import Draft
from store.rules import calendar
from store.tables import (
    Company,
    Integration,
    IntegrationSpan,
    Key,
    KeySpan,
    Licence,
    PriceList,
    UsageBatch,
    UsageDay,
)

CASES: dict[str, Any] = json.loads((Path(__file__).parent / "billing" / "examples.json").read_text(encoding="utf-8"))
EXAMPLES: dict[str, dict[str, Any]] = {example["id"]: example for example in CASES["examples"]}


def write_price_lists() -> None:
    for row in CASES["price_lists"]:
        PriceList.create(
            **{name: row[name] for name in ("code", "currency", "version", "items")},
            effective_from=date.fromisoformat(row["effective_from"]),
            published_at=LONG_AGO,
            published_by="olav",
        )


def write_facts(example: dict[str, Any]) -> Company:
    """The company is there since its first month that matters, so that a worker owes no other."""
    facts = example["company"]
    made = company(example["id"], f"{example['id']} AS", zone=facts["tz"], currency=facts["currency"], licences=0)
    first = min([example["period"], *(final["period"] for final in example.get("finalized", []))])
    there_since = calendar.month_bounds(first, calendar.zone(facts["tz"]))[0]
    Company.update(vat_rate=facts["vat"]["rate"], vat_category=facts["vat"]["category"], created_at=there_since).where(
        Company.id == made.id
    ).execute()
    Licence.delete().where(Licence.company == made).execute()
    for row in facts["licences"]:
        Licence.create(company=made, at=instant(row["at"]), licences=row["count"], recorded_at=instant(row["at"]))
    access = Integration.create(company=made, code="api_access", enabled_at=None)
    for row in facts["access"]:
        start = calendar.start_of_day(date.fromisoformat(row["from"]), calendar.zone(facts["tz"]))
        IntegrationSpan.create(integration=access, started_at=start)
    write_keys(made, facts["keys"])
    write_usage(made, facts["usage"])
    for row in facts.get("contract_terms", []):
        last = calendar.month_of(date.fromordinal(date.fromisoformat(row["to"]).toordinal() - 1)) if row["to"] else None
        reference = row.get("ref", "oral")
        draft = Draft(row["line"], row["kind"], row.get("value"), row["from"][:7], last, reference)
        contract_terms.set_term(OLAV, made.id, draft, LONG_AGO)
    if facts.get("access_invoiced_elsewhere"):
        draft = Draft("access", "access_invoiced_elsewhere", None, "2026-01", None, "main contract")
        contract_terms.set_term(OLAV, made.id, draft, LONG_AGO)
    return made


def policy_of(example: dict[str, Any]) -> dict[str, Any]:
    return {**CASES["default_policy"], **example.get("policy", {})}


def write_keys(made: Company, rows: list[dict[str, Any]]) -> None:
    resources = {name: user(made, name, name) for name in sorted({row["resource"] for row in rows})}
    ids: dict[str, int] = {}
    for row in rows:
        created, ends = instant(row["created_at"]), instant(row["expires_at"])
        revoked = instant(row["revoked_at"]) if row["revoked_at"] else None
        key = Key.create(
            company=made,
            resource=resources[row["resource"]],
            handle=f"{made.external_id} {row['id']}",
            label=row["id"],
            folded=row["id"],
            environment="prod",
            kind=row["kind"],
            digest=f"{made.id} {row['id']}".encode(),
            pepper_version=1,
            first="kdp_0000",
            last="0000",
            created_at=created,
            created_by="olav",
            expires_on=ends.date(),
            expiry_set_on=created.date(),
            lifetime_days=1,
            ends_at=ends,
            revoked_at=revoked,
            rotated_from=ids.get(row["rotated_from"]),
        )
        ids[row["id"]] = key.id
        if created < min(ends, revoked or ends):
            KeySpan.create(key=key, started_at=created, ended_at=min(ends, revoked or ends))


_batches = count()


def write_usage(made: Company, rows: list[dict[str, Any]]) -> None:
    """Each row is a batch of its own, known when the example says so, or as it happened."""
    zone = calendar.zone(made.time_zone)
    for row in rows:
        day = calendar.local_day(instant(row["hour"]), zone)
        batch = UsageBatch.create(
            source="gateway",
            batch=f"batch {next(_batches)}",
            received_at=instant(row.get("received_at") or row["hour"]),
            rows=1,
            rejected=0,
            first_day=day,
            last_day=day,
        )
        UsageDay.insert(
            batch=batch,
            company=made,
            key=Key.select().where(Key.company == made).order_by(Key.id).first(),
            day=day,
            environment=row.get("env", "prod"),
            requests=row["requests"],
            bytes=row["bytes"],
        ).execute()


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
