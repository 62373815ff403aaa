"""Tiny models, and the names that published weights give their parts."""

import re

import torch

from repro.models.wan import WanConfig
from repro.training.loop import generator_for

TINY = WanConfig(dim=48, heads=2, layers=2, ffn_dim=80, text_dim=24, text_tokens=6)

ORIGINAL_DIT = (
    (r"^condition_embedder\.time_embedder\.linear_1", "time_embedding.0"),
    (r"^condition_embedder\.time_embedder\.linear_2", "time_embedding.2"),
    (r"^condition_embedder\.text_embedder\.linear_1", "text_embedding.0"),
    (r"^condition_embedder\.text_embedder\.linear_2", "text_embedding.2"),
    (r"^condition_embedder\.time_proj", "time_projection.1"),
    (r"^scale_shift_table", "head.modulation"),
    (r"^proj_out", "head.head"),
    (r"\.scale_shift_table", ".modulation"),
    (r"\.norm2\.", ".norm3."),
    (r"\.ffn\.net\.0\.proj\.", ".ffn.0."),
    (r"\.ffn\.net\.2\.", ".ffn.2."),
    (r"\.attn1\.", ".self_attn."),
    (r"\.attn2\.", ".cross_attn."),
    (r"\.to_out\.0\.", ".o."),
    (r"\.to_([qkv])\.", r".\1."),
)


def to_original(name: str) -> str:
    """Wan2.1's own name of one of the transformer's parameters; all substitutions that match, in turn."""
    for pattern, new in ORIGINAL_DIT:
        name = re.sub(pattern, new, name)
    return name


def randomise(module: torch.nn.Module, key: int = 0, std: float = 0.15) -> torch.nn.Module:
    """Random weights, biases and norms included: zeros and ones would hide a swapped name."""
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(std * torch.randn(p.shape, generator=generator_for(key, i)))
    return module.eval()
