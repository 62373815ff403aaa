"""The Wan2.1 text-to-video DiT, bidirectional and cached in one module.

Parameter names are those of diffusers' `WanTransformer3DModel`, so its weights load as they are.

Legend: B batch, F latent frames, C latent channels, T tokens, L text tokens, E text width, D width,
N heads, H head dim.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch
import torch.nn.functional as nnf
from pydantic import BaseModel, ConfigDict
from torch import nn
from torch.utils.checkpoint import checkpoint

from repro.geometry import Geometry
from repro.models.attention import Attention, ChunkMask, attend, layer_norm, rotary_table, rotate
from repro.models.kv_cache import CacheLayer, HistoryCache, Itself, KVCache, Together


class WanConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int
    heads: int
    layers: int
    ffn_dim: int
    text_dim: int
    text_tokens: int
    freq_dim: int = 256
    in_channels: int = 16
    out_channels: int = 16
    patch: int = 2
    eps: float = 1e-6


@dataclass
class TextContext:
    """Cross-attention keys and values of a prompt, [B, L, N, H] for each layer; made once a prompt."""

    keys: list[torch.Tensor]
    values: list[torch.Tensor]

    def clone(self) -> "TextContext":
        return TextContext([k.clone() for k in self.keys], [v.clone() for v in self.values])

    def copy_(self, other: "TextContext") -> None:
        torch._foreach_copy_(self.keys, other.keys)
        torch._foreach_copy_(self.values, other.values)


class TwoLayer(nn.Module):
    """linear_1 → activation → linear_2, under diffusers' names."""

    def __init__(self, width_in: int, width: int, activation):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(width_in, width), nn.Linear(width, width)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear_2(self.activation(self.linear_1(x)))


def _gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    return nnf.gelu(x, approximate="tanh")


class ConditionEmbedder(nn.Module):
    """Timestep → modulation, text → width."""

    def __init__(self, c: WanConfig):
        super().__init__()
        self.freq_dim = c.freq_dim
        self.time_embedder = TwoLayer(c.freq_dim, c.dim, nnf.silu)
        self.time_proj = nn.Linear(c.dim, 6 * c.dim)
        self.text_embedder = TwoLayer(c.text_dim, c.dim, _gelu_tanh)

    def time(self, timestep_BF: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding [B, F, D] and block modulation [B, F, 6, D] of model timesteps in [0, 1000]."""
        half = self.freq_dim // 2
        frequency = torch.exp(-math.log(10_000) / half * torch.arange(half, device=timestep_BF.device))
        angle = timestep_BF.float()[..., None] * frequency
        embedding = self.time_embedder(torch.cat([angle.cos(), angle.sin()], dim=-1))
        return embedding, self.time_proj(nnf.silu(embedding)).unflatten(-1, (6, -1))


class FeedForward(nn.Module):
    def __init__(self, dim: int, inner: int):
        super().__init__()
        # diffusers keeps the projection under net.0.proj and the output under net.2.
        self.net = nn.ModuleList([nn.ModuleDict({"proj": nn.Linear(dim, inner)}), nn.Identity(), nn.Linear(inner, dim)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net[2](_gelu_tanh(self.net[0]["proj"](x)))


class Affine(nn.Module):
    """Weight and bias of the cross-attention norm."""

    def __init__(self, dim: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))


def modulate(x_BTD: torch.Tensor, shift_BFD: torch.Tensor, scale_BFD: torch.Tensor, eps: float) -> torch.Tensor:
    """Normalise, then scale and shift every frame's tokens by that frame's modulation."""
    frames = shift_BFD.shape[1]
    x = layer_norm(x_BTD, eps).unflatten(1, (frames, -1))
    return (x * (1 + scale_BFD[:, :, None]) + shift_BFD[:, :, None]).flatten(1, 2).type_as(x_BTD)


def gated(x_BTD: torch.Tensor, update_BTD: torch.Tensor, gate_BFD: torch.Tensor) -> torch.Tensor:
    """x + gate · update, the gate of every frame applied to its tokens, in fp32."""
    update = update_BTD.float().unflatten(1, (gate_BFD.shape[1], -1)) * gate_BFD[:, :, None]
    return (x_BTD.float() + update.flatten(1, 2)).type_as(x_BTD)


class Block(nn.Module):
    compiled = False
    checkpointed = False
    """Keep nothing of a forward but its input, and compute it again in the backward pass."""
    attend = staticmethod(attend)
    """Self-attention kernel (q, k, v, mask) → [B, T, D]; another may be set on a block."""

    def __init__(self, c: WanConfig):
        super().__init__()
        self.eps = c.eps
        self.attn1, self.attn2 = Attention(c.dim, c.heads, c.eps), Attention(c.dim, c.heads, c.eps)
        self.norm2 = Affine(c.dim)
        self.ffn = FeedForward(c.dim, c.ffn_dim)
        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, c.dim) / c.dim**0.5)

    def _modulation(self, modulation_BF6D: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Shift, scale and gate of the self-attention, then of the feed-forward, each [B, F, D] in fp32."""
        return (self.scale_shift_table + modulation_BF6D.float()).unbind(2)

    def before(self, x_BTD, modulation_BF6D, cos, sin) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Rotated queries and keys, and values, [B, T, N, H]."""
        shift, scale, *_ = self._modulation(modulation_BF6D)
        h = modulate(x_BTD, shift, scale, self.eps)
        k, v = self.attn1.key_value(h)
        return rotate(self.attn1.query(h), cos, sin), rotate(k, cos, sin), v

    def after(self, x_BTD, attended_BTD, modulation_BF6D, text_k, text_v) -> torch.Tensor:
        """Everything behind the self-attention."""
        _, _, gate1, shift3, scale3, gate3 = self._modulation(modulation_BF6D)
        x = gated(x_BTD, self.attn1.project(attended_BTD), gate1)
        h = layer_norm(x, self.eps, self.norm2.weight, self.norm2.bias).type_as(x)
        x = x + self.attn2.project(attend(self.attn2.query(h), text_k, text_v))
        return gated(x, self.ffn(modulate(x, shift3, scale3, self.eps)), gate3)

    def text_key_value(self, text_BLD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-attention keys and values of embedded text, [B, L, N, H]."""
        return self.attn2.key_value(text_BLD)

    def forward(self, x_BTD, modulation_BF6D, cos, sin, text_k, text_v, see, mask=None) -> torch.Tensor:
        """`see(k, v)` gives the keys and values that the queries attend to.

        Only these change shape along a video, so the halves before and after the attention compile once.
        """
        inputs = (x_BTD, modulation_BF6D, cos, sin, text_k, text_v, see, mask)
        if self.checkpointed and torch.is_grad_enabled():
            return checkpoint(self._forward, *inputs, use_reentrant=False, preserve_rng_state=False)
        return self._forward(*inputs)

    def _forward(self, x_BTD, modulation_BF6D, cos, sin, text_k, text_v, see, mask) -> torch.Tensor:
        before, after = compiled_halves() if self.compiled else (Block.before, Block.after)
        q, k, v = before(self, x_BTD, modulation_BF6D, cos, sin)
        k, v = see(k, v)
        return after(self, x_BTD, self.attend(q.to(k.dtype), k, v, mask), modulation_BF6D, text_k, text_v)


@cache
def compiled_halves() -> tuple[Callable, Callable]:
    """`Block.before` and `Block.after`, compiled; one graph serves all layers of all models of a size."""
    return tuple(torch.compile(half, dynamic=False) for half in (Block.before, Block.after))


class WanDiT(nn.Module):
    """Velocity of a latent video, or of one chunk of it in a stream."""

    def __init__(self, config: WanConfig):
        super().__init__()
        c = self.config = config
        self.patch_embedding = nn.Conv3d(c.in_channels, c.dim, (1, c.patch, c.patch), (1, c.patch, c.patch))
        self.condition_embedder = ConditionEmbedder(c)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.proj_out = nn.Linear(c.dim, c.out_channels * c.patch**2)
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, c.dim) / c.dim**0.5)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """Weights for training from scratch, on the CPU; the output head starts at zero."""
        for name, p in self.named_parameters():
            if name.endswith("bias") or name.startswith("proj_out"):
                p.zero_()
            elif "scale_shift_table" in name:
                p.normal_(std=self.config.dim**-0.5, generator=generator)
            elif "embedder" in name or "time_proj" in name:
                p.normal_(std=0.02, generator=generator)
            elif p.ndim > 1:
                nn.init.xavier_uniform_(p.flatten(1), generator=generator)

    def reduce_(self, dtype: torch.dtype) -> "WanDiT":
        """Weights of the large products become `dtype`, in place; norms, modulation and time embedding stay."""
        large = [self.patch_embedding, self.condition_embedder.text_embedder, self.proj_out, *self.blocks]
        for module in (m for part in large for m in part.modules()):
            if isinstance(module, nn.Linear | nn.Conv3d):
                module.to(dtype)
        return self

    def text_context(self, text_BLE: torch.Tensor) -> TextContext:
        """Cross-attention keys and values of encoded text [B, L, E]."""
        text = self.condition_embedder.text_embedder(text_BLE.to(self.dtype))
        pairs = [block.text_key_value(text) for block in self.blocks]
        return TextContext([k for k, _ in pairs], [v for _, v in pairs])

    @property
    def dtype(self) -> torch.dtype:
        """That of the large products' weights."""
        return self.patch_embedding.weight.dtype

    def rotary(self, start_frame: int, latents_BFCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin of the positions of latents that start at a latent frame."""
        c, (_, frames, _, height, width) = self.config, latents_BFCHW.shape
        grid = (frames, height // c.patch, width // c.patch)
        return rotary_table(c.dim // c.heads, start_frame, *grid, latents_BFCHW.device)

    def forward(
        self,
        latents_BFCHW: torch.Tensor,
        timestep_BF: torch.Tensor,
        context: TextContext,
        *,
        start_frame: int = 0,
        cache: KVCache | Together | None = None,
        history: HistoryCache | None = None,
        mask: torch.Tensor | ChunkMask | None = None,
        rotary: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Velocity [B, F, C, H, W] at one model timestep in [0, 1000] per latent frame.

        With `cache`, the latents are the chunk that `cache.begin` named, or the chunks of a `Together`,
        and start at `start_frame`; their keys and values are written to its slot. With `history`, they
        are a whole video that also sees the keys and values a rollout kept, as constants, behind its
        own. `mask` is over self-attention, boolean [T, keys] or a `ChunkMask`. `rotary` takes the place
        of the positions that start at `start_frame`.
        """
        patch = self.config.patch
        x = self.patch_embedding(latents_BFCHW.transpose(1, 2).to(self.dtype))
        frames, height, width = x.shape[2:]
        x = x.flatten(2).transpose(1, 2).contiguous()
        cos, sin = rotary or self.rotary(start_frame, latents_BFCHW)
        embedding, modulation = self.condition_embedder.time(timestep_BF)
        for layer, block in enumerate(self.blocks):
            if cache is not None:
                see = CacheLayer(cache, layer)
            elif history is not None:
                see = partial(history.append_to, layer)
            else:
                see = Itself(self.config.heads, x.shape[-1] // self.config.heads, self.dtype, x.device)
            x = block(x, modulation, cos, sin, context.keys[layer], context.values[layer], see, mask)
        shift, scale = (self.scale_shift_table + embedding.float()[:, :, None]).unbind(2)
        x = self.proj_out(modulate(x, shift, scale, self.config.eps))
        x = x.unflatten(2, (patch, patch, -1)).unflatten(1, (frames, height, width))
        return x.permute(0, 1, 6, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)


LARGEST_DENSE = 1024
"""Tokens of a chunk up to which a mask is one tensor for one kernel; that of larger ones would take gigabytes."""


def _causal(geometry: Geometry, window_frames: int | None, sink_frames: int = 0, device="cpu") -> torch.Tensor:
    """Boolean [K, K] over chunks: a chunk sees itself, its window and the sink."""
    chunk = torch.arange(geometry.chunks, device=device)
    behind = chunk[:, None] - chunk[None, :]
    seen = behind >= 0
    if window_frames is not None:
        in_sink = chunk[None, :] < sink_frames // geometry.chunk_frames
        seen &= (behind < window_frames // geometry.chunk_frames) | in_sink
    return seen


def _dense(seen_QK: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    tokens = geometry.tokens(geometry.chunk_frames)
    return seen_QK.repeat_interleave(tokens, 0).repeat_interleave(tokens, 1)


def _mask(seen_QK: torch.Tensor, geometry: Geometry) -> torch.Tensor | ChunkMask:
    tokens = geometry.tokens(geometry.chunk_frames)
    return _dense(seen_QK, geometry) if tokens <= LARGEST_DENSE else ChunkMask.of(seen_QK, tokens)


def block_causal_mask(
    geometry: Geometry, window_frames: int | None = None, sink_frames: int = 0, device="cpu"
) -> torch.Tensor:
    """Boolean [T, T] over a whole video: a chunk attends to itself, its window and the sink."""
    return _dense(_causal(geometry, window_frames, sink_frames, device), geometry)


def rollout_mask(geometry: Geometry, window_frames: int, device="cpu") -> torch.Tensor | ChunkMask:
    """Over [T, 2T] for a forward with `history`: a chunk sees itself, then the kept chunks before it."""
    whole = _causal(geometry, window_frames, device=device)
    itself = whole & whole.T
    return _mask(torch.cat([itself, whole & ~itself], dim=1), geometry)


def together_mask(geometry: Geometry, window_frames: int, chunks: range) -> ChunkMask:
    """For a forward with a `Together`: a chunk sees itself and its window, of all up to the last of `chunks`."""
    seen = _causal(geometry, window_frames)[chunks.start : chunks.stop, : chunks.stop]
    return ChunkMask.of(seen, geometry.tokens(geometry.chunk_frames))


def anchored_mask(geometry: Geometry, window_frames: int, beyond: int, device="cpu") -> torch.Tensor | ChunkMask:
    """Over [T, 3T] for a forward with an `AnchoredHistory`: itself, the kept chunks, then the truth's far ones."""
    whole = _causal(geometry, window_frames, device=device)
    near = whole & _causal(geometry, (beyond + 1) * geometry.chunk_frames, device=device)
    itself = whole & whole.T
    return _mask(torch.cat([itself, near & ~itself, whole & ~near], dim=1), geometry)
