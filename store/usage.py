"""How much keys were used: taken in from files of gateways, once each, and added up by key and local day."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Final, Literal, TextIO

from store import installation, invoices
from store.actors import Actor, require
from store.change import Change, change
from store.database import backend, run_many, run_sql, session
from store.errors import FormatWrong, Refused
from store.fields import instant, seconds
from store.rules.key_format import redact
from store.rules.text import check_name, visible
from store.usage_files import Fields, Lines, Row, UsageFile, Wrong, rows
from store.usage_keys import KeyBook, Known
from store.usage_rollup import LocalDays, Rollup, scratch

Progress = Callable[[str, int, int], None]
Environment = Literal["prod", "sandbox"]

_ACT: Final = "usage.import"
_CHUNK: Final = 2000  # rows whose keys are looked up together
_FIRST: Final = 20  # refusals that are told
_MOST: Final = 4 * 10**18  # requests or bytes of a file, so that every sum fits the store's columns


@dataclass(frozen=True)
class Options:
    """How usage is taken. Without a batch each file is one, named by the SHA-256 of its text."""

    source: str = "default"
    batch: str | None = None
    environment: Environment | None = None  # of rows that do not say; None: the key's, and Prod for a key of All
    fields: Fields = field(default_factory=Fields)
    strict: bool = False
    dry_run: bool = False


@dataclass
class Refusals:
    """The rows that are refused: how many, the first of them, and all of them where `out` is given."""

    out: TextIO | None = None
    count: int = 0
    first: list[str] = field(default_factory=list)

    def tell(self, place: str, why: str) -> None:
        """Keep one, without any key and without what could speak to a terminal."""
        self.count += 1
        sentence = visible(redact(f"{place}: {why}"))
        if len(self.first) < _FIRST:
            self.first.append(sentence)
        if self.out is not None:
            self.out.write(f"{sentence}\n")

    def told(self) -> str:
        """The first of them, and how many more there are."""
        more = [f"… and {self.count - len(self.first):,} more."] if self.count > len(self.first) else []
        return "\n".join([*self.first, *more])


@dataclass
class Batch:
    """What came of a batch. Bytes and requests are those that count."""

    file: str
    name: str = ""
    rows: int = 0  # sound ones
    uncounted: int = 0  # of them: answered with 429 or 5xx
    anonymous: int = 0  # lines of an access log without a key
    refused: int = 0
    requests: int = 0
    bytes: int = 0
    days: tuple[str, str] | None = None
    sha256: str = ""  # of its text
    before: datetime | None = None  # when it had been taken already; then nothing was changed

    def sentence(self) -> str:
        """For people, on one line."""
        if self.before is not None:
            return f"{self.file}: was taken already, {self.before:%Y-%m-%d %H:%M} UTC; nothing was changed."
        first, last = self.days or ("", "")
        days = f", {first} to {last}" if first != last else f", {first}" if first else ""
        told = [f"{_rows(self.rows)}{days}: {self.requests:,} requests and {self.bytes:,} bytes count"]
        if self.uncounted:
            told.append(
                f"{_rows(self.uncounted)} answered with 429 or 5xx {'does' if self.uncounted == 1 else 'do'} not"
            )
        if self.anonymous:
            told.append(f"{_rows(self.anonymous)} without a key")
        if self.refused:
            told.append(f"{_rows(self.refused)} refused")
        return f"{self.file}: {'; '.join(told)}."


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"


def take(
    actor: Actor,
    files: Sequence[UsageFile],
    now: datetime,
    options: Options | None = None,
    *,
    refusals: Refusals | None = None,
    progress: Progress | None = None,
) -> list[Batch]:
    """Take in files of usage: every sound row of all of them, in one transaction, or nothing.

    A batch that was taken from this source before is left alone. Rows that are not sound are told to `refusals`.
    Refused when options.strict and there is one, when no row is sound, or when a batch of that name had another
    content. Only operators may.
    """
    asked = options or Options()
    source = _name(asked.source, "source", 64)
    named = None if asked.batch is None else _name(asked.batch, "batch", 128)
    told = ", ".join(file.name for file in files)
    with session():
        require(actor, _ACT, None)
        prefix = installation.get().prefix
        known = None if named is None else _taken(source, named)
    if named is not None and known is not None:
        batch = Batch(told, named, sha256=_of_all([_digest(file, prefix) for file in files]))
        _check_same(source, batch, known)
        return [batch]
    with scratch() as aside:
        reading = _Reading(now, asked, refusals or Refusals(), progress, KeyBook(aside), Rollup(aside))
        batches = [Batch(told, named)] if named is not None else []
        digests = []
        for file in files:
            if named is None:
                batches.append(Batch(file.name))
                reading.rollup.begin(len(batches) - 1)
            digests.append(reading.read(file, prefix, batches[-1]))
            batches[-1].name = named or digests[-1]
            batches[-1].sha256 = _of_all(digests) if named is not None else digests[-1]
        _check(reading.refusals, batches, strict=asked.strict)
        for part, batch in enumerate(batches):
            batch.days = reading.rollup.days(part)
        if asked.dry_run:
            return _known(source, batches)
        reading.book.forget()
        with _little_memory(), change(actor, _ACT, None, now) as made:
            for part, batch in enumerate(batches):
                if batch.rows:
                    _write(made, source, batch, reading.rollup, part, progress, by_digest=named is None)
    return batches


class _Reading:
    """The files on their way in."""

    def __init__(
        self,
        now: datetime,
        options: Options,
        refusals: Refusals,
        progress: Progress | None,
        book: KeyBook,
        rollup: Rollup,
    ) -> None:
        self.now = seconds(now)
        self.options = options
        self.refusals = refusals
        self.progress = progress
        self.book = book
        self.rollup = rollup
        self.days = LocalDays()

    def read(self, file: UsageFile, prefix: str, batch: Batch) -> str:
        """Read one file into a batch; the SHA-256 of its text."""
        lines = Lines(file, prefix)
        try:
            chunk: list[Row | Wrong] = []
            for row in rows(lines, self.options.fields):
                chunk.append(row)
                if len(chunk) == _CHUNK:
                    self._take(chunk, file.name, batch)
                    chunk.clear()
                    if self.progress is not None:
                        told = f"reading {file.name}, line {lines.number:,}"
                        self.progress(told, lines.done(), max(lines.size, 1))
            self._take(chunk, file.name, batch)
            return lines.sha256()
        finally:
            lines.close()

    def _take(self, chunk: list[Row | Wrong], name: str, batch: Batch) -> None:
        known = self.book.find(row.key for row in chunk if type(row) is Row and row.key)
        for row in chunk:
            if type(row) is Wrong:
                why = row.why
            elif type(row) is Row:
                if not row.key:
                    batch.anonymous += 1
                    continue
                why = self._count(row, known[row.key], batch)
            if why:
                batch.refused += 1
                self.refusals.tell(f"{name}:{row.line}", why)
        if max(batch.requests, batch.bytes) > _MOST:
            raise Refused(
                f"{name} adds up to more than can be kept ({_MOST:,}); nothing was taken. Look at its numbers."
            )

    def _count(self, row: Row, key: Known | str, batch: Batch) -> str:
        """Count a row; or why it is refused."""
        if isinstance(key, str):
            return f"key: {key}"
        if row.at > self.now:
            return f"at: {_utc(row.at)} is in the future; look at the gateway's clock and at this machine's."
        if row.at < key.created_at:
            return f"at: at {_utc(row.at)} this key was not there yet; it was made at {_utc(key.created_at)}."
        environment = row.environment or self.options.environment or key.environment
        if key.environment not in {environment, "all"}:
            return f"environment: the key is for {key.environment}, and this row is said to be of {environment}."
        batch.rows += 1
        if not row.counts:
            batch.uncounted += 1
            return ""
        batch.requests += row.requests
        batch.bytes += row.bytes
        day = self.days.ordinal(row.at, key.zone)
        where = "prod" if environment == "all" else environment
        self.rollup.add(key.company_id, key.id, day, where, row.requests, row.bytes)
        return ""


def _utc(at: int) -> str:
    return f"{instant(at):%Y-%m-%dT%H:%M:%SZ}"


def _name(value: str, what: str, limit: int) -> str:
    name = check_name(value, what, limit=limit)
    if redact(name) != name:
        raise FormatWrong(f"The {what} holds a key; name the {what} in another way.")
    return name


def _check(refusals: Refusals, batches: list[Batch], *, strict: bool) -> None:
    sound = sum(batch.rows for batch in batches)
    if refusals.count and (strict or not sound):
        of = f"{refusals.count:,} refused of {_rows(sound + refusals.count)}"
        raise Refused(f"Nothing was taken: {of}. Correct and import again.\n{refusals.told()}")


def _digest(file: UsageFile, prefix: str) -> str:
    """The SHA-256 of its text alone, for a batch that was taken before."""
    lines = Lines(file, prefix)
    try:
        for _ in lines:
            pass
        return lines.sha256()
    finally:
        lines.close()


def _of_all(digests: list[str]) -> str:
    """One digest for the files of a batch, in whatever order they are given; of one file its own."""
    return digests[0] if len(digests) == 1 else sha256("".join(sorted(digests)).encode()).hexdigest()


def _taken(source: str, batch: str) -> tuple[datetime, str] | None:
    """When the batch was taken, and the digest of what it held."""
    text = "SELECT received_at, sha256 FROM usage_batch WHERE source = ? AND batch = ?"
    found = run_sql(text, (source, batch)).fetchone()
    return None if found is None else (instant(found[0]), found[1])


def _check_same(source: str, batch: Batch, known: tuple[datetime, str]) -> None:
    """Say when it was taken; Refused when what is under that name is something else."""
    batch.before, digest = known
    if digest != batch.sha256:
        raise Refused(
            f"{batch.file} is not what was taken as the batch “{batch.name}” of “{source}” on "
            f"{batch.before:%Y-%m-%d %H:%M} UTC; nothing was taken. Give what is new another --batch."
        )


def _known(source: str, batches: list[Batch]) -> list[Batch]:
    with session():
        for batch in batches:
            known = _taken(source, batch.name)
            if known is not None:
                _check_same(source, batch, known)
    return batches


@contextmanager
def _little_memory() -> Iterator[None]:
    """On SQLite, pages of the store that this process maps or keeps are its memory; millions of rows have many."""
    with session():
        if backend() != "sqlite":
            yield
            return
        before = {name: run_sql(f"PRAGMA {name}").fetchone()[0] for name in _LITTLE}
        try:
            for name, number in _LITTLE.items():
                run_sql(f"PRAGMA {name} = {number}")
            yield
        finally:
            for name, number in before.items():
                run_sql(f"PRAGMA {name} = {number}")


_LITTLE: Final = {"mmap_size": 0, "cache_size": -16384}


def _write(
    made: Change, source: str, batch: Batch, rollup: Rollup, part: int, progress: Progress | None, *, by_digest: bool
) -> None:
    """Write a batch, unless it is there already."""
    twin = "SELECT source, batch FROM usage_batch WHERE sha256 = ? AND NOT (source = ? AND batch = ?) ORDER BY id"
    other = run_sql(twin, (batch.sha256, source, batch.name)).fetchone() if by_digest else None
    if other is not None:
        where = (
            f"from the source “{other[0]}”" if other[1] == batch.name else f"as the batch “{other[1]}” of “{other[0]}”"
        )
        raise Refused(
            f"{batch.file} was taken already, {where}; nothing was taken. If it truly is usage of its own, name it "
            "with --batch."
        )
    inserted = run_sql(
        "INSERT INTO usage_batch (source, batch, sha256, received_at, rows, rejected, first_day, last_day) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source, batch) DO NOTHING RETURNING id",
        (source, batch.name, batch.sha256, seconds(made.now), batch.rows, batch.refused, *(batch.days or (None, None))),
    ).fetchone()
    if inserted is None:
        known = _taken(source, batch.name)
        if known is not None:
            _check_same(source, batch, known)
        return
    written = 0
    for page in rollup.pages(part):
        run_many(_INSERT, [(inserted[0], *row) for row in page])
        written += len(page)
        if progress is not None:
            progress(f"writing {written:,} days of keys", 1, 1)
    after = {
        "rows": batch.rows,
        "refused": batch.refused,
        "requests": batch.requests,
        "bytes": batch.bytes,
        "days": list(batch.days or ()),
        "sha256": batch.sha256,
    }
    made.event(_ACT, f"usage {source}/{batch.name}", None, after=after)


_INSERT: Final = """
    INSERT INTO usage_day (batch_id, company_id, key_id, day, environment, requests, bytes)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""


@dataclass(frozen=True, slots=True)
class DayUse:
    """The calls and bytes of a company on one of its days."""

    day: date
    requests: int
    bytes: int


def by_day(company_id: int, first: date, last: date, environment: Environment = "prod") -> list[DayUse]:
    """Each local day from first to last, both included; zero where nothing was told."""
    found = run_sql(
        "SELECT day, sum(requests), sum(bytes) FROM usage_day "
        "WHERE company_id = ? AND day >= ? AND day <= ? AND environment = ? GROUP BY day",
        (company_id, first.isoformat(), last.isoformat(), environment),
    ).fetchall()
    used = {day: (int(requests), int(size)) for day, requests, size in found}  # PostgreSQL adds up to a numeric
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [DayUse(day, *used.get(day.isoformat(), (0, 0))) for day in days]


@dataclass(frozen=True, slots=True)
class Included:
    """What a month includes before overuse is charged; None where the price list has no price for overuse."""

    requests: int | None
    bytes: int | None


def included(company_id: int, month: str, as_of: datetime) -> Included:
    """What the month includes, as rating has it. Refused when a price list is missing."""
    told = invoices.rate(company_id, month, as_of).explain["usage"]
    requests, size = (told.get(line, {}).get("included") for line in ("overuse_requests", "overuse_data"))
    return Included(requests, size)
