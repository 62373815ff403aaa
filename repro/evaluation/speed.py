"""How fast a scale runs, whatever its weights: rows of `config/speed.csv`, timed turn by turn in one process.

Weights and prompts are random: a matrix product takes as long for any values of theirs. No number made here says
anything of quality.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, ValidationError
from rich.console import Console
from rich.progress import track
from rich.table import Table

from repro.config import CONFIG_DIR, Run, Scale, Section, explain, load_devices, load_rows
from repro.engine.assemble import Engine
from repro.engine.options import EngineOptions, load_engines
from repro.errors import ReproError
from repro.evaluation import flops
from repro.evaluation.timing import UNITS, time_once
from repro.generation.cache_policy import POLICIES
from repro.generation.student import Generator
from repro.models import presets, taehv
from repro.models.wan import WanDiT
from repro.reporting import records
from repro.schedule import CacheMode

SPEED_VERSION = "1"
WEIGHTS = {"dit": "random", "decoder": "random"}


class SpeedRow(Section):
    """One timed configuration: a row of a paper table, or a rung of the ladder."""

    row: str = Field(pattern=r"^[a-z0-9_]+$")
    tables: str
    cache: CacheMode
    schedule: str
    window_frames: PositiveInt
    chunk_frames: PositiveInt = 3
    decoder: str = Field("tiny", pattern="^(tiny|full)$")
    frames: PositiveInt | None = None
    engine: str | None = None
    """Row of engines.csv; the one asked for where it is empty."""
    memory: bool = False
    """Measure its memory too, alone on the device."""
    predicted_s: PositiveFloat | None = None
    """Seconds a video that were expected before this rung was measured."""

    @property
    def run(self) -> Run:
        return Run(
            run_id=self.row,
            tables=self.tables,
            student="random",
            cache=self.cache,
            schedule=self.schedule,
            window_frames=self.window_frames,
            noise_level=POLICIES[self.cache].noise_level,
            chunk_frames=self.chunk_frames,
            decoder=self.decoder,
            frames=self.frames,
        )


def load_speed(config_dir: Path = CONFIG_DIR) -> dict[str, SpeedRow]:
    """Rows of speed.csv. Raises ReproError naming line, column and value of what is wrong."""
    return load_rows(Path(config_dir) / "speed.csv", SpeedRow, "row")


def rows_of(tables: list[str], config_dir: Path = CONFIG_DIR) -> list[SpeedRow]:
    """Rows of any of these tables, or of the `ladder`, in the order of the sheet."""
    sheet = load_speed(config_dir).values()
    known = {t for r in sheet for t in r.tables.split(";")}
    for table in tables:
        if table not in known:
            raise ReproError(f"speed.csv has no row of {table!r}: choose of {', '.join(sorted(known))}")
    return [r for r in sheet if set(tables) & set(r.tables.split(";"))]


def random_dit(scale: Scale, device, dtype: torch.dtype | None = None) -> WanDiT:
    """A model that no training has touched, the same every time; in bf16 on a GPU unless told."""
    torch.manual_seed(0)
    with torch.device(device):
        model = WanDiT(presets.from_profile(scale))
    usual = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
    return model.reduce_(dtype or usual).requires_grad_(False).eval()


def random_decoder(scale: Scale, kind: str, device) -> torch.nn.Module:
    """The tiny decoder in half precision with its channels last, or diffusers' VAE, on a GPU."""
    cuda = torch.device(device).type == "cuda"
    torch.manual_seed(0)
    if kind == "tiny":
        module = taehv.TinyDecoder(scale.autoencoders.tiny_channels, scale.geometry.latent_channels)
        module = module.to(memory_format=torch.channels_last)
    else:
        from diffusers import AutoencoderKLWan

        from repro.models.vae import wrap

        widths = scale.autoencoders
        module = wrap(
            AutoencoderKLWan(base_dim=widths.base_dim, dim_mult=list(widths.dim_mult), num_res_blocks=widths.res_blocks)
        )
    return module.to(device, torch.float16 if cuda else torch.float32).requires_grad_(False).eval()


class Bench:
    """Models, decoders and caches of the rows, each made once."""

    def __init__(self, scale: Scale, device):
        self.scale, self.device = scale, device
        self.engines: dict[str, Engine] = {}
        self.decoders: dict[str, torch.nn.Module] = {}
        self.caches: dict[tuple, object] = {}
        config = presets.from_profile(scale)
        shape = (1, config.text_tokens, config.text_dim)
        self.text = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)

    def generator(self, row: SpeedRow, options: EngineOptions) -> tuple[Generator, object]:
        """Generator and cache of a row. Rows of one engine share its model; of one window, their cache."""
        if options.engine not in self.engines:
            self.engines[options.engine] = Engine(random_dit(self.scale, self.device), options, self.device)
        if row.decoder not in self.decoders:
            self.decoders[row.decoder] = random_decoder(self.scale, row.decoder, self.device)
        engine, decoder = self.engines[options.engine], self.decoders[row.decoder]
        generator = Generator(self.scale, row.run, engine.model, decoder, self.device, engine)
        key = (row.window_frames, row.chunk_frames, engine.cache_dtype)
        if key not in self.caches:
            self.caches[key] = generator.new_cache(1)
        return generator, self.caches[key]


def engine_of(row: SpeedRow, default: str) -> EngineOptions:
    name, known = row.engine or default, load_engines()
    if name not in known:
        raise ReproError(f"no engine {name!r}: engines.csv has {', '.join(known)}")
    return known[name]


@dataclass(frozen=True)
class Memory:
    """Peak bytes of one video, the prompt's embedding given: by tensors, and by the allocator with its reserve."""

    allocated: int
    reserved: int


def measure_memory(scale: Scale, row: SpeedRow, options: EngineOptions, device) -> Memory:
    """Of the row alone on a GPU: model, decoder, cache and work space, from a video that runs from warm."""
    bench = Bench(scale, device)
    generator, cache = bench.generator(row, options)
    time_once(generator, bench.text, cache, 0)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    time_once(generator, bench.text, cache, 0)
    return Memory(torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved())


def measure(scale: Scale, rows: list[SpeedRow], default: str, device) -> dict[str, dict[str, np.ndarray]]:
    """Samples of every metric by row: warm-ups, then rounds in which every row has one turn."""
    bench = Bench(scale, device)
    made = [(row, *bench.generator(row, engine_of(row, default))) for row in rows]
    samples: dict[str, list[dict]] = {row.row: [] for row in rows}
    turns = scale.timing.warmups + scale.timing.runs
    for turn in track(range(turns), "timing rounds"):
        for row, generator, cache in made:
            once = time_once(generator, bench.text, cache, 0)
            if turn >= scale.timing.warmups:
                samples[row.row].append(once)
    return {name: {m: np.array([s[m] for s in found]) for m in found[0]} for name, found in samples.items()}


def clocks(device) -> dict[str, tuple[float, str]]:
    """What the driver says of the card now; nothing on a CPU."""
    if torch.device(device).type != "cuda" or shutil.which("nvidia-smi") is None:
        return {}
    fields = {"clocks.sm": "MHz", "clocks.mem": "MHz", "power.limit": "W", "power.draw": "W", "temperature.gpu": "°C"}
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits", "-i", "0"]
    out = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    try:
        values = [float(v) for v in out.split(",")]
    except ValueError:
        return {}
    return {name.replace(".", "_"): (v, unit) for (name, unit), v in zip(fields.items(), values, strict=True)}


def bench(scale: Scale, fields: dict, out: Path | None, device) -> None:
    """Time one row that no sheet has, print its records as a table, and write them to `out` if there is one.

    Raises ReproError naming the field that is wrong.
    """
    try:
        row = SpeedRow(row="bench", tables="bench", memory=torch.device(device).type == "cuda", **fields)
        row.run.schedule_for(
            scale.geometry.resized(chunk_frames=row.chunk_frames, frames=row.frames or scale.geometry.frames)
        )
    except ValidationError as error:
        raise explain(error, "bench") from error
    made = measured_records(scale, [row], row.engine, device)
    if out is not None:
        records.write(Path(out), made)
    table = Table("metric", "value", "quartiles", "unit", title=f"{scale.name}, {made[0].device}, random weights")
    for r in made:
        low_high = "" if r.low is None else f"{r.low:.4g} – {r.high:.4g}"
        table.add_row(r.metric, f"{r.value:.4g}", low_high, r.unit)
    Console().print(table)


def write_measured(scale: Scale, rows: list[SpeedRow], default: str, out: Path, device) -> None:
    """`out`: records of the rows; medians with their quartiles."""
    records.write(Path(out), measured_records(scale, rows, default, device))


def measured_records(scale: Scale, rows: list[SpeedRow], default: str, device) -> list[records.Record]:
    """Records of the rows, with the card's state before and after."""
    before = clocks(device)
    memory = {}
    if torch.device(device).type == "cuda":
        memory = {r.row: measure_memory(scale, r, engine_of(r, default), device) for r in rows if r.memory}
    samples = measure(scale, rows, default, device)
    after = clocks(device)
    common = {
        "profile": scale.name,
        "seeds": [0],
        "metric_version": SPEED_VERSION,
        "weights": WEIGHTS,
        **records.provenance(device),
    }
    made = []
    for row in rows:

        def add(metric: str, value: float, unit: str, n: int = 1, run_id: str = row.row, **interval) -> None:
            record = {"run_id": run_id, "metric": metric, "value": value, "unit": unit, "n": n}
            made.append(records.Record(**record, **interval, **common))

        found = samples[row.row]
        found["dit_throughput_fps"] = (
            found["throughput_fps"] * found["total_s"] / (found["denoise_s"] + found["cache_s"])
        )
        for metric, values in found.items():
            low, value, high = map(float, np.quantile(values, [0.25, 0.5, 0.75]))
            unit = "frame/s" if metric.endswith("_fps") else UNITS.get(metric, "s")
            add(metric, value, unit, len(values), low=low, high=high)
        for metric, value, unit in _counted(scale, row, float(np.median(found["total_s"])), device):
            add(metric, value, unit)
        if row.row in memory:
            add("memory_gb", memory[row.row].allocated / 1e9, "GB")
            add("reserved_gb", memory[row.row].reserved / 1e9, "GB")
        if row.predicted_s is not None:
            add("predicted_s", row.predicted_s, "s")
        for when, state in (("before", before), ("after", after)):
            for name, (value, unit) in state.items():
                add(f"{name}_{when}", value, unit)
    return made


def _counted(scale: Scale, row: SpeedRow, total_s: float, device) -> list[tuple[str, float, str]]:
    """FLOP of the DiT, their rate over the whole video's time and share of the peak; forwards; NFE."""
    config, run = presets.from_profile(scale), row.run
    geometry = scale.geometry.resized(chunk_frames=row.chunk_frames, frames=row.frames or scale.geometry.frames)
    schedule = run.schedule_for(geometry)
    passes = schedule.forwards(run.cache) > schedule.total_steps
    flop = flops.video(scale, config, schedule, passes, row.window_frames, row.chunk_frames)
    found = [
        ("dit_flop", flop, "FLOP"),
        ("tflops_per_s", flop / total_s / 1e12, "TFLOP/s"),
        ("forwards", schedule.forwards(run.cache), "forward"),
        ("paper_nfe", schedule.paper_nfe, "NFE"),
    ]
    peak = load_devices().get(records.device_name(device))
    if peak is not None:
        found.append(("share_of_peak", flop / total_s / 1e12 / peak.bf16_tflops, "share"))
    return found
