"""The plan: seeded, balanced, sides drawn, and a page that names no model."""

import json

import av
import numpy as np
import pytest
import yaml

from repro.errors import ReproError
from repro.user_study import plan, survey
from repro.user_study.design import DEGRADED, FOLDER, Design, load


@pytest.fixture(scope="module")
def real():
    """The design that the repository ships, and its plan."""
    design = load()
    return design, plan.make(design)


def main_votes(design, planned):
    rows = planned[(planned["part"] == "comparison") & (planned["kind"] == "main")]
    rank = {method: i for i, method in enumerate(design.methods)}
    first_left = rows["left"].map(rank) < rows["right"].map(rank)
    first = rows["left"].where(first_left, rows["right"])
    return rows.assign(first=first, second=rows["right"].where(first_left, rows["left"]), first_left=first_left)


def test_the_same_seed_gives_the_same_plan(larger):
    design, planned = larger
    assert planned.equals(plan.make(design))
    other = plan.make(design.model_copy(update={"seed": 1}))
    assert not planned[["prompt", "left", "right"]].equals(other[["prompt", "left", "right"]])
    assert not set(planned["task"]) & set(other["task"])


@pytest.mark.parametrize(
    "changes", [{}, {"round_robin": True}, {"participants": 7, "comparisons": 5, "prompts": 4}, {"prompts": 11}]
)
def test_pairs_prompts_and_sides_are_equally_frequent_within_one(larger, changes):
    design = larger[0].model_copy(update=changes)
    votes = main_votes(design, plan.make(design))
    assert set(zip(votes["first"], votes["second"], strict=True)) == set(design.pairs)
    for _, own in votes.groupby(["first", "second"]):
        assert (own.groupby("participant").size() == design.comparisons).all()
        assert own["participant"].nunique() == design.participants
        by_prompt = own.groupby("prompt").size().reindex(design.prompt_names, fill_value=0)
        assert np.ptp(by_prompt) <= 1
        left = own.groupby("prompt")["first_left"].sum().reindex(design.prompt_names, fill_value=0)
        assert (abs(2 * left - by_prompt) <= 1).all()
        assert abs(own["first_left"].mean() - 0.5) < 0.05


def test_the_published_design_is_balanced_too(real):
    design, planned = real
    votes = main_votes(design, planned)
    cells = votes.groupby(["first", "second", "prompt", "first_left"]).size()
    assert np.ptp(cells) <= 1 and cells.size == len(design.pairs) * design.prompts * 2
    assert f"{len(votes)} comparisons" in plan.summary(design, planned)


def test_shares_are_what_the_plan_deals_out(larger):
    design, planned = larger
    votes = plan.shares(design.participants, design.prompts, design.comparisons)
    assert (votes.sum(1) == design.comparisons).all() and np.ptp(votes.sum(0)) <= 1
    dealt = main_votes(design, planned).groupby(["first", "prompt"]).size()
    assert sorted(dealt) == sorted(np.tile(votes.sum(0) * len(design.pairs), 1))


def test_repeats_come_later_with_sides_swapped(real):
    design, planned = real
    repeats = planned[planned["kind"] == "repeat"]
    assert len(repeats) == design.participants * design.repeats
    joined = repeats.merge(planned, left_on=["participant", "repeats"], right_on=["participant", "task"])
    assert len(joined) == len(repeats)
    assert (joined["left_x"] == joined["right_y"]).all() and (joined["right_x"] == joined["left_y"]).all()
    assert (joined["prompt_x"] == joined["prompt_y"]).all() and (joined["kind_y"] == "main").all()
    assert (joined["position_x"] > joined["position_y"]).all()


def test_attention_checks_show_the_spoilt_video_on_both_sides(real):
    design, planned = real
    checks = planned[planned["kind"] == "check"]
    own = checks.groupby("participant")
    assert (own.size() == design.checks).all() and own.ngroups == design.participants
    spoilt = checks[["left", "right"]] == DEGRADED
    assert (spoilt.sum(1) == 1).all()
    assert (own["left"].apply(lambda side: (side == DEGRADED).sum()) == design.checks // 2).all()
    assert not (planned[planned["kind"] != "check"][["left", "right"]] == DEGRADED).any(axis=None)
    assert checks["position"].nunique() > design.checks


def test_parts_come_in_order_and_tasks_are_unique(real):
    design, planned = real
    assert planned["task"].is_unique
    order = {part: i for i, part in enumerate(design.parts)}
    for _, own in planned.groupby("participant"):
        assert own["position"].tolist() == list(range(1, len(own) + 1))
        assert own["part"].map(order).is_monotonic_increasing and own["part"].nunique() == 6


def test_single_videos_show_methods_equally_often(real):
    design, planned = real
    for part in ("quality", "consistency", "dynamic"):
        count = planned[planned["part"] == part]["left"].value_counts().reindex(design.methods, fill_value=0)
        assert np.ptp(count) <= 1


def test_nothing_that_a_participant_can_fetch_names_a_model_or_a_check(study, cards):
    page = study.folder / "page"
    files = [path for path in page.rglob("*") if path.is_file()]
    assert len([f for f in files if f.suffix == ".mp4"]) > 3 and len(list((page / "tasks").iterdir())) == 2
    telling = [*study.design.methods, DEGRADED, "p001", "prompt_01", "dynamic_01"]
    for path in files:
        text = str(path.relative_to(page)).encode() + path.read_bytes()
        assert not [word for word in telling if word.encode() in text.lower()], path
    for path in (page / "tasks").iterdir():
        assert all(set(task) == {"task", "part", "prompt", "videos"} for task in json.loads(path.read_text()))


def test_titles_inside_a_video_are_not_copied(tmp_path):
    source, target = tmp_path / "causvid.mp4", tmp_path / "opaque.mp4"
    with av.open(str(source), "w") as container:
        container.metadata["title"] = "made by CausVid"
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.metadata["handler_name"] = "causvid handler"
        for level in range(4):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 60 * level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert b"causvid" in source.read_bytes().lower()
    for spoil in (False, True):
        survey.copy_video(source, target, spoil=spoil)
        assert b"causvid" not in target.read_bytes().lower()
        with av.open(str(target)) as copy:
            frames = [f.to_ndarray(format="rgb24").std() for f in copy.decode(video=0)]
        assert len(frames) == 4 and (min(frames) > 20) == spoil


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"participants": 1}, ["participants", "1"]),
        ({"prompts": "many"}, ["prompts", "many"]),
        ({"comparisons": 0}, ["comparisons", "0"]),
        ({"repeats": 31}, ["repeats 31", "30"]),
        ({"methods": ["causvid", "causvid"]}, ["causvid", "differ"]),
        ({"methods": ["causvid", DEGRADED]}, [DEGRADED]),
        ({"name": "Größe"}, ["name", "Größe"]),
        ({"dynamic_prompts": 0}, ["dynamic_videos 2"]),
        ({"exclusions": {"one_side": 0.4}}, ["one_side", "0.4"]),
        ({"particpants": 9}, ["particpants"]),
    ],
)
def test_a_bad_design_is_named(tmp_path, change, told):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load((FOLDER / "design.yaml").read_text()) | change, allow_unicode=True))
    with pytest.raises(ReproError) as error:
        load(path)
    assert all(part in str(error.value) for part in ["mine.yaml", *told]), str(error.value)


@pytest.mark.parametrize(("text", "told"), [("- a\n", "mapping"), ("a: [", "not valid YAML"), ("", "mapping")])
def test_a_file_that_is_no_design(tmp_path, text, told):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ReproError, match=told):
        load(path)
    with pytest.raises(ReproError, match="cannot be read"):
        load(tmp_path / "none.yaml")


def test_the_digest_changes_with_an_exclusion_rule():
    design = load()
    stricter = Design(**design.model_dump() | {"exclusions": {"seconds": 4.0}})
    assert design.digest == load().digest != stricter.digest


def test_a_survey_lacking_something_says_what(cards, tmp_path):
    design, videos, prompts = cards
    with pytest.raises(ReproError, match=r"lacks causvid/dynamic_01.mp4, .* and 7 more"):
        survey.build(design, prompts, tmp_path, tmp_path / "out", "http://x")
    few = tmp_path / "few.csv"
    few.write_text("prompt,text\nprompt_01,One\n")
    with pytest.raises(ReproError, match="3 prompts of the design, 'prompt_02' first"):
        survey.build(design, few, videos, tmp_path / "out", "http://x")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "study.sqlite").write_text("answers")
    with pytest.raises(ReproError, match="may have answers"):
        survey.build(design, prompts, videos, taken, "http://x")
    assert (taken / "study.sqlite").read_text() == "answers"
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out-*"))
