"""A set of videos with any fault is refused, and every fault is named."""

import json

import pytest

from repro.errors import ReproError
from repro.evaluation.vbench.check import faults, probe, read_clip, require_whole
from repro.evaluation.vbench.plan import make_plan

DIMENSIONS = ("human_action", "overall_consistency")


@pytest.fixture
def whole(fake, small, tmp_path, write_mp4):
    """A plan of six videos, and all of them."""
    settings, entries = make_plan(fake, small, dimensions=DIMENSIONS, samples=2)
    for i, entry in enumerate(entries):
        comment = json.dumps({"digest": entry.digest, "system": "toy", "device": "abacus"})
        write_mp4(tmp_path / "videos" / entry.file, seed=i, comment=comment)
    return settings, entries, tmp_path / "videos"


def kinds(whole):
    return {(f.kind, f.file) for f in faults(*whole)[0]}


def test_a_whole_set_passes_and_says_how_it_was_made(whole):
    assert len(whole[1]) == 6 and kinds(whole) == set()
    assert require_whole(*whole) == {"system": "toy", "device": "abacus"}


def test_every_fault_is_found(whole, write_mp4):
    _, entries, videos = whole
    names = [e.file for e in entries]
    (videos / names[0]).unlink()
    comment = json.dumps({"digest": entries[1].digest, "system": "toy", "device": "abacus"})
    write_mp4(videos / names[1], frames=8, seed=31, comment=comment)
    write_mp4(videos / names[2], fps=8, width=32, seed=32)
    (videos / names[4]).write_bytes((videos / names[3]).read_bytes())
    data = (videos / names[5]).read_bytes()
    (videos / names[5]).write_bytes(data[: len(data) // 2])
    write_mp4(videos / "holiday-0.mp4")
    assert (
        kinds(whole)
        == {
            ("missing", names[0]),
            ("wrong length", names[1]),
            ("wrong frame rate", names[2]),
            ("wrong size", names[2]),
            ("mixed", names[2]),  # it does not say by what it was made
            ("duplicate", max(names[3:5])),
            ("other plan", names[4]),
            ("broken", names[5]),
            ("unexpected", "holiday-0.mp4"),
        }
    )
    with pytest.raises(ReproError) as error:
        require_whole(*whole)
    for told in (
        f"missing: {names[0]} (prompt 'A person is juggling', sample 0)",
        "8 frames, not 9",
        "32×32, not 48×32",
    ):
        assert told in str(error.value)


def test_videos_of_two_machines_are_refused(whole, write_mp4):
    _, entries, videos = whole
    comment = json.dumps({"digest": entries[0].digest, "system": "toy", "device": "slide rule"})
    write_mp4(videos / entries[0].file, seed=99, comment=comment)
    assert kinds(whole) == {("mixed", entries[0].file)}


def test_many_faults_are_counted_and_a_few_named(whole):
    for path in whole[2].iterdir():
        path.unlink()
    settings, entries, videos = whole
    with pytest.raises(ReproError) as error:
        require_whole(settings, entries * 3, videos)
    assert "missing: and 8 more" in str(error.value) and str(error.value).count("prompt '") == 10


def test_frames_are_counted_not_believed(tmp_path, write_mp4):
    path = write_mp4(tmp_path / "a.mp4", frames=7)
    assert (probe(path).frames, probe(path).fps) == (7, 16)
    assert read_clip(path).shape == (7, 3, 32, 48)
    (tmp_path / "b.mp4").write_text("no video")
    for fails in (probe, read_clip):
        with pytest.raises(ReproError, match=r"b\.mp4 .* make it again"):
            fails(tmp_path / "b.mp4")
