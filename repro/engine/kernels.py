"""Triton kernels of the fast block; each has a plain form beside it, which the CPU runs and the tests compare.

Legend: B batch, T tokens, N heads, H head dim, D width = N·H.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as nnf

from repro.models.attention import RMSNorm, rotate

try:
    import triton
    import triton.language as tl
except ImportError:  # PyTorch's CPU builds come without it
    triton = None


FP8 = torch.float8_e4m3fn
FP8_MAX = torch.finfo(FP8).max


def quantise_rows(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """fp8 values and the fp32 scale of each row, [..., 1]: x ≈ values · scale."""
    scale = (x.abs().amax(-1, keepdim=True).float() / FP8_MAX).clamp(min=1e-12)
    return (x.float() / scale).clamp(-FP8_MAX, FP8_MAX).to(FP8), scale


class Scaled(NamedTuple):
    """An fp8 product [..., N] in bf16 whose scales, of rows [..., 1] and columns [N], and bias [N] are left to do.

    Whoever reads it next does them in passing: a product without them is faster than one with scales of rows.
    """

    product: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    bias: torch.Tensor

    def value(self) -> torch.Tensor:
        return (self.product.float() * self.rows * self.columns + self.bias).type_as(self.product)


def to_fp8(x: torch.Tensor) -> torch.Tensor:
    """fp8 without a scale, for values that lie well inside its range; larger ones saturate."""
    return x.clamp(-FP8_MAX, FP8_MAX).to(FP8)


def _plain(qkv_BTE: torch.Tensor | Scaled, norm_q: RMSNorm, norm_k: RMSNorm, cos, sin, k_slot, v_slot) -> torch.Tensor:
    qkv_BTE = qkv_BTE.value() if isinstance(qkv_BTE, Scaled) else qkv_BTE
    q, k, v = (part.unflatten(2, k_slot.shape[2:]) for part in (qkv_BTE.chunk(3, dim=-1)))
    cast = to_fp8 if k_slot.dtype == FP8 else (lambda x: x.to(k_slot.dtype))
    k_slot.copy_(cast(rotate(norm_k(k.flatten(2)).view_as(k), cos, sin)))
    v_slot.copy_(cast(v))
    return cast(rotate(norm_q(q.flatten(2)).view_as(q), cos, sin))


if triton is not None:

    @triton.jit
    def _read(x_ptr, scale, columns_ptr, bias_ptr, column, inside, SCALED: tl.constexpr):
        """Part of a row in fp32, with its `Scaled` scales and bias where it has them."""
        x = tl.load(x_ptr + column, mask=inside, other=0.0).to(tl.float32)
        if SCALED:
            x = x * scale * tl.load(columns_ptr + column, mask=inside, other=0.0)
            x += tl.load(bias_ptr + column, mask=inside, other=0.0).to(tl.float32)
        return x

    @triton.jit
    def _norm_rotate(x, w_ptr, out_ptr, cos, sin, eps, D: tl.constexpr, BLOCK: tl.constexpr, MAX: tl.constexpr):
        column = tl.arange(0, BLOCK)
        inside = column < D
        weight = tl.load(w_ptr + column, mask=inside, other=0.0).to(tl.float32)
        x = x * tl.rsqrt(tl.sum(x * x) / D + eps) * weight
        a, b = tl.split(tl.reshape(x, (BLOCK // 2, 2)))
        turned = tl.reshape(tl.join(a * cos - b * sin, a * sin + b * cos), (BLOCK,))
        if MAX > 0:
            turned = tl.clamp(turned, -MAX, MAX)
        tl.store(out_ptr + column, turned.to(out_ptr.dtype.element_ty), mask=inside)

    @triton.jit
    def _split_rotate_store(
        qkv_ptr,
        rows_ptr,
        columns_ptr,
        bias_ptr,
        wq_ptr,
        wk_ptr,
        cos_ptr,
        sin_ptr,
        q_ptr,
        k_ptr,
        v_ptr,
        tokens,
        slot_stride,
        eps,
        D: tl.constexpr,
        HALF: tl.constexpr,
        BLOCK: tl.constexpr,
        MAX: tl.constexpr,
        SCALED: tl.constexpr,
    ):
        """One token: norms over the width, rotation of channel pairs, three rows out."""
        row = tl.program_id(0)
        batch, token = row // tokens, row % tokens
        qkv = qkv_ptr + row.to(tl.int64) * 3 * D
        slot = batch.to(tl.int64) * slot_stride + token * D
        pair = tl.arange(0, BLOCK // 2) % HALF
        cos, sin = tl.load(cos_ptr + token * HALF + pair), tl.load(sin_ptr + token * HALF + pair)
        column = tl.arange(0, BLOCK)
        inside = column < D
        scale = tl.load(rows_ptr + row) if SCALED else 1.0
        q = _read(qkv, scale, columns_ptr, bias_ptr, column, inside, SCALED)
        _norm_rotate(q, wq_ptr, q_ptr + row.to(tl.int64) * D, cos, sin, eps, D, BLOCK, MAX)
        k = _read(qkv + D, scale, columns_ptr + D, bias_ptr + D, column, inside, SCALED)
        _norm_rotate(k, wk_ptr, k_ptr + slot, cos, sin, eps, D, BLOCK, MAX)
        v = _read(qkv + 2 * D, scale, columns_ptr + 2 * D, bias_ptr + 2 * D, column, inside, SCALED)
        if MAX > 0:
            v = tl.clamp(v, -MAX, MAX)
        tl.store(v_ptr + slot + column, v.to(v_ptr.dtype.element_ty), mask=inside)


def split_rotate_store(
    qkv_BTE: torch.Tensor | Scaled,
    norm_q: RMSNorm,
    norm_k: RMSNorm,
    cos: torch.Tensor,
    sin: torch.Tensor,
    k_slot: torch.Tensor,
    v_slot: torch.Tensor,
) -> torch.Tensor:
    """Queries [B, T, N, H], normalised and rotated, from the joint product [B, T, 3D].

    The keys, likewise, and the values go to their slots of the cache, whose type all three take; in fp8
    they saturate. One pass over memory, where the compiler makes four.
    """
    if not k_slot.is_cuda:
        return _plain(qkv_BTE, norm_q, norm_k, cos, sin, k_slot, v_slot)
    scaled = isinstance(qkv_BTE, Scaled)
    given = qkv_BTE if scaled else Scaled(*[qkv_BTE] * 4)  # of which all but the first stay unread
    batch, tokens, width = given.product.shape[0], given.product.shape[1], given.product.shape[2] // 3
    q = torch.empty(k_slot.shape, dtype=k_slot.dtype, device=k_slot.device)
    _split_rotate_store[(batch * tokens,)](
        *given,
        norm_q.weight,
        norm_k.weight,
        cos,
        sin,
        q,
        k_slot,
        v_slot,
        tokens,
        k_slot.stride(0),
        norm_q.eps,
        D=width,
        HALF=cos.shape[-1],
        BLOCK=triton.next_power_of_2(width),
        MAX=FP8_MAX if k_slot.dtype == FP8 else 0.0,
        SCALED=scaled,
        num_warps=4,
    )
    return q


if triton is not None:

    @triton.jit
    def _gelu_quantise(
        x_ptr,
        rows_ptr,
        columns_ptr,
        bias_ptr,
        values_ptr,
        scale_ptr,
        N: tl.constexpr,
        BLOCK: tl.constexpr,
        MAX: tl.constexpr,
    ):
        """One row, held in registers between its maximum and its rounding."""
        row = tl.program_id(0).to(tl.int64)
        column = tl.arange(0, BLOCK)
        inside = column < N
        x = _read(x_ptr + row * N, tl.load(rows_ptr + row), columns_ptr, bias_ptr, column, inside, True)
        # tanh(y) = 2·sigmoid(2y) − 1, so 0.5·x·(1 + tanh(y)) = x·sigmoid(2y)
        x = x * tl.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))
        scale = tl.maximum(tl.max(tl.abs(x)) / MAX, 1e-12)
        tl.store(scale_ptr + row, scale)
        x = tl.clamp(x / scale, -MAX, MAX)
        tl.store(values_ptr + row * N + column, x.to(values_ptr.dtype.element_ty), mask=inside)


@torch.library.custom_op("repro::gelu_quantise", mutates_args=())
def gelu_quantise(
    x: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """`quantise_rows` of the GELU, tanh form, of a `Scaled`, in one pass."""
    if not x.is_cuda:
        return quantise_rows(nnf.gelu(Scaled(x, rows, columns, bias).value(), approximate="tanh"))
    values = torch.empty_like(x, dtype=FP8)
    scale = x.new_empty((*x.shape[:-1], 1), dtype=torch.float32)
    width = x.shape[-1]
    _gelu_quantise[(x.numel() // width,)](
        x, rows, columns, bias, values, scale, N=width, BLOCK=triton.next_power_of_2(width), MAX=FP8_MAX, num_warps=16
    )
    return values, scale


@gelu_quantise.register_fake
def _(x, rows, columns, bias):
    return torch.empty_like(x, dtype=FP8), x.new_empty((*x.shape[:-1], 1), dtype=torch.float32)
