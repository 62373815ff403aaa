"""What the paper prints as intervals, and formulas over it: a printed 84.48 is any number from 84.475 to 84.485.

A formula is an arithmetic expression. `T1.diagdistill.total` is a cell of `paper_tables.csv`,
`text.video.made_in` one of `paper_text.csv`, `study.preference.causvid` one of `user_study/paper.csv`, and
`ours.dit_gb` a fact of the code in this repository (`reporting.facts`). A bare number is exact.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path

from mpmath import iv
from pydantic import Field

from repro.config import CONFIG_DIR, Section, load_rows
from repro.errors import ReproError
from repro.reporting import facts, paper
from repro.user_study.design import FOLDER

Interval = type(iv.mpf(0))
"""mpmath's: arithmetic rounds outward."""
SHEETS = {"text": "paper_text.csv", "study": f"{FOLDER.name}/paper.csv"}
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


COUNTED = (
    "chunks",
    "frames",
    "steps",
    "entries",
    "forwards",
    "methods",
    "people",
    "votes",
    "values",
    "prompts",
    "rank",
)
"""Units of what is counted: a printed 7 is seven."""


class Number(Section):
    """A printed number; `tolerance` is the printed ±."""

    value: Decimal = Field(allow_inf_nan=False)
    unit: str = ""
    tolerance: Decimal | None = None

    @property
    def printed(self) -> str:
        return str(self.value) if self.tolerance is None else f"{self.value} ± {self.tolerance}"


class Quoted(Section):
    """One row of `paper_text.csv` or of the user study's `paper.csv`."""

    quantity: str = Field(pattern=r"^[a-z0-9_]+$")
    item: str = Field(pattern=r"^[a-z0-9_]+$")
    value: Decimal = Field(allow_inf_nan=False)
    unit: str = ""
    source: str = Field(min_length=1)

    @property
    def name(self) -> str:
        return f"{self.quantity}.{self.item}"


Sheet = Mapping[str, Number]
"""Name of a printed number, as a formula writes it → the number."""


def load(config_dir: Path = CONFIG_DIR) -> dict[str, Number]:
    """Every printed number. Raises ReproError naming file, line and value of what is wrong or there twice."""
    found = {
        f"T{c.table}.{c.row}.{c.metric}": Number(value=c.value, unit=c.unit, tolerance=c.tolerance)
        for c in paper.load(config_dir)
    }
    for prefix, file in SHEETS.items():
        rows = load_rows(Path(config_dir) / file, Quoted, "name")
        found |= {f"{prefix}.{name}": Number(value=q.value, unit=q.unit) for name, q in rows.items()}
    return found


def rounded(number: Number) -> Interval:
    """All that prints as this number: half a unit of its last digit to either side, nothing of a count."""
    if number.unit in COUNTED:
        return iv.mpf(str(number.value))
    half = Decimal(5).scaleb(number.value.as_tuple().exponent - 1)
    return _between(number.value - half, number.value + half)


def measured(number: Number) -> Interval:
    """The same, wider by the printed ±."""
    wide, exact = number.tolerance or Decimal(0), rounded(number)
    return exact + _between(-wide, wide)


def _between(low: Decimal, high: Decimal) -> Interval:
    return iv.mpf([str(low), str(high)])


def ends(interval: Interval) -> tuple[float, float]:
    return float(interval.a), float(interval.b)


def names(sheet: Sheet, patterns: str) -> list[str]:
    """Names that match any of the patterns, `T1.*.total`. Raises ReproError for a pattern that matches none."""
    found = {}
    for pattern in patterns.split():
        matching = [name for name in sheet if fnmatchcase(name, pattern)]
        if not matching:
            raise ReproError(f"{pattern!r} matches no printed number: write it as T1.diagdistill.total or T1.*.total")
        found |= dict.fromkeys(matching)
    return list(found)


def _column(sheet: Sheet, pattern: str) -> list[Interval]:
    return [rounded(sheet[name]) for name in names(sheet, pattern)]


class Formula:
    """An expression that was read and holds nothing but names, numbers, + − × ÷ and the known functions."""

    def __init__(self, text: str, sheet: Sheet):
        """Raises ReproError for what is no formula, naming the part that is wrong."""
        self.text, self._sheet = text, sheet
        self._functions: dict[str, Callable[..., Interval]] = {
            "pm": lambda name: measured(self._number(name)),
            "highest": lambda pattern: iv.mpf(max(x.a for x in _column(sheet, pattern))),
            "between": lambda low, high: iv.mpf([iv.mpf(low).a, iv.mpf(high).b]),
            "lower": lambda pattern, than: iv.mpf(sum(x.b < than.a for x in _column(sheet, pattern))),
            **facts.FUNCTIONS,
        }
        try:
            self._tree = ast.parse(text, mode="eval").body
        except SyntaxError as error:
            raise ReproError(f"formula {text!r}, position {error.offset}: {error.msg}") from error
        self._value = self._evaluate(self._tree)

    @property
    def value(self) -> Interval:
        return self._value

    @property
    def printed(self) -> str | None:
        """What the paper prints, where the formula is a single number of it."""
        name = ast.unparse(self._tree)
        return self._sheet[name].printed if name in self._sheet else None

    def _number(self, name: str) -> Number:
        if name not in self._sheet:
            raise ReproError(f"formula {self.text!r}: the paper's sheets have no number {name!r}")
        return self._sheet[name]

    def _evaluate(self, node) -> Interval:
        match node:
            case ast.Constant(value=int() | float() as number):
                return iv.mpf(str(number))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._evaluate(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return OPERATORS[type(op)](self._evaluate(left), self._evaluate(right))
            case ast.Attribute(value=ast.Name(id="ours"), attr=fact):
                if fact not in facts.FACTS:
                    raise ReproError(f"formula {self.text!r}: no fact {fact!r}; there are {', '.join(facts.FACTS)}")
                return iv.mpf(facts.FACTS[fact]())
            case ast.Attribute():
                return rounded(self._number(ast.unparse(node)))
            case ast.Call(func=ast.Name(id=function), args=arguments, keywords=[]) if function in self._functions:
                return self._call(function, arguments)
        raise ReproError(
            f"formula {self.text!r}: {ast.unparse(node)!r} is not understood; use names, numbers, + - * / and "
            f"{', '.join(self._functions)}"
        )

    def _call(self, function: str, arguments: list) -> Interval:
        values = [a.value if isinstance(a, ast.Constant) else self._evaluate(a) for a in arguments]
        try:
            return iv.mpf(self._functions[function](*values))
        except (TypeError, ValueError, AttributeError) as error:
            raise ReproError(f"formula {self.text!r}: {function} cannot take {len(values)} such values") from error
