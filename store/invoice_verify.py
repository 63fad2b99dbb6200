"""Whether final lines are what the facts give: each is computed again, as of the instant at which it was rated."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from store import billing_facts, companies, invoice_rows, late_usage, prices, rating_policy
from store.database import run_sql
from store.errors import KeydeskError
from store.invoice_rows import Row
from store.rules.money import plain
from store.rules.price_lists import PriceList
from store.rules.rating import rate
from store.rules.rating.invoice import Line
from store.tables import Company, InvoiceMonth

_TOGETHER = 500
_COMPARED = ("quantity", "unit_price", "gross", "discount", "net")


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference. `what` is a column of the line, "line" where all of it is missing or too much, or a total."""

    company_id: int
    company: str
    external_id: str
    month: str
    revision: int
    line_key: str
    what: str
    stored: str
    computed: str


@dataclass(frozen=True, slots=True)
class _Final:
    """A final month: what is needed to rate it again."""

    row: InvoiceMonth
    company: Company
    lines: dict[str, Row]


def verify(month: str, company_id: int | None = None) -> Iterator[Drift]:
    """All differences in the final documents of a month, of one company or of all; a few companies in memory at once.

    Of a month that was credited and billed again, the newest revision is compared with the facts; credits are compared
    with what they take back. A decision and usage that came later are no drift.
    """
    lists: dict[tuple[str, str], Sequence[PriceList]] = {}
    after = 0
    while page := _page(month, company_id, after):
        after = page[-1].company.id
        for rated_at, group in groupby(page, key=lambda each: each.row.rated_at):
            yield from _compare(list(group), month, rated_at, lists)
        yield from _corrections(month, [each.company for each in page])
        if company_id is not None:
            return


def _page(month: str, company_id: int | None, after: int) -> list[_Final]:
    """Some companies' newest final revisions, by company."""
    text = """
        SELECT company_id, max(revision) FROM invoice_month WHERE month = ? AND state = 'final' AND company_id > ?
        AND (? = 0 OR company_id = ?) GROUP BY company_id ORDER BY company_id LIMIT ?
    """
    only = company_id or 0
    found = dict(run_sql(text, (month, after, only, only, _TOGETHER)).fetchall())
    ids = list(found)
    rows = InvoiceMonth.select().where(InvoiceMonth.company.in_(ids), InvoiceMonth.month == month)
    months = {row.company_id: row for row in rows if row.revision == found[row.company_id]}
    of_ids = {company.id: company for company in Company.select().where(Company.id.in_(ids))}
    lines: dict[int, dict[str, Row]] = {}
    for revision in sorted(set(found.values())):
        lines.update(invoice_rows.stored([each for each in ids if found[each] == revision], month, revision))
    return [_Final(months[each], of_ids[each], lines.get(each, {})) for each in ids]


def _compare(
    finals: Sequence[_Final],
    month: str,
    rated_at: datetime,
    lists: dict[tuple[str, str], Sequence[PriceList]],
) -> Iterator[Drift]:
    rows = billing_facts.of_month([final.company.id for final in finals], month, rated_at)
    for final in finals:
        stored = {key: row for key, row in final.lines.items() if not key.startswith(("credit:", "adj:"))}
        try:
            computed = _again(final, rows[final.company.id], month, lists)
        except KeydeskError as error:
            yield _drift(final, "", "line", f"{len(stored)} lines", str(error))
            continue
        yield from _lines(final, stored, {line.line_key: line for line in computed})
        yield from _adjusted(final)
        yield from _totals(final)


def _again(
    final: _Final, rows: billing_facts.Rows, month: str, lists: dict[tuple[str, str], Sequence[PriceList]]
) -> tuple[Line, ...]:
    explain = final.row.explain or {}
    policy = rating_policy.policy_of(final.row.policy or {})
    code = (explain.get("price_list") or f"{final.company.price_list}/").partition("/")[0]
    as_it_was = (explain.get("zone", final.company.time_zone), final.row.currency, code)
    if as_it_was != (final.company.time_zone, final.company.currency, final.company.price_list):
        rated = late_usage.as_rated(final.company, final.row)
        return rate(rated.facts, month, rated.price_lists, rated.policy, final.row.rated_at).lines
    if (code, final.row.currency) not in lists:
        lists[code, final.row.currency] = prices.published(code, final.row.currency)
    return rate(rows.facts(month), month, lists[code, final.row.currency], policy, final.row.rated_at).lines


def _lines(final: _Final, stored: dict[str, Row], computed: dict[str, Line]) -> Iterator[Drift]:
    currency = final.row.currency
    carried = {line["line_key"] for line in (final.row.explain or {}).get("carried", ())}
    for line_key, row in stored.items():
        line = computed.get(line_key)
        if line is None:
            yield _drift(final, line_key, "line", plain(row["net_minor"], currency), "none")
            continue
        again = invoice_rows.row_of(line, currency)
        for what in _COMPARED:
            was, now = _shown(_undecided(row), what, currency), _shown(again, what, currency)
            if was != now:
                yield _drift(final, line_key, what, was, now)
    for line_key, line in computed.items():
        if line_key not in stored and line_key not in carried:
            yield _drift(final, line_key, "line", "none", plain(line.net_minor, currency))


def _adjusted(final: _Final) -> Iterator[Drift]:
    """An adjustment is the difference that it says, and adds up."""
    for line_key, row in final.lines.items():
        if line_key.startswith("adj:"):
            explain = invoice_rows.line_of(row).explain
            was, now = str(explain.get("was")), str(explain.get("now"))
            net = plain(_undecided(row)["net_minor"], final.row.currency)
            if explain.get("arithmetic") != f"{now} - {was} = {net}":
                yield _drift(final, line_key, "net", net, str(explain.get("arithmetic")))


def _totals(final: _Final) -> Iterator[Drift]:
    credit = [row for key, row in final.lines.items() if key.startswith("credit:")]
    billed = [row for key, row in final.lines.items() if not key.startswith("credit:")]
    parts = [invoice_rows.taxed(invoice_rows.net_of(rows), final.row.vat_rate) for rows in (credit, billed)]
    for name in ("net_minor", "vat_minor", "gross_minor"):
        stored, computed = getattr(final.row, name), sum(part[name] for part in parts)
        if stored != computed:
            what = f"{name.removesuffix('_minor')} total"
            yield _drift(final, "", what, plain(stored, final.row.currency), plain(computed, final.row.currency))


def _corrections(month: str, of: Iterable[Company]) -> Iterator[Drift]:
    """Credits negate what they take back."""
    ids = [company.id for company in of]
    text = f"""
        SELECT DISTINCT company_id FROM invoice_month
        WHERE month = ? AND revision > 1 AND company_id IN ({", ".join("?" * len(ids))}) ORDER BY company_id
    """  # noqa: S608 - our own words
    for (company_id,) in run_sql(text, (month, *ids)).fetchall():
        rows = invoice_rows.about(company_id, month)
        by_name = {f"{row['month']}#{row['revision']}/{row['line_key']}": row for row in rows}
        for row in rows:
            if row["line_key"].startswith("credit:"):
                credited = by_name.get(row["corrects"])
                stored = plain(row["net_minor"], row["currency"])
                computed = "none" if credited is None else plain(-credited["net_minor"], row["currency"])
                if stored != computed:
                    company = companies.get(company_id)
                    place = (company.id, company.name, company.external_id, row["month"], row["revision"])
                    yield Drift(*place, row["line_key"], "net", stored, computed)


def _undecided(row: Row) -> Row:
    """A waived line as it was before it was waived."""
    if row["status"] != "waived":
        return row
    return {**row, "net_minor": row["decided_minor"], "discount_minor": row["gross_minor"] - row["decided_minor"]}


def _shown(row: Row, what: str, currency: str) -> str:
    value = row[what if what in row else f"{what}_minor"]
    return value if isinstance(value, str) else plain(value, currency)


def _drift(final: _Final, line_key: str, what: str, stored: str, computed: str) -> Drift:
    company = final.company
    place = (company.id, company.name, company.external_id, final.row.month, final.row.revision)
    return Drift(*place, line_key, what, stored, computed)
