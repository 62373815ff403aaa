"""A block of the DiT prepared for speed: the same function as `wan.Block` with fewer passes over memory.

Queries, keys and values come from one product; keys and values go straight to their slot of the cache.

Legend: B batch, F latent frames, T tokens, N heads, H head dim, D width.
"""

from functools import cache

import torch
from torch import nn

from repro.engine.attention import Kernel
from repro.engine.kernels import Scaled, split_rotate_store
from repro.engine.products import FeedForward, Fp8FeedForward, Fp8Product, Product
from repro.models.attention import ChunkMask, attend, layer_norm
from repro.models.kv_cache import CacheLayer, Itself
from repro.models.wan import Block, gated, modulate


class FastBlock(nn.Module):
    """Takes over the weights of a trained `Block`, which is of no further use. No gradient."""

    def __init__(self, block: Block, kernel: Kernel, *, fp8: bool, compiled: bool):
        super().__init__()
        self.eps, self.attend, self.compiled = block.eps, kernel, compiled
        # Of the square products one gains in fp8: its input comes from a norm, which quantises in passing. The others
        # would gain less than a pass over theirs costs.
        self.out, self.attn2, self.norm2 = block.attn1.to_out[0], block.attn2, block.norm2
        if fp8:
            self.attn2.to_q = Fp8Product(self.attn2.to_q)
        self.norm_q, self.norm_k = block.attn1.norm_q, block.attn1.norm_k
        a, up, down = block.attn1, block.ffn.net[0]["proj"], block.ffn.net[2]
        self.qkv = (Fp8Product if fp8 else Product)(a.to_q, a.to_k, a.to_v)
        self.ffn = (Fp8FeedForward if fp8 else FeedForward)(up, down)
        self.scale_shift_table = block.scale_shift_table

    def _modulation(self, modulation_BF6D: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.scale_shift_table + modulation_BF6D.float()).unbind(2)

    def before(self, x_BTD, modulation_BF6D) -> torch.Tensor | Scaled:
        """Queries, keys and values side by side, [B, T, 3D]."""
        shift, scale, *_ = self._modulation(modulation_BF6D)
        return self.qkv.begin(modulate(x_BTD, shift, scale, self.eps))

    def after(self, x_BTD, attended_BTD, modulation_BF6D, text_k, text_v) -> torch.Tensor:
        """Everything behind the self-attention."""
        _, _, gate1, shift3, scale3, gate3 = self._modulation(modulation_BF6D)
        x = gated(x_BTD, self.out(attended_BTD), gate1)
        h = layer_norm(x, self.eps, self.norm2.weight, self.norm2.bias).type_as(x)
        x = x + self.attn2.project(attend(self.attn2.query(h), text_k, text_v))
        return gated(x, self.ffn(modulate(x, shift3, scale3, self.eps)), gate3)

    text_key_value = Block.text_key_value

    def forward(
        self, x_BTD, modulation_BF6D, cos, sin, text_k, text_v, see: CacheLayer | Itself, mask: ChunkMask | None = None
    ) -> torch.Tensor:
        k_slot, v_slot, k_seen, v_seen = see.place(*x_BTD.shape[:2])
        before, after = compiled_halves() if self.compiled else (FastBlock.before, FastBlock.after)
        qkv = before(self, x_BTD, modulation_BF6D)
        q = split_rotate_store(qkv, self.norm_q, self.norm_k, cos, sin, k_slot, v_slot)
        return after(self, x_BTD, self.attend(q, k_seen, v_seen, mask), modulation_BF6D, text_k, text_v)


@cache
def compiled_halves():
    return tuple(torch.compile(half, dynamic=False) for half in (FastBlock.before, FastBlock.after))
