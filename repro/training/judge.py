"""Training of the judge on rendered clips, clean and corrupted, and its accuracy on held-out ones."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as nnf

from repro.config import Profile, stage_settings
from repro.models import weights
from repro.training.capture import captured
from repro.training.data import pixel_pool, split_scenes
from repro.training.loop import Piece, Task, ema_copy, run
from repro.training.optimizer import muon
from repro.training.teacher import autocast
from repro.world.degrade import AESTHETIC, IMAGING, degrade
from repro.world.judge import CLIP_HEADS, FRAME_STEP, SLOT_HEADS, Judge
from repro.world.scene import RELATIONS, SHAPES

GROUPS = 4
"""Each batch's corrupted half falls into this many groups, one corruption and severity each."""
IGNORE = -100


def targets(scenes: Sequence, device="cpu") -> dict[str, torch.Tensor]:
    """Class indices by head; slot heads [B, S] with IGNORE where the shape is absent."""
    out = {name: torch.full((len(scenes), len(SHAPES)), IGNORE) for name in ("color", "size", "motion")}
    out["presence"] = torch.zeros(len(scenes), len(SHAPES))
    for name in ("relation", "scene", "style", "camera"):
        out[name] = torch.zeros(len(scenes), dtype=torch.long)
    for i, scene in enumerate(scenes):
        truth = scene.attributes
        for shape, slot in truth["slots"].items():
            out["presence"][i, shape] = 1
            for name, value in slot.items():
                out[name][i, shape] = value
        out["relation"][i] = len(RELATIONS) if truth["relation"] is None else truth["relation"]
        for name in ("scene", "style", "camera"):
            out[name][i] = truth[name]
    return {k: v.to(device) for k, v in out.items()}


def judge_loss(logits: dict, truth: dict, imaging: torch.Tensor, aesthetic: torch.Tensor) -> torch.Tensor:
    """Cross-entropies of the attributes plus squared errors of the two quality scores."""
    loss = nnf.binary_cross_entropy_with_logits(logits["presence"][..., 0], truth["presence"])
    for name in ("color", "size", "motion"):
        loss = loss + nnf.cross_entropy(logits[name].flatten(0, 1), truth[name].flatten(), ignore_index=IGNORE)
    for name in ("relation", "scene", "style", "camera"):
        loss = loss + nnf.cross_entropy(logits[name], truth[name])
    for name, target in (("imaging", imaging), ("aesthetic", aesthetic)):
        loss = loss + 4 * nnf.mse_loss(logits[name][:, 0].sigmoid(), target)
    return loss


def corrupt(video: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Corrupt the second half of a batch, group by group; returns video, imaging and aesthetic targets [B]."""
    batch, device = len(video), video.device
    imaging, aesthetic = torch.ones(batch, device=device), torch.ones(batch, device=device)
    parts, kinds = [video[: batch // 2]], (*IMAGING, *AESTHETIC)
    draws = torch.rand(GROUPS, 2, generator=generator, device=device).tolist()
    for rows, (which, severity) in zip(torch.arange(batch // 2, batch).chunk(GROUPS), draws, strict=False):
        kind = kinds[int(which * len(kinds))]
        parts.append(degrade(video[rows.to(device)], kind, severity, generator))
        (imaging if kind in IMAGING else aesthetic)[rows.to(device)] = 1 - severity
    return torch.cat(parts), imaging, aesthetic


def judge_task(profile: Profile, device, seed: int) -> Task:
    fit = profile.judge_fit
    torch.manual_seed(seed)
    judge = Judge().to(device)
    scenes = split_scenes("train", profile)
    pool, truth = pixel_pool(scenes, profile, device, step=FRAME_STEP), targets(scenes, device)
    optimizer = muon([judge], fit, ("slots", "clip"))

    def losses(video, imaging, aesthetic, *truths) -> dict:
        with autocast(device):
            _, features = judge.features(video)
        logits = judge.heads(features.float())
        return {"loss": judge_loss(logits, dict(zip(truth, truths, strict=True)), imaging, aesthetic)}

    gradients = captured(losses, judge.parameters(), device)

    def step(iteration: int, generator: torch.Generator) -> dict:
        rows = torch.randint(len(scenes), (fit.batch,), generator=generator, device=device)
        video, imaging, aesthetic = corrupt(pool[rows].float() / 255, generator)
        scalars = gradients(video, imaging, aesthetic, *(v[rows] for v in truth.values()))
        return scalars | {"grad_norm": optimizer.step(fit.clip_norm)}

    config = stage_settings(profile, "judge")
    return Task("judge", {"judge": judge}, {"muon": optimizer}, step, ema={"judge": ema_copy(judge)}, config=config)


@torch.no_grad()
def accuracy(judge: Judge, video_uint8: torch.Tensor, scenes: Sequence, batch: int = 32) -> dict[str, float]:
    """Share of right answers by head on judged frames; slot heads over the shapes that are present."""
    truth = targets(scenes, video_uint8.device)
    parts = [judge.features(video_uint8[i : i + batch])[1] for i in range(0, len(scenes), batch)]
    logits = judge.heads(torch.cat(parts).float())
    right = {"presence": (logits["presence"][..., 0] > 0) == (truth["presence"] > 0.5)}
    for name in [*SLOT_HEADS, *CLIP_HEADS]:
        if name in truth and name != "presence":
            counted = truth[name] != IGNORE
            right[name] = (logits[name].argmax(-1) == truth[name])[counted]
    return {name: r.float().mean().item() for name, r in right.items()}


def train_judge(profile: Profile, checkpoints: Path, work: Path, piece: Piece) -> bool:
    """Train; then write judge.safetensors and the features of the held-out real clips, real.safetensors."""
    task = judge_task(profile, piece.device, piece.seed)
    done = run(task, profile.judge_fit, work / "judge", **vars(piece))
    if done:
        judge = task.ema["judge"]
        scenes = split_scenes("heldout", profile)
        video = pixel_pool(scenes, profile, piece.device, step=FRAME_STEP)
        meta = {"stage": "judge", "seed": piece.seed, "heldout_accuracy": accuracy(judge, video, scenes)}
        weights.save(checkpoints / "judge.safetensors", judge, meta)
        with torch.no_grad():
            real = torch.cat([judge.features(video[i : i + 32])[1] for i in range(0, len(video), 32)])
        weights.save(checkpoints / "real.safetensors", {"features": real.float()}, {"split": "heldout"}, dtype=None)
    return done
