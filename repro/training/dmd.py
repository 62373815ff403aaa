"""Stage 3: distribution matching distillation on the student's own rollouts (METHOD.md, Training 3).

Legend: B batch, F latent frames, C latent channels, H and W latent height and width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as nnf

from repro.config import DmdFit, Profile, Student
from repro.flow import TIMESTEPS, add_noise, nominal_to_sigma, x0_from_velocity
from repro.generation.cache_policy import POLICIES
from repro.generation.graphs import graphed
from repro.generation.noise import NoiseSource, stream_noise
from repro.generation.rollout import rollout
from repro.generation.samplers import guided_velocity
from repro.models import weights
from repro.models.kv_cache import HistoryCache
from repro.models.wan import WanDiT, rollout_mask
from repro.schedule import Schedule
from repro.training.capture import captured
from repro.training.data import split_scenes
from repro.training.loop import Task, ema_copy, run
from repro.training.ode_init import trajectories
from repro.training.optimizer import adamw
from repro.training.teacher import autocast, compile_blocks, flow_matching_loss, load_teacher

NORMALIZER_FLOOR = 1e-2
"""Smallest mean |x0_student − x0_real| that the DMD gradient is divided by."""


def dmd_gradient(x0: torch.Tensor, x0_real: torch.Tensor, x0_fake: torch.Tensor) -> torch.Tensor:
    """(x0_fake − x0_real) / mean|x0 − x0_real|, the mean taken per video (DMD, eq. 7–8)."""
    scale = (x0 - x0_real).abs().mean(dim=tuple(range(1, x0.ndim)), keepdim=True)
    return (x0_fake - x0_real) / scale.clamp_min(NORMALIZER_FLOOR)


def dmd_loss(x0: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """½‖x0 − sg(x0 − gradient)‖², whose derivative with respect to x0 is `gradient` (over the element count)."""
    return 0.5 * nnf.mse_loss(x0, (x0 - gradient).detach())


def random_exits(schedule: Schedule, batch: int, generator: torch.Generator) -> torch.Tensor:
    """For each video and chunk [B, K] a step of the chunk's *own* list, uniformly: every step trains.

    Chunks draw apart: with one draw for a whole video Diagonal lost contrast as it trained.
    """
    counts_K = torch.tensor(schedule.counts, device=generator.device)
    return (torch.rand(batch, len(counts_K), generator=generator, device=generator.device) * counts_K).long()


def score_sigma(batch: int, fit: DmdFit, shift: float, generator: torch.Generator) -> torch.Tensor:
    """Noise levels [B] for the scores: uniform, shifted, clamped to `timestep_range`."""
    device = generator.device
    sigma = nominal_to_sigma(TIMESTEPS * torch.rand(batch, generator=generator, device=device), shift)
    low, high = (t / TIMESTEPS for t in fit.timestep_range)
    return sigma.clamp(low, high)


class Pairs(NamedTuple):
    """Where the teacher's guided ODE started and ended, [N, F, C, H, W] each, and the text [N, L, E]."""

    noise: torch.Tensor
    end: torch.Tensor
    text: torch.Tensor

    def rows(self, rows: torch.Tensor) -> "Pairs":
        return Pairs(*(t[rows].float() for t in self))


def started_from(source: NoiseSource, noise_BFCHW: torch.Tensor) -> NoiseSource:
    """`source`, but the last B videos start from the given noise."""

    def draw(chunk: int, step: int) -> torch.Tensor:
        drawn = source(chunk, step)
        if step == 0:
            frames = drawn.shape[1]
            drawn[-len(noise_BFCHW) :] = noise_BFCHW[:, chunk * frames : (chunk + 1) * frames]
        return drawn

    return draw


class Rollout(NamedTuple):
    """Exit steps' predictions x0 [B, F, C, H, W], what each was given, at which noise level, and the text."""

    x0: torch.Tensor
    x: torch.Tensor
    sigma_BF: torch.Tensor
    text_BLE: torch.Tensor

    def rows(self, start: int, stop: int) -> "Rollout":
        return Rollout(*(t[start:stop] for t in self))


class Distillation:
    """Student, critic and teacher with the losses between them.

    The student does not move between the critic's updates, so one wide rollout serves an iteration:
    `critic_updates` batches for the critic, and the last one for the student.
    """

    def __init__(self, profile: Profile, row: Student, student: WanDiT, critic: WanDiT, teacher: WanDiT, device):
        self.profile, self.fit, self.device = profile, profile.dmd_fit, device
        self.student, self.critic, self.teacher = student, critic, teacher
        self.policy = POLICIES[row.forcing]
        self.schedule = Schedule.parse(row.schedule, profile.geometry.chunks)
        dtype = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
        self.batch = self.fit.batch * (self.fit.critic_updates + 1)
        self.cache = HistoryCache(
            student.config, profile.geometry, self.batch, row.window_frames, device=device, dtype=dtype
        )
        self.history = self.cache.last_rows(self.fit.batch)
        self.mask = rollout_mask(profile.geometry, row.window_frames, device)
        self.forward = graphed(student, device)

    def generate(
        self, text_BLE: torch.Tensor, generator: torch.Generator, start: torch.Tensor | None = None
    ) -> Rollout:
        """One rollout of the true per-chunk schedule, where each video keeps the predictions of its exit steps.

        Later steps of a chunk re-noise a kept prediction as they would their own, so that the cache, and
        with it the chunks after, see what the video became.

        The last videos, the generator's, start from the noise `start` when it is given.
        """
        batch, geometry = len(text_BLE), self.profile.geometry
        exits_BK = random_exits(self.schedule, batch, generator)
        noise = stream_noise(generator, batch, geometry)
        x0, x = torch.zeros(2, batch, *geometry.latent_shape, device=self.device)
        sigma_BF = torch.zeros(x.shape[:2], device=self.device)

        def on_step(k: int, step: int, given: torch.Tensor, sigma: float, predicted: torch.Tensor) -> torch.Tensor:
            frames = slice(k * geometry.chunk_frames, (k + 1) * geometry.chunk_frames)
            going_B = exits_BK[:, k] >= step
            for whole, part in ((x, given), (x0, predicted)):
                whole[:, frames] = torch.where(going_B[:, None, None, None, None], part, whole[:, frames])
            sigma_BF[:, frames] = torch.where(going_B[:, None], sigma, sigma_BF[:, frames])
            return x0[:, frames]

        self.cache.reset()
        with torch.no_grad(), autocast(self.device):
            rollout(
                self.forward,
                noise if start is None else started_from(noise, start),
                self.student.text_context(text_BLE),
                self.schedule,
                self.cache,
                self.policy,
                shift=self.profile.flow.shift,
                on_step=on_step,
            )
        return Rollout(x0, x, sigma_BF, text_BLE)

    def critic_batch(self, made: Rollout, update: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        """The rollout's share of one update with noise, noise levels and text: the arguments of `critic_loss`."""
        made = made.rows(update * self.fit.batch, (update + 1) * self.fit.batch)
        sigma = score_sigma(len(made.x0), self.fit, self.profile.flow.shift, generator)
        noise = torch.randn(made.x0.shape, generator=generator, device=made.x0.device)
        return made.x0, noise, sigma, made.text_BLE

    def critic_loss(self, x0: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor, text_BLE: torch.Tensor):
        """Flow matching of the critic."""
        with autocast(self.device):
            return flow_matching_loss(self.critic, x0, noise, sigma, self.critic.text_context(text_BLE))

    @torch.no_grad()
    def generator_batch(
        self, made: Rollout, null_BLE: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, ...]:
        """Exit inputs, noise levels, text and DMD gradient of the last rows: the arguments of `generator_loss`."""
        made = made.rows(self.batch - self.fit.batch, self.batch)
        with autocast(self.device):
            sigma = score_sigma(len(made.x0), self.fit, self.profile.flow.shift, generator)
            noise = torch.randn(made.x0.shape, generator=generator, device=made.x0.device)
            x = add_noise(made.x0, noise, sigma)
            contexts = [self.teacher.text_context(text) for text in (made.text_BLE, null_BLE)]
            v_real = guided_velocity(self.teacher, x, sigma, *contexts, self.fit.real_guidance)
            v_fake = guided_velocity(self.critic, x, sigma, self.critic.text_context(made.text_BLE), None, 1.0)
        gradient = dmd_gradient(
            made.x0, x0_from_velocity(x, v_real.float(), sigma), x0_from_velocity(x, v_fake.float(), sigma)
        )
        return made.x, made.sigma_BF, made.text_BLE, gradient

    def generator_loss(
        self,
        x: torch.Tensor,
        sigma_BF: torch.Tensor,
        text_BLE: torch.Tensor,
        gradient: torch.Tensor,
        end: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """DMD of the latest rollout, whose exit steps are repeated together, with gradient.

        With `end`, where the teacher's ODE ends from the same noise, L_reg (paper, eq. 3) is added.
        """
        with autocast(self.device):
            context = self.student.text_context(text_BLE)
            v = self.student(x, sigma_BF * TIMESTEPS, context, history=self.history, mask=self.mask)
        x0 = x0_from_velocity(x, v.float(), sigma_BF)
        out = {
            "loss": dmd_loss(x0, gradient),
            "dmd_gradient": gradient.abs().mean(),
            "latent_std": x0.detach().std(),
        }
        if end is not None:
            reg = nnf.mse_loss(x0, end)
            out |= {"loss": out["loss"] + self.fit.reg_weight * reg, "reg": reg}
        return out


def student_task(
    distillation: Distillation, captions: Sequence[str], encoder, row: Student, pairs: Pairs | None = None
) -> Task:
    """The stage; with `pairs`, the generator's videos start where the teacher's did, and L_reg is added."""
    fit, device = distillation.fit, distillation.device
    student, critic = distillation.student, distillation.critic
    with torch.no_grad():
        texts = torch.cat([encoder(captions[i : i + 512]) for i in range(0, len(captions), 512)]).float()
        null = encoder([""] * fit.batch).float()
    generator_adamw = adamw(student, fit)
    critic_adamw = adamw(critic, fit, lr=fit.critic_lr)
    critic_gradients = captured(lambda *batch: {"loss": distillation.critic_loss(*batch)}, critic.parameters(), device)
    generator_gradients = captured(distillation.generator_loss, student.parameters(), device)

    def drawn(generator: torch.Generator) -> tuple[torch.Tensor, Pairs | None]:
        text_BLE = texts[torch.randint(len(texts), (distillation.batch,), generator=generator, device=device)]
        if pairs is None:
            return text_BLE, None
        pair = pairs.rows(torch.randint(len(pairs.text), (fit.batch,), generator=generator, device=device))
        return torch.cat([text_BLE[: -fit.batch], pair.text]), pair

    def train_critic(generator: torch.Generator) -> tuple[Rollout, Pairs | None, torch.Tensor]:
        text_BLE, pair = drawn(generator)
        made, losses = distillation.generate(text_BLE, generator, pair and pair.noise), []
        for update in range(fit.critic_updates):
            losses.append(critic_gradients(*distillation.critic_batch(made, update, generator))["loss"])
            critic_adamw.step(fit.clip_norm)
        return made, pair, torch.stack(losses).mean()

    def step(iteration: int, generator: torch.Generator) -> dict:
        for _ in range(fit.critic_warmup if iteration == 0 else 0):
            train_critic(generator)
        made, pair, critic_loss = train_critic(generator)
        batch = distillation.generator_batch(made, null, generator)
        scalars = generator_gradients(*batch, *([] if pair is None else [pair.end]))
        norm = generator_adamw.step(fit.clip_norm)
        return scalars | {"critic_loss": critic_loss, "grad_norm": norm}

    return Task(
        row.student,
        {"student": student, "critic": critic},
        {"generator": generator_adamw, "critic": critic_adamw},
        step,
        ema={"student": ema_copy(student)},
        # The critic must follow from the first iteration to the last: its rate neither warms up nor decays.
        constant_lr=frozenset({"critic"}),
        config=f"{distillation.profile.dit} {fit} {row}",
    )


def teacher_pairs(profile: Profile, teacher: WanDiT, encoder, work: Path, device) -> Pairs:
    """Ends of the trajectories that stage 2 made, the same for every training seed."""
    data = trajectories(profile, teacher, encoder, work, device, seed=0)
    return Pairs(data["states"][:, 0].clone(), data["states"][:, -1].clone(), data["text"])


def train_student(
    profile: Profile, row: Student, checkpoints: Path, work: Path, device, seed: int, max_seconds=None
) -> bool:
    """Distil one row of students.csv; writes `<student>-s<seed>.safetensors`."""
    if row.iterations is not None:
        profile = profile.model_copy(
            update={"dmd_fit": profile.dmd_fit.model_copy(update={"iterations": row.iterations})}
        )
    teacher, encoder = load_teacher(profile, checkpoints, device)
    student, critic = WanDiT(teacher.config), WanDiT(teacher.config)
    weights.load_into(student, checkpoints / "ode.safetensors")
    weights.load_into(critic, checkpoints / "teacher.safetensors")
    distillation = Distillation(
        profile,
        row,
        compile_blocks(student.to(device), device),
        compile_blocks(critic.to(device), device),
        compile_blocks(teacher, device),
        device,
    )
    captions = [s.caption for s in split_scenes("train", profile)]
    pairs = teacher_pairs(profile, teacher, encoder, work, device) if profile.dmd_fit.reg_weight else None
    task = student_task(distillation, captions, encoder, row, pairs)
    name = f"{row.student}-s{seed}"
    done = run(task, profile.dmd_fit, work / name, seed=seed, device=device, max_seconds=max_seconds)
    if done or max_seconds is not None:
        meta = {"stage": "student", "seed": seed, "finished": done} | row.model_dump()
        weights.save(checkpoints / f"{name}.safetensors", task.ema["student"].state_dict(), meta)
    return done
