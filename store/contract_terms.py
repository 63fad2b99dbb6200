"""What was agreed with a company about its lines, for whole months, each with its reference."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from store import billing_facts, companies, decided_lines, invoice_drafts, rating_policy
from store.actors import Actor
from store.change import change
from store.errors import FormatWrong, NotFound, Refused
from store.rules import calendar
from store.rules.money import decimals, price_text, to_decimal
from store.rules.rating import CompanyFacts
from store.rules.rating.comparison import change_sentences, month_changes
from store.rules.text import check_name
from store.tables import Company, ContractTerm, InvoiceMonth

# What can be agreed about which line.
KINDS: Final = {
    "access": ("unit_price", "discount_percent", "waive", "access_invoiced_elsewhere"),
    "extra_key": ("unit_price", "discount_percent", "waive", "included"),
    "extra_test_key": ("unit_price", "discount_percent", "waive", "free_test_keys"),
    "overuse_requests": ("unit_price", "discount_percent", "waive", "included"),
    "overuse_data": ("unit_price", "discount_percent", "waive", "included"),
}
_WITHOUT_VALUE: Final = {"waive", "access_invoiced_elsewhere"}
_MOST: Final = 10**15  # of what is included: a petabyte


class Proposed(Protocol):
    """A term that is to be set. Months are "2026-11"; `last_month` None: until it is ended."""

    @property
    def line(self) -> str:
        """The line it is about, such as extra_key."""

    @property
    def kind(self) -> str:
        """What is agreed, such as unit_price."""

    @property
    def value(self) -> str | None:
        """A price, a percentage or a whole number as text; None where the kind has none."""

    @property
    def first_month(self) -> str:
        """The first month it is in force."""

    @property
    def last_month(self) -> str | None:
        """The last one, itself included."""

    @property
    def reference(self) -> str:
        """Where it was agreed."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A term as it is written down; see `Proposed`."""

    line: str
    kind: str
    value: str | None
    first_month: str
    last_month: str | None = None
    reference: str = ""


def set_term(
    actor: Actor, company_id: int, proposed: Proposed, now: datetime, *, into_final: bool = False
) -> ContractTerm:
    """Keep what was agreed, and bring the company's drafts to it.

    FormatWrong or Refused say what cannot be: a value that does not fit its kind, a month that is final (unless
    `into_final`: it is going to be credited and billed again), a second term of the same kind for the same months.
    """
    with change(actor, "terms.set", company_id, now) as made:
        company = companies.held(company_id)
        draft = _checked(company, proposed, into_final=into_final)
        reference = check_name(proposed.reference, "reference", limit=128)
        term = ContractTerm.create(
            company=company_id,
            line=draft.line,
            kind=draft.kind,
            value=draft.value,
            first_month=draft.first_month,
            last_month=draft.last_month,
            reference=reference,
        )
        made.event("terms.set", _subject(term, company), company_id, after=_told(term))
        invoice_drafts.of_company(company_id, now)
        return term


def end(actor: Actor, term_id: int, last_month: str | None, now: datetime, *, into_final: bool = False) -> None:
    """Give a term its last month, or another one; None withdraws it, as if it had never been agreed.

    Refused when a month whose price that changes is final, unless `into_final`: it is going to be credited and billed
    again.
    """
    term = get(term_id)
    with change(actor, "terms.end", term.company_id, now) as made:
        company = companies.held(term.company_id)
        term = get(term_id)
        before = _told(term)
        ended = _ended(term, last_month, into_final=into_final)
        if ended is None:
            ContractTerm.delete().where(ContractTerm.id == term.id).execute()
        else:
            ContractTerm.update(last_month=last_month).where(ContractTerm.id == term.id).execute()
        after = None if ended is None else {**before, "last_month": last_month}
        made.event("terms.end", _subject(term, company), company.id, before=before, after=after)
        invoice_drafts.of_company(company.id, now)


def get(term_id: int) -> ContractTerm:
    """The term, or NotFound."""
    found: ContractTerm | None = ContractTerm.get_or_none(ContractTerm.id == term_id)
    if found is None:
        raise NotFound(f"There is no contract term {term_id} any more; look at the list again.")
    return found


def listed(company_id: int) -> list[ContractTerm]:
    """What was agreed with a company, the one that begins last first."""
    terms = ContractTerm.select().where(ContractTerm.company == company_id)
    return list(terms.order_by(ContractTerm.first_month.desc(), ContractTerm.line, ContractTerm.id))


def preview(company_id: int, proposed: Proposed, now: datetime, *, into_final: bool = False) -> tuple[str, ...]:
    """What setting the term would change, such as "November 2026 changes from NOK 1,250.00 to NOK 1,125.00."."""
    company = companies.get(company_id)
    draft = _checked(company, proposed, into_final=into_final)
    months = _shown(company, draft.first_month, draft.last_month, now)
    facts, _ = billing_facts.read(company, months)
    term = ContractTerm(
        company=company_id,
        line=draft.line,
        kind=draft.kind,
        value=draft.value,
        first_month=draft.first_month,
        last_month=draft.last_month,
        reference=draft.reference,
    )
    return _sentences(company, facts, replace(facts, terms=(*facts.terms, billing_facts.term_fact(term))), months)


def preview_end(term_id: int, last_month: str | None, now: datetime, *, into_final: bool = False) -> tuple[str, ...]:
    """What ending the term, or withdrawing it, would change."""
    term = get(term_id)
    company = companies.get(term.company_id)
    ended = _ended(term, last_month, into_final=into_final)
    first = term.first_month if ended is None else calendar.next_month(min(_or_never(last_month), _until(term)))
    months = _shown(company, first, None if ended is None else max(_or_never(last_month), _until(term)), now)
    facts, _ = billing_facts.read(company, months)
    others = [billing_facts.term_fact(each) for each in listed(company.id) if each.id != term.id]
    kept = others if ended is None else [*others, billing_facts.term_fact(ended)]
    return _sentences(company, facts, replace(facts, terms=tuple(kept)), months)


_NEVER: Final = "9998-12"


def _or_never(month: str | None) -> str:
    return month or _NEVER


def _until(term: ContractTerm) -> str:
    return term.last_month or _NEVER


def _checked(company: Company, proposed: Proposed, *, into_final: bool) -> Draft:
    """The draft as it is kept, its value and months sound."""
    kinds = KINDS.get(proposed.line)
    if kinds is None:
        raise FormatWrong(f"{proposed.line!r} is not a line; it is one of {', '.join(KINDS)}.")
    if proposed.kind not in kinds:
        raise FormatWrong(f"For {proposed.line} one of {', '.join(kinds)} can be agreed, not {proposed.kind!r}.")
    value = _value(proposed.kind, proposed.value, company.currency)
    first, last = proposed.first_month, proposed.last_month
    calendar.next_month(first)
    if last is not None and calendar.next_month(last) <= first:
        raise Refused(f"The last month {last} is before the first month {first}; correct one of them.")
    if not into_final:
        _not_final(company.id, first, last)
    draft = Draft(proposed.line, proposed.kind, value, first, last, proposed.reference)
    _no_other(company.id, draft, None)
    return draft


def _value(kind: str, text: str | None, currency: str) -> str | None:
    if kind in _WITHOUT_VALUE:
        if text:
            raise FormatWrong(f"{kind} has no value; leave it out.")
        return None
    if not text:
        raise FormatWrong(f"{kind} needs a value.")
    number = to_decimal(text.strip())
    if number < 0:
        raise FormatWrong(f"The value must not be negative, and it is {text}.")
    if kind == "discount_percent":
        if not 0 < number <= 100:
            raise FormatWrong(f"A discount is more than 0 and at most 100 percent, not {text}.")
        return f"{number.normalize():f}"
    if kind == "unit_price":
        if decimals(currency) == 0 and number % 1:
            raise Refused(f"{currency} has no decimals, so {text} cannot be agreed; write a whole price.")
        return price_text(number, currency)
    if number % 1 or number > _MOST:
        raise FormatWrong(f"A whole number of at most {_MOST:,} is needed, not {text}.")
    return str(int(number))


def _not_final(company_id: int, first: str, last: str | None) -> None:
    """Refused when any of these months is final."""
    final = (
        InvoiceMonth.select()
        .where(
            InvoiceMonth.company == company_id,
            InvoiceMonth.state == "final",
            InvoiceMonth.month >= first,
            InvoiceMonth.month <= (last or _NEVER),
        )
        .order_by(InvoiceMonth.month.desc())
        .first()
    )
    if final is not None:
        raise Refused(
            f"{final.month} is final already; let the change begin with {calendar.next_month(final.month)}, or say "
            "that final months are meant too and will be credited and billed again."
        )


def _no_other(company_id: int, draft: Draft, except_id: int | None) -> None:
    """Refused when the same was agreed for some of the months: nobody could tell which of the two is meant."""
    for other in listed(company_id):
        same = (other.line, other.kind) == (draft.line, draft.kind) and other.id != except_id
        if same and other.first_month <= _or_never(draft.last_month) and draft.first_month <= _until(other):
            until = "on" if other.last_month is None else f"to {other.last_month}"
            months = f"{other.first_month} {until}"
            raise Refused(
                f"{other.kind} of {other.line} is agreed for {months} already ({other.reference}); end that one first."
            )


def _ended(term: ContractTerm, last_month: str | None, *, into_final: bool) -> ContractTerm | None:
    """The term with its new end, None when it is withdrawn; Refused when a final month forbids it."""
    if last_month is None:
        if not into_final:
            _not_final(term.company_id, term.first_month, term.last_month)
        return None
    if calendar.next_month(last_month) <= term.first_month:
        raise Refused(f"The term begins with {term.first_month}; it cannot end before. Withdraw it instead.")
    if last_month != term.last_month and not into_final:
        earlier, later = sorted((last_month, _until(term)))
        _not_final(term.company_id, calendar.next_month(earlier), later)
    draft = Draft(term.line, term.kind, term.value, term.first_month, last_month, term.reference)
    _no_other(term.company_id, draft, term.id)
    return ContractTerm(
        company=term.company_id,
        line=term.line,
        kind=term.kind,
        value=term.value,
        first_month=term.first_month,
        last_month=last_month,
        reference=term.reference,
    )


def _shown(company: Company, first: str, last: str | None, now: datetime) -> tuple[str, ...]:
    """The months of a preview: open drafts, the present month, and the first one if that is still to come."""
    present = calendar.month_of(companies.today(company, now))
    drafted = InvoiceMonth.select(InvoiceMonth.month).where(
        InvoiceMonth.company == company.id, InvoiceMonth.revision == 1, InvoiceMonth.state != "final"
    )
    months = {row.month for row in drafted} | {present}
    return tuple(sorted({month for month in months if first <= month <= _or_never(last)} | {max(first, present)}))


def _sentences(company: Company, before: CompanyFacts, after: CompanyFacts, months: tuple[str, ...]) -> tuple[str, ...]:
    _, lists = billing_facts.read(company, ())
    settle = decided_lines.settling(company.id, months)
    return change_sentences(month_changes(before, after, months, lists, rating_policy.current().policy, settle))


def _subject(term: ContractTerm, company: Company) -> str:
    return f"{term.kind} of {term.line}, {company.name}"


def _told(term: ContractTerm) -> dict[str, str | None]:
    names = ("line", "kind", "value", "first_month", "last_month", "reference")
    return {name: getattr(term, name) for name in names}
