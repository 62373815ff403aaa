"""Stage 3: distribution matching distillation on the student's own rollouts (METHOD.md, Training 3).

Legend: B batch, F latent frames, C latent channels, H and W latent height and width.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as nnf
from torch import nn

from repro.config import DmdFit, Profile, Student
from repro.flow import TIMESTEPS, add_noise, nominal_to_sigma, x0_from_velocity
from repro.generation.samplers import guided_velocity
from repro.models.wan import WanDiT
from repro.training.capture import captured
from repro.training.flow_matching import motion_terms
from repro.training.forcing import Rollout, student_videos
from repro.training.loop import Task, ema_copy
from repro.training.losses import dmd_gradient, dmd_loss
from repro.training.ode_init import Pairs
from repro.training.optimizer import adamw
from repro.training.teacher import autocast, flow_matching_loss


def score_sigma(batch: int, fit: DmdFit, shift: float, generator: torch.Generator) -> torch.Tensor:
    """Noise levels [B] for the scores: uniform, shifted, clamped to `timestep_range`."""
    device = generator.device
    sigma = nominal_to_sigma(TIMESTEPS * torch.rand(batch, generator=generator, device=device), shift)
    low, high = (t / TIMESTEPS for t in fit.timestep_range)
    return sigma.clamp(low, high)


class Scored(NamedTuple):
    """Exit inputs, their noise levels and text, the DMD gradient, and both scores' predictions it comes from."""

    x: torch.Tensor
    sigma_BF: torch.Tensor
    text_BLE: torch.Tensor
    gradient: torch.Tensor
    x0_real: torch.Tensor
    x0_fake: torch.Tensor


class Distillation:
    """Student, critic and teacher with the losses between them.

    The student does not move between the critic's updates, so one wide rollout serves an iteration:
    `critic_updates` batches for the critic, and the last one for the student.
    """

    def __init__(self, profile: Profile, row: Student, student: WanDiT, critic: WanDiT, teacher: WanDiT, device):
        self.profile, self.fit, self.device = profile, profile.dmd_fit, device
        self.student, self.critic, self.teacher = student, critic, teacher
        self.batch = self.fit.batch * (self.fit.critic_updates + 1)
        self.generate = student_videos(profile, row, student, self.batch, self.fit.batch, device)
        motion = motion_terms(profile.flow_matching, row, profile.geometry.latent_channels)
        self.motion = motion and motion.to(device)

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
    def generator_batch(self, made: Rollout, null_BLE: torch.Tensor, generator: torch.Generator) -> Scored:
        """The last rows with what the teacher and the critic make of them."""
        made = made.rows(self.batch - self.fit.batch, self.batch)
        with autocast(self.device):
            sigma = score_sigma(len(made.x0), self.fit, self.profile.flow.shift, generator)
            noise = torch.randn(made.x0.shape, generator=generator, device=made.x0.device)
            x = add_noise(made.x0, noise, sigma)
            contexts = [self.teacher.text_context(text) for text in (made.text_BLE, null_BLE)]
            v_real = guided_velocity(self.teacher, x, sigma, *contexts, self.fit.real_guidance)
            v_fake = guided_velocity(self.critic, x, sigma, self.critic.text_context(made.text_BLE), None, 1.0)
        x0_real, x0_fake = (x0_from_velocity(x, v.float(), sigma) for v in (v_real, v_fake))
        gradient = dmd_gradient(made.x0, x0_real, x0_fake)
        return Scored(made.x, made.sigma_BF, made.text_BLE, gradient, x0_real, x0_fake)

    def generator_loss(
        self,
        x: torch.Tensor,
        sigma_BF: torch.Tensor,
        text_BLE: torch.Tensor,
        gradient: torch.Tensor,
        x0_real: torch.Tensor,
        x0_fake: torch.Tensor,
        end: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """L_total of the latest rollout (`FlowMatching`), whose exit steps are repeated together, with gradient.

        The first arguments are a `Scored`. With `end`, where the teacher's ODE ends from the same noise,
        L_reg (paper, eq. 3) is added.
        """
        with autocast(self.device):
            context = self.student.text_context(text_BLE)
            videos = self.generate
            v = self.student(x, sigma_BF * TIMESTEPS, context, history=videos.history, mask=videos.mask)
        x0 = x0_from_velocity(x, v.float(), sigma_BF)
        loss, terms, weights = dmd_loss(x0, gradient), {}, {}
        if end is not None:
            terms["reg"], weights["reg"] = nnf.mse_loss(x0, end), self.fit.reg_weight
        if self.motion is not None:
            terms |= self.motion(x0, x0_real, x0_fake, end)
            weights |= self.motion.weights
        return {
            "loss": loss + sum(weights[name] * term for name, term in terms.items()),
            "dmd_gradient": gradient.abs().mean(),
            "latent_std": x0.detach().std(),
            **terms,
        }


def student_task(
    distillation: Distillation,
    captions: Sequence[str],
    encoder,
    row: Student,
    pairs: Pairs | None = None,
    latents: torch.Tensor | None = None,
) -> Task:
    """The stage; with `pairs`, the generator's videos start where the teacher's did, and L_reg is added.

    `latents` [N, F, C, H, W] are the captions' clips, for rows that need ground truth.
    """
    fit, device, motion = distillation.fit, distillation.device, distillation.motion
    student, critic = distillation.student, distillation.critic
    with torch.no_grad():
        texts = torch.cat([encoder(captions[i : i + 512]) for i in range(0, len(captions), 512)]).float()
        null = encoder([""] * fit.batch).float()
    modules: dict[str, nn.Module] = {"student": student, "critic": critic}
    optimizers = {"generator": adamw(student, fit), "critic": adamw(critic, fit, lr=fit.critic_lr)}
    head = [] if motion is None else [*motion.student_head.parameters()]
    if head:
        modules["motion"] = motion
        optimizers["motion"] = adamw(motion.student_head, fit, lr=distillation.profile.flow_matching.lr)
    critic_gradients = captured(lambda *batch: {"loss": distillation.critic_loss(*batch)}, critic.parameters(), device)
    generator_gradients = captured(distillation.generator_loss, [*student.parameters(), *head], device)

    def drawn(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor | None, Pairs | None]:
        """Texts of an iteration's videos, their clips, and the generator's pairs."""
        rows = torch.randint(len(texts), (distillation.batch,), generator=generator, device=device)
        if pairs is None:
            return texts[rows], None if latents is None else latents[rows].float(), None
        pair = pairs.rows(torch.randint(len(pairs.text), (fit.batch,), generator=generator, device=device))
        return torch.cat([texts[rows][: -fit.batch], pair.text]), None, pair

    def train_critic(generator: torch.Generator) -> tuple[Rollout, Pairs | None, torch.Tensor]:
        text_BLE, truth, pair = drawn(generator)
        made = distillation.generate(text_BLE, generator, start=pair and pair.noise, truth=truth)
        losses = []
        for update in range(fit.critic_updates):
            losses.append(critic_gradients(*distillation.critic_batch(made, update, generator))["loss"])
            optimizers["critic"].step(fit.clip_norm)
        return made, pair, torch.stack(losses).mean()

    def step(iteration: int, generator: torch.Generator) -> dict:
        for _ in range(fit.critic_warmup if iteration == 0 else 0):
            train_critic(generator)
        made, pair, critic_loss = train_critic(generator)
        batch = distillation.generator_batch(made, null, generator)
        scalars = generator_gradients(*batch, *([] if pair is None else [pair.end]))
        norm = optimizers["generator"].step(fit.clip_norm)
        if head:
            optimizers["motion"].step(fit.clip_norm)
            motion.follow()
        return scalars | {"critic_loss": critic_loss, "grad_norm": norm}

    return Task(
        row.student,
        modules,
        optimizers,
        step,
        ema={"student": ema_copy(student)},
        # The critic must follow from the first iteration to the last: its rate neither warms up nor decays.
        constant_lr=frozenset({"critic"}),
        config=f"{distillation.profile.dit} {fit} {distillation.profile.flow_matching} {row}",
    )
