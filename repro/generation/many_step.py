"""The many-step systems of runs.csv, behind the interface of `Generator`: prompts and noise in, decoded frames out."""

from contextlib import nullcontext
from dataclasses import dataclass

import torch

from repro.config import Run, Scale
from repro.engine.assemble import Engine
from repro.engine.options import EAGER
from repro.errors import ReproError
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

    profile: Scale
    run: Run
    model: WanDiT
    decoder: torch.nn.Module
    null_1LE: torch.Tensor
    device: str = "cpu"
    engine: Engine | None = None
    """Made of this `model`; its blocks, its decoder and its stream for decoding are used, but not its graphs: a forward
    of many chunks keeps a GPU busy for longer than it takes to launch."""

    def __post_init__(self):
        self.geometry = self.run.geometry(self.profile.geometry)
        if self.engine is None:
            self.engine = Engine(self.model, EAGER, self.device)
        if self.engine.cache_dtype != self.model.dtype:
            raise ReproError(
                f"sampler {self.run.sampler} keeps keys and values in {self.model.dtype}, engine "
                f"{self.engine.options.engine} in {self.engine.cache_dtype}: choose one with another attention"
            )
        self.forward = ForwardCounter(self._forward)
        self.decoder_dtype = next(self.decoder.parameters()).dtype
        self.decoder = self.engine.decoder(self.decoder)

    def _mixed(self):
        """bf16 on a GPU for weights in fp32; others were reduced before."""
        return autocast(self.device) if self.model.dtype == torch.float32 else nullcontext()

    def _forward(self, *inputs, **kept) -> torch.Tensor:
        with self._mixed():
            return self.model(*inputs, **kept)

    def cache(self, batch: int) -> None:
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
            with self.engine.aside():
                with spans("decode", k):
                    frames.append(decoding.push(x0.to(self.decoder_dtype)))
                if on_frames is not None:
                    on_frames(k, frames[-1])

        with spans("denoise"), self._mixed():
            contexts = [self.model.text_context(t) for t in (text_BLE, self.null_1LE.expand_as(text_BLE))]
        if self.run.sampler == "staircase":
            own = {"config": self.model.config, "geometry": self.geometry, "window_frames": self.run.window_frames}
            own |= {"lag": self.run.lag, "on_chunk": deliver, "spans": spans}
            staircase(self.forward, start, *contexts, **settings, **own)
        else:
            with spans("denoise"):
                x0, _ = euler(self.forward, start, *contexts, **settings)
            for k, chunk in enumerate(x0.split(self.geometry.chunk_frames, dim=1)):
                deliver(k, chunk)
        self.engine.join()
        return torch.cat(frames, dim=1)
