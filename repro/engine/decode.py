"""The tiny decoder behind one CUDA graph, which serves every chunk of every video of one shape."""

from functools import cache
from typing import NamedTuple

import torch

from repro.models.taehv import TinyDecoder, TinyStream

WARMUPS = 2


@cache
def _compiled_grow():
    return torch.compile(TinyStream.grow, dynamic=False)


class Captured(NamedTuple):
    stream: TinyStream
    graph: torch.cuda.CUDAGraph
    given: torch.Tensor
    grown: torch.Tensor


class GraphedTiny:
    """Decodes like `TinyDecoder`, one video at a time; a graph and a memory for every shape of chunk."""

    def __init__(self, decoder: TinyDecoder, *, compiled: bool):
        self.decoder = decoder
        self.grow = _compiled_grow() if compiled else TinyStream.grow
        self.captured: dict[torch.Size, Captured] = {}
        self.fresh = True

    def stream(self) -> "GraphedTiny":
        """Another video begins; the one before it is over."""
        self.fresh = True
        return self

    def _capture(self, latents: torch.Tensor) -> Captured:
        given, inner, warm = latents.clone(), self.decoder.stream(), torch.cuda.Stream()
        warm.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm):
            for _ in range(WARMUPS):
                self.grow(inner, given)
        torch.cuda.current_stream().wait_stream(warm)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            grown = self.grow(inner, given)
        return Captured(inner, graph, given, grown)

    def push(self, latents_BfCHW: torch.Tensor) -> torch.Tensor:
        """See `TinyStream.push`."""
        shape = latents_BfCHW.shape
        if shape not in self.captured:
            self.captured[shape] = self._capture(latents_BfCHW)
        found = self.captured[shape]
        if self.fresh:
            found.stream.reset()
            self.fresh = False
        found.given.copy_(latents_BfCHW)
        found.graph.replay()
        return found.stream.trim(found.grown).clone()
