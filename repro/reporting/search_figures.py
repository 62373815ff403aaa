"""Figures of the schedule search."""

import numpy as np
from matplotlib.figure import Figure

from repro.evaluation.statistics import interval_of
from repro.reporting.figures import VERDICTS, panels
from repro.reporting.search import COSTS, PAPER, Search, fronts, kinds, worth

KINDS = {True: ("#0072B2", "o", "monotone"), False: ("#E69F00", "D", "other")}


def front(found: Search) -> Figure:
    """Total of the finalists against forwards and against latency; the line is the front.

    Bars are 95% intervals of the difference to the mean of all finalists on the same prompts.
    """
    table = fronts(found)
    # Most of what varies from prompt to prompt is common to all finalists, and tells none of them apart.
    apart = found.draws_RF - found.draws_RF.mean(1, keepdims=True) + table["total"].mean()
    bounds = np.array([interval_of(d) for d in apart.T])
    figure, axes = panels(1, 2, (13, 6), sharey=True)
    for axis, (cost, label) in zip(axes[0], COSTS.items(), strict=True):
        scale = 1000 if cost.endswith("_s") else 1
        for monotone, (colour, marker, name) in KINDS.items():
            chosen = table[table["monotone"] == monotone]
            bars = np.stack([chosen["total"] - bounds[chosen.index, 0], bounds[chosen.index, 1] - chosen["total"]])
            axis.errorbar(
                scale * chosen[cost], 100 * chosen["total"], yerr=100 * bars.clip(min=0), fmt=marker, color=colour,
                label=name, elinewidth=0.6, markersize=5,
            )  # fmt: skip
        paper = table[table["paper"]]
        axis.plot(scale * paper[cost], 100 * paper["total"], "s", markersize=11, markerfacecolor="none", color="black",
                  label="in the paper")  # fmt: skip
        mine = table[table["schedule"] == PAPER]
        axis.plot(scale * mine[cost], 100 * mine["total"], "*", markersize=15, color="#D55E00", label=PAPER)
        edge = table[table[f"front_{cost}"]].sort_values(cost)
        axis.step(scale * edge[cost], 100 * edge["total"], where="post", color="#737373", linewidth=1, zorder=0)
        for row in edge.to_dict("records"):
            place = (scale * row[cost], 100 * row["total"])
            # Up and to the left of the front there is nothing.
            axis.annotate(row["schedule"], place, textcoords="offset points", xytext=(-6, 8), fontsize=7, ha="right")
        axis.set(xlabel=label.replace(", s", ", ms"))
    axes[0, 0].set_ylabel("Total, %")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    first = found.records[0]
    prompts = len(found.clips) // len(first.seeds)
    figure.suptitle(
        f"Schedule search: profile {first.profile}, {len(table)} finalists of {len(found.screened)}, {prompts} "
        f"prompts, training seeds {first.seeds}, {first.device}",
        fontsize=10,
    )
    return figure


def shape(found: Search) -> Figure:
    """Left: best monotone less best other schedule. Right: what each number of steps is worth in each chunk."""
    figure, axes = panels(1, 2, (12, 4))
    left, right = axes[0]
    told, (mean, draws) = kinds(found)
    for name, (colour, marker) in VERDICTS.items():
        rows = told[told["verdict"] == name]
        bars = np.stack([rows["difference"] - rows["low"], rows["high"] - rows["difference"]]).clip(min=0)
        left.errorbar(
            rows["forwards"] + 0.12 * (rows["first"] - 3),
            100 * rows["difference"],
            yerr=100 * bars,
            fmt=marker,
            color=colour,
            label=name,
        )
    low, high = interval_of(draws)
    left.axhspan(100 * low, 100 * high, color="#0072B2", alpha=0.15, label="mean")
    left.axhline(100 * mean, color="#0072B2", linewidth=1)
    left.axhline(0, color="black", linewidth=1)
    left.set(xlabel="forwards (side by side: few to many steps in the first chunk)",
             ylabel="monotone − other, points of Total")  # fmt: skip
    left.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.15), ncols=4)
    table = worth(found)
    for k, (steps, rows) in enumerate(table.groupby("steps")):
        bars = np.stack([rows["worth"] - rows["low"], rows["high"] - rows["worth"]]).clip(min=0)
        aside = 0.12 * (k - (table["steps"].nunique() - 1) / 2)
        right.errorbar(
            rows["chunk"] + aside, 100 * rows["worth"], yerr=100 * bars, fmt="o", color=f"C{k}", markersize=4,
            elinewidth=0.8, label=f"{steps}",
        )  # fmt: skip
    right.axhline(0, color="black", linewidth=1)
    right.set(
        xlabel="chunk", ylabel="effect of its steps, points of Total",
        title=f"{table['schedules'][0]} random schedules, {table['prompts'][0]} prompts",
    )  # fmt: skip
    right.title.set_fontsize(9)
    right.legend(title="steps", fontsize=8, ncols=2)
    return figure
