"""A tiny causal decoder of the TAEHV class (Ollin Boer Bohan's tiny autoencoder for video).

The state dict has TAEHV's layout, `decoder.<index>.…`. Legend: B batch, T frames at a layer's own
rate, C channels, H and W height and width.
"""

import math
from collections.abc import Sequence
from copy import copy

import torch
import torch.nn.functional as nnf
from torch import nn

STRIDES = (1, 2, 2)
"""Growth of the frame rate after each of the three stages."""
MEMORY_BLOCKS = 3


def _conv(channels_in: int, channels_out: int, **kwargs) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, **kwargs)


def doubled(x_NCHW: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A 3×3 convolution, padded by one, of the image at twice its height and width, every pixel repeated.

    As one transposed convolution: each pixel of the result sees 2×2 of the small image, so that 4×4 sums of weights
    do with 16/36 of the operations, and the large image is never written.
    """
    o, c = weight.shape[:2]
    sums = nnf.conv_transpose2d(weight.flip(2, 3).reshape(o * c, 1, 3, 3), weight.new_ones(1, 1, 2, 2))
    return nnf.conv_transpose2d(x_NCHW, sums.view(o, c, 4, 4).transpose(0, 1), stride=2, padding=1)


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
    """One video being decoded: the last input of every memory block, zeros before the first."""

    def __init__(self, decoder: TinyDecoder):
        self.layers, self.training = decoder.decoder, decoder.training
        self.memory: dict[int, torch.Tensor] = {}
        self.started = False

    def take(self, videos: torch.Tensor) -> "TinyStream":
        """The stream of some videos of the batch, by their indices; both go on on their own."""
        part = copy(self)
        part.memory = {index: past[videos] for index, past in self.memory.items()}
        return part

    def reset(self) -> None:
        """Start another video of the same shape; the memory stays where it is."""
        for past in self.memory.values():
            past.zero_()
        self.started = False

    def _before(self, index: int, x_NCHW: torch.Tensor, batch: int) -> torch.Tensor:
        """Every frame's predecessor; the last frames go to the memory. Joined as images, which keeps their layout."""
        videos = x_NCHW.tensor_split(batch)
        if index not in self.memory:
            self.memory[index] = torch.zeros_like(x_NCHW[:batch])
        past = self.memory[index]
        before = torch.cat([part for b, video in enumerate(videos) for part in (past[b : b + 1], video[:-1])])
        past.copy_(torch.cat([video[-1:] for video in videos]).detach())
        return before

    def grow(self, latents_BfCHW: torch.Tensor) -> torch.Tensor:
        """Four frames for each of the next latent frames, [B, 4f, 3, 8H, 8W]."""
        batch, x = len(latents_BfCHW), latents_BfCHW.flatten(0, 1)
        for index, layer in enumerate(self.layers):
            if isinstance(layer, nn.Upsample):
                continue  # the 1×1 convolution behind it does the same before it, and the 3×3 one takes both
            if isinstance(layer, MemoryBlock):
                x = layer(x, self._before(index, x, batch))
            elif isinstance(self.layers[index - 1], TimeGrow):
                x = doubled(x, layer.weight)
            else:
                x = layer(x)
        video = x.unflatten(0, (batch, -1))
        return video if self.training else video.clamp(0, 1)

    def push(self, latents_BfCHW: torch.Tensor) -> torch.Tensor:
        """Frames of the next latent frames: one for the stream's first, four for every other."""
        return self.trim(self.grow(latents_BfCHW))

    def trim(self, video: torch.Tensor) -> torch.Tensor:
        """The first latent frame stands for one video frame; the others it grew to do not exist."""
        surplus = 0 if self.started else math.prod(STRIDES) - 1
        self.started = True
        return video[:, surplus:]
