"""The choices of this installation: the vendor's name, the key prefix, the notice days, the hours of the jobs."""

from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from store.actors import WORKER, Actor
from store.change import change
from store.database import session, writing
from store.errors import Refused, SettingsWrong
from store.peppers import Peppers
from store.rules import calendar, key_format
from store.rules.text import check_name
from store.tables import Setting

_MARKS = "pepper_marks"


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


def read() -> Installation | None:
    """The stored choices, None before init."""
    with session():
        stored: dict[str, Any] = {row.name: row.value for row in Setting.select()}
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


def set_up(installation: Installation, now: datetime, actor: Actor = WORKER, peppers: Peppers | None = None) -> None:
    """Write the choices of a new store, and which peppers it is used with. Refused when it has been set up before."""
    chosen = checked(installation)
    with change(actor, "installation.set-up", None, now) as made:
        if Setting.select().exists():
            raise Refused("This store has been set up already; nothing was changed.")
        for name, value in asdict(chosen).items():
            Setting.create(name=name, value=list(value) if isinstance(value, tuple) else value)
        Setting.create(name=_MARKS, value=peppers.marks() if peppers else {})
        made.event("installation.set-up", "installation", None, after=asdict(chosen))


def check_peppers(peppers: Peppers) -> None:
    """SettingsWrong unless these are the peppers that the store's keys were made with; a new version is remembered."""
    row = Setting.get_or_none(Setting.name == _MARKS)
    known: dict[str, str] = row.value if row is not None else {}
    for version, mark in known.items():
        if peppers.marks().get(version) != mark:
            raise SettingsWrong(
                f"The pepper file has not the version {version} that this store's keys were made with, so none of them "
                "would be accepted. Restore the right pepper file."
            )
    if row is not None and peppers.marks() != known:
        with writing():
            Setting.update(value=peppers.marks()).where(Setting.name == _MARKS).execute()


def checked(installation: Installation) -> Installation:
    """The choices as they are kept. FormatWrong or Refused says which of them cannot be."""
    key_format.check_prefix(installation.prefix)
    calendar.zone(installation.time_zone)
    return replace(installation, vendor=check_name(installation.vendor, "vendor", limit=64))
