"""A tiny causal decoder of the TAEHV class (Ollin Boer Bohan's tiny autoencoder for video).

The state dict has TAEHV's layout, `decoder.<index>.…`. Legend: B batch, T frames at a layer's own
rate, C channels, H and W height and width.
"""

from collections.abc import Sequence

import torch
from torch import nn

STRIDES = (1, 2, 2)
"""Growth of the frame rate after each of the three stages."""
MEMORY_BLOCKS = 3


def _conv(channels_in: int, channels_out: int, **kwargs) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, **kwargs)


class Clamp(nn.Module):
    """Soft clamp of the latents to ±3."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x / 3) * 3


class MemoryBlock(nn.Module):
    """Residual block that also sees the previous frame's input."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Sequential(
            _conv(2 * channels, channels),
            nn.ReLU(),
            _conv(channels, channels),
            nn.ReLU(),
            _conv(channels, channels),
        )

    def forward(self, x: torch.Tensor, past: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(torch.cat([x, past], 1)) + x)


class TimeGrow(nn.Module):
    """1×1 convolution that makes `stride` frames of each."""

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels, channels * stride, 1, bias=False)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return self.conv(x_NCHW).unflatten(1, (self.stride, -1)).flatten(0, 1)


class TinyDecoder(nn.Module):
    """Latents [B, F, C, H, W] → video [B, 1 + 4(F−1), 3, 8H, 8W] in [0, 1]."""

    def __init__(self, channels: Sequence[int], latent_channels: int):
        super().__init__()
        layers: list[nn.Module] = [Clamp(), _conv(latent_channels, channels[0]), nn.ReLU()]
        for width, following, stride in zip(channels[:-1], channels[1:], STRIDES, strict=True):
            layers += [MemoryBlock(width) for _ in range(MEMORY_BLOCKS)]
            layers += [
                nn.Upsample(scale_factor=2),
                TimeGrow(width, stride),
                _conv(width, following, bias=False),
            ]
        self.decoder = nn.Sequential(*layers, nn.ReLU(), _conv(channels[-1], 3))

    def decode(self, latents_BFCHW: torch.Tensor) -> torch.Tensor:
        return self.stream().push(latents_BFCHW)

    def stream(self) -> "TinyStream":
        """A decoder that takes a video chunk by chunk."""
        return TinyStream(self)


class TinyStream:
    """The last input of every memory block, for one video being decoded."""

    def __init__(self, decoder: TinyDecoder):
        self.decoder = decoder.decoder
        self.memory: dict[int, torch.Tensor] = {}
        self.started = False

    def push(self, latents_BfCHW: torch.Tensor) -> torch.Tensor:
        """Frames of the next latent frames: one for the stream's first, four for every other."""
        batch = len(latents_BfCHW)
        x = latents_BfCHW.flatten(0, 1)
        for index, layer in enumerate(self.decoder):
            if isinstance(layer, MemoryBlock):
                frames = x.unflatten(0, (batch, -1))
                before = self.memory.get(index)
                before = torch.zeros_like(frames[:, :1]) if before is None else before
                self.memory[index] = frames[:, -1:]
                x = layer(x, torch.cat([before, frames[:, :-1]], 1).flatten(0, 1))
            else:
                x = layer(x)
        video = x.unflatten(0, (batch, -1)).clamp(0, 1) if not self.decoder.training else x.unflatten(0, (batch, -1))
        if not self.started:
            # The first latent frame stands for one video frame; the others it would grow to do not exist.
            surplus = video.shape[1] // latents_BfCHW.shape[1] - 1
            video, self.started = video[:, surplus:], True
        return video
