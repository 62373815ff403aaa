"""CUDA graphs of the cached forward: one a chunk position, replayed for every step and rollout.

A forward of a small model is bound by its kernel launches; a replay makes one. On a CPU, and for
models too large to profit, `graphed` hands back the model itself.
"""

import torch

from repro.models.kv_cache import KVCache
from repro.models.wan import TextContext, WanDiT

WARMUPS = 2


class _Graphed:
    """Callable like `WanDiT.forward` with a cache; the same cache object must come every time."""

    def __init__(self, model: WanDiT):
        self.model = model
        self.context: TextContext | None = None
        self.source: TextContext | None = None
        self.graphs: dict[int, tuple] = {}

    def _load_context(self, context: TextContext) -> None:
        if self.context is None:
            self.context = context.clone()
        elif context is not self.source:
            self.context.copy_(context)
        self.source = context

    def _capture(self, x, timestep, start_frame: int, cache: KVCache) -> tuple:
        x, timestep = x.clone(), timestep.clone()

        def call():
            return self.model(x, timestep, self.context, start_frame=start_frame, cache=cache)

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARMUPS):
                call()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = call()
        return graph, x, timestep, out

    @torch.no_grad()
    def __call__(self, x, timestep, context: TextContext, *, start_frame: int, cache: KVCache) -> torch.Tensor:
        self._load_context(context)
        if start_frame not in self.graphs:
            self.graphs[start_frame] = self._capture(x, timestep, start_frame, cache)
        graph, x_in, timestep_in, out = self.graphs[start_frame]
        x_in.copy_(x)
        timestep_in.copy_(timestep)
        graph.replay()
        return out.clone()


def graphed(model: WanDiT, device):
    """`model` behind CUDA graphs on a GPU; `model` itself elsewhere."""
    return _Graphed(model) if torch.device(device).type == "cuda" else model
