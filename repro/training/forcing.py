"""The student's videos that distillation trains on: four ways to condition a chunk (docs/method.md, Training).

`self` and `diagonal` roll out the student; `teacher` and `diffusion` give it ground truth, clean or noised,
both as what a chunk sees of the others and, at the noise level of a random step, as its input (CausVid).
Either way the last videos' kept keys and values let one forward repeat all chunks together, with gradient.

Legend: B batch, F latent frames, K chunks, C latent channels, H and W latent height and width.
"""

from typing import NamedTuple

import torch

from repro.config import Profile, Student
from repro.flow import TIMESTEPS, add_noise, nominal_to_sigma, x0_from_velocity
from repro.generation.cache_policy import CachePolicy
from repro.generation.graphs import graphed
from repro.generation.noise import NoiseSource, stream_noise
from repro.generation.rollout import rollout
from repro.geometry import Geometry
from repro.models.kv_cache import AnchoredHistory, HistoryCache, WholeVideo
from repro.models.wan import WanDiT, anchored_mask, block_causal_mask, rollout_mask
from repro.schedule import Schedule
from repro.training.ode_init import LEVELS
from repro.training.teacher import autocast


class Rollout(NamedTuple):
    """Exit steps' predictions x0 [B, F, C, H, W], what each was given, at which noise level, and the text."""

    x0: torch.Tensor
    x: torch.Tensor
    sigma_BF: torch.Tensor
    text_BLE: torch.Tensor

    def rows(self, start: int, stop: int) -> "Rollout":
        return Rollout(*(t[start:stop] for t in self))


class Among(NamedTuple):
    """Some rows of a whole batch. Random numbers are drawn for all of it: it does not matter who makes which."""

    rows: torch.Tensor | slice
    whole: int

    def of(self, source: NoiseSource) -> NoiseSource:
        return lambda chunk, step: source(chunk, step)[self.rows]


def random_exits(schedule: Schedule, batch: int, generator: torch.Generator) -> torch.Tensor:
    """For each video and chunk [B, K] a step of the chunk's *own* list, uniformly: every step trains.

    Chunks draw apart: with one draw for a whole video Diagonal lost contrast as it trained.
    """
    counts_K = torch.tensor(schedule.counts, device=generator.device)
    return (torch.rand(batch, len(counts_K), generator=generator, device=generator.device) * counts_K).long()


def started_from(source: NoiseSource, noise_BFCHW: torch.Tensor) -> NoiseSource:
    """`source`, but the last B videos start from the given noise."""

    def draw(chunk: int, step: int) -> torch.Tensor:
        drawn = source(chunk, step)
        if step == 0:
            frames = drawn.shape[1]
            drawn[-len(noise_BFCHW) :] = noise_BFCHW[:, chunk * frames : (chunk + 1) * frames]
        return drawn

    return draw


class Context(NamedTuple):
    """Everything of a student's row that its videos depend on."""

    student: WanDiT
    geometry: Geometry
    schedule: Schedule
    window_frames: int
    shift: float
    device: str

    @classmethod
    def of(cls, profile: Profile, row: Student, student: WanDiT, device) -> "Context":
        geometry = profile.geometry.with_chunk_frames(row.chunk_frames)
        schedule = Schedule.parse(row.schedule, geometry.chunks)
        return cls(student, geometry, schedule, row.window_frames, profile.flow.shift, device)

    def history(self, batch: int, kind=HistoryCache, *first) -> HistoryCache:
        dtype = torch.bfloat16 if torch.device(self.device).type == "cuda" else torch.float32
        config, window = self.student.config, self.window_frames
        return kind(*first, config, self.geometry, batch, window, device=self.device, dtype=dtype)

    def fill(self, history: HistoryCache, x_BFCHW: torch.Tensor, sigma_BF: torch.Tensor, text) -> None:
        """One forward over whole videos whose keys and values become the history's."""
        mask = block_causal_mask(self.geometry, self.window_frames, device=self.device)
        self.student(x_BFCHW, sigma_BF * TIMESTEPS, text, cache=WholeVideo(history), mask=mask)


class OwnVideos:
    """`self` and `diagonal`: rollouts of the true per-chunk schedule, `batch` videos at once.

    `history` and `mask` are for repeating the last `share` of them. With `ground_truth_beyond`, chunks
    further back are the clean ground truth's, which one forward per `share` videos writes first.
    """

    def __init__(self, context: Context, row: Student, batch: int, share: int):
        self.context, self.batch, self.share = context, batch, share
        self.policy = CachePolicy(0 if row.forcing == "self" else row.forcing_timestep)
        beyond, where = row.ground_truth_beyond, (context.geometry, context.window_frames)
        if beyond is None:
            self.truth, self.cache = None, context.history(batch)
            self.mask = rollout_mask(*where, context.device)
        else:
            self.truth = context.history(batch)
            self.cache = context.history(batch, AnchoredHistory, self.truth, beyond)
            self.mask = anchored_mask(*where, beyond, context.device)
        self.history = self.cache.take(slice(batch - share, batch))
        self.forward = graphed(context.student, context.device)

    def _anchor(self, truth_BFCHW: torch.Tensor, text_BLE: torch.Tensor) -> None:
        for start in range(0, self.batch, self.share):
            rows = slice(start, start + self.share)
            x, text = truth_BFCHW[rows], self.context.student.text_context(text_BLE[rows])
            self.context.fill(self.truth.take(rows), x, x.new_zeros(x.shape[:2]), text)

    def __call__(
        self,
        text_BLE: torch.Tensor,
        generator: torch.Generator,
        *,
        start: torch.Tensor | None = None,
        truth: torch.Tensor | None = None,
        among: Among | None = None,
    ) -> Rollout:
        """One rollout, where each video keeps the predictions of its exit steps.

        Later steps of a chunk re-noise a kept prediction as they would their own, so that the cache, and
        with it the chunks after, see what the video became.

        The videos are those `among` a whole batch, else all of it. Its last ones, the generator's, start from
        the noise `start` when it is given.
        """
        student, geometry, schedule, _, shift, device = self.context
        batch = len(text_BLE)
        among = among or Among(slice(None), batch)
        exits_BK = random_exits(schedule, among.whole, generator)[among.rows]
        noise = stream_noise(generator, among.whole, geometry)
        noise = among.of(noise if start is None else started_from(noise, start))
        x0, x = torch.zeros(2, batch, *geometry.latent_shape, device=device)
        sigma_BF = torch.zeros(x.shape[:2], device=device)

        def on_step(k: int, step: int, given: torch.Tensor, sigma: float, predicted: torch.Tensor) -> torch.Tensor:
            frames = slice(k * geometry.chunk_frames, (k + 1) * geometry.chunk_frames)
            going_B = exits_BK[:, k] >= step
            for whole, part in ((x, given), (x0, predicted)):
                whole[:, frames] = torch.where(going_B[:, None, None, None, None], part, whole[:, frames])
            sigma_BF[:, frames] = torch.where(going_B[:, None], sigma, sigma_BF[:, frames])
            return x0[:, frames]

        self.cache.reset()
        with torch.no_grad(), autocast(device):
            if self.truth is not None:
                self._anchor(truth, text_BLE)
            rollout(
                self.forward,
                noise,
                student.text_context(text_BLE),
                schedule,
                self.cache,
                self.policy,
                shift=shift,
                on_step=on_step,
            )
        return Rollout(x0, x, sigma_BF, text_BLE)


class TrueVideos:
    """`teacher` and `diffusion`: no rollout; `share` videos at a time, whose last ones `history` keeps.

    Under `diffusion` every chunk of the context is at a level of its own, the clean end included, as in
    stage 2; the chunk's own input has the noise of another draw.
    """

    def __init__(self, context: Context, row: Student, batch: int, share: int):
        self.context, self.share = context, share
        self.history = context.history(share)
        self.mask = rollout_mask(context.geometry, context.window_frames, context.device)
        shift, device, longest = context.shift, context.device, max(context.schedule.counts)
        levels = (0,) if row.forcing == "teacher" else (*LEVELS, 0)
        self.levels = torch.tensor([nominal_to_sigma(t, shift) for t in levels], device=device)
        steps = [context.schedule.sigmas(k, shift) for k in range(context.geometry.chunks)]
        self.steps_KS = torch.tensor([s + (0.0,) * (longest - len(s)) for s in steps], device=device)

    def __call__(self, text_BLE, generator, *, start=None, truth: torch.Tensor, among: Among | None = None) -> Rollout:
        """Predictions from noised ground truth [B, F, C, H, W] for every video; `start` has no place here."""
        geometry, device = self.context.geometry, self.context.device
        (rows, whole), chunks = among or Among(slice(None), len(text_BLE)), geometry.chunks
        exits_BK = random_exits(self.context.schedule, whole, generator)[rows]
        levels_BK = torch.randint(len(self.levels), (whole, chunks), generator=generator, device=device)[rows]
        sigma_BF, seen_BF = (
            s.repeat_interleave(geometry.chunk_frames, dim=1)
            for s in (self.steps_KS[torch.arange(chunks, device=device), exits_BK], self.levels[levels_BK])
        )
        x, seen = (
            add_noise(truth, torch.randn((whole, *truth.shape[1:]), generator=generator, device=device)[rows], s)
            for s in (sigma_BF, seen_BF)
        )
        with torch.no_grad(), autocast(device):
            parts = [t.split(self.share) for t in (x, sigma_BF, seen, seen_BF, text_BLE)]
            v = torch.cat([self._velocity(*part) for part in zip(*parts, strict=True)])
        return Rollout(x0_from_velocity(x, v.float(), sigma_BF), x, sigma_BF, text_BLE)

    def _velocity(self, x, sigma_BF, seen, seen_BF, text_BLE) -> torch.Tensor:
        text = self.context.student.text_context(text_BLE)
        self.context.fill(self.history, seen, seen_BF, text)
        return self.context.student(x, sigma_BF * TIMESTEPS, text, history=self.history, mask=self.mask)


def student_videos(profile: Profile, row: Student, student: WanDiT, batch: int, share: int, device):
    """The source of a row's training videos."""
    kind = OwnVideos if row.rolls_out else TrueVideos
    return kind(Context.of(profile, row, student, device), row, batch, share)
