"""Figures of attention windows."""

import numpy as np
from matplotlib.figure import Figure

from repro.evaluation.statistics import straight_line
from repro.reporting import paper
from repro.reporting.comparisons import PERCENT
from repro.reporting.figures import panels
from repro.reporting.windows import COSTS, Windows, claimed

SINKS = ("#0072B2", "o-"), ("#D55E00", "D--")
PAPER = "#737373"


def _label(sink: int) -> str:
    return f"sink of {sink}" if sink else "no sink"


def total(found: Windows) -> Figure:
    """Left: Total of the last part against the window. Right: less the widest window's, paired. 95% intervals."""
    figure, axes = panels(1, 2, (12, 4.4))
    left, right = axes[0]
    widest = found.pairs[found.pairs["against"] == "widest"]
    for place, (sink, (colour, style)) in enumerate(zip(found.sinks, SINKS, strict=False)):
        # Beside one another, so that both intervals are seen.
        mine, aside = [w for w in found.rows if w.sink == sink], 0.35 * place
        read = np.array(
            [[getattr(found.records[w.name, "total_last"], k) for k in ("value", "low", "high")] for w in mine]
        )
        value, low, high = PERCENT * read.T
        bars = np.stack([value - low, high - value]).clip(min=0)
        frames = np.array([w.frames for w in mine])
        look = {"fmt": style, "color": colour, "label": _label(sink), "capsize": 2, "linewidth": 1.2}
        left.errorbar(frames + aside, value, yerr=bars, **look)
        rows = widest[widest["sink"] == sink]
        bars = np.stack([rows["difference"] - rows["low"], rows["high"] - rows["difference"]]).clip(min=0)
        right.errorbar(rows["window"] + aside, rows["difference"], yerr=bars, **look)
    said = [(w.frames, float(paper.table(4)[w.name, "total"].value)) for w in found.rows if not w.sink]
    last = said[-1][1]
    right.plot(*zip(*((x, y - last) for x, y in said[:-1]), strict=True), "X:", color=PAPER, label="paper, no interval")
    right.axhline(0, color="black", linewidth=1)
    frames = [x for x, _ in said]
    for axis, label in ((left, "Total of the last part, %"), (right, "less the widest window's, points")):
        axis.axvline(claimed(), color=PAPER, linewidth=1, dashes=(4, 3))
        axis.set(xlabel="window, latent frames (dashed: the paper's plateau)", ylabel=label, xticks=frames)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.suptitle(
        f"Attention windows: profile {next(iter(found.records.values())).profile}, {found.clips} videos a window, "
        f"training seeds {found.seeds}, {found.device}",
        fontsize=10,
    )
    return figure


def cost(found: Windows) -> Figure:
    """Latency of a chunk and bytes of the cache against the window, each with its straight line."""
    figure, axes = panels(1, 2, (11, 3.6))
    for axis, (metric, (label, scale)) in zip(axes[0], COSTS.items(), strict=True):
        for sink, (colour, style) in zip(found.sinks, SINKS, strict=False):
            frames, values = found.cost(metric, sink)
            kept = [found.records[w.name, metric] for w in found.rows if w.sink == sink]
            # Quartiles; bytes are exact.
            ends = scale * np.array(
                [(r.value if r.low is None else r.low, r.value if r.high is None else r.high) for r in kept]
            )
            bars = np.stack([values - ends[:, 0], ends[:, 1] - values]).clip(min=0)
            axis.errorbar(frames, values, yerr=bars, fmt=style[0], color=colour, capsize=2, label=_label(sink))
        line = straight_line(*found.cost(metric))
        frames = found.cost(metric)[0]
        axis.plot(frames, line.start + line.slope * frames, color=PAPER, linewidth=1, label="straight line, no sink")
        axis.set(xlabel="window, latent frames", ylabel=label, ylim=(0, None), xticks=frames)
    axes[0, 0].legend(fontsize=8)
    clock = found.records[found.rows[0].name, "in_flight_latency_s"]
    figure.suptitle(f"One video at batch 1, {clock.n} chunks a window, {clock.device}", fontsize=10)
    return figure
