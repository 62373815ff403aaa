"""Tolerances: what is within, what is a breach; and five injected defects, each of which must be caught."""

import contextlib
import shutil

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from repro.config import ROOT, load_profile, load_runs
from repro.errors import ReproError
from repro.evaluation import quality, sampling
from repro.flow import nominal_to_sigma
from repro.generation import rollout
from repro.models.kv_cache import KVCache
from repro.reporting import records, regress
from repro.reporting.tables import metrics_frame

PUBLISHED = ROOT / "results" / "published" / "mini"
CHECKPOINTS = PUBLISHED / "checkpoints"
RUN = "diagonal_4322222"
SET = "kernel_distance"  # not published where several training seeds stand behind a run
PROMPTS = 6


@pytest.fixture
def published_copy(tmp_path):
    """Published numbers of one run, as if they were fresh."""
    (tmp_path / "runs" / RUN).mkdir(parents=True)
    shutil.copy(PUBLISHED / "runs" / RUN / "scores.csv", tmp_path / "runs" / RUN)
    table = pd.read_csv(PUBLISHED / "metrics.csv")
    table[table["run_id"] == RUN].to_csv(tmp_path / "metrics.csv", index=False)
    return tmp_path


def change(folder, metric, column, value):
    table = pd.read_csv(folder / "metrics.csv", keep_default_na=False)
    table.loc[table["metric"] == metric, column] = value
    table.to_csv(folder / "metrics.csv", index=False)


def check(folder, console=None):
    regress.check(folder, PUBLISHED, [RUN], console or Console(quiet=True))
    return pd.read_csv(folder / "regress.csv").set_index("metric")


def test_the_published_numbers_are_within_their_own_tolerances(published_copy):
    table = check(published_copy)
    rules = regress.load_tolerances()
    assert set(table["verdict"]) == {"within", "not compared"} and set(table.index) == set(rules) - {SET}
    assert all(rules[m].rule == "free" for m in table.index[table["verdict"] == "not compared"])


@pytest.mark.parametrize(
    ("metric", "shift", "verdict"),
    [
        ("total", 0.0008, "within"),
        ("total", 0.0012, "breach"),
        ("total", -0.0012, "breach"),
        ("forwards", 1, "breach"),
        ("throughput_fps", 500, "within"),
        ("throughput_fps", -80, "breach"),
        ("in_flight_latency_s", 0.08, "within"),
        ("in_flight_latency_s", 0.2, "breach"),
        ("in_flight_latency_s", -0.08, "within"),
        ("denoise_s", 9, "not compared"),
    ],
)
def test_each_rule(published_copy, metric, shift, verdict):
    table = pd.read_csv(PUBLISHED / "metrics.csv").set_index(["run_id", "metric"])
    change(published_copy, metric, "value", table.loc[(RUN, metric), "value"] + shift)
    if verdict == "breach":
        with pytest.raises(ReproError, match=f"^1 of .* values are out of tolerance .*: {metric} of {RUN}"):
            check(published_copy)
    else:
        assert check(published_copy).loc[metric, "verdict"] == verdict


def test_times_are_held_against_the_pace_of_the_machine(published_copy):
    """All three times as long is a machine that is slow; what takes longer than the reference work is a breach."""
    table = pd.read_csv(published_copy / "metrics.csv")
    factor = table["metric"].map({"throughput_fps": 1 / 3}).fillna(table["unit"].map({"s": 3.0})).fillna(1)
    table.assign(value=table["value"] * factor).to_csv(published_copy / "metrics.csv", index=False)
    lines = check(published_copy)
    timed = ["throughput_fps", "total_s", "in_flight_latency_s", "first_frame_latency_s"]
    assert set(lines.loc[timed, "verdict"]) == {"within"}
    np.testing.assert_allclose(lines.loc[timed, "distance"], 0, atol=1e-9)
    change(published_copy, "total_s", "value", 2.1 * lines.loc["total_s", "reference"])
    with pytest.raises(ReproError, match=f"^1 of .* values are out of tolerance .*: total_s of {RUN}"):
        check(published_copy)


def test_what_cannot_be_compared_says_why(published_copy):
    change(published_copy, "throughput_fps", "device", "an abacus")
    change(published_copy, "reference_s", "metric", "another_s")
    table = check(published_copy)
    assert table.loc["throughput_fps", "verdict"] == "other device"
    assert table.loc["total_s", "verdict"] == "no reference"


@pytest.mark.parametrize(
    ("value", "n", "verdict"), [(0.0125, 384, "within"), (0.03, 384, "breach"), (0.012, 24, "other clips")]
)
def test_a_distance_is_held_against_one_of_as_many_clips(value, n, verdict):
    known, rules = regress.read(PUBLISHED), regress.load_tolerances()

    def with_distance(value, n):
        metrics = known.metrics.copy()
        metrics.loc[(RUN, SET), ["value", "n"]] = value, n
        return known._replace(metrics=metrics)

    lines = regress.compare(with_distance(value, n), with_distance(0.012, 384), [RUN], rules)
    assert [line.verdict for line in lines if line.metric == SET] == [verdict]


def test_clips_that_were_not_published_hide_nothing(published_copy):
    path = published_copy / "runs" / RUN / "scores.csv"
    scores = pd.read_csv(path)
    more = scores.iloc[:1].assign(prompt=1000)
    pd.concat([scores, more]).to_csv(path, index=False)
    assert check(published_copy).loc["total", "verdict"] == "within"
    worse = scores.assign(total=0.3 * scores["total"])
    pd.concat([worse, more]).to_csv(path, index=False)
    with pytest.raises(ReproError, match=f"^1 of .* values are out of tolerance .*: total of {RUN}"):
        check(published_copy)
    more.to_csv(path, index=False)
    with pytest.raises(ReproError, match="values are out of tolerance"):
        check(published_copy)
    assert pd.read_csv(published_copy / "regress.csv").set_index("metric").loc["total", "verdict"] == "missing"


def test_a_missing_metric_or_score_is_a_breach(published_copy):
    path = published_copy / "runs" / RUN / "scores.csv"
    scores = pd.read_csv(path)
    scores.loc[0, "scene"] = np.nan
    scores.to_csv(path, index=False)
    table = pd.read_csv(published_copy / "metrics.csv", keep_default_na=False)
    table[~table["metric"].isin(["total", "total_s"])].to_csv(published_copy / "metrics.csv", index=False)
    with pytest.raises(ReproError, match=r"^2 of .* scene of diagonal_4322222, total of diagonal_4322222"):
        check(published_copy)
    lines = pd.read_csv(published_copy / "regress.csv").set_index("metric")["verdict"]
    assert (lines["scene"], lines["total"], lines["total_s"]) == ("breach", "missing", "not measured")


def test_refusals(published_copy, tmp_path):
    with pytest.raises(ReproError, match="no run 'diagonal_9' was published"):
        regress.check(published_copy, PUBLISHED, ["diagonal_9"], Console(quiet=True))
    with pytest.raises(ReproError, match=r"metrics\.csv is missing: .*snakemake --cores all table5"):
        regress.check(tmp_path / "nothing", PUBLISHED, [], Console(quiet=True))
    (tmp_path / "tolerances.csv").write_text("metric,rule,share,floor,reason\ntotal,clips,,,because\n")
    with pytest.raises(ReproError, match=r"line 2.*rule clips needs a share"):
        regress.load_tolerances(tmp_path)
    read = regress.read(PUBLISHED)
    with pytest.raises(ReproError, match=r"tolerances\.csv says nothing of subject_consistency"):
        regress.compare(read, read, [RUN], {})


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "prompts.safetensors"
    sampling.write_prompts(few(), CHECKPOINTS, path)
    return path


def few():
    profile = load_profile("mini")
    sizes = {"prompts": PROMPTS, "batch": PROMPTS, "bootstrap": 10}
    return profile.model_copy(update={"evaluation": profile.evaluation.model_copy(update=sizes)})


def fresh(folder, prompts):
    """Inference of the published run from the shipped checkpoints, over a few of its prompts."""
    quality.evaluate(few(), load_runs()[RUN], prompts, CHECKPOINTS, folder / "runs" / RUN, "cpu")
    table = metrics_frame(records.read(folder / "runs" / RUN / "quality.json"))
    table.to_csv(folder / "metrics.csv", index=False)
    return folder


def test_the_code_as_it_is_breaches_nothing(tmp_path, prompts):
    table = check(fresh(tmp_path, prompts))
    assert (table["verdict"] == "within").sum() == 24
    compared = table[table["tolerance"] > 0]
    share = compared["distance"] / compared["tolerance"]
    assert share.max() < 0.8, share.idxmax()


@contextlib.contextmanager
def shift_applied_twice(patch):
    def twice(timestep, shift):
        sigma = nominal_to_sigma(timestep, shift)
        return shift * sigma / (1 + (shift - 1) * sigma)

    patch.setattr(rollout, "nominal_to_sigma", twice)
    yield


@contextlib.contextmanager
def cache_of_the_first_step(patch):
    """The next chunks see what a chunk's first step left, not its last."""
    first, begin, update = {}, KVCache.begin, KVCache.update

    def keep(self, layer, k, v):
        first.setdefault(layer, (k.clone(), v.clone()))
        return update(self, layer, k, v)

    def restore(self, chunk):
        if chunk > 0:
            for layer, (k, v) in first.items():
                update(self, layer, k, v)
        first.clear()
        begin(self, chunk)

    patch.setattr(KVCache, "update", keep)
    patch.setattr(KVCache, "begin", restore)
    yield


@contextlib.contextmanager
def window_one_chunk_short(patch):
    make = KVCache.__init__

    def shorter(self, config, geometry, batch, window_frames, *rest, **options):
        make(self, config, geometry, batch, window_frames - geometry.chunk_frames, *rest, **options)

    patch.setattr(KVCache, "__init__", shorter)
    yield


@contextlib.contextmanager
def positions_one_frame_early(patch):
    """Every chunk but the first starts one latent frame too early."""
    predict = rollout.predict_x0

    def early(forward, x, sigma, context, start_frame, cache):
        return predict(forward, x, sigma, context, max(0, start_frame - 1), cache)

    patch.setattr(rollout, "predict_x0", early)
    yield


@contextlib.contextmanager
def two_prompts_swapped(patch):
    given = sampling.read_prompts

    def swapped(path, profile):
        text, captions = given(path, profile)
        return text[[1, 0, *range(2, len(text))]], captions

    patch.setattr(sampling, "read_prompts", swapped)
    yield


@pytest.mark.slow
@pytest.mark.parametrize(
    "defect",
    [
        shift_applied_twice,
        cache_of_the_first_step,
        window_one_chunk_short,
        positions_one_frame_early,
        two_prompts_swapped,
    ],
)
def test_an_injected_defect_is_caught(tmp_path, prompts, monkeypatch, defect):
    with defect(monkeypatch):
        fresh(tmp_path, prompts)
    with pytest.raises(ReproError, match=r"values are out of tolerance"):
        check(tmp_path)
    table = pd.read_csv(tmp_path / "regress.csv").set_index("metric")
    caught = table[table["verdict"] == "breach"]
    assert len(caught) >= 5 and (caught["distance"] > 2 * caught["tolerance"]).any()
