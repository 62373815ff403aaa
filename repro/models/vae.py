"""The full VAE: diffusers' `AutoencoderKLWan` behind latents [B, F, C, H, W] and video in [0, 1].

Legend: B batch, F latent frames, C latent channels, H and W latent height and width.
"""

import torch
from torch import nn

from repro.config import Profile


class Vae(nn.Module):
    """Causal VAE, 8×8 in space and 4 in time. Latents are normalised channel by channel."""

    def __init__(self, model: nn.Module, channels: int):
        super().__init__()
        self.model = model
        self.register_buffer("latents_mean", torch.zeros(channels))
        self.register_buffer("latents_std", torch.ones(channels))

    def posterior(self, video: torch.Tensor):
        """diffusers' diagonal Gaussian over unnormalised latents [B, C, F, H, W] of video [B, frames, 3, ·, ·]."""
        return self.model.encode(video.transpose(1, 2) * 2 - 1).latent_dist

    def encode(self, video: torch.Tensor) -> torch.Tensor:
        """Normalised posterior mean [B, F, C, H, W]."""
        mean = self.posterior(video).mode().transpose(1, 2)
        shape = (1, 1, -1, 1, 1)
        return (mean - self.latents_mean.view(shape)) / self.latents_std.view(shape)

    def denormalise(self, latents_BFCHW: torch.Tensor) -> torch.Tensor:
        shape = (1, 1, -1, 1, 1)
        return latents_BFCHW * self.latents_std.view(shape) + self.latents_mean.view(shape)

    def decode(self, latents_BFCHW: torch.Tensor) -> torch.Tensor:
        """Video [B, frames, 3, height, width] in [0, 1]."""
        return self.stream().push(latents_BFCHW).clamp(0, 1)

    def stream(self) -> "VaeStream":
        """A decoder that takes a video chunk by chunk."""
        return VaeStream(self)


class VaeStream:
    """Feature cache of one video being decoded."""

    def __init__(self, vae: Vae):
        from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

        self.vae = vae
        self.features = [None] * sum(isinstance(m, WanCausalConv3d) for m in vae.model.decoder.modules())
        self.started = False

    def push(self, latents_BfCHW: torch.Tensor) -> torch.Tensor:
        """Frames of the next latent frames: one for the stream's first, four for every other. Not clamped."""
        model = self.vae.model
        z = model.post_quant_conv(self.vae.denormalise(latents_BfCHW).transpose(1, 2))
        frames = []
        for f in range(z.shape[2]):
            out = model.decoder(
                z[:, :, f : f + 1], feat_cache=self.features, feat_idx=[0], first_chunk=not self.started
            )
            self.started = True
            frames.append(out)
        return torch.cat(frames, dim=2).transpose(1, 2) * 0.5 + 0.5


def build(profile: Profile) -> Vae:
    """Untrained VAE at the widths of a profile."""
    from diffusers import AutoencoderKLWan

    widths, geometry = profile.autoencoders, profile.geometry
    model = AutoencoderKLWan(
        base_dim=widths.base_dim,
        z_dim=geometry.latent_channels,
        dim_mult=list(widths.dim_mult),
        num_res_blocks=widths.res_blocks,
        attn_scales=[],
        temperal_downsample=[False, True, True],
    )
    return Vae(model, geometry.latent_channels)
