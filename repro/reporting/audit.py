"""The paper's numbers against one another: every relation of `config/audit.csv`, recomputed from what is printed.

Intervals hold all that the printed digits allow, so that rounding alone never makes a finding.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field, model_validator

from repro.config import CONFIG_DIR, Section, load_rows
from repro.errors import ReproError
from repro.reporting import printed, render
from repro.reporting.printed import Formula, Interval, Sheet
from repro.reporting.render import DASH, Document, significant

NAME = "audit"
CLASSES = {
    "misprint": "Misprints: the text or a cell says what cannot be meant",
    "ambiguity": "Ambiguities: the paper can be read in more than one way, or leaves a number unexplained",
    "matters": "What matters: a claim rests on it",
    "holds": "What holds",
}
WITHIN, OUTSIDE, READ = "within rounding", "not within rounding", "read, not computed"


class Relation(Section):
    """One row of `audit.csv`: a relation between printed numbers, or, without formulas, one that was read.

    `over` names printed cells, `T1.*.total`; the relation is checked for each, with `{cell}`, `{table}`, `{row}`,
    `{metric}` and `{steps}`, what follows the row's last underscore, put into the formulas.
    """

    relation: str = Field(pattern=r"^[a-z0-9_]+$")
    kind: Literal[tuple(CLASSES)]
    where: str = Field(min_length=1)
    statement: str = Field(min_length=1)
    over: str | None = None
    recomputed: str | None = None
    sign: Literal["=", "<", ">"] | None = None
    printed: str | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _whole(self):
        given = [x is not None for x in (self.recomputed, self.sign, self.printed)]
        if any(given) != all(given) or (self.over and not all(given)):
            raise ValueError("recomputed, sign and printed go together, and over needs them")
        if not any(given) and self.kind == "holds":
            raise ValueError("what holds is computed: give recomputed, sign and printed")
        return self

    def bindings(self, sheet: Sheet) -> list[tuple[str, dict[str, str]]]:
        """(name, what to put into the formulas) of every check; one without a name where there is no `over`."""
        if self.over is None:
            return [("", {})]
        found = []
        for name in printed.names(sheet, self.over):
            table, row, metric = name.split(".")
            parts = {"cell": name, "table": table, "row": row, "metric": metric, "steps": row.rsplit("_", 1)[-1]}
            found.append((name, parts))
        return found


@dataclass(frozen=True)
class Check:
    """One relation, for one printed cell where it has several. `low` to `high` is what was recomputed."""

    relation: Relation
    name: str
    left: Interval | None
    right: Interval | None
    printed: str
    result: str


def load(config_dir: Path = CONFIG_DIR) -> list[Relation]:
    return list(load_rows(Path(config_dir) / f"{NAME}.csv", Relation, "relation").values())


def possible(left: Interval, sign: str, right: Interval) -> bool:
    """Is there a pair of numbers within the intervals for which the relation holds?"""
    match sign:
        case "=":
            return bool(left.a <= right.b and right.a <= left.b)
        case "<":
            return bool(left.a < right.b)
    return bool(left.b > right.a)


def check(relation: Relation, sheet: Sheet) -> list[Check]:
    """Raises ReproError naming the relation whose formula is wrong, or whose class its numbers contradict."""
    if relation.recomputed is None:
        return [Check(relation, "", None, None, DASH, READ)]
    found = []
    for name, values in relation.bindings(sheet):
        try:
            left, right = (Formula(text.format(**values), sheet) for text in (relation.recomputed, relation.printed))
        except (ReproError, KeyError, IndexError) as error:
            raise ReproError(f"{NAME}.csv, relation {relation.relation!r}: {error}") from error
        result = WITHIN if possible(left.value, relation.sign, right.value) else OUTSIDE
        found.append(Check(relation, name, left.value, right.value, right.printed or _span(right.value), result))
    results = {c.result for c in found}
    if (relation.kind == "holds" and OUTSIDE in results) or (relation.kind == "misprint" and OUTSIDE not in results):
        raise ReproError(
            f"{NAME}.csv, relation {relation.relation!r} is classed {relation.kind!r}, but the numbers are "
            f"{' and '.join(sorted(results))}: class it anew"
        )
    return found


def run(config_dir: Path = CONFIG_DIR) -> list[Check]:
    """Every check of every relation, in the order of the sheet."""
    sheet = printed.load(config_dir)
    return [c for relation in load(config_dir) for c in check(relation, sheet)]


def frame(checks: list[Check]) -> pd.DataFrame:
    """One row a check: statement, recomputed [low, high], printed, and whether rounding can explain it."""
    rows = []
    for c in checks:
        low, high = (None, None) if c.left is None else printed.ends(c.left)
        printed_low, printed_high = (None, None) if c.right is None else printed.ends(c.right)
        rows.append(
            {"relation": c.relation.relation, "class": c.relation.kind, "where": c.relation.where}
            | {"statement": c.relation.statement, "cell": c.name, "recomputed_low": low, "recomputed_high": high}
            | {"sign": c.relation.sign, "printed": c.printed, "printed_low": printed_low, "printed_high": printed_high}
            | {"result": c.result, "note": c.relation.note}
        )
    return pd.DataFrame(rows)


def _span(interval: Interval) -> str:
    low, high = printed.ends(interval)
    form = f"{significant(low, 4)}", f"{significant(high, 4)}"
    return form[0] if low == high or form[0] == form[1] else f"[{form[0]}, {form[1]}]"


def _shown(checks: list[Check]) -> list[tuple[str, ...]]:
    """Lines of one relation: the first check that is outside, and how many are within; the CSV has every check."""
    relation = checks[0].relation
    head = (relation.statement, relation.where)
    said = relation.note or ""
    if checks[0].result == READ:
        return [(*head, DASH, DASH, READ, said)]
    if len(checks) == 1:
        c = checks[0]
        return [(*head, _span(c.left), f"{relation.sign} {c.printed}", c.result, said)]
    outside, lines = [c for c in checks if c.result == OUTSIDE], []
    if outside:
        c, more = outside[0], f", and {len(outside) - 1} more" if len(outside) > 1 else ""
        of = f"{_span(c.left)} ({c.name.replace('.', ' ').replace('_', ' ')}{more})"
        lines.append((*head, of, f"{relation.sign} {c.printed}", f"{len(outside)} {OUTSIDE}", said))
    if inside := len(checks) - len(outside):
        told = "" if outside else said
        lines.append((*head, f"{inside} of {len(checks)} checks", relation.sign, f"{inside} {WITHIN}", told))
    return lines


def sections(checks: list[Check]) -> tuple[render.Section, ...]:
    """One table a class."""
    columns = tuple(("", c) for c in ("Statement", "Where", "Recomputed", "Printed", "Result", "What to make of it"))
    found = []
    for kind, title in CLASSES.items():
        groups: dict[str, list[Check]] = {}
        for c in checks:
            if c.relation.kind == kind:
                groups.setdefault(c.relation.relation, []).append(c)
        if groups:
            rows = tuple(line for group in groups.values() for line in _shown(group))
            found.append(render.Section(f"{NAME}-{kind}", f"{title} ({len(groups)} relations)", columns, rows))
    return tuple(found)


def counts(checks: list[Check]) -> str:
    """How many relations of each class, and how many checks came out how."""
    relations = {c.relation.relation: c.relation.kind for c in checks}
    kinds, results = pd.Series(relations).value_counts(), pd.Series([c.result for c in checks]).value_counts()
    told = ", ".join(f"{kinds.get(k, 0)} {word}" for k, word in zip(CLASSES, WORDS, strict=True))
    return (
        f"{len(relations)} relations: {told}. {len(checks)} checks: "
        + ", ".join(f"{results.get(r, 0)} {r}" for r in (WITHIN, OUTSIDE, READ))
        + "."
    )


WORDS = ("are misprints", "ambiguities", "matter to a claim", "hold")

NOTES = (
    "Recomputed: what the printed digits allow, [low, high]; a printed 84.48 is any number from 84.475 to 84.485, a "
    "count is exact, and rounding is never taken for a finding.",
    "= holds where the two intervals share a number; < and > where some numbers in them do.",
    "Facts of models, steps and memory come from the modules of this repository, built at paper scale.",
    "Read, not computed: a matter of words or symbols.",
)


def document(checks: list[Check]) -> Document:
    return Document(sections(checks), (counts(checks), *NOTES))


def build(out: Path, config_dir: Path = CONFIG_DIR) -> list[Check]:
    """Write `<out>/tables/audit{.csv,.md,.html,.tex}`; returns the checks."""
    checks, stem = run(config_dir), Path(out) / "tables" / NAME
    render.write(document(checks), stem)
    render.write_csv(frame(checks), stem)
    return checks
