"""A teacher starts from its seed alone."""

import torch

from repro.training.data import Split
from repro.training.teacher import teacher_task


def start(smoke, seed):
    data = Split(torch.zeros(1, *smoke.geometry.latent_shape), ["a small red star"])
    modules = teacher_task(smoke, data, "cpu", seed).modules
    return {f"{name}.{key}": value for name, m in modules.items() for key, value in m.state_dict().items()}


def test_model_and_text_encoder_start_from_the_seed(smoke):
    torch.manual_seed(1)
    first = start(smoke, 5)
    torch.manual_seed(2)
    again, other = start(smoke, 5), start(smoke, 6)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    for part in ("teacher.", "text_encoder."):
        assert any(not torch.equal(value, other[name]) for name, value in first.items() if name.startswith(part))
