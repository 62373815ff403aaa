"""Counted FLOPs against closed forms, kinds of iterations against all of them, records of one stage."""

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from repro.evaluation import training_cost
from repro.evaluation.training_cost import Kind, build_task, count, kinds, measure, shrunk, stage_fit, stages
from repro.training.autoencoder import phase
from repro.training.loop import generator_for


def forward_flop(profile) -> float:
    """One video through the DiT: projections of every token, text projections, scores and their sums."""
    dit, geometry = profile.dit, profile.geometry
    _, channels, height, width = geometry.latent_shape
    tokens = geometry.latent_frames * height * width // 4
    token = 2 * 4 * dit.dim**2 + 2 * 2 * dit.dim**2 + 2 * 2 * dit.dim * dit.ffn_dim
    text = 2 * 2 * dit.dim**2 * dit.text_tokens
    attention = 4 * tokens * (tokens + dit.text_tokens) * dit.dim
    edges = 2 * 2 * tokens * 4 * channels * dit.dim
    return dit.layers * (tokens * token + text + attention) + edges


def test_teacher_counts_three_forwards_a_video(smoke):
    """Forward and backward; the rest (timestep and text embedding) is a few percent."""
    (flop,), optimizers = count(smoke, "teacher", 2)
    assert (flop - optimizers) / 2 == pytest.approx(3 * forward_flop(smoke), rel=0.1)


def test_networks_are_linear_in_the_batch_and_muon_is_not(smoke):
    ((small,), fixed), ((large,), same) = (count(smoke, "ode", batch) for batch in (2, 4))
    assert fixed == same > 0 and large - fixed == 2 * (small - fixed)


def test_kinds_cover_every_iteration_of_the_autoencoders(smoke):
    fit = smoke.vae_fit.model_copy(update={"iterations": 37, "batch": 4})
    found = kinds(fit, "vae")
    assert sum(k.count for k in found) == 37
    assert sum(k.count * k.samples for k in found) == sum(phase(fit, i)[1] for i in range(37))
    assert all(phase(fit, k.iteration)[1] == k.samples for k in found)


def test_kinds_of_a_student_add_up_to_its_iterations_and_its_critics_warm_up(smoke):
    profile = shrunk(smoke, "diagonal", 2)
    counts, _ = count(smoke, "diagonal", 2)
    fit = stage_fit(profile, "diagonal").model_copy(update={"critic_warmup": 3})
    task = build_task(profile.model_copy(update={"dmd_fit": fit}), "diagonal", "cpu")
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        for i in range(fit.iterations):
            task.step(i, generator_for(0, i))
    weights = [kind.count for kind in kinds(fit, "diagonal")]
    assert counter.get_total_flops() == sum(w * c for w, c in zip(weights, counts, strict=True))
    rounds = fit.critic_warmup + fit.iterations
    assert sum(k.count * k.samples for k in kinds(fit, "diagonal")) == rounds * (fit.critic_updates + 1) * fit.batch


def test_records_scale_a_small_batch_to_the_stages(smoke, monkeypatch):
    """A CPU that takes 2 s for 2 samples and no optimiser needs 4 s for the stage's 4."""
    monkeypatch.setattr(training_cost, "count", lambda *_: ([100], 0))
    monkeypatch.setattr(training_cost, "clock", lambda *_: [training_cost.np.array([1.0, 2.0, 3.0])])
    found = {r.metric: r for r in measure(smoke, "ode", "cpu")}
    fit = smoke.ode_fit
    assert kinds(fit, "ode") == [Kind(1, fit.iterations, fit.batch)] and fit.batch == 4
    assert (found["flop"].value, found["samples"].value) == (200 * fit.iterations, 4 * fit.iterations)
    seconds = found["seconds_per_iteration"]
    assert (seconds.low, seconds.value, seconds.high) == (3.0, 4.0, 5.0)
    assert found["timed_batch"].value == 2 and seconds.device


def test_a_stage_measured_for_real(smoke):
    brief = smoke.model_copy(update={"cost": smoke.cost.model_copy(update={"warmups": 0, "runs": 1})})
    found = {r.metric: r.value for r in measure(brief, "tiny", "cpu")}
    assert found["flop"] > 0 and found["seconds_per_iteration"] > 0
    assert stages()[: len(training_cost.FIXED_STAGES)] == ["judge", "vae", "tiny", "teacher", "ode"]
