"""`keydesk`: one command. What it can do is said here; each verb does it in its own errand."""

import argparse
import errno
import gc
import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

from keydesk import __version__, billing_verbs, faults, operating_verbs
from keydesk.arguments import WronglyAsked, refuse_other_bytes
from keydesk.arguments import act as _act
from keydesk.arguments import day as _day
from keydesk.arguments import notice_days as _notice_days
from keydesk.arguments import number as _number
from store.errors import KeydeskError
from store.rules.key_format import redact
from store.rules.text import visible

MAIL_STATES = ("queued", "claimed", "handing-over", "sent", "failed", "ambiguous", "withdrawn")

_PAGE = """\
The desk where API keys are handed out, watched, extended, revoked and charged.

every day
  keydesk                         open the desk; at first it asks what it needs
  keydesk worker                  markers, notices, invoice lines, mails
  keydesk demo                    a world to try; nothing of yours is touched

setting up
  keydesk init                    make a store, or bring an older one up to date
  keydesk import FILE...          companies, users, licences from CSV or JSON
  keydesk prices|terms ...        what things cost, and what was agreed
  keydesk admin ...               who may log in over SSH, and with which key
  keydesk doctor                  what is well, what is not, and what to do

for programs and pipelines
  keydesk key accept              is the key on standard input accepted?
  keydesk key show|revoke         by handle
  keydesk sandbox ...             take and report refreshes; see and hold them
  keydesk refresher ...           make a sandbox: copy, mask, swap in
  keydesk usage import FILE...    what gateways counted, each file once
  keydesk invoice ...             show, explain, preview and check what is owed
  keydesk run JOB                 do one job now, or say what it would do
  keydesk mail ...                see, settle, preview and test what is mailed
  keydesk events verify           check the chain of the audit log
  keydesk backup|restore FILE     a checked copy while everything runs; and back

`keydesk VERB --help` says more of each.
Exit status: 0 done or yes, 1 an error, 2 wrongly asked, 3 no, 4 done in part;
70 a fault of Keydesk, 75 the claim of a refresh is lost or over.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the verb. Exit status 0 done, 1 an error in one sentence, 2 wrongly asked, 3 the answer is no,
    4 done in part: rows were refused, the others taken; or months are left to a person.

    Beyond those, as others have them: 70 a fault of the program, 75 the claim is lost or over, 130 Ctrl+C, 141 the
    reader of the output has gone.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the caller has closed it
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has no Å still gets its answer
    try:
        try:
            given = parser().parse_args(arguments)
            refuse_other_bytes(given)
            status = _run(given)
        finally:
            sys.stdout.flush()  # now, while it can still be said that it fails
    except KeydeskError as error:
        status = _told(str(error), 2 if isinstance(error, WronglyAsked) else 1)
    except BrokenPipeError:
        _discard_output()
        status = 141
    except OSError as error:
        status = _told_of_file(error)
    except KeyboardInterrupt:
        status = 130
    except Exception as error:  # noqa: BLE001 - a traceback would show what nobody asked for, and help nobody here
        status = _told(faults.of_program(error), 70)
    sys.exit(status)


def _told(text: str, status: int) -> int:
    """Say it on standard error: no key, and nothing that speaks to the terminal."""
    sys.stderr.write("\n".join(visible(line) for line in f"keydesk: {redact(text)}".split("\n")) + "\n")
    return status


def _told_of_file(error: OSError) -> int:
    """A file that cannot be used, or an output that cannot be written, is no fault of the program."""
    of_file = faults.of_file(error)
    if of_file is not None:
        return _told(of_file, 1)
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}:
        _discard_output()
        return _told(f"The output cannot be written: {error.strerror}.", 1)
    return _told(faults.of_program(error), 70)


def _discard_output() -> None:
    """What is still unsaid goes to nobody, so that the interpreter does not try once more as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def now() -> datetime:
    """The one place where the command reads a clock: whole seconds, UTC."""
    return datetime.now(UTC).replace(microsecond=0)


def _run(given: argparse.Namespace) -> int:
    status: int
    if given.errand == "rating":  # anybody's file: neither the user's settings nor a store has a say in it
        status = import_module("keydesk.errands.rating").run(given)
        return status
    # Late, so that a verb pays only for what it needs: the worker no Textual, `key accept` neither, the page nothing.
    gc.disable()  # what modules make stays: to search it for garbage takes a fifth of the desk's start
    settings = import_module("keydesk.settings")
    errand = import_module(f"keydesk.errands.{given.errand}")
    gc.freeze()
    gc.enable()
    # The demo has settings of its own; a slip in the user's file does not keep it from opening.
    read = settings.Settings() if given.errand == "demo" else settings.load(given.settings, os.environ)
    status = errand.run(given, read, now)
    return status


class _Parser(argparse.ArgumentParser):
    """What was wrongly asked is told in one sentence; a key that somebody typed is never repeated."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Tell of what is not known here, where the verb's own page of help is named, and before a verb is looked for.

        The word behind an option that is not known would be taken for the verb.
        """
        words = sys.argv[1:] if args is None else list(args)
        unknown = self._not_known_before_the_verb(words)
        if unknown is not None:
            self.error(f"unrecognized arguments: {unknown}")
        read, others = super().parse_known_args(words, namespace)
        if others:
            self.error(f"unrecognized arguments: {' '.join(others)}")
        return read, others

    def _not_known_before_the_verb(self, words: Iterable[str]) -> str | None:
        if self._subparsers is None:
            return None
        left = iter(words)
        for word in left:
            name, equals, _ = word.partition("=")
            if len(word) < 2 or word[0] != "-":
                return None
            option = self._option_string_actions.get(name)
            if option is None:
                return name
            if option.nargs is None and not equals:
                next(left, None)
        return None

    def error(self, message: str) -> NoReturn:
        """Exit status 2."""
        if redact(message) != message:
            message = "a key never stands on a command line, where others read it; hand it over on standard input"
        message = re.sub(
            r"^argument (.*): invalid choice: (.*) \(choose from", r"\1 cannot be \2 (choose from", message
        )
        message = visible(message.removeprefix("argument "))
        self.exit(2, f"{self.prog}: {message}. `{self.prog} --help` says more.\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(
        prog="keydesk",
        description=_PAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        usage="keydesk [--settings FILE] [VERB ...]",
    )
    top.add_argument("--version", action="version", version=f"keydesk {__version__}")
    top.add_argument("--settings", type=Path, metavar="FILE", help="the settings file (default: your own)")
    top.set_defaults(errand="desk", read_only=False)
    verbs = top.add_subparsers(metavar="VERB", title="verbs", help=argparse.SUPPRESS, prog="keydesk")

    def verb(name: str, errand: str, text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        made.set_defaults(errand=errand, verb=name)
        return made

    _desk(verb("desk", "desk", "Open the desk."))
    operating_verbs.worker(verb("worker", "worker", "Run the worker until it is told to stop (SIGTERM)."))
    _demo(verb("demo", "demo", "Open the desk on a living world in a temporary folder."))
    _init(verb("init", "init", "Make the store, the pepper and the settings file; or bring an older store up to date."))
    _import(verb("import", "importing", "Take companies, users and licences from files, all or nothing."))
    billing_verbs.prices(
        verb("prices", "prices", "Price lists: check, publish, index and show them; a published one never changes.")
    )
    billing_verbs.invoice(verb("invoice", "invoice", "See, explain and check what companies owe, and put it right."))
    billing_verbs.terms(verb("terms", "terms", "What was agreed with a company, for whole months, with its reference."))
    _admin(verb("admin", "admin", "Who may use the desk over SSH."))
    _key(verb("key", "key", "Ask about one key, or revoke it."))
    operating_verbs.sandbox(
        verb("sandbox", "sandbox", "Take and report refreshes, in JSON; see, hold and release sandboxes.")
    )
    _usage(verb("usage", "usage", "Take in how much keys were used, from files of gateways."))
    _job(verb("run", "job", "Run one job now, as of a day, or show what it would do."))
    _mail(verb("mail", "mail", "Read a mail, see every kind of mail, or send a test mail."))
    _events(verb("events", "events", "Check the audit log."))
    operating_verbs.backup(
        verb("backup", "backup", "Copy the SQLite store while everything runs; the copy is checked.")
    )
    operating_verbs.restore(
        verb(
            "restore",
            "restore",
            "Look at a backup, or put it in the store's place, where it sends and bills nothing yet.",
        )
    )
    operating_verbs.refresher(
        verb("refresher", "refresher", "Make a sandbox from production: read it, mask the copy, swap it in.")
    )
    doctor = verb("doctor", "doctor", "Look at store, worker, mail, pepper and clock, and say what to do.")
    doctor.add_argument("--json", action="store_true", help="one JSON object a line: verdict, about, text")
    _ssh(verb("ssh", "ssh", "What sshd calls: list the keys of an admin, or open a session."))
    return top


def _desk(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--read-only", action="store_true", help="show everything, change nothing")


def _demo(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--keep", action="store_true", help="leave the temporary folder behind and say where it is")
    verb.add_argument("--build-only", type=Path, metavar="DIR", help="only build the world there, for scripts")
    verb.add_argument("--seed", type=_number, default=1, help="another world")


def _init(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--vendor", help="your company's name, as mails say it")
    verb.add_argument("--prefix", default="kd", help="what every key begins with (default kd); never changed later")
    verb.add_argument("--time-zone", default="Europe/Oslo", help="of companies that name none (default Europe/Oslo)")
    verb.add_argument(
        "--notice-days",
        type=_notice_days,
        metavar="DAYS",
        help="when to warn, in days before expiry (default 14,3); also later",
    )
    for option, what in (
        ("--overlap-days", "how long a rotated key goes on (default 7); also later"),
        ("--refresh-hour", "local hour of the nightly refresh (default 2); also later"),
        ("--invoice-hour", "local hour on the 1st of the invoice lines (default 3); also later"),
        ("--grace-days", "days from draft to final (default 3); also later"),
        ("--refresh-window", "minutes over which the refreshes are spread (default 0); also later"),
        ("--refresh-at-once", "how many run at the same time (default 0: no limit); also later"),
    ):
        verb.add_argument(option, type=_number, metavar="N", help=what)


def _import(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="CSV files, told apart by their headers, or JSON"
    )


def _admin(verb: argparse.ArgumentParser) -> None:
    acts = verb.add_subparsers(dest="act", required=True, metavar="ACT")
    add = _act(acts, "add", "let somebody in")
    add.add_argument("name")
    add.add_argument("--role", choices=("operator", "company-admin", "auditor"), required=True)
    add.add_argument("--company", metavar="ID", help="the one company (its external id) that this admin sees")
    add.add_argument("--key", type=Path, metavar="FILE", help="a file with the public SSH key; - for standard input")
    key = _act(acts, "add-key", "another public key for an admin")
    key.add_argument("name")
    key.add_argument("--key", type=Path, metavar="FILE", required=True)
    remove = _act(acts, "remove-key", "take a public key away")
    remove.add_argument("fingerprint")
    disable = _act(acts, "disable", "end an admin's access at once")
    disable.add_argument("name")
    _act(acts, "list", "who may log in")


def _key(verb: argparse.ArgumentParser) -> None:
    acts = verb.add_subparsers(dest="act", required=True, metavar="ACT")
    accept = _act(acts, "accept", "read a key from standard input and answer in JSON")
    accept.add_argument("--environment", choices=("prod", "sandbox"), required=True, help="asked for")
    accept.add_argument("--address", default="", help="where the call came from, kept as the last use")
    accept.add_argument("--why", action="store_true", help="say the reason too (for admins, not for callers)")
    show = _act(acts, "show", "all that is known of a key")
    show.add_argument("handle", help="key_… as the desk shows it")
    revoke = _act(acts, "revoke", "end a key at once and for good")
    revoke.add_argument("handle", help="key_… as the desk shows it")
    revoke.add_argument("--reason", required=True, help="kept, and told to those who are notified")


def _usage(verb: argparse.ArgumentParser) -> None:
    acts = verb.add_subparsers(dest="act", required=True, metavar="ACT")
    take = _act(acts, "import", "add up CSV, JSON lines and access logs by key and day; a file counts once")
    take.add_argument("files", nargs="+", type=Path, metavar="FILE", help="also packed by gzip; - for standard input")
    take.add_argument("--source", default="default", metavar="NAME", help="the gateway of the file (default: default)")
    take.add_argument("--batch", metavar="ID", help="what the source calls it (default: each file's SHA-256)")
    take.add_argument("--environment", choices=("prod", "sandbox"), help="of rows that do not say (default: the key's)")
    take.add_argument(
        "--field",
        action="append",
        default=[],
        metavar="NAME=FIELD",
        help="where a value stands: key, at, requests, bytes (also A+B), status, environment",
    )
    take.add_argument("--strict", action="store_true", help="take nothing when any row is refused")
    take.add_argument("--rejects", type=Path, metavar="FILE", help="write every refused row there, with its line")
    take.add_argument("--dry-run", action="store_true", help="say what would be taken, change nothing")


def _job(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "job",
        metavar="JOB",
        help="expiry-notices, sandbox-refresh, invoice-lines, invoice-final, deliver-mail, housekeeping, tidying",
    )
    verb.add_argument("--as-of", type=_day, metavar="DATE", help="as if it were that local day")
    verb.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")


def _mail(verb: argparse.ArgumentParser) -> None:
    acts = verb.add_subparsers(dest="act", required=True, metavar="ACT")
    listed = _act(acts, "list", "the newest mails, one a line")
    listed.add_argument("filter", nargs="*", metavar="FILTER", help="as on the desk, such as state:ambiguous to:ase")
    listed.add_argument("--state", metavar="STATE", choices=MAIL_STATES, help=", ".join(MAIL_STATES))
    listed.add_argument("--company", metavar="ID", help="about this one (its external id)")
    listed.add_argument("--kind", help="such as key_expiring; `keydesk mail preview` lists them")
    listed.add_argument("--limit", type=_number, default=20, metavar="N", help="how many at most (default 20)")
    listed.add_argument("--json", action="store_true", help="one JSON object a line")
    show = _act(acts, "show", "one mail of the outbox: its text, attempts and the relay's last words")
    show.add_argument("id", type=_number, help="its number, as `keydesk mail list` shows it")
    show.add_argument("--json", action="store_true", help="as one JSON object")
    preview = _act(acts, "preview", "a sample of a kind of mail")
    preview.add_argument("kind", nargs="?", help="the kind; without one, the kinds are listed")
    preview.add_argument("--html", type=Path, metavar="FILE", help="write the HTML part there")
    preview.add_argument("--eml", type=Path, metavar="FILE", help="write the whole message there")
    resend = _act(acts, "resend", "send a mail again that failed, or whose answer was lost")
    resend.add_argument("id", type=_number)
    dismiss = _act(acts, "dismiss", "decide that a mail is not sent (again): it is withdrawn")
    dismiss.add_argument("id", type=_number)
    dismiss.add_argument("--reason", required=True)
    test = _act(acts, "test", "queue a test mail to an address")
    test.add_argument("address")


def _events(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("act", choices=("verify",))
    verb.add_argument("--noted", metavar="HEAD", help="a head that was noted earlier, as NUMBER:HASH")


def _ssh(verb: argparse.ArgumentParser) -> None:
    acts = verb.add_subparsers(dest="act", required=True, metavar="ACT")
    keys = _act(acts, "authorized-keys", "AuthorizedKeysCommand: print the key if it may log in")
    keys.add_argument("type", help="%%t")
    keys.add_argument("blob", help="%%k")
    _act(acts, "session", "ForceCommand: open the desk for whoever's key sshd checked")
