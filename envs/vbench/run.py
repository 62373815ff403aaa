"""Runs VBench on the videos of one job, inside VBench's own environment: `python run.py job.json out.json`.

The job has `dimension`, `device`, `info` (VBench's list of prompts with their video_list) and `static_filter`. What
is written: `score`, `videos` (`video_path`, `video_results`), and, where videos were filtered, `static` by prompt.
Nothing of the suite is imported here.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

STATIC_WANTED = 5
"""Static videos of a prompt that VBench scores for temporal flickering."""


def declare_operators():
    """torchvision built for a GPU does not load beside a CPU build of PyTorch unless these are declared."""
    import torch

    if hasattr(torch.ops.torchvision, "nms"):
        return None
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def keep_static(info, device):
    """Leave the first static videos of each prompt in `info`, by VBench's own filter; how many each prompt has."""
    from easydict import EasyDict
    from vbench.cli import static_filter
    from vbench.utils import CACHE_DIR

    static_filter.DEVICE = device
    model = f"{CACHE_DIR}/raft_model/models/raft-things.pth"
    look = static_filter.StaticFilter(
        EasyDict(model=model, small=False, mixed_precision=False, alternate_corr=False), device
    )
    found = {}
    for row in info:
        kept = []
        # The order in which VBench's own filter goes through a folder.
        for path in sorted(row["video_list"]):
            if len(kept) < STATIC_WANTED and look.infer(path):
                kept.append(path)
        row["video_list"] = kept
        found[row["prompt_en"]] = len(kept)
    return found


def main(job_path, out_path):
    library = declare_operators()
    job = json.loads(Path(job_path).read_text())
    import importlib

    from vbench.utils import init_submodules

    dimension, device, info = job["dimension"], job["device"], job["info"]
    static = keep_static(info, device) if job["static_filter"] else None
    # Local mode: weights come from the cache, never from the network.
    submodules = init_submodules([dimension], local=True)[dimension]
    module = importlib.import_module(f"vbench.{dimension}")
    with tempfile.TemporaryDirectory() as folder:
        listed = os.path.join(folder, "info.json")
        Path(listed).write_text(json.dumps(info))
        score, videos = getattr(module, f"compute_{dimension}")(listed, device, submodules)
    videos = [{"video_path": v["video_path"], "video_results": float(v["video_results"])} for v in videos]
    result = {"score": float(score), "videos": videos, "static": static}
    Path(out_path).write_text(json.dumps(result))
    del library


if __name__ == "__main__":
    main(*sys.argv[1:])
