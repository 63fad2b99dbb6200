"""What a person does is there whole, with its event and its mails, or it is not there at all."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

from cast import OLAV, PEPPERS, key_of

from store import importing, integrations, invoice_corrections, keys, mail_decisions, notices
from store.database import run_sql
from store.tables import Company, Email, Event, Key, User
from torture.acts import NOW, a_pass, by_person, no_queues, unless
from torture.crash_points import Scenario, World
from torture.scenarios import TODAY, drafted, one_company

EXAMPLES = Path(__file__).parents[2] / "examples"


def warned() -> None:
    """The key's warnings are in the outbox."""
    one_company()
    notices.sweep("Europe/Oslo", TODAY, NOW, (14, 3, -1))


def answer_lost() -> None:
    warned()
    run_sql("UPDATE email SET state = 'ambiguous', message = ?, subject = 'it expires'", (b"as it went",))


def final() -> None:
    """November is final, and then it is learned that Nordlys had a licence more."""
    drafted()
    a_pass(None, ["invoice-final"], no_queues, NOW)
    run_sql("DELETE FROM email")
    run_sql("UPDATE licence SET licences = 3 WHERE company_id = 1")


def create() -> None:
    key_of(User.get(User.external_id == "ase"), label="till", now=NOW)


def switch_off() -> None:
    company = Company.get(Company.external_id == "nordlys")
    integrations.save_api_access(OLAV, company.id, enabled=False, user_ids=[], emails=[], now=NOW)


def rotate() -> None:
    keys.rotate(OLAV, PEPPERS, Key.get(Key.label == "erp-sync").id, NOW)


def edit_expiry() -> None:
    keys.edit_expiry(OLAV, Key.get(Key.label == "erp-sync").id, date(2028, 1, 31), NOW)


def revoke() -> None:
    keys.revoke(OLAV, Key.get(Key.label == "erp-sync").id, "no longer used", NOW)


def credit() -> None:
    company = Company.get(Company.external_id == "nordlys")
    invoice_corrections.credit_and_rebill(OLAV, company.id, "2026-11", "a licence was forgotten", NOW)


def import_files() -> None:
    importing.take(OLAV, [EXAMPLES / "example.json"], NOW)


def resend() -> None:
    mail_decisions.resend(OLAV, Email.get(Email.state == "ambiguous").id, NOW)


def was(act: str) -> Callable[[], bool]:
    """Whether the log names it since this noon."""
    return lambda: Event.select().where(Event.act == act, Event.at >= NOW).exists()


def person(name: str, furnish: Callable[[], object], act: Callable[[], object], logged: str, **leaves: int) -> Scenario:
    def acted(_world: World) -> None:
        act()

    return Scenario(name, furnish, by_person(acted), unless(was(logged), acted), leaves, in_one_step=True)


SCENARIOS = (
    person("make a key", one_company, create, "key.create", api_key=2, email=1),
    person("rotate a key", warned, rotate, "key.rotate", api_key=2, email=2),
    person("switch API Access off", warned, switch_off, "integration.edit", api_key=1, email=2),
    person("import companies", one_company, import_files, "import", company=3),
)
MORE_SCENARIOS = (
    person("edit an expiry date", warned, edit_expiry, "key.edit-expiry", api_key=1, email=2),
    person("revoke a key", warned, revoke, "key.revoke", api_key=1, email=2),
    person("send a mail again", answer_lost, resend, "mail.resend", email=1),
    person("credit a month", final, credit, "invoice.correct", invoice_month=4),
)
