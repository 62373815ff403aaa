"""Stage 3: distribution matching distillation on the student's own rollouts (docs/method.md, Training).

Legend: B batch, F latent frames, C latent channels, H and W latent height and width.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as nnf
from torch import nn
from torch.distributed.fsdp import FSDPModule

from repro.config import DmdFit, Scale, Student, student_settings
from repro.errors import ReproError
from repro.flow import TIMESTEPS, add_noise, nominal_to_sigma, x0_from_velocity
from repro.generation.samplers import guided_velocity
from repro.models.wan import WanDiT
from repro.training import distributed
from repro.training.capture import captured
from repro.training.flow_matching import motion_terms
from repro.training.forcing import Among, Rollout, student_videos
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


class Noised(NamedTuple):
    """Noise levels [B] and noise [B, F, C, H, W] at which scores are taken."""

    sigma_B: torch.Tensor
    noise: torch.Tensor

    def rows(self, start: int, stop: int) -> "Noised":
        return Noised(*(t[start:stop] for t in self))


class Distillation:
    """Student, critic and teacher with the losses between them.

    The student does not move between the critic's updates, so one wide rollout serves an iteration:
    `critic_updates` batches for the critic, and the last `generator_batches` for the student. A process makes its
    share of each batch, all videos together or, where `fit.at_once` says so, a few at a time, in so many `parts` a
    batch; the student takes all of its own together, or as few at a time.
    """

    def __init__(self, profile: Scale, row: Student, student: WanDiT, critic: WanDiT, teacher: WanDiT, device):
        self.profile, self.fit, self.device = profile, profile.dmd_fit, device
        self.student, self.critic, self.teacher = student, critic, teacher
        self.batch = self.fit.batch * (self.fit.critic_updates + 1)
        self.mine = distributed.share(self.fit.batch)
        share = self.mine.stop - self.mine.start
        self.micro = self.fit.at_once or share
        if share % self.micro:
            raise ReproError(
                f"dmd_fit.at_once {self.micro} does not divide a process's share of {share} videos (batch "
                f"{self.fit.batch}, {distributed.size()} processes)"
            )
        self.parts = share // self.micro
        if (self.fit.critic_updates + 1) % self.fit.generator_batches:
            raise ReproError(
                f"dmd_fit.generator_batches {self.fit.generator_batches} does not divide the "
                f"{self.fit.critic_updates + 1} batches of an iteration (critic_updates and one)"
            )
        self.width = self.micro if self.fit.at_once else share * (self.fit.critic_updates + 1)
        self.generators = share * self.fit.generator_batches
        self.generator_micro = self.fit.at_once or self.generators
        self.generate = student_videos(profile, row, student, self.width, self.generator_micro, device)
        motion = motion_terms(profile.flow_matching, row, profile.geometry.latent_channels)
        self.motion = motion and motion.to(device)
        if self.motion is not None and isinstance(student, FSDPModule):
            distributed.shard_small(self.motion)

    def score_noise(self, generator: torch.Generator, batches: int = 1) -> Noised:
        """For this process's share of some batches."""
        count, shape = batches * self.fit.batch, self.profile.geometry.latent_shape
        sigma = score_sigma(count, self.fit, self.profile.flow.shift, generator)
        noise = torch.randn((count, *shape), generator=generator, device=generator.device)
        return Noised(self.shares(sigma), self.shares(noise))

    def shares(self, rows: torch.Tensor) -> torch.Tensor:
        """This process's rows of those of whole batches."""
        return rows.unflatten(0, (-1, self.fit.batch))[:, self.mine].flatten(0, 1)

    def critic_batch(self, made: Rollout, noised: Noised) -> tuple[torch.Tensor, ...]:
        """Videos of one update with noise, noise levels and text: the arguments of `critic_loss`."""
        return made.x0, noised.noise, noised.sigma_B, made.text_BLE

    def critic_loss(self, x0: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor, text_BLE: torch.Tensor):
        """Flow matching of the critic."""
        with autocast(self.device):
            return flow_matching_loss(self.critic, x0, noise, sigma, self.critic.text_context(text_BLE))

    @torch.no_grad()
    def generator_batch(self, made: Rollout, noised: Noised, null_BLE: torch.Tensor) -> Scored:
        """The generator's videos with what the teacher and the critic make of them."""
        sigma, noise = noised
        with autocast(self.device):
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


class Round:
    """The videos of `critic_updates` batches for the critic and of one for the student.

    They are the same however many processes share them, and however few each makes at once: random numbers are
    drawn for all, again for every piece that is made, and rows are kept.
    """

    def __init__(self, distillation: Distillation, generator: torch.Generator, text, truth, start):
        """`text(rows)` and `truth(rows)` give text and clips of rows of the round; `start` [B, F, C, H, W] is noise."""
        self.distillation, self.state, self.state_device = distillation, generator.get_state(), generator.device
        self.text, self.truth, self.start = text, truth, start
        self.rows = distillation.shares(torch.arange(distillation.batch, device=generator.device))
        self._make(0, generator)

    def _make(self, piece: int, generator: torch.Generator) -> None:
        width = self.distillation.width
        rows, self.piece = self.rows[piece * width : (piece + 1) * width], piece
        among, truth = Among(rows, self.distillation.batch), self.truth and self.truth(rows)
        self.made = self.distillation.generate(self.text(rows), generator, start=self.start, truth=truth, among=among)

    def videos(self, start: int, count: int) -> Rollout:
        """Some of this process's, in order. The rollout's kept keys and values are those of the last that were made."""
        piece, first = divmod(start, self.distillation.width)
        if piece != self.piece:
            again = torch.Generator(self.state_device)
            again.set_state(self.state)
            self._make(piece, again)
        return self.made.rows(first, first + count)


def mean_of(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Means of scalars, name by name."""
    return {name: torch.stack([row[name] for row in rows]).mean() for name in rows[0]}


def student_task(
    distillation: Distillation,
    captions: Sequence[str],
    encoder,
    row: Student,
    pairs: Pairs | None = None,
    latents: torch.Tensor | None = None,
) -> Task:
    """The stage; with `pairs`, the generator's videos start where the teacher's did, and L_reg is added.

    `latents` [N, F, C, H, W] are the captions' clips, for rows that need ground truth; a pair's is the teacher's clip.
    """
    fit, device, motion = distillation.fit, distillation.device, distillation.motion
    profile = distillation.profile
    paired = fit.batch * fit.generator_batches
    student, critic = distillation.student, distillation.critic
    with torch.no_grad():
        texts = torch.cat([encoder(captions[i : i + 512]) for i in range(0, len(captions), 512)]).float()
        null = encoder([""] * distillation.generator_micro).float()
    modules: dict[str, nn.Module] = {"student": student, "critic": critic}
    optimizers = {"generator": adamw(student, fit), "critic": adamw(critic, fit, lr=fit.critic_lr)}
    head = [] if motion is None else [*motion.student_head.parameters()]
    if head:
        modules["motion"] = motion
        optimizers["motion"] = adamw(motion.student_head, fit, lr=profile.flow_matching.lr)
    critic_gradients = captured(
        lambda *batch: {"loss": distillation.critic_loss(*batch)}, critic.parameters(), device, distillation.parts
    )
    generator_parts = distillation.generators // distillation.generator_micro
    generator_gradients = captured(distillation.generator_loss, [*student.parameters(), *head], device, generator_parts)

    def videos(generator: torch.Generator) -> tuple[Round, Pairs | None]:
        """A round with captions drawn, and the pairs that its generator's videos have."""
        rows = torch.randint(len(texts), (distillation.batch,), generator=generator, device=device)
        pair = None
        if pairs is not None:
            pair = pairs.rows(torch.randint(len(pairs.text), (paired,), generator=generator, device=device))

        def given(own: torch.Tensor, paired_with: torch.Tensor | None):
            """What rows of the round have: their own, or what their pair has."""

            def of(which: torch.Tensor) -> torch.Tensor:
                found, place = own[rows[which]].float(), which - (distillation.batch - paired)
                if paired_with is not None:
                    found[place >= 0] = paired_with[place[place >= 0]]
                return found

            return of

        text = given(texts, pair and pair.text)
        truth = None if latents is None else given(latents, pair and pair.end)
        return Round(distillation, generator, text, truth, pair and pair.noise), pair

    def in_parts(
        round_: Round, start: int, micro: int, generator: torch.Generator, batches: int = 1
    ) -> Iterator[tuple[slice, Rollout, Noised]]:
        """Some batches of this process, `micro` videos at a time: their place, videos, and noise for their scores."""
        noised = distillation.score_noise(generator, batches)
        for first in range(0, len(noised.sigma_B), micro):
            place = slice(first, first + micro)
            yield place, round_.videos(start + first, micro), noised.rows(place.start, place.stop)

    def train_critic(generator: torch.Generator) -> tuple[Round, Pairs | None, torch.Tensor]:
        round_, pair = videos(generator)
        losses, share = [], distillation.micro * distillation.parts
        for update in range(fit.critic_updates):
            for _, made, noised in in_parts(round_, update * share, distillation.micro, generator):
                losses.append(critic_gradients(*distillation.critic_batch(made, noised))["loss"])
            optimizers["critic"].step(fit.clip_norm)
        return round_, pair, torch.stack(losses).mean()

    def step(iteration: int, generator: torch.Generator) -> dict:
        for _ in range(fit.critic_warmup if iteration == 0 else 0):
            train_critic(generator)
        round_, pair, critic_loss = train_critic(generator)
        scalars, ends = [], None if pair is None else distillation.shares(pair.end)
        start, micro = len(round_.rows) - distillation.generators, distillation.generator_micro
        for place, made, noised in in_parts(round_, start, micro, generator, fit.generator_batches):
            batch = distillation.generator_batch(made, noised, null)
            scalars.append(generator_gradients(*batch, *([] if ends is None else [ends[place]])))
        norm = optimizers["generator"].step(fit.clip_norm)
        if head:
            optimizers["motion"].step(fit.clip_norm)
            motion.follow()
        return mean_of(scalars) | {"critic_loss": critic_loss, "grad_norm": norm}

    return Task(
        row.student,
        modules,
        optimizers,
        step,
        ema={"student": ema_copy(student)},
        # The critic must follow from the first iteration to the last: its rate neither warms up nor decays.
        constant_lr=frozenset({"critic"}),
        config=student_settings(profile, row),
    )
