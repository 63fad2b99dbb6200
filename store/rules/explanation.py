"""An invoice line's stored derivation in words: what the desk and the command show, and nothing computed again."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from store.rules import calendar
from store.rules.rating.sentences import day_words, gigabytes, month_words

_TERMS = {
    "unit_price": "unit price {value}",
    "discount_percent": "{value} % discount",
    "waive": "waived",
    "included": "{value} included",
    "free_test_keys": "{value} test keys free per resource",
    "access_invoiced_elsewhere": "access invoiced elsewhere",
}
_RULES = {"peak": "the highest of the month", "end": "on the last day with access", "start": "on the first day"}
_WINDOWS = {"lifetime": "over the resource's life", "period": "a month", "concurrent": "at one time"}


def told(line_key: str, explain: Mapping[str, Any], zone: str) -> list[tuple[str, str]]:
    """(name, text) of each value behind a line, in reading order, instants in the company's time."""
    facts = [
        *_corrected(explain),
        *_users(explain),
        *_keys(explain, zone),
        *_usage(line_key.rpartition(":")[2], explain),
        ("Price list", explain.get("price_list")),
        ("Terms", _terms([*explain.get("included_terms", ()), *explain.get("terms", ())])),
        ("Arithmetic", explain.get("arithmetic")),
    ]
    return [(name, str(text)) for name, text in facts if text]


def counted_keys(explain: Mapping[str, Any]) -> list[int]:
    """The ids of the keys that counted, also those behind an adjustment or a credit."""
    inner = explain.get("now_explain") or explain.get("as_invoiced") or {}
    return [key for key in explain.get("keys") or inner.get("keys") or () if isinstance(key, int)]


def local_moment(written: str, zone: str) -> str:
    """Write "2026-11-17T10:00:00Z" as "17 November 2026 at 11:00"."""
    at = datetime.fromisoformat(written).astimezone(calendar.zone(zone))
    return f"{day_words(at.date())} {at.year} at {at:%H:%M}"


def _corrected(explain: Mapping[str, Any]) -> list[tuple[str, Any]]:
    corrects = explain.get("corrects")
    if not corrects:
        return []
    return [
        ("Corrects", f"{corrects['line_key']} of {month_words(corrects['month'])}"),
        ("Was invoiced", explain.get("was")),
        ("Is now", explain.get("now")),
    ]


def _users(explain: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if "billed_users" not in explain:
        return []
    on = explain.get("billed_users_on")
    when = f" on {_day(on)}" if on else ""
    rule = _RULES.get(str(explain.get("licensed_users_rule")), "")
    tier = explain.get("tier_up_to")
    days = f"{explain.get('access_days')} of {explain.get('days_in_month')} days"
    return [
        ("Licensed users", f"{explain['billed_users']:,}{when}{f' ({rule})' if rule else ''}"),
        ("API Access on", f"{days}{_fraction(explain)}"),
        ("Step of scale", f"up to {tier:,} users" if tier else None),
    ]


def _keys(explain: Mapping[str, Any], zone: str) -> list[tuple[str, Any]]:
    if "peak_slots" in explain:
        at = explain.get("peak_at")
        when = f" on {local_moment(at, zone)} ({zone})" if at else ""
        grace = explain.get("rotation_grace_days")
        return [
            ("Most at once", f"{explain['peak_slots']:,}{when}"),
            ("Included", f"{explain['allowance']:,}"),
            ("Extra", f"{explain['extra_keys']:,}"),
            ("Rotations", f"a key and its successor count as one for {grace} days" if grace else None),
        ]
    if "test_key_window" in explain:
        window = _WINDOWS.get(str(explain["test_key_window"]), "")
        free = f"{explain['free_test_keys_per_resource']:,} per resource {window}"
        cadence = "once" if explain.get("test_overflow_cadence") == "once" else "every month"
        return [("Free test keys", free), ("Each other one", f"costs an extra key, {cadence}")]
    return []


def _usage(line_key: str, explain: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if "used" not in explain:
        return []
    write = gigabytes if line_key == "overuse_data" else "{:,} requests".format
    return [
        ("Used", write(explain["used"])),
        ("Included", write(explain["included"])),
        ("Above", write(explain["over"])),
        ("Started blocks", f"{explain['blocks']:,} of {write(explain['block'])}"),
    ]


def _terms(terms: Sequence[Mapping[str, Any]]) -> str:
    texts = []
    for term in terms:
        text = _TERMS.get(term["kind"], "{value}").format(value=term["value"])
        texts.append(f"{text} ({term['reference']})" if term["reference"] else text)
    return ", ".join(texts) or "none agreed"


def _fraction(explain: Mapping[str, Any]) -> str:
    fraction = explain.get("fraction")
    return f", so {fraction} of a month is charged" if fraction else ""


def _day(written: str) -> str:
    day = date.fromisoformat(written)
    return f"{day_words(day)} {day.year}"
