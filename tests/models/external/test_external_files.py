"""Files themselves: shards, truncation, and pickles that would run code."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from repro.errors import ReproError
from repro.models import weights
from repro.models.external import files

TENSORS = {f"layer{i}.weight": torch.full((2, 3), float(i)) for i in range(5)}


def equal(found):
    return found.keys() == TENSORS.keys() and all(torch.equal(found[k], v) for k, v in TENSORS.items())


def test_shards_are_joined(shards):
    assert equal(files.read(shards(TENSORS)))


def _index(folder):
    return next(folder.glob("*.index.json"))


def _edit(folder, change):
    index = json.loads(_index(folder).read_text())
    change(index)
    _index(folder).write_text(json.dumps(index))


def _shard_gone(folder):
    (folder / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()


def _index_gone(folder):
    _index(folder).unlink()


def _shard_short(folder):
    path = folder / "diffusion_pytorch_model-00002-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def _key_gone(folder):
    _edit(folder, lambda index: index["weight_map"].pop("layer3.weight"))


def _key_promised(folder):
    name = "diffusion_pytorch_model-00001-of-00002.safetensors"
    _edit(folder, lambda index: index["weight_map"].update({"layer9.weight": name}))


def _elsewhere(folder):
    save_file({"layer9.weight": torch.zeros(1)}, folder.parent / "stray.safetensors")
    _edit(folder, lambda index: index["weight_map"].update({"layer9.weight": "../stray.safetensors"}))


def _no_map(folder):
    _edit(folder, dict.clear)


def _no_json(folder):
    _index(folder).write_text("{")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_shard_gone, r"00002-of-00002\.safetensors are missing, which .*index\.json names"),
        (_index_gone, r"holds .*00001.*00002.*: it must hold one"),
        (_shard_short, r"00002-of-00002\.safetensors are not a whole safetensors file"),
        (_key_gone, r"00002-of-00002\.safetensors hold layer3\.weight, which .* does not say"),
        (_key_promised, r"00001-of-00002\.safetensors lack layer9\.weight, which .* promises"),
        (_elsewhere, r"'\.\./stray\.safetensors', which is not a file of its own folder"),
        (_no_map, r"no weight_map"),
        (_no_json, r"index\.json cannot be read"),
    ],
)
def test_broken_shards_are_named(shards, tmp_path, damage, says):
    folder = shards(TENSORS, tmp_path / "transformer")
    damage(folder)
    with pytest.raises(ReproError, match=says):
        files.read(folder)


def test_an_empty_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(ReproError, match=r"holds no \.safetensors file"):
        files.read(tmp_path)
    with pytest.raises(ReproError, match=r"gone\.pt are missing.*preflight"):
        files.read(tmp_path / "gone.pt")


@pytest.mark.parametrize("keep", [0, 1, 7, 100, 0.5, 0.99])
@pytest.mark.parametrize("archive", [True, False])
def test_every_truncated_pytorch_file_is_named(tmp_path, keep, archive):
    path = tmp_path / "model.pt"
    torch.save(TENSORS, path, _use_new_zipfile_serialization=archive)
    assert equal(files.read(path))
    data = path.read_bytes()
    path.write_bytes(data[: keep if keep in (0, 1) or keep > 1 else int(keep * len(data))])
    with pytest.raises(ReproError, match=r"model\.pt .*Download it again"):
        files.read(path)


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [None, *range(pickle.HIGHEST_PROTOCOL + 1)])
def test_no_code_is_ever_run(tmp_path, protocol):
    path, trap = tmp_path / "model.pt", tmp_path / "sprung"
    content = {"generator": {"x": Trap(trap)}}
    if protocol is None:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol))
    says = r"model\.pt are a pickle that calls for (builtins|io|_io)\.open, which may run code: refused"
    with pytest.raises(ReproError, match=says if protocol in (None, 2) else r"model\.pt"):
        files.read(path)
    assert not trap.exists()


@pytest.mark.parametrize("content", [torch.zeros(2), [torch.zeros(2)]])
def test_a_file_without_names_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ReproError, match="not tensors by name"):
        files.read(tmp_path / "model.pt")


def test_a_header_that_starts_like_a_pickle_is_no_pickle(tmp_path):
    path = tmp_path / "net.safetensors"
    for padding in range(700):
        save_file({"x": torch.ones(1)}, path, {"p": "x" * padding})
        if path.read_bytes()[:2] == b"\x80\x02":
            break
    else:
        pytest.fail("no header of 640 bytes was written")
    assert torch.equal(files.read(path)["x"], torch.ones(1))
    assert torch.equal(weights.load(path)[0]["x"], torch.ones(1))
