"""The tiny decoder behind one CUDA graph, which serves every chunk of every video of one shape."""

from functools import cache

import torch

from repro.models.taehv import TinyDecoder, TinyStream

WARMUPS = 2


@cache
def _compiled_grow():
    return torch.compile(TinyStream.grow, dynamic=False)


class GraphedTiny:
    """Decodes like `TinyDecoder`, one video at a time."""

    def __init__(self, decoder: TinyDecoder, *, compiled: bool):
        self.inner = decoder.stream()
        self.run = _compiled_grow() if compiled else TinyStream.grow
        self.graph: torch.cuda.CUDAGraph | None = None

    def stream(self) -> "GraphedTiny":
        self.inner.reset()
        return self

    def _capture(self, latents: torch.Tensor) -> None:
        self.given, stream = latents.clone(), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARMUPS):
                self.run(self.inner, self.given)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.grown = self.run(self.inner, self.given)
        self.inner.reset()

    def push(self, latents_BfCHW: torch.Tensor) -> torch.Tensor:
        """See `TinyStream.push`."""
        if self.graph is None:
            self._capture(latents_BfCHW)
        self.given.copy_(latents_BfCHW)
        self.graph.replay()
        return self.inner.trim(self.grown).clone()
