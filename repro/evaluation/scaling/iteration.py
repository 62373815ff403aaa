"""One distillation iteration of a scale with random weights, on the GPUs that torchrun gives it: memory, seconds, rate.

Student, critic and teacher, each sharded (FSDP2) with activation checkpointing, go through the stage's own
iteration: `critic_updates` rollouts and critic updates, one more rollout and the generator's update, both
optimisers and the moving average. Every process works on as many videos on any number of GPUs.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.attention import SDPBackend, sdpa_kernel

from repro.config import Scale, Student, load_devices, load_students
from repro.errors import ReproError
from repro.evaluation import flops
from repro.models import presets
from repro.models.attention import attend
from repro.models.wan import WanConfig, WanDiT
from repro.narrator import narrator
from repro.reporting import records
from repro.training import distributed
from repro.training.dmd import Distillation, Round, student_task
from repro.training.loop import Task, generator_for, update_ema
from repro.training.teacher import compile_blocks

ITERATION_VERSION = "1"
WEIGHTS = {"student": "random", "critic": "random", "teacher": "random"}
CAPTIONS = 8


def sized(scale: Scale, videos: int) -> Scale:
    """The scale with so many videos a process in an iteration, one at a time, and no warm-up of the critic."""
    if scale.dmd_fit is None:
        raise ReproError(
            f"profile {scale.name!r} says nothing of distillation: give config/{scale.name}.yaml a dmd_fit"
        )
    changes = {"batch": videos * distributed.size(), "at_once": 1, "critic_warmup": 0}
    return scale.model_copy(update={"dmd_fit": scale.dmd_fit.model_copy(update=changes)})


def build(scale: Scale, row: Student, device, compiled: bool) -> tuple[Distillation, Task]:
    """The stage on random weights and texts."""
    networks = []
    for number in range(3):
        torch.manual_seed(number)
        with torch.device(device):
            network = WanDiT(presets.from_profile(scale))
        network.requires_grad_(number < 2)
        if compiled:
            compile_blocks(network, device)
        networks.append(distributed.shard(network))
    distillation = Distillation(scale, row, *networks, device)
    shape = (scale.dit.text_tokens, scale.dit.text_dim)

    def encoder(captions) -> torch.Tensor:
        return torch.randn(len(captions), *shape, generator=generator_for(0, 0, device=device), device=device)

    return distillation, student_task(distillation, [str(n) for n in range(CAPTIONS)], encoder, row)


def attention_choices(config: WanConfig, tokens: int, device) -> dict[SDPBackend, float]:
    """Seconds of one forward and backward of self-attention by each fused kernel that gives the right answer."""
    shape = (1, tokens, config.heads, config.dim // config.heads)
    q, k, v = (torch.randn(shape, device=device, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))

    def once(backend: SDPBackend) -> list[torch.Tensor]:
        with sdpa_kernel(backend):
            out = attend(q, k, v)
            return [out, *torch.autograd.grad(out.square().sum(), (q, k, v))]

    expected, seconds = once(SDPBackend.FLASH_ATTENTION), {}
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION):
        try:
            got = once(backend)
            if any((a - b).norm() > 0.02 * b.norm() for a, b in zip(got, expected, strict=True)):
                continue
            torch.cuda.synchronize()
            began = time.perf_counter()
            for _ in range(3):
                once(backend)
            torch.cuda.synchronize()
            seconds[backend] = (time.perf_counter() - began) / 3
        except RuntimeError:
            continue
    return seconds


@contextmanager
def fastest_attention(scale: Scale, device, say: Callable[[str], None]) -> Iterator[str]:
    """Inside, attention takes the kernel that was fastest at this size; on a CPU, PyTorch's own choice."""
    if torch.device(device).type != "cuda":
        yield "pytorch's choice"
        return
    geometry = scale.geometry
    seconds = attention_choices(presets.from_profile(scale), geometry.tokens(geometry.latent_frames), device)
    say("attention, forward and backward: " + ", ".join(f"{b.name.lower()} {s:.4f} s" for b, s in seconds.items()))
    best = min(seconds, key=seconds.get)
    order = [best, *(b for b in seconds if b != best), SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    with sdpa_kernel(order, set_priority=True):
        yield best.name.lower()


def clocked(work: Callable[[], object], device) -> float:
    """Seconds until the device has done it, in step with the other processes."""

    def settle() -> None:
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()

    settle()
    if distributed.size() > 1:
        dist.barrier()
    began = time.perf_counter()
    work()
    settle()
    return time.perf_counter() - began


def phases(scale: Scale, distillation: Distillation, task: Task, device) -> dict[str, float]:
    """Seconds of an iteration's pieces, each once: one rollout, one critic update, the generator's, an optimiser."""
    generator, kept = generator_for(1, 0, device=device), {}
    text = torch.randn(distillation.batch, scale.dit.text_tokens, scale.dit.text_dim, device=device)

    def rollout() -> None:
        kept["made"] = Round(distillation, generator, lambda rows: text[rows], None, None).videos(0, distillation.micro)

    def critic() -> None:
        distillation.critic_loss(*distillation.critic_batch(kept["made"], noised)).backward()

    def scores() -> None:
        kept["scored"] = distillation.generator_batch(kept["made"], noised, text[: distillation.micro])

    def student() -> None:
        distillation.generator_loss(*kept["scored"])["loss"].backward()

    noised, seconds = distillation.score_noise(generator).rows(0, distillation.micro), {}
    for work in (rollout, critic, scores, student):
        seconds[f"{work.__name__}_s"] = clocked(work, device)
    clip = distillation.fit.clip_norm
    seconds["optimizer_s"] = clocked(lambda: task.optimizers["generator"].step(clip), device)
    task.optimizers["critic"].step(clip)
    return seconds


def agreed_max(value: float, device) -> float:
    """The largest of all processes."""
    if distributed.size() == 1:
        return value
    told = torch.tensor(value, device=device, dtype=torch.float64)
    dist.all_reduce(told, dist.ReduceOp.MAX)
    return float(told)


def memory(device) -> dict[str, tuple[float, str]]:
    """Peak of the process that took most."""
    if torch.device(device).type != "cuda":
        return {}
    peaks = {"memory_gb": torch.cuda.max_memory_allocated(), "reserved_gb": torch.cuda.max_memory_reserved()}
    return {name: (agreed_max(value / 1e9, device), "GB") for name, value in peaks.items()}


def measured_records(
    scale: Scale, row: Student, videos: int, times: list[float], extra: dict[str, tuple[float, str]], device
) -> list[records.Record]:
    """Records of the iterations so far: medians with quartiles, and the rate that the counted FLOP give."""
    gpus, config = distributed.size(), presets.from_profile(scale)
    counted = flops.distillation_iteration(scale, config, row, scale.dmd_fit)
    low, median, high = map(float, np.quantile(times, [0.25, 0.5, 0.75]))
    common = {
        "run_id": f"{row.student}_gpus_{gpus}",
        "profile": scale.name,
        "seeds": [0],
        "metric_version": ITERATION_VERSION,
        "weights": WEIGHTS,
        **records.provenance(device),
    }
    interval = {"low": low, "high": high}
    made = [records.Record(metric="seconds_per_iteration", value=median, unit="s", n=len(times), **interval, **common)]
    rate = {name: flop * videos / median / 1e12 for name, flop in counted._asdict().items()}
    exact = {
        "gpus": (gpus, "GPU"),
        "videos_per_gpu": (videos, "video"),
        "model_flop": (counted.model * videos, "FLOP"),
        "recomputed_flop": (counted.recomputed * videos, "FLOP"),
        "tflops_per_s": (rate["model"], "TFLOP/s"),
        **extra,
    }
    peak = load_devices().get(common["device"])
    if peak is not None:
        exact["share_of_peak"] = (rate["model"] / peak.bf16_tflops, "share")
        exact["share_of_peak_recomputed"] = ((rate["model"] + rate["recomputed"]) / peak.bf16_tflops, "share")
    return made + [records.Record(metric=m, value=v, unit=u, n=1, **common) for m, (v, u) in exact.items()]


def measure(
    scale: Scale, student: str, out: Path, device: str, *, videos: int = 1, iterations: int = 3, compiled: bool = True
) -> list[records.Record]:
    """Run one iteration to warm up and `iterations` more; `out` has the records of those so far after each."""
    leads = distributed.rank() == 0
    say = narrator(leads=leads)
    row, scale = load_students()[student], sized(scale, videos)
    say(f"{distributed.size()} processes, {videos} videos each, on {records.device_name(device)}")
    with ExitStack() as stack:
        attention = stack.enter_context(fastest_attention(scale, device, say))
        distillation, task = build(scale, row, device, compiled)
        say(f"three networks of {sum(p.numel() for p in distillation.student.parameters()) / 1e9:.2f} B, {attention}")
        times: list[float] = []
        made: list[records.Record] = []
        for iteration in range(iterations + 1):
            scalars: dict = {}

            def whole(at=iteration, into=scalars) -> None:
                into.update(task.step(at, generator_for(0, at, device=device)))
                update_ema(task, scale.dmd_fit.ema, at)

            seconds = clocked(whole, device)
            told = distributed.average(scalars, device)
            kind = "timed" if iteration else "warm-up"
            held = memory(device)
            say(f"{kind} iteration {seconds:.2f} s; " + ", ".join(f"{k} {v:.4g}" for k, v in told.items()))
            say("peak " + ", ".join(f"{k} {v:.1f}" for k, (v, _) in held.items()))
            if not all(np.isfinite(list(told.values()))):
                raise ReproError(f"iteration {iteration} gave a value that is not finite: {told}")
            if iteration:
                times.append(seconds)
                made = measured_records(scale, row, videos, times, held, device)
                if leads:
                    records.write(out, made)
        pieces = phases(scale, distillation, task, device)
        say("pieces: " + ", ".join(f"{k} {v:.3f}" for k, v in pieces.items()))
        extra = held | {name: (value, "s") for name, value in pieces.items()}
        made = measured_records(scale, row, videos, times, extra, device)
        if leads:
            records.write(out, made)
            for r in made:
                say(f"{r.metric} {r.value:.5g} {r.unit}")
    return made
