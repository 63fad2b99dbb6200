"""What is done about money: ask in a dialog that says what will change, let the store do it, show it."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

from rich.text import Text

from store.errors import KeydeskError
from store.listings import companies as company_list
from store.listings.contract_terms import TermRow
from store.listings.invoice_lines import LineRow
from store.listings.invoice_months import MonthRow
from store.listings.keys import KeyRow
from store.rules import money
from tui import foreign
from tui.screens.key_acts import Desk, carried_out, tell_in
from tui.surroundings import Surroundings

if TYPE_CHECKING:
    from tui.dialogs.contract_term import TermDraft
    from tui.dialogs.licences import LicenceDraft
    from tui.dialogs.plots import Titled
    from tui.widgets.plot import Plot


def status(line: LineRow) -> Text:
    """What a person has decided, or is to decide; in a later month, once the line's own is final."""
    if line.status != "needs_review":
        return foreign.text(line.status)
    return Text("moved on", "dim") if line.month_state == "final" else Text("to decide", "yellow")


async def set_licences(app: Desk, desk: Surroundings, company_id: int) -> None:
    """Another number from a day on."""
    from store import companies, invoice_preview, licences
    from tui.dialogs.licences import LicencesDialog

    now = desk.clock()
    company = await desk.reader.read(lambda: companies.get(company_id))
    number = await desk.reader.read(lambda: companies.licences_at(company_id, now))

    async def preview(draft: "LicenceDraft") -> tuple[str, ...]:
        return await desk.reader.read(
            lambda: invoice_preview.of_licences(company_id, draft.licences, draft.day, desk.clock())
        )

    draft = await app.push_screen_wait(LicencesDialog(company.name, number, companies.today(company, now), preview))
    if draft is None:
        return
    fact = await carried_out(
        app,
        desk,
        lambda: licences.set_licences(desk.actor, company_id, draft.licences, draft.day, desk.clock()),
    )
    if fact is not None:
        tell_in(app, f"{company.name} pays for {draft.licences:,} licensed users from {draft.day} on.")


async def decide(app: Desk, desk: Surroundings, line: LineRow) -> None:
    """A person's yes or waiver, with its reason."""
    from store import invoice_review
    from tui.dialogs.decide_line import DecideLineDialog

    head = f"{line.company}, {line.month}: {line.description}"
    net = money.amount(line.proposed_minor, line.currency)
    decision = await app.push_screen_wait(DecideLineDialog(head, line.because, net))
    if decision is None:
        return

    def settle() -> bool:
        invoice_review.decide(desk.actor, line.id, decision.verdict, decision.reason, desk.clock())
        return True

    if await carried_out(app, desk, settle):
        tell_in(app, f"{line.description}: {'approved' if decision.verdict == 'approve' else 'waived'}.")


async def release_month(app: Desk, desk: Surroundings, month: MonthRow) -> None:
    """A held month is let go, with the reason."""
    from store import invoice_review
    from tui.dialogs.reasoned import ReleaseMonthDialog

    named = f"{month.company}, {month.month}: {money.amount(month.net_minor, month.currency)}"
    follows = "Released, it becomes final at the next run, unless its facts change first."
    reason = await app.push_screen_wait(ReleaseMonthDialog(named, month.error, follows))
    if reason is not None:
        await carried_out(
            app,
            desk,
            lambda: invoice_review.release(desk.actor, month.company_id, month.month, reason, desk.clock()),
        )


async def credit_month(app: Desk, desk: Surroundings, month: MonthRow) -> None:
    """A final month is taken back and billed again, once it was seen what becomes of each line."""
    from store import invoice_corrections
    from tui.dialogs.message import MessageDialog
    from tui.dialogs.reasoned import CreditMonthDialog

    try:
        correction = await desk.reader.read(
            lambda: invoice_corrections.preview(month.company_id, month.month, desk.clock())
        )
    except KeydeskError as refusal:
        await app.push_screen_wait(MessageDialog(str(refusal), refused=True))
        return
    follows = (
        f"{correction.sentence(month.month)} A credit note and a new invoice, both final at once; users and emails to "
        "notify are told."
    )
    dialog = CreditMonthDialog(f"{month.company}, {month.month}", "\n".join(correction.told()), follows, danger=True)
    reason = await app.push_screen_wait(dialog)
    if reason is None:
        return
    made = await carried_out(
        app,
        desk,
        lambda: invoice_corrections.credit_and_rebill(
            desk.actor, month.company_id, month.month, reason, desk.clock(), seen=correction
        ),
    )
    if made is not None:
        tell_in(app, made.sentence(month.month))


async def hold_back(app: Desk, desk: Surroundings, line: LineRow) -> None:
    """Not to be transferred, with the reason."""
    from store import transfers
    from tui.dialogs.reasoned import HoldBackDialog

    about = f"{line.company}, {line.month}: {line.description}, {money.amount(line.net_minor, line.currency)}"
    follows = "Held back, it is owed as before, and no export has it until it is let go (u)."
    reason = await app.push_screen_wait(HoldBackDialog(about, follows))

    def settle() -> bool:
        transfers.hold_back(desk.actor, line.id, str(reason), desk.clock())
        return True

    if reason is not None and await carried_out(app, desk, settle):
        tell_in(app, f"{line.description}: held back from every export.")


async def let_go(app: Desk, desk: Surroundings, line: LineRow) -> None:
    """To be transferred after all; it can be held back again."""
    from store import transfers

    def settle() -> bool:
        transfers.let_go(desk.actor, line.id, desk.clock())
        return True

    if await carried_out(app, desk, settle):
        tell_in(app, f"{line.description}: the next export has it.")


async def add_term(app: Desk, desk: Surroundings, company_id: int) -> None:
    """Another agreement, once it was seen what it changes."""
    from store import companies, contract_terms
    from store.rules import calendar
    from tui.dialogs.contract_term import ContractTermDialog

    company = await desk.reader.read(lambda: companies.get(company_id))

    async def preview(draft: "TermDraft") -> tuple[str, ...]:
        return await desk.reader.read(lambda: contract_terms.preview(company_id, draft, desk.clock()))

    month = calendar.month_of(companies.today(company, desk.clock()))
    draft = await app.push_screen_wait(ContractTermDialog(company.name, month, preview))
    if draft is not None:
        await carried_out(app, desk, lambda: contract_terms.set_term(desk.actor, company_id, draft, desk.clock()))


async def end_term(app: Desk, desk: Surroundings, row: TermRow) -> None:
    """Its last month, once it was seen what that changes."""
    from store import companies, contract_terms
    from store.rules import calendar
    from tui.dialogs.contract_term import KIND_WORDS, LINE_WORDS, EndDraft, EndTermDialog

    company = await desk.reader.read(lambda: companies.get(row.company_id))

    async def preview(draft: EndDraft) -> tuple[str, ...]:
        return await desk.reader.read(lambda: contract_terms.preview_end(row.id, draft.last_month, desk.clock()))

    term = f"{LINE_WORDS.get(row.line, row.line)}, {KIND_WORDS.get(row.kind, row.kind)} {row.value}: {row.reference}"
    month = max(row.first_month, calendar.month_of(companies.today(company, desk.clock())))
    draft = await app.push_screen_wait(EndTermDialog(term, month, preview))
    if draft is not None:
        await carried_out(app, desk, lambda: contract_terms.end(desk.actor, row.id, draft.last_month, desk.clock()))


async def go_to_key(app: Desk, desk: Surroundings, key: KeyRow) -> None:
    """Put the cursor on the key in its company's list, on the page that is open already where there is one."""
    from tui.screens.company import CompanyPage

    found = await desk.reader.read(lambda: company_list.rows([key.company_id], desk.clock()))
    if key.company_id not in found or not found[key.company_id].api_access:
        tell_in(app, "API Access is disabled for this company, so it has no list of keys; Enter shows this one.")
        return
    pages = [page for page in app.screen_stack if isinstance(page, CompanyPage) and page.company.id == key.company_id]
    if pages:
        while app.screen is not pages[-1]:
            app.pop_screen()
        page = pages[-1]
    else:
        page = CompanyPage(desk, found[key.company_id])
        await app.push_screen(page)
    section = page.sections["company.keys"]
    section.needle = ""
    section.wish(key.id)
    section.outdated()
    page.open("company.keys")


# Plots


async def plot_company(app: Desk, desk: Surroundings, company_id: int) -> None:
    """Twelve months, the present one as its forecast, and this month's usage."""
    from store import companies, invoice_preview
    from store.listings import invoice_months
    from store.rules import calendar
    from tui.dialogs.plots import PlotsDialog, Titled
    from tui.widgets.plot import Bar, Plot

    now = desk.clock()

    def ask() -> tuple[str, str, tuple[tuple[str, int], ...], int | None]:
        company = companies.get(company_id)
        month = calendar.month_of(companies.today(company, now))
        try:
            coming = invoice_preview.forecast(company_id, now).net_minor
        except KeydeskError:
            coming = None
        return company.name, company.currency, invoice_months.year(company_id, month), coming

    name, currency, year, coming = await desk.reader.read(ask)
    months = [Bar(month[2:], net) for month, net in year]
    if coming is not None:
        months[-1] = Bar(months[-1].label, coming, "dim")
    last = "" if coming is None else f", {year[-1][0]} as its forecast ({money.amount(coming, currency)})"
    plot = Plot(months, lambda minor: money.amount(minor, currency))
    usage = await _usage_plots(desk, company_id, year[-1][0])
    app.push_screen(PlotsDialog(name, [Titled(f"Net of twelve months{last}", plot), usage[0]]))


async def plot_month(app: Desk, desk: Surroundings, month: MonthRow) -> None:
    """Requests and data of each day."""
    from tui.dialogs.plots import PlotsDialog

    usage = await _usage_plots(desk, month.company_id, month.month)
    app.push_screen(PlotsDialog(f"{month.company} {month.month}", usage))


async def _usage_plots(desk: Surroundings, company_id: int, month: str) -> "list[Titled]":
    from store import companies, usage
    from store.rules import calendar
    from tui.dialogs.plots import Titled

    now = desk.clock()
    first = date.fromisoformat(f"{month}-01")
    last = date.fromisoformat(f"{calendar.next_month(month)}-01") - timedelta(days=1)

    def ask() -> tuple[list[usage.DayUse], usage.Included, date]:
        try:
            included = usage.included(company_id, month, now)
        except KeydeskError:
            included = usage.Included(None, None)
        return usage.by_day(company_id, first, last), included, companies.today(companies.get(company_id), now)

    days, included, today = await desk.reader.read(ask)
    days_told = [day for day in days if day.day <= today]
    plots = []
    for what, limit, values in (
        ("requests", included.requests, [day.requests for day in days_told]),
        ("bytes", included.bytes, [day.bytes for day in days_told]),
    ):
        plots.append(_against(month, what, values, limit, len(days)))
    return [Titled(title, plot) for title, plot in plots]


def _against(month: str, what: str, values: list[int], included: int | None, days: int) -> "tuple[str, Plot | None]":
    """The days of a month so far; the line is what is included, spread evenly over the month."""
    from tui.widgets.plot import Bar, Plot

    write = gigabytes if what == "bytes" else "{:,}".format
    used = sum(values)
    noun = "" if what == "bytes" else " requests"
    if not used:
        return f"Usage in Prod, {month}: no {what} were told of.", None
    if included is None:
        told = f"Usage in Prod, {month}: {write(used)}{noun}"
        return told, Plot([Bar(str(day), value) for day, value in enumerate(values, 1)], write)
    bars, so_far, past = [], 0, 0
    for day, value in enumerate(values, 1):
        so_far += value
        if so_far > included and not past:
            past = day
        bars.append(Bar(str(day), value, "red" if past else ""))
    bars += [Bar(str(day), 0) for day in range(len(values) + 1, days + 1)]
    when = f"; past it since day {past}" if past else ""
    told = (
        f"Usage in Prod, {month}: {write(used)} of {write(included)}{noun} included ({percent(used, included)}){when}"
    )
    return told, Plot(bars, write, included // days)


def gigabytes(number: int) -> str:
    """To a tenth, cut off: a plot is looked at; what is invoiced is written out elsewhere."""
    whole, tenths = divmod(number // 10**8, 10)
    return f"{whole:,}.{tenths} GB"


def percent(part: int, whole: int) -> str:
    """Rounded down: what is not full does not read as full."""
    return f"{part * 100 // whole:,} %" if whole else "–"
