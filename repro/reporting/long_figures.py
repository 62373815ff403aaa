"""Figures of long videos: measures against time, latency and memory chunk by chunk, stills."""

from pathlib import Path

from matplotlib.figure import Figure

from repro.config import REAL
from repro.reporting import stored
from repro.reporting.figures import panels, side_by_side
from repro.reporting.long_video import NAMES, SCALE, Long

LOOKS = {
    "self": ("#D55E00", "-"),
    "diagonal": ("#0072B2", "-"),
    "diagonal_cyclic": ("#56B4E9", "--"),
    "causvid": ("#009E73", "-."),
    "teacher_forced": ("#CC79A7", ":"),
}


def look(system: str) -> tuple[str, str]:
    return LOOKS.get(system, ("#737373", "-"))


def _videos(curves) -> str:
    """Such as `192 videos`, or `64 to 192` where systems differ; real clips are no system's."""
    numbers = sorted(set(curves[curves["system"] != REAL]["n"]))
    return f"{' to '.join(str(n) for n in dict.fromkeys((numbers[0], numbers[-1])))} videos"


def against_time(long: Long) -> Figure:
    """One row a measure, one column a roll; bands are 95% intervals, the dashed line is real clips."""
    curves, rolls = long.curves, long.rolls
    shown = [m for m in NAMES if m in set(curves["measure"])]
    seeds = long.scores.groupby("system")["seed"].nunique().to_dict()
    figure, axes = panels(len(shown), len(rolls), (5.5 * len(rolls), 2.1 * len(shown) + 0.8), sharex="col")
    for row, measure in enumerate(shown):
        for column, roll in enumerate(rolls):
            axis, scale = axes[row, column], SCALE[measure]
            chosen = curves[(curves["measure"] == measure) & (curves["roll"] == roll)]
            for system in long.systems:
                mine = chosen[chosen["system"] == system]
                colour, style = look(system)
                label = f"{system}, {seeds[system]} training seed{'s' * (seeds[system] > 1)}"
                axis.plot(mine["start_s"], scale * mine["value"], style, color=colour, label=label, linewidth=1.4)
                axis.fill_between(mine["start_s"], scale * mine["low"], scale * mine["high"], color=colour, alpha=0.15)
            for value in chosen.loc[chosen["system"] == REAL, "value"]:
                axis.axhline(scale * value, color="black", linewidth=1, dashes=(4, 3), label="real clips")
            if chosen.empty:
                axis.set_yticks([])
                axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", va="center", color="grey")
            axis.set_ylabel(NAMES[measure] if column == 0 else "")
            if row == 0:
                axis.set_title(f"{roll:g} s, {_videos(chosen)} a system", fontsize=10)
            if row == len(shown) - 1:
                axis.set_xlabel("seconds")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    first = next(r for r in long.measured if r.run_id != REAL)
    figure.suptitle(f"Long videos: profile {first.profile}, {first.device}", fontsize=11)
    return figure


def pace(long: Long) -> Figure:
    """Seconds between chunks, and memory in use, against the time in the video."""
    figure, axes = panels(1, 2, (11, 3.4))
    for system, rows in long.pace.groupby("system", sort=False):
        colour, style = look(system)
        axes[0, 0].plot(rows["until_s"], 1000 * rows["seconds"], style, color=colour, linewidth=0.9, label=system)
        axes[0, 1].plot(rows["until_s"], rows["memory_mib"], style, color=colour, linewidth=1.2, label=system)
    axes[0, 0].set(xlabel="seconds of video", ylabel="latency of a chunk, ms", ylim=(0, None))
    axes[0, 1].set(xlabel="seconds of video", ylabel="memory in use, MiB", ylim=(0, None))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    figure.suptitle(f"One video at batch 1 on {next(iter(long.clocked.values())).device}", fontsize=11)
    return figure


def stills(folder: Path, systems: list[str]) -> Figure:
    """First frames of segments of the longest roll: one row a system, one block a prompt."""
    films = {}
    for system in systems:
        films[system] = stored.arrays(
            Path(folder) / system / "frames.npz", "snakemake --cores all long", ("frames", "captions", "seconds")
        )
    frames, captions, seconds = films[systems[0]]
    figure = Figure(figsize=(12, 1.35 * len(systems) * len(captions) + 0.6), layout="constrained")
    axes = figure.subplots(len(captions) * len(systems), 1, squeeze=False)[:, 0]
    for place, axis in enumerate(axes):
        prompt, system = divmod(place, len(systems))
        axis.imshow(side_by_side(films[systems[system]][0][prompt]), interpolation="nearest")
        axis.set_yticks([frames.shape[2] / 2], [systems[system]], fontsize=8)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        wide = axis.get_images()[0].get_array().shape[1] / len(seconds)
        axis.set_xticks([wide * (i + 0.5) for i in range(len(seconds))], [f"{s:.0f} s" for s in seconds], fontsize=7)
        if system == 0:
            axis.set_title(str(captions[prompt]), fontsize=8, loc="left")
    return figure
