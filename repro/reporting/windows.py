"""Table 4: attention windows beside the paper's numbers, and where the plateau starts, from what `windows` wrote."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from repro.config import load_scale, load_students
from repro.evaluation.statistics import cluster_counts, holm, interval_of, straight_line, two_sided_p
from repro.evaluation.windows import Window, grid
from repro.reporting import comparisons, paper, printed, records, render, stored
from repro.reporting.long_video import FEWEST, told
from repro.reporting.notes import reading
from repro.reporting.render import DASH, Document, Section, p_value, signed, significant, with_range

NAME = "table4"
WORDS = ("better", "worse")
PRINTED = ("total", "in_flight_latency_s", "memory_gb")
"""Columns of the paper's table."""
RESAMPLES = 2000
MB, MS = 1e-6, 1e3
COSTS = {"in_flight_latency_s": ("Latency in flight, ms", MS), "cache_bytes": ("Cache, MB", MB)}
"""What a window costs → the name and unit a reader sees, and the factor that makes it."""


@dataclass(frozen=True)
class Windows:
    """`scores`: one row a (window, sink, seed, prompt, segment)."""

    scores: pd.DataFrame
    records: records.Keyed

    @property
    def last(self) -> int:
        return int(self.scores["segment"].max())

    @property
    def seeds(self) -> list[int]:
        return sorted(map(int, self.scores["seed"].unique()))

    @property
    def clips(self) -> int:
        """Videos of each window."""
        return len(self.scores[["seed", "prompt"]].drop_duplicates())

    @property
    def device(self) -> str:
        return next(iter(self.records.values())).device

    @property
    def rows(self) -> list[Window]:
        return [w for w in grid() if (w.name, "total_last") in self.records]

    @property
    def sinks(self) -> list[int]:
        return sorted({w.sink for w in self.rows})

    def value(self, window: Window, metric: str) -> float:
        return self.records[window.name, metric].value

    def cost(self, metric: str, sink: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Windows in latent frames, and what each costs in the reader's unit."""
        mine = [w for w in self.rows if w.sink == sink]
        return np.array([w.frames for w in mine]), np.array([self.value(w, metric) for w in mine]) * COSTS[metric][1]

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Totals of the last segment, paired over the same prompts, seeds and noise, in percentage points.

        `against` is `widest`: the widest window of the same sink; or `no sink`: the same window without one. p values
        are Holm-adjusted over each of the two.
        """
        wide = self.scores[self.scores["segment"] == self.last].pivot(
            index=["seed", "prompt"], columns=["window", "sink"], values="total"
        )
        draws = comparisons.resamples(RESAMPLES, len(self.rows))
        counts = cluster_counts(wide.index.to_frame(), draws, np.random.default_rng(0))
        widest, rows = max(w.frames for w in self.rows), []
        for w in self.rows:
            rivals = {"widest": (widest, w.sink)} if w.frames < widest else {}
            rivals |= {"no sink": (w.frames, 0)} if w.sink else {}
            for against, rival in rivals.items():
                values = comparisons.PERCENT * (wide[w.frames, w.sink] - wide[rival]).to_numpy()
                draws = counts @ values / counts.sum(1)
                low, high = interval_of(draws)
                row = {"row": w.name, "window": w.frames, "sink": w.sink, "against": against, "n": len(values)}
                rows.append(row | {"difference": values.mean(), "low": low, "high": high, "p": two_sided_p(draws)})
        table = pd.DataFrame(rows)
        table["p_holm"] = table.groupby("against")["p"].transform(holm)
        table["verdict"] = [told(r.difference, r.p_holm, r.n, len(self.seeds), WORDS) for r in table.itertuples()]
        return table


def load(folder: Path, profile: str) -> Windows:
    """Read a folder of the verb `windows`. Raises ReproError naming a missing file, or another profile."""
    folder = Path(folder)
    rows = records.read_of(profile, folder / "windows.json", NAME)
    keys = ("window", "sink", "seed", "prompt", "segment")
    scores = stored.table(folder / "scores.csv.gz", f"snakemake --cores all {NAME}", (*keys, "total"), keys)
    return Windows(scores, records.keyed(rows, folder / "windows.json"))


def claimed() -> int:
    """Latent frames at which the paper's plateau starts."""
    return int(printed.load()["text.window.plateau_from"].value)


def trained_window(found: Windows) -> int:
    """Latent frames of the window that the student was trained with."""
    (student,) = {n.rpartition("-s")[0] for r in found.records.values() for n in r.weights} & load_students().keys()
    return load_students()[student].window_frames


def plateau(found: Windows, sink: int = 0) -> int:
    """Latent frames from which no window is worse than the widest."""
    rows = found.pairs[(found.pairs["against"] == "widest") & (found.pairs["sink"] == sink)]
    worse = rows.loc[rows["verdict"] == "worse", "window"]
    frames = [w.frames for w in found.rows if w.sink == sink]
    return min(f for f in frames if worse.empty or f > worse.max())


def build(folder: Path, profile: str, out: Path) -> None:
    """Write `<out>/tables/table4{.csv,_pairs.csv,.md,.html,.tex}`."""
    found, stem = load(folder, profile), Path(out) / "tables" / NAME
    sections = (section(found, profile), *(sink_section(found) if len(found.sinks) > 1 else ()))
    render.write(Document(sections, notes(found, profile)), stem)
    stamp = {"profile": profile, "device": found.device}
    kept = {"run_id", "metric", "value", "low", "high", "n", "unit"}
    render.write_csv(pd.DataFrame([r.model_dump(include=kept) | stamp for r in found.records.values()]), stem)
    render.write_csv(found.pairs.assign(**stamp), stem.with_name(f"{NAME}_pairs"))


def section(found: Windows, profile: str) -> Section:
    said, rows = paper.table(4), []
    against = found.pairs[found.pairs["against"] == "widest"].set_index("row")

    def ours(window: Window, metric: str, scale: float, form=significant) -> str:
        r = found.records[window.name, metric]
        if r.low is None:
            return form(scale * r.value)
        return with_range(*(scale * x for x in (r.value, r.low, r.high)), form)

    for w in found.rows:
        known = against.loc[w.name] if w.name in against.index else None
        printed_of = {m: said[w.name, m].printed if (w.name, m) in said else DASH for m in PRINTED}
        rows.append(
            (
                str(w.frames),
                str(w.sink or DASH),
                printed_of["total"],
                *(ours(w, f"total_{when}", comparisons.PERCENT, "{:.1f}".format) for when in ("first", "last")),
                DASH if known is None else with_range(known["difference"], known["low"], known["high"], signed),
                DASH if known is None else p_value(known["p_holm"]),
                DASH if known is None else known["verdict"],
                printed_of["in_flight_latency_s"],
                ours(w, "in_flight_latency_s", MS),
                printed_of["memory_gb"],
                ours(w, "cache_bytes", MB),
            )
        )
    columns = (
        ("", "Window"),
        ("", "of it sink"),
        ("Total, %", "paper"),
        ("Total, %", "ours, first 5 s"),
        ("Total, %", "ours, last 5 s"),
        ("Last 5 s less the widest window's", "points"),
        ("Last 5 s less the widest window's", "p (Holm)"),
        ("Last 5 s less the widest window's", "it is"),
        ("Latency in flight", "paper, s"),
        ("Latency in flight", "ours, ms"),
        ("Memory", "paper, all, GB"),
        ("Memory", "ours, cache, MB"),
    )
    caption = f"Table 4. Attention windows, latent frames: profile {profile}, {found.clips} videos a window"
    return Section(NAME, caption, columns, tuple(rows))


def sink_section(found: Windows) -> tuple[Section, ...]:
    rows = tuple(
        (str(r.window), with_range(r.difference, r.low, r.high, signed), p_value(r.p_holm), r.verdict)
        for r in found.pairs[found.pairs["against"] == "no sink"].itertuples()
    )
    columns = (("", "Window"), ("", "Total, points"), ("", "p (Holm)"), ("", "With a sink it is"))
    caption = f"Table 4: a window with a sink of {found.sinks[-1]} latent frames less one of the same size without"
    return (Section(f"{NAME}-sink", caption, columns, rows),)


def notes(found: Windows, profile: str) -> tuple[str, ...]:
    text, clock = reading(profile), found.records[found.rows[0].name, "in_flight_latency_s"]
    equal = sum(found.value(w, "cache_bytes") == found.value(w, "cache_bytes_model") for w in found.rows)
    geometry = load_scale(profile).geometry
    trained, frames = geometry.latent_frames, sorted({w.frames for w in found.rows})
    begins, full = geometry.video_frames(0, found.last * trained), [geometry.video_frames(0, f) for f in frames]
    without = [(begins - full[i]) / geometry.fps for i in (0, -1)]
    last, several = found.last + 1, len(found.seeds) > 1
    over = "prompts and training seeds" if several else "prompts alone, the training itself is not repeated"
    return (
        f"{text[0].upper()}{text[1:]}.",
        f"A window counts all latent frames that a chunk attends to, its own and the sink's included. Each video is "
        f"{last} times as long as those of training ({trained} latent frames): every window is full before its last "
        "part, whose Total counts.",
        "A window without a sink loses the video's first frames when it is full, a wide one later: when the last part "
        f"begins, a window of {frames[0]} has gone on without them for {without[0]:.1f} s and one of {frames[-1]} for "
        f"{without[1]:.1f} s. What a wide window leads by may in part be that.",
        f"The student was trained with a window of {trained_window(found)} latent frames; wider ones it "
        "first sees here.",
        f"{found.clips} videos a window, training seeds {', '.join(map(str, found.seeds))}, the same prompts and noise "
        f"in every row, evaluated on {found.device}; mean [95% bootstrap interval over {over}]. "
        "Differences are paired; p values Holm-adjusted over all windows, and apart over all sinks; with fewer than "
        f"{FEWEST} videos no verdict.",
        where_it_starts(found),
        f"Latency: median [quartiles] of {clock.n} chunks that come when every window is full, at batch 1 in "
        f"interleaved rounds on {clock.device}, decoding included. The paper's memory is all that is in use, ours the "
        f"cache alone; 2 × layers × latent frames × tokens × width × bytes is exactly what was allocated in {equal} of "
        f"{len(found.rows)} rows.",
        *lines(found),
        "Paper: Table 4, appendix E.1; the total score there is of VBench-Long.",
    )


def where_it_starts(found: Windows) -> str:
    """From which window on is no difference to the widest resolved, and is that where the paper has it?"""
    each = ", ".join(
        f"{plateau(found, sink)} {f'with a sink of {sink}' if sink else 'without a sink'}" for sink in found.sinks
    )
    rows = found.pairs[found.pairs["against"] == "widest"].set_index("row")
    at = rows.loc[f"window_{claimed()}"]
    left = with_range(at["difference"], at["low"], at["high"], signed)
    return (
        "The plateau, the smallest window from which on none is resolved to be worse than the widest, starts at "
        f"{each} latent frames; the paper's at {claimed()}. What is not resolved may still be there: {claimed()} less "
        f"the widest is {left} points.{_narrower(found)}"
    )


def _narrower(found: Windows) -> str:
    """Which narrow windows score higher than the paper's, whatever the widest does?"""
    last = {w.frames: found.value(w, "total_last") for w in found.rows if not w.sink}
    above = [str(f) for f in last if f < claimed() and last[f] > last[claimed()]]
    if not above:
        return ""
    return f" Without a sink {' and '.join(above)} score above {claimed()} nevertheless: narrow is not worse as such."


def with_sink(found: Windows) -> str:
    """Does a sink help?"""
    rows = found.pairs[found.pairs["against"] == "no sink"]
    counts = rows["verdict"].value_counts()
    mean = signed(rows["difference"].mean())
    return (
        f"At equal cost, a sink makes the last part better in {counts.get('better', 0)} of {len(rows)} windows and "
        f"worse in {counts.get('worse', 0)}; by {mean} points on average."
    )


def lines(found: Windows) -> tuple[str, ...]:
    """Do latency and memory grow linearly with the window? Ours and the paper's."""
    said, told_lines = paper.table(4), []
    of_paper = {"in_flight_latency_s": "in_flight_latency_s", "cache_bytes": "memory_gb"}
    for metric, (label, _) in COSTS.items():
        x, y = found.cost(metric)
        theirs = [float(said[f"window_{frames}", of_paper[metric]].value) for frames in x]
        ours, line = straight_line(x, y), straight_line(x, np.array(theirs))
        told_lines.append(
            f"{label}: {ours.slope:.3g} more for each latent frame, from {y[0]:.3g} to {y[-1]:.3g} (straight line: "
            f"R² {ours.r2:.3f}, largest departure {100 * ours.worst:.0f}% of the range; the paper's {line.r2:.3f}, "
            f"{100 * line.worst:.0f}%)."
        )
    return tuple(told_lines)
