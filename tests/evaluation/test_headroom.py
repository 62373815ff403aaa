"""Headroom: distances with their draws, and the rows of headroom.csv."""

import numpy as np
import pandas as pd
import pytest

from repro.config import System, load_runs, load_systems
from repro.errors import ReproError
from repro.evaluation import metrics
from repro.evaluation.headroom import distance_draws, measure
from repro.reporting import records


def test_draws_centre_on_the_distance_and_spread_as_fresh_samples_do():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(1000, 8))

    def clips():
        return rng.normal(size=(400, 8)) + 0.3

    values, draws = distance_draws([clips()], real, rng)
    assert draws.mean().to_dict() == pytest.approx(values)
    for name, make in metrics.DISTANCES.items():
        fresh = np.std([make(clips(), real)() for _ in range(60)])
        assert 0.6 < draws[name].std() / fresh < 1.6


def test_draws_of_several_seeds_include_the_spread_between_trainings():
    rng = np.random.default_rng(1)
    real = rng.normal(size=(600, 4))
    same, other = (rng.normal(size=(300, 4)) + shift for shift in (0.1, 1.0))
    _, alone = distance_draws([same, same], real, rng)
    _, apart = distance_draws([same, other], real, rng)
    assert apart["frechet"].std() > 3 * alone["frechet"].std()


def test_counts_equal_repeated_clips():
    rng = np.random.default_rng(2)
    a, b, counts = rng.normal(size=(50, 4)), rng.normal(size=(80, 4)), rng.integers(0, 3, 50)
    assert metrics.Frechet(a, b)(counts) == pytest.approx(metrics.frechet(np.repeat(a, counts, axis=0), b))
    kernel = metrics.KernelDistance(a, b)
    assert kernel(np.ones(50)) == pytest.approx(metrics.kernel_distance(a, b))
    many = rng.multinomial(50, np.full(50, 1 / 50), size=3)
    assert kernel.of_each(many) == pytest.approx([kernel(c) for c in many])


@pytest.mark.parametrize("name", ["real", "teacher_2", "diagonal_4322222"])
def test_a_system_is_measured(everything, smoke, tmp_path, name):
    system = load_systems()[name]
    smoke = smoke.model_copy(update={"evaluation": smoke.evaluation.model_copy(update={"student_seeds": (0, 1)})})
    measure(smoke, system, load_runs()[system.run], everything, tmp_path / "out", "cpu")
    rows = {r.metric: r for r in records.read(tmp_path / "out" / "headroom.json")}
    assert rows.keys() == {*metrics.DIMENSIONS, *metrics.MEASURES, *metrics.AGGREGATES, *metrics.DISTANCES}
    seeds = [0, 1] if system.trained_per_seed else [0]
    assert rows["frechet"].seeds == seeds and rows["frechet"].n == len(seeds) * smoke.headroom.clips
    assert rows["frechet"].low <= rows["frechet"].value <= rows["frechet"].high
    assert len(pd.read_csv(tmp_path / "out" / "scores.csv")) == len(seeds) * smoke.headroom.scored


def test_an_unknown_source_is_refused_with_the_choice(tmp_path):
    from shutil import copytree

    from repro.config import CONFIG_DIR, check_all, load_profile

    folder = copytree(CONFIG_DIR, tmp_path / "config")
    sheet = folder / "headroom.csv"
    sheet.write_text(sheet.read_text() + "odd,nobody,,\n")
    with pytest.raises(ReproError, match="source 'nobody'; choose one of real, reconstruction, teacher, ode, self"):
        check_all(load_profile("smoke"), folder)
    assert System(system="odd", source="nobody").trained_per_seed
