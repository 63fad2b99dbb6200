"""Companies, users and licences from the main system: all that the files say, or nothing of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from store import companies, import_files, installation, zone_change
from store.actors import Actor, require
from store.change import Change, change
from store.database import backend, run_many, run_sql, session
from store.errors import ImportRefused, Refused
from store.fields import canonical, instant, seconds
from store.import_files.columns import CompanyRow, LicenceRow, UserRow
from store.import_files.incoming import ANY_COMPANY, Incoming, Progress, TooManyFaults
from store.rules import calendar
from store.rules.addresses import Address
from store.rules.text import one_line

T = TypeVar("T")

_ACT: Final = "import"
_SLICE: Final = 500  # rows that one statement asks for
_HOME_ZONE: Final = "Europe/Oslo"  # before the store is set up


@dataclass
class Count:
    """How many rows of one kind the files named, by what came of them."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0

    @property
    def all(self) -> int:
        """All rows that were read."""
        return self.new + self.changed + self.unchanged


@dataclass
class Summary:
    """What an import changed. `moved_keys` end at another instant, because their company's time zone is another."""

    companies: Count = field(default_factory=Count)
    users: Count = field(default_factory=Count)
    licences: Count = field(default_factory=Count)
    moved_keys: int = 0

    def sentences(self) -> list[str]:
        """For people, one line a kind: `companies: 3 new, 2 changed, 35 unchanged`."""
        counts = {"companies": self.companies, "users": self.users, "licences": self.licences}
        told = [
            f"{name}: {count.new:,} new, {count.changed:,} changed, {count.unchanged:,} unchanged"
            for name, count in counts.items()
            if count.all
        ]
        if self.moved_keys:
            told.append(f"keys: {self.moved_keys:,} end at another instant, as their company's time zone is another")
        return told or ["The files hold no rows; nothing was changed."]


def take(actor: Actor, files: Sequence[Path], now: datetime, progress: Progress | None = None) -> Summary:
    """Take in CSV and JSON files: what is new is added, what differs is changed, by external id, in one transaction.

    ImportRefused lists every fault, and then nothing was changed. Only operators may.
    """
    if not files:
        raise Refused("Name at least one CSV or JSON file to import.")
    with session():
        require(actor, _ACT, None)
        chosen = installation.read()
    incoming = import_files.read(files, chosen.time_zone if chosen else _HOME_ZONE, progress)
    with change(actor, _ACT, None, now) as made:
        if backend() == "postgresql":
            # Others read on and make keys; who edits a company, user or licence waits, so that no edit is lost.
            run_sql("LOCK TABLE company, company_user, licence IN SHARE ROW EXCLUSIVE MODE")
        return _Import(made, incoming, progress).run()


class _Stored(NamedTuple):
    """A row of the store: its number, and what a file could say about it."""

    id: int
    told: dict[str, Any]


class _Import:
    """One import in its transaction."""

    def __init__(self, made: Change, incoming: Incoming, progress: Progress | None) -> None:
        self.made = made
        self.now = seconds(made.now)
        self.incoming = incoming
        self.progress = progress
        self.summary = Summary()
        self.companies = _stored_companies()

    def run(self) -> Summary:
        licences = self.checked()
        self.take_companies()
        for part in self.slices("users", self.incoming.users):
            self.take_users(part)
        for pairs in self.slices("licences", list(licences.items())):
            self.take_licences(pairs)
        self.made.event(_ACT, self.incoming.told(), None, after={"changed": self.summary.sentences()})
        if self.progress is not None:
            self.progress("writing the audit log", 0, len(self.made.facts))
        return self.summary

    def checked(self) -> dict[tuple[str, int], LicenceRow]:
        """The licences by company and instant; ImportRefused when anything is wrong with anything."""
        licences: dict[tuple[str, int], LicenceRow] = {}
        zones = {name: company.told["time_zone"] for name, company in self.companies.items()}
        for company in self.incoming.companies:
            zones[company.id] = company.time_zone or zones.get(company.id) or self.incoming.default_zone
        try:
            for user in self.incoming.users:
                self._check_company(user)
            for row in self.incoming.licences:
                self._check_company(row)
                at = _instant(row, zones.get(row.company, self.incoming.default_zone))
                first = licences.setdefault((row.company, at), row)
                if first is not row:
                    place = self.incoming.told_at(first.place)
                    self.incoming.fault(row.place, "from", f"{place} names this company and instant already; keep one.")
        except TooManyFaults:
            pass
        faults = self.incoming.faults()
        if faults:
            raise ImportRefused(faults)
        return licences

    def _check_company(self, row: UserRow | LicenceRow) -> None:
        told = self.incoming.company_ids
        if row.company not in self.companies and row.company not in told and ANY_COMPANY not in told:
            shown = one_line(row.company, 64)
            self.incoming.fault(row.place, "company", f"“{shown}” is neither in these files nor in the store; add it.")

    def slices(self, kind: str, rows: list[T]) -> Iterator[list[T]]:
        for start in range(0, len(rows), _SLICE):
            if self.progress is not None:
                self.progress(f"writing {kind}", start, len(rows))
            yield rows[start : start + _SLICE]
        if rows and self.progress is not None:
            self.progress(f"writing {kind}", len(rows), len(rows))

    def take_companies(self) -> None:
        count = self.summary.companies
        inserts, updates, billing, before = [], [], [], dict(self.companies)
        for row in self.incoming.companies:
            stored = self.companies.get(row.id)
            after = _merged(row, stored.told if stored else self.incoming.defaults["companies"])
            values = [after["name"], after["name"].casefold()[:256], *(after[name] for name in _COMPANY[1:-1])]
            if any(after[name] != (stored.told[name] if stored else "") for name in _BILLING):
                billing.append((*(after[name] for name in _BILLING), row.id))
            if stored is None:
                inserts.append((row.id, *values, self.now, None if after["active"] else self.now))
            elif after != stored.told:
                updates.append((*values, after["active"], self.now, stored.id))
        run_many(_INSERT_COMPANY, inserts)
        run_many(_UPDATE_COMPANY, updates)
        run_many(_UPSERT_BILLING, billing)
        self.companies = _stored_companies()
        for row in self.incoming.companies:
            was, stored = before.get(row.id), self.companies[row.id]
            told = stored.told if was else {name: it for name, it in stored.told.items() if it or name not in _BILLING}
            self._tell(count, "company", f"company {row.id}", stored.id, was and was.told, told)
            if was is not None and was.told["time_zone"] != stored.told["time_zone"]:
                self.summary.moved_keys += zone_change.follow(companies.get(stored.id), self.made.now)

    def take_users(self, rows: list[UserRow]) -> None:
        stored = _stored_users([(self.companies[row.company].id, row.id) for row in rows])
        inserts, updates = [], []
        for row in rows:
            company_id = self.companies[row.company].id
            was = stored.get((company_id, row.id))
            after = _merged(row, was.told if was else self.incoming.defaults["users"])
            email, rights = after["email"], canonical(after["rights"])
            values = (after["name"], after["name"].casefold()[:256], email.shown, email.ascii, rights)
            if was is None:
                deactivated_at = None if after["active"] else self.now
                licensed_at = self.now if after["licensed"] else None
                inserts.append((company_id, row.id, *values, self.now, deactivated_at, licensed_at))
            elif after != was.told:
                updates.append((*values, after["active"], self.now, after["licensed"], self.now, was.id))
            subject = f"user {row.id} ({row.name})"
            self._tell(self.summary.users, "user", subject, company_id, was and was.told, after)
        run_many(_INSERT_USER, inserts)
        run_many(_UPDATE_USER, updates)

    def take_licences(self, pairs: list[tuple[tuple[str, int], LicenceRow]]) -> None:
        stored = _stored_licences([(self.companies[name].id, at) for (name, at), _ in pairs])
        inserts, updates = [], []
        for (name, at), row in pairs:
            company_id = self.companies[name].id
            was, after = stored.get((company_id, at)), {"licences": row.licences}
            if was is None:
                inserts.append((company_id, at, row.licences, self.now))
            elif after != was.told:
                updates.append((row.licences, self.now, was.id))
            subject = f"licences from {instant(at):%Y-%m-%dT%H:%M:%SZ}"
            self._tell(self.summary.licences, "licence", subject, company_id, was and was.told, after)
        run_many(_INSERT_LICENCE, inserts)
        run_many(_UPDATE_LICENCE, updates)

    def _tell(
        self,
        count: Count,
        noun: str,
        subject: str,
        company_id: int,
        before: dict[str, Any] | None,
        after: dict[str, Any],
    ) -> None:
        """Count a row, and say in an event what is new about it."""
        if before is None:
            count.new += 1
            self.made.event(f"{noun}.create", subject, company_id, after=_shown(after))
        elif before == after:
            count.unchanged += 1
        else:
            count.changed += 1
            changed = [name for name in after if before[name] != after[name]]
            was, becomes = ({name: side[name] for name in changed} for side in (before, after))
            self.made.event(f"{noun}.edit", subject, company_id, before=_shown(was), after=_shown(becomes))


def _merged(row: CompanyRow | UserRow, base: Mapping[str, Any]) -> dict[str, Any]:
    """What holds after the import: what the file says, else what held before, or the defaults."""
    return {name: base[name] if (told := getattr(row, name)) is None else told for name in base}


def _instant(row: LicenceRow, zone: str) -> int:
    """The start of a row, in whole seconds of UTC."""
    if isinstance(row.start, datetime):
        return seconds(row.start)
    return seconds(calendar.start_of_day(row.start, calendar.zone(zone)))


def _shown(told: dict[str, Any]) -> dict[str, Any]:
    """As events keep it."""
    return {name: value.shown if isinstance(value, Address) else value for name, value in told.items()}


_COMPANY: Final = (
    "name", "time_zone", "currency", "language", "billing_reference", "price_list",
    "vat_category", "vat_rate", "active",
)  # fmt: skip
_BILLING: Final = (
    "organisation_number", "vat_id", "endpoint", "street", "city", "postal_code", "country", "invoice_email",
)  # fmt: skip
_UPSERT_BILLING: Final = """
    INSERT INTO company_billing (organisation_number, vat_id, endpoint, street, city, postal_code, country,
                                 invoice_email, company_id)
    SELECT ?, ?, ?, ?, ?, ?, ?, ?, id FROM company WHERE external_id = ?
    ON CONFLICT (company_id) DO UPDATE SET
        organisation_number = excluded.organisation_number, vat_id = excluded.vat_id, endpoint = excluded.endpoint,
        street = excluded.street, city = excluded.city, postal_code = excluded.postal_code,
        country = excluded.country, invoice_email = excluded.invoice_email
"""
_INSERT_COMPANY: Final = """
    INSERT INTO company (external_id, name, folded, time_zone, currency, language, billing_reference, price_list,
                         vat_category, vat_rate, created_at, deactivated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE_COMPANY: Final = """
    UPDATE company SET name = ?, folded = ?, time_zone = ?, currency = ?, language = ?, billing_reference = ?,
        price_list = ?, vat_category = ?, vat_rate = ?,
        deactivated_at = CASE WHEN ? THEN NULL ELSE coalesce(deactivated_at, ?) END
    WHERE id = ?
"""
_INSERT_USER: Final = """
    INSERT INTO company_user (company_id, external_id, name, folded, email, email_ascii, rights, created_at,
                              deactivated_at, licensed_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE_USER: Final = """
    UPDATE company_user SET name = ?, folded = ?, email = ?, email_ascii = ?, rights = ?,
        deactivated_at = CASE WHEN ? THEN NULL ELSE coalesce(deactivated_at, ?) END,
        licensed_at = CASE WHEN ? THEN coalesce(licensed_at, ?) ELSE NULL END
    WHERE id = ?
"""
_INSERT_LICENCE: Final = "INSERT INTO licence (company_id, at, licences, recorded_at) VALUES (?, ?, ?, ?)"
_UPDATE_LICENCE: Final = "UPDATE licence SET licences = ?, recorded_at = ? WHERE id = ?"


def _stored_companies() -> dict[str, _Stored]:
    """All companies by external id."""
    rows = run_sql(
        "SELECT company.id, external_id, name, time_zone, currency, language, billing_reference, price_list, "
        "vat_category, vat_rate, deactivated_at, organisation_number, vat_id, endpoint, street, city, postal_code, "
        "country, invoice_email FROM company LEFT JOIN company_billing ON company_billing.company_id = company.id",
    ).fetchall()
    return {row[1]: _Stored(row[0], _told_of_company(row)) for row in rows}


def _told_of_company(row: Sequence[Any]) -> dict[str, Any]:
    billing = row[11:] if row[11] is not None else [""] * len(_BILLING)
    return dict(zip((*_COMPANY, *_BILLING), (*row[2:10], row[10] is None, *billing), strict=True))


def _stored_users(wanted: list[tuple[int, str]]) -> dict[tuple[int, str], _Stored]:
    """Users by company and external id."""
    rows = _found(
        "SELECT company_id, external_id, id, name, email, email_ascii, deactivated_at, licensed_at, rights "
        "FROM company_user WHERE (company_id, external_id) IN (VALUES {})",
        wanted,
    )
    return {
        (row[0], row[1]): _Stored(
            row[2],
            {
                "name": row[3],
                "email": Address(row[4], row[5]),
                "active": row[6] is None,
                "licensed": row[7] is not None,
                "rights": tuple(json.loads(row[8])),
            },
        )
        for row in rows
    }


def _stored_licences(wanted: list[tuple[int, int]]) -> dict[tuple[int, int], _Stored]:
    """Licences by company and instant."""
    rows = _found("SELECT company_id, at, id, licences FROM licence WHERE (company_id, at) IN (VALUES {})", wanted)
    return {(row[0], row[1]): _Stored(row[2], {"licences": row[3]}) for row in rows}


def _found(text: str, wanted: Sequence[tuple[Any, Any]]) -> list[Any]:
    """The rows with one of the pairs."""
    values = [value for pair in wanted for value in pair]
    return list(run_sql(text.format(", ".join(["(?, ?)"] * len(wanted))), values).fetchall())
