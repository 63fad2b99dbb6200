"""The command line of whoever runs an installation: worker, backup and restore, refreshers."""

import argparse
from pathlib import Path

from keydesk.arguments import act, day, endpoint, instant, number


def worker(verb: argparse.ArgumentParser) -> None:
    """`keydesk worker`."""
    verb.add_argument("--once", action="store_true", help="do what is due now and end, for cron")
    verb.add_argument(
        "--clock-from",
        type=instant,
        metavar="INSTANT",
        help="live through simulated time from this UTC instant instead of reading the clock, then end",
    )
    verb.add_argument("--on-a-copy", action="store_true", help="say that simulated time may write into this store")
    verb.add_argument(
        "--believe-clock", action="store_true", help="the clock is right now; forget that a worker saw a later time"
    )
    verb.add_argument("--resume", action="store_true", help="a restored store may send and bill again")
    verb.add_argument("--days", type=number, metavar="N", help="how many simulated days (default 40)")
    verb.add_argument("--step-minutes", type=number, metavar="N", help="how far each simulated tick goes (default 30)")
    verb.add_argument(
        "--metrics", type=endpoint, metavar="ADDRESS:PORT", help="tell Prometheus there, as 127.0.0.1:9464"
    )
    verb.add_argument(
        "--metrics-to-others", action="store_true", help="the address of --metrics may be one that other machines reach"
    )


def backup(verb: argparse.ArgumentParser) -> None:
    """`keydesk backup`."""
    verb.add_argument("file", type=Path, metavar="FILE")
    verb.add_argument("--with-pepper", action="store_true", help="copy the pepper too, into FILE.pepper")


def restore(verb: argparse.ArgumentParser) -> None:
    """`keydesk restore`."""
    verb.add_argument("file", type=Path, metavar="FILE", nargs="?", help="what `keydesk backup` made")
    ways = verb.add_mutually_exclusive_group()
    ways.add_argument("--check", action="store_true", help="only look whether it is sound, whole and fits the pepper")
    ways.add_argument("--release", action="store_true", help="let a restored store send and bill again")
    ways.add_argument("--hold", action="store_true", help="let the store send and bill nothing: after pg_restore")


def refresher(verb: argparse.ArgumentParser) -> None:
    """`keydesk refresher`."""
    kinds = verb.add_subparsers(dest="act", required=True, metavar="KIND")
    sqlite = act(kinds, "sqlite", "copy a SQLite file, mask it, and put it in the sandbox's place")
    postgres = act(kinds, "postgres", "copy a PostgreSQL database into a new one, mask it, and swap it in")
    for kind, what in ((sqlite, "a file"), (postgres, "postgresql://user@host/name")):
        kind.add_argument("--source", required=True, help=f"production: {what}; only read")
        kind.add_argument("--target", required=True, help=f"the sandbox: {what}")
        kind.add_argument("--mask", required=True, type=Path, metavar="RULES.toml", help="what is masked, and how")
    for name in ("source", "target"):
        postgres.add_argument(f"--{name}-password-file", type=Path, metavar="FILE", help="mode 0600")
    postgres.add_argument("--keep", type=number, default=1, metavar="N", help="how many old databases stay (default 1)")
    postgres.add_argument(
        "--programs", type=Path, metavar="DIR", help="where pg_dump and pg_restore are (default: PATH)"
    )


def sandbox(verb: argparse.ArgumentParser) -> None:
    """`keydesk sandbox`."""
    acts = verb.add_subparsers(dest="act", required=True, metavar="ACT")
    claim = act(acts, "next", "take the refreshes that are due; one JSON object a line")
    claim.add_argument("--limit", type=number, default=1, help="how many at most (default 1)")
    beat = act(acts, "heartbeat", "go on holding a claim")
    done = act(acts, "done", "report that the sandbox is fresh")
    fail = act(acts, "fail", "report why it is not")
    for report in (beat, done, fail):
        report.add_argument("token", help="what `next` gave you")
    for holding in (claim, beat):
        holding.add_argument("--lease-minutes", type=number, default=60, help="how long from now (default 60)")
    done.add_argument("--message", default="")
    fail.add_argument("--message", required=True)
    fail.add_argument("--retry-in", type=number, metavar="MINUTES", help="the same night is due again after that")
    listed = act(acts, "list", "how every sandbox is, and how old what it holds")
    listed.add_argument("--state", default="", metavar="STATE,...", help="only those: quarantined,failed")
    one = act(acts, "show", "all that is known of one company's sandbox")
    hold = act(acts, "hold", "leave a sandbox as it is, until it is released")
    hold.add_argument("--reason", required=True, help="kept, and shown with each night")
    hold.add_argument("--until", type=day, metavar="DAY", help="the last night that is held")
    release = act(acts, "release", "end hold and quarantine; it is refreshed from the next night on")
    again = act(acts, "again", "refresh the newest night once more, now; ends a quarantine")
    for told in (listed, one):
        told.add_argument("--json", action="store_true", help="as one JSON object a line")
    for told in (hold, release, again):
        told.add_argument("--json", action="store_true", help="say how the sandbox is then, as `show --json` does")
    for company in (one, hold, release, again):
        company.add_argument("company", metavar="COMPANY", help="its external id")
