"""Forward and backward as one CUDA graph: small networks are bound by their kernel launches, not their sums."""

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.distributed.tensor import DTensor

WARMUPS = 3

Scalars = dict[str, torch.Tensor]


def captured(
    fn: Callable[..., Scalars], parameters: Iterable[nn.Parameter], device, parts: int = 1
) -> Callable[..., Scalars]:
    """Wrap `fn(*tensors) → {"loss": …, …}` so that a call fills every parameter's gradient.

    On a GPU the first call with inputs of a new shape captures a graph, and every later one replays
    it; `fn` must then draw no random numbers and read nothing back. On a CPU it runs as it is, and so do
    sharded parameters, whose collectives no graph holds, and a batch in `parts`: so many calls add up to the
    gradient of their mean, from where the optimiser cleared it.
    """
    parameters = list(parameters)

    def add(*inputs: torch.Tensor) -> Scalars:
        out = fn(*inputs)
        (out["loss"] / parts).backward()
        return {k: v.detach() for k, v in out.items()}

    def run(*inputs: torch.Tensor) -> Scalars:
        for p in parameters:
            p.grad = None
        out = fn(*inputs)
        out["loss"].backward()
        return {k: v.detach() for k, v in out.items()}

    if parts > 1:
        return add
    if torch.device(device).type != "cuda" or any(isinstance(p, DTensor) for p in parameters):
        return run
    graphs: dict[tuple, tuple] = {}

    def capture(*inputs: torch.Tensor) -> tuple:
        held = [x.clone() for x in inputs]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARMUPS):
                run(*held)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = run(*held)
        return graph, held, out, [p.grad for p in parameters]

    def replay(*inputs: torch.Tensor) -> Scalars:
        key = tuple((tuple(x.shape), x.dtype) for x in inputs)
        if key not in graphs:
            graphs[key] = capture(*inputs)
        graph, held, out, gradients = graphs[key]
        torch._foreach_copy_(held, list(inputs))
        graph.replay()
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g
        return {k: v.clone() for k, v in out.items()}

    return replay
