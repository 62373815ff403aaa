"""A folder as published weights lie in it, every file in its own layout, at a size that a test can run."""

import json

import torch
from layouts import randomise, text_to_original, to_original, vae_to_original, write_tokenizer
from safetensors.torch import save_file

from repro.config import Scale
from repro.models import presets
from repro.models.taehv import TinyDecoder
from repro.models.wan import WanDiT

SCALE = {
    "geometry": {"frames": 81, "height": 32, "width": 48, "fps": 16},
    "dit": {"dim": 48, "heads": 2, "layers": 2, "ffn_dim": 80, "text_dim": 16, "text_tokens": 96},
    "autoencoders": {"base_dim": 8, "dim_mult": [1, 2, 4, 4], "res_blocks": 2, "tiny_channels": [16, 8, 8, 8]},
    "flow": {"shift": 5.0, "guidance": 5.0, "teacher_steps": 3},
    "timing": {"warmups": 1, "runs": 2},
    "umt5": {"vocab_size": 40, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 2, "num_heads": 4},
}
TINY_WAN = Scale(name="wan", **SCALE)
WORDS = ["<pad>", "</s>", "<unk>", "a", "person", "is", "the", "on", "in", "still", "of", "and", "with"]


def original(state, prefix=""):
    return {prefix + to_original(k): v for k, v in state.items()}


def adapter(state, rank=3):
    """LongLive's file: A and B of every attention and feed-forward matrix."""
    found = {}
    for i, (name, weight) in enumerate(state.items()):
        if name.startswith("blocks.") and weight.ndim == 2 and name.endswith(".weight"):
            layer = f"base_model.model.{to_original(name).removesuffix('.weight')}"
            g = torch.Generator().manual_seed(i)
            found[f"{layer}.lora_A.weight"] = 0.1 * torch.randn(rank, weight.shape[1], generator=g)
            found[f"{layer}.lora_B.weight"] = 0.1 * torch.randn(weight.shape[0], rank, generator=g)
    return {"generator_lora": found, "critic_lora": {}}


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    (save_file if path.suffix == ".safetensors" else torch.save)(content, path)


def models():
    from diffusers import AutoencoderKLWan
    from transformers import UMT5Config, UMT5EncoderModel

    widths, sizes = TINY_WAN.autoencoders, TINY_WAN.umt5
    vae = AutoencoderKLWan(base_dim=widths.base_dim, dim_mult=list(widths.dim_mult), num_res_blocks=widths.res_blocks)
    vae = randomise(vae, key=1, std=0.1)
    for name, p in vae.named_parameters():
        if name.endswith("gamma"):
            p.data.add_(1)
    text = randomise(UMT5EncoderModel(UMT5Config(**sizes, dropout_rate=0.0)), key=2, std=0.4)
    dits = [randomise(WanDiT(presets.from_profile(TINY_WAN)), key=10 + i).state_dict() for i in range(4)]
    return vae, text, dits


def write(root, diffusers_layout):
    """Everything that vbench_systems.csv needs; what comes in two layouts, in the one asked for."""
    vae, text, (wan, causvid, forcing, longlive) = models()
    base, pipeline = root / "Wan2.1-T2V-1.3B", root / "Wan2.1-T2V-1.3B-Diffusers"
    if diffusers_layout:
        names, where = sorted(wan), {}
        (pipeline / "transformer").mkdir(parents=True)
        for number in (1, 2):
            name = f"diffusion_pytorch_model-{number:05}-of-00002.safetensors"
            part = names[number - 1 :: 2]
            save(pipeline / "transformer" / name, {k: wan[k].clone() for k in part})
            where |= dict.fromkeys(part, name)
        index = pipeline / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
        index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
        vae.save_pretrained(pipeline / "vae")
        text.save_pretrained(pipeline / "text_encoder")
        write_tokenizer(pipeline / "tokenizer", WORDS)
    else:
        save(base / "diffusion_pytorch_model.safetensors", original(wan))
        save(base / "Wan2.1_VAE.pth", {vae_to_original(k): v for k, v in vae.state_dict().items()})
        save(base / "models_t5_umt5-xxl-enc-bf16.pth", text_to_original(text.state_dict()))
        write_tokenizer(base / "google" / "umt5-xxl", WORDS)
    save(root / "CausVid/autoregressive_checkpoint/model.pt", {"generator": original(causvid, "model.")})
    save(
        root / "Self-Forcing/checkpoints/self_forcing_dmd.pt", {"generator_ema": original(forcing, "model."), "step": 1}
    )
    save(root / "LongLive-1.3B/models/longlive_base.pt", {"generator": original(longlive, "model.")})
    save(root / "LongLive-1.3B/models/lora.pt", adapter(longlive))
    tiny = TinyDecoder(TINY_WAN.autoencoders.tiny_channels, TINY_WAN.geometry.latent_channels)
    save(root / "taehv/taew2_1.pth", {k: v.half() for k, v in randomise(tiny, key=3).state_dict().items()})
    return root
