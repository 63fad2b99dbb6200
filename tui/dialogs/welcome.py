"""The first minute: who hands out keys here, and where the companies come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from zoneinfo import available_timezones

from textual.app import ComposeResult

from store.errors import Refused
from store.rules.calendar import zone
from store.rules.key_format import check_prefix
from store.rules.text import check_name, one_line
from tui.dialogs.dialog import Dialog, row, said
from tui.widgets.field import Field
from tui.widgets.finder import Finder


@dataclass(frozen=True, slots=True)
class WelcomeDraft:
    """What an installation is told once. `import_from` is a file or folder that exists, or None."""

    vendor: str
    prefix: str
    time_zone: str
    import_from: Path | None


@dataclass(frozen=True, slots=True)
class _Zone:
    name: str
    detail: str = ""


class WelcomeDialog(Dialog[WelcomeDraft]):
    """Dismisses with the settings of a new installation."""

    caption: str = "Welcome to Keydesk"
    accepting: str = "Begin"
    intro: ClassVar[tuple[str, ...]] = (
        "Three things to say once, then you can make keys.",
        "The prefix begins every key, so that scanners find yours; it stays for good.",
    )

    def __init__(self, *, vendor: str = "", prefix: str = "kd", time_zone: str = "") -> None:
        super().__init__()
        self._vendor = Field(vendor, "your company, as customers know it", limit=64)
        self._prefix = Field(prefix, "kd", limit=16)
        self._zones = sorted(available_timezones())
        known = _Zone(time_zone) if time_zone in self._zones else None
        self._zone = Finder(self._matching, nothing="No such time zone.", placeholder="like Europe/Oslo", picked=known)
        self._path = Field(placeholder="a CSV or JSON file, or a folder; empty to start without")

    def fields(self) -> ComposeResult:
        """The form."""
        yield said(*self.intro)
        yield said("")
        yield row("Vendor", self._vendor)
        yield row("Key prefix", self._prefix)
        yield row("Time zone", self._zone)
        yield row("Import from", self._path)
        yield said("Companies, users and licences come from there; more can be imported at any time.")

    def answer(self) -> WelcomeDraft:
        """The settings, checked."""
        with self.about(self._vendor):
            vendor = check_name(self._vendor.value, "The vendor's name")
        with self.about(self._prefix):
            prefix = check_prefix(self._prefix.value.strip())
        with self.about(self._zone.query_one(Field)):
            if self._zone.picked is None:
                raise Refused("Choose a time zone: write a part of its name, like Oslo, and press Enter.")
        zone(self._zone.picked.name)
        with self.about(self._path):
            path = _existing(self._path.value.strip())
        return WelcomeDraft(vendor, prefix, self._zone.picked.name, path)

    async def _matching(self, needle: str) -> Sequence[_Zone]:
        wanted = needle.casefold().replace(" ", "_")
        matching = [name for name in self._zones if wanted in name.casefold()]
        # a place's own name first: "oslo" means Europe/Oslo
        matching.sort(key=lambda name: not name.casefold().rpartition("/")[2].startswith(wanted))
        return [_Zone(name) for name in matching[:8]]


def _existing(written: str) -> Path | None:
    if not written:
        return None
    try:
        path = Path(written).expanduser()
        exists = path.exists()
    except (OSError, RuntimeError, ValueError):
        exists = False
    if not exists:
        raise Refused(f"There is no file or folder “{one_line(written, 60)}”; correct the path or leave it empty.")
    return path
