"""CUDA graphs of the cached forward: one for each state of the cache, replayed for every step and rollout.

A forward of a small model is bound by its kernel launches; a replay makes one. A large one's gaps between
kernels close. On a CPU `graphed` hands back the model itself.
"""

import torch
from torch.distributed.fsdp import FSDPModule

from repro.models.kv_cache import KVCache
from repro.models.wan import TextContext, WanDiT

WARMUPS = 2


class Graphed:
    """Callable like `WanDiT.forward` with a cache, one graph for each cache and state of it.

    Positions are an input like any other, so a ring that is full needs no new graph, however long the video.
    """

    def __init__(self, model: WanDiT):
        self.model = model
        self.context: TextContext | None = None
        self.source: TextContext | None = None
        self.rotary: dict[torch.Size, tuple[int, tuple[torch.Tensor, torch.Tensor]]] = {}
        self.pool = torch.cuda.graph_pool_handle()
        self.graphs: dict[tuple[KVCache, tuple[int, int, int]], tuple] = {}

    def _load_context(self, context: TextContext) -> None:
        if self.context is None:
            self.context = context.clone()
        elif context is not self.source:
            self.context.copy_(context)
        self.source = context

    def _rotary_at(self, start_frame: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The positions' own memory for chunks of this shape, filled for this start."""
        start, held = self.rotary.get(x.shape, (None, None))
        if start != start_frame:
            rotary = self.model.rotary(start_frame, x)
            if held is None:
                held = tuple(t.clone() for t in rotary)
            else:
                torch._foreach_copy_(held, rotary)
            self.rotary[x.shape] = (start_frame, held)
        return held

    def _capture(self, x, timestep, cache: KVCache, rotary) -> tuple:
        x, timestep = x.clone(), timestep.clone()

        def call():
            return self.model(x, timestep, self.context, cache=cache, rotary=rotary)

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARMUPS):
                call()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            out = call()
        return graph, x, timestep, out

    @torch.no_grad()
    def __call__(self, x, timestep, context: TextContext, *, start_frame: int, cache: KVCache) -> torch.Tensor:
        self._load_context(context)
        rotary = self._rotary_at(start_frame, x)
        key = (cache, cache.key)
        if key not in self.graphs:
            self.graphs[key] = self._capture(x, timestep, cache, rotary)
        graph, x_in, timestep_in, out = self.graphs[key]
        x_in.copy_(x)
        timestep_in.copy_(timestep)
        graph.replay()
        return out.clone()


def graphed(model: WanDiT, device):
    """`model` behind CUDA graphs on a GPU; `model` itself elsewhere, and where it is sharded: no graph holds that."""
    return Graphed(model) if torch.device(device).type == "cuda" and not isinstance(model, FSDPModule) else model
