"""Everything one can do at the desk, on one page: keys, footer, help and palette are made from it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from store import mail_decisions
from store.actors import READ, Actor
from store.listings.companies import CompanyRow
from store.listings.emails import MailRow
from store.listings.invoice_lines import LineRow
from store.listings.invoice_months import MonthRow
from store.listings.keys import KeyRow
from store.listings.nights import NightRow
from store.listings.work import WorkRow

TOP = ("companies", "keys", "mails", "worker", "invoices", "prices")
KEY_LISTS = ("keys", "company.keys")
OF_COMPANY = (
    "company.integrations",
    "company.keys",
    "company.users",
    "company.invoices",
    "company.sandbox",
    "company.log",
)
DEEPER = ("month", "line", "terms", "comparison", "policy")  # on pages of their own, behind those


@dataclass(frozen=True)
class Situation:
    """What decides about acts: where one is, on which row, as whom."""

    section: str
    actor: Actor
    read_only: bool
    row: object | None = None
    company_id: int | None = None
    api_access: bool | None = None  # of that company; None where it is not known
    can_go_back: bool = True
    has_filter: bool = True
    month: MonthRow | None = None  # that the page is about


@dataclass(frozen=True)
class Act:
    """One thing to do. `why_not` gives the sentence that stands in its way, None when nothing does."""

    id: str
    title: str
    hint: str  # in the footer; empty: not there
    keys: tuple[str, ...]
    sections: tuple[str, ...] = ()  # where it is offered; empty: everywhere
    danger: int = 0  # 0 harmless, 1 can be undone, 2 asks, 3 asks for the name
    right: str = ""  # what the admin's role must reach; empty: nothing
    why_not: Callable[[Situation], str | None] = field(default=lambda _: None)

    def offered(self, section: str) -> bool:
        """Whether it makes sense in this part of the desk."""
        return not self.sections or section in self.sections

    def refusal(self, situation: Situation) -> str | None:
        """The sentence that stands in its way here and now."""
        if self.right and self.right != READ and situation.read_only:
            return "This desk was opened read-only; nothing can be changed."
        why = self.why_not(situation)
        if why is None and self.right and not situation.actor.may(self.right, situation.company_id):
            return f"{situation.actor.name} ({situation.actor.role}) may not do this here; ask an operator."
        return why


def _needs_row(situation: Situation) -> str | None:
    return "The list is empty." if situation.row is None else None


def _open(situation: Situation) -> str | None:
    if situation.section == "comparison":
        return "There is nothing behind a price."
    if situation.section == "terms":
        return "All of a term stands in its row; x ends it, n adds another."
    if situation.section == "line" and isinstance(_go_key(situation), str):
        return "Enter opens a key that counted; there is none under the cursor."
    return _needs_row(situation)


def _back(situation: Situation) -> str | None:
    return None if situation.can_go_back else "This is the first page; ^q leaves the desk."


def _filter(situation: Situation) -> str | None:
    return None if situation.has_filter else "This list has no filter."


def _new_key(situation: Situation) -> str | None:
    if situation.company_id is None:
        return "Open a company first; a key belongs to one."
    if situation.api_access is False:
        return "API Access is disabled for this company; enable it under Integrations first."
    return None


def _key(situation: Situation) -> KeyRow | str:
    return situation.row if isinstance(situation.row, KeyRow) else "There is no key under the cursor."


def _edit_expiry(situation: Situation) -> str | None:
    key = _key(situation)
    if isinstance(key, str):
        return key
    if key.revoked_at is not None:
        return "This key was revoked, and that is for good; make a new key."
    if key.rotated_at is not None:
        return "This key was rotated; edit the date of its successor."
    if key.kind == "test" and key.days_left < 0:
        return "A test key is never lengthened; make a new key."
    return None


def _rotate(situation: Situation) -> str | None:
    key = _key(situation)
    if isinstance(key, str):
        return key
    if key.kind == "test":
        return "A test key is not rotated; make a new one."
    if key.revoked_at is not None:
        return "This key was revoked; make a new key."
    if key.rotated_at is not None:
        return "This key was rotated already; rotate its successor."
    if key.state == "expired":
        return "This key has expired; edit its date or make a new key."
    return "API Access is disabled for this company." if situation.api_access is False else None


def _revoke(situation: Situation) -> str | None:
    key = _key(situation)
    if isinstance(key, str):
        return key
    return None if key.revoked_at is None else f"This key was revoked already, by {key.revoked_by}."


def _has_key(situation: Situation) -> str | None:
    key = _key(situation)
    return key if isinstance(key, str) else None


def _decide(situation: Situation) -> str | None:
    line = getattr(situation.row, "line", situation.row)
    if not isinstance(line, LineRow):
        return "There is no invoice line under the cursor."
    if line.month_state in {"so far", "forecast"}:
        return "This is a preview; its lines are decided once the month is drafted."
    if line.month_state == "final":
        return "This month is final; what was not decided in it is asked in a later month."
    return None if line.status != "ok" else "This line is invoiced without a decision; only overuse waits for one."


def _held_month(situation: Situation) -> str | None:
    month = situation.month if situation.month is not None else situation.row
    if not isinstance(month, MonthRow) or month.state != "held":
        return "This month is not held."
    return "It waits for a decision: approve or waive its lines (d), which lets it go." if month.waiting else None


def _final_month(situation: Situation) -> str | None:
    month = situation.month if situation.month is not None else situation.row
    if not isinstance(month, MonthRow):
        return "There is no month under the cursor."
    if month.state == "final":
        return None
    return "Only a final month is credited; a draft follows the facts by itself."


def _transfer(situation: Situation, stands: str) -> str | None:
    line = getattr(situation.row, "line", situation.row)
    if not isinstance(line, LineRow):
        return "There is no invoice line under the cursor."
    if line.month_state != "final":
        return "Nothing of this month is transferred before it is final."
    if line.transfer == stands:
        return None
    return {
        "to-transfer": "This line is not held back.",
        "transferred": "This line has been transferred; credit the month instead.",
        "do-not-transfer": "This line is held back already.",
    }[line.transfer]


def _hold_back(situation: Situation) -> str | None:
    return _transfer(situation, "to-transfer")


def _let_go(situation: Situation) -> str | None:
    return _transfer(situation, "do-not-transfer")


def _go_key(situation: Situation) -> str | None:
    key = getattr(situation.row, "key", None)
    return None if isinstance(key, KeyRow) else "There is no key under the cursor."


def _for_operators(situation: Situation) -> str | None:
    reach = situation.actor.company_id is None
    return None if reach else "This part of the desk shows all companies; your login reaches one."


def _again(situation: Situation) -> str | None:
    row = situation.row
    if not isinstance(row, NightRow):
        return "There is no night under the cursor."
    if row.stopped == "hold":
        return "This sandbox is held; release it first (t)."
    if row.state in {"failed", "missed", "held", "due"}:
        return None
    return "Only a night that failed, was missed or held, or waits for its time can be refreshed again."


def _hold_sandbox(situation: Situation) -> str | None:
    held = isinstance(situation.row, NightRow) and situation.row.stopped == "hold"
    return "This sandbox is held already; t releases it." if held else None


def _release_sandbox(situation: Situation) -> str | None:
    free = isinstance(situation.row, NightRow) and not situation.row.stopped
    return "This sandbox is neither held nor in quarantine." if free else None


def _resend(situation: Situation) -> str | None:
    row = situation.row
    if isinstance(row, MailRow) and row.state in {"failed", "ambiguous"}:
        return None
    on_its_way = mail_decisions.on_its_way(row.state) if isinstance(row, MailRow) else None
    return on_its_way or "Only a mail that failed, or whose answer was lost, is sent again."


def _dismiss(situation: Situation) -> str | None:
    row = situation.row
    if isinstance(row, MailRow) and row.state in {"queued", "failed", "ambiguous"}:
        return None
    on_its_way = mail_decisions.on_its_way(row.state) if isinstance(row, MailRow) else None
    return on_its_way or "Only a mail that waits, failed, or whose answer was lost is put aside."


def _run_now(situation: Situation) -> str | None:
    row = situation.row
    if isinstance(row, WorkRow) and row.state in {"due", "failed", "missed"}:
        return None
    return "Only a run that is due, failed or missed can be run now."


def _held(situation: Situation) -> str | None:
    row = situation.row
    return None if isinstance(row, WorkRow) and row.state == "held" else "This run is not held."


_WITH_COMPANY = ("companies", *KEY_LISTS, *OF_COMPANY)

ACTS: tuple[Act, ...] = (
    Act("open", "Open", "open", ("enter",), why_not=_open),
    Act("new_key", "New key", "new key", ("n", "plus"), _WITH_COMPANY, 0, "key.create", _new_key),
    Act("edit_expiry", "Edit expiry date", "expiry", ("e",), KEY_LISTS, 2, "key.edit-expiry", _edit_expiry),
    Act("rotate", "Rotate key", "rotate", ("r",), KEY_LISTS, 2, "key.rotate", _rotate),
    Act("revoke", "Revoke key", "revoke", ("x",), KEY_LISTS, 3, "key.revoke", _revoke),
    Act("resend", "Send the mail again", "resend", ("r",), ("mails",), 2, "mail.resend", _resend),
    Act("dismiss", "Put the mail aside", "put aside", ("x",), ("mails",), 2, "mail.dismiss", _dismiss),
    Act("decide", "Approve or waive the line", "decide", ("d",), ("month", "line"), 2, "invoice.approve", _decide),
    Act(
        "release_month",
        "Release the held month",
        "release",
        ("t",),
        ("invoices", "company.invoices", "month"),
        2,
        "invoice.release",
        _held_month,
    ),
    Act(
        "credit_month",
        "Credit the final month and bill it again",
        "credit",
        ("c",),
        ("invoices", "company.invoices", "month"),
        2,
        "invoice.correct",
        _final_month,
    ),
    Act(
        "hold_back",
        "Hold the line back from exports",
        "hold back",
        ("b",),
        ("month", "line"),
        2,
        "invoice.transfer",
        _hold_back,
    ),
    Act("let_go", "Let the line be exported", "let go", ("u",), ("month", "line"), 1, "invoice.transfer", _let_go),
    Act("policy", "How the terms are read", "policy", ("P",), ("prices",)),
    Act("answer", "Choose another reading", "choose", ("e",), ("policy",), 2, "billing.policy", _needs_row),
    Act("add_term", "Add a contract term", "add term", ("n", "plus"), ("terms",), 2, "terms.set"),
    Act("end_term", "End the contract term", "end term", ("x",), ("terms",), 2, "terms.end", _needs_row),
    Act("filter", "Filter the list", "filter", ("slash",), why_not=_filter),
    Act("back", "Back", "back", ("escape", "backspace", "q"), why_not=_back),
    Act("copy_handle", "Copy the key's handle", "copy handle", ("c",), KEY_LISTS, why_not=_has_key),
    Act("sort", "Sort: newest first or next to expire first", "sort", ("s",), KEY_LISTS),
    Act("swap", "Mails or notices", "mails/notices", ("v",), ("mails",)),
    Act("go_company", "Go to the company", "company", ("o",), ("keys", "mails", "invoices"), why_not=_needs_row),
    Act("go_key", "Go to the key in its list", "go to key", ("o",), ("line",), why_not=_go_key),
    Act(
        "again",
        "Refresh the newest night again; ends a quarantine",
        "refresh again",
        ("a",),
        ("company.sandbox",),
        1,
        "sandbox.refresh",
        _again,
    ),
    Act(
        "hold_sandbox",
        "Hold the sandbox as it is",
        "hold",
        ("x",),
        ("company.sandbox",),
        2,
        "sandbox.hold",
        _hold_sandbox,
    ),
    Act(
        "release_sandbox",
        "Release the sandbox: end hold and quarantine",
        "release",
        ("t",),
        ("company.sandbox",),
        1,
        "sandbox.release",
        _release_sandbox,
    ),
    Act("run_now", "Run it now", "run now", ("u",), ("worker",), 1, "run.now", _run_now),
    Act("release", "Let held runs go: the clock is right", "release", ("t",), ("worker",), 2, "run.release", _held),
    Act("plot", "Plots: twelve months, usage by day", "plots", ("p",), ("company.invoices", "month")),
    Act("earlier", "The month before", "earlier", ("left",), ("invoices",)),
    Act("later", "The month after", "later", ("right",), ("invoices",)),
    Act("mark", "Mark the version, to compare others with it", "mark", ("m",), ("prices",), why_not=_needs_row),
    Act("next_tab", "Next tab", "next tab", ("tab", "right", "l"), OF_COMPANY),
    Act("previous_tab", "Previous tab", "", ("shift+tab", "left", "h"), OF_COMPANY),
    Act("terms", "Contract terms of the company", "terms", ("T",), OF_COMPANY),
    Act("licences", "Licences of the company", "licences", ("L",), OF_COMPANY, 2, "licence.set"),
    Act("companies", "Companies", "", ("1",)),
    Act("all_keys", "All keys", "", ("2",)),
    Act("mails", "Mails and notices", "", ("3",), why_not=_for_operators),
    Act("worker", "Worker", "", ("4",), why_not=_for_operators),
    Act("invoices", "Invoices", "", ("5",), why_not=_for_operators),
    Act("prices", "Prices", "", ("6",), why_not=_for_operators),
    Act("renew", "Read the list again, with what is new", "", ("ctrl+r", "f5")),
    Act("palette", "Command palette", "", ("ctrl+p",)),
    Act("quit", "Quit", "quit", ("ctrl+q",)),
    Act("help", "Help: all keys", "help", ("question_mark",)),
)
BY_ID = {act.id: act for act in ACTS}
_SHOWN = {
    "enter": "⏎", "slash": "/", "question_mark": "?", "escape": "esc", "backspace": "⌫", "plus": "+", "ctrl+q": "^q",
    "ctrl+p": "^p", "ctrl+r": "^r", "shift+tab": "⇧tab", "left": "←", "right": "→", "f5": "F5",
}  # fmt: skip


def shown(key: str) -> str:
    """A key as the footer writes it."""
    return _SHOWN.get(key, key)


def allowed(situation: Situation) -> list[Act]:
    """What can be done here and now, in the footer's order."""
    return [act for act in ACTS if act.offered(situation.section) and act.refusal(situation) is None]


def company_of(row: object | None) -> int | None:
    """The company that a row belongs to, None for rows of the installation."""
    return row.id if isinstance(row, CompanyRow) else getattr(row, "company_id", None)
