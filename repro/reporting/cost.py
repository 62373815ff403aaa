"""Training cost: the logs' wall time, the counted FLOPs, and whole stages estimated from measured iterations."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from repro.config import Profile, load_devices, load_students
from repro.errors import ReproError
from repro.evaluation.training_cost import COST_VERSION, kinds, stage_fit, stages
from repro.files import write_atomic, write_text
from repro.reporting import records, render
from repro.reporting.render import DASH, Document, Section, significant, with_range
from repro.training.journal import LOG, read_log, read_run

NOT_RECORDED = "not recorded"
TERA = 1e12
UNITS = {
    "iterations": "iteration",
    "samples": "sample",
    "wall_s": "s",
    "samples_per_s": "sample/s",
    "tflop": "TFLOP",
    "tflop_per_s": "TFLOP/s",
    "bf16_share": "",
}


@dataclass(frozen=True)
class Logged:
    """One stage's log; `run` is its run.json, None for logs older than that."""

    name: str
    stage: str
    rows: pd.DataFrame
    run: dict | None

    @property
    def pieces(self) -> list[dict]:
        return self.run["pieces"] if self.run else []

    @property
    def iterations(self) -> int:
        return int(self.rows["iteration"].iloc[-1]) + 1

    def told(self, pick) -> str:
        """What the pieces say of themselves, each answer once."""
        return ", ".join(dict.fromkeys(pick(piece) for piece in self.pieces)) or NOT_RECORDED

    @property
    def seeds(self) -> list[int]:
        named = re.search(r"-s(\d+)$", self.name)
        return [self.run["seed"]] if self.run else [int(named[1])] if named else []

    def follows(self, profile: Profile) -> bool:
        """Did it train, to its end, as the profile says? Without run.json the number of iterations must do."""
        fit = stage_fit(profile, self.stage)
        same = self.run is None or self.run["fit"] == fit.model_dump(mode="json")
        return same and self.iterations == fit.iterations


def wall_seconds(seconds: pd.Series) -> float:
    """Time of all pieces. Old logs set their clock back in every piece: where it falls, a new one began."""
    after = seconds.shift(-1)
    return float(seconds[after.isna() | (after < seconds)].sum())


def read_logs(folder: Path) -> tuple[list[Logged], list[Logged]]:
    """All stages that have a log, in the order of training, and the other students. Raises ReproError where there is
    no stage."""
    found, others = {}, []
    for path in sorted(Path(folder).glob(f"*/{LOG}")):
        name, lines = path.parent.name, read_log(path)
        stage = re.sub(r"-s\d+$", "", name)
        if lines:
            log = Logged(name, stage, pd.DataFrame(lines), read_run(path.parent))
            if stage in stages():
                found[name] = log
            elif stage in load_students():
                others.append(log)
    if not found:
        raise ReproError(
            f"{folder} holds no <stage>/{LOG} of {', '.join(stages())}: choose the folder of training logs"
        )
    return sorted(found.values(), key=lambda log: (stages().index(log.stage), log.name)), others


def other_students(logs: list[Logged]) -> str:
    """One sentence on those that have no row."""
    walls = pd.Series([wall_seconds(log.rows["seconds"]) for log in logs])
    devices = ", ".join(dict.fromkeys(log.told(lambda p: p["device"]) for log in logs))
    return (
        f"Also trained, and not in these rows: {len(logs)} students of other tables on {devices}, median "
        f"{significant(walls.median())} s [{significant(walls.min())} to {significant(walls.max())}], "
        f"{significant(walls.sum() / 3600)} h in all; a log does not say what ran beside it."
    )


def read_measured(files: list[Path], profile: Profile) -> tuple[pd.DataFrame, list[str]]:
    """One row a stage and device, with the metrics as columns; and which were measured for another fit."""
    maker = f"python -m repro iterations --profile {profile.name}"
    known = [record for path in files for record in records.read(path, maker)]
    foreign = {r.profile for r in known} - {profile.name}
    if foreign:
        raise ReproError(f"measured iterations are of profile {', '.join(foreign)}, not {profile.name!r}")
    by_row: dict[tuple[str, str], records.Keyed] = {}
    for r in known:
        measured_at = records.Keyed({"torch": r.versions.get("torch", DASH)}, f"the iterations of {r.run_id}")
        row = by_row.setdefault((r.run_id, r.device), measured_at)
        row |= {r.metric: r.value}
        if r.low is not None:
            row |= {f"{r.metric}_low": r.low, f"{r.metric}_high": r.high, "runs": r.n}
    kept, left_out = [], []
    for (stage, device), row in by_row.items():
        if stage in stages() and row["samples"] == expected_samples(profile, stage):
            kept.append({"stage": stage, "device": device} | row)
        else:
            left_out.append(f"{stage} on {device}")
    if not kept:
        raise ReproError("no measured iteration belongs to this profile: run `python -m repro iterations` again")
    frame = pd.DataFrame(kept)
    return frame.sort_values("stage", key=lambda s: s.map(stages().index), kind="stable"), left_out


def expected_samples(profile: Profile, stage: str) -> int:
    return sum(kind.count * kind.samples for kind in kinds(stage_fit(profile, stage), stage))


def training(logs: list[Logged], measured: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """One row a log: how long it took and, where it followed the profile, at what rate it worked."""
    peaks, counted = load_devices(), measured.drop_duplicates("stage").set_index("stage")
    rows = []
    for log in logs:
        row = {"log": log.name, "stage": log.stage, "device": log.told(lambda p: p["device"])}
        row |= {"torch": log.told(lambda p: p["versions"]["torch"]), "pieces": len(log.pieces) or None}
        row |= {"iterations": log.iterations, "wall_s": wall_seconds(log.rows["seconds"])}
        if log.follows(profile) and log.stage in counted.index:
            one = counted.loc[log.stage]
            row |= {"samples": int(one["samples"]), "tflop": one["flop"] / TERA}
            row |= rates(row["samples"], row["tflop"], row["wall_s"], peaks.get(row["device"]))
        rows.append(row)
    columns = ["log", "stage", "device", "torch", "pieces", *UNITS]
    return pd.DataFrame(rows).reindex(columns=columns)


def estimates(measured: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """One row a stage and device: what its measured iterations come to over the whole stage."""
    peaks, rows = load_devices(), []
    for one in measured.to_dict("records"):
        n = one["iterations"]
        seconds = {f"stage_s{end}": n * one[f"seconds_per_iteration{end}"] for end in ("", "_low", "_high")}
        rows.append(
            {k: one[k] for k in ("stage", "device", "torch", "threads", "runs", "timed_batch")}
            | {"batch": stage_fit(profile, one["stage"]).batch, "iterations": n}
            | {"samples": one["samples"], "tflop": one["flop"] / TERA}
            | {k: one[k] for k in one if k.startswith("seconds_per_iteration")}
            | seconds
            | rates(one["samples"], one["flop"] / TERA, seconds["stage_s"], peaks.get(one["device"]))
        )
    return pd.DataFrame(rows)


def rates(samples: float, tflop: float, seconds: float, peak) -> dict[str, float]:
    """`peak` is the device's row of devices.csv, None where it has none."""
    made = {"samples_per_s": samples / seconds, "tflop_per_s": tflop / seconds}
    return made | ({"bf16_share": made["tflop_per_s"] / peak.bf16_tflops} if peak else {"bf16_share": None})


def losses(logs: list[Logged]) -> pd.DataFrame:
    """Loss curves: log, metric, iteration, value."""
    parts = [log.rows.assign(log=log.name) for log in logs]
    whole = pd.concat(parts, ignore_index=True).reindex(columns=["log", "iteration", "loss", "critic_loss"])
    tidy = whole.melt(["log", "iteration"], var_name="metric", value_name="value").dropna()
    order = {log.name: i for i, log in enumerate(logs)}
    return tidy.sort_values(["log", "metric", "iteration"], key=lambda c: c.map(order) if c.name == "log" else c)


def _percent(share) -> str:
    return DASH if pd.isna(share) else f"{significant(100 * share)}%"


def _whole(value) -> str:
    return DASH if pd.isna(value) else f"{int(value):,}"


def _training_section(table: pd.DataFrame, profile: Profile) -> Section:
    columns = ("Stage", "Device", "Torch", "Pieces", "Iterations", "Samples", "Wall, s", "Sample/s", "TFLOP", "TFLOP/s",
               "Share of bf16 peak")  # fmt: skip
    rows = tuple(
        (
            *(r.log, r.device, r.torch, _whole(r.pieces), _whole(r.iterations), _whole(r.samples)),
            *map(significant, (r.wall_s, r.samples_per_s, r.tflop, r.tflop_per_s)),
            _percent(r.bf16_share),
        )
        for r in table.itertuples()
    )
    return Section("cost", f"Training as logged: profile {profile.name}", tuple(("", c) for c in columns), rows)


def _estimate_section(table: pd.DataFrame, profile: Profile) -> Section:
    columns = ("Stage", "Device", "Batch", "Timed at batch", "Iterations", "GFLOP/sample", "Second/iteration",
               "Sample/s", "TFLOP/s", "Share of bf16 peak", "Whole stage, h")  # fmt: skip
    rows = tuple(
        (
            *(r.stage, r.device, _whole(r.batch), _whole(r.timed_batch), _whole(r.iterations)),
            significant(1000 * r.tflop / r.samples),
            _ranged(r, "seconds_per_iteration", 1),
            *map(significant, (r.samples_per_s, r.tflop_per_s)),
            *(_percent(r.bf16_share), _ranged(r, "stage_s", 3600)),
        )
        for r in table.itertuples()
    )
    caption = f"Training estimated from measured iterations: profile {profile.name}"
    return Section("cost_estimates", caption, tuple(("", c) for c in columns), rows)


def _ranged(row, name: str, unit: float) -> str:
    value, low, high = (getattr(row, f"{name}{end}") / unit for end in ("", "_low", "_high"))
    return with_range(value, low, high, significant)


def notes(logs: list[Logged], made: pd.DataFrame, guessed: pd.DataFrame, left_out: list[str], profile: Profile):
    """What a reader needs beside the numbers."""
    peaks = load_devices()
    used = [peaks[d] for d in dict.fromkeys([*made["device"], *guessed["device"]]) if d in peaks]
    silent = [s for s in stages() if s not in {log.stage for log in logs}]
    unmatched = [log.name for log in logs if not log.follows(profile)]
    old = [log.name for log in logs if log.run is None and log.follows(profile)]
    timed = "; ".join(
        f"{int(one['runs'])} on {one['device']} with {int(one['threads'])} CPU threads"
        for one in guessed.drop_duplicates("device").to_dict("records")
    )
    lines = [
        "Wall time runs from a piece's first iteration over all pieces, compilation and checkpoints included; "
        "rendering and encoding of the data and what a killed piece lost are not in it.",
        "A sample is a clip, a window of one (VAE, tiny decoder), or a video that the student rolled out. FLOPs are "
        "counted over the stages' own code: matrix products, convolutions and attention (masked attention as if "
        "dense), forward, backward and optimiser.",
        f"Estimates: median [quartiles] of repeated iterations of each kind ({timed}), times their number. "
        "Where the timed batch is smaller than the stage's, seconds are scaled by the FLOPs.",
    ]
    lines += [f"Dense bf16 peak of {p.device}: {p.bf16_tflops} TFLOP/s ({p.source})." for p in used]
    if silent:
        lines.append(f"No log of: {', '.join(silent)}.")
    if unmatched:
        lines.append(
            f"Trained otherwise than the profile says now, or unfinished; nothing counted: {', '.join(unmatched)}."
        )
    if old:
        lines.append(f"Batch not recorded, taken from the profile, whose iterations they made: {', '.join(old)}.")
    if left_out:
        lines.append(f"Left out, measured for another fit: {', '.join(left_out)}.")
    return tuple(lines)


def to_records(logs: list[Logged], table: pd.DataFrame, profile: Profile) -> list[records.Record]:
    """The logged numbers; device and versions are those of the pieces, where they are recorded."""
    made = []
    for log, row in zip(logs, table.to_dict("records"), strict=True):
        common = {
            "run_id": log.name,
            "profile": profile.name,
            "n": 1,
            "seeds": log.seeds,
            "metric_version": COST_VERSION,
            "code": log.told(lambda p: p["code"]),
            "weights": {},
            "device": row["device"],
            "versions": log.pieces[-1]["versions"] if log.pieces else {},
        }
        made += [
            records.Record(metric=metric, value=row[metric], unit=unit, **common)
            for metric, unit in UNITS.items()
            if not pd.isna(row[metric])
        ]
    return made


def build(profile: Profile, logs_dir: Path, measured_files: list[Path], out: Path) -> None:
    """Write `tables/cost{.csv,.md,.html,.tex,_estimates.csv,_losses.csv}` and `cost/training.json` in `out`."""
    out, (logs, others) = Path(out), read_logs(logs_dir)
    measured, left_out = read_measured(measured_files, profile)
    made, guessed = training(logs, measured, profile), estimates(measured, profile)
    sections = (_training_section(made, profile), _estimate_section(guessed, profile))
    told = notes(logs, made, guessed, left_out, profile)
    document = Document(sections, [*told, other_students(others)] if others else told)
    for suffix, text in (("md", render.markdown), ("html", render.html), ("tex", render.latex)):
        write_text(out / "tables" / f"cost.{suffix}", text(document))
    for name, frame in (("cost", made), ("cost_estimates", guessed), ("cost_losses", losses(logs))):
        frame.insert(0, "profile", profile.name)
        path = out / "tables" / f"{name}.csv"
        write_atomic(path, lambda p, f=frame: f.to_csv(p, index=False, float_format="%.6g"))
    records.write(out / "cost" / "training.json", to_records(logs, made, profile))
