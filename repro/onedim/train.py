"""Diagonal Distillation of one-dimensional videos: initialisation on the teacher's trajectories, then DMD."""

from dataclasses import dataclass
from itertools import pairwise

import torch

from repro.flow import add_noise, euler_sigmas, nominal_to_sigma, shift_sigma
from repro.generation.cache_policy import POLICIES
from repro.generation.rollout import rollout
from repro.onedim.student import Context, Critic, Student
from repro.onedim.world import World
from repro.schedule import STEP_LISTS, CacheMode, Schedule
from repro.training.losses import dmd_gradient, dmd_loss

SHIFT = 5.0


@dataclass(frozen=True)
class Settings:
    """Sizes that let a CPU finish in seconds."""

    batch: int = 512
    init_iterations: int = 700
    iterations: int = 350
    critic_updates: int = 3
    lr: float = 2e-3
    distil_lr: float = 3e-4
    critic_lr: float = 1e-3


def trajectory(world: World, noise_BK: torch.Tensor, steps: int = 40) -> tuple[list[float], list[torch.Tensor]]:
    """The teacher's ODE from noise to video: noise levels and states, the video last."""
    levels = euler_sigmas(steps, SHIFT)
    x, states = noise_BK, [noise_BK]
    for now, after in pairwise(levels):
        x = x + (after - now) * (x - world.denoised(x, now)) / now
        states.append(x)
    return levels, states


def initialise(world: World, student: Student, mode: CacheMode, settings: Settings, seed: int) -> list[float]:
    """Regress the ends of the teacher's trajectories from their states; returns the losses."""
    g = torch.Generator().manual_seed(seed)
    levels, states = trajectory(world, torch.randn(8192, world.frames, generator=g))
    wanted = sorted({nominal_to_sigma(t, SHIFT) for steps in STEP_LISTS["default"].values() for t in steps})
    nearest = [min(range(len(levels)), key=lambda i, s=s: abs(levels[i] - s)) for s in wanted]
    optimizer, losses, end = torch.optim.Adam(student.parameters(), settings.lr), [], states[-1]
    kept_sigma = nominal_to_sigma(POLICIES[mode].noise_level, SHIFT)
    for _ in range(settings.init_iterations):
        rows = torch.randint(len(end), (settings.batch,), generator=g)
        x0, step = end[rows], nearest[int(torch.randint(len(nearest), (), generator=g))]
        kept = add_noise(x0, torch.randn(x0.shape, generator=g), kept_sigma)
        sigma = torch.full((settings.batch,), levels[step])
        predicted = [student.x0(states[step][rows, k], sigma, student.past(kept, k), k) for k in range(world.frames)]
        loss = (torch.stack(predicted, 1) - x0).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@dataclass
class Rolled:
    """A batch of rollouts: the exits' inputs, their levels, the context they saw, and the videos."""

    x_BK: torch.Tensor
    sigma_BK: torch.Tensor
    kept_BK: torch.Tensor
    video_BK: torch.Tensor


def roll(
    world: World,
    student: Student,
    schedule: Schedule,
    mode: CacheMode,
    batch: int,
    g: torch.Generator,
    *,
    exits: bool,
    forced_BK: torch.Tensor | None = None,
) -> Rolled:
    """The suite's rollout; with `exits`, every video keeps the prediction of a random step of each chunk.

    With `forced_BK`, the chunks after one see those numbers in its place, noised to the level that is kept.
    """
    counts = torch.tensor(schedule.counts)
    exit_BK = (
        (torch.rand(batch, world.frames, generator=g) * counts).long() if exits else (counts - 1).expand(batch, -1)
    )
    x, sigmas, x0s = (torch.zeros(batch, world.frames) for _ in range(3))

    def on_step(k, step, given, sigma, predicted):
        going = exit_BK[:, k] >= step
        for whole, part in ((x, given.flatten()), (x0s, predicted.flatten()), (sigmas, torch.full((batch,), sigma))):
            whole[:, k] = torch.where(going, part, whole[:, k])
        return x0s[:, k].view_as(predicted)

    kept_sigma = nominal_to_sigma(POLICIES[mode].noise_level, SHIFT)

    def before(k: int) -> None:
        if forced_BK is not None and k:
            noise_B = torch.randn(batch, generator=g)
            cache.kept_BK[:, k - 1] = add_noise(forced_BK[:, k - 1], noise_B, kept_sigma)

    cache = Context(torch.zeros(batch, world.frames))
    noise = lambda chunk, step: torch.randn(batch, 1, 1, 1, 1, generator=g)  # noqa: E731
    rollout(student, noise, before, schedule, cache, POLICIES[mode], shift=SHIFT, on_step=on_step)
    return Rolled(x, sigmas, cache.kept_BK, x0s)


def levels(batch: int, g: torch.Generator) -> torch.Tensor:
    """Noise levels at which student and teacher are compared, [B]."""
    return shift_sigma(torch.rand(batch, generator=g) * 0.96 + 0.02, SHIFT)


def fit_to_teacher(world: World, critic: Critic, settings: Settings, g: torch.Generator) -> None:
    """The critic starts where the teacher is."""
    optimizer = torch.optim.Adam(critic.parameters(), 2e-3)
    for i in range(settings.init_iterations):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - i / settings.init_iterations) + 1e-5
        sigma, video = levels(settings.batch, g), world.sample(settings.batch, g)
        noised = add_noise(video, torch.randn(video.shape, generator=g), sigma)
        error = (critic(noised, sigma) - world.denoised(noised, sigma)) / sigma[:, None]
        optimizer.zero_grad()
        error.square().mean().backward()
        optimizer.step()


def distil(
    world: World, student: Student, schedule: Schedule, mode: CacheMode, settings: Settings, seed: int
) -> list[float]:
    """Distribution matching on the student's own rollouts; returns mean |x0_fake − x0_real| of every iteration."""
    g, critic = torch.Generator().manual_seed(seed + 1), Critic(world.frames)
    generator_step = torch.optim.Adam(student.parameters(), settings.distil_lr, betas=(0.0, 0.99))
    critic_step = torch.optim.Adam(critic.parameters(), settings.critic_lr, betas=(0.0, 0.99))
    gaps = []
    fit_to_teacher(world, critic, settings, g)

    for iteration in range(settings.iterations):
        for _ in range(settings.critic_updates * (20 if iteration == 0 else 1)):
            video = roll(world, student, schedule, mode, settings.batch, g, exits=True).video_BK
            sigma = levels(settings.batch, g)
            noised = add_noise(video, torch.randn(video.shape, generator=g), sigma)
            weight = 1 / (sigma[:, None] ** 2)  # x0's error as velocity's
            critic_loss = (weight * (critic(noised, sigma) - video).square()).mean()
            critic_step.zero_grad()
            critic_loss.backward()
            critic_step.step()
        rolled = roll(world, student, schedule, mode, settings.batch, g, exits=True)
        x0 = torch.stack(
            [
                student.x0(rolled.x_BK[:, k], rolled.sigma_BK[:, k], student.past(rolled.kept_BK, k), k)
                for k in range(world.frames)
            ],
            1,
        )
        sigma = levels(settings.batch, g)
        with torch.no_grad():
            noised = add_noise(x0, torch.randn(x0.shape, generator=g), sigma)
            real, fake = world.denoised(noised, sigma), critic(noised, sigma)
        loss = dmd_loss(x0, dmd_gradient(x0, real, fake))
        generator_step.zero_grad()
        loss.backward()
        generator_step.step()
        gaps.append(float((fake - real).abs().mean()))
    return gaps
