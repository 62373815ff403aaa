"""Figures of a user study. Colours are Okabe and Ito's; no meaning rests on colour alone."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from repro.reporting.figures import panels, save
from repro.user_study.cells import METHODS, READINGS, name

BLUE, ORANGE, GREY, GREEN = "#0072B2", "#D55E00", "#737373", "#009E73"
MARKS = "osD^vPX"
COLOURS = (GREY, "#999999", ORANGE, "#E69F00", GREEN, BLUE, "#CC79A7")


def rate_intervals(intervals: pd.DataFrame, kappa: pd.DataFrame) -> Figure:
    """The paper's rates with three intervals: both readings' Wilson, and the one that its κ implies."""
    figure, axes = panels(1, 1, (9, 4.5))
    axis = axes[0, 0]
    baselines = list(kappa["baseline"])
    kinds = [
        (f"{READINGS[reading]}, independent", own, colour, mark)
        for (reading, own), colour, mark in zip(intervals.groupby("reading"), (GREY, BLUE), "os", strict=True)
    ]
    kinds.append(("κ = 0.78 over the prompts", kappa, ORANGE, "D"))
    for shift, (label, own, colour, mark) in zip((-0.22, 0, 0.22), kinds, strict=True):
        y = np.array([baselines.index(b) for b in own["baseline"]]) + shift
        bars = 100 * np.abs(own[["low", "high"]].to_numpy() - own[["rate"]].to_numpy()).T
        axis.errorbar(100 * own["rate"], y, xerr=bars, fmt=mark, color=colour, capsize=3, label=label)
    axis.axvline(50, color="black", linewidth=1)
    axis.set_yticks(range(len(baselines)), [name(b) for b in baselines])
    axis.set(xlabel="preference over the baseline, % (95% intervals)", title="What the paper's rates could be")
    axis.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def p_contours(grid: pd.DataFrame) -> Figure:
    """p to expect at 54.2% and 150 votes a participant, over deviations of raters and prompts, two populations."""
    figure, axes = panels(1, 2, (11, 5), sharey=True)
    kinds = (("p_these_prompts", "these 50 prompts alone"), ("p_any_prompts", "prompts at large"))
    for axis, (column, title) in zip(axes.flat, kinds, strict=True):
        table = grid.pivot(index="rater_sd", columns="prompt_sd", values=column)
        # Rows and columns are evenly spaced cells, not to scale: the deviations tabled are not equidistant.
        axis.imshow(np.log10(table.clip(lower=1e-6)), cmap="cividis", origin="lower", vmin=-6, vmax=0)
        for (i, k), p in np.ndenumerate(table.to_numpy()):
            text = "<.0001" if p < 1e-4 else f"{p:.3f}".lstrip("0") if p >= 0.001 else f"{p:.4f}".lstrip("0")
            weight = "bold" if p >= 0.01 else "normal"
            axis.text(k, i, text, ha="center", va="center", fontsize=8, fontweight=weight,
                      color="black" if p > 1e-3 else "white")  # fmt: skip
        axis.set_xticks(range(table.shape[1]), [f"{v:g}" for v in table.columns])
        axis.set_yticks(range(table.shape[0]), [f"{v:g}" for v in table.index])
        axis.grid(False)
        axis.set(title=title, xlabel="SD of prompts, log-odds", ylabel="SD of raters, log-odds")
    figure.suptitle("p of 54.2% against MAGI-1; bold: not below 0.01")
    return figure


def coverage(truth: pd.DataFrame) -> Figure:
    """Coverage of each interval, and false alarms under the null, in every scenario."""
    figure, axes = panels(1, 2, (13, 5.5), sharey=True)
    scenarios = list(truth["scenario"].unique())
    null = truth[truth["null"]]
    for axis, rows, column, wanted in ((axes[0, 0], truth, "coverage", 95), (axes[0, 1], null, "rejected", 5)):
        for i, method in enumerate(METHODS):
            own = rows[rows["method"] == method]
            y = np.array([scenarios.index(s) for s in own["scenario"]]) + (i - 3) * 0.11
            bars = 100 * np.abs(own[[f"{column}_low", f"{column}_high"]].to_numpy() - own[[column]].to_numpy()).T
            axis.errorbar(
                100 * own[column], y, xerr=bars, fmt=MARKS[i], color=COLOURS[i], markersize=5, label=METHODS[method]
            )
        axis.axvline(wanted, color="black", linewidth=1, linestyle="--")
    axes[0, 0].set_yticks(range(len(scenarios)), [s.replace("_", " ") for s in scenarios])
    axes[0, 0].invert_yaxis()
    axes[0, 0].set(xlabel="coverage of 95% intervals, %")
    axes[0, 1].set(xlabel="false alarms at 5%, %")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    figure.suptitle("Simulated studies with known truth")
    return figure


def power_curves(power: pd.DataFrame) -> Figure:
    """Power of the two-way test over the true preference, one line a size of study."""
    figure, axes = panels(1, 1, (10, 5.5))
    axis = axes[0, 0]
    sizes = ["participants", "prompts", "comparisons", "rater_sd", "prompt_sd"]
    styles = [(c, s) for s in ("-", "--", ":") for c in ("#000000", BLUE, ORANGE, GREEN, "#CC79A7")]
    for (colour, style), (key, own) in zip(styles, power.groupby(sizes, sort=False), strict=False):
        label = f"{key[0]:g} × {key[2]:g} on {key[1]:g}, SD {key[3]:g}, {key[4]:g}"
        axis.plot(100 * own["rate"], 100 * own["two_way"], color=colour, linestyle=style, marker=".", label=label)
    axis.axhline(80, color=GREY, linewidth=1)
    axis.set(
        xlabel="true preference, %",
        ylabel="power at 5%, %",
        title="Participants × comparisons a pair on prompts; SD of raters, prompts",
    )
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def response_rates(rates: pd.DataFrame, suffix: str) -> Figure:
    """Rates of a study with the naive and the mixed model's intervals."""
    figure, axes = panels(1, 1, (9, 1.6 + 0.7 * len(rates)))
    axis = axes[0, 0]
    kinds = (("rate", "wilson", "Wilson, naive", GREY, "o"), ("mixed_rate", "mixed", "mixed model", BLUE, "s"))
    for shift, (value, stem, label, colour, mark) in zip((-0.12, 0.12), kinds, strict=True):
        bars = 100 * np.abs(rates[[f"{stem}_low", f"{stem}_high"]].to_numpy() - rates[[value]].to_numpy()).T
        axis.errorbar(
            100 * rates[value], np.arange(len(rates)) + shift, xerr=bars, fmt=mark, color=colour, capsize=3, label=label
        )
    axis.axvline(50, color="black", linewidth=1)
    axis.set_yticks(range(len(rates)), [f"{name(r.first)} over {name(r.second)}" for r in rates.itertuples()])
    axis.invert_yaxis()
    axis.set(xlabel="preference, % (95% intervals)", title=f"Preference rates{suffix}")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def response_ranking(ranking: pd.DataFrame, suffix: str) -> Figure:
    figure, axes = panels(1, 1, (8, 1.2 + 0.5 * len(ranking)))
    axis = axes[0, 0]
    bars = np.abs(ranking[["low", "high"]].to_numpy() - ranking[["strength"]].to_numpy()).T
    axis.errorbar(ranking["strength"], range(len(ranking)), xerr=bars, fmt="o", color=BLUE, capsize=3)
    axis.set_yticks(range(len(ranking)), [name(m) for m in ranking["method"]])
    axis.invert_yaxis()
    axis.set(xlabel="strength against the first method, log-odds (95% intervals)", title=f"Bradley–Terry{suffix}")
    return figure


def response_decay(decay: pd.DataFrame, suffix: str) -> Figure:
    figure, axes = panels(1, 1, (8, 4.5))
    axis = axes[0, 0]
    for i, (method, own) in enumerate(decay.groupby("method", sort=False)):
        x = np.arange(len(own)) + (i - 2.5) * 0.06
        bars = np.abs(own[["low", "high"]].to_numpy() - own[["mean"]].to_numpy()).T
        axis.errorbar(
            x, own["mean"], yerr=bars, fmt=f"{MARKS[i % 7]}-", color=COLOURS[i % 7], capsize=2, label=name(method)
        )
    axis.set_xticks(range(3), ["first third", "second third", "last third"])
    axis.set(ylabel="decay, 0 none to 2 significant", title=f"Consistency over time{suffix}")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def draw_responses(out: Path, simulated: bool) -> list[Path]:
    """`<out>/figures/user_study_responses_*.png` from the tables that `report_responses.build_responses` wrote."""
    tables, drawn = Path(out) / "tables", Path(out) / "figures"
    suffix = ", SIMULATED PARTICIPANTS" if simulated else ""
    paths = []
    for key, draw in (("rates", response_rates), ("ranking", response_ranking), ("decay", response_decay)):
        table = pd.read_csv(tables / f"user_study_responses_{key}.csv")
        if len(table):
            paths.append(save(draw(table, suffix), drawn / f"user_study_responses_{key}.png"))
    return paths
