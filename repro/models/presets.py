"""Model sizes: the paper's, and those of a profile."""

from repro.config import Profile, load_profile
from repro.models.wan import WanConfig

WAN_T2V_1_3B = WanConfig(dim=1536, heads=12, layers=30, ffn_dim=8960, text_dim=4096, text_tokens=512)
"""Wan2.1-T2V-1.3B (its public config.json)."""


def from_profile(profile: Profile) -> WanConfig:
    channels = profile.geometry.latent_channels
    return WanConfig(
        **profile.dit.model_dump(), in_channels=channels, out_channels=channels, patch=profile.geometry.patch
    )


MINI = from_profile(load_profile("mini"))
