"""Checkpoints as a module: what is written, what comes back, what is refused and what that leaves behind."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from repro.errors import ReproError
from repro.files import sha256
from repro.models import weights
from repro.training.loop import generator_for


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_tensors_and_metadata_come_back(path):
    tensors = {
        "odd": torch.randn(3, 5, generator=generator_for(0)).T,  # not contiguous
        "count": torch.tensor(7),
        "mask": torch.tensor([True, False]),
    }
    meta = {"captions": ["ein größerer Kreis", ""], "nested": {"psnr_db": 21.5}, "none": None}
    digest = weights.save(path, tensors, meta)
    read, read_meta = weights.load(path)
    assert read_meta == meta and read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype and torch.equal(read[name], tensor)
    assert digest == sha256(path)


def test_large_tensors_are_rounded_to_bfloat16_and_small_ones_kept(path):
    large = torch.randn(weights.KEEP_FP32 + 1, generator=generator_for(1))
    small, integers = large[:-1], torch.arange(weights.KEEP_FP32 + 1)
    weights.save(path, {"large": large, "small": small, "integers": integers}, {})
    read, _ = weights.load(path)
    assert torch.equal(read["large"], large.bfloat16()) and read["large"].dtype == torch.bfloat16
    assert torch.equal(read["small"], small) and torch.equal(read["integers"], integers)
    weights.save(path, {"large": large}, {}, dtype=None)
    assert torch.equal(weights.load(path)[0]["large"], large)


def test_a_module_is_filled_in_its_own_dtype(path):
    source, other = net(), net().double()
    with torch.no_grad():
        for p in source.parameters():
            p.add_(1)
    weights.save(path, source, {"stage": "toy"})
    assert weights.load_into(other, path) == {"stage": "toy"}
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name].to(tensor.dtype))
    assert other[0].weight.dtype == torch.float64


def test_the_list_of_hashes_keeps_its_other_lines_in_order(tmp_path):
    for name in ("b", "a", "b"):
        weights.save(tmp_path / f"{name}.safetensors", {"x": torch.ones(1)}, {"name": name})
    lines = (tmp_path / weights.SUMS).read_text().splitlines()
    assert lines == [f"{sha256(tmp_path / n)}  {n}" for n in ("a.safetensors", "b.safetensors")]
    assert sorted(p.name for p in tmp_path.iterdir()) == [weights.SUMS, "a.safetensors", "b.safetensors"]


def test_the_list_is_whole_when_several_save_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda i: weights.save(tmp_path / f"{i % 8}.safetensors", {"w": torch.full((9,), i)}, {}), range(64)
            )
        )
    assert weights.listed(tmp_path) == {f"{i}.safetensors": "present" for i in range(8)}


def test_saving_twice_gives_the_same_bytes(tmp_path):
    a, b = (weights.save(tmp_path / f"{n}.safetensors", net(), {"x": 1, "a": 2}) for n in "ab")
    assert a == b


def test_wrong_hash_is_refused_unless_told_not_to_look(path):
    weights.save(path, {"x": torch.ones(2)}, {})
    sums = path.with_name(weights.SUMS)
    sums.write_text(f"{'0' * 64}  {path.name}\n")
    with pytest.raises(ReproError, match=r"does not match.*0000000000000000…"):
        weights.load(path)
    assert torch.equal(weights.load(path, verify=False)[0]["x"], torch.ones(2))
    sums.write_text(f"{sha256(path)} *{path.name}\n")  # as `sha256sum --binary` writes it
    assert torch.equal(weights.load(path)[0]["x"], torch.ones(2))


def test_a_file_without_a_listed_hash_loads(path):
    weights.save(path, {"x": torch.ones(2)}, {})
    path.with_name(weights.SUMS).unlink()
    assert torch.equal(weights.load(path)[0]["x"], torch.ones(2))


@pytest.mark.parametrize("keep", [0, 5, 40])
def test_every_truncation_is_named(path, keep):
    weights.save(path, {"x": torch.ones(2)}, {})
    path.with_name(weights.SUMS).unlink()
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ReproError, match=r"net\.safetensors is not a whole safetensors file"):
        weights.load(path)


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle_is_ever_run(path, tmp_path, protocol):
    trap = tmp_path / "sprung"
    path.write_bytes(pickle.dumps(Trap(trap), protocol))
    with pytest.raises(ReproError):
        weights.load(path)
    assert not trap.exists()


def test_every_misfit_is_named_and_nothing_is_loaded(path):
    tensors = dict(net().state_dict())
    del tensors["0.bias"]
    tensors |= {"head.weight": torch.ones(1), "0.weight": torch.full((2, 4), 9.0)}
    tensors["1.weight"] = torch.full((2,), 9.0)
    weights.save(path, tensors, {})
    module = net()
    with pytest.raises(ReproError) as refusal:
        weights.load_into(module, path)
    for part in (
        "missing 0.bias",
        "unexpected head.weight",
        "0.weight has shape (2, 4), not (2, 3)",
        "does not fit Sequential",
    ):
        assert part in str(refusal.value)
    assert all(torch.equal(v, net().state_dict()[k]) for k, v in module.state_dict().items())


def test_a_long_list_of_misfits_is_cut(path):
    weights.save(path, {f"extra{i}": torch.ones(1) for i in range(20)}, {})
    with pytest.raises(ReproError, match=r"missing 0\.weight.*… and 21 more"):
        weights.load_into(net(), path)
