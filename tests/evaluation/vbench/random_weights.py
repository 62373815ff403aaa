"""Writes weight files of the right names and shapes with random values: `python random_weights.py CACHE`.

Runs inside VBench's environment, whose own models say what a file holds. Scores made with them mean nothing.
"""

import importlib.util
import sys
from pathlib import Path

import torch

spec = importlib.util.spec_from_file_location("run", Path(__file__).parents[3] / "envs" / "vbench" / "run.py")
run = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run)


def save(cache, name, content):
    path = Path(cache) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)


def clip(cache, name, embedding):
    """A small CLIP as OpenAI publishes its own: a TorchScript archive."""
    from clip.model import CLIP

    model = CLIP(embedding, 224, 1, 64, 32, 77, 49408, 64, 1, 1).eval()
    example = (torch.zeros(1, 3, 224, 224), torch.zeros(1, 77, dtype=torch.long))
    path = Path(cache) / "clip_model" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.trace(model, example, check_trace=False).save(str(path))


def main(cache):
    library = run.declare_operators()
    import vbench
    from easydict import EasyDict
    from omegaconf import OmegaConf
    from pyiqa.archs.musiq_arch import MUSIQ
    from vbench.third_party.amt.utils.build_utils import build_from_cfg
    from vbench.third_party.RAFT.core.raft import RAFT

    torch.manual_seed(0)
    sheet = Path(vbench.__file__).parent / "third_party" / "amt" / "cfgs" / "AMT-S.yaml"
    amt = build_from_cfg(OmegaConf.load(sheet).network)
    save(cache, "amt_model/amt-s.pth", {"state_dict": amt.state_dict()})
    raft = RAFT(EasyDict(small=False, mixed_precision=False, alternate_corr=False))
    state = {f"module.{k}": v for k, v in raft.state_dict().items()}
    save(cache, "raft_model/models/raft-things.pth", state)
    save(cache, "pyiqa_model/musiq_spaq_ckpt-358bb6af.pth", MUSIQ(pretrained=False).state_dict())
    clip(cache, "ViT-B-32.pt", 512)
    clip(cache, "ViT-L-14.pt", 768)
    save(cache, "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth", torch.nn.Linear(768, 1).state_dict())
    del library


if __name__ == "__main__":
    main(sys.argv[1])
