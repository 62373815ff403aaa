"""The many-step systems of runs.csv, behind the interface of `Generator`: prompts and noise in, decoded frames out."""

from dataclasses import dataclass

import torch

from repro.config import Profile, Run
from repro.generation.noise import NoiseSource, whole_video
from repro.generation.samplers import euler
from repro.generation.spans import NO_SPANS, Spans
from repro.generation.staircase import staircase
from repro.generation.student import ForwardCounter, OnFrames
from repro.models.wan import WanDiT
from repro.training.teacher import autocast


@dataclass
class ManyStep:
    """A bidirectional model, or a causal one on a staircase of noise, with guidance against the null prompt."""

    profile: Profile
    run: Run
    model: WanDiT
    decoder: torch.nn.Module
    null_1LE: torch.Tensor
    device: str = "cpu"

    def __post_init__(self):
        self.geometry = self.profile.geometry.with_chunk_frames(self.run.chunk_frames)
        self.forward = ForwardCounter(self._forward)
        self.decoder_dtype = next(self.decoder.parameters()).dtype

    def _forward(self, *inputs, **kept) -> torch.Tensor:
        with autocast(self.device):
            return self.model(*inputs, **kept)

    def new_cache(self, batch: int) -> None:
        """There is nothing to use again."""

    def draws(self, chunk: int) -> int:
        """Draws of noise that a chunk takes: the solver adds none of its own."""
        return 1

    @torch.inference_mode()
    def __call__(
        self,
        text_BLE: torch.Tensor,
        noise: NoiseSource,
        cache: None = None,
        spans: Spans = NO_SPANS,
        on_frames: OnFrames | None = None,
    ) -> torch.Tensor:
        """Decoded video [B, frames, 3, height, width] in [0, 1]; `on_frames(k, frames)` as soon as chunk k is clean."""
        decoding, frames, flow = self.decoder.stream(), [], self.profile.flow
        start = whole_video(noise, self.geometry)
        settings = {"steps": flow.teacher_steps, "shift": flow.shift, "guidance": flow.guidance}

        def deliver(k: int, x0: torch.Tensor) -> None:
            with spans("decode", k):
                frames.append(decoding.push(x0.to(self.decoder_dtype)))
            if on_frames is not None:
                on_frames(k, frames[-1])

        with spans("denoise"), autocast(self.device):
            contexts = [self.model.text_context(t) for t in (text_BLE, self.null_1LE.expand_as(text_BLE))]
        if self.run.sampler == "staircase":
            own = {"config": self.model.config, "geometry": self.geometry, "window_frames": self.run.window_frames}
            own |= {"lag": self.run.lag, "on_chunk": deliver, "spans": spans}
            staircase(self.forward, start, *contexts, **settings, **own)
            return torch.cat(frames, dim=1)
        with spans("denoise"):
            x0, _ = euler(self.forward, start, *contexts, **settings)
        for k, chunk in enumerate(x0.split(self.geometry.chunk_frames, dim=1)):
            deliver(k, chunk)
        return torch.cat(frames, dim=1)
