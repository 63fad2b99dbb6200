"""The choices of this installation: the vendor's name, the key prefix, the notice days, the hours of the jobs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from store.actors import WORKER, Actor
from store.change import change
from store.database import backend, run_sql, session
from store.errors import FormatWrong, Refused, SettingsWrong
from store.peppers import Peppers
from store.rules import calendar, key_format
from store.rules.text import check_name
from store.tables import Event, Setting

_MARKS = "pepper_marks"
_EXPIRED = -1  # among the notice days
_FARTHEST_NOTICE = 365
# The whole numbers among the choices, each with its name for people and its bounds.
_BOUNDS = {
    "overlap_days": ("The overlap of a rotation, in days,", 0, 365),
    "refresh_hour": ("The refresh hour", 0, 23),
    "invoice_hour": ("The invoice hour", 0, 23),
    "grace_days": ("The grace of an invoice, in days,", 0, 27),
    "refresh_window": ("The refresh window, in minutes,", 0, 720),
    "refresh_at_once": ("How many refreshes run at once (0: as many as are asked for)", 0, 10_000),
}


@dataclass(frozen=True)
class Installation:
    """Made once at init. The prefix is never changed afterwards: keys that are out carry it."""

    vendor: str
    prefix: str = "kd"
    time_zone: str = "Europe/Oslo"  # of companies that name none
    notice_days: tuple[int, ...] = (14, 3, -1)  # days before expiry; -1: when it has expired
    overlap_days: int = 7  # how long a rotated key goes on
    refresh_hour: int = 2  # local hour of the nightly refresh marker
    invoice_hour: int = 3  # local hour of the 1st at which last month's lines are written
    grace_days: int = 3  # from draft to final
    refresh_window: int = 0  # minutes from the refresh hour on over which the night's markers fall due
    refresh_at_once: int = 0  # how many sandboxes are refreshed at the same time; 0: no limit


def read() -> Installation | None:
    """The stored choices, None before init."""
    with session():
        rows = run_sql("SELECT name, value FROM setting").fetchall()
    stored: dict[str, Any] = {name: json.loads(value) for name, value in rows}
    if "vendor" not in stored:
        return None
    known = {field.name for field in fields(Installation)}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items() if name in known
    }
    return Installation(**values)


def get() -> Installation:
    """The stored choices; Refused when the store was never set up."""
    found = read()
    if found is None:
        raise Refused("This store has not been set up yet. Run `keydesk init`.")
    return found


def set_up_at() -> datetime | None:
    """When the store was set up, by its first event; of the days before it knows nothing."""
    first = Event.get_or_none(Event.seq == 1)
    return first.at if first is not None else None


def set_up(installation: Installation, now: datetime, actor: Actor = WORKER, peppers: Peppers | None = None) -> None:
    """Write the choices of a new store, and which peppers it is used with. Refused when it has been set up before."""
    chosen = checked(installation)
    with change(actor, "installation.set-up", None, now) as made:
        _alone()
        if Setting.select().exists():
            raise Refused("This store has been set up already; nothing was changed.")
        for name, value in asdict(chosen).items():
            Setting.create(name=name, value=list(value) if isinstance(value, tuple) else value)
        Setting.create(name=_MARKS, value=peppers.marks() if peppers else {})
        made.event("installation.set-up", "installation", None, after=asdict(chosen))


def edit(actor: Actor, choices: Mapping[str, Any], now: datetime) -> Installation:
    """Change choices by their names; what is not named stays. Nothing happens when all are so already.

    Refused for the prefix, which keys that are out carry. FormatWrong says which choice cannot be.
    """
    with change(actor, "installation.edit", None, now) as made:
        _alone()
        before = get()
        after = checked(replace(before, **choices))
        if after.prefix != before.prefix:
            raise Refused(f"The prefix is {before.prefix} for good: keys that are out begin with it.")
        was, becomes = asdict(before), asdict(after)
        changed = [name for name in becomes if was[name] != becomes[name]]
        for name in changed:
            value = becomes[name]
            Setting.update(value=list(value) if isinstance(value, tuple) else value).where(
                Setting.name == name
            ).execute()
        if changed:
            sides = ({name: side[name] for name in changed} for side in (was, becomes))
            made.event("installation.edit", "installation", None, before=next(sides), after=next(sides))
        return after


def _alone() -> None:
    """Of two who choose at once the later sees what the earlier chose."""
    if backend() == "postgresql":
        run_sql("LOCK TABLE setting IN SHARE ROW EXCLUSIVE MODE")


def check_peppers(peppers: Peppers) -> None:
    """SettingsWrong unless these are the peppers that the store's keys were made with, or those and newer ones."""
    found, file = peppers.marks(), f"The pepper file {peppers.path}" if peppers.path else "The pepper file"
    for version, mark in _known_marks().items():
        if version not in found:
            raise SettingsWrong(
                f"{file} has not the version {version} that keys of this store were made with, so none of those would "
                "be accepted. Restore the right pepper file."
            )
        if found[version] != mark:
            raise SettingsWrong(
                f"{file} has a version {version} with another secret than the one that keys of this store were made "
                "with, so none of those would be accepted. Restore the right pepper file."
            )


def remember_peppers(actor: Actor, peppers: Peppers, now: datetime) -> None:
    """Keep what tells a new version apart, for whoever makes keys with it. SettingsWrong as of check_peppers."""
    with session():
        check_peppers(peppers)
        if peppers.marks() == _known_marks():
            return
        with change(actor, "installation.pepper", None, now) as made:
            _alone()
            known = _known_marks()
            check_peppers(peppers)  # of two who come at once the later sees what the earlier wrote
            new = sorted(set(peppers.marks()) - set(known), key=int)
            if new and Setting.update(value=peppers.marks()).where(Setting.name == _MARKS).execute():
                before, after = ({"versions": sorted(map(int, each))} for each in (known, peppers.marks()))
                made.event("installation.pepper", f"pepper version {', '.join(new)}", None, before=before, after=after)


def _known_marks() -> dict[str, str]:
    row = Setting.get_or_none(Setting.name == _MARKS)
    return dict(row.value) if row is not None else {}


def checked(installation: Installation) -> Installation:
    """The choices as they are kept. FormatWrong or Refused says which of them cannot be."""
    key_format.check_prefix(installation.prefix)
    calendar.zone(installation.time_zone)
    days = installation.notice_days
    if len(set(days)) != len(days) or not all(day == _EXPIRED or 1 <= day <= _FARTHEST_NOTICE for day in days):
        raise FormatWrong("The notice days are different numbers of days before expiry, each from 1 to 365.")
    for name, (told, least, most) in _BOUNDS.items():
        if not least <= getattr(installation, name) <= most:
            raise FormatWrong(f"{told} must be from {least} to {most}.")
    return replace(installation, vendor=check_name(installation.vendor, "vendor", limit=64))
