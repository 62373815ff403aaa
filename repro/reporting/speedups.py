"""How many times faster the systems of a table are than one of them, ours and the paper's."""

import pandas as pd

from repro.reporting.paper import Cell

BASELINE = {"table1": "wan2_1"}
"""Table → the row that its others are held against."""
GAINS = {
    "speedup": "First frame sooner than Wan2.1's, ×",
    "throughput_gain": "Throughput over Wan2.1's, ×",
}
SYSTEMS = (
    "wan2_1: a bidirectional model, two forwards of the whole video a step; nothing is shown before its last step. "
    "skyreels_v2: SkyReels-V2's staircase of noise, the timestep matrix of diffusers' pipeline; keys and values of "
    "finished chunks are kept, which that pipeline computes again. magi_1: MAGI-1-style, at most four chunks in "
    "flight, at the size of this model, not of MAGI-1's own.",
    "All six have this model's size, engine and tiny decoder. Forwards of many steps are launched kernel by kernel, "
    "without CUDA graphs: each keeps the GPU busy for longer than that takes. They are warmed up by a few steps, in "
    "which every number of chunks in flight comes up.",
    "Sooner: Wan2.1's first-frame latency divided by the row's, ranges from opposite quartiles. The paper's gains in "
    "throughput are ratios of what it prints.",
)


def add(data: pd.DataFrame, table: str, printed: dict[tuple[str, str], Cell]) -> pd.DataFrame:
    """`data` with columns of gains over the table's baseline: `<gain>`, `_low`, `_high`, `_paper`, `_ratio`.

    The baseline's own, 1 by definition, have no range.

    Takes the columns `first_frame_latency_s` and `throughput_fps` with their `_low`, `_high` and `_paper`.
    """
    data = data.copy()
    base = data.set_index("row").loc[BASELINE[table]]
    latency, rate = "first_frame_latency_s", "throughput_fps"
    for end, other in (("", ""), ("_low", "_high"), ("_high", "_low")):
        data[f"speedup{end}"] = base[f"{latency}{end}"] / data[f"{latency}{other}"]
        data[f"throughput_gain{end}"] = data[f"{rate}{end}"] / base[f"{rate}{other}"]
    data["speedup_paper"] = [float(printed[row, "speedup"].value) for row in data["row"]]
    data["throughput_gain_paper"] = data[f"{rate}_paper"] / base[f"{rate}_paper"]
    for gain in GAINS:
        data.loc[data["row"] == BASELINE[table], [f"{gain}_low", f"{gain}_high"]] = float("nan")
        data[f"{gain}_ratio"] = data[gain] / data[f"{gain}_paper"]
    return data


def across(sources: dict[str, str], table: str) -> list[str]:
    """A note on rows that another process timed than the baseline; `sources` has the file of every row."""
    base = BASELINE[table]
    other = [row for row, file in sources.items() if file != sources[base]]
    if not other:
        return []
    return [f"Gains of {', '.join(other)} over {base} are of medians of two processes, on cards of the same kind."]


def told(data: pd.DataFrame, table: str) -> str:
    """How much sooner each system shows its first frames than the baseline, and how many times its throughput."""
    base = BASELINE[table]
    lines = [
        f"{row['row']}: first frame {row['speedup']:.3g}× as soon as {base}'s (paper {row['speedup_paper']:.4g}×), "
        f"throughput {row['throughput_gain']:.3g}× (paper {row['throughput_gain_paper']:.3g}×)."
        for _, row in data.iterrows()
        if row["row"] != base
    ]
    return "\n".join(lines)
