"""What the files of an import say and what is wrong with them, with the place of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from store.import_files.columns import CompanyRow, Kind, LicenceRow, Place, UserRow
from store.rules.text import one_line

Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and of how much."""

MOST_FAULTS: Final = 1000
STEP: Final = 2000  # rows between two words about the progress
ANY_COMPANY: Final = "\0any"
"""Stands among the company ids when a list of companies could not be read: then none is called unknown."""


class TooManyFaults(Exception):
    """There is no use in reading on."""


@dataclass(frozen=True, slots=True)
class Source:
    """A CSV file, or one list of a JSON file."""

    file: str
    section: str = ""  # the list's name; empty in CSV

    def at(self, line: int) -> str:
        """Where a row stands; line 0 is the file as a whole."""
        if not line and not self.section:
            return self.file
        return f"{self.file}: {self.section}[{line}]" if self.section else f"{self.file}:{line}"

    def fault(self, line: int, name: str, why: str) -> str:
        """`users.csv:7: email: …` or `all.json: users[6].email: …`; without a name the row as a whole is meant."""
        if self.section and name:
            return f"{self.at(line)}.{name}: {why}"
        return f"{self.at(line)}: {name}: {why}" if name else f"{self.at(line)}: {why}"


@dataclass
class Incoming:
    """What the files say, and what is wrong with them."""

    default_zone: str
    defaults: dict[str, dict[str, Any]]  # by kind and column: what holds for a new row that says nothing
    files: list[str] = field(default_factory=list)
    companies: list[CompanyRow] = field(default_factory=list)
    users: list[UserRow] = field(default_factory=list)
    licences: list[LicenceRow] = field(default_factory=list)
    company_ids: set[str] = field(default_factory=set)  # also of rows with a fault, so that one fault is told once
    sources: list[Source] = field(default_factory=list)
    _faults: list[tuple[Place, str]] = field(default_factory=list)
    _seen: dict[tuple[str, ...], Place] = field(default_factory=dict)

    def fault(self, place: Place, name: str, why: str) -> None:
        """Keep a fault; TooManyFaults when there are enough."""
        self._faults.append((place, self.sources[place[0]].fault(place[1], name, why)))
        if len(self._faults) >= MOST_FAULTS:
            raise TooManyFaults

    def faults(self) -> list[str]:
        """All faults in the order of the files."""
        return [sentence for _, sentence in sorted(self._faults, key=lambda fault: fault[0])]

    def told(self) -> str:
        """The files, for people."""
        return one_line(", ".join(self.files), 160)

    def told_at(self, place: Place) -> str:
        """Where a row stands, for people."""
        return self.sources[place[0]].at(place[1])

    def add(self, kind: Kind, place: Place, values: Sequence[Any]) -> None:
        """Keep a sound row, unless there is one of the same identity already."""
        if kind.identity:
            own = tuple(values[kind.names().index(name)] for name in kind.identity)
            first = self._seen.setdefault((kind.name, *own), place)
            if first != place:
                self.fault(place, "id", f"“{one_line(own[-1], 64)}” stands in {self.told_at(first)} already; keep one.")
                return
        getattr(self, kind.name).append(kind.row(place, *values))


@dataclass(slots=True)
class Reading:
    """One file on its way in."""

    incoming: Incoming
    kinds: tuple[Kind, ...]
    name: str
    size: int
    progress: Progress | None
    source: int  # its number among the sources

    def fault(self, line: int, name: str, why: str) -> None:
        """Keep a fault of this file."""
        self.incoming.fault((self.source, line), name, why)

    def told(self, done: int) -> None:
        """Say how many bytes have been read."""
        if self.progress is not None:
            self.progress(f"reading {self.name}", min(done, self.size), self.size)


def not_utf8(byte: int) -> str:
    """What to say about a byte."""
    return f"the byte 0x{byte:02X} is not UTF-8; save the file in UTF-8."


def unknown(name: str, kind: Kind, what: str) -> str:
    """What to say about a name that the kind does not have; `what` is a column or a name."""
    near = get_close_matches(name, kind.names(), n=1)
    hint = f"did you mean “{near[0]}”?" if near else f"{kind.name} have {', '.join(kind.names())}."
    return f"this {what} is not known; {hint}"
