"""The schedule search as tables and sentences, from what `python -m repro search` wrote.

Legend: F finalists, N (seed, prompt) pairs, R resamples.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from repro.errors import ReproError
from repro.evaluation import step_effects
from repro.evaluation.search import is_monotone, paper_schedules
from repro.evaluation.statistics import cluster_counts, holm, interval_of, two_sided_p, verdict
from repro.reporting import records, render, stored
from repro.reporting.long_video import FEWEST
from repro.reporting.notes import reading
from repro.reporting.render import Document, Section, p_value, signed, significant, with_range

NAME = "search"
COLUMNS = {
    "screened": (("schedule",), ("forwards", "predicted", "finalist")),
    "probes": (("schedule", "seed", "prompt"), ("total",)),
    "scores": (("schedule", "seed", "prompt"), ("total",)),
}
"""What the search's files must have: keys, and values."""
METRICS = ("total", "kernel_distance", "forwards", "mean_latency_s")
"""Of every finalist."""
PAPER = "4322222"
"""The schedule that the paper recommends."""
COSTS = {"forwards": "Forwards", "mean_latency_s": "Latency of a chunk, s"}
RESAMPLES = 20_000
"""So many that Holm over all pairs leaves the smallest p well below 0.05."""


@dataclass(frozen=True, eq=False)
class Search:
    """`finalists`: one row a schedule, in order of cost; `values_FN`: their Totals on `clips` (seed, prompt)."""

    finalists: pd.DataFrame
    values_FN: np.ndarray
    clips: pd.DataFrame
    screened: pd.DataFrame
    probes: pd.DataFrame
    records: tuple[records.Record, ...]

    @cached_property
    def draws_RF(self) -> np.ndarray:
        """Mean Totals of all finalists in the same resamples: differences are paired."""
        counts = cluster_counts(self.clips, RESAMPLES, np.random.default_rng(0))
        return counts @ self.values_FN.T / counts.sum(1, keepdims=True)

    def place(self, schedule: str) -> int:
        return list(self.finalists["schedule"]).index(schedule)

    def difference(self, a: int, b: int) -> tuple[float, np.ndarray]:
        """Total of one finalist less that of another: the value, and its draws."""
        return (
            float((self.values_FN[a] - self.values_FN[b]).mean()),
            self.draws_RF[:, a] - self.draws_RF[:, b],
        )


def on_front(cost: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Who is dominated by nobody: no other has at most the cost and at least the score, one of them better."""
    better = (cost[:, None] <= cost) & (score[:, None] >= score)
    better &= (cost[:, None] < cost) | (score[:, None] > score)
    return ~better.any(axis=0)


def load(folder: Path, profile: str) -> Search:
    """Read a folder of the verb `search`. Raises ReproError naming a missing file, or another profile."""
    folder = Path(folder)
    rows = records.read_of(profile, folder / f"{NAME}.json", NAME)
    tables = {
        name: stored.table(
            folder / f"{name}.csv.gz", f"snakemake --cores all {NAME}", keys + values, keys, dtype={"schedule": str}
        )
        for name, (keys, values) in COLUMNS.items()
    }
    wide = tables["scores"].pivot(index="schedule", columns=["seed", "prompt"], values="total")
    known = records.keyed(rows, folder / f"{NAME}.json")
    named = [{"schedule": s} | {m: known[s, m].value for m in METRICS} for s in wide.index]
    table = pd.DataFrame(named).merge(tables["screened"][["schedule", "score", "finalist"]], "left", "schedule")
    table["monotone"] = table["schedule"].map(is_monotone)
    table["chosen"] = table.pop("finalist").eq(True)
    table["paper"] = table["schedule"].isin(paper_schedules(len(PAPER)))
    order = table.sort_values(["forwards", "total"]).index
    return Search(
        table.loc[order].reset_index(drop=True),
        wide.to_numpy()[order],
        wide.columns.to_frame(),
        tables["screened"],
        tables["probes"],
        tuple(rows),
    )


@lru_cache(maxsize=1)
def fronts(found: Search) -> pd.DataFrame:
    """The finalists, with whether each is on the front for each cost, and the share of resamples in which it is."""
    table = found.finalists.copy()
    for cost in COSTS:
        paid = table[cost].to_numpy()
        table[f"front_{cost}"] = on_front(paid, table["total"].to_numpy())
        table[f"often_{cost}"] = np.mean([on_front(paid, draw) for draw in found.draws_RF], axis=0)
    return table


def rivals(found: Search, schedule: str = PAPER, cost: str = "forwards") -> pd.DataFrame:
    """Every finalist that costs no more than `schedule`: its Total less that one's, with interval and Holm's p."""
    mine, table = found.place(schedule), found.finalists
    rows = []
    for place, row in enumerate(table.itertuples()):
        if place != mine and getattr(row, cost) <= table[cost][mine]:
            value, draws = found.difference(place, mine)
            low, high = interval_of(draws)
            rows.append((row.schedule, row.forwards, row.monotone, value, low, high, two_sided_p(draws)))
    table = pd.DataFrame(rows, columns=["schedule", "forwards", "monotone", "difference", "low", "high", "p"])
    return table.assign(p_holm=holm(table["p"]) if len(table) else [])


def front_verdict(rows: pd.DataFrame) -> str:
    """Of "nothing as cheap is better": contradicted by one better rival, reproduced where all are worse."""
    better = (rows["difference"] > 0) & (rows["p_holm"] < 0.05)
    worse = (rows["difference"] < 0) & (rows["p_holm"] < 0.05)
    return "contradicted" if better.any() else "reproduced" if worse.all() else "unresolved"


@lru_cache(maxsize=1)
def kinds(found: Search) -> tuple[pd.DataFrame, tuple[float, np.ndarray]]:
    """Best monotone less best other schedule wherever both have as many forwards and as many steps in the first chunk;
    and the mean over these places with its draws.

    The best are those of the prompts that they are compared on, the paper's schedules among them, so that a verdict
    asks more than their difference: one of a kind must be better than every one of the other, after Holm over all.
    """
    table, pairs, every = found.finalists, [], []
    places = ["forwards", "first"]
    for place, cell in table.assign(first=table["schedule"].str[0].astype(int)).groupby(places):
        if cell["monotone"].nunique() == 2:
            some, others = (cell.index[cell["monotone"] == kind] for kind in (True, False))
            pairs += [(*place, a, b, *found.difference(a, b)) for a in some for b in others]
    if not pairs:
        raise ReproError(
            "the search kept no monotone and other schedule of equal forwards and first chunk: raise search.max_steps"
        )
    pairs = pd.DataFrame(pairs, columns=[*places, "a", "b", "difference", "draws"])
    pairs["p"] = pairs["draws"].map(two_sided_p)
    pairs["p_holm"] = holm(pairs["p"])
    pairs["told"] = [verdict(d, p) for d, p in zip(pairs["difference"], pairs["p_holm"], strict=True)]
    rows = []
    for place, cell in pairs.groupby(places):
        best = [table["total"][cell[side].unique()].idxmax() for side in ("a", "b")]
        best_pair = cell.set_index(["a", "b"]).loc[tuple(best)]
        value, draws = best_pair["difference"], best_pair["draws"]
        wins = {
            told: (cell["told"] == told).groupby(cell[side]).all().any()
            for told, side in (("reproduced", "a"), ("contradicted", "b"))
        }
        told = next((told for told, won in wins.items() if won), "unresolved")
        names, bounds = table["schedule"][best], interval_of(draws)
        rows.append((*place, *names, len(cell), value, *bounds, best_pair["p_holm"], told))
        every.append((value, draws))
    columns = [*places, "monotone", "other", "pairs", "difference", "low", "high", "p_holm", "verdict"]
    mean = float(np.mean([v for v, _ in every])), np.mean([d for _, d in every], axis=0)
    return pd.DataFrame(rows, columns=columns), mean


def kind_verdict(rows: pd.DataFrame) -> str:
    """Of "monotone is best": contradicted at any place, reproduced at all of them."""
    told = set(rows["verdict"])
    return "contradicted" if "contradicted" in told else "unresolved" if "unresolved" in told else "reproduced"


@lru_cache(maxsize=1)
def worth(found: Search) -> pd.DataFrame:
    """What each number of steps in each chunk adds to Total, by least squares over the probes.

    Every probe was scored on every prompt, so that the prompts' effects are resampled whole.
    """
    fitted = step_effects.fit(found.probes)
    chunks, choices, prompts = fitted.effects_KCP.shape
    effects = fitted.effects_KCP.reshape(-1, prompts)
    counts = cluster_counts(pd.DataFrame({"seed": 0, "prompt": range(prompts)}), RESAMPLES, np.random.default_rng(0))
    draws = counts @ effects.T / counts.sum(1, keepdims=True)
    table = pd.DataFrame({"chunk": np.repeat(range(1, chunks + 1), choices), "steps": fitted.choices * chunks})
    table["worth"] = effects.mean(1)
    table["low"], table["high"] = np.array([interval_of(d) for d in draws.T]).T
    return table.assign(schedules=found.probes["schedule"].nunique(), prompts=prompts)


def build(folder: Path, profile: str, out: Path) -> None:
    """Write `<out>/tables/search{.csv,_kinds.csv,_worth.csv,.md,.html,.tex}`."""
    found = load(folder, profile)
    stem, stamp = Path(out) / "tables" / NAME, {"profile": profile, "device": found.records[0].device}
    sections = (finalist_section(found), kind_section(found), worth_section(found))
    render.write(Document(sections, notes(found, profile)), stem)
    for suffix, table in (("", fronts(found)), ("_kinds", kinds(found)[0]), ("_worth", worth(found))):
        render.write_csv(table.assign(**stamp), stem.with_name(NAME + suffix))


def finalist_section(found: Search) -> Section:
    known = records.keyed(found.records, NAME)

    def ranged(schedule: str, metric: str, scale: float) -> str:
        r = known[schedule, metric]
        if r.low is None:
            return significant(scale * r.value)
        return with_range(*(scale * x for x in (r.value, r.low, r.high)), significant)

    rows = tuple(
        (
            r["schedule"],
            "monotone" if r["monotone"] else "other",
            " and ".join(name for name, yes in (("search", r["chosen"]), ("paper", r["paper"])) if yes),
            f"{r['forwards']:.0f}",
            ranged(r["schedule"], "total", 100),
            ranged(r["schedule"], "kernel_distance", 1000),
            ranged(r["schedule"], "first_frame_latency_s", 1000),
            ranged(r["schedule"], "mean_latency_s", 1000),
            *(f"{'on' if r[f'front_{c}'] else 'off'}, {100 * r[f'often_{c}']:.0f}%" for c in COSTS),
        )
        for r in fronts(found).to_dict("records")
    )
    columns = (
        *(("", c) for c in ("Schedule", "Kind", "From", "Forwards", "Total, %", "Kernel distance, 1/1000")),
        *(("Latency, ms", c) for c in ("first frame", "later chunks")),
        *(("Front", c) for c in ("forwards", "latency")),
    )
    return Section(NAME, "Schedule search: the finalists on fresh prompts", columns, rows)


def kind_section(found: Search) -> Section:
    told, (mean, draws) = kinds(found)
    rows = [
        (
            f"{r['forwards']:.0f}", f"{r['first']}", r["monotone"], r["other"],
            with_range(*(100 * r[c] for c in ("difference", "low", "high")), signed),
            p_value(r["p_holm"]), r["verdict"],
        )
        for r in told.to_dict("records")
    ]  # fmt: skip
    average = with_range(100 * mean, *(100 * x for x in interval_of(draws)), signed)
    rows.append(("mean", "", "", "", average, "", kind_verdict(told)))
    labels = (
        "Forwards",
        "First chunk",
        "Monotone",
        "Other",
        "Difference of Total, points",
        "p (Holm)",
        "Claim: monotone better",
    )
    caption = "Schedule search: the best monotone schedule less the best other one"
    return Section(f"{NAME}-kinds", caption, tuple(("", x) for x in labels), tuple(rows))


def worth_section(found: Search) -> Section:
    table = worth(found)
    cells = {
        (r.chunk, r.steps): with_range(100 * r.worth, 100 * r.low, 100 * r.high, signed) for r in table.itertuples()
    }
    steps = sorted(table["steps"].unique())
    rows = tuple((f"{k}", *(cells[k, c] for c in steps)) for k in sorted(table["chunk"].unique()))
    caption = f"What a chunk's steps add to Total, points: {table['schedules'][0]} random schedules, "
    caption += f"{table['prompts'][0]} prompts"
    return Section(f"{NAME}-worth", caption, (("", "Chunk"), *(("Steps", f"{c}") for c in steps)), rows)


def notes(found: Search, profile: str) -> tuple[str, ...]:
    looked = {r.metric: r for r in found.records if r.run_id == "search"}
    first, text = found.records[0], reading(profile)
    schedules, prompts = found.screened, len(found.clips) // len(first.seeds)
    drawn, seen = found.probes["schedule"].nunique(), found.probes["prompt"].nunique()
    return (
        f"{text[0].upper()}{text[1:]}.",
        f"Screened: {len(schedules)} schedules ({int(schedules['monotone'].sum())} of them monotone: no chunk has more "
        f"steps than the one before it), in {looked['screening_clips'].value:.0f} clips, training seeds "
        f"{', '.join(map(str, sorted(found.probes['seed'].unique())))}, one for each prompt.",
        f"What steps are worth in {drawn} random schedules on {seen} prompts predicts the rest; fitted on half "
        f"of the prompts, it explains {explained_text(found)} of the variance between others on the other half. "
        f"{(schedules['prompts'] > 0).sum()} of the best predicted were made on up to {schedules['prompts'].max()} "
        "other prompts, and the best of them went on.",
        f"Compared: {len(found.finalists)} finalists, the paper's schedules included, on {prompts} other prompts, "
        f"training seeds {', '.join(map(str, first.seeds))}; mean [95% bootstrap interval over prompts and seeds]; "
        f"on {first.device}.",
        "Best monotone and best other: of these finalists on these prompts. Reproduced: one monotone schedule is "
        "better than every other one of as many forwards and steps in the first chunk, contradicted: the other way "
        "round (p < 0.05 after Holm over all pairs); of all rows together: contradicted where one is, reproduced where "
        "all are. The first chunk is held fixed since a schedule that may not rise can hardly begin with few steps.",
        "All schedules are run by one student, trained at its own; a number of steps that it was not trained on may "
        "stand worse than it would.",
        "A chunk with one step needs a cache pass, so it costs as many forwards as one with two.",
        f"With fewer than {FEWEST} prompts an interval is too narrow to be believed.",
        "Front: on or off by the point estimates, and the share of resamples in which the schedule is on it; "
        "resamples are of Total, latencies are taken as they are. Later chunks: the mean over all but the first; "
        "median [quartiles] of interleaved runs at batch 1.",
        f"{PAPER} on the front of Total against forwards: {front_verdict(rivals(found))}; against latency: "
        f"{front_verdict(rivals(found, cost='mean_latency_s'))} (contradicted: something as cheap is better, p < 0.05 "
        "after Holm; reproduced: everything as cheap is worse).",
    )


def answer_front(found: Search) -> str:
    """Is 4322222 on the front?"""
    row = fronts(found).iloc[found.place(PAPER)]
    told = [
        f"{label.lower().removesuffix(', s')}: {'on' if row[f'front_{c}'] else 'off'} by the means, on it in "
        f"{100 * row[f'often_{c}']:.0f}% of resamples, {front_verdict(rivals(found, cost=c))}"
        for c, label in COSTS.items()
    ]
    best = rivals(found).sort_values("difference").iloc[-1]
    return (
        f"{PAPER}, {'; '.join(told)}. The best rival of at most as many forwards is {best['schedule']}: "
        f"{with_range(100 * best['difference'], 100 * best['low'], 100 * best['high'], signed)} points of Total."
    )


def answer_kinds(found: Search) -> str:
    """Is a monotone schedule best?"""
    told, (mean, draws) = kinds(found)
    counts = ", ".join(f"{(told['verdict'] == v).sum()} {v}" for v in ("reproduced", "contradicted", "unresolved"))
    average = with_range(100 * mean, *(100 * x for x in interval_of(draws)), signed)
    return (
        f"Best monotone less best other schedule, mean over {len(told)} comparisons: {average} points of "
        f"Total; one by one {counts}. The claim: {kind_verdict(told)}."
    )


def explained_text(found: Search) -> str:
    share = step_effects.explained(found.probes)
    return "an unknown share" if np.isnan(share) else f"{100 * share:.0f}%" if share > 0 else "none"


def answer_worth(found: Search) -> str:
    """Where does the number of steps matter most?"""
    best = worth(found).sort_values("worth").groupby("chunk")
    steps, gain = best["steps"].last(), best["worth"].last() - best["worth"].first()
    return (
        f"On the probes' prompts the best number of steps is, chunk by chunk, {''.join(map(str, steps))}; between "
        f"the best and the worst lie {', '.join(significant(100 * g) for g in gain)} points of Total, most in chunk "
        f"{gain.idxmax()}. On other prompts that explains {explained_text(found)} of what schedules differ by."
    )
