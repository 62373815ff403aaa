"""Each claim's comparisons, from the scores and records that were published."""

from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import track

from repro.config import CONFIG_DIR, REAL, Evaluation, load_profile
from repro.errors import ReproError
from repro.evaluation.statistics import holm, verdict
from repro.reporting import comparisons, long_video, printed, records, search, speed, windows
from repro.reporting.ablations import MOTION
from repro.reporting.claims import Claim, Judged, Part, expected, formula_of, load
from repro.reporting.gather import read_scores
from repro.reporting.printed import Interval, Sheet
from repro.reporting.verdicts import CONTRADICTED, ONE_SEED, REPRODUCED, UNRESOLVED

LONG_SECONDS = 45
"""The shortest roll that the paper calls long."""


class Published:
    """What results/published holds, read when it is asked for; None where it is not there."""

    def __init__(self, folder: Path, profile: str = "mini"):
        self.folder, self.profile = Path(folder), profile
        self._scores: dict[str, pd.DataFrame | None] = {}
        self._records: dict[str, list[dict]] = {}

    def scores(self, run: str) -> pd.DataFrame | None:
        """A run's scores by clip; motion as a share of the real clips' mean."""
        if run not in self._scores:
            path = self.folder / self.profile / "runs" / run / "scores.csv"
            self._scores[run] = read_scores(path) if path.is_file() else None
        return self._scores[run]

    @cached_property
    def real_motion(self) -> float:
        real = self.scores(REAL)
        if real is None:
            raise ReproError(f"{self.folder / self.profile / 'runs' / REAL} is missing: motion is a share of its mean")
        return float(real[MOTION].mean())

    def timed(self, folder: str, rows: list[str], metric: str) -> list[records.Record] | None:
        """A metric's records of some rows, of the first JSON file of a folder that has all: only what one process
        timed, turn by turn, may be divided."""
        if folder not in self._records:
            files = sorted((self.folder / folder).glob("*.json"))
            self._records[folder] = [records.keyed(records.read(f), f) for f in files]
        found = ([known.get((row, metric)) for row in rows] for known in self._records[folder])
        return next((mine for mine in found if None not in mine), None)

    @cached_property
    def long(self) -> long_video.Long | None:
        folder = self.folder / self.profile / "long"
        return long_video.load(folder, self.profile) if folder.is_dir() else None

    @cached_property
    def rolled(self) -> pd.DataFrame:
        return long_video.compared(self.long)

    @cached_property
    def windows(self) -> windows.Windows | None:
        folder = self.folder / self.profile / "windows"
        return windows.load(folder, self.profile) if folder.is_dir() else None

    @cached_property
    def search(self) -> search.Search | None:
        folder = self.folder / self.profile / "search"
        return search.load(folder, self.profile) if folder.is_dir() else None


def judge(
    published: Path, profile: str = "mini", config_dir: Path = CONFIG_DIR, evaluation: Evaluation | None = None
) -> list[Judged]:
    """Every claim with its comparisons; p values of scores are Holm-adjusted over all of them.

    Raises ReproError where nothing was published.
    """
    if not (Path(published) / profile).is_dir():
        raise ReproError(f"{published} has no folder {profile}: choose another with --published, or another --profile")
    found, sheet, claims = Published(published, profile), printed.load(config_dir), load(config_dir)
    settings = evaluation or load_profile(profile, config_dir).evaluation
    size = len(expected(claims))
    draws = comparisons.resamples(settings.bootstrap, size)
    judged = []
    for claim in track(claims, description="claims"):
        match claim.test:
            case "paired":
                parts = paired(claim, found, draws, settings.seed)
            case "ratio" | "value":
                parts = timed(claim, found, sheet)
            case "linear":
                parts = linear(claim, found, sheet)
            case "drift" | "rolled":
                parts = (drift if claim.test == "drift" else rolled)(claim, found)
            case "windowed":
                parts = windowed(claim, found)
            case "front" | "monotone":
                parts = searched(claim, found)
            case "none":
                parts = [Part(claim, "", missing=claim.missing)]
        judged.append(Judged(claim, parts))
    adjust([p for j in judged if j.claim.test == "paired" for p in j.parts])
    return judged


def paired(claim: Claim, found: Published, draws: int, seed: int) -> list[Part]:
    parts = []
    for first, second in claim.split:
        scores = {run: found.scores(run) for run in (first, second)}
        absent = [run for run, table in scores.items() if table is None]
        for metric in claim.metrics.split():
            part = Part(claim, f"{metric.replace('_', ' ')}, {first} − {second}", unit="points")
            parts.append(part)
            without = [run for run, table in scores.items() if table is not None and _gaps(table, metric)]
            if absent or without:
                part.missing = ", ".join(f"run {r}" for r in absent) or f"{metric} of {', '.join(without)}"
                continue
            scale = found.real_motion if metric == MOTION else 1.0
            values = {r: t.assign(**{metric: t[metric] / scale}) for r, t in scores.items()}
            told = comparisons.paired(values, first, second, metric, draws, seed, claim.margin)
            part.value, part.low, part.high, part.n, part.p = (told[k] for k in ("difference", "low", "high", "n", "p"))
            part.test = (metric, claim.margin, (first, second) if claim.margin else frozenset((first, second)))
            part.seeds = len(set(scores[first]["seed"]) & set(scores[second]["seed"]))
            part.verdict = ONE_SEED
    return parts


def _gaps(table: pd.DataFrame, metric: str) -> bool:
    return metric not in table or table[metric].isna().any()


def adjust(parts: list[Part]) -> None:
    """Verdicts of all that was trained more than once, their p values adjusted together."""
    tested = [p for p in parts if p.seeds > 1]
    if not tested:
        return
    # Two claims may rest on one comparison, or on its mirror, which is then one test.
    distinct = {p.test: p.p for p in tested}
    adjusted = dict(zip(distinct, holm(list(distinct.values())), strict=True))
    for part in tested:
        part.p_holm = float(adjusted[part.test])
        part.verdict = verdict(part.value + part.claim.margin, part.p_holm)


def against(low: float, high: float, expectation: str, bound: Interval) -> str:
    """Of a claim that a value is at least, or at most, a printed bound; its range and the bound's digits both count."""
    least, most = printed.ends(bound)
    if expectation == "at most":
        low, high, least, most = -high, -low, -most, -least
    return REPRODUCED if low >= least else CONTRADICTED if high < least else UNRESOLVED


def timed(claim: Claim, found: Published, sheet: Sheet) -> list[Part]:
    bound, parts = formula_of(claim, "bound", sheet).value, []
    for pair in claim.split:
        for metric in claim.metrics.split():
            part = Part(claim, f"{metric.replace('_', ' ')}, {' / '.join(pair)}")
            parts.append(part)
            mine = found.timed(claim.records, pair, metric)
            if mine is None:
                part.missing = f"{metric} of {' and '.join(pair)} in one file of {claim.records}"
                continue
            ends = [(r.value, r.value if r.low is None else r.low, r.value if r.high is None else r.high) for r in mine]
            part.n, part.unit = min(r.n for r in mine), mine[0].unit
            part.value, part.low, part.high = ends[0]
            if len(ends) == 2:
                (a, a_low, a_high), (b, b_low, b_high) = ends
                part.value, part.low, part.high, part.unit = a / b, a_low / b_high, a_high / b_low, "×"
            part.verdict = against(part.low, part.high, claim.expectation, bound)
    return parts


def linear(claim: Claim, found: Published, sheet: Sheet) -> list[Part]:
    folder, parts = found.folder / "wan-h100" / "speed", []
    measured = speed.load(folder) if folder.is_dir() else None
    for metric in claim.metrics.split():
        part = Part(claim, f"departure of {metric.replace('_', ' ')}", unit="of the range")
        parts.append(part)
        if measured is None or not measured.complete("table4"):
            part.missing = "Table 4's rows in wan-h100/speed"
            continue
        part.value = speed.linearity(measured)[f"{metric}_ours"].worst
        part.low, part.high = speed.departures(measured, metric)
        bound = formula_of(claim, "bound", sheet).value
        part.verdict = against(part.low, part.high, claim.expectation, bound)
    return parts


def _decided(part: Part, claim: Claim) -> str:
    """From the interval, where no p of the shifted difference is at hand."""
    if part.seeds < 2:
        return ONE_SEED
    if part.n < long_video.FEWEST:
        return UNRESOLVED
    match claim.expectation:
        case "no worse" if claim.margin:
            good, bad = part.low > -claim.margin, part.high < -claim.margin
        case "falls":
            good, bad = part.high < 0 and part.p_holm < 0.05, part.low > 0 and part.p_holm < 0.05
        case _:
            good, bad = part.low > 0 and part.p_holm < 0.05, part.high < 0 and part.p_holm < 0.05
    return REPRODUCED if good else CONTRADICTED if bad else UNRESOLVED


def _long_parts(claim: Claim, found: Published) -> list[tuple[Part, tuple[str, ...], str, float]]:
    """A part for every pair and measure, with the roll it speaks of; without one where a system is missing."""
    rolls = [] if found.long is None else [r for r in found.long.rolls if r >= LONG_SECONDS]
    parts = []
    for pair in claim.split:
        for measure in claim.metrics.split():
            part = Part(claim, f"{measure.replace('_', ' ')}, {' − '.join(pair)}")
            absent = [s for s in pair if found.long is None or s not in found.long.systems]
            if absent or not rolls:
                part.missing = ", ".join(f"mini/long/{s}" for s in absent) or f"a roll of {LONG_SECONDS} s in mini/long"
            else:
                part.seeds = min(
                    found.long.scores.loc[found.long.scores["system"] == s, "seed"].nunique() for s in pair
                )
            parts.append((part, pair, measure, min(rolls) if rolls else np.nan))
    return parts


def _fill(part: Part, row: pd.Series, column: str, scale: float, unit: str) -> None:
    part.value, part.low, part.high = (scale * row[c] for c in (column, "low", "high"))
    part.n, part.p, part.p_holm, part.unit = int(row["n"]), row["p"], row["p_holm"], unit
    part.verdict = _decided(part, part.claim)


def drift(claim: Claim, found: Published) -> list[Part]:
    parts = _long_parts(claim, found)
    for part, (system,), measure, roll in parts:
        if not part.missing:
            rows = found.long.drift.set_index(["roll", "system", "measure"])
            _fill(part, rows.loc[(roll, system, measure)], "slope", long_video.SCALE[measure], "points/min")
    return [p for p, *_ in parts]


def rolled(claim: Claim, found: Published) -> list[Part]:
    parts = _long_parts(claim, found)
    for part, (first, second), measure, roll in parts:
        if not part.missing:
            rows = found.rolled.set_index(["roll", "system", "reference", "measure"])
            key, turned = (roll, first, second, measure), (roll, second, first, measure)
            scale = long_video.SCALE[measure]
            if key in rows.index:
                _fill(part, rows.loc[key], "difference", scale, "points")
            elif turned in rows.index:
                row = rows.loc[turned].rename({"low": "high", "high": "low"})
                _fill(part, row, "difference", -scale, "points")
            else:
                part.missing = f"the comparison of {first} and {second} in mini/long"
    return [p for p, *_ in parts]


def windowed(claim: Claim, found: Published) -> list[Part]:
    parts = []
    for (window,) in claim.split:
        part = Part(claim, f"{claim.metrics}, {window} − the widest")
        parts.append(part)
        if found.windows is None:
            part.missing = f"{found.profile}/windows"
            continue
        part.seeds = len(found.windows.seeds)
        rows = found.windows.pairs[found.windows.pairs["against"] == "widest"].set_index("row")
        _fill(part, rows.loc[window], "difference", 1, "points")
    return parts


def searched(claim: Claim, found: Published) -> list[Part]:
    if found.search is None:
        return [Part(claim, "", missing="mini/search")]
    seeds, n = found.search.clips["seed"].nunique(), len(found.search.clips)

    def part(what: str, value: float, low: float, high: float, told: str, p_holm: float = np.nan) -> Part:
        told = told if seeds > 1 else ONE_SEED
        return Part(claim, what, 100 * value, 100 * low, 100 * high, "points", n, seeds, p_holm=p_holm, verdict=told)

    if claim.test == "front":
        rows = search.rivals(found.search)
        best = rows.loc[rows["difference"].idxmax()]
        bounds = (-best[c] for c in ("difference", "high", "low"))
        return [part(f"{search.PAPER} − {best['schedule']}", *bounds, search.front_verdict(rows))]
    rows, _ = search.kinds(found.search)
    return [
        part(f"{r.monotone} − {r.other}", r.difference, r.low, r.high, r.verdict, r.p_holm) for r in rows.itertuples()
    ]
