"""The cost table from synthetic logs and measurements of known rates."""

import json

import pandas as pd
import pytest

from repro.config import ROOT, load_devices
from repro.errors import ReproError
from repro.evaluation.training_cost import stage_fit
from repro.reporting import cost, cost_answers, figures, notebooks, records

H100 = "NVIDIA H100 80GB HBM3"
FLOP = 4e15


def write_log(folder, fit, iterations, device=H100, reset=None):
    """Two seconds an iteration; `device` None leaves out run.json, `reset` starts the clock again there."""
    folder.mkdir(parents=True)
    rows = [{"iteration": i, "seconds": 2.0 * (i + 1 - (reset if reset and i >= reset else 0)), "loss": 1 / (i + 1)}
            for i in range(iterations)]  # fmt: skip
    (folder / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    if device:
        piece = {"start": 0, "device": device, "versions": {"torch": "2"}, "code": "c"}
        run = {"stage": folder.name, "seed": 3, "fit": fit.model_dump(mode="json"), "pieces": [piece]}
        (folder / "run.json").write_text(json.dumps(run))


def write_measured(path, profile, device, **changes):
    rows = []
    for stage in ("ode", "teacher"):
        values = {"iterations": stage_fit(profile, stage).iterations, "flop": FLOP, "timed_batch": 2, "threads": 1}
        values |= {"samples": cost.expected_samples(profile, stage), "seconds_per_iteration": 0.5} | changes
        for metric, value in values.items():
            span = {"low": 0.4, "high": 0.6} if metric == "seconds_per_iteration" else {}
            rows.append(
                records.Record(
                    run_id=stage,
                    profile=profile.name,
                    metric=metric,
                    value=value,
                    n=3,
                    seeds=[0],
                    unit="",
                    metric_version="1",
                    code="c",
                    weights={},
                    device=device,
                    versions={"torch": "2"},
                    **span,
                )
            )
    records.write(path, rows)
    return path


@pytest.fixture
def measured(tmp_path, smoke):
    return [write_measured(tmp_path / f"{i}.json", smoke, d) for i, d in enumerate(("test CPU", H100))]


@pytest.fixture
def logs(tmp_path, smoke):
    """An H100's log, one older than run.json in two pieces, and one of another fit."""
    folder = tmp_path / "training"
    write_log(folder / "teacher", smoke.teacher_fit, smoke.teacher_fit.iterations)
    write_log(folder / "ode", smoke.ode_fit, smoke.ode_fit.iterations, device=None, reset=5)
    write_log(folder / "self-s0", smoke.dmd_fit.model_copy(update={"lr": 1.0}), smoke.dmd_fit.iterations)
    return folder


def test_rates_of_a_log(logs, measured, smoke, tmp_path):
    cost.build(smoke, logs, measured, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out/tables/cost.csv").set_index("log")
    wall = 2 * smoke.teacher_fit.iterations
    teacher = table.loc["teacher"]
    assert (teacher["wall_s"], teacher["device"], teacher["pieces"]) == (wall, H100, 1)
    assert teacher["samples_per_s"] == pytest.approx(smoke.teacher_fit.batch / 2)
    assert teacher["bf16_share"] == pytest.approx(FLOP / wall / (load_devices()[H100].bf16_tflops * 1e12), rel=1e-5)
    assert table.loc["ode", "device"] == "not recorded" and pd.isna(table.loc["ode", "bf16_share"])
    assert table.loc["ode", "wall_s"] == 2 * smoke.ode_fit.iterations, "both pieces"
    assert pd.isna(table.loc["self-s0", "tflop"]) and table.loc["self-s0", "wall_s"] > 0
    told = (tmp_path / "out/tables/cost.md").read_text()
    assert "nothing counted: self-s0." in told and "whose iterations they made: ode." in told
    assert "No log of: judge, vae, tiny, diagonal." in told
    made = records.read(tmp_path / "out/cost/training.json")
    assert {r.run_id: r.seeds for r in made} == {"teacher": [3], "ode": [], "self-s0": [3]}


def test_estimates_are_iterations_times_seconds(logs, measured, smoke, tmp_path):
    cost.build(smoke, logs, measured, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out/tables/cost_estimates.csv")
    assert list(table["stage"]) == ["teacher", "teacher", "ode", "ode"]
    assert (table["stage_s"] == 0.5 * table["iterations"]).all() and (table["stage_s_low"] < table["stage_s"]).all()
    assert (table["device"] == H100).equals(table["bf16_share"].notna())


def test_same_input_same_bytes(logs, measured, smoke, tmp_path):
    for out in ("a", "b"):
        cost.build(smoke, logs, measured, tmp_path / out)
    for path in sorted((tmp_path / "a").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_what_does_not_belong_is_refused_or_left_out(logs, measured, smoke, tmp_path):
    other = write_measured(tmp_path / "other.json", smoke, "older", samples=1)
    with pytest.raises(ReproError, match="no measured iteration belongs to this profile"):
        cost.build(smoke, logs, [other], tmp_path / "out")
    cost.build(smoke, logs, [*measured, other], tmp_path / "out")
    assert "another fit: ode on older, teacher on older." in (tmp_path / "out/tables/cost.md").read_text()
    mini = smoke.model_copy(update={"name": "mini"})
    with pytest.raises(ReproError, match="are of profile smoke, not 'mini'"):
        cost.build(mini, logs, measured, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReproError, match=r"holds no <stage>/log\.jsonl"):
        cost.build(smoke, tmp_path / "empty", measured, tmp_path / "out")


def test_notebook_draws_and_answers(logs, measured, smoke, tmp_path):
    out = tmp_path / "out"
    cost.build(smoke, logs, measured, out)
    notebooks.execute(ROOT / "notebooks/cost.py", out / "cost.ipynb", {"results": str(out), "profile": "smoke"})
    assert (out / "figures/cost_losses.png").stat().st_size
    found = cost_answers.load(out, "smoke")
    assert f"{H100}: " in cost_answers.logged(found) and "not recorded: " in cost_answers.logged(found)
    assert "on test CPU, most of it for teacher (2 stages)" in cost_answers.estimated(found)
    assert "teacher 1.00 to " in cost_answers.curves(found)
    assert len([a for a in figures.loss_curves(found.losses).axes if a.get_visible()]) == 3
    with pytest.raises(ReproError, match="holds profile smoke, not 'mini'"):
        cost_answers.load(out, "mini")
    with pytest.raises(ReproError, match=r"cost\.csv is missing: make it with `snakemake cost`"):
        cost_answers.load(tmp_path, "mini")
