"""Videos from prompts: their length, when a prompt changes, and what is refused."""

import json

import av
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from repro.config import ROOT, load_profile, load_runs
from repro.device import prepare
from repro.errors import ReproError
from repro.evaluation.sampling import read_prompts
from repro.generation.film import Cue, cue_of_chunk, film, frames_for, read_cues
from repro.generation.studio import open_world
from repro.models import weights
from repro.reporting.records import code_hash
from repro.verbs import generation
from repro.verbs.options import student_run

CHECKPOINTS = ROOT / "results" / "published" / "mini" / "checkpoints"
MINI = load_profile("mini")
ONE = "a small purple square moves down over checks, outlined style, still camera"
TWO = "a small red star moves left over stripes, flat style, still camera"


def decoded(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def made(tmp_path, name, cues, frames=81):
    run = load_runs()["diagonal_4322222"].model_copy(update={"schedule": "2"})
    studio = open_world(MINI, run, CHECKPOINTS, "cpu")
    return decoded(film(studio, cues, tmp_path / name, frames=frames, seed=0, scale=2))


def test_a_new_prompt_changes_what_comes_after_it_and_nothing_before(tmp_path):
    alone = made(tmp_path, "a.mp4", [Cue(0, ONE)])
    both = made(tmp_path, "b.mp4", [Cue(0, ONE), Cue(3.0, TWO)])
    assert alone.shape == both.shape == (81, 128, 224, 3)
    change = MINI.geometry.video_frames(0, 15)  # the first chunk that starts at 3 s or after
    difference = np.abs(alone.astype(float) - both).mean((1, 2, 3))
    # The codec looks ahead, so equal pictures may differ by its rounding.
    assert difference[: change - 12].max() < 0.2 * difference[change + 4 :].mean()


def test_length_is_rounded_up_to_whole_chunks():
    assert [frames_for(MINI.geometry, s) for s in (0.1, 81 / 16, 81.5 / 16)] == [9, 81, 93]


def test_a_prompt_holds_from_the_first_chunk_shown_after_its_time():
    cues = [Cue(0, "a"), Cue(0.5625, "b"), Cue(0.6, "c")]  # chunk 1 is shown from frame 9, at 0.5625 s
    assert [cue_of_chunk(cues, MINI.geometry, k) for k in range(3)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,a\nsoon,b", "line 2: 'soon' is no time"),
        ("0,a\n1,", "line 2: no prompt"),
        ("0,a\n2,b\n1,c", "line 3: 1 s must come after"),
        ("nan,a", "line 1: 'nan' is no time"),
        ("0,a\ninf,b", "line 2: 'inf' is no time"),
        ("1,a", "first line must begin at 0"),
        ("", "first line must begin at 0"),
    ],
)
def test_bad_prompts_are_refused_by_line(tmp_path, text, message):
    (tmp_path / "cues").write_text(text)
    with pytest.raises(ReproError, match=message):
        read_cues(tmp_path / "cues")


def test_prompts_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "cues").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReproError, match="no text in UTF-8"):
        read_cues(tmp_path / "cues")


@pytest.mark.parametrize("seconds", [0.0, -3.0, float("nan"), float("inf")])
def test_no_length_is_refused(seconds):
    with pytest.raises(ReproError, match=f"cannot last {seconds:g} seconds"):
        frames_for(MINI.geometry, seconds)


def test_a_length_of_days_is_refused_at_once():
    with pytest.raises(ReproError, match="give at most 3600"):
        frames_for(MINI.geometry, 1e9)


@pytest.mark.parametrize("device", ["foo", "cuda:x", "cuda:99"])
def test_a_device_that_is_none_is_refused(device):
    with pytest.raises(ReproError, match=f"--device {device}"):
        prepare(1, device)


def test_weights_that_are_no_numbers_and_files_that_are_no_prompts_are_refused(tmp_path):
    path = tmp_path / "judge.safetensors"
    weights.save(path, {"kept": torch.ones(2), "lost": torch.tensor([1.0, float("nan")])}, {})
    with pytest.raises(ReproError, match=r"judge\.safetensors: lost holds NaN"):
        weights.load(path)
    with pytest.raises(ReproError, match="holds no encoded prompts"):
        read_prompts(CHECKPOINTS / "judge.safetensors", load_profile("mini"))
    with pytest.raises(ReproError, match="are missing: make them with the verb `prompts`"):
        read_prompts(tmp_path / "prompts.safetensors", load_profile("mini"))


@pytest.mark.parametrize("run", ["real", "wan2_1", "magi_1"])
def test_only_students_that_roll_out_make_clips_by_the_chunk(run):
    with pytest.raises(ReproError, match=f"run '{run}' .* does not roll out a student"):
        student_run(run)


def test_captions_keep_their_commas(tmp_path):
    (tmp_path / "cues").write_text(f"0,{ONE}\n\n2.5,{TWO}\n")
    assert read_cues(tmp_path / "cues") == [Cue(0.0, ONE), Cue(2.5, TWO)]


@pytest.mark.parametrize(
    ("cues", "name", "message"),
    [
        ([Cue(0, "a huge star")], "a.mp4", "does not know 'huge'"),
        ([Cue(0, ONE), Cue(60.0, TWO)], "a.mp4", "prompt at 60 s would not be shown"),
        (
            [Cue(0, ONE), Cue(1.0, TWO), Cue(1.2, ONE)],
            "a.mp4",
            r"prompt at 1 s would not be shown.* chunks start at 0\.\d",
        ),
        ([Cue(0, ONE)], "a.avi", "written as .mp4"),
    ],
)
def test_what_cannot_be_made_leaves_no_file(tmp_path, cues, name, message):
    with pytest.raises(ReproError, match=message):
        made(tmp_path, name, cues)
    assert not list(tmp_path.iterdir())


def test_a_video_says_that_it_is_synthetic_and_how_it_was_made(tmp_path):
    made(tmp_path, "a.mp4", [Cue(0, ONE)], frames=9)
    with av.open(str(tmp_path / "a.mp4")) as container:
        said = json.loads(container.metadata["comment"])
    assert said["synthetic"] is True and said["code"] == code_hash()
    assert said["prompts"] == [[0, ONE]] and said["seed"] == 0 and said["scale"] == "mini"
    assert said["run"]["student"] == "diagonal" and said["run"]["schedule"] == "2"


def test_a_clip_follows_the_last_prompt_and_compression_makes_it_smaller(tmp_path):
    (tmp_path / "cues").write_text(f"0,{ONE}\n1.5,{TWO}\n")
    sizes = []
    for crf in (18, 40):
        out = tmp_path / f"{crf}.mp4"
        command = ["generate", "--prompts", tmp_path / "cues", "--schedule", "1", "--crf", crf, "--out", out]
        ran = CliRunner().invoke(generation.app, [*map(str, command), "--checkpoints", str(CHECKPOINTS)])
        assert ran.exit_code == 0, ran.output
        assert len(decoded(out)) == frames_for(MINI.geometry, 1.5 + 81 / 16) == 105
        sizes.append(out.stat().st_size)
    assert sizes[1] < 0.8 * sizes[0]
