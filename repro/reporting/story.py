"""Prompts that change on the way as tables, sentences and a film strip, from what `python -m repro story` wrote."""

import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from repro.evaluation.statistics import cluster_counts, holm, interval_of, paired_difference
from repro.evaluation.story import SCORES, WAYS, per_story
from repro.reporting import records, render, stored
from repro.reporting.figures import panels
from repro.reporting.long_video import FEWEST, told
from repro.reporting.notes import reading
from repro.reporting.render import Document, Section, p_value, signed, with_range

NAME, MAKER = "story", "snakemake --cores all story"
NAMES = {"text": "Text, %", "total": "Total, %", "jump": "Jump at the change", "seam": "Jump where chunks meet"}
SCALE = {"text": 100, "total": 100, "jump": 1, "seam": 1}
LOOKS = {"keep": ("#D55E00", "s"), "recache": ("#0072B2", "o"), "fresh": ("#737373", "^")}
RESAMPLES = 2000


@dataclass(frozen=True)
class Story:
    scores: pd.DataFrame
    frames: np.ndarray
    rows: list[str]
    captions: list[str]
    records: tuple[records.Record, ...]

    @property
    def runs(self) -> list[str]:
        return list(self.scores["run"].unique())

    def of(self, run: str, way: str) -> pd.DataFrame:
        return self.scores[(self.scores["run"] == run) & (self.scores["way"] == way)]


def load(folder: Path, profile: str) -> Story:
    """Read a folder of the verb `story`. Raises ReproError naming a missing file, or another profile."""
    folder = Path(folder)
    rows = records.read_of(profile, folder / f"{NAME}.json", NAME)
    keys, text = ("run", "way", "seed", "prompt", "segment"), {"run": str, "way": str}
    scores = stored.table(folder / "scores.csv.gz", MAKER, (*keys, *SCORES), keys, dtype=text)
    frames, names, captions = stored.arrays(folder / "frames.npz", MAKER, ("frames", "rows", "captions"))
    return Story(scores, frames, [str(n) for n in names], [str(c) for c in captions], tuple(rows))


def gains(story: Story) -> pd.DataFrame:
    """Recaching less keeping, paired over stories: one row a (run, measure)."""
    rows = []
    for run in story.runs:
        for measure in NAMES:
            pair = [per_story(story.of(run, way), measure) for way in ("recache", "keep")]
            value, low, high, p = paired_difference(*pair, RESAMPLES, np.random.default_rng(0))
            rows.append((run, measure, value, low, high, p, len(pair[0]), pair[0]["seed"].nunique()))
    table = pd.DataFrame(rows, columns=["run", "measure", "difference", "low", "high", "p", "n", "seeds"])
    table["p_holm"] = holm(table["p"])
    table["verdict"] = [told(r.difference, r.p_holm, r.n, r.seeds, ("higher", "lower")) for r in table.itertuples()]
    return table


def by_segment(story: Story, run: str, way: str, measure: str) -> pd.DataFrame:
    """Mean and 95% interval of every segment that has the measure."""
    wide = story.of(run, way).pivot(index=["seed", "prompt"], columns="segment", values=measure).dropna(axis=1)
    counts = cluster_counts(wide.index.to_frame(), RESAMPLES, np.random.default_rng(0))
    draws = counts @ wide.to_numpy() / counts.sum(1, keepdims=True)
    rows = [(s, wide[s].mean(), *interval_of(draws[:, i])) for i, s in enumerate(wide)]
    return pd.DataFrame(rows, columns=["segment", "value", "low", "high"])


def build(folder: Path, profile: str, out: Path) -> None:
    """Write `<out>/tables/story{.csv,.md,.html,.tex}`."""
    story, stem = load(folder, profile), Path(out) / "tables" / NAME
    sections = (way_section(story), *(segment_section(story, run) for run in story.runs))
    render.write(Document(sections, notes(story, profile)), stem)
    render.write_csv(gains(story).assign(profile=profile, device=story.records[0].device), stem)


def way_section(story: Story) -> Section:
    known = records.keyed(story.records, NAME)
    table, rows = gains(story).set_index(["run", "measure"]), []
    for run in story.runs:
        for measure, name in NAMES.items():
            # A video that begins afresh has no change to jump at.
            ways = (None if (way, measure) == ("fresh", "jump") else known[f"{run}_{way}", measure] for way in WAYS)
            cells = (render.DASH if r is None else _ranged(measure, (r.value, r.low, r.high)) for r in ways)
            gain = table.loc[run, measure]
            difference = _ranged(measure, gain[["difference", "low", "high"]], signed)
            rows.append((run, name, *cells, difference, p_value(gain["p_holm"]), gain["verdict"]))
    labels = ("Run", "Measure", *(w.capitalize() for w in WAYS), "Recache − keep", "p (Holm)", "Verdict")
    caption = "Prompts that change on the way: keep the cache, recache it, or begin afresh"
    return Section(NAME, caption, tuple(("", x) for x in labels), tuple(rows))


def _ranged(measure: str, values, form=lambda x: f"{x:.2f}") -> str:
    return with_range(*(SCALE[measure] * x for x in values), form)


def segment_section(story: Story, run: str) -> Section:
    told = {way: by_segment(story, run, way, "text").set_index("segment") for way in WAYS}
    rows = tuple(
        (str(i + 1), caption, *(_ranged("text", told[way].loc[i, ["value", "low", "high"]]) for way in WAYS))
        for i, caption in enumerate(story.captions)
    )
    labels = ("Part", "Prompt", *(f"Text, %: {way}" for way in WAYS))
    return Section(f"{NAME}-{run}", f"Text alignment part by part: {run}", tuple(("", x) for x in labels), rows)


def notes(story: Story, profile: str) -> tuple[str, ...]:
    first, text = story.records[0], reading(profile)
    stories = story.scores["prompt"].nunique()
    return (
        f"{text[0].upper()}{text[1:]}.",
        f"{len(story.captions)} parts (config/story.csv), each as long as the videos of training; {stories} noise "
        f"seeds, training seeds {', '.join(map(str, first.seeds))}; mean [95% bootstrap interval over stories and "
        f"training seeds]; on {first.device}. Below {FEWEST} stories an interval is too narrow for a verdict.",
        "Keep: the self-attention cache goes on, the prompt changes. Recache: the window's keys and values are "
        "computed again under the new prompt first. Fresh: every part is a video of its own.",
        "Jump: difference between the two frames at the change, as a multiple of that of the frames half a second "
        "around it; 1 is no jump. Chunks meet without a change of prompt six times in every part.",
    )


def answer(story: Story) -> str:
    """Does recaching help?"""
    told = [
        f"{r.run}: {NAMES[r.measure].removesuffix(', %')} "
        f"{_ranged(r.measure, (r.difference, r.low, r.high), signed)}, {r.verdict}"
        for r in gains(story).itertuples()
        if r.measure in ("text", "jump")
    ]
    return "Recaching less keeping: " + "; ".join(told) + "."


def text_by_segment(story: Story) -> Figure:
    """Text alignment of every part, with 95% intervals, and the jump at its beginning; one column a run."""
    figure, axes = panels(2, len(story.runs), (6 * len(story.runs), 6), sharex=True, sharey="row")
    for column, run in enumerate(story.runs):
        for row, measure in enumerate(("text", "jump")):
            axis = axes[row, column]
            for offset, way in enumerate(WAYS):
                points = by_segment(story, run, way, measure)
                if points.empty:
                    continue
                colour, marker = LOOKS[way]
                bars = np.stack([points["value"] - points["low"], points["high"] - points["value"]]).clip(min=0)
                place = points["segment"] + 1 + 0.15 * (offset - 1)
                axis.errorbar(
                    place, SCALE[measure] * points["value"], yerr=SCALE[measure] * bars, fmt=f"{marker}-", color=colour,
                    label=way, linewidth=0.8, elinewidth=0.8,
                )  # fmt: skip
            axis.set_ylabel(NAMES[measure] if not column else "")
        axes[0, column].set_title(run, fontsize=10)
        axes[1, column].set_xlabel("part")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    first = story.records[0]
    figure.suptitle(
        f"Profile {first.profile}, {story.scores['prompt'].nunique()} noise seeds, training seeds {first.seeds}, "
        f"{first.device}",
        fontsize=10,
    )
    return figure


def strip(story: Story) -> Figure:
    """A frame from the middle of every part of the first story: prompts above, one row a way."""
    ways, parts = story.frames.shape[:2]
    figure = Figure(figsize=(1.7 * parts, 1.0 * ways + 1.1), layout="constrained")
    axes = figure.subplots(ways, parts, squeeze=False)
    for row, way in enumerate(story.rows):
        for part in range(parts):
            axis = axes[row, part]
            axis.imshow(story.frames[row, part], interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            if row == 0:
                axis.set_title(textwrap.fill(story.captions[part].removesuffix(", still camera"), 24), fontsize=6)
        axes[row, 0].set_ylabel(way, fontsize=9)
    return figure
