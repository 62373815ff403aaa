"""Counted operations against PyTorch's counter; timed rows; records of them."""

import json

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from repro.config import Scale, load_scale
from repro.engine.assemble import Engine
from repro.engine.options import EAGER, EngineOptions
from repro.errors import ReproError
from repro.evaluation import flops, numerics, speed, speed_rows
from repro.generation.noise import prompt_noise
from repro.models import presets
from repro.models.kv_cache import KVCache
from repro.models.wan import WanDiT
from repro.schedule import Schedule


@pytest.fixture(scope="module")
def scale():
    return Scale(
        name="tinywan",
        geometry={"frames": 81, "height": 32, "width": 48},
        dit={"dim": 32, "heads": 2, "layers": 2, "ffn_dim": 64, "text_dim": 16, "text_tokens": 4},
        autoencoders={"base_dim": 8, "dim_mult": (1, 2, 2, 2), "res_blocks": 1, "tiny_channels": (16, 8, 8, 8)},
        flow={},
        timing={"warmups": 1, "runs": 2},
    )


def test_counted_flop_agree_with_pytorchs_counter(scale):
    config, geometry = presets.from_profile(scale), scale.geometry
    model = WanDiT(config).eval()
    cache = KVCache(config, geometry, 1, 6, device="cpu", dtype=torch.float32)
    context = model.text_context(torch.randn(1, 4, 16))
    chunk = geometry.tokens(3)
    for k, keys in enumerate((chunk, 2 * chunk, 2 * chunk)):
        cache.begin(k)
        x, t = torch.randn(1, 3, *geometry.latent_shape[1:]), torch.full((1, 3), 300.0)
        with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            model(x, t, context, start_frame=3 * k, cache=cache)
        time = 2 * 3 * (config.freq_dim * config.dim + config.dim**2 + config.dim * 6 * config.dim)
        assert flops.forward(config, chunk, keys, 4) + time == counter.get_total_flops()


MANY_STEP = ("wan2_1", "skyreels_v2", "magi_1")


class Stub(torch.nn.Linear):
    """A decoder that costs nothing."""

    def __init__(self):
        super().__init__(1, 1)

    def stream(self):
        return self

    def push(self, latents):
        return latents


def many_step(scale, name, steps, engine=EAGER):
    """Generator of a row with so many steps, its noise, and the scale."""
    few = scale.model_copy(update={"flow": scale.flow.model_copy(update={"teacher_steps": steps})})
    bench = speed.Bench(few, "cpu")
    bench.decoders["tiny"] = Stub()
    generator, _ = bench.generator(speed_rows.load_speed()[name], engine)
    return generator, bench.text, prompt_noise(0, [0], few.geometry), few


@pytest.mark.parametrize("name", MANY_STEP)
def test_counted_flop_of_many_steps_agree_with_pytorchs_counter(scale, name):
    steps = 6
    generator, text, noise, few = many_step(scale, name, steps)
    config, row = presets.from_profile(few), speed_rows.load_speed()[name]
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        generator(text, noise)
    passes = 0 if name == "wan2_1" else 3 * 6
    frames = 2 * (21 * steps + passes)  # of all forwards, each of which embeds its frames' times
    time = 2 * frames * (config.freq_dim * config.dim + 7 * config.dim**2)
    assert flops.many_step(few, config, row) + time == counter.get_total_flops()
    assert generator.forward.calls == flops.many_step_forwards(few, row)


@pytest.mark.parametrize(("name", "shapes"), [("wan2_1", {21}), ("skyreels_v2", {3, 6, 9, 12, 15, 18, 21})])
def test_a_warm_up_is_short_and_meets_every_shape(scale, name, shapes):
    row, steps = speed_rows.load_speed()[name], 50
    full = scale.model_copy(update={"flow": scale.flow.model_copy(update={"teacher_steps": steps})})
    short, changed = speed_rows.shortened(full, row)
    seen = {}
    for few, own in ((full, row), (short, changed)):
        bench, counts = speed.Bench(few, "cpu"), []
        bench.decoders["tiny"] = Stub()
        generator, _ = bench.generator(own, EAGER)
        generator.forward.forward = lambda x, *rest, counts=counts, **kept: counts.append(x.shape[1]) or x
        generator(bench.text, prompt_noise(0, [0], few.geometry))
        seen[few.flow.teacher_steps] = counts
    assert set(seen[50]) == set(seen[short.flow.teacher_steps]) == shapes
    assert sum(seen[short.flow.teacher_steps]) < 0.2 * sum(seen[50])


def test_at_most_four_chunks_are_in_flight_in_the_warm_up_of_magi(scale):
    few, row = speed_rows.shortened(load_scale("wan"), speed_rows.load_speed()["magi_1"])
    assert (few.flow.teacher_steps, row.lag) == (4, 1)


@pytest.mark.parametrize(
    ("name", "window"), [(name, window) for name in MANY_STEP for window in (21, 6) if (name, window) != ("wan2_1", 6)]
)
def test_the_fused_engine_makes_the_plain_models_video_in_many_steps(scale, name, window, monkeypatch):
    sheet = speed_rows.load_speed()
    if name != "wan2_1":
        sheet[name] = sheet[name].model_copy(update={"window_frames": window})
    monkeypatch.setattr(speed_rows, "load_speed", lambda: sheet)
    videos = []
    for engine in (EAGER, EngineOptions(engine="fused", fused=True)):
        generator, text, noise, _ = many_step(scale, name, 6, engine)
        videos.append(generator(text, noise))
    start = torch.cat([noise(k, 0) for k in range(7)], dim=1)
    assert (videos[0] - start).abs().mean() > 0.1
    torch.testing.assert_close(*videos, atol=1e-4, rtol=1e-4)


def test_many_steps_refuse_an_engine_whose_cache_has_another_type(scale):
    bench = speed.Bench(scale, "cpu")
    bench.engines["eager"] = Engine(speed.random_dit(scale, "cpu"), EAGER, "cpu")
    bench.engines["eager"].cache_dtype = torch.float8_e4m3fn
    with pytest.raises(ReproError, match=r"engine eager in torch.float8_e4m3fn: choose one with another attention"):
        bench.generator(speed_rows.load_speed()["wan2_1"], EAGER)


def test_the_default_schedule_at_paper_scale_takes_some_400_tflop():
    wan = load_scale("wan")
    schedule = Schedule.parse("4322222", wan.geometry.chunks)
    counted = [flops.video(wan, presets.WAN_T2V_1_3B, schedule, passes, 12, 3) / 1e12 for passes in (False, True)]
    assert counted[0] == pytest.approx(400, rel=0.02)
    assert counted[1] > 1.35 * counted[0]


def test_the_wan_scale_is_the_presets_model():
    assert presets.from_profile(load_scale("wan")) == presets.WAN_T2V_1_3B


def test_every_row_of_the_sheet_fits_the_paper_scale():
    wan = load_scale("wan")
    for row in speed_rows.load_speed().values():
        geometry = row.geometry(wan.geometry)
        assert row.many_step or row.run.schedule_for(geometry).chunks == geometry.chunks
        assert row.window_frames is None or row.window_frames % row.chunk_frames == 0
        speed_rows.engine_of(row, "fast")
    longest = max(speed_rows.rows_of(["table4"]), key=lambda r: r.window_frames)
    assert wan.geometry.resized(frames=longest.frames).latent_frames > longest.window_frames


def test_a_table_without_rows_is_refused_by_name():
    with pytest.raises(ReproError, match="no row of 'table9': choose of ladder"):
        speed_rows.rows_of(["table3", "table9"])


def test_rows_are_picked_by_name():
    assert [r.row for r in speed_rows.rows_of(["table1"], ["magi_1", "wan2_1"])] == ["wan2_1", "magi_1"]
    with pytest.raises(ReproError, match="table1 has no row 'wan2': choose of wan2_1, skyreels_v2"):
        speed_rows.rows_of(["table1"], ["wan2"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lag": None}, "sampler staircase needs window_frames, lag: give lag"),
        ({"schedule": "4"}, "leave empty schedule"),
        ({"sampler": "renderer"}, "Input should be 'rollout', 'staircase' or 'bidirectional'"),
    ],
)
def test_a_speed_row_that_does_not_fit_its_sampler_is_refused(change, message):
    row = speed_rows.load_speed()["skyreels_v2"].model_dump()
    with pytest.raises(ValueError, match=message):
        speed_rows.SpeedRow(**row | change)


def test_an_interrupted_call_keeps_what_it_timed(scale, tmp_path, monkeypatch):
    """Three warm-ups, then the second round ends in the middle."""
    few = scale.model_copy(update={"flow": scale.flow.model_copy(update={"teacher_steps": 2})})
    rows, left, real = speed_rows.rows_of(["table1"], ["wan2_1", "diagdistill"]), iter(range(5)), speed.time_once

    def until(*args):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(speed, "time_once", until)
    with pytest.raises(KeyboardInterrupt):
        speed.write_measured(few, rows, "eager", tmp_path / "speed.json", "cpu")
    found = {(r["run_id"], r["metric"]): r for r in json.loads((tmp_path / "speed.json").read_text())}
    assert [found[row, "total_s"]["n"] for row in ("wan2_1", "diagdistill")] == [2, 1]
    assert found["wan2_1", "forwards"]["value"] == 4
    assert found["wan2_1", "total_s"]["versions"]["engine"] == "eager"
    assert ("wan2_1", "in_flight_latency_s") not in found


def test_rows_are_timed_and_traced(scale, tmp_path):
    rows = [r.model_copy(update={"engine": "eager"}) for r in speed_rows.rows_of(["table7", "table8"])]
    speed.write_measured(scale, rows, "eager", tmp_path / "speed.json", "cpu")
    found = {(r["run_id"], r["metric"]): r for r in json.loads((tmp_path / "speed.json").read_text())}
    for row in rows:
        total = found[row.row, "total_s"]
        assert total["n"] == 2 and total["low"] <= total["value"] <= total["high"]
        half = total["high"] - total["low"]  # The quartiles of two runs lie half as far apart as the runs.
        frames_per_second = [81 / (total["value"] + sign * half) for sign in (-1, 1)]
        assert total["weights"] == speed.WEIGHTS
        assert found[row.row, "throughput_fps"]["value"] == pytest.approx(sum(frames_per_second) / 2)
        assert 0 < found[row.row, "first_frame_latency_s"]["value"] < total["value"]
    assert found["chunk_size_1", "forwards"]["value"] == 4 + 3 + 19 * 2
    assert found["chunk_size_3", "forwards"]["value"] == 17


def test_an_engine_that_changes_nothing_has_no_error_and_one_that_rounds_has_some(scale, monkeypatch):
    known = {"eager": numerics.EAGER, "fused": EngineOptions(engine="fused", fused=True)}
    monkeypatch.setattr(numerics, "load_engines", lambda: known)
    frames = {"video": 81, "long": 129}
    errors = {(r.run_id, r.metric): r for r in numerics.measure(scale, ["eager", "fused"], frames, "cpu")}
    assert errors["eager", "video_step_error_max"].value == 0
    assert errors["fused", "long_rollout_error"].value < 1e-4
    assert errors["fused", "long_step_error_max"].n == 17 + 2 * 4
    real, other = numerics.random_dit, iter((torch.float32, torch.bfloat16))
    monkeypatch.setattr(numerics, "random_dit", lambda s, d, t=None: real(s, d, t or next(other)))
    next(other)
    rounded = numerics.measure(scale, ["eager"], {"video": 81}, "cpu")
    assert 1e-4 < rounded[0].value < 0.1


def test_bench_prints_and_writes_one_configuration(scale, tmp_path, capsys):
    fields = {"cache": "self", "schedule": "21", "window_frames": 6, "engine": "eager"}
    speed.bench(scale, fields, tmp_path / "bench.json", "cpu")
    found = {r["metric"]: r["value"] for r in json.loads((tmp_path / "bench.json").read_text())}
    assert found["forwards"] == 2 + 6 + 7
    assert "throughput_fps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "4x"}, "position 2: 'x'"),
        ({"decoder": "huge"}, "bench: decoder = 'huge'"),
        ({"window_frames": 4}, "window of 4 .* must be whole chunks of 3"),
        ({"engine": "warp"}, "no engine 'warp': engines.csv has"),
    ],
)
def test_bench_refuses_what_it_cannot_time(scale, change, message):
    fields = {"cache": "diagonal", "schedule": "4", "window_frames": 6, "engine": "eager"}
    with pytest.raises(ReproError, match=message):
        speed.bench(scale, fields | change, None, "cpu")
