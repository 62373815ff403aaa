"""The engine computes what the plain model does, and what it captures once serves every chunk."""

from copy import deepcopy

import pytest
import torch

from repro.engine.assemble import Engine
from repro.engine.attention import KERNELS, LOADERS, _chunked, kernel
from repro.engine.kernels import FP8, quantise_rows, to_fp8
from repro.engine.options import EAGER, EngineOptions, load_engines
from repro.engine.products import FeedForward, Fp8FeedForward, Fp8Product, Product
from repro.errors import ReproError
from repro.evaluation.numerics import relative
from repro.generation.cache_policy import CachePolicy
from repro.generation.graphs import Graphed
from repro.generation.rollout import rollout
from repro.geometry import Geometry
from repro.models.attention import ChunkMask, attend
from repro.models.kv_cache import HistoryCache, KVCache, Together
from repro.models.wan import WanConfig, WanDiT
from repro.schedule import Schedule

CONFIG = WanConfig(dim=48, heads=2, layers=2, ffn_dim=80, text_dim=16, text_tokens=4)
GEOMETRY = Geometry(frames=81, height=32, width=48)
FUSED = EngineOptions(engine="fused", fused=True)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return WanDiT(CONFIG).eval().requires_grad_(False)


def video(forward, model, noise, window=6):
    cache = KVCache(CONFIG, GEOMETRY, 1, window, device="cpu", dtype=torch.float32)
    context = model.text_context(torch.ones(1, 4, 16))
    schedule = Schedule.parse("4322222", GEOMETRY.chunks)
    return rollout(forward, noise, context, schedule, cache, CachePolicy(100), shift=5.0)


def noise_of(changed=None):
    def draw(chunk, step):
        seed = 100 * chunk + step + (7 if chunk == changed else 0)
        return torch.randn(1, 3, 16, 4, 6, generator=torch.Generator().manual_seed(seed))

    return draw


def test_fused_blocks_equal_plain_ones_past_the_wrap_of_the_ring(model):
    fused = Engine(deepcopy(model), FUSED, "cpu")
    plain, found = video(model, model, noise_of()), video(fused.forward, fused.model, noise_of())
    assert torch.allclose(found, plain, atol=1e-5)
    assert plain.std() > 0.1


def test_the_fused_engine_is_causal(model):
    engine = Engine(model, FUSED, "cpu")
    one, other = (video(engine.forward, engine.model, noise_of(changed)) for changed in (None, 3))
    assert torch.equal(one[:, :9], other[:, :9])
    assert (one[:, 9:12] != other[:, 9:12]).any()


class Replayed(Graphed):
    """A graph without a GPU: what was captured is run again on the memory it was captured with."""

    def __init__(self, model):
        self.model, self.context, self.source, self.rotary, self.graphs = model, None, None, {}, {}

    def _capture(self, x, timestep, cache, rotary):
        x, timestep, out = x.clone(), timestep.clone(), torch.empty_like(x)
        key = (cache.chunk, cache.slot)

        class Replay:
            def replay(replay_self):
                assert cache.slot == key[1]
                out.copy_(self.model(x, timestep, self.context, cache=cache, rotary=rotary))

        return Replay(), x, timestep, out


def test_one_graph_a_state_of_the_cache_serves_a_long_video(model):
    graphs = Replayed(model)
    long = Geometry(frames=81 + 4 * 3 * 10, height=32, width=48)
    contexts = [model.text_context(torch.full((1, 4, 16), v)) for v in (1.0, 2.0)]
    for geometry in (long, long.resized(chunk_frames=1)):
        caches = [KVCache(CONFIG, geometry, 1, 6, device="cpu", dtype=torch.float32) for _ in range(2)]
        made = len(graphs.graphs)
        for k in range(geometry.chunks):
            for cache in caches:
                cache.begin(k)
            frames, context = geometry.chunk_frames, contexts[k % 2]
            x = torch.randn(1, frames, 16, 4, 6, generator=torch.Generator().manual_seed(k))
            t = torch.full((1, frames), 300.0)
            found = graphs(x, t, context, start_frame=frames * k, cache=caches[0])
            assert torch.equal(found, model(x, t, context, start_frame=frames * k, cache=caches[1])), k
        slots = 6 // frames
        assert len(graphs.graphs) - made == 2 * slots - 1  # filling, then every slot of a full ring


def test_videos_of_an_engine_share_one_cache_and_its_graphs(model):
    """Each had a cache of its own, whose graphs kept it for ever: a server's card was full after some videos."""
    engine, graphs = Engine(model, EAGER, "cpu"), Replayed(model)
    geometry = Geometry(frames=81, height=32, width=48)
    context, t = model.text_context(torch.ones(1, 4, 16)), torch.full((1, 3), 300.0)
    made = []
    for _ in range(3):
        cache = engine.cache(geometry, 1, 6, 0)
        cache.reset()
        for k in range(geometry.chunks):
            cache.begin(k)
            graphs(torch.randn(1, 3, 16, 4, 6), t, context, start_frame=3 * k, cache=cache)
        made.append(len(graphs.graphs))
    assert len(set(made)) == 1 and len({id(c) for c, _ in graphs.graphs}) == 1
    others = [engine.cache(geometry, *shape) for shape in ((2, 6, 0), (1, 9, 0), (1, 6, 3))]
    assert len({id(c) for c in (cache, *others)}) == 4


def test_quantised_rows_come_back_within_the_step_of_e4m3():
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-3, 1, 10, 1e3, 1e5])[:, None]
    values, scale = quantise_rows(x)
    assert values.dtype == FP8 and scale.shape == (5, 1)
    back = values.float() * scale
    assert ((back - x).norm(dim=1) / x.norm(dim=1)).max() < 2**-4


def test_fp8_products_are_near_those_of_the_layers_they_take_over():
    torch.manual_seed(0)
    x, layers = torch.randn(2, 5, 48), [torch.nn.Linear(48, 32).requires_grad_(False) for _ in range(2)]
    for n, layer in enumerate(layers):
        layer.weight *= 10**n
        layer.bias += 1
    expected = Product(*layers)(x)
    assert 0 < relative(Fp8Product(*layers)(x), expected) < 5e-2
    up, down = torch.nn.Linear(48, 80).requires_grad_(False), torch.nn.Linear(80, 48).requires_grad_(False)
    assert 0 < relative(Fp8FeedForward(up, down)(x), FeedForward(up, down)(x)) < 8e-2


def test_fp8_without_a_scale_saturates_instead_of_overflowing():
    assert to_fp8(torch.tensor([1e6, -1e6, 1.0])).float().tolist() == [448.0, -448.0, 1.0]


def test_a_kernel_without_masks_is_asked_chunk_by_chunk():
    """Tokens of two; the third chunk does not see the second."""
    seen = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 1]], dtype=torch.bool)
    q, k, v = torch.randn(3, 1, 6, 2, 8, generator=torch.Generator().manual_seed(0))
    calls = []

    def product(q, k, v):
        calls.append(k.shape[1])
        return attend(q, k, v)

    found = _chunked(product, q, k, v, ChunkMask.of(seen, 2))
    dense = seen.repeat_interleave(2, 0).repeat_interleave(2, 1)
    torch.testing.assert_close(found, attend(q, k, v, dense))
    assert calls == [2, 4, 4]
    with pytest.raises(ReproError, match="takes no mask but a ChunkMask"):
        _chunked(product, q, k, v, dense)


def test_chunks_in_flight_of_another_size_are_refused():
    history = HistoryCache(CONFIG, GEOMETRY, 1, 21, device="cpu", dtype=torch.float32)
    with pytest.raises(ReproError, match="chunks 2 to 4 of batch 1 × 54 tokens got 1 × 36"):
        Together(history, range(2, 5)).place(0, 1, 36)


def test_engines_that_make_no_sense_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match="set fused to true"):
        EngineOptions(engine="x", precision="fp8")
    with pytest.raises(ReproError, match="no attention kernel 'fa9': choose one of sdpa"):
        kernel("fa9")
    for name, remedy in (("fa3", "xformers"), ("fa3_fp8", "sglang-kernel")):
        with pytest.raises(ReproError, match=f"{name} is not installed.*{remedy}"):
            kernel(name)


def test_the_sheet_of_engines_reads():
    engines = load_engines()
    assert engines["fast"].overlap and engines["fast"].precision == "bf16"
    assert engines["fp8_attention"].attention == "fa3_fp8"


def one_step(network, x, timestep, context, k, cache):
    cache.begin(k)
    return network(x, timestep, context, start_frame=3 * k, cache=cache)


def test_fp8_attention_takes_nothing_but_fp8(model, monkeypatch):
    """A stand-in on the CPU for the kernel."""
    taken = set()

    def product(q, k, v, mask=None):
        taken.update(x.dtype for x in (q, k, v))
        return attend(q.float(), k.float(), v.float(), mask)

    monkeypatch.setitem(KERNELS, "fa3_fp8", product)
    monkeypatch.setitem(LOADERS, "fa3_fp8", lambda: None)
    engine = Engine(deepcopy(model), EngineOptions(engine="x", attention="fa3_fp8", fused=True), "cpu")
    types = torch.float32, engine.cache_dtype
    caches = [KVCache(CONFIG, GEOMETRY, 1, 6, device="cpu", dtype=t) for t in types]
    text, t = torch.ones(1, 4, 16), torch.full((1, 3), 300.0)
    for k in range(3):
        plain, found = (
            one_step(network, noise_of()(k, 0), t, network.text_context(text), k, cache)
            for network, cache in zip((model, engine.model), caches, strict=True)
        )
        assert 0 < relative(found, plain) < 5e-2, k
    assert taken == {FP8}
