"""What training makes once and reads back."""

import pytest
import torch

from repro.errors import ReproError
from repro.training.data import kept


def test_what_was_made_is_read_back_under_the_same_configuration_alone(tmp_path):
    path, calls = tmp_path / "a.safetensors", []

    def make():
        calls.append(1)
        return {"x": torch.arange(3.0)}

    for _ in range(2):
        assert torch.equal(kept(path, "guidance 2", make, "cpu")["x"], torch.arange(3.0))
    before = path.read_bytes()
    with pytest.raises(ReproError, match=r"a\.safetensors belongs to another configuration; delete it"):
        kept(path, "guidance 3", make, "cpu")
    assert len(calls) == 1 and path.read_bytes() == before
