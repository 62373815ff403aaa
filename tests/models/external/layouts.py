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


RESIDUAL = {"norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6"}
LEVEL = 4
"""Entries of Wan2.1's flat decoder list for one resolution: three residual blocks and a resampler."""


def vae_to_original(name: str) -> str:
    """Wan2.1's own name of one of the VAE's parameters, from the structure of its nested lists."""
    name = re.sub(r"^quant_conv", "conv1", name)
    name = re.sub(r"^post_quant_conv", "conv2", name)
    name = re.sub(r"\.conv_in\.", ".conv1.", name)
    name = re.sub(r"\.norm_out\.", ".head.0.", name)
    name = re.sub(r"\.conv_out\.", ".head.2.", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"middle.{2 * int(m[1])}", name)
    name = re.sub(r"mid_block\.attentions\.0", "middle.1", name)
    name = re.sub(r"down_blocks\.", "downsamples.", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"upsamples.{LEVEL * int(m[1]) + int(m[2])}", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"upsamples.{LEVEL * int(m[1]) + 3}", name)
    name = re.sub(r"\.conv_shortcut\.", ".shortcut.", name)
    inside = re.compile(r"\.(?:middle|downsamples|upsamples)\.\d+\.")
    for ours, theirs in RESIDUAL.items():
        if inside.search(name) and not name.endswith(("to_qkv.weight", "norm.gamma")):
            name = re.sub(rf"(\.\d+)\.{ours}\.", rf"\1.{theirs}.", name)
    return name


TEXT_KEYS = (
    ("encoder.final_layer_norm.", "norm."),
    ("encoder.block.", "blocks."),
    (".layer.0.SelfAttention.relative_attention_bias.", ".pos_embedding.embedding."),
    (".layer.0.SelfAttention.", ".attn."),
    (".layer.0.layer_norm.", ".norm1."),
    (".layer.1.layer_norm.", ".norm2."),
    (".layer.1.DenseReluDense.wi_0.", ".ffn.gate.0."),
    (".layer.1.DenseReluDense.wi_1.", ".ffn.fc1."),
    (".layer.1.DenseReluDense.wo.", ".ffn.fc2."),
    ("shared.", "token_embedding."),
)


def text_to_original(state):
    out = {}
    for name, tensor in state.items():
        if name != "encoder.embed_tokens.weight":
            for ours, theirs in TEXT_KEYS:
                name = name.replace(ours, theirs)
            out[name] = tensor
    return out


def write_tokenizer(folder, words):
    """T5's end of caption over whole words; `folder/tokenizer.json`."""
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordLevel

    made = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    folder.mkdir(parents=True)
    made.save(str(folder / "tokenizer.json"))
    return folder
