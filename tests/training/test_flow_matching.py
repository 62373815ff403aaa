"""Motion terms: whom each moves, how the heads learn, and what they do where both scores are known."""

import pytest
import torch

from repro.config import FlowMatching, Student
from repro.flow import add_noise
from repro.models.flow_extractors import EXTRACTORS
from repro.training.dmd import student_task
from repro.training.flow_matching import MotionTerms, motion_terms
from repro.training.loop import generator_for, run
from repro.training.losses import dmd_gradient, dmd_loss

LEARNED = {"mlp", "conv_diff"}
SHAPE = (2, 5, 4, 4, 6)
ROW = {"student": "a", "forcing": "diagonal", "schedule": "4322222", "window_frames": 12}


def term(feature, **settings):
    return motion_terms(FlowMatching(**settings), Student(**ROW, flow=feature), SHAPE[2])


@pytest.fixture
def predictions():
    return [torch.randn(SHAPE, generator=generator_for(i)) for i in range(3)]


def moved(terms, x0) -> set[str]:
    heads = {f"{n}.{m}" for n in ("student_head", "target_head") for m, _ in getattr(terms, n).named_parameters()}
    touched = {n for n, p in terms.named_parameters() if p.grad is not None and p.grad.any()}
    assert touched <= heads
    return touched | ({"x0"} if x0.grad is not None and x0.grad.any() else set())


@pytest.mark.parametrize("feature", EXTRACTORS)
def test_flow_dmd_moves_the_generator_alone_and_flow_reg_the_student_head_too(feature, predictions):
    terms, (x0, real, fake) = term(feature), predictions
    x0.requires_grad_()
    terms(x0, real, fake)["flow_dmd"].backward()
    assert moved(terms, x0) == {"x0"}
    x0.grad = None
    terms(x0, real, fake)["flow_reg"].backward()
    head = {f"student_head.{n}" for n, _ in terms.student_head.named_parameters()}
    assert moved(terms, x0) == {"x0", *head} and bool(head) == (feature in LEARNED)


def test_the_released_term_is_a_constant(predictions):
    x0, real, fake = predictions
    terms = term("release_v1")(x0.requires_grad_(), real, fake)
    expected = term("difference")(x0, real, fake)
    for name, value in terms.items():
        assert not value.requires_grad and value == expected[name] > 0


def test_the_raw_feature_repeats_the_spatial_term(predictions):
    x0, real, fake = predictions
    spatial = dmd_loss(x0, dmd_gradient(x0, real, fake))
    torch.testing.assert_close(term("raw")(x0, real, fake)["flow_dmd"], spatial)


def test_weights_are_eq_12_over_lambda_spatial():
    assert term("raw").weights == {"flow_dmd": 1, "flow_reg": 0.25}
    terms = motion_terms(FlowMatching(lambda_flow=2), Student(**ROW, flow="raw", gamma=0.5), 4)
    assert terms.weights == {"flow_dmd": 0.25, "flow_reg": 0.125}
    assert motion_terms(FlowMatching(), Student(**ROW), 4) is None


def test_the_target_head_follows_at_its_rate(predictions):
    terms = term("mlp")
    start = [p.clone() for p in terms.target_head.parameters()]
    with torch.no_grad():
        for p in terms.student_head.parameters():
            p.add_(1)
    terms.follow()
    for p, old in zip(terms.target_head.parameters(), start, strict=True):
        torch.testing.assert_close(p, old + 0.05)


def networks(distillation) -> dict[str, torch.nn.Module]:
    found = {n: getattr(distillation, n) for n in ("student", "critic", "teacher")}
    return found | {n: getattr(distillation.motion, n) for n in ("student_head", "target_head")}


def scored(distillation, text):
    made = distillation.generate(text.repeat(distillation.fit.critic_updates + 1, 1, 1), generator_for(3))
    made = made.rows(-len(text), None)
    return distillation.generator_batch(made, distillation.score_noise(generator_for(0)), text * 0)


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ("dmd", {"student"}),
        ("reg", {"student"}),
        ("flow_dmd", {"student"}),
        ("flow_reg", {"student", "student_head"}),
    ],
)
def test_each_term_of_the_whole_loss_moves_exactly_its_parameters(distil, text, kept, expected):
    """All weights but one are zero; every parameter of a network that moves gets gradient."""
    distillation = distil(flow="conv_diff")
    batch, motion = scored(distillation, text), distillation.motion
    motion.weights = {name: float(name == kept) for name in motion.weights}
    distillation.fit = distillation.fit.model_copy(update={"reg_weight": float(kept == "reg")})
    if kept != "dmd":
        batch = batch._replace(gradient=batch.gradient * 0)
    end = torch.randn(batch.x.shape, generator=generator_for(5))
    out = distillation.generator_loss(*batch, end)
    out["loss"].backward()
    for name, network in networks(distillation).items():
        silent = {n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()}
        whole = {n for n, _ in network.named_parameters()}
        # A constant added to all keys changes no attention.
        exact = {n for n in silent if not n.endswith("to_k.bias")}
        assert (not exact) if name in expected else (silent == whole), (name, exact)


def test_training_moves_the_student_head_and_the_target_follows(tmp_path, smoke, distil, text):
    distillation = distil(flow="conv_diff")
    start = {n: [p.clone() for p in m.parameters()] for n, m in networks(distillation).items()}
    task = student_task(distillation, ["a"], lambda captions: text[:1].repeat(len(captions), 1, 1), Student(**ROW))
    assert run(task, smoke.dmd_fit, tmp_path, seed=0)
    gone = {
        name: sum(
            float((p - q).detach().square().sum()) for p, q in zip(network.parameters(), start[name], strict=True)
        )
        for name, network in networks(distillation).items()
    }
    assert gone["teacher"] == 0 < min(gone["student"], gone["critic"])
    assert 0 < gone["target_head"] < gone["student_head"]


class Gaussian:
    """Videos of F numbers, x = mean + factor·z, with both scores of a noised one in closed form."""

    def __init__(self, mean_F: torch.Tensor, factor_FF: torch.Tensor):
        self.mean, self.factor = mean_F, factor_FF

    @property
    def covariance(self) -> torch.Tensor:
        return self.factor @ self.factor.T

    def alone(self) -> "Gaussian":
        """The same frames, each by itself."""
        return Gaussian(self.mean, self.covariance.diag().sqrt().diag())

    def predict(self, x_BF: torch.Tensor, sigma: float) -> torch.Tensor:
        """E[x0 | x_σ]."""
        noised = (1 - sigma) ** 2 * self.covariance + sigma**2 * torch.eye(len(self.mean))
        gain = torch.linalg.solve(noised, (1 - sigma) * self.covariance)
        return self.mean + (x_BF - (1 - sigma) * self.mean) @ gain

    def correlation(self) -> torch.Tensor:
        scale = self.covariance.diag().rsqrt()
        return self.covariance * scale[:, None] * scale


def as_video(x_BF: torch.Tensor) -> torch.Tensor:
    return x_BF[:, :, None, None, None]


def distilled(teacher: Gaussian, *, joint: bool, flow: bool) -> Gaussian:
    """A Gaussian student under a perfect critic; without `joint` the spatial scores see one frame at a time."""
    frames, generator = len(teacher.mean), generator_for(0)
    mean, factor = torch.zeros(frames), 0.5 * torch.eye(frames)
    motion = MotionTerms("difference", 1, {"flow_dmd": 1.0}, 0.95) if flow else None
    optimizer = torch.optim.Adam([mean.requires_grad_(), factor.requires_grad_()], lr=0.02, betas=(0.0, 0.99))
    for iteration in range(600):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - iteration / 600)
        x0 = mean + torch.randn(1024, frames, generator=generator) @ factor.T
        with torch.no_grad():
            sigma = 0.05 + 0.9 * torch.rand((), generator=generator).item()
            x = add_noise(x0, torch.randn(x0.shape, generator=generator), sigma)
            student = Gaussian(mean, factor)
            whole = [g.predict(x, sigma) for g in (teacher, student)]
            spatial = whole if joint else [g.alone().predict(x, sigma) for g in (teacher, student)]
            gradient = dmd_gradient(x0, *spatial)
        loss = dmd_loss(x0, gradient)
        if motion is not None:
            loss = loss + motion(*map(as_video, (x0, *whole)))["flow_dmd"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Gaussian(mean.detach(), factor.detach())


@pytest.fixture(scope="module")
def teacher():
    """Four frames whose correlation is 0.8 to the power of their distance."""
    time, deviation = torch.arange(4.0), torch.tensor([1.0, 1.2, 0.9, 1.1])
    covariance = 0.8 ** (time[:, None] - time).abs() * deviation[:, None] * deviation
    return Gaussian(torch.tensor([0.5, 0.0, -0.5, 1.0]), torch.linalg.cholesky(covariance))


def test_dmd_of_known_scores_finds_the_teachers_mean_and_covariance(teacher):
    student = distilled(teacher, joint=True, flow=False)
    torch.testing.assert_close(student.mean, teacher.mean, atol=0.08, rtol=0)
    torch.testing.assert_close(student.covariance, teacher.covariance, atol=0.12, rtol=0)


def test_the_flow_term_mends_the_correlation_that_frames_alone_cannot_see(teacher):
    alone, both = (distilled(teacher, joint=False, flow=flow) for flow in (False, True))
    for student in (alone, both):
        torch.testing.assert_close(student.mean, teacher.mean, atol=0.08, rtol=0)
        torch.testing.assert_close(student.covariance.diag(), teacher.covariance.diag(), atol=0.15, rtol=0)
    # Nothing holds the frames alone together: their correlation is whatever the noise of training left.
    mismatch = [(s.correlation() - teacher.correlation()).abs().max() for s in (alone, both)]
    assert mismatch[0] > 0.5 and mismatch[1] < 0.1
    torch.testing.assert_close(both.mean.diff(), teacher.mean.diff(), atol=0.1, rtol=0)
