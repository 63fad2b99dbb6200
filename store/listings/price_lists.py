"""The order of the published price lists; what stands in them is read by `price_list_rows`."""

from store.database import run_sql
from store.filters import Grammar, parse
from store.listings.selection import Conditions, Ids, read_ids

GRAMMAR: Grammar = {"code": None, "currency": None}


def ids(needle: str = "", limit: int | None = None) -> Ids:
    """By code and currency, the newest version first."""
    conditions = Conditions()
    for term in parse(needle, GRAMMAR):
        columns = (f"lower(p.{term.field})",) if term.field else ("lower(p.code)", "lower(p.currency)")
        conditions.add_words(term, columns)
    return read_ids("SELECT p.id FROM price_list p", conditions, "p.code, p.currency, p.version DESC", limit)


def before(row_id: int) -> int | None:
    """The version before this one, of the same code and currency; None for the first."""
    found = run_sql(
        "SELECT o.id FROM price_list p JOIN price_list o"
        " ON o.code = p.code AND o.currency = p.currency AND o.version < p.version"
        " WHERE p.id = ? ORDER BY o.version DESC LIMIT 1",
        (row_id,),
    ).fetchone()
    return None if found is None else int(found[0])
