"""What an iteration of each training stage costs: floating-point operations, counted, and seconds, measured.

The stages' own code runs on networks with random weights and a handful of clips; neither the count nor
the time depends on their values. FLOPs are those of matrix products, convolutions and attention (masked
attention as if dense), forward, backward and optimiser, as torch.utils.flop_counter counts them.
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from repro.config import DmdFit, Fit, Profile, load_students, student_fit, students_of
from repro.models import presets, text_encoder, vae
from repro.models.wan import WanDiT
from repro.reporting import records
from repro.training.autoencoder import Windows, phase, tiny_task, vae_task
from repro.training.causal import causal_task
from repro.training.data import Split, split_scenes
from repro.training.dmd import Distillation, student_task
from repro.training.judge import judge_task
from repro.training.loop import Task, generator_for, update_ema
from repro.training.ode_init import LEVELS, ode_task
from repro.training.teacher import compile_blocks, teacher_task

COST_VERSION = "1"
FIXED_STAGES = ("judge", "vae", "tiny", "teacher", "ode")


def stages() -> list[str]:
    """Names of the stages behind Table 5, in the order in which they are trained; a student's is its row's."""
    return [*FIXED_STAGES, *students_of("table5")]


def stage_fit(profile: Profile, stage: str) -> Fit:
    """How the profile trains a stage."""
    if stage in FIXED_STAGES:
        return getattr(profile, f"{stage}_fit")
    return student_fit(profile, load_students()[stage])


class Kind(NamedTuple):
    """Iterations that cost the same: one of them, how many there are, and the samples that each trains on.

    A sample is a clip, a window of one (autoencoders), or a video that the student rolled out.
    """

    iteration: int
    count: int
    samples: int


def kinds(fit: Fit, stage: str) -> list[Kind]:
    """All iterations of a stage, by kind."""
    if stage in ("vae", "tiny"):
        found: dict[tuple, list[int]] = {}
        for i in range(fit.iterations):
            found.setdefault(phase(fit, i), []).append(i)
        return [Kind(rows[len(rows) // 2], len(rows), batch) for (_, batch), rows in found.items()]
    if isinstance(fit, DmdFit):
        # With a warm-up of one round, iteration 0 costs one critic round more than any other. A stage costs
        # `iterations` of the others and `critic_warmup` times that difference.
        round_ = fit.batch * (fit.critic_updates + 1)
        return [Kind(0, fit.critic_warmup, 2 * round_), Kind(1, fit.iterations - fit.critic_warmup, round_)]
    return [Kind(1, fit.iterations, fit.batch)]


def shrunk(profile: Profile, stage: str, batch: int) -> Profile:
    """The profile with another batch for one stage, few clips, and one round of critic warm-up."""
    fit = stage_fit(profile, stage).model_copy(update={"batch": batch})
    if isinstance(fit, DmdFit):
        fit = fit.model_copy(update={"critic_warmup": 1})
    name = f"{stage}_fit" if stage in FIXED_STAGES else load_students()[stage].fit_name
    return profile.model_copy(update={name: fit, "world": profile.world.model_copy(update={"train_clips": 8})})


def build_task(profile: Profile, stage: str, device) -> Task:
    """The stage's task on random weights."""
    torch.manual_seed(0)
    match stage:
        case "judge":
            return judge_task(profile, device, 0)
        case "vae":
            return vae_task(profile, Windows(profile, device), device, 0)
        case "tiny":
            encoder = vae.build(profile).to(device).requires_grad_(False).eval()
            return tiny_task(profile, encoder, Windows(profile, device), device, 0)
    captions = [s.caption for s in split_scenes("train", profile)]
    latents = torch.randn(len(captions), len(LEVELS) + 1, *profile.geometry.latent_shape, device=device)
    if stage == "teacher":
        return teacher_task(profile, Split(latents[:, 0], captions), device, 0)
    networks = [WanDiT(presets.from_profile(profile)) for _ in range(3)]
    for network in networks:
        network.init_weights(generator_for(0, 0))
        network.to(device)
    encoder = text_encoder.build(profile).to(device).requires_grad_(False).eval()
    if stage == "ode":
        with torch.no_grad():
            data = {"states": latents, "text": encoder(captions).float()}
        return ode_task(profile, data, networks[0], device)
    row = load_students()[stage]
    if row.many_step:
        return causal_task(profile, row, Split(latents[:, 0], captions), networks[0], encoder, device)
    student, critic, teacher = (compile_blocks(n, device) for n in networks)
    return student_task(
        Distillation(profile, row, student, critic, teacher.requires_grad_(False).eval(), device),
        captions,
        encoder,
        row,
        latents=latents[:, 0] if row.needs_truth else None,
    )


def count(profile: Profile, stage: str, batch: int) -> tuple[list[int], int]:
    """FLOPs of one iteration of each kind at a small batch, on the CPU, and those of its optimisers.

    The plain form of attention, since not every fused one is known to the counter.
    """
    small = shrunk(profile, stage, batch)
    task, counts = build_task(small, stage, "cpu"), []
    for kind in kinds(stage_fit(small, stage), stage):
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            task.step(kind.iteration, generator_for(0, kind.iteration))
        counts.append(counter.get_total_flops())
    with FlopCounterMode(display=False) as counter:
        for optimizer in task.optimizers.values():
            optimizer.step(1.0)
    return counts, counter.get_total_flops()


def clock(profile: Profile, stage: str, batch: int, device) -> list[np.ndarray]:
    """Seconds of repeated iterations of each kind; on a GPU as often as its other timings."""
    small = shrunk(profile, stage, batch)
    fit, task = stage_fit(small, stage), build_task(small, stage, device)
    cuda = torch.device(device).type == "cuda"
    repeats, samples = profile.timing if cuda else profile.cost, []
    for kind in kinds(fit, stage):
        times = []
        for _ in range(repeats.warmups + repeats.runs):
            began = time.perf_counter()
            task.step(kind.iteration, generator_for(0, kind.iteration, device=device))
            update_ema(task, fit.ema, kind.iteration)
            if cuda:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
        samples.append(np.array(times[repeats.warmups :]))
    return samples


def measure(profile: Profile, stage: str, device) -> list[records.Record]:
    """Records of one stage: FLOPs and samples of all its iterations, the mean, and what `device` needs for them.

    A CPU is timed at a small batch; its seconds are scaled by the FLOPs that the full one has more.
    """
    fit = stage_fit(profile, stage)
    small = min(fit.batch, profile.cost.cpu_batch)
    batch = fit.batch if torch.device(device).type == "cuda" else small
    counts, optimizers = count(profile, stage, small)
    # The networks work for every sample, the optimisers once an iteration.
    flops, timed_flops = (optimizers + (np.array(counts) - optimizers) * (b / small) for b in (fit.batch, batch))
    weights = np.array([kind.count for kind in kinds(fit, stage)])
    scale = flops / timed_flops
    times = np.stack(clock(profile, stage, batch, device))
    seconds = np.quantile(times, [0.25, 0.5, 0.75], axis=1)
    per_iteration = (seconds * scale * weights).sum(1) / fit.iterations
    common = {
        "run_id": stage,
        "profile": profile.name,
        "seeds": [0],
        "metric_version": COST_VERSION,
        "weights": {},
        **records.provenance(str(device)),
    }
    samples = sum(kind.count * kind.samples for kind in kinds(fit, stage))
    exact = {
        "iterations": (fit.iterations, "iteration"),
        "samples": (samples, "sample"),
        "flop": (float(flops @ weights), "FLOP"),
        "timed_batch": (batch, "sample"),
        "threads": (torch.get_num_threads(), "thread"),
    }
    made = [records.Record(metric=m, value=v, n=1, unit=unit, **common) for m, (v, unit) in exact.items()]
    low_s, median_s, high_s = map(float, per_iteration)
    time_ = {"metric": "seconds_per_iteration", "value": median_s, "low": low_s, "high": high_s}
    return [*made, records.Record(**time_, n=times.shape[1], unit="s", **common)]


def write_measured(profile: Profile, names: list[str], out: Path, device) -> None:
    """Records of the stages in one file."""
    records.write(out, [record for name in names for record in measure(profile, name, device)])
