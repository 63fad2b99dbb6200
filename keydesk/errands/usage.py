"""`keydesk usage import`."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

from keydesk.errands.importing import Bar
from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import usage
from store.database import private_file
from store.errors import Refused
from store.rules.text import visible
from store.usage_files import Fields, UsageFile

_IN_PART = 4
_STANDARD_INPUT = Path("-")


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Take the files in and say what came of each. Exit status 4 when rows were refused and the others taken."""
    options = usage.Options(
        source=given.source,
        batch=given.batch,
        environment=given.environment,
        fields=Fields.of(given.field),
        strict=given.strict,
        dry_run=given.dry_run,
    )
    files = _files(given.files)
    _check_not_among(given.rejects, given.files)
    open_store(settings)
    bar = Bar(sys.stderr) if sys.stderr.isatty() else None
    with _opened(given.rejects) as out:
        refusals = usage.Refusals(out)
        try:
            batches = usage.take(local_actor(), files, clock(), options, refusals=refusals, progress=bar)
        finally:
            if bar is not None:
                bar.clear()
    for batch in batches:
        sys.stdout.write(f"{batch.sentence()}\n")
    if given.dry_run:
        sys.stdout.write("That is what would be taken; nothing was changed.\n")
    if not refusals.count:
        return 0
    sys.stdout.flush()
    sys.stderr.write(
        f"{refusals.told()}\n" if out is None else f"The refused rows are told in {visible(str(given.rejects))}.\n"
    )
    return _IN_PART


def _files(paths: Sequence[Path]) -> list[UsageFile]:
    if list(paths).count(_STANDARD_INPUT) > 1:
        raise Refused("Standard input can be read once; name - once.")
    unique = len({path.name for path in paths}) == len(paths)
    return [
        UsageFile("standard input", sys.stdin.buffer)  # type: ignore[arg-type]
        if path == _STANDARD_INPUT
        else UsageFile(visible(path.name if unique else str(path)), path)
        for path in paths
    ]


def _check_not_among(rejects: Path | None, files: Sequence[Path]) -> None:
    if rejects is not None and rejects.exists() and any(file.exists() and file.samefile(rejects) for file in files):
        raise Refused(f"{rejects} is a file of usage itself; name another for the rejects.")


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO | None]:
    if path is None:
        yield None
        return
    private_file(path)
    with path.open("w", encoding="utf-8") as file:
        yield file
