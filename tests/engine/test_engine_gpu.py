"""On a GPU: kernels against their plain forms, captured decoding against eager, the fast engine against plain."""

from copy import deepcopy

import pytest
import torch

from repro.config import Flow, Run, load_scale
from repro.engine import kernels
from repro.engine.assemble import Engine
from repro.engine.attention import kernel
from repro.engine.decode import GraphedTiny
from repro.engine.options import EngineOptions
from repro.errors import ReproError
from repro.evaluation.numerics import relative
from repro.generation.many_step import ManyStep
from repro.generation.noise import prompt_noise
from repro.geometry import Geometry
from repro.models.attention import RMSNorm, rotary_table
from repro.models.kv_cache import KVCache
from repro.models.taehv import TinyDecoder
from repro.models.wan import WanConfig, WanDiT

pytestmark = pytest.mark.gpu
CONFIG = WanConfig(dim=384, heads=3, layers=2, ffn_dim=640, text_dim=32, text_tokens=16)
GEOMETRY = Geometry(frames=81, height=64, width=96)
POISON = float("nan")


@pytest.fixture(autouse=True)
def cuda():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")


def scaled(*shape):
    """A product of fp8 values with scales far from one."""
    product, bias = torch.randn(shape, device="cuda").bfloat16(), torch.randn(shape[-1], device="cuda").bfloat16()
    rows, columns = torch.rand(*shape[:-1], 1, device="cuda") + 0.1, 9 * torch.rand(shape[-1], device="cuda")
    return kernels.Scaled(1e4 * product, rows / 1e4, columns, bias)


@pytest.mark.parametrize("fp8", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, kernels.FP8])
def test_split_rotate_store_equals_its_plain_form(dtype, fp8):
    norms = [RMSNorm(384, 1e-6).cuda() for _ in range(2)]
    for norm in norms:
        torch.nn.init.normal_(norm.weight)
    cos, sin = rotary_table(128, 5, 3, 4, 6, torch.device("cuda"))
    qkv = scaled(2, 72, 3 * 384) if fp8 else torch.randn(2, 72, 3 * 384, device="cuda", dtype=torch.bfloat16)
    slots = [torch.full((2, 72, 3, 128), POISON, device="cuda").to(dtype) for _ in range(4)]
    q = kernels.split_rotate_store(qkv, *norms, cos, sin, *slots[:2])
    plain = kernels._plain(qkv, *norms, cos, sin, *slots[2:])
    tolerance = 1e-2 if dtype == torch.bfloat16 else 4e-2
    for found, expected in ((q, plain), (slots[0], slots[2]), (slots[1], slots[3])):
        assert relative(found, expected) < tolerance


def test_gelu_quantise_equals_its_plain_form():
    x = scaled(40, 640)
    values, scale = kernels.gelu_quantise(*x)
    expected = torch.nn.functional.gelu(x.value().float(), approximate="tanh")
    assert relative(values.float() * scale, expected) < 2**-4


@pytest.mark.parametrize("compiled", [False, True])
def test_captured_decoding_equals_eager_for_several_videos(compiled):
    decoder = TinyDecoder((32, 16, 16, 16), 16).cuda().half().eval().to(memory_format=torch.channels_last)
    captured = GraphedTiny(decoder, compiled=compiled)
    with torch.inference_mode():
        for _ in range(2):
            z = torch.randn(1, 9, 16, 8, 12, device="cuda", dtype=torch.half)
            stream = captured.stream()
            found = torch.cat([stream.push(z[:, k : k + 3]) for k in (0, 3, 6)], dim=1)
            assert relative(found, decoder.decode(z)) < 1e-2


@pytest.mark.parametrize(("attention", "precision"), [("cudnn", "bf16"), ("cudnn", "fp8"), ("fa3_fp8", "fp8")])
def test_the_fast_engine_equals_the_plain_model_past_the_wrap_of_the_ring(attention, precision):
    torch.manual_seed(0)
    try:
        kernel(attention)
    except ReproError as missing:
        pytest.skip(str(missing))
    model = WanDiT(CONFIG).cuda().eval().requires_grad_(False)
    options = EngineOptions(
        engine="x", attention=attention, compiled=True, graphs=True, fused=True, overlap=True, precision=precision
    )
    engine = Engine(deepcopy(model).reduce_(torch.bfloat16), options, "cuda")
    text = torch.randn(1, 16, 32, device="cuda")
    with torch.inference_mode():
        contexts = model.text_context(text), engine.model.text_context(text)
        types = torch.float32, engine.cache_dtype
        caches = [KVCache(CONFIG, GEOMETRY, 1, 6, device="cuda", dtype=t) for t in types]
        for k in range(GEOMETRY.chunks):
            x, t = torch.randn(1, 3, 16, 8, 12, device="cuda"), torch.full((1, 3), 300.0, device="cuda")
            for cache in caches:
                cache.begin(k)
            expected = model(x, t, contexts[0], start_frame=3 * k, cache=caches[0])
            found = engine.forward(x, t, contexts[1], start_frame=3 * k, cache=caches[1])
            assert relative(found, expected) < (2e-2 if precision == "bf16" else 6e-2), k


class Latents(torch.nn.Linear):
    """Stands for a decoder: gives back what it gets."""

    def __init__(self):
        super().__init__(1, 1)

    def stream(self):
        return self

    def push(self, latents):
        return latents


@pytest.mark.parametrize(("sampler", "lag"), [("bidirectional", None), ("staircase", 2)])
def test_many_steps_of_the_fast_engine_equal_the_plain_models(sampler, lag):
    """With FlashAttention-3 where it is installed, as at paper scale."""
    torch.manual_seed(0)
    try:
        kernel(attention := "fa3")
    except ReproError:
        attention = "cudnn"
    flow = Flow(shift=5.0, guidance=2.0, teacher_steps=6)
    scale = load_scale("wan").model_copy(update={"geometry": GEOMETRY, "flow": flow})
    options = EngineOptions(engine="x", attention=attention, compiled=True, graphs=True, fused=True, overlap=True)
    model = WanDiT(CONFIG).cuda().eval().requires_grad_(False)
    for block in model.blocks:  # louder, or a wrong mask would drown in bf16's rounding
        for part, factor in (("norm_q", 1.5), ("norm_k", 1.5), ("to_v", 3.0), ("to_out.0", 6.0)):
            block.attn1.get_submodule(part).weight.mul_(factor)
    text, null = torch.randn(2, 1, 16, 32, device="cuda")

    def video(network, engine, window):
        settings = {"sampler": sampler, "lag": lag, "window_frames": lag and window}
        run = Run(student="teacher" if lag is None else "x", run_id="x", tables="none", **settings)
        made = ManyStep(scale, run, network, Latents(), null, "cuda", engine)
        return made(text, prompt_noise(0, [0], GEOMETRY, "cuda"))

    fast = Engine(deepcopy(model).reduce_(torch.bfloat16), options, "cuda")
    found, expected = video(fast.model, fast, 9), video(model, None, 9)
    assert relative(found, expected) < 2e-2
    if lag is not None:
        assert min(relative(video(model, None, window), expected) for window in (6, 21)) > 4e-2
