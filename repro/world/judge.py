"""The judge: a small network on pixels that reads every captioned attribute and two quality scores.

Legend: B clips, t judged frames, C channels, h and w feature map, S shapes.
"""

import torch
import torch.nn.functional as nnf
from torch import nn

from repro.world.scene import CAMERAS, COLORS, MOTIONS, RELATIONS, SCENES, SHAPES, SIZES, STYLES

FRAME_STEP = 4
"""The judge looks at every fourth video frame: one a latent frame."""
PLACE_STAGES = 4
"""After this many stages the map has an eighth of the frame's height: its cells are the places of a frame."""

FEATURES = 64
SLOT_HEADS = {"presence": 1, "color": len(COLORS), "size": len(SIZES), "motion": len(MOTIONS)}
CLIP_HEADS = {
    "relation": len(RELATIONS) + 1,  # the last class: one sprite, no relation
    "scene": len(SCENES),
    "style": len(STYLES),
    "camera": len(CAMERAS),
    "imaging": 1,
    "aesthetic": 1,
}
WIDTHS = (24, 48, 96, 128)


def _stage(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, stride, 1), nn.GroupNorm(8, channels_out), nn.GELU())


class Judge(nn.Module):
    """Frames → features by a CNN with coordinates, time by convolutions, one linear head an attribute."""

    def __init__(self, map_size: tuple[int, int] = (4, 7)):
        super().__init__()
        a, b, c, d = WIDTHS
        self.map_size = map_size
        self.frame = nn.Sequential(
            _stage(5, a, 2),
            _stage(a, b, 2),
            _stage(b, b, 1),
            _stage(b, c, 2),
            _stage(c, d, 2),
            _stage(d, d, 1),
        )
        self.place = nn.Linear(d * map_size[0] * map_size[1], 256)
        self.time = nn.ModuleList(nn.Conv1d(256, 256, 3, padding=dilation, dilation=dilation) for dilation in (1, 2, 4))
        self.squeeze = nn.Sequential(nn.Linear(512 + 2 * d, 256), nn.GELU(), nn.Linear(256, FEATURES))
        self.slots = nn.Linear(FEATURES, len(SHAPES) * sum(SLOT_HEADS.values()))
        self.clip = nn.Linear(FEATURES, sum(CLIP_HEADS.values()))

    def features(self, video: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Frame features {subject [B, t, C], places [B, t, C, h·w]} and clip features [B, 64].

        `video` holds the judged frames, `clip[:, ::FRAME_STEP]`: [B, t, 3, H, W], uint8 or float in [0, 1].
        """
        x = video.float() / 255 if video.dtype == torch.uint8 else video
        batch, frames = x.shape[:2]
        x = x.flatten(0, 1) * 2 - 1
        rows = torch.linspace(-1, 1, x.shape[2], device=x.device).view(1, 1, -1, 1).expand(len(x), 1, -1, x.shape[3])
        columns = torch.linspace(-1, 1, x.shape[3], device=x.device).view(1, 1, 1, -1).expand_as(rows)
        places = self.frame[:PLACE_STAGES](torch.cat([x, rows, columns], 1))
        maps = self.frame[PLACE_STAGES:](places)
        maps = nnf.adaptive_avg_pool2d(maps, self.map_size) if maps.shape[2:] != self.map_size else maps
        whole = maps.mean((2, 3)).unflatten(0, (batch, frames))
        subject = maps.amax((2, 3)).unflatten(0, (batch, frames))
        h = nnf.gelu(self.place(maps.flatten(1))).unflatten(0, (batch, frames)).transpose(1, 2)
        for layer in self.time:
            h = h + nnf.gelu(layer(h))
        pooled = torch.cat([h.mean(2), h.amax(2), subject.mean(1), whole.mean(1)], 1)
        places = places.flatten(2).unflatten(0, (batch, frames))
        return {"subject": subject, "places": places}, self.squeeze(pooled)

    def heads(self, features_BD: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits by head: slot heads [B, S, n], clip heads [B, n]."""
        slots = self.slots(features_BD).unflatten(1, (len(SHAPES), -1)).split(list(SLOT_HEADS.values()), -1)
        clip = self.clip(features_BD).split(list(CLIP_HEADS.values()), -1)
        return dict(zip(SLOT_HEADS, slots, strict=True)) | dict(zip(CLIP_HEADS, clip, strict=True))

    def probabilities(self, features_BD: torch.Tensor) -> dict[str, torch.Tensor]:
        """Softmax of every head with classes; sigmoid of presence, imaging and aesthetic."""
        out = {}
        for name, logits in self.heads(features_BD.float()).items():
            out[name] = logits.sigmoid() if logits.shape[-1] == 1 else logits.softmax(-1)
        return out
