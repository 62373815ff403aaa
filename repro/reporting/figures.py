"""Figures of a table's results. Each function returns a matplotlib Figure; `save` writes it.

Figures are made without pyplot: nothing global is touched. Colours are Okabe and Ito's, and no
meaning rests on colour alone.
"""

from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from repro.errors import ReproError
from repro.files import write_atomic
from repro.reporting import stored
from repro.reporting.notes import NAMES

MODES = {"diagonal": ("#0072B2", "o"), "self": ("#D55E00", "s")}
VERDICTS = {"reproduced": ("#009E73", "o"), "contradicted": ("#D55E00", "X"), "unresolved": ("#737373", "s")}
CURVES = {"loss": ("#0072B2", "-"), "critic_loss": ("#D55E00", "--")}
QUALITY = ("temporal", "frame", "text", "total")
DPI = 120


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG, the same bytes for the same figure."""

    def write(temporary: Path) -> None:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})

    return write_atomic(path, write)


def panels(rows: int, columns: int, size: tuple[float, float], **shared):
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **shared)
    for axis in axes.flat:
        axis.grid(color="#DDDDDD")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def quality_latency(table: pd.DataFrame) -> Figure:
    """Quality against in-flight latency, one panel a measure, the two modes of a schedule joined.

    `table` is tables/table5.csv. Bars: 95% intervals (quality) and quartiles (latency). A letter in
    the marker names the schedule: latencies of several schedules fall together.
    """
    figure, axes = panels(2, 2, (10, 8), sharex=True)
    letters = dict(zip(dict.fromkeys(table["schedule"]), ascii_lowercase, strict=False))
    for axis, metric in zip(axes.flat, QUALITY, strict=True):
        for _, pair in table.groupby("schedule", sort=False):
            axis.plot(pair["in_flight_latency_s"], pair[metric], color="#BBBBBB", linewidth=1, zorder=1)
        for mode, rows in table.groupby("mode", sort=False):
            colour, marker = MODES[mode]
            axis.errorbar(
                rows["in_flight_latency_s"],
                rows[metric],
                xerr=_bars(rows, "in_flight_latency_s"),
                yerr=_bars(rows, metric),
                fmt=marker,
                color=colour,
                markersize=10,
                elinewidth=1,
                capsize=2,
                label=mode,
            )
        for row in table.to_dict("records"):
            place = (row["in_flight_latency_s"], row[metric])
            axis.annotate(letters[row["schedule"]], place, ha="center", va="center", color="white", fontsize=8)
        axis.set(xlabel=NAMES["in_flight_latency_s"], ylabel=NAMES[metric])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    named = ", ".join(f"{letter} {schedule}" for schedule, letter in letters.items())
    figure.legend(handles, labels, title=named, loc="outside lower center", ncols=len(labels))
    figure.suptitle(_title("Quality and in-flight latency", table))
    return figure


def _bars(rows: pd.DataFrame, metric: str) -> np.ndarray:
    """Lengths [2, rows] of the bars below and above; a percentile interval need not hold its mean."""
    bars = np.stack([rows[metric] - rows[f"{metric}_low"], rows[f"{metric}_high"] - rows[metric]])
    return bars.clip(min=0)


def _title(text: str, table: pd.DataFrame) -> str:
    first = table.iloc[0]
    timed = f", {first['timing_device']}" if "timing_device" in table else ""
    return f"{text}: profile {first['profile']}, {first['prompts']} prompts{timed}"


def paired_forest(pairs: pd.DataFrame, by: str = "schedule", title: str = "Diagonal minus Self") -> Figure:
    """Difference of every pair and measure with 95% intervals; the paper's difference as a diamond.

    `pairs` is a table's `_pairs.csv`, `by` the column that names a pair.
    """
    metrics = list(dict.fromkeys(pairs["metric"]))
    figure, axes = panels(1, len(metrics), (3 * len(metrics), 4), sharey=True)
    names, printed = list(dict.fromkeys(pairs[by])), pairs["paper_difference"].notna().any()
    for axis, metric in zip(axes.flat, metrics, strict=True):
        axis.axvline(0, color="black", linewidth=1)
        rows = pairs[pairs["metric"] == metric].set_index(by).loc[names].reset_index()
        for verdict, (colour, marker) in VERDICTS.items():
            chosen = rows[rows["verdict"] == verdict]
            bars = np.stack([chosen["difference"] - chosen["low"], chosen["high"] - chosen["difference"]])
            axis.errorbar(
                chosen["difference"],
                chosen.index,
                xerr=bars.clip(min=0),
                fmt=marker,
                color=colour,
                capsize=2,
                label=verdict,
            )
        rest = rows[~rows["verdict"].isin(VERDICTS)]
        if len(rest):
            spread = np.stack([rest["difference"] - rest["low"], rest["high"] - rest["difference"]]).clip(min=0)
            axis.errorbar(
                rest["difference"], rest.index, xerr=spread, fmt="o", mfc="white", color="#999999", label="not tested"
            )
        if printed:
            axis.scatter(
                rows["paper_difference"],
                rows.index,
                marker="D",
                facecolors="none",
                edgecolors="black",
                label="paper",
            )
        axis.set(xlabel=f"{NAMES[metric].partition(',')[0]}, percentage points")
        axis.set_yticks(range(len(names)), [n.replace("_", " ") for n in names])
    axes[0, 0].invert_yaxis()
    axes[0, 0].set_ylabel(by)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.suptitle(_title(title, pairs))
    return figure


def read_frames(runs_dir: Path, run_id: str) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Frames uint8 [prompts, shown, height, width, 3], captions, and which frames of the clip they are."""
    path = Path(runs_dir) / run_id / "frames.npz"
    frames, captions, index = stored.arrays(path, "the rule `evaluate`", ("frames", "captions", "index"))
    return frames, [str(c) for c in captions], index


def film_strip(runs_dir: Path, run_ids: Sequence[str]) -> Figure:
    """Actual frames: for each prompt one row a run, time from left to right."""
    films = {run: read_frames(runs_dir, run) for run in run_ids}
    frames, captions, index = films[run_ids[0]]
    for run, (_, told, _) in films.items():
        if told != captions:
            raise ReproError(f"runs {run_ids[0]} and {run} show different prompts: evaluate them together")
    prompts, shown, height, width, _ = frames.shape
    # Inches, placed by hand: the automatic layout cuts labels beside pictures of fixed shape.
    label, heading, footing = 1.6, 0.35, 0.3
    wide, tall = label + 1.7 * shown + 0.1, heading + 1.75 * len(run_ids) * height / width + footing
    figure = Figure(figsize=(wide, prompts * tall))
    parts = figure.subfigures(prompts, 1, squeeze=False)[:, 0]
    for prompt, (part, caption) in enumerate(zip(parts, captions, strict=True)):
        part.suptitle(f"prompt {prompt}: {caption}", x=0.01, y=1 - 0.1 / tall, ha="left", fontsize=9)
        strips = part.subplots(len(run_ids), 1, sharex=True, squeeze=False)[:, 0]
        part.subplots_adjust(
            left=label / wide,
            right=1 - 0.1 / wide,
            top=1 - heading / tall,
            bottom=footing / tall,
            hspace=0.05,
        )
        for run, axis in zip(run_ids, strips, strict=True):
            # One picture a row: an axis a frame would take the layout half a minute.
            axis.imshow(side_by_side(films[run][0][prompt]), interpolation="nearest")
            axis.set_yticks([height / 2], [run])
            axis.tick_params(labelsize=8, length=0)
            axis.spines[:].set_visible(False)
        step = width + gap(width)
        strips[-1].set_xticks([width / 2 + step * i for i in range(shown)], [f"frame {i}" for i in index])
    return figure


def loss_curves(losses: pd.DataFrame) -> Figure:
    """Losses over the iterations, a panel a stage, log scale. `losses` is tables/cost_losses.csv."""
    names = list(losses["log"].unique())
    figure, axes = panels(-(-len(names) // 3), min(3, len(names)), (10, 3 * -(-len(names) // 3)))
    for axis, name in zip(axes.flat, names, strict=False):
        rows = losses[losses["log"] == name]
        for metric, curve in rows.groupby("metric", sort=False):
            colour, style = CURVES[metric]
            axis.plot(curve["iteration"], curve["value"], style, color=colour, linewidth=1, label=metric)
        axis.set(title=name, xlabel="iteration", yscale="log")
        axis.locator_params(axis="x", nbins=4)
        axis.legend(fontsize=8)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    return figure


def gap(width: int) -> int:
    return max(1, width // 32)


def side_by_side(frames: np.ndarray) -> np.ndarray:
    """Frames [shown, height, width, 3] as one picture, with white between them."""
    shown, height, width, _ = frames.shape
    padded = np.full((shown, height, width + gap(width), 3), 255, np.uint8)
    padded[:, :, :width] = frames
    return padded.transpose(1, 0, 2, 3).reshape(height, -1, 3)[:, : -gap(width)]


def contact_sheet(clips_uint8: np.ndarray, path: Path, columns: int) -> Path:
    """PNG with one row a clip and `columns` frames of each, evenly spaced in time, first and last included.

    `clips_uint8` is [clips, frames, 3, height, width]; a CPU tensor will do.
    """
    from matplotlib.image import imsave

    clips = np.asarray(clips_uint8)
    if clips.ndim != 5 or clips.shape[2] != 3 or clips.dtype != np.uint8 or not 1 <= columns <= clips.shape[1]:
        raise ReproError(
            f"contact sheet of {columns} columns: clips must be uint8 [clips, frames, 3, height, width] with "
            f"at least that many frames, not {clips.dtype} {list(clips.shape)}"
        )
    chosen = clips[:, np.linspace(0, clips.shape[1] - 1, columns).round().astype(int)]
    n, t, c, h, w = chosen.shape
    sheet = chosen.transpose(0, 3, 1, 4, 2).reshape(n * h, t * w, c)
    return write_atomic(path, lambda p: imsave(p, sheet, format="png", metadata={"Software": None}))
