"""The loop: resuming is bit-exact, a bad loss keeps the last checkpoint, broken state is named."""

import json

import pytest
import torch
from torch import nn

from repro.config import Fit
from repro.errors import ReproError
from repro.training.journal import LOG, read_log
from repro.training.loop import Task, ema_copy, lr_factor, run
from repro.training.optimizer import muon

FIT = Fit(iterations=12, batch=4, lr=0.1, warmup=3, save_every=4, ema=0.9)


def task(poison_at: int | None = None, config: str = "a") -> Task:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = muon([model], FIT, edges=("2.",))

    def step(iteration, generator):
        x = torch.randn(FIT.batch, 3, generator=generator)
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        if iteration == poison_at:
            loss = loss * float("nan")
        loss.backward()
        return {"loss": loss.detach(), "grad_norm": optimizer.step(FIT.clip_norm)}

    return Task("toy", {"model": model}, {"muon": optimizer}, step, ema={"model": ema_copy(model)}, config=config)


def assert_same(one: Task, other: Task) -> None:
    """The same weights and moving averages, bit for bit."""
    for kind in ("modules", "ema"):
        pair = (getattr(t, kind)["model"].parameters() for t in (one, other))
        assert all(torch.equal(p, q) for p, q in zip(*pair, strict=True))


def test_stopped_and_resumed_equals_uninterrupted(tmp_path):
    whole = task()
    assert run(whole, FIT, tmp_path / "whole", seed=1)
    assert not run(task(), FIT, tmp_path / "pieces", seed=1, max_seconds=0)
    pieces = 1
    while not run(last := task(), FIT, tmp_path / "pieces", seed=1, max_seconds=0):
        pieces += 1
    assert pieces > 5
    assert_same(whole, last)
    logged = [json.loads(x)["iteration"] for x in (tmp_path / "pieces/log.jsonl").read_text().splitlines()]
    assert logged == list(range(12))


def test_non_finite_loss_names_the_checkpoint_and_keeps_it(tmp_path):
    with pytest.raises(ReproError, match=r"non-finite.*iteration 9.*state\.pt"):
        run(task(poison_at=9), FIT, tmp_path, seed=0)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["iteration"] == 8
    assert all(v.isfinite().all() for v in state["modules"]["model"].values())


def test_what_is_saved_is_finite_where_nothing_is_logged(tmp_path):
    fit = FIT.model_copy(update={"iterations": 60, "save_every": 5})  # every third iteration is logged
    with pytest.raises(ReproError, match=r"non-finite.*iteration 14"):
        run(task(poison_at=13), fit, tmp_path, seed=0)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["iteration"] == 10
    assert all(v.isfinite().all() for v in state["modules"]["model"].values())


@pytest.mark.parametrize("other", [{"seed": 1}, {"sources": {"teacher": "b"}}, {"sources": None}])
def test_a_finished_stage_from_another_start_is_not_taken_for_this_one(tmp_path, other):
    start = {"seed": 0, "sources": {"teacher": "a"}}
    assert run(task(), FIT, tmp_path, **start) and run(task(), FIT, tmp_path, **start)
    with pytest.raises(ReproError, match=r"state\.pt belongs to .*another seed, or .*other checkpoints; delete it"):
        run(task(), FIT, tmp_path, **start | other)
    first, log = ((tmp_path / name).read_bytes() for name in ("state.pt", LOG))
    anew = task()
    assert run(anew, FIT, tmp_path, **start | other, restart=True)
    assert [p.read_bytes() for p in tmp_path.glob("earlier/*/state.pt")] == [first]
    run(fresh := task(), FIT, tmp_path / "fresh", **start | other)
    assert_same(anew, fresh)
    assert len(read_log(tmp_path / LOG)) == FIT.iterations
    for nothing_begun in (True, False):
        if nothing_begun:
            (tmp_path / "state.pt").unlink()
        assert run(task(), FIT, tmp_path, **start, restart=True)
        assert [(tmp_path / name).read_bytes() for name in ("state.pt", LOG)] == [first, log]
        assert run(task(), FIT, tmp_path, **start | other, restart=True)


def test_state_of_another_network_is_one_clear_error(tmp_path):
    run(task(), FIT, tmp_path, seed=0)
    wider = task()
    wider.modules["model"] = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    with pytest.raises(ReproError, match=r"state\.pt does not fit toy .*size mismatch.*delete it"):
        run(wider, FIT, tmp_path, seed=0)


def test_truncated_or_foreign_state_is_refused(tmp_path):
    run(task(), FIT, tmp_path, seed=0)
    with pytest.raises(ReproError, match="another configuration"):
        run(task(config="b"), FIT, tmp_path, seed=0)
    state = tmp_path / "state.pt"
    state.write_bytes(state.read_bytes()[:200])
    with pytest.raises(ReproError, match="cannot be read"):
        run(task(), FIT, tmp_path, seed=0)


def test_learning_rate_warms_up_and_decays():
    factors = [lr_factor(i, FIT) for i in range(12)]
    assert factors[0] < factors[2] and factors[-1] < 0.05 and max(factors) <= 1


def test_unwritable_folder_is_one_clear_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(ReproError, match="cannot write"):
        run(task(), FIT, blocked / "work", seed=0)
