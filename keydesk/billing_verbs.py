"""The command line of what is charged: price lists, terms, invoices."""

import argparse
from pathlib import Path

from keydesk.arguments import act as new_act
from keydesk.arguments import month, number


def prices(verb: argparse.ArgumentParser) -> None:
    """`keydesk prices`."""
    acts = verb.add_subparsers(dest="act", required=True, metavar="ACT")
    for name, text in (("check", "say what is wrong with a file"), ("publish", "publish all lists of a file, or none")):
        act = new_act(acts, name, text)
        act.add_argument("file", type=Path, metavar="FILE", help="a TOML file with [[price_list]] tables")
    index = new_act(
        acts, "index", "write the next version of the published lists, every price raised; publish it later"
    )
    index.add_argument("percent", help="such as 3.5%%")
    index.add_argument("--from", type=month, required=True, dest="first_month", metavar="MONTH", help="as 2027-01")
    show = new_act(acts, "show", "the newest version, as a price file, and what it changed")
    show.add_argument("--version", type=number, help="an older one")
    for act in (index, new_act(acts, "list", "what is published"), show):
        act.add_argument("--code", help="only this list (default: all)")
        act.add_argument("--currency", help="only in this currency (default: all)")


def invoice(verb: argparse.ArgumentParser) -> None:
    """`keydesk invoice`; an act has an errand of its own where it needs other modules."""
    acts = verb.add_subparsers(dest="act", required=True, metavar="ACT")
    rate = new_act(
        acts, "rate", "rate months from a file of facts, without a store: our arithmetic, for anybody to check"
    )
    rate.set_defaults(errand="rating")
    rate.add_argument("--facts", type=Path, required=True, metavar="FILE", help="JSON; - for standard input")
    rate.add_argument("--json", action="store_true", help="a JSON list, one object a month in the file's order")
    for name, text in (
        ("show", "a month as it is stored: its lines, why each is owed, the totals"),
        ("explain", "one line: the days, instants and keys that counted, prices, terms and arithmetic"),
    ):
        act = new_act(acts, name, text)
        act.add_argument("company", metavar="COMPANY", help="its external id")
        act.add_argument("month", type=month, metavar="MONTH", help="as 2026-11")
        act.add_argument("--json", action="store_true", help="all that is stored, for other programs")
    act.add_argument("line", metavar="LINE", help="as `invoice show` names it: access, extra_key, overuse_data ...")
    preview = new_act(acts, "preview", "the present month so far, and to its end if nothing changes any more")
    preview.add_argument("company", metavar="COMPANY", help="its external id")
    preview.add_argument("--month", type=month, metavar="MONTH", help="another month")
    _decisions(acts)
    _transfers(acts)
    _policy(new_act(acts, "policy", "how the terms are read where they can be read in more than one way"))
    _export(new_act(acts, "export", "the final documents of a month, for accounting and as e-invoices"))


def _decisions(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    review = new_act(acts, "review", "what waits for a person: lines to approve or waive, months that are held")
    decide = new_act(acts, "decide", "have a line that waits invoiced, or waive it: it stays, at zero")
    decide.add_argument("line", type=number, metavar="NUMBER", help="as `invoice review` shows it")
    decide.add_argument("decision", choices=("approve", "waive"))
    release = new_act(acts, "release", "let a month that is held become final as it is")
    credit = new_act(acts, "credit", "take back a final month exactly as it was invoiced, and bill it again")
    credit.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")
    for act in (release, credit):
        act.add_argument("company", metavar="COMPANY", help="its external id")
        act.add_argument("month", type=month, metavar="MONTH", help="as 2026-11")
    for act in (decide, release, credit):
        act.add_argument("--reason", required=True, metavar="TEXT", help="kept, in the audit log too")
    verify = new_act(acts, "verify", "rate every final month again from the facts, and tell each difference")
    verify.add_argument("month", type=month, metavar="MONTH", help="as 2026-11")
    for act in (review, verify):
        act.add_argument("--company", metavar="ID", help="only this company, by its external id (default: all)")
    for act in (review, decide, release, credit, verify):
        act.set_defaults(errand="invoice_acts")


def _transfers(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    hold_back = new_act(acts, "hold-back", "keep a final line out of every export")
    let_go = new_act(acts, "let-go", "have a line that was held back exported after all")
    for act in (hold_back, let_go):
        act.set_defaults(errand="invoice_acts")
        act.add_argument("company", metavar="COMPANY", help="its external id")
        act.add_argument("month", type=month, metavar="MONTH", help="as 2026-11")
        act.add_argument("line", metavar="LINE", help="as `invoice show` names it: access, extra_key ...")
        act.add_argument(
            "--revision", type=number, metavar="N", help="of the month (default: the newest with the line)"
        )
    hold_back.add_argument("--reason", required=True, metavar="TEXT", help="kept in the audit log")


def _policy(policy: argparse.ArgumentParser) -> None:
    policy.set_defaults(errand="invoice_policy")
    policy.add_argument(
        "answers",
        nargs="*",
        metavar="NAME=VALUE",
        help="another choice; without one, all choices are listed. Without --yes, only say what it would change",
    )
    policy.add_argument("--reason", metavar="TEXT", help="kept in the audit log; needed with --yes")
    policy.add_argument("--yes", action="store_true", help="save it, for all companies")


def _export(export: argparse.ArgumentParser) -> None:
    export.set_defaults(errand="invoice_export")
    export.add_argument(
        "--format",
        choices=("csv", "json", "ubl", "sie"),
        required=True,
        help="ubl: PEPPOL BIS Billing 3.0; sie: SIE 4I",
    )
    export.add_argument("--month", type=month, required=True, metavar="MONTH", help="as 2026-11")
    export.add_argument("--company", metavar="ID", help="only this company, by its external id (default: all)")
    export.add_argument("--out", type=Path, metavar="PATH", help="a file or a folder (default: standard output)")
    export.add_argument("--new", action="store_true", help="leave out what has been transferred before")
    export.add_argument("--mark", action="store_true", help="once it is written, mark its lines as transferred")
    export.add_argument("--drafts", action="store_true", help="also what is not final, marked as a draft")


def terms(verb: argparse.ArgumentParser) -> None:
    """`keydesk terms`."""
    acts = verb.add_subparsers(dest="act", required=True, metavar="ACT")
    add = new_act(acts, "add", "agree something; without --yes, only say what it would change")
    end = new_act(acts, "end", "end something that was agreed; without --yes, only say what it would change")
    for act in (new_act(acts, "list", "what was agreed with a company"), add, end):
        act.add_argument("company", metavar="COMPANY", help="its external id")
    add.add_argument("line", metavar="LINE", help="access, extra_key, extra_test_key, overuse_requests, overuse_data")
    add.add_argument(
        "kind",
        metavar="KIND",
        help="unit_price, discount_percent, waive, included, free_test_keys, access_invoiced_elsewhere",
    )
    add.add_argument("value", nargs="?", metavar="VALUE", help="a price, a percentage or a whole number")
    add.add_argument("--from", type=month, required=True, dest="first_month", metavar="MONTH", help="the first month")
    add.add_argument("--to", type=month, dest="last_month", metavar="MONTH", help="the last month (default: no end)")
    add.add_argument("--reference", required=True, metavar="TEXT", help="where it was agreed: contract and paragraph")
    end.add_argument("term", type=number, metavar="NUMBER", help="as `terms list` shows it")
    when = end.add_mutually_exclusive_group(required=True)
    when.add_argument("--last", type=month, dest="last_month", metavar="MONTH", help="its last month")
    when.add_argument("--withdraw", action="store_true", help="as if it had never been agreed")
    for act in (add, end):
        act.add_argument("--yes", action="store_true", help="save it")
