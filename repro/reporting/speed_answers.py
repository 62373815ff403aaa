"""Sentences of the speed notebook, made from its data."""

import pandas as pd

from repro.reporting.speed import UNTRAINED

TARGETS = {"throughput_fps": 100.0, "in_flight_latency_s": 0.125, "first_frame_latency_s": 0.17, "memory_gb": 9.0}
"""What bf16 was to reach on one H100: at least the first, at most the others."""
FP8_TARGET_FPS = 130.0


def _against(value: float, target: float, at_least: bool) -> str:
    met = value >= target if at_least else value <= target
    return f"{value:.3g} ({'met' if met else 'missed'}: {'at least' if at_least else 'at most'} {target:g})"


def ladder(rungs: pd.DataFrame) -> str:
    """How far the rungs came, and whether the targets were reached."""
    first, bf16 = rungs.iloc[0], rungs.set_index("rung").loc["overlapped_decoding"]
    fp8 = rungs[rungs["engine"].str.startswith("fp8")]
    best = fp8.loc[fp8["throughput_fps"].idxmax()]
    gains = rungs.iloc[1:].set_index("rung")["gain"].sort_values(ascending=False)
    named = ", ".join(f"{name.replace('_', ' ')} {gain:.2f}×" for name, gain in gains.items())
    reached = "; ".join(
        f"{metric} {_against(bf16[metric], target, metric == 'throughput_fps')}" for metric, target in TARGETS.items()
    )
    return (
        f"From {first['total_s']:.2f} s to {bf16['total_s']:.3f} s in bf16, {first['total_s'] / bf16['total_s']:.1f}× "
        f"({100 * bf16['share_of_peak']:.0f}% of the bf16 peak), and to {best['total_s']:.3f} s with fp8.\n"
        f"bf16: {reached}.\n"
        f"fp8: throughput_fps {_against(best['throughput_fps'], FP8_TARGET_FPS, True)}.\n"
        f"Gains, each over the rung before: {named}."
    )


def forcing(table: pd.DataFrame) -> str:
    """Diagonal against Self at the same schedule: ratios of throughput and in-flight latency, ours and the paper's."""
    by_mode = {mode: rows.set_index("schedule") for mode, rows in table.groupby("mode")}
    lines = []
    for schedule in by_mode["diagonal"].index.intersection(by_mode["self"].index):
        d, s = by_mode["diagonal"].loc[schedule], by_mode["self"].loc[schedule]
        ratios = [
            d[f"{metric}{whose}"] / s[f"{metric}{whose}"]
            for metric in ("throughput_fps", "in_flight_latency_s")
            for whose in ("", "_paper")
        ]
        lines.append(
            f"{schedule}: throughput {ratios[0]:.2f}× (paper {ratios[1]:.2f}×), in-flight latency {ratios[2]:.2f}× "
            f"(paper {ratios[3]:.2f}×)"
        )
    return "Diagonal divided by Self, window 12 against 18:\n" + "\n".join(lines)


def numerics(table: pd.DataFrame) -> str:
    """The engines' largest step errors beside plain bf16's."""
    by = table.set_index("engine")
    plain = by.loc["eager"]
    worst, long = "video_step_error_max", "long_step_error_max"
    lines = [
        f"{engine}: largest error of a step {row[worst]:.4f} in a video, {row[long]:.4f} in the long roll "
        f"(plain bf16 {plain[worst]:.4f} and {plain[long]:.4f})"
        for engine, row in by.iterrows()
        if engine != "eager"
    ]
    return "\n".join([*lines, UNTRAINED])
