"""Records of `speed` and `numerics` → tables with the paper's value, ours and their ratio.

Weights were random: the tables speak of time and memory, and of rounding.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from repro.config import CONFIG_DIR, load_scale
from repro.evaluation.speed_rows import SpeedRow, load_speed, rows_of
from repro.evaluation.statistics import Line, straight_line
from repro.files import write_text
from repro.reporting import paper, printed, records, render, speedups
from repro.reporting.render import DASH, Document, Section, significant, with_range

UNTRAINED = "Untrained blocks add little to the residual stream: trained weights may show larger errors."
RANDOM = "Random weights: speed and memory do not depend on their values, and nothing here speaks of quality."
PREDICTED = (
    "Predictions were written down from counted operations and the measured rates of single kernels, before a rung was "
    "first run with the kernels that it has here."
)
METRICS = {
    "throughput_fps": "Throughput, frame/s",
    "in_flight_latency_s": "In-flight latency, s",
    "first_frame_latency_s": "First-frame latency, s",
    "total_s": "Whole video, s",
    "decode_s": "Decoding, s",
    "memory_gb": "Peak memory, GB",
    "share_of_peak": "Share of bf16 peak, %",
}
PRINTED_AS = {"decode_s": "decoding_s"}
"""Our metric → the paper's name, where they differ."""
SPEED_TABLES = {
    "table1": ("throughput_fps", "first_frame_latency_s"),
    "table3": ("in_flight_latency_s", "throughput_fps", "first_frame_latency_s"),
    "table4": ("in_flight_latency_s", "memory_gb"),
    "table5": ("in_flight_latency_s", "throughput_fps", "first_frame_latency_s"),
    "table6": ("in_flight_latency_s", "throughput_fps", "first_frame_latency_s"),
    "table7": ("throughput_fps", "first_frame_latency_s"),
    "table8": ("decode_s", "throughput_fps"),
}
LADDER = ("total_s", "throughput_fps", "in_flight_latency_s", "first_frame_latency_s", "memory_gb")


@dataclass(frozen=True)
class Measured:
    """Records of a folder's files, of one device; each file holds what one process timed, turn by turn."""

    files: dict[str, records.Keyed]
    """By file, (row, metric)."""
    numerics: list[records.Record]
    device: str

    def sources(self, table: str) -> dict[str, str]:
        """Measured rows of a table, in the order of speed.csv, and the file of each.

        Rows of several tables may have been timed more than once: a row's peers come first, so files with more of
        the table's rows go before others, and of equals one that is named after the table.
        """
        rows = [r.row for r in rows_of([table])]

        def peers(file: str) -> tuple[int, bool]:
            return sum((row, "total_s") in self.files[file] for row in rows), table in file.split("_")

        files = sorted(self.files, key=peers, reverse=True)
        holders = {row: [f for f in files if (row, "total_s") in self.files[f]] for row in rows}
        return {row: found[0] for row, found in holders.items() if found}

    def complete(self, table: str) -> bool:
        """Every row was measured: half a table would be read as a whole one."""
        return len(self.sources(table)) == len(rows_of([table]))

    def records(self, table: str) -> dict[str, dict[str, records.Record]]:
        """By row and metric, the records of a table."""
        return {
            row: {m: r for (name, m), r in self.files[file].items() if name == row}
            for row, file in self.sources(table).items()
        }


def load(folder: Path) -> Measured:
    """Every `*.json` of a folder. Raises ReproError where there is none, and for devices that differ."""
    found = records.of_one_device(folder, "measure them with python -m repro speed, on a GPU")
    known, files = load_speed(), {p.stem: records.read(p) for p in sorted(Path(folder).glob("*.json"))}
    numerics = files.pop("numerics", [])  # by engine: one may be called as a row of speed.csv is
    timed = {f: records.keyed((r for r in read if r.run_id in known), f) for f, read in files.items()}
    return Measured(timed, numerics, found[0].device)


def _settings(config: SpeedRow, profile: str) -> dict:
    """What a row's schedule and mode are called; those of many steps by the steps of their scale."""
    schedule, mode = config.schedule, config.cache
    if config.many_step:
        schedule = f"{load_scale(profile).flow.teacher_steps} steps, guided"
        mode = config.sampler if config.lag is None else f"{config.sampler}, lag {config.lag}"
    return {"row": config.row, "schedule": schedule, "mode": mode, "window_frames": config.window_frames}


def frame(measured: Measured, table: str, config_dir: Path = CONFIG_DIR) -> pd.DataFrame:
    """One row a configuration: settings, `<metric>`, `_low`, `_high`, `_n`, and `_paper`, `_ratio` where printed.

    A table with a baseline has gains over it beside them (`speedups`).
    """
    printed, sheet, rows = paper.table(int(table[5:]), config_dir), load_speed(config_dir), []
    for name, timed in measured.records(table).items():
        total = timed["total_s"]
        row = _settings(sheet[name], total.profile)
        if "engine" in total.versions:
            row["engine"] = total.versions["engine"]
        row |= {m: timed[m].value for m in ("paper_nfe", "forwards") if m in timed}
        for metric in (*SPEED_TABLES[table], "share_of_peak"):
            found = timed.get(metric)
            if found is None:
                continue
            row |= {
                metric: found.value,
                f"{metric}_low": found.low,
                f"{metric}_high": found.high,
                f"{metric}_n": found.n,
            }
            cell = printed.get((name, PRINTED_AS.get(metric, metric)))
            if cell is not None:
                row[f"{metric}_paper"] = float(cell.value)
                row[f"{metric}_ratio"] = float("nan") if cell.for_reference else found.value / float(cell.value)
        rows.append(row)
    data = pd.DataFrame(rows)
    return speedups.add(data, table, printed) if table in speedups.BASELINE else data


def ladder_frame(measured: Measured) -> pd.DataFrame:
    """Rungs in order: seconds a video with quartiles, what was predicted, and the gain over the rung before."""
    sheet, rows = load_speed(), []
    for name, timed in measured.records("ladder").items():
        total = timed["total_s"]
        config = sheet[name]
        row = {"rung": name, "schedule": config.schedule, "mode": config.cache, "window_frames": config.window_frames}
        row |= {
            "decoder": config.decoder,
            "engine": config.engine,
            "total_s_low": total.low,
            "total_s_high": total.high,
        }
        row |= {
            m: timed[m].value if m in timed else None for m in (*LADDER, "share_of_peak", "predicted_s", "forwards")
        }
        row["gain"] = rows[-1]["total_s"] / total.value if rows else 1.0
        row["n"] = total.n
        rows.append(row)
    return pd.DataFrame(rows)


def _cell(row: pd.Series, metric: str, scale: float = 1.0) -> str:
    value, low, high = (row.get(f"{metric}{end}") for end in ("", "_low", "_high"))
    if value is None or pd.isna(value):
        return DASH
    if low is None or pd.isna(low):
        return significant(value * scale)
    return with_range(value * scale, low * scale, high * scale, significant)


def section(measured: Measured, table: str) -> Section:
    """A table as people read it."""
    data = frame(measured, table)
    columns = [("", "Row"), ("", "Schedule"), ("", "Mode"), ("", "Window"), ("", "Paper NFE"), ("", "Forwards")]
    gains = speedups.GAINS if table in speedups.BASELINE else {}
    shown, labels = (*SPEED_TABLES[table], *gains), METRICS | gains
    for metric in shown:
        columns += [(labels[metric], part) for part in ("paper", "ours", "ratio")]
    columns.append(("", METRICS["share_of_peak"]))
    count = f"{shown[0]}_n"
    uneven = data[count].nunique() > 1
    columns += [("", "n")] * uneven + [("", "Engine")] * ("engine" in data)
    rows = []
    for _, row in data.iterrows():
        cells = [row["row"], row["schedule"], row["mode"]]
        cells += [
            DASH if row[m] is None or pd.isna(row[m]) else f"{row[m]:.0f}"
            for m in ("window_frames", "paper_nfe", "forwards")
        ]
        for metric in shown:
            said, ratio = row.get(f"{metric}_paper"), row.get(f"{metric}_ratio")
            has = said is not None and not pd.isna(said)
            cells += [f"{said:.4g}" if has else DASH, _cell(row, metric), significant(ratio) if has else DASH]
        cells.append(_cell(row, "share_of_peak", 100))
        cells += [f"{row[count]:.0f}"] * uneven + ([row["engine"]] if "engine" in data else [])
        rows.append(tuple(cells))
    caption = f"Table {table[5:]}, timing at paper scale, on {measured.device}"
    return Section(f"speed-{table}", caption, tuple(columns), tuple(rows))


def ladder_section(measured: Measured) -> Section:
    data = ladder_frame(measured)
    columns = [("", "Rung"), ("", "Engine"), ("", "Forwards"), ("", "Predicted, s")]
    columns += [("", METRICS[m]) for m in LADDER] + [("", "Gain over the rung before"), ("", METRICS["share_of_peak"])]
    rows = []
    for _, r in data.iterrows():
        head = (r["rung"].replace("_", " "), r["engine"], f"{r['forwards']:.0f}", significant(r["predicted_s"]))
        cells = tuple(_cell(r, m) for m in LADDER)
        rows.append((*head, *cells, f"{r['gain']:.2f}×", _cell(r, "share_of_peak", 100)))
    return Section("speed-ladder", f"The ladder, on {measured.device}", tuple(columns), tuple(rows))


def numerics_frame(measured: Measured) -> pd.DataFrame:
    """One row an engine: relative errors against the plain model in fp32."""
    rows: dict[str, dict] = {}
    for r in measured.numerics:
        rows.setdefault(r.run_id, {"engine": r.run_id})[r.metric] = r.value
    return pd.DataFrame(rows.values())


def numerics_section(measured: Measured) -> Section:
    data = numerics_frame(measured)
    metrics = [c for c in data.columns if c != "engine"]
    columns = (("", "Engine"), *(("", m.replace("_", " ")) for m in metrics))
    rows = tuple((r["engine"], *(f"{r[m]:.5f}" for m in metrics)) for _, r in data.iterrows())
    return Section(
        "speed-numerics", f"Relative error against the plain fp32 model, on {measured.device}", columns, rows
    )


def markdown(shown: Section) -> str:
    """One table alone, for a notebook that says the rest."""
    return render.markdown(Document((shown,), ()))


def linearity(measured: Measured) -> dict[str, Line]:
    """Table 4: straight lines of latency (s) and memory (GB) over the window; ours and the paper's."""
    data, lines = frame(measured, "table4"), {}
    for metric in SPEED_TABLES["table4"]:
        for whose, column in (("ours", metric), ("paper", f"{metric}_paper")):
            x, y = data["window_frames"].to_numpy(float), data[column].to_numpy(float)
            lines[f"{metric}_{whose}"] = straight_line(x, y)
    return lines


def departures(measured: Measured, metric: str) -> tuple[float, float]:
    """Least and largest departure from a line, as a share of the range, that the quartiles of Table 4's rows allow."""
    data = frame(measured, "table4")
    x, middle = data["window_frames"].to_numpy(float), data[metric]
    ends = zip(*(data[f"{metric}_{end}"].astype(float).fillna(middle) for end in ("low", "high")), strict=True)
    found = [straight_line(x, np.array(y)).worst for y in (middle.to_numpy(float), *product(*ends))]
    return min(found), max(found)


def linearity_notes(measured: Measured) -> tuple[str, ...]:
    """What the lines say, in sentences."""
    frames = {load_speed()[name].frames for name in measured.sources("table4")}
    said = [
        f"Videos of {', '.join(map(str, sorted(frames)))} frames, so that every window is full before the last chunk."
    ]
    for name, line in linearity(measured).items():
        metric, whose = name.rsplit("_", 1)
        said.append(
            f"{METRICS[metric]}, {whose}: {line.slope:.4f} more for each latent frame of the window "
            f"(straight line, R² {line.r2:.3f}; largest departure {100 * line.worst:.0f}% of the range)."
        )
    steps = ", ".join(sorted({load_speed()[name].schedule for name in measured.sources("table4")}))
    said.append(
        f"The paper's chunks take {printed.load()['text.steps.table4'].value:g} steps each (appendix F), ours are "
        f"those of {steps}: ratios of latency hold that difference too. Ours is the memory without a text encoder, "
        "which the paper's seems to hold (audit.md): no verdict is drawn from that ratio."
    )
    return tuple(said)


def _turns(measured: Measured, table: str) -> str:
    """How often the rows were timed, and beside which."""
    rounds = sorted({timed["total_s"].n for timed in measured.records(table).values()})
    together: dict[str, list[str]] = {}
    for row, file in measured.sources(table).items():
        together.setdefault(file, []).append(row)
    if len(together) == 1:
        often = f"{rounds[0]} rounds" if len(rounds) == 1 else "n rounds (of the first ones, where n is smaller)"
        return f"{often} in which every row had one turn, in one process"
    apart = "; ".join(", ".join(group) for group in together.values())
    return (
        "n rounds (of the first ones, where n is smaller) in which every row of a process had one turn. Timed "
        f"together, in a process each: {apart}"
    )


def notes(measured: Measured, table: str) -> tuple[str, ...]:
    """What a reader of a table, or of the `ladder`, needs beside the numbers."""
    found = {(m, r.value) for timed in measured.records(table).values() for m, r in timed.items()}
    clocks = [v for m, v in found if m == "clocks_sm_after"]
    limits = {v for m, v in found if m == "power_limit_after"}
    lines = [
        RANDOM,
        f"Ours: median [quartiles] of {_turns(measured, table)}; batch 1; decoding included, text encoding not."
        + (" Ratio: ours divided by the paper's." if table != "ladder" else ""),
        "FLOPs of the share are those of the DiT, over the whole video's time.",
    ]
    if table == "ladder" or "in_flight_latency_s" in SPEED_TABLES[table]:
        lines.append("In-flight latency: from the delivery of the last but one chunk to that of the last.")
    starred = [c for c in paper.load() if f"table{c.table}" == table and c.for_reference]
    if starred:
        lines.append(
            f"The paper calls its {METRICS[starred[0].metric]} of {', '.join(c.row for c in starred)} an average, for "
            "reference only: another quantity than ours, so that no ratio is told."
        )
    if table in speedups.BASELINE:
        lines += [*speedups.SYSTEMS, *speedups.across(measured.sources(table), table)]
    if clocks:
        ends = " to ".join(f"{c:.0f}" for c in sorted({min(clocks), max(clocks)}))
        lines.append(
            f"SM clock, read once after the rounds, {ends} MHz, power limit "
            f"{', '.join(f'{w:.0f}' for w in sorted(limits))} W."
        )
    return tuple(lines)


def build(folder: Path, out: Path) -> list[Path]:
    """Write `tables/{tableN,ladder,numerics}.{csv,md,html,tex}` of all whose rows the folder has."""
    measured, texts = load(folder), {}
    documents: dict[str, tuple[pd.DataFrame, Document]] = {}
    for table in SPEED_TABLES:
        if measured.complete(table):
            extra = linearity_notes(measured) if table == "table4" else ()
            documents[table] = (
                frame(measured, table),
                Document((section(measured, table),), (*notes(measured, table), *extra)),
            )
    if measured.complete("ladder"):
        said = (*notes(measured, "ladder"), PREDICTED)
        documents["ladder"] = (ladder_frame(measured), Document((ladder_section(measured),), said))
    if measured.numerics:
        documents["numerics"] = (numerics_frame(measured), Document((numerics_section(measured),), (RANDOM, UNTRAINED)))
    for name, (data, document) in documents.items():
        stem = Path(out) / "tables" / name
        stamped = data.assign(device=measured.device, weights="random")
        texts[stem.with_suffix(".csv")] = stamped.to_csv(index=False, float_format="%.6g")
        texts[stem.with_suffix(".md")] = render.markdown(document)
        texts[stem.with_suffix(".html")] = render.html(document)
        texts[stem.with_suffix(".tex")] = render.latex(document)
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)
