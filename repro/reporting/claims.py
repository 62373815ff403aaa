"""The claims of the paper, `config/claims.csv`, held against what was published here: one verdict each.

A claim may speak of several comparisons. One that contradicts it is enough; it is reproduced only where all agree.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeFloat, model_validator

from repro.config import CONFIG_DIR, Section, load_long, load_rows, load_runs
from repro.errors import ReproError
from repro.evaluation import windows
from repro.evaluation.dimensions import DIMENSIONS, MEASURES
from repro.evaluation.speed_rows import load_speed
from repro.reporting import long_video, printed, render, speed
from repro.reporting.notes import reading
from repro.reporting.printed import Formula, Sheet
from repro.reporting.render import DASH, Document, signed, significant, with_range
from repro.reporting.verdicts import CONTRADICTED, NOT_MEASURED, ONE_SEED, REPRODUCED, UNRESOLVED, VERDICTS

NAME = "claims"
ORDER = (CONTRADICTED, NOT_MEASURED, ONE_SEED, UNRESOLVED, REPRODUCED)
"""Which verdict of its comparisons a claim takes: the first of these that any of them has."""
SCORES = (*DIMENSIONS, *MEASURES, "temporal", "frame", "text", "quality", "semantic", "total")
PACED = ("chunk_latency_s", "seconds_change", "memory_mib_change", "cache_bytes")
Test = Literal["paired", "ratio", "value", "linear", "drift", "rolled", "windowed", "front", "monotone", "none"]
NEEDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "paired": (("pairs", "metrics"), ("better", "no worse")),
    "ratio": (("pairs", "metrics", "bound"), ("at least", "at most")),
    "value": (("pairs", "metrics", "bound"), ("at least", "at most")),
    "linear": (("metrics", "bound"), ("at most",)),
    "drift": (("pairs", "metrics"), ("no worse", "falls", "rises")),
    "rolled": (("pairs", "metrics"), ("better", "no worse")),
    "windowed": (("pairs", "metrics"), ("no worse", "falls")),
    "front": ((), ()),
    "monotone": ((), ()),
    "none": (("missing",), ()),
}
"""Test → the columns that it reads, and what it can expect."""


class Claim(Section):
    """One row of `claims.csv`.

    `paired`: mean scores of runs `first:second`, same prompts and seeds, in percentage points. `ratio` and `value`:
    medians in the folder `records`. `linear`: largest departure from a straight line over the window, a share of the
    range. `drift`: slope of a long video's measure in points a minute; `rolled`: difference of two systems' means over
    time. `windowed`: an attention window's measure less that of the widest one, in points. `front` and `monotone`: of
    the schedule search. `none`: not measurable here; `missing` says what would do it.
    """

    claim: str = Field(pattern=r"^[a-z0-9_]+$")
    statement: str = Field(min_length=1)
    where: str = Field(min_length=1)
    paper: str | None = None
    """Formula of the number that the paper gives for it."""
    scale: Literal["mini", "wan", "people"]
    test: Test
    pairs: str = ""
    metrics: str = ""
    expectation: Literal["better", "no worse", "at least", "at most", "falls", "rises"] | None = None
    bound: str | None = None
    """Formula of what a value is held against."""
    margin: NonNegativeFloat = 0.0
    """Points by which "no worse" may be worse; 0 where none was fixed before the scores were seen."""
    records: str | None = None
    """Folder of records under results/published, for `ratio` and `value`."""
    shown: str | None = None
    """Table under results/published that shows the numbers."""
    missing: str | None = None

    @model_validator(mode="after")
    def _whole(self):
        columns, expected = NEEDS[self.test]
        absent = [c for c in columns if not getattr(self, c)]
        if absent:
            raise ValueError(f"test {self.test} needs {', '.join(columns)}: fill in {', '.join(absent)}")
        if self.expectation not in (expected or (None,)):
            raise ValueError(f"test {self.test} expects {' or '.join(expected) or 'nothing'}, not {self.expectation}")
        if self.margin > 0 and self.expectation != "no worse":
            raise ValueError("a margin goes with the expectation no worse, and only with that")
        if (self.records is None) == (self.test in ("ratio", "value")):
            raise ValueError("records goes with ratio and value, and only with them")
        return self

    @property
    def split(self) -> list[tuple[str, ...]]:
        """What each of `pairs` names."""
        return [tuple(pair.split(":")) for pair in self.pairs.split()]

    @property
    def named(self) -> list[str]:
        return [name for pair in self.split for name in pair]


@dataclass
class Part:
    """One comparison of a claim; `unit` is % for points, × for ratios."""

    claim: Claim
    what: str
    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    unit: str = ""
    n: int = 0
    seeds: int = 0
    p: float = float("nan")
    p_holm: float = float("nan")
    verdict: str = NOT_MEASURED
    missing: str = ""
    test: tuple = ()
    """What a paired test is of: the same for a comparison and its mirror, but for a margin, which has a side."""

    @property
    def told(self) -> str:
        if self.verdict == NOT_MEASURED:
            return DASH
        form = signed if self.unit in ("points", "points/min") else significant
        ranged = form(self.value) if np.isnan(self.low) else with_range(self.value, self.low, self.high, form)
        return f"{ranged} {self.unit}".strip()


@dataclass(frozen=True)
class Judged:
    """A claim, its comparisons and the verdict that they make."""

    claim: Claim
    parts: list[Part] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return min((p.verdict for p in self.parts), key=ORDER.index)

    @property
    def deciding(self) -> Part:
        """The comparison furthest from the claim among those with its verdict."""
        mine = [p for p in self.parts if p.verdict == self.verdict]
        upward = self.claim.expectation not in ("at most", "falls")
        return min(mine, key=lambda p: np.nan_to_num(p.value) if upward else -np.nan_to_num(p.value))

    @property
    def told(self) -> str:
        """The deciding comparison, by name where there are others."""
        if self.verdict == NOT_MEASURED:
            return f"missing: {self.missing}"
        of = f" ({self.deciding.what}; {len(self.parts)} compared)" if len(self.parts) > 1 else ""
        return self.deciding.told + of

    @property
    def missing(self) -> str:
        return ", ".join(dict.fromkeys(p.missing for p in self.parts if p.missing))


def load(config_dir: Path = CONFIG_DIR) -> list[Claim]:
    """Every claim, checked against the sheets it names. Raises ReproError naming claim, column and value."""
    claims = list(load_rows(Path(config_dir) / f"{NAME}.csv", Claim, "claim").values())
    sheet = printed.load(config_dir)
    runs, rows, systems = load_runs(config_dir), load_speed(config_dir), load_long(config_dir)
    known = {
        "paired": (runs, SCORES, "runs.csv"),
        "drift": (systems, long_video.NAMES, "long.csv"),
        "rolled": (systems, long_video.NAMES, "long.csv"),
        "windowed": ([w.name for w in windows.grid()], ("total",), "Table 4"),
        "linear": ((), speed.SPEED_TABLES["table4"], "speed.csv"),
    }
    for claim in claims:
        for column in ("paper", "bound"):
            if getattr(claim, column):
                formula_of(claim, column, sheet)
        timed = claim.test in ("ratio", "value")
        paced = timed and claim.records.endswith("/long")
        names, metrics, file = (
            (systems, PACED, "long.csv")
            if paced
            else (rows, speed.METRICS, "speed.csv")
            if timed
            else known.get(claim.test, ((), (), ""))
        )
        size = 2 if claim.test in ("paired", "ratio", "rolled") else 1
        for pair in claim.split:
            if len(pair) != size:
                raise ReproError(
                    f"{NAME}.csv, claim {claim.claim!r}: {':'.join(pair)!r} names {len(pair)} rows; test {claim.test} "
                    f"takes {'pairs, first:second' if size == 2 else 'single rows'}"
                )
        for name in claim.named:
            if name not in names:
                raise ReproError(f"{NAME}.csv, claim {claim.claim!r} names row {name!r}, which {file} lacks")
        for metric in claim.metrics.split():
            if metric not in metrics:
                raise ReproError(
                    f"{NAME}.csv, claim {claim.claim!r} names metric {metric!r}: choose from {', '.join(metrics)}"
                )
    return claims


def formula_of(claim: Claim, column: str, sheet: Sheet) -> Formula:
    try:
        return Formula(getattr(claim, column), sheet)
    except ReproError as error:
        raise ReproError(f"{NAME}.csv, claim {claim.claim!r}, {column}: {error}") from error


def expected(claims: list[Claim]) -> dict[tuple[str, str, str], Claim]:
    """(first run, second run, metric) → the claim of scores that speaks of it."""
    return {
        (*pair, metric): claim
        for claim in claims
        if claim.test == "paired"
        for pair in claim.split
        for metric in claim.metrics.split()
    }


def frames(judged: list[Judged], sheet: Sheet) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a claim, and one row a comparison."""
    rows, parts = [], []
    for j in judged:
        c, d = j.claim, j.deciding
        rows.append(
            {"claim": c.claim, "statement": c.statement, "where": c.where, "scale": c.scale, "test": c.test}
            | {"paper": _printed(c, sheet), "expectation": c.expectation, "bound": c.bound, "margin": c.margin}
            | {"verdict": j.verdict, "comparisons": len(j.parts), "deciding": d.what, "value": d.value, "low": d.low}
            | {"high": d.high, "unit": d.unit, "n": d.n, "seeds": d.seeds, "p_holm": d.p_holm, "ours": d.told}
            | {"records": c.records, "shown": c.shown, "missing": j.missing}
        )
        for p in j.parts:
            kept = {k: v for k, v in vars(p).items() if k not in ("claim", "test")}
            parts.append({"claim": c.claim} | kept)
    return pd.DataFrame(rows), pd.DataFrame(parts)


def _printed(claim: Claim, sheet: Sheet) -> str:
    """The paper's number: as printed, or the range that its digits allow."""
    if claim.paper is None:
        return DASH
    formula = formula_of(claim, "paper", sheet)
    low, high = printed.ends(formula.value)
    return formula.printed or f"{significant((low + high) / 2)} [{significant(low)}, {significant(high)}]"


def counted(judged: list[Judged]) -> render.Section:
    """How many claims came out how, by scale."""
    rows = []
    for scale in ("mini", "wan", "people"):
        mine = [j.verdict for j in judged if j.claim.scale == scale]
        rows.append((scale, str(len(mine)), *(str(mine.count(v)) for v in VERDICTS)))
    total = [j.verdict for j in judged]
    rows.append(("all", str(len(total)), *(str(total.count(v)) for v in VERDICTS)))
    columns = tuple(("", c) for c in ("Scale", "Claims", *VERDICTS))
    return render.Section(f"{NAME}-counts", "The paper's claims, by verdict", columns, tuple(rows))


def listed(judged: list[Judged], sheet: Sheet) -> render.Section:
    """The scorecard: a line a claim, decided ones first."""
    rows = []
    for verdict in VERDICTS:
        for j in (j for j in judged if j.verdict == verdict):
            c = j.claim
            rows.append(
                (c.statement, c.where, _printed(c, sheet), j.told, verdict, c.scale, c.shown or c.records or DASH)
            )
    labels = ("Claim", "Where", "Paper", "Ours", "Verdict", "Scale", "Numbers in results/published")
    return render.Section(NAME, "Claim by claim", tuple(("", x) for x in labels), tuple(rows))


def notes(judged: list[Judged]) -> tuple[str, ...]:
    paired = [p for j in judged for p in j.parts if j.claim.test == "paired"]
    tested = len({(p.what, p.claim.margin) for p in paired if np.isfinite(p.p_holm)})
    return (
        *(f"{t[0].upper()}{t[1:]}." for t in map(reading, ("mini", "wan"))),
        "reproduced: every comparison agrees; contradicted: at least one speaks against it; unresolved: an interval "
        "holds both, or the correction leaves p at 0.05 or more; one seed: a row was trained once, which decides "
        "nothing; not measured: a named part is missing.",
        "Scores: paired differences over the same prompts and training seeds, percentage points [95% cluster "
        f"bootstrap interval]; p values Holm-adjusted over all {tested} of them, those of long videos, windows and the "
        "search in their own tables. No worse: by less than the margin in "
        "config/claims.csv; where none was fixed before the scores were seen, only a resolved difference decides. Of "
        "several comparisons the one furthest from the claim is shown; claims_parts.csv has all.",
        "Times and memory: medians [quartiles] on the device of the records; a ratio's range divides opposite "
        "quartiles. Weights were random there: no quality at paper scale was measured.",
    )


def build(judged: list[Judged], out: Path, config_dir: Path = CONFIG_DIR) -> None:
    """Write `<out>/tables/claims{.csv,_parts.csv,.md,.html,.tex}` and the counts alone, `scorecard.{md,html,tex}`."""
    sheet, stem = printed.load(config_dir), Path(out) / "tables" / NAME
    rows, parts = frames(judged, sheet)
    render.write(Document((counted(judged), listed(judged, sheet)), notes(judged)), stem)
    render.write(scorecard(judged, sheet), stem.with_name("scorecard"))
    render.write_csv(rows, stem)
    render.write_csv(parts, stem.with_name(f"{NAME}_parts"))


def scorecard(judged: list[Judged], sheet: Sheet) -> Document:
    """Counts, and the decided claims one by one."""
    decided = (j for v in (CONTRADICTED, REPRODUCED) for j in judged if j.verdict == v)
    rows = tuple(
        (j.claim.statement, _printed(j.claim, sheet), j.told, f"{j.verdict} ({j.claim.scale})") for j in decided
    )
    columns = tuple(("", label) for label in ("Claim", "Paper", "Ours", "Verdict"))
    return Document(
        (counted(judged), render.Section("decided", "Decided claims", columns, rows)),
        (
            "In mini, quality in a small world, where direction and not value is compared; in wan, time and memory at "
            "the paper's scale, with this repository's engine and random weights, and reproduced there means at least "
            "as fast or as small as printed; people: needs a survey.",
            "Of several comparisons the one furthest from the claim is shown: one against it contradicts it.",
            "Every claim: results/published/paper/tables/claims.md. The paper's own numbers: audit.md beside it.",
        ),
    )
