"""How fast a scale runs, whatever its weights: rows of `config/speed.csv`, timed turn by turn in one process.

Weights and prompts are random: a matrix product takes as long for any values of theirs. No number made here says
anything of quality.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from repro.config import Scale, explain, load_devices
from repro.engine.assemble import Engine
from repro.engine.options import EngineOptions
from repro.evaluation import flops
from repro.evaluation.speed_rows import SpeedRow, engine_of, shortened
from repro.evaluation.timing import UNITS, time_once
from repro.generation.many_step import ManyStep
from repro.generation.student import Generator
from repro.models import presets, taehv
from repro.models.wan import WanDiT
from repro.narrator import narrator
from repro.reporting import records

SPEED_VERSION = "1"
WEIGHTS = {"dit": "random", "decoder": "random"}
TELL_EVERY = 10
"""Forwards of a many-step video between two lines of progress."""


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
        shape = (2, 1, config.text_tokens, config.text_dim)
        self.text, self.null = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)

    def generator(
        self, row: SpeedRow, options: EngineOptions, scale: Scale | None = None
    ) -> tuple[Generator | ManyStep, object]:
        """Generator and cache of a row. Rows of one engine share its model; of one window, their cache.

        `scale` takes the place of the bench's, for another number of steps.
        """
        if options.engine not in self.engines:
            self.engines[options.engine] = Engine(random_dit(self.scale, self.device), options, self.device)
        if row.decoder not in self.decoders:
            self.decoders[row.decoder] = random_decoder(self.scale, row.decoder, self.device)
        engine, decoder = self.engines[options.engine], self.decoders[row.decoder]
        if row.many_step:
            kept = (row.run, engine.model, decoder, self.null, self.device, engine)
            return ManyStep(scale or self.scale, *kept), None
        generator = Generator(self.scale, row.run, engine.model, decoder, self.device, engine)
        key = (row.window_frames, row.chunk_frames, engine.cache_dtype)
        if key not in self.caches:
            self.caches[key] = generator.cache(1)
        return generator, self.caches[key]


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


Samples = dict[str, list[dict[str, float]]]


def measure(scale: Scale, rows: list[SpeedRow], default: str, device) -> Iterator[Samples]:
    """All samples so far by row, once more after every timed video.

    Warm-ups come first, then rounds in which every row has one turn, until it has had as many as it is to have.
    """
    bench, say = Bench(scale, device), narrator()
    samples: Samples = {row.row: [] for row in rows}
    timings = {row.row: scale.long_timing if row.many_step else scale.timing for row in rows}
    for row in rows:
        short_scale, short = shortened(scale, row)
        generator, cache = bench.generator(short, engine_of(row, default), short_scale)
        for _ in range(timings[row.row].warmups):
            time_once(generator, bench.text, cache, 0)
        say(f"{row.row}: warm")
    made = [(row, *bench.generator(row, engine_of(row, default))) for row in rows]
    for row, generator, _ in made:
        if row.many_step:
            generator.forward.on_call = _progress(say, row.row, flops.many_step_forwards(scale, row))
    rounds = max(timing.runs for timing in timings.values())
    for turn in range(rounds):
        for row, generator, cache in made:
            if turn < timings[row.row].runs:
                samples[row.row].append(time_once(generator, bench.text, cache, 0))
                yield samples
        say(f"round {turn + 1} of {rounds}: done")


def _progress(say: Callable[[str], None], row: str, forwards: int) -> Callable[[int], None]:
    """Tells how far a video is, by its forwards; a GPU is at most a few of them behind."""

    def on_call(calls: int) -> None:
        done = (calls - 1) % forwards
        if done % TELL_EVERY == 0:
            say(f"{row}: forward {done} of {forwards}")

    return on_call


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
        row.run.schedule_for(row.geometry(scale.geometry))
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
    """`out`: records of the rows, medians with their quartiles; written after every video, of those timed so far."""
    keep = partial(records.write, Path(out))
    keep(measured_records(scale, rows, default, device, keep))


def measured_records(
    scale: Scale, rows: list[SpeedRow], default: str, device, keep: Callable[[list[records.Record]], None] | None = None
) -> list[records.Record]:
    """Records of the rows, with the card's state before and after; `keep` gets those so far after every video."""
    before = clocks(device)
    memory = {}
    if torch.device(device).type == "cuda":
        memory = {r.row: measure_memory(scale, r, engine_of(r, default), device) for r in rows if r.memory}
    common = {
        "profile": scale.name,
        "seeds": [0],
        "metric_version": SPEED_VERSION,
        "weights": WEIGHTS,
        **records.provenance(device),
    }
    samples: Samples = {}
    for samples in measure(scale, rows, default, device):
        if keep is not None:
            keep(_told(scale, rows, default, samples, memory, {"before": before}, common))
    states = {"before": before, "after": clocks(device)}
    return _told(scale, rows, default, samples, memory, states, common)


def _told(
    scale: Scale,
    rows: list[SpeedRow],
    default: str,
    samples: Samples,
    memory: dict[str, Memory],
    states: dict[str, dict],
    common: dict,
) -> list[records.Record]:
    """Records of the rows that were timed so far, each with its engine among the versions."""
    made = []
    for row in (r for r in rows if samples[r.row]):
        engine = {"versions": common["versions"] | {"engine": engine_of(row, default).engine}}
        own = common | engine | {"run_id": row.row}

        def add(metric: str, value: float, unit: str, n: int = 1, own: dict = own, **interval) -> None:
            made.append(records.Record(metric=metric, value=value, unit=unit, n=n, **own, **interval))

        found = {m: np.array([s[m] for s in samples[row.row]]) for m in samples[row.row][0]}
        if row.sampler == "bidirectional":
            del found["in_flight_latency_s"]  # no chunk is in flight
        found["dit_throughput_fps"] = (
            found["throughput_fps"] * found["total_s"] / (found["denoise_s"] + found["cache_s"])
        )
        for metric, values in found.items():
            low, value, high = map(float, np.quantile(values, [0.25, 0.5, 0.75]))
            unit = "frame/s" if metric.endswith("_fps") else UNITS.get(metric, "s")
            add(metric, value, unit, len(values), low=low, high=high)
        for metric, value, unit in _counted(scale, row, float(np.median(found["total_s"])), common["device"]):
            add(metric, value, unit)
        if row.row in memory:
            add("memory_gb", memory[row.row].allocated / 1e9, "GB")
            add("reserved_gb", memory[row.row].reserved / 1e9, "GB")
        if row.predicted_s is not None:
            add("predicted_s", row.predicted_s, "s")
        for when, state in states.items():
            for name, (value, unit) in state.items():
                add(f"{name}_{when}", value, unit)
    return made


def _counted(scale: Scale, row: SpeedRow, total_s: float, device: str) -> list[tuple[str, float, str]]:
    """FLOP of the DiT, their rate over the whole video's time and share of the peak; forwards; NFE of a schedule."""
    config, nfe = presets.from_profile(scale), []
    if row.many_step:
        flop, forwards = flops.many_step(scale, config, row), flops.many_step_forwards(scale, row)
    else:
        schedule = row.run.schedule_for(row.geometry(scale.geometry))
        forwards = schedule.forwards(row.cache)
        passes = forwards > schedule.total_steps
        flop = flops.video(scale, config, schedule, passes, row.window_frames, row.chunk_frames)
        nfe = [("paper_nfe", schedule.paper_nfe, "NFE")]
    rate = flop / total_s / 1e12
    found = [("dit_flop", flop, "FLOP"), ("tflops_per_s", rate, "TFLOP/s"), ("forwards", forwards, "forward"), *nfe]
    peak = load_devices().get(device)
    if peak is not None:
        found.append(("share_of_peak", rate / peak.bf16_tflops, "share"))
    return found
