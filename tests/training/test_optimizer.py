"""Muon beside AdamW: who steps what, by how much, and that a convolution's memory really moves."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from repro.config import Fit
from repro.training.loop import generator_for
from repro.training.optimizer import adamw, muon

FIT = Fit(iterations=10, batch=4, lr=0.01)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Conv2d(8, 6, 3), nn.Conv2d(6, 2, 1))


def gradients(model: nn.Module, scale: float = 1.0) -> None:
    for i, p in enumerate(model.parameters()):
        p.grad = scale * torch.randn(p.shape, generator=generator_for(1, i))


def names(model, parameters) -> set[str]:
    return {n for n, p in model.named_parameters() if any(p is q for q in parameters)}


def test_vectors_and_edges_go_to_adamw():
    model = network()
    optimizer = muon([model], FIT, edges=("0.", "3."))
    assert names(model, optimizer.kernels) == {"2.weight"}
    assert len(optimizer.kernels) + len(optimizer.others) == len(list(model.parameters()))
    assert not adamw(model, FIT).kernels


def test_a_kernel_takes_an_orthogonal_step_of_adamws_size():
    """All singular values of the step are near one another, and its RMS is 0.2 · lr (Liu et al., 2025)."""
    model = network()
    before = model[2].weight.detach().clone()
    optimizer = muon([model], FIT, edges=("0.", "3."))
    gradients(model)
    optimizer.step(clip_norm=1e9)
    step = (model[2].weight.detach() - before).flatten(1)
    values = torch.linalg.svdvals(step)
    assert values.max() / values.min() < 2.5
    assert step.square().mean().sqrt().item() == pytest.approx(0.2 * FIT.lr, rel=0.3)


def test_steps_equal_the_librarys():
    ours, theirs = network(), network()
    optimizer = muon([ours], FIT, edges=("1.",))
    kernels = [p for p in theirs.parameters() if p.ndim > 1]
    views = [nn.Parameter(p.detach().view(len(p), -1)) for p in kernels]
    library = torch.optim.Muon(views, lr=FIT.lr, weight_decay=0, adjust_lr_fn="match_rms_adamw")
    for turn in range(4):
        for model in (ours, theirs):
            for i, p in enumerate(model.parameters()):
                p.grad = torch.randn(p.shape, generator=generator_for(turn, i))
        for p, v in zip(kernels, views, strict=True):
            v.grad = p.grad.view(v.shape)
        optimizer.step(clip_norm=1e9)
        library.step()
    start = network()
    for a, b, c in zip(ours.parameters(), theirs.parameters(), start.parameters(), strict=True):
        if a.ndim > 1:
            assert (a - b).norm() < 0.02 * (b - c).norm()


def test_a_steps_length_does_not_depend_on_the_gradients_but_follows_the_rate():
    steps = []
    for scale, factor in ((1.0, 1.0), (1e-3, 1.0), (1.0, 0.5)):
        model = network()
        before = [p.detach().clone() for p in model.parameters()]
        optimizer = muon([model], FIT, edges=("0.",))
        optimizer.scale_lr(factor)
        gradients(model, scale)
        optimizer.step(clip_norm=1e9)
        steps.append([(p - q).norm().item() for p, q in zip(model.parameters(), before, strict=True)])
    assert steps[1] == pytest.approx(steps[0], rel=0.05)
    assert [2 * s for s in steps[2]] == pytest.approx(steps[0], rel=0.05)


def test_a_kernel_without_gradient_stays():
    model = network()
    before = model[2].weight.detach().clone()
    optimizer = muon([model], FIT, edges=())
    gradients(model)
    model[2].weight.grad = None
    optimizer.step(clip_norm=1.0)
    assert torch.equal(model[2].weight, before) and all(p.grad is None for p in model.parameters())


def test_gradients_are_clipped_together():
    model = network()
    gradients(model)
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert torch.isclose(muon([model], FIT, edges=()).step(clip_norm=0.1), norm)


def test_state_goes_on_where_it_was():
    a, b = network(), network()
    first, second = (muon([m], FIT, edges=("3.",)) for m in (a, b))
    gradients(a)
    first.step(1.0)
    b.load_state_dict(a.state_dict())
    second.load_state_dict(deepcopy(first.state_dict()))
    for model, optimizer in ((a, first), (b, second)):
        gradients(model, 2.0)
        optimizer.step(1.0)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
