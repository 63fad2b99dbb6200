"""Can a binary fraction get on the way of money? No module on it may make one, and no column keep one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from peewee import DecimalField, DoubleField, FloatField

from store.tables import TABLES

ROOT = Path(__file__).parent.parent
ON_THE_WAY = sorted(
    {
        path
        for pattern in (
            "store/rules/money.py",
            "store/rules/price*.py",
            "store/rules/rating*.py",
            "store/rules/rating/*.py",
            "store/rules/reading.py",
            "store/rules/explanation.py",
            "store/prices.py",
            "store/invoice*.py",
            "store/billing_facts.py",
            "store/contract_terms.py",
            "store/late_usage.py",
            "store/rating_policy.py",
            "store/policy_preview.py",
            "store/decided_lines.py",
            "store/sellers.py",
            "store/usage_facts.py",
            "store/transfers.py",
            "store/listings/invoice*.py",
            "store/listings/present_month.py",
            "store/listings/price_list_rows.py",
            "store/listings/price_lists.py",
            "store/**/exports/**/*.py",
            "jobs/**/exports/**/*.py",
            "jobs/invoice_lines.py",
            "keydesk/errands/invoice*.py",
            "keydesk/errands/prices.py",
            "keydesk/errands/rating.py",
            "keydesk/errands/terms.py",
        )
        for path in ROOT.glob(pattern)
    }
)
# Each gives binary fractions, or columns that SQLite keeps as such.
NAMES = {"float", "round", "complex", "DecimalField", "FloatField", "DoubleField", "REAL"}
MODULES = {"math", "cmath", "statistics", "random", "numpy"}
QUOTIENT = "a quotient that may be a binary fraction; use // or Fraction"
METHODS = {"timestamp", "total_seconds", "__truediv__"}


def inexact(source: str) -> Iterator[str]:
    """What could make a binary fraction. A quotient is exact only of fractions, or where it joins a path."""
    for node in ast.walk(ast.parse(source)):
        for what in (*_named(node), *_reckoned(node)):
            yield f"line {node.lineno}: {what}"  # type: ignore[attr-defined]


def _named(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name) if name in NAMES:
            yield name
        case ast.Attribute(attr=name) if name in NAMES | METHODS:
            yield f".{name}"
        case ast.Import(names=names):
            yield from (alias.name for alias in names if alias.name.partition(".")[0] in MODULES)
        case ast.ImportFrom(module=str(module), names=names):
            off_limits = module.partition(".")[0] in MODULES
            yield from (f"{module}.{alias.name}" for alias in names if off_limits or alias.name in NAMES)


def _reckoned(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(value=float() | complex() as number):
            yield f"the binary fraction {number!r}"
        case ast.AugAssign(op=ast.Div()):
            yield QUOTIENT
        case ast.BinOp(op=ast.Div()) if not (_exact(node.left) or _exact(node.right) or _is_path(node)):
            yield QUOTIENT


def _exact(node: ast.expr) -> bool:
    """A term in which a Fraction is made: whatever it is multiplied or divided by stays exact."""
    return any(isinstance(each, ast.Name) and each.id == "Fraction" for each in ast.walk(node))


def _is_path(node: ast.BinOp) -> bool:
    """`folder / "lines.csv"`, `folder / name`: no number is divided by text."""
    match node.right:
        case ast.JoinedStr() | ast.Constant(value=str()) | ast.Name(id="name"):
            return True
    return False


@pytest.mark.parametrize("path", ON_THE_WAY, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_on_the_way_of_money_makes_no_binary_fraction(path: Path) -> None:
    assert list(inexact(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("price = 49.0", "line 1: the binary fraction 49.0"),
        ("price = float(text)", "line 1: float"),
        ("def pay(price: float) -> None: ...", "line 1: float"),
        ("net = round(gross, 2)", "line 1: round"),
        ("vat = net * 25 / 100", "line 1: a quotient that may be a binary fraction; use // or Fraction"),
        ("net /= 2", "line 1: a quotient that may be a binary fraction; use // or Fraction"),
        ("from statistics import median", "line 1: statistics.median"),
        ("import math", "line 1: math"),
        ("from peewee import DecimalField", "line 1: peewee.DecimalField"),
        ("price = peewee.FloatField()", "line 1: .FloatField"),
        ("hours = span.total_seconds()", "line 1: .total_seconds"),
    ],
)
def test_what_would_make_one_is_found(source: str, found: str) -> None:
    assert list(inexact(source)) == [found]


def test_a_hundred_is_a_percentage_and_never_the_decimals_of_a_currency() -> None:
    def scales(node: ast.AST) -> bool:
        return isinstance(node, ast.BinOp) and any(
            isinstance(side, ast.Constant) and side.value in {100, 1000} for side in (node.left, node.right)
        )

    found = {path.name for path in ON_THE_WAY if any(map(scales, ast.walk(ast.parse(path.read_text("utf-8")))))}

    assert found == {"money.py", "price_comparison.py", "price_index.py"}


@pytest.mark.parametrize(
    "source",
    [
        "net = gross // 2",
        "vat = Fraction(net) * rate / 100",
        "place = folder / 'lines.csv'",
        "place = out / f'{month}'",
    ],
)
def test_what_stays_exact_is_let_pass(source: str) -> None:
    assert list(inexact(source)) == []


def test_no_table_has_a_column_for_binary_fractions() -> None:
    columns = [(table.__name__, field) for table in TABLES for field in table._meta.sorted_fields]

    assert [(table, field.name) for table, field in columns if isinstance(field, FloatField | DecimalField)] == []
    assert issubclass(DoubleField, FloatField)


def test_every_part_that_money_goes_through_is_looked_at() -> None:
    looked_at = {str(path.relative_to(ROOT)) for path in ON_THE_WAY}

    assert {
        "store/rules/money.py",
        "store/rules/price_index.py",
        "store/rules/price_lists.py",
        "store/rules/rating/lines.py",
        "store/rules/rating_answer.py",
        "store/rules/rating_file.py",
        "store/prices.py",
        "store/invoices.py",
        "store/billing_facts.py",
        "jobs/invoice_lines.py",
        "keydesk/errands/invoice.py",
        "keydesk/errands/rating.py",
    } <= looked_at
