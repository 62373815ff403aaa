"""fp8 attention by cuDNN, through its Python front end (nvidia-cudnn-frontend).

Queries, keys and values are float8_e4m3fn with scales of one; on Hopper the output is fp8 as well. It is an
average of values, so much smaller than they are: it is scaled up before it is rounded.
"""

import math
from functools import cache
from types import ModuleType

import torch

from repro.errors import ReproError

OUT_SCALE = 16.0
"""Outputs saturate beyond 448/16 = 28."""
PROBABILITY_SCALE = 448.0
"""Attention weights, at most one, use the whole range of e4m3."""


@cache
def load() -> ModuleType:
    """The front end. Raises ReproError where it is not installed."""
    try:
        import cudnn
    except (ImportError, OSError) as error:
        raise ReproError(
            f"attention kernel cudnn_fp8 is not installed ({error}): install nvidia-cudnn-frontend"
        ) from error
    return cudnn


@cache
def _scales(device: torch.device) -> list[torch.Tensor]:
    """Of q, k, v, the weights (down and up) and the output, where cuDNN reads them."""
    values = (1.0, 1.0, 1.0, 1 / PROBABILITY_SCALE, PROBABILITY_SCALE, OUT_SCALE)
    return [torch.full((1, 1, 1, 1), v, device=device) for v in values]


@cache
def _handle(device: torch.device):
    return load().create_handle()


@cache
def _plan(q_shape, q_stride, k_shape, k_stride, device: torch.device):
    """A built graph for one shape, its tensors in calling order, and its work space."""
    cudnn = load()
    types = cudnn.data_type
    graph = cudnn.pygraph(
        io_data_type=types.FP8_E4M3,
        intermediate_data_type=types.FLOAT,
        compute_data_type=types.FLOAT,
        handle=_handle(device),
    )

    def tensor(shape, stride):
        order = (0, 2, 1, 3)  # ours is [B, T, N, H], cuDNN's [B, N, T, H]
        return graph.tensor(dim=[shape[i] for i in order], stride=[stride[i] for i in order], data_type=types.FP8_E4M3)

    def scalar():
        return graph.tensor(dim=[1] * 4, stride=[1] * 4, data_type=types.FLOAT)

    q, k, v, scales = tensor(q_shape, q_stride), tensor(k_shape, k_stride), tensor(k_shape, k_stride), []
    for _ in range(6):
        scales.append(scalar())
    names = ("descale_q", "descale_k", "descale_v", "descale_s", "scale_s", "scale_o")
    out, _, amax_s, amax_o = graph.sdpa_fp8(
        q=q,
        k=k,
        v=v,
        **dict(zip(names, scales, strict=True)),
        generate_stats=False,
        attn_scale=1 / math.sqrt(q_shape[-1]),
        use_causal_mask=False,
    )
    batch, tokens, heads, head = q_shape
    out.set_output(True).set_dim([batch, heads, tokens, head])
    out.set_stride([tokens * heads * head, head, heads * head, 1]).set_data_type(types.FP8_E4M3)
    for amax in (amax_s, amax_o):
        amax.set_output(True).set_dim([1] * 4).set_stride([1] * 4).set_data_type(types.FLOAT)
    graph.validate()
    graph.build_operation_graph()
    graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
    graph.check_support()
    graph.build_plans()
    spare = torch.empty(2, device=device)
    space = torch.empty(max(1, graph.get_workspace_size()), dtype=torch.uint8, device=device)
    return graph, (q, k, v, *scales, amax_s, amax_o, out), (spare[:1], spare[1:]), space


def attend(q_BTNH: torch.Tensor, k_BSNH: torch.Tensor, v_BSNH: torch.Tensor) -> torch.Tensor:
    """[B, T, D] in bf16."""
    device = q_BTNH.device
    graph, tensors, amax, space = _plan(q_BTNH.shape, q_BTNH.stride(), k_BSNH.shape, k_BSNH.stride(), device)
    out, handle = torch.empty_like(q_BTNH), _handle(device)
    load().set_stream(handle=handle, stream=torch.cuda.current_stream(device).cuda_stream)
    given = (q_BTNH, k_BSNH, v_BSNH, *_scales(device), *amax, out)
    graph.execute(dict(zip(tensors, given, strict=True)), space, handle=handle)
    return (out.to(torch.bfloat16) / OUT_SCALE).flatten(2)
