"""The lines of a file of usage, plain or packed by gzip: counted, hashed, and looked through for keys."""

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from io import BufferedReader
from pathlib import Path
from typing import Final

from store.errors import Refused
from store.usage_files.rows import Wrong, leaked

_LONGEST: Final = 100_000  # bytes of a line
_BUFFER: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_MARK: Final = b"\xef\xbb\xbf"
_MAYBE_A_KEY: Final = re.compile(rb"_[0-9A-Za-z]{20}")


@dataclass(frozen=True)
class UsageFile:
    """A file on disk, or a stream that is open (standard input)."""

    name: str  # as it is told
    source: Path | BufferedReader


class Lines:
    """A file's lines as text, numbered from 1; a line that cannot be used is given as what is wrong with it."""

    def __init__(self, file: UsageFile, prefix: str) -> None:
        """Open it. OSError when it cannot be read, Refused when it is no text."""
        self.name = file.name
        self.number = 0
        self._prefix = prefix
        self._digest = sha256()
        self._opened = isinstance(file.source, Path)
        self._raw = file.source.open("rb") if isinstance(file.source, Path) else file.source
        try:
            self.size = file.source.stat().st_size if isinstance(file.source, Path) else 0
            packed = self._raw.peek(2).startswith(_GZIP)
            self._text = BufferedReader(gzip.GzipFile(fileobj=self._raw), _BUFFER) if packed else self._raw
            head = self._text.peek(4096)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            self.close()
            raise Refused(self._cut_off()) from None
        if head.startswith(_UTF16):
            self.close()
            raise Refused(f"{self.name} is written in UTF-16; save it in UTF-8. Nothing was taken.")
        self.head = head.removeprefix(_MARK).lstrip()

    def __iter__(self) -> Iterator[tuple[int, str | Wrong]]:
        """Each line that is not empty, without its end."""
        readline, update, maybe = self._text.readline, self._digest.update, _MAYBE_A_KEY.search
        try:
            while raw := readline(_LONGEST + 1):
                update(raw)
                self.number += 1
                if self.number == 1:
                    raw = raw.removeprefix(_MARK)
                if len(raw) > _LONGEST:
                    yield self.number, self._too_long(raw)
                    continue
                if maybe(raw):
                    key = leaked(raw.decode(errors="replace"), self._prefix)
                    if key is not None:
                        yield self.number, Wrong(self.number, _leak(key))
                        continue
                try:
                    text = raw.decode().rstrip("\r\n")
                except UnicodeDecodeError as error:
                    why = f"the byte 0x{raw[error.start]:02X} is not UTF-8."
                    yield self.number, Wrong(self.number, why)
                    continue
                if text and not text.isspace():
                    yield self.number, text
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise Refused(self._cut_off()) from None

    def sha256(self) -> str:
        """Of the text, so that a file is the same whether packed or not; right once all lines were read."""
        return self._digest.hexdigest()

    def done(self) -> int:
        """How many bytes of the file on disk have been read."""
        return self._raw.tell() if self.size else 0

    def close(self) -> None:
        """Close what was opened here."""
        if self._opened:
            self._raw.close()

    def _too_long(self, raw: bytes) -> Wrong:
        while raw and not raw.endswith(b"\n"):
            raw = self._text.readline(_BUFFER)
            self._digest.update(raw)
        return Wrong(self.number, f"the line is longer than {_LONGEST:,} bytes.")

    def _cut_off(self) -> str:
        return f"{self.name} is packed by gzip, and damaged or cut off; fetch it again. Nothing was taken."


def _leak(key: str) -> str:
    return (
        f"an API key stands in this line ({key}): a leak. Rotate that key, clean the log, and let the gateway "
        "log its handle."
    )
