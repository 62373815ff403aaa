"""Systems of Table 1 that take many steps: the rows of runs.csv, run as an evaluation runs them."""

import numpy as np
import pytest
import torch

from repro.config import Run, for_run, load_runs, load_students
from repro.evaluation import sampling, timing
from repro.evaluation.quality import evaluate
from repro.generation.noise import prompt_noise, whole_video
from repro.generation.samplers import euler
from repro.models import weights
from repro.world.render import render

STEPS = 6
FORWARDS = {"wan2_1": 2 * STEPS, "skyreels_v2": 2 * (STEPS + 6 * 5 + 6), "magi_1": 2 * (7 * STEPS + 6)}
"""Two for guidance; a staircase of seven chunks adds the lag six times and reads six finished chunks once more."""


@pytest.fixture
def few_steps(smoke):
    flow = smoke.flow.model_copy(update={"teacher_steps": STEPS})
    small = smoke.evaluation.model_copy(update={"prompts": 2, "batch": 2})
    return smoke.model_copy(update={"flow": flow, "evaluation": small})


@pytest.fixture
def systems(everything, few_steps, untrained):
    for name in ("skyreels-s0", "magi-s0"):
        weights.save(everything / f"{name}.safetensors", untrained, {})
    sampling.write_prompts(few_steps, everything, everything / "prompts.safetensors")
    return everything


@pytest.mark.parametrize("run_id", FORWARDS)
def test_a_many_step_system_samples_and_counts_its_forwards(run_id, few_steps, systems):
    run = load_runs()[run_id]
    clips, counts = sampling.sample(few_steps, run, systems / "prompts.safetensors", systems, "cpu")
    assert counts == {"forwards": FORWARDS[run_id]}
    assert clips.shape[:2] == (2, few_steps.geometry.frames) and clips[0].std() > 1
    assert np.abs(clips[0].astype(int) - clips[1]).max() > 20


def test_the_bidirectional_system_is_the_teachers_sampler(few_steps, systems):
    """Chunk-wise streaming of the decoder changes nothing."""
    run, prompts = load_runs()["wan2_1"], systems / "prompts.safetensors"
    generator = sampling.load_generator(few_steps, run, 0, prompts, systems, "cpu")
    noise = prompt_noise(0, [0, 1], few_steps.geometry)
    text, _ = sampling.read_prompts(prompts, few_steps)
    null = weights.load(prompts)[0]["null"]
    contexts = [generator.model.text_context(t) for t in (text[:2], null.expand_as(text[:2]))]
    flow = few_steps.flow
    x0, _ = euler(
        generator.model,
        whole_video(noise, few_steps.geometry),
        *contexts,
        steps=STEPS,
        shift=flow.shift,
        guidance=flow.guidance,
    )
    torch.testing.assert_close(generator(text[:2], noise), generator.decoder.decode(x0), atol=1e-5, rtol=0)


def test_systems_are_timed_against_each_other(few_steps, systems):
    """The bidirectional one delivers its first frames last of all."""
    runs = [load_runs()[name] for name in FORWARDS]
    quick = few_steps.model_copy(update={"timing": few_steps.timing.model_copy(update={"warmups": 0, "runs": 2})})
    samples = timing.measure(quick, runs, systems / "prompts.safetensors", systems, "cpu")
    for name in FORWARDS:
        found = samples[name]
        assert (found["first_frame_latency_s"] < found["total_s"]).all() and (found["denoise_s"] > 0).all()
        # The machine's pace at each of its turns: clocked anew, of the same work.
        assert len(set(found["reference_s"])) == 2 and (found["reference_s"] > 0).all()
    shares = {n: (s["first_frame_latency_s"] / s["total_s"]).min() for n, s in samples.items()}
    assert shares["wan2_1"] > shares["magi_1"]


def test_the_real_clips_are_a_run_of_their_own(few_steps, systems, tmp_path):
    run = load_runs()["real"]
    profile = for_run(few_steps, run, load_students())
    clips, counts = sampling.sample(profile, run, systems / "prompts.safetensors", systems, "cpu")
    assert counts == {} and np.array_equal(clips, render(sampling.prompt_scenes(profile), profile.geometry).numpy())
    evaluate(profile, run, systems / "prompts.safetensors", systems, tmp_path / "real", "cpu")
    assert {f.name for f in (tmp_path / "real").iterdir()} == {"quality.json", "scores.csv", "chunks.csv", "frames.npz"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lag": None}, "sampler staircase needs window_frames, lag: give lag"),
        ({"schedule": "4"}, "sampler staircase needs window_frames, lag: leave empty schedule"),
        ({"sampler": "bidirectional", "lag": None, "window_frames": None}, "is for student teacher, not skyreels"),
    ],
)
def test_a_row_that_does_not_fit_its_sampler_is_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        Run(**load_runs()["skyreels_v2"].model_dump() | changes)
