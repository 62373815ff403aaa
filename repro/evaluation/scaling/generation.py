"""How many videos a minute several GPUs generate, each its own shard of them: nothing is exchanged between them.

Weights are random. A video is generated, decoded, copied to the host and, where PyAV is installed, written as .mp4, as
`vbench generate` does; each process makes the same number of videos.
"""

import tempfile
import time
from pathlib import Path

import torch

from repro.config import Scale
from repro.evaluation.sampling import to_uint8
from repro.evaluation.scaling.iteration import agreed_max, clocked
from repro.evaluation.speed import WEIGHTS, Bench
from repro.evaluation.speed_rows import SpeedRow, engine_of, rows_of
from repro.files import require_writable
from repro.generation.film import Writer
from repro.generation.noise import prompt_noise
from repro.narrator import narrator
from repro.reporting import records
from repro.training import distributed

GENERATION_VERSION = "1"


def can_write() -> bool:
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


def measure(scale: Scale, row: str, out: Path, device: str, *, videos: int = 8, engine: str) -> list[records.Record]:
    """Time `videos` for each process, after one to warm up; `out` receives the records."""
    say = narrator(leads=distributed.rank() == 0)
    began, writes = time.monotonic(), can_write()
    sheet: dict[str, SpeedRow] = {r.row: r for r in rows_of(["table5"])}
    bench = Bench(scale, device)
    generator, cache = bench.generator(sheet[row], engine_of(sheet[row], engine))
    say(f"{distributed.size()} processes, {videos} videos each, on {records.device_name(device)}, engine {engine}")

    def make(number: int) -> None:
        noise = prompt_noise(0, [number], generator.geometry, device)
        clip = to_uint8(generator(bench.text, noise, cache)[0])
        if writes:
            with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
                writer = Writer(Path(file.name), generator.geometry, 1)
                writer.write(clip)
                writer.close()

    make(0)
    start = agreed_max(time.monotonic() - began, device)
    say(f"first video after {start:.1f} s, models, compilation and all")
    numbers = range(distributed.rank() * videos, (distributed.rank() + 1) * videos)
    own: list[float] = []

    def shard() -> None:
        for number in numbers:
            at = time.monotonic()
            make(number)
            own.append(time.monotonic() - at)
            say(f"video {len(own)} of {videos}: {own[-1]:.3f} s")

    seconds = agreed_max(clocked(shard, device), device)
    gpus = distributed.size()
    common = {
        "run_id": f"generate_gpus_{gpus}",
        "profile": scale.name,
        "seeds": [0],
        "metric_version": GENERATION_VERSION,
        "weights": WEIGHTS,
        **records.provenance(device),
    }
    told = {
        "gpus": (gpus, "GPU"),
        "videos": (gpus * videos, "video"),
        "wall_s": (seconds, "s"),
        "videos_per_s": (gpus * videos / seconds, "video/s"),
        "start_s": (start, "s"),
        "written": (float(writes), "share"),
        "reserved_gb": (torch.cuda.max_memory_reserved() / 1e9 if device.startswith("cuda") else 0.0, "GB"),
    }
    made = [records.Record(metric=m, value=v, unit=u, n=gpus * videos, **common) for m, (v, u) in told.items()]
    if distributed.rank() == 0:
        require_writable(out.parent)
        records.write(out, made)
        for r in made:
            say(f"{r.metric} {r.value:.5g} {r.unit}")
    return made
