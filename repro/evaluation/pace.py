"""Do latency and memory of a chunk stay the same for minutes? One video at batch 1, clocked chunk by chunk."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
from rich.progress import track
from scipy.stats import theilslopes

from repro.config import Profile, Run
from repro.evaluation.long_video import frames_of, write_csv
from repro.evaluation.sampling import load_decoder
from repro.files import write_atomic
from repro.generation.noise import prompt_noise
from repro.generation.spans import Spans
from repro.generation.student import Generator, load_student
from repro.models import text_encoder, weights
from repro.reporting import records
from repro.training.data import split_scenes

PACE_VERSION = "1"
MIB = 2**20


def memory_in_use(device) -> int:
    """Bytes: those PyTorch has given out on a GPU, those of the process elsewhere."""
    if torch.device(device).type == "cuda":
        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


def clock(generator: Generator, text_1LE: torch.Tensor, cache, seed: int) -> pd.DataFrame:
    """One video: the seconds between the deliveries of its chunks, and the memory in use at each.

    The noise is drawn before the clock starts, as in `evaluation.timing`.
    """
    geometry, device = generator.geometry, generator.device
    source = prompt_noise(seed, [0], geometry, device)
    steps = generator.schedule.counts
    drawn = {(k, s): source(k, s) for k in range(geometry.chunks) for s in range(steps[k] + 1)}
    context, spans, marks, memory = generator.model.text_context(text_1LE), Spans(device), [], []

    def delivered(chunk: int, _: torch.Tensor) -> None:
        marks.append(spans.now())
        memory.append(memory_in_use(device))

    marks.append(spans.now())
    generator.stream(context, lambda k, step: drawn[k, step], cache, delivered)
    seconds = [spans.between(a, b) for a, b in pairwise(marks)]
    shown = [geometry.video_frames(0, (k + 1) * geometry.chunk_frames) / geometry.fps for k in range(geometry.chunks)]
    columns = {"chunk": range(geometry.chunks), "steps": steps, "until_s": shown}
    return pd.DataFrame(columns | {"seconds": seconds, "memory_mib": np.array(memory) / MIB})


def trend(table: pd.DataFrame, column: str, settled: int) -> tuple[float, float, float]:
    """Change of a column over the video, relative to its median, from the chunk `settled` on: Theil and Sen's slope.

    Robust against the few chunks that something else on the machine delays; the 95% interval is theirs.
    """
    rows = table[table["chunk"] >= settled]
    slope, _, low, high = theilslopes(rows[column], rows["chunk"])
    return tuple(float(x * len(rows) / rows[column].median()) for x in (slope, low, high))


@torch.inference_mode()
def measure(profile: Profile, runs: list[Run], checkpoints: Path, out: Path, device) -> None:
    """Write `<out>/pace.csv` and `<out>/pace.json`; every system's video is as long as the longest roll."""
    checkpoints, seed = Path(checkpoints), profile.evaluation.student_seeds[0]
    text = text_encoder.load(profile, checkpoints, device)([split_scenes("prompts", profile, 1)[0].caption])
    seconds, tables, rows = max(roll.seconds for roll in profile.studies.rolls), [], []
    common = records.provenance(device)
    for run in track(runs, "clock long videos"):
        long = run.model_copy(update={"frames": frames_of(profile, seconds)})
        model = load_student(profile, run.student, seed, checkpoints, device)
        decoder = load_decoder(profile, run.decoder, checkpoints, device)
        for warm_up in (True, False):
            sized = long.model_copy(update={"frames": None}) if warm_up else long
            generator = Generator(profile, sized, model, decoder, device)
            cache = generator.cache(1)
            table = clock(generator, text, cache, profile.evaluation.seed)
        settled = cache.window + cache.sink
        tables.append(table.assign(system=run.run_id))
        names = [f"{run.student}-s{seed}", "tiny" if run.decoder == "tiny" else "vae", "text_encoder"]
        hashes = weights.hashes(checkpoints, names)

        def record(metric, value, low, high, n, unit, run=run, hashes=hashes):
            return records.Record(
                run_id=run.run_id, profile=profile.name, metric=metric, value=value, low=low, high=high, n=n,
                seeds=[seed], unit=unit, metric_version=PACE_VERSION, weights=hashes, **common,
            )  # fmt: skip

        steady = table[table["chunk"] >= settled]
        low, middle, high = (float(q) for q in steady["seconds"].quantile([0.25, 0.5, 0.75]))
        rows.append(record("chunk_latency_s", middle, low, high, len(steady), "s"))
        rows.append(record("cache_bytes", float(cache.nbytes), None, None, 1, "B"))
        for column in ("seconds", "memory_mib"):
            rows.append(record(f"{column}_change", *trend(table, column, settled), len(steady), "of the median"))
    out = Path(out)
    write_atomic(out / "pace.csv", lambda p: write_csv(p, pd.concat(tables)))
    records.write(out / "pace.json", rows)
