"""The small world with every text that comes from elsewhere replaced by one that wants to do harm."""

from desk_world import small_world
from peewee import CharField, TextField

from store.database import run_sql, writing
from store.fields import JsonField
from store.tables import Company, Email, Event, InvoiceLine, InvoiceMonth, Key, RefreshMarker, Run, User, Worker

HOSTILE = (
    "[/nope]",
    "[@click=app.quit]x[/]",
    "[@click=screen.act('revoke')]y",
    "[a='b",
    "\x1b]52;c;c2VjcmV0\x07after",
    "\x1b[2J\x1b[31mred",
    "\x9b2J\x9d0;title\x9c",
    "abc\u202ecba",
    "one\ntwo\r\nthree\ttab",
    "\u200b\u2066\U000e0041",
    "👩‍👩‍👧 中文 é e\u0301",
    "x" * 120,
    "=cmd|'/c calc'!A1 {{7*7}} %s %(x)s {0} '; --",
)
# What the program chooses from a fixed set, or parses; nobody else writes into these.
_OURS = {
    "time_zone", "currency", "language", "environment", "kind", "state", "transfer", "code", "expires_on", "ascii",
    "digest", "night", "month", "hash", "folded", "vat_rate", "first", "last", "handle", "email_ascii", "expiry_set_on",
    "message_id", "dedupe_key", "external_id", "line_key", "name", "role",
}  # fmt: skip


@writing()
def hostile_world() -> Company:
    """Fjord AS, and everything around it, under hostile names. The program's own columns are as they were."""
    fjord = small_world()
    for model in (Company, User, Key, Event, Email, Run, Worker, RefreshMarker, InvoiceLine, InvoiceMonth):
        columns = [
            field.column_name
            for field in model._meta.sorted_fields
            if isinstance(field, CharField | TextField)
            and not isinstance(field, JsonField)
            and field.column_name not in _OURS
        ]
        if model in {Company, User}:
            columns.append("name")
        for column in columns:
            for row in model.select():
                text = HOSTILE[(row.id + len(column)) % len(HOSTILE)]
                table = f'"{model._meta.table_name}"'
                run_sql(f'UPDATE {table} SET "{column}" = ? WHERE id = ?', (f"{text}{row.id}", row.id))
    run_sql("UPDATE company SET name = ? || name", ("A ",))
    run_sql("UPDATE event SET before = ?, after = ?", ('{"\\u001b]0;x":"[/b]"}', '"\\u009b2J[/nope]"'))
    run_sql(
        "UPDATE email SET message = ? WHERE message IS NOT NULL", (b"Subject: x\r\n\r\n[/nope]\x1b]52;c;AAAA\x07\r\n",)
    )
    run_sql("UPDATE company_user SET rights = ?", ('["[/nope]","\\u001b[2J"]',))
    return fjord
