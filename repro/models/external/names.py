"""Parameter names: what training wraps around them, and tables from the original names to ours."""

import re
from collections.abc import Mapping

import torch

from repro.errors import ReproError

Rules = tuple[tuple[str, str], ...]
"""(pattern, replacement): a name takes the first that matches, and stays as it is where none does."""

WRAPPERS = frozenset(
    {
        "_fsdp_wrapped_module",  # fully sharded training
        "_checkpoint_wrapped_module",  # activation checkpointing
        "_orig_mod",  # torch.compile
        "module",  # DistributedDataParallel
        "model",  # Self-Forcing's wrapper around the transformer
        "base_model",  # peft
        "base_layer",  # peft
        "transformer",  # adapters of a diffusers pipeline
        "diffusion_model",  # ComfyUI
    }
)
"""Parts of a dotted name that say who held the parameter, not which it is."""

WAN_DIT: Rules = (
    (r"^time_embedding\.0\.", "condition_embedder.time_embedder.linear_1."),
    (r"^time_embedding\.2\.", "condition_embedder.time_embedder.linear_2."),
    (r"^time_projection\.1\.", "condition_embedder.time_proj."),
    (r"^text_embedding\.0\.", "condition_embedder.text_embedder.linear_1."),
    (r"^text_embedding\.2\.", "condition_embedder.text_embedder.linear_2."),
    (r"^head\.head\.", "proj_out."),
    (r"^head\.modulation$", "scale_shift_table"),
    (r"^(blocks\.\d+\.)modulation$", r"\1scale_shift_table"),
    (r"^(blocks\.\d+\.)norm3\.", r"\1norm2."),
    (r"^(blocks\.\d+\.)ffn\.0\.", r"\1ffn.net.0.proj."),
    (r"^(blocks\.\d+\.)ffn\.2\.", r"\1ffn.net.2."),
    (r"^(blocks\.\d+\.)self_attn\.([qkv])\.", r"\1attn1.to_\2."),
    (r"^(blocks\.\d+\.)self_attn\.o\.", r"\1attn1.to_out.0."),
    (r"^(blocks\.\d+\.)self_attn\.norm_", r"\1attn1.norm_"),
    (r"^(blocks\.\d+\.)cross_attn\.([qkv])\.", r"\1attn2.to_\2."),
    (r"^(blocks\.\d+\.)cross_attn\.o\.", r"\1attn2.to_out.0."),
    (r"^(blocks\.\d+\.)cross_attn\.norm_", r"\1attn2.norm_"),
)
"""The transformer: Wan2.1's own names → diffusers', which are ours."""

UMT5: Rules = (
    (r"^token_embedding\.", "shared."),
    (r"^norm\.", "encoder.final_layer_norm."),
    (r"^blocks\.(\d+)\.norm1\.", r"encoder.block.\1.layer.0.layer_norm."),
    (r"^blocks\.(\d+)\.attn\.([qkvo])\.", r"encoder.block.\1.layer.0.SelfAttention.\2."),
    (
        r"^blocks\.(\d+)\.pos_embedding\.embedding\.",
        r"encoder.block.\1.layer.0.SelfAttention.relative_attention_bias.",
    ),
    (r"^blocks\.(\d+)\.norm2\.", r"encoder.block.\1.layer.1.layer_norm."),
    (r"^blocks\.(\d+)\.ffn\.gate\.0\.", r"encoder.block.\1.layer.1.DenseReluDense.wi_0."),
    (r"^blocks\.(\d+)\.ffn\.fc1\.", r"encoder.block.\1.layer.1.DenseReluDense.wi_1."),
    (r"^blocks\.(\d+)\.ffn\.fc2\.", r"encoder.block.\1.layer.1.DenseReluDense.wo."),
)
"""The text encoder: Wan2.1's own names → transformers' `UMT5EncoderModel`."""


def unwrap(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def translate(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        new, changed = re.subn(pattern, replacement, name)
        if changed:
            return new
    return name


def canonical(tensors: Mapping[str, torch.Tensor], rules: Rules, where: str) -> dict[str, torch.Tensor]:
    """`tensors` by our names. Raises ReproError where two names of the file mean one parameter."""
    out: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        new = translate(unwrap(name), rules)
        if new in out:
            raise ReproError(f"{where} holds {new} twice, once as {name}: it mixes two models. Use one that holds one")
        out[new] = tensor
    return out
