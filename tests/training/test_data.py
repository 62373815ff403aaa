"""What training makes once and reads back."""

import pytest
import torch

from repro.training.data import kept


def test_what_was_made_is_read_back_under_the_same_configuration_alone(tmp_path):
    path, calls = tmp_path / "a.safetensors", []

    def make():
        calls.append(1)
        return {"x": torch.arange(3.0)}

    for _ in range(2):
        assert torch.equal(kept(path, "guidance 2", make, "cpu")["x"], torch.arange(3.0))
    assert len(calls) == 1
    for made in (2, 2, 3):
        kept(path, "guidance 3" if made == 2 else "guidance 2", make, "cpu")
        assert len(calls) == made


def test_a_file_cut_short_is_made_again(tmp_path):
    path = tmp_path / "a.safetensors"
    whole = kept(path, "guidance 2", lambda: {"x": torch.arange(300.0)}, "cpu")["x"]
    path.write_bytes(path.read_bytes()[:200])
    assert torch.equal(kept(path, "guidance 2", lambda: {"x": whole}, "cpu")["x"], whole)
    assert torch.equal(kept(path, "guidance 2", lambda: pytest.fail("made again"), "cpu")["x"], whole)
