"""`keydesk mail list` and what `--json` says of a mail."""

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from jobs.letter_context import CONTEXTS
from store import companies
from store.errors import NotFound, Refused
from store.filters import Term, written
from store.listings import emails
from store.listings.emails import MailRow
from store.mail_contexts import instant_text
from store.rules.text import one_line, visible

_A_PAGE = 500


def run(given: argparse.Namespace) -> int:
    """One mail a line, the newest first; with `--json` one object a line."""
    if given.limit < 1:
        raise Refused("The limit must be at least 1.")
    if given.kind and given.kind not in CONTEXTS:
        raise NotFound(f"There is no kind of mail called {visible(given.kind)}; there are {', '.join(CONTEXTS)}.")
    only = companies.by_external_id(given.company).id if given.company else None
    needle = " ".join((*([written((Term("state", given.state),))] if given.state else ()), *given.filter))
    found = False
    for row in _rows(only, needle, given.limit, given.kind or ""):
        found = True
        sys.stdout.write((json.dumps(facts(row)) if given.json else _line(row)) + "\n")
    if not found and not given.json:
        sys.stdout.write("There is no such mail.\n" if needle or only or given.kind else "No mail was written yet.\n")
    return 0


def facts(row: MailRow) -> dict[str, Any]:
    """What is known of a mail but its text; instants are UTC."""
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "company": row.company_external_id or None,
        "recipient": row.recipient,
        "recipient_name": row.recipient_name,
        "subject": row.subject or None,
        "message_id": row.message_id,
        "queued_at": instant_text(row.queued_at),
        "next_at": instant_text(row.next_at) if row.state == "queued" else None,
        "handed_over_at": _instant(row.handed_over_at),
        "sent_at": _instant(row.sent_at),
        "attempts": row.attempts,
        "resends": row.resends,
        "reply": row.reply or None,
        "waits_for_a_person": row.state in {"failed", "ambiguous"},
    }


def _rows(only: int | None, needle: str, limit: int, kind: str) -> Iterator[MailRow]:
    ids = emails.mail_ids(only, needle, limit, kind)
    for start in range(0, len(ids), _A_PAGE):
        some = ids[start : start + _A_PAGE]
        rows = emails.mail_rows(some)
        yield from (rows[number] for number in some if number in rows)


def _line(row: MailRow) -> str:
    about = one_line(row.subject or row.kind, 60)
    return f"{row.id:>8}  {row.queued_at:%Y-%m-%d %H:%M}Z  {row.state:<12}  {visible(row.recipient)}  {about}"


def _instant(at: datetime | None) -> str | None:
    return None if at is None else instant_text(at)
