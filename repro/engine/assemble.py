"""A model made ready to run under one row of `config/engines.csv`."""

from contextlib import contextmanager

import torch
from torch import nn

from repro.engine.attention import kernel
from repro.engine.block import FastBlock
from repro.engine.decode import GraphedTiny
from repro.engine.kernels import FP8
from repro.engine.options import TAKE_FP8, EngineOptions
from repro.generation.graphs import Graphed
from repro.geometry import Geometry
from repro.models.kv_cache import KVCache
from repro.models.taehv import TinyDecoder
from repro.models.wan import WanDiT

SHAPES = 64
"""Compiled forms that a half of a block may have, one for each number of tokens and each engine of a process. PyTorch
keeps 8 and runs what comes after them uncompiled, without a word."""


class Engine:
    """Owns `model`, whose blocks it may replace. On a CPU, graphs, compilation and overlap have no effect.

    `forward` is for chunks with a cache, behind CUDA graphs where the options say so; `model` takes whatever a
    `WanDiT` does, launched kernel by kernel.
    """

    def __init__(self, model: WanDiT, options: EngineOptions, device):
        self.model, self.options = model, options
        self.device, self.cuda = device, torch.device(device).type == "cuda"
        chosen = kernel(options.attention)
        if options.compiled and self.cuda:
            torch._dynamo.config.recompile_limit = SHAPES
        if options.fused:
            fp8 = options.precision == "fp8"
            for index, block in enumerate(model.blocks):
                model.blocks[index] = FastBlock(block, chosen, fp8=fp8, compiled=options.compiled and self.cuda)
        else:
            for block in model.blocks:
                block.attend, block.compiled = chosen, options.compiled and self.cuda
        self.forward = Graphed(model) if options.graphs and self.cuda else model
        self.cache_dtype = FP8 if options.attention in TAKE_FP8 else model.dtype
        self.caches: dict[tuple, KVCache] = {}
        self.decoders: dict[TinyDecoder, GraphedTiny] = {}
        # Frames are wanted at once, while the next chunk has time.
        self.side = torch.cuda.Stream(device, priority=-1) if options.overlap and self.cuda else None

    def cache(self, geometry: Geometry, batch: int, window_frames: int, sink_frames: int) -> KVCache:
        """One of a shape for all videos, one after the other: graphs are captured for a cache, and keep it for ever."""
        key = (geometry.tokens(1), geometry.chunk_frames, batch, window_frames, sink_frames)
        if key not in self.caches:
            kept = {"device": self.device, "dtype": self.cache_dtype}
            self.caches[key] = KVCache(self.model.config, geometry, batch, window_frames, sink_frames, **kept)
        return self.caches[key]

    def decoder(self, decoder: nn.Module) -> nn.Module | GraphedTiny:
        """The decoder as this engine runs it."""
        if not (isinstance(decoder, TinyDecoder) and self.options.graphs and self.cuda):
            return decoder
        if decoder not in self.decoders:
            self.decoders[decoder] = GraphedTiny(decoder, compiled=self.options.compiled)
        return self.decoders[decoder]

    @contextmanager
    def aside(self):
        """Work in here follows what has been issued so far, and runs beside what is issued next."""
        if self.side is None:
            yield
            return
        self.side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.side):
            yield

    def join(self) -> None:
        """What is issued next follows all that runs aside."""
        if self.side is not None:
            torch.cuda.current_stream().wait_stream(self.side)
