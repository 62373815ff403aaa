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
    with pytest.raises(ReproError, match=r"a\.safetensors belongs to another configuration, or .*; delete it"):
        kept(path, "guidance 3", make, "cpu")
    assert len(calls) == 1 and path.read_bytes() == before


def test_a_file_cut_short_is_named(tmp_path):
    path = tmp_path / "a.safetensors"
    kept(path, "guidance 2", lambda: {"x": torch.arange(300.0)}, "cpu")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ReproError, match=r"a\.safetensors is not a whole safetensors file .*; delete it"):
        kept(path, "guidance 2", lambda: pytest.fail("made again"), "cpu")
