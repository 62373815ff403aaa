"""Ring cache of self-attention keys and values, owned by whoever calls the model.

Legend: L layers, B batch, T tokens of a chunk, N heads, H head dim.
"""

from copy import copy
from typing import NamedTuple, Self

import torch

from repro.errors import ReproError
from repro.geometry import Geometry


class Place(NamedTuple):
    """Where the current chunk's keys and values of a layer go, and those it attends to; views [B, T, N, H]."""

    k_slot: torch.Tensor
    v_slot: torch.Tensor
    k_seen: torch.Tensor
    v_seen: torch.Tensor

    def store(self, k_BTNH: torch.Tensor, v_BTNH: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the slot; return what attention sees. Neither carries a gradient."""
        self.k_slot.copy_(k_BTNH.detach())
        self.v_slot.copy_(v_BTNH.detach())
        return self.k_seen, self.v_seen


class Itself(NamedTuple):
    """What a block sees without a cache: its own keys and values, in memory that lasts as long as the block runs."""

    heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    def __call__(self, k_BTNH: torch.Tensor, v_BTNH: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return k_BTNH, v_BTNH

    def place(self, batch: int, tokens: int) -> Place:
        k, v = torch.empty(2, batch, tokens, self.heads, self.head_dim, dtype=self.dtype, device=self.device)
        return Place(k, v, k, v)


class CacheLayer(NamedTuple):
    """What a block sees of a cache: `(k, v)` stores them and gives back all that its queries attend to."""

    cache: "KVCache"
    layer: int

    def __call__(self, k_BTNH: torch.Tensor, v_BTNH: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.cache.update(self.layer, k_BTNH, v_BTNH)

    def place(self, batch: int, tokens: int) -> Place:
        return self.cache.place(self.layer, batch, tokens)


def cache_bytes(config, geometry: Geometry, frames: int, dtype: torch.dtype, batch: int = 1) -> int:
    """Bytes of the keys and values of so many latent frames, sink included: what a KVCache of them takes."""
    return 2 * config.layers * batch * geometry.tokens(frames) * config.dim * dtype.itemsize


class KVCache:
    """Keys and values of the last `window_frames` latent frames, the current chunk included.

    Chunk c lives in one slot that its every forward overwrites: slot c for the `sink_frames` kept
    for ever (on top of the window), else the ring slot (c − sink) mod window, c counted from the first
    chunk. Keys carry their rotary position, so attention does not mind the order of the slots, and nothing
    is ever moved.
    """

    def __init__(
        self,
        config,
        geometry: Geometry,
        batch: int,
        window_frames: int,
        sink_frames: int = 0,
        *,
        device,
        dtype,
    ):
        chunk = geometry.chunk_frames
        if window_frames < chunk or window_frames % chunk or sink_frames % chunk:
            raise ReproError(
                f"window of {window_frames} and sink of {sink_frames} latent frames must be whole chunks of {chunk}"
            )
        self.window, self.sink = window_frames // chunk, sink_frames // chunk
        self.batch, self.chunk_tokens = batch, geometry.tokens(chunk)
        slots = self.window + self.sink
        shape = (config.layers, batch, slots * self.chunk_tokens, config.heads, config.dim // config.heads)
        self.k_LBTNH = torch.zeros(shape, device=device, dtype=dtype)
        self.v_LBTNH = torch.zeros(shape, device=device, dtype=dtype)
        self.reset()

    def reset(self, first: int = 0) -> None:
        """Forget everything; the memory is kept. The next chunk is `first`, and none before it will be seen."""
        if first and self.sink:
            raise ReproError(f"a cache with a sink starts at chunk 0, not {first}: its first chunk is kept for ever")
        self.first, self.chunk = first, first - 1

    def take(self, videos: slice | torch.Tensor) -> Self:
        """The cache of some videos of the batch: the same memory for a slice, a copy for indices."""
        part = copy(self)
        part.k_LBTNH, part.v_LBTNH = self.k_LBTNH[:, videos], self.v_LBTNH[:, videos]
        part.batch = part.k_LBTNH.shape[1]
        return part

    def begin(self, chunk: int) -> None:
        """The next forwards compute `chunk`: the current one again, or the one after it."""
        if chunk not in (self.chunk, self.chunk + 1):
            raise ReproError(f"chunk {chunk} cannot follow chunk {self.chunk}: chunks are generated in order")
        self.chunk = chunk

    @property
    def slot(self) -> int:
        chunk = self.chunk - self.first
        return chunk if chunk < self.sink else self.sink + (chunk - self.sink) % self.window

    @property
    def filled(self) -> int:
        """Slots that hold something, the current one included."""
        return min(self.chunk + 1 - self.first, self.sink + self.window)

    @property
    def seen(self) -> slice:
        """Tokens of the ring that the current chunk attends to."""
        return slice(0, self.filled * self.chunk_tokens)

    @property
    def nbytes(self) -> int:
        return self.k_LBTNH.nbytes + self.v_LBTNH.nbytes

    @property
    def key(self) -> tuple[int, int, int]:
        """Forwards with equal keys read and write the same memory: a captured graph serves them all."""
        return (self.slot, self.seen.start, self.seen.stop)

    def place(self, layer: int, batch: int, tokens: int) -> Place:
        """Views for the current chunk. Raises ReproError where its shape is not the one the cache was made for."""
        if self.chunk < self.first:
            raise ReproError("KVCache.begin(chunk) must come before a forward")
        if (batch, tokens) != (self.batch, self.chunk_tokens):
            raise ReproError(f"cache made for batch {self.batch} × {self.chunk_tokens} tokens got {batch} × {tokens}")
        start = self.slot * self.chunk_tokens
        here, seen = slice(start, start + self.chunk_tokens), self.seen
        k, v = self.k_LBTNH[layer], self.v_LBTNH[layer]
        return Place(k[:, here], v[:, here], k[:, seen], v[:, seen])

    def update(self, layer: int, k_BTNH: torch.Tensor, v_BTNH: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the current chunk's slot; return the keys and values that attention sees, views of the ring.

        They carry no gradient: training goes over a finished rollout again (`HistoryCache`).
        """
        return self.place(layer, *k_BTNH.shape[:2]).store(k_BTNH, v_BTNH)


class HistoryCache(KVCache):
    """Keeps every chunk of one video, while a chunk still sees no more than its window.

    A rollout fills it without gradient; then one forward over the whole video, with the inputs of
    the exit steps, repeats all chunks' last forwards at once, with gradient.
    """

    def __init__(self, config, geometry: Geometry, batch: int, window_frames: int, *, device, dtype):
        super().__init__(config, geometry, batch, geometry.latent_frames, device=device, dtype=dtype)
        self.reach = window_frames // geometry.chunk_frames

    @property
    def seen(self) -> slice:
        first = max(0, self.chunk + 1 - self.reach)
        return slice(first * self.chunk_tokens, (self.chunk + 1) * self.chunk_tokens)

    def append_to(self, layer: int, k_BTNH: torch.Tensor, v_BTNH: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The given keys and values of a whole video, then the kept ones (mask: `wan.rollout_mask`)."""
        return (
            torch.cat([k_BTNH.to(self.k_LBTNH.dtype), self.k_LBTNH[layer]], 1),
            torch.cat([v_BTNH.to(self.v_LBTNH.dtype), self.v_LBTNH[layer]], 1),
        )


class Together(NamedTuple):
    """Stands for the cache in a forward over neighbouring chunks of a history: each takes its own slot.

    They are given all that lies before the last of them, and each other (mask: `wan.together_mask`).
    """

    history: HistoryCache
    chunks: range

    def place(self, layer: int, batch: int, tokens: int) -> Place:
        """Views for these chunks. Raises ReproError where their shape is not the one the history was made for."""
        size = self.history.chunk_tokens
        here, seen = slice(self.chunks.start * size, self.chunks.stop * size), slice(0, self.chunks.stop * size)
        if (batch, tokens) != (self.history.batch, here.stop - here.start):
            raise ReproError(
                f"chunks {self.chunks.start} to {self.chunks.stop - 1} of batch {self.history.batch} × "
                f"{here.stop - here.start} tokens got {batch} × {tokens}"
            )
        k, v = self.history.k_LBTNH[layer], self.history.v_LBTNH[layer]
        return Place(k[:, here], v[:, here], k[:, seen], v[:, seen])

    def update(self, layer: int, k_BTNH: torch.Tensor, v_BTNH: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.place(layer, *k_BTNH.shape[:2]).store(k_BTNH, v_BTNH)


class WholeVideo:
    """Stands for the cache in one forward over a whole video (with a causal mask): fills every chunk's slot."""

    def __init__(self, history: HistoryCache):
        self.history = history

    def update(self, layer: int, k_BTNH: torch.Tensor, v_BTNH: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.history.k_LBTNH[layer], self.history.v_LBTNH[layer] = k_BTNH.detach(), v_BTNH.detach()
        return k_BTNH, v_BTNH


class AnchoredHistory(HistoryCache):
    """A history whose chunks more than `beyond` back are seen as another one, `truth`, keeps them."""

    def __init__(
        self, truth: HistoryCache, beyond: int, config, geometry: Geometry, batch: int, window_frames: int, **kw
    ):
        super().__init__(config, geometry, batch, window_frames, **kw)
        self.truth, self.beyond = truth, beyond

    @property
    def seen(self) -> slice:
        """Tokens of the own chunks that are near enough."""
        near = max(0, self.chunk - self.beyond) * self.chunk_tokens
        window = super().seen
        return slice(max(window.start, near), window.stop)

    def take(self, videos: slice | torch.Tensor) -> Self:
        part = super().take(videos)
        part.truth = self.truth.take(videos)
        return part

    def update(self, layer: int, k_BTNH: torch.Tensor, v_BTNH: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        k, v = super().update(layer, k_BTNH, v_BTNH)
        far = slice(super().seen.start, self.seen.start)
        return torch.cat([self.truth.k_LBTNH[layer][:, far], k], 1), torch.cat(
            [self.truth.v_LBTNH[layer][:, far], v], 1
        )

    def append_to(self, layer: int, k_BTNH: torch.Tensor, v_BTNH: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The given keys and values, the kept ones, then the truth's (mask: `wan.anchored_mask`)."""
        k, v = super().append_to(layer, k_BTNH, v_BTNH)
        return torch.cat([k, self.truth.k_LBTNH[layer]], 1), torch.cat([v, self.truth.v_LBTNH[layer]], 1)
