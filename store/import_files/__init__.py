"""The files of an import, read into rows; every fault is kept with its file, line and field, not only the first."""

from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import Final

from store.import_files.columns import kinds
from store.import_files.csv_file import read_csv
from store.import_files.incoming import Incoming, Progress, Reading, Source, TooManyFaults
from store.import_files.json_file import read_json
from store.rules.text import visible

_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


def read(files: Sequence[Path], default_zone: str, progress: Progress | None = None) -> Incoming:
    """Read all files. What is wrong with them stands in the result; nothing is raised for it."""
    known = kinds(default_zone)
    incoming = Incoming(default_zone, {kind.name: kind.defaults() for kind in known})
    unique = len({path.name for path in files}) == len(files)
    try:
        for path in files:
            name = visible(path.name if unique else str(path))
            incoming.files.append(name)
            incoming.sources.append(Source(name))
            try:
                with path.open("rb") as file:
                    reading = Reading(incoming, known, name, path.stat().st_size, progress, len(incoming.sources) - 1)
                    _read_file(reading, file)
            except OSError as error:
                incoming.fault((len(incoming.sources) - 1, 0), "", f"it cannot be read: {error.strerror}.")
    except TooManyFaults:
        pass
    return incoming


def _read_file(reading: Reading, file: BufferedReader) -> None:
    head = file.peek(4096)  # a pipe cannot be read from its beginning again
    if head.startswith(_UTF16):
        reading.fault(1, "", "it is written in UTF-16; save it as CSV in UTF-8.")
    elif not head.strip():
        reading.fault(1, "", "it is empty; a CSV begins with a header.")
    elif head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in {b"{", b"["}:
        read_json(reading, file)
    else:
        read_csv(reading, file)
