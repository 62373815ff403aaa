"""Students of one-dimensional videos before and after distillation, chunk by chunk, against data and teacher."""

from dataclasses import replace

import pandas as pd
import torch
from scipy.stats import wasserstein_distance

from repro.onedim.student import Student
from repro.onedim.train import Settings, distil, initialise, roll, trajectory
from repro.onedim.world import World
from repro.schedule import CacheMode, Schedule

SAMPLES = 4096
SYSTEMS: tuple[tuple[CacheMode, str], ...] = (("self", "4322222"), ("diagonal", "4322222"))


def measured(
    world: World, video_BK: torch.Tensor, truth_BK: torch.Tensor, *, joined: bool = True, **labels
) -> list[dict]:
    """Per chunk: mean |x|, Wasserstein-1 distance to the data, and the spread of the step from the chunk before.

    Chunks that do not continue each other are not `joined` and make no steps.
    """
    step = torch.zeros_like(video_BK)
    step[:, 1:] = video_BK.diff(dim=1)
    return [
        labels
        | {
            "chunk": k,
            "size": float(video_BK[:, k].abs().mean()),
            "distance": wasserstein_distance(video_BK[:, k].numpy(), truth_BK[:, k].numpy()),
            "motion": float(step[:, k].std()) if k and joined else float("nan"),
        }
        for k in range(world.frames)
    ]


@torch.no_grad()
def given_truth(world: World, student: Student, schedule: Schedule, mode: CacheMode, seed: int) -> torch.Tensor:
    """Videos whose every chunk continues the data instead of the student's own: no error can build up."""
    g = torch.Generator().manual_seed(seed)
    truth = world.sample(SAMPLES, g)
    return roll(world, student, schedule, mode, SAMPLES, g, exits=False, forced_BK=truth).video_BK


def study(world: World, settings: Settings, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(one row a system and chunk, the distillation's gap between critic and teacher by iteration)."""
    g = torch.Generator().manual_seed(seed + 100)
    truth = world.sample(SAMPLES, g)
    rows = measured(world, world.sample(SAMPLES, g), truth, system="data", stage="data")
    rows += measured(world, trajectory(world, torch.randn(SAMPLES, world.frames, generator=g))[1][-1], truth,
                     system="teacher", stage="teacher")  # fmt: skip
    gaps = []
    for mode, digits in SYSTEMS:
        torch.manual_seed(seed)
        student, schedule = Student(world.frames), Schedule.parse(digits, world.frames)

        def rolled(mode=mode, student=student, schedule=schedule) -> torch.Tensor:
            with torch.no_grad():
                g = torch.Generator().manual_seed(seed + 200)
                return roll(world, student, schedule, mode, SAMPLES, g, exits=False).video_BK

        initialise(world, student, mode, settings, seed)
        forced = given_truth(world, student, schedule, mode, seed + 200)
        rows += measured(world, forced, truth, joined=False, system=mode, stage="initialised, true context")
        rows += measured(world, rolled(), truth, system=mode, stage="initialised, own context")
        gap = distil(world, student, schedule, mode, settings, seed)
        rows += measured(world, rolled(), truth, system=mode, stage="distilled, own context")
        gaps += [{"system": mode, "iteration": i, "gap": value} for i, value in enumerate(gap)]
    return pd.DataFrame(rows), pd.DataFrame(gaps)


def quick(settings: Settings) -> Settings:
    """A few iterations, for tests."""
    return replace(settings, batch=32, init_iterations=3, iterations=2, critic_updates=1)


def answer(table: pd.DataFrame) -> str:
    """What the study shows, in numbers."""
    last = table["chunk"].max()
    final = table[table["chunk"] == last].set_index(["system", "stage"])["distance"]
    lines = [f"Teacher: distance to the data at the last chunk {final['teacher', 'teacher']:.2f}."]
    for mode, digits in SYSTEMS:
        true, own, after = (
            final[mode, stage]
            for stage in ("initialised, true context", "initialised, own context", "distilled, own context")
        )
        lines.append(
            f"{mode} at {digits}: initialised, {true:.2f} after true chunks but {own:.2f} after its own, the exposure "
            f"bias; distilled on its own rollouts, {after:.2f}."
        )
    return "\n".join([*lines, f"One training seed, {SAMPLES} videos: an illustration, not a comparison of methods."])
