"""The DiT against diffusers, and its cached mode against masked full attention."""

import pytest
import torch

from repro.errors import ReproError
from repro.geometry import Geometry
from repro.models import presets
from repro.models.kv_cache import HistoryCache, KVCache
from repro.models.wan import WanConfig, WanDiT, block_causal_mask, rollout_mask
from repro.training.loop import generator_for

TINY = WanConfig(dim=48, heads=2, layers=2, ffn_dim=80, text_dim=24, text_tokens=6)


def reference(config: WanConfig):
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel(
        num_attention_heads=config.heads,
        attention_head_dim=config.dim // config.heads,
        text_dim=config.text_dim,
        freq_dim=config.freq_dim,
        ffn_dim=config.ffn_dim,
        num_layers=config.layers,
    )


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = WanDiT(TINY)
    model.init_weights(generator_for(0))
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.15)
    return model


@pytest.fixture
def geometry():
    return Geometry(frames=45, height=32, width=48)


def inputs(geometry, batch=2):
    g = generator_for(1)
    latents = torch.randn((batch, *geometry.latent_shape), generator=g)
    text = torch.randn((batch, TINY.text_tokens, TINY.text_dim), generator=g)
    timestep = 1000 * torch.rand((batch, geometry.latent_frames), generator=g)
    return latents, text, timestep


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


@torch.no_grad()
@pytest.mark.parametrize("per_token", [False, True])
def test_bidirectional_output_equals_diffusers(model, geometry, per_token):
    theirs = reference(TINY)
    theirs.load_state_dict(model.state_dict(), strict=True)
    latents, text, timestep = inputs(geometry)
    if not per_token:
        timestep = timestep[:, :1].expand_as(timestep)
    given = timestep.repeat_interleave(geometry.tokens_per_frame, 1) if per_token else timestep[:, 0]
    expected = theirs(latents.transpose(1, 2), given, text).sample.transpose(1, 2)
    assert relative(model(latents, timestep, model.text_context(text)), expected) <= 1e-5


def test_paper_scale_has_diffusers_parameter_count_and_the_papers_tokens():
    with torch.device("meta"):
        ours = sum(p.numel() for p in WanDiT(presets.WAN_T2V_1_3B).parameters())
        theirs = sum(p.numel() for p in reference(presets.WAN_T2V_1_3B).parameters())
        mini = sum(p.numel() for p in WanDiT(presets.MINI).parameters())
    assert ours == theirs and 1.2e9 < ours < 1.5e9
    assert mini <= 8e6


@torch.no_grad()
@pytest.mark.parametrize("chunk_frames", [1, 3])
@pytest.mark.parametrize(("window", "sink"), [(12, 0), (6, 0), (6, 3), (3, 3)])
def test_cached_chunks_equal_masked_full_attention(model, geometry, chunk_frames, window, sink):
    geometry = geometry.with_chunk_frames(chunk_frames)
    latents, text, timestep = inputs(geometry)
    context = model.text_context(text)
    whole = model(latents, timestep, context, mask=block_causal_mask(geometry, window, sink))
    # In a stack of layers a masked forward lets information travel beyond the window exactly as the cache does.
    cache = KVCache(TINY, geometry, 2, window, sink, device="cpu", dtype=torch.float32)
    parts = []
    for k in range(geometry.chunks):
        cache.begin(k)
        span = slice(k * chunk_frames, (k + 1) * chunk_frames)
        parts.append(model(latents[:, span], timestep[:, span], context, start_frame=span.start, cache=cache))
    assert relative(torch.cat(parts, 1), whole) <= 1e-5


class ShiftedCache:
    """The plain way: lists of chunks, the oldest dropped, everything concatenated."""

    def __init__(self, window, sink):
        self.window, self.sink, self.store = window, sink, {}

    def update(self, layer, k, v):
        chunks = self.store.setdefault(layer, {})
        chunks[self.chunk] = (k, v)
        seen = [c for c in sorted(chunks) if c < self.sink or c > self.chunk - self.window]
        return tuple(torch.cat([chunks[c][i] for c in seen], 1) for i in (0, 1))


@torch.no_grad()
@pytest.mark.parametrize("sink", [0, 3])
def test_ring_equals_shifted_cache_past_the_window(model, geometry, sink):
    latents, text, timestep = inputs(geometry)
    context = model.text_context(text)
    ring, shifted = (
        KVCache(TINY, geometry, 2, 6, sink, device="cpu", dtype=torch.float32),
        ShiftedCache(2, sink // 3),
    )
    for k in range(3 * geometry.chunks):
        span = slice((k % geometry.chunks) * 3, (k % geometry.chunks) * 3 + 3)
        ring.begin(k)
        shifted.chunk = k
        for level in (1.0, 0.5):  # two steps a chunk: the second overwrites the first
            args = (latents[:, span] * level, timestep[:, span] * level, context)
            a = model(*args, start_frame=3 * k, cache=ring)
            b = model(*args, start_frame=3 * k, cache=shifted)
            assert relative(a, b) <= 1e-5, f"chunk {k}"


@torch.no_grad()
def test_perturbing_a_chunk_leaves_earlier_ones_bit_identical(model, geometry):
    latents, text, timestep = inputs(geometry)
    changed = latents.clone()
    changed[:, 6:9] += 0.1
    outs = []
    for x in (latents, changed):
        cache = KVCache(TINY, geometry, 2, 12, device="cpu", dtype=torch.float32)
        parts = []
        for k in range(geometry.chunks):
            cache.begin(k)
            span = slice(3 * k, 3 * k + 3)
            parts.append(model(x[:, span], timestep[:, span], model.text_context(text), start_frame=3 * k, cache=cache))
        outs.append(torch.cat(parts, 1))
    assert torch.equal(outs[0][:, :6], outs[1][:, :6])
    assert all(not torch.equal(outs[0][:, f], outs[1][:, f]) for f in range(6, 12))


@pytest.mark.parametrize("window", [3, 6, 12])
def test_history_repeats_a_rollout_with_gradient(model, geometry, window):
    """One masked forward over kept keys equals the chunks; the last chunk's gradient treats the rest as constant."""
    latents, text, timestep = inputs(geometry)
    history = HistoryCache(TINY, geometry, 2, window, device="cpu", dtype=torch.float32)
    plain = KVCache(TINY, geometry, 2, window, device="cpu", dtype=torch.float32)
    parts = {history: [], plain: []}
    with torch.no_grad():
        context = model.text_context(text)
        for k in range(geometry.chunks):
            span = slice(3 * k, 3 * k + 3)
            for cache in (history, plain):
                cache.begin(k)
                args = (latents[:, span], timestep[:, span], context)
                parts[cache].append(model(*args, start_frame=3 * k, cache=cache))
    chunks = torch.cat(parts[history], 1)
    assert relative(chunks, torch.cat(parts[plain], 1)) <= 1e-6
    whole = model(latents, timestep, context, history=history, mask=rollout_mask(geometry, window))
    assert relative(whole, chunks) <= 1e-5

    # The same gradient by finite differences of the last chunk's forward alone, its context kept.
    weight, direction = model.blocks[1].attn1.to_v.weight, torch.randn(48, 48, generator=generator_for(2))
    whole[:, -3:].square().mean().backward()
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(sign * 1e-3 * direction)
            args = (latents[:, -3:], timestep[:, -3:], context)
            out = model(*args, start_frame=3 * (geometry.chunks - 1), cache=history)
            values.append(out.double().square().mean().item())
            weight.sub_(sign * 1e-3 * direction)
    assert (weight.grad * direction).sum().item() == pytest.approx((values[0] - values[1]) / 2e-3, rel=0.02)


def test_misuse_of_the_cache_is_named(model, geometry):
    latents, text, timestep = inputs(geometry)
    with pytest.raises(ReproError, match="whole chunks of 3"):
        KVCache(TINY, geometry, 2, 10, device="cpu", dtype=torch.float32)
    cache = KVCache(TINY, geometry, 1, 12, device="cpu", dtype=torch.float32)
    with pytest.raises(ReproError, match="chunk 2 cannot follow"):
        cache.begin(2)
    cache.begin(0)
    with pytest.raises(ReproError, match="batch 1"):
        model(latents[:, :3], timestep[:, :3], model.text_context(text), cache=cache)


def test_cache_bytes_follow_the_window(geometry):
    cache = KVCache(TINY, geometry, 2, 6, device="cpu", dtype=torch.float32)
    assert cache.nbytes == 2 * TINY.layers * 2 * geometry.tokens(6) * TINY.dim * 4
