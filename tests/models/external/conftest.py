"""A tiny transformer, and a writer of sharded folders."""

import json

import pytest
from layouts import TINY, randomise
from safetensors.torch import save_file

from repro.models.wan import WanDiT


@pytest.fixture(scope="session")
def dit():
    return randomise(WanDiT(TINY))


@pytest.fixture
def shards(tmp_path):
    """Write tensors as two shards and an index in a folder, as diffusers and transformers do."""

    def write(tensors, folder=tmp_path, stem="diffusion_pytorch_model"):
        folder.mkdir(parents=True, exist_ok=True)
        where = {}
        for number, part in enumerate((sorted(tensors)[::2], sorted(tensors)[1::2]), start=1):
            name = f"{stem}-{number:05}-of-00002.safetensors"
            save_file({k: tensors[k].clone() for k in part}, folder / name)
            where |= dict.fromkeys(part, name)
        index = {"metadata": {"total_size": 0}, "weight_map": where}
        (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index))
        return folder

    return write
