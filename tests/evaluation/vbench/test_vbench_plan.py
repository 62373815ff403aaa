"""The plan: counts, names that every file system takes, seeds, extended prompts, shards; and VBench's own prompts."""

import re

import pytest
from stand_in import LONG

from repro.errors import ReproError
from repro.evaluation.dimensions import DIMENSIONS
from repro.evaluation.vbench import plan as planning
from repro.evaluation.vbench.plan import NAME_BYTES, make_plan, read_plan, shard, write_plan

FEW = ("temporal_flickering", "overall_consistency")


def planned(package, geometry, **options):
    return make_plan(package, geometry, **({"dimensions": DIMENSIONS} | options))


def test_one_video_a_prompt_and_sample_however_often_the_prompt_is_listed(fake, small):
    settings, entries = planned(fake, small)
    assert len(entries) == 25 + 6 * 5 and settings.complete is False  # the stand-in lacks some dimensions
    mill = [e for e in entries if e.prompt == "a mill, woodcut"]
    assert [e.sample for e in mill] == [0, 1, 2, 3, 4]
    assert {(e.rows, e.dimensions) for e in mill} == {("5 6", "appearance_style temporal_style")}
    assert [e.seed for e in mill] == [500_000, 500_001, 500_002, 500_003, 500_004]
    assert len({e.seed for e in entries}) == len({e.digest for e in entries}) == len(entries)


def test_names_are_vbenchs_own_where_they_are_safe_and_safe_elsewhere(fake, small):
    _, entries = planned(fake, small)
    names = [e.file for e in entries]
    assert len({n.casefold() for n in names}) == len(names)
    assert all(len(n.encode()) <= NAME_BYTES and not planning.UNSAFE.search(n) for n in names)
    first = {e.prompt: e.file for e in entries if e.sample == 0}
    assert first["A person is juggling"] == "A person is juggling-0.mp4"
    for prompt, start in ((LONG, LONG[:100]), ("a green field", "a green field_"), ("A green field", "A green field_")):
        assert first[prompt].startswith(start) and re.search(r"_[0-9a-f]{10}-0\.mp4$", first[prompt])
    assert first["a façade / a door"].startswith("a faade  a door_")


def test_the_model_gets_the_extended_prompt_and_the_name_keeps_the_original(fake, small, tmp_path):
    originals = [r["prompt_en"] for r in fake.rows]
    (tmp_path / "short.txt").write_text("\n".join(originals))
    (tmp_path / "long.txt").write_text("\n".join(f"{p}, in great detail {i}" for i, p in enumerate(originals)))
    files = (tmp_path / "short.txt", tmp_path / "long.txt")
    settings, entries = planned(fake, small, extended=files)
    juggling = next(e for e in entries if e.prompt == "A person is juggling")
    assert juggling.generate == "A person is juggling, in great detail 1"
    assert juggling.file == "A person is juggling-0.mp4" and len(settings.extended_sha256) == 64
    plain = next(e for e in planned(fake, small)[1] if e.file == juggling.file)
    assert plain.digest != juggling.digest
    write_plan(tmp_path, settings, entries)
    assert read_plan(tmp_path) == (settings, entries)


@pytest.mark.parametrize(
    ("originals", "extended", "message"),
    [
        (None, 1, "has 8 lines and .* 7"),
        ("a cat", 0, "line 3: 'a cat' is no prompt of this VBench"),
        ("a still lamp on a desk", 0, "lacks 1 of VBench's prompts, such as 'a green field'"),
        (None, 0, "line 4 is empty, which should extend 'A green field'"),
    ],
)
def test_prompt_files_that_do_not_belong_together_are_refused(fake, small, tmp_path, originals, extended, message):
    lines = [r["prompt_en"] for r in fake.rows]
    longer = [f"{p} at noon" for p in lines]
    if originals:
        lines[2] = originals
    elif not extended:
        longer[3] = ""
    (tmp_path / "a.txt").write_text("\n".join(lines))
    (tmp_path / "b.txt").write_text("\n".join(longer[extended:]))
    with pytest.raises(ReproError, match=message):
        planned(fake, small, extended=(tmp_path / "a.txt", tmp_path / "b.txt"))


def test_a_trial_is_a_part_and_says_so(fake, small):
    settings, entries = planned(
        fake, small, dimensions=("temporal_flickering", "overall_consistency"), first=1, samples=2
    )
    assert [(e.prompt, e.sample) for e in entries] == [
        ("a still lamp on a desk", 0),
        ("a still lamp on a desk", 1),
        ("a green field", 0),
        ("a green field", 1),
    ]
    assert not settings.complete


def test_shards_are_the_whole_and_a_wrong_one_is_refused(fake, small):
    _, entries = planned(fake, small)
    parts = [shard(entries, f"{i}/3") for i in range(3)]
    assert sorted(e.file for part in parts for e in part) == sorted(e.file for e in entries)
    for wrong in ("3/3", "1", "-1/2", "a/b"):
        with pytest.raises(ReproError, match=r"write i/n"):
            shard(entries, wrong)


def test_a_plan_changed_by_hand_is_refused(fake, small, tmp_path):
    write_plan(tmp_path, *planned(fake, small))
    text = (tmp_path / "plan.csv").read_text()
    (tmp_path / "plan.csv").write_text(text.replace("100000,", "100007,", 1))
    with pytest.raises(ReproError, match=r"the row of 'A person is juggling-0\.mp4' was changed by hand"):
        read_plan(tmp_path)
    with pytest.raises(ReproError, match=r"plan.json is missing: make it with"):
        read_plan(tmp_path / "nowhere")


def test_vbenchs_own_prompts(real, small):
    """946 rows, 944 strings: 869 prompts of 5 videos and 75 of 25; every action can be read from its file's name."""
    settings, entries = planned(real, small)
    assert len(real.rows) == 946 and len({e.prompt for e in entries}) == 944
    assert len(entries) == 869 * 5 + 75 * 25 and settings.complete and settings.vbench == "0.1.5"
    names = [e.file for e in entries]
    assert len({n.casefold() for n in names}) == len(names) and max(len(n.encode()) for n in names) <= NAME_BYTES
    first = [e for e in entries if e.sample == 0]
    safe = sum(e.file == f"{e.prompt}-0.mp4" for e in first)
    assert safe == 907
    sheet = next(real.root.glob("lib/python*/site-packages/vbench/third_party/umt/kinetics_400_categories.txt"))
    known = {line.split("\t")[0].lower() for line in sheet.read_text().splitlines()}
    actions = [e.file for e in first if "human_action" in e.dimensions]
    assert len(actions) == 100
    for name in actions:  # as vbench/human_action.py reads it
        assert name.lower().split("-")[0].split("person is ")[-1].split("_")[0] in known, name
