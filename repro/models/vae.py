"""The full VAE: diffusers' `AutoencoderKLWan` behind latents [B, F, C, H, W] and video in [0, 1].

Legend: B batch, F latent frames, C latent channels, H and W latent height and width.
"""

import torch
from torch import nn

from repro.config import Profile

FOLD = 2
"""Pixels folded into channels, along each side."""


class Vae(nn.Module):
    """Causal VAE, 8×8 in space and 4 in time. Latents are normalised channel by channel."""

    def __init__(self, model: nn.Module, channels: int):
        super().__init__()
        self.model = model
        self.register_buffer("latents_mean", torch.zeros(channels))
        self.register_buffer("latents_std", torch.ones(channels))

    @property
    def patch_size(self) -> int:
        """Pixels folded into channels along each side; Wan2.1's VAE folds none."""
        return self.model.config.patch_size or 1

    def posterior_mean(self, video: torch.Tensor) -> torch.Tensor:
        """Unnormalised latents [B, F, C, H, W] of video [B, frames, 3, height, width]; the whole video at once."""
        from diffusers.models.autoencoders.autoencoder_kl_wan import patchify

        folded = patchify(video.transpose(1, 2) * 2 - 1, self.patch_size)
        mean_and_logvar = self.model.quant_conv(self.model.encoder(folded))
        return mean_and_logvar.chunk(2, dim=1)[0].transpose(1, 2)

    def encode(self, video: torch.Tensor) -> torch.Tensor:
        """Normalised posterior mean [B, F, C, H, W]."""
        shape = (1, 1, -1, 1, 1)
        return (self.posterior_mean(video) - self.latents_mean.view(shape)) / self.latents_std.view(shape)

    def denormalise(self, latents_BFCHW: torch.Tensor) -> torch.Tensor:
        shape = (1, 1, -1, 1, 1)
        return latents_BFCHW * self.latents_std.view(shape) + self.latents_mean.view(shape)

    def reconstruct(self, z_BFCHW: torch.Tensor) -> torch.Tensor:
        """Unclamped video of unnormalised latents; the whole video at once, equal to the stream."""
        from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

        z = self.model.post_quant_conv(z_BFCHW.transpose(1, 2))
        folded = self.model.decoder(z, first_chunk=True)
        return unpatchify(folded, self.patch_size).transpose(1, 2) * 0.5 + 0.5

    def decode(self, latents_BFCHW: torch.Tensor) -> torch.Tensor:
        """Video [B, frames, 3, height, width] in [0, 1]."""
        return self.reconstruct(self.denormalise(latents_BFCHW)).clamp(0, 1)

    def stream(self) -> "VaeStream":
        """A decoder that takes a video chunk by chunk."""
        return VaeStream(self)


def _whole_resample():
    """diffusers' resampling layer, which changes the frame rate only chunk by chunk, for a whole video too."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import WanResample

    class WholeResample(WanResample):
        """Without a feature cache, the first frame stands alone and the others are resampled in time at once.

        One pass replaces a loop over latent frames, whose small kernels leave a GPU idle.
        """

        def forward(self, x, feat_cache=None, feat_idx=None):
            if feat_cache is not None:
                return super().forward(x, feat_cache, feat_idx)
            if self.mode == "upsample3d" and x.shape[2] > 1:
                pairs = self.time_conv(x[:, :, 1:]).unflatten(1, (2, -1)).movedim(1, 3)
                x = torch.cat([x[:, :, :1], pairs.flatten(2, 3)], dim=2)
            x = super().forward(x)
            if self.mode == "downsample3d" and x.shape[2] > 1:
                x = torch.cat([x[:, :, :1], self.time_conv(x)], dim=2)
            return x

    return WanResample, WholeResample


def _resample_at_once(model: nn.Module) -> None:
    """Give every resampling layer of `model` its whole-video pass."""
    plain, whole = _whole_resample()
    for layer in model.modules():
        if type(layer) is plain:
            layer.__class__ = whole


class VaeStream:
    """Feature cache of one video being decoded."""

    def __init__(self, vae: Vae):
        from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, unpatchify

        self.vae = vae
        self.features = [None] * sum(isinstance(m, WanCausalConv3d) for m in vae.model.decoder.modules())
        self.unpatchify = unpatchify
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
        video = torch.cat(frames, dim=2)
        video = self.unpatchify(video, self.vae.patch_size)
        return video.transpose(1, 2) * 0.5 + 0.5


def build(profile: Profile) -> Vae:
    """Untrained VAE at the widths of a profile.

    Small widths waste a GPU and a CPU alike at full resolution, so pixels are folded 2×2 into
    channels first, as Wan2.2's VAE does; two more halvings give the same 8×8. Also as there, pixels
    are carried past every block by averaging down and repeating up, so that training starts from a
    blurred picture instead of noise.
    """
    from diffusers import AutoencoderKLWan

    widths, geometry = profile.autoencoders, profile.geometry
    model = AutoencoderKLWan(
        base_dim=widths.base_dim,
        z_dim=geometry.latent_channels,
        dim_mult=list(widths.dim_mult),
        num_res_blocks=widths.res_blocks,
        attn_scales=[],
        temperal_downsample=[True, True],
        in_channels=3 * FOLD**2,
        out_channels=3 * FOLD**2,
        patch_size=FOLD,
        is_residual=True,
    )
    for layer in model.modules():
        # PyTorch's default shrinks every convolution's output below its bias: the encoder would then
        # say the same of every picture, and training stays on that plateau.
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(layer.bias)
    _resample_at_once(model)
    return Vae(model, geometry.latent_channels)


def wrap(model: nn.Module) -> Vae:
    """A `Vae` around an `AutoencoderKLWan`, whose config has the statistics of its latents.

    Without arguments of its own, diffusers' class has Wan2.1's geometry and statistics.
    """
    _resample_at_once(model)
    vae = Vae(model, model.config.z_dim)
    vae.latents_mean.copy_(torch.tensor(model.config.latents_mean))
    vae.latents_std.copy_(torch.tensor(model.config.latents_std))
    return vae
