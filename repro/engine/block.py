"""A block of the DiT prepared for speed: the same function as `wan.Block` with fewer passes over memory.

Queries, keys and values come from one product; keys and values go straight to their slot of the cache.

Legend: B batch, F latent frames, T tokens, N heads, H head dim, D width.
"""

from functools import cache

import torch
from torch import nn

from repro.engine.attention import Kernel
from repro.engine.products import FP8, Fp8GeluProduct, Fp8Product, GeluProduct, Product, to_fp8
from repro.models.attention import attend, layer_norm, rotate
from repro.models.kv_cache import CacheLayer
from repro.models.wan import Block, gated, modulate


def _store(slot: torch.Tensor, x: torch.Tensor) -> None:
    slot.copy_(to_fp8(x) if slot.dtype == FP8 else x)


class FastBlock(nn.Module):
    """Takes over the weights of a trained `Block`, which is of no further use. No gradient."""

    def __init__(self, block: Block, kernel: Kernel, *, fp8: bool):
        super().__init__()
        product, with_gelu = (Fp8Product, Fp8GeluProduct) if fp8 else (Product, GeluProduct)
        a, b = block.attn1, block.attn2
        self.eps, self.heads, self.attend = block.eps, a.heads, kernel
        self.qkv = product(a.to_q, a.to_k, a.to_v)
        # Square products gain less in fp8 than quantising their inputs costs.
        self.out, self.text_query, self.text_out = Product(a.to_out[0]), Product(b.to_q), Product(b.to_out[0])
        self.up, self.down = with_gelu(block.ffn.net[0]["proj"]), product(block.ffn.net[2])
        self.norm_q, self.norm_k, self.text_norm_q, self.norm2 = a.norm_q, a.norm_k, b.norm_q, block.norm2
        self.scale_shift_table = block.scale_shift_table

    def _modulation(self, modulation_BF6D: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.scale_shift_table + modulation_BF6D.float()).unbind(2)

    def before(self, x_BTD, modulation_BF6D, cos, sin, k_slot, v_slot) -> torch.Tensor:
        """Rotated queries [B, T, N, H]; rotated keys and values are written to their slots."""
        shift, scale, *_ = self._modulation(modulation_BF6D)
        q, k, v = self.qkv(modulate(x_BTD, shift, scale, self.eps)).chunk(3, dim=-1)
        heads = (self.heads, -1)
        _store(k_slot, rotate(self.norm_k(k).unflatten(2, heads), cos, sin))
        _store(v_slot, v.unflatten(2, heads))
        q = rotate(self.norm_q(q).unflatten(2, heads), cos, sin)
        return to_fp8(q) if k_slot.dtype == FP8 else q.to(k_slot.dtype)

    def after(self, x_BTD, attended_BTD, modulation_BF6D, text_k, text_v) -> torch.Tensor:
        """Everything behind the self-attention."""
        _, _, gate1, shift3, scale3, gate3 = self._modulation(modulation_BF6D)
        x = gated(x_BTD, self.out(attended_BTD), gate1)
        h = layer_norm(x, self.eps, self.norm2.weight, self.norm2.bias).type_as(x)
        q = self.text_norm_q(self.text_query(h)).unflatten(2, (self.heads, -1))
        x = x + self.text_out(attend(q, text_k, text_v))
        return gated(x, self.down(self.up(modulate(x, shift3, scale3, self.eps))), gate3)

    def forward(self, x_BTD, modulation_BF6D, cos, sin, text_k, text_v, see: CacheLayer, mask=None) -> torch.Tensor:
        k_slot, v_slot, k_seen, v_seen = see.place(*x_BTD.shape[:2])
        before, after = compiled_halves() if x_BTD.is_cuda else (FastBlock.before, FastBlock.after)
        q = before(self, x_BTD, modulation_BF6D, cos, sin, k_slot, v_slot)
        return after(self, x_BTD, self.attend(q, k_seen, v_seen), modulation_BF6D, text_k, text_v)


@cache
def compiled_halves():
    return tuple(torch.compile(half, dynamic=False) for half in (FastBlock.before, FastBlock.after))
