"""Wan2.1's VAE in both layouts and at its own geometry, and TAEHV's decoder."""

import json

import pytest
import torch
from layouts import randomise, vae_to_original
from safetensors.torch import save_file

from repro.errors import ReproError
from repro.models import vae
from repro.models.external.autoencoders import LATENT_CHANNELS, TINY_CHANNELS, load_tiny, load_vae
from repro.models.taehv import TimeGrow, TinyDecoder
from repro.training.loop import generator_for

SIZES = {"base_dim": 8, "z_dim": 4, "latents_mean": [0.5, -1.0, 0.0, 2.0], "latents_std": [1.0, 2.0, 0.5, 1.5]}
CHANNELS = (12, 10, 8, 6)


@pytest.fixture(scope="module")
def source():
    from diffusers import AutoencoderKLWan

    model = randomise(AutoencoderKLWan(**SIZES), std=0.1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("gamma"):
                p.add_(1)
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def latents():
    return torch.randn((1, 4, SIZES["z_dim"], 4, 6), generator=generator_for(0))


def close(a, b):
    torch.testing.assert_close(a, b, atol=2e-5 * b.abs().max().item(), rtol=0)


@torch.no_grad()
def check(loaded, source, latents):
    """Decoding, streaming and encoding against diffusers' own, frame by frame, with its statistics."""
    mean, std = (torch.tensor(SIZES[k]).view(1, 1, -1, 1, 1) for k in ("latents_mean", "latents_std"))
    theirs = source.decode((latents * std + mean).transpose(1, 2)).sample.transpose(1, 2) * 0.5 + 0.5
    assert theirs.shape == (1, 13, 3, 32, 48) and theirs.std() > 0.05
    close(loaded.decode(latents), theirs)
    stream = loaded.stream()
    close(torch.cat([stream.push(part) for part in latents.split((3, 1), 1)], 1).clamp(0, 1), theirs)
    encoded = source.encode(theirs.transpose(1, 2) * 2 - 1).latent_dist.mean.transpose(1, 2)
    close(loaded.encode(theirs), (encoded - mean) / std)


@pytest.mark.parametrize("whole_pipeline", [True, False])
def test_a_diffusers_folder_brings_sizes_and_statistics(source, latents, tmp_path, whole_pipeline):
    source.save_pretrained(tmp_path / "vae")
    check(load_vae(tmp_path if whole_pipeline else tmp_path / "vae"), source, latents)


def test_the_original_file(source, latents, tmp_path):
    state = {vae_to_original(k): v for k, v in source.state_dict().items()}
    for known in (
        "conv1.weight",
        "decoder.conv1.bias",
        "decoder.upsamples.3.time_conv.weight",
        "decoder.upsamples.4.shortcut.weight",
        "decoder.upsamples.11.resample.1.weight",
        "decoder.upsamples.14.residual.6.bias",
        "encoder.downsamples.5.time_conv.bias",
        "encoder.middle.1.to_qkv.weight",
        "encoder.head.2.weight",
    ):
        assert known in state
    torch.save(state, tmp_path / "Wan2.1_VAE.pth")
    check(load_vae(tmp_path / "Wan2.1_VAE.pth", sizes=SIZES), source, latents)


def test_without_a_config_the_geometry_is_the_papers():
    """Table 8: 73.3 M parameters in the decoder, 8× in space, 4× in time."""
    from diffusers import AutoencoderKLWan

    with torch.device("meta"):
        model = AutoencoderKLWan()
    full = vae.wrap(model)
    assert round(sum(p.numel() for p in model.decoder.parameters()) / 1e6, 1) == 73.3
    assert full.latents_std.shape == (LATENT_CHANNELS,) and full.latents_std.min() > 1
    with torch.device("meta"):
        video = full.reconstruct(torch.empty(1, 3, LATENT_CHANNELS, 60, 104, device="meta"))
        assert video.shape == (1, 9, 3, 480, 832)
        assert full.posterior_mean(video).shape == (1, 3, LATENT_CHANNELS, 60, 104)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"colour": 1}, r"config\.json: AutoencoderKLWan knows no 'colour'"),
        ({"latents_mean": [0.0]}, r"config\.json: latents_mean has 1 values for 4 latent channels"),
        ({"dim_mult": "wide"}, r"config\.json describes no VAE"),
        ({"base_dim": 16}, r"has shape \(8, 3, 3, 3, 3\), not \(16, 3, 3, 3, 3\)"),
    ],
)
def test_a_config_that_does_not_fit_is_named(source, tmp_path, change, says):
    source.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ReproError, match=says):
        load_vae(tmp_path)


def test_a_vae_of_wan22_is_refused(source, tmp_path):
    state = dict(source.state_dict())
    state["decoder.up_blocks.0.avg_shortcut.weight"] = torch.zeros(1)
    save_file(state, tmp_path / "vae.safetensors")
    says = r"vae\.safetensors does not fit .*unexpected decoder\.up_blocks\.0\.avg_shortcut\.weight"
    with pytest.raises(ReproError, match=says):
        load_vae(tmp_path / "vae.safetensors", sizes=SIZES)


@pytest.fixture(scope="module")
def tiny():
    model = TinyDecoder(CHANNELS, 4).requires_grad_(False).eval()
    for i, p in enumerate(model.parameters()):
        scale = (2 / p[0].numel()) ** 0.5 if p.dim() > 1 else 0.1
        p.copy_((scale * torch.randn(p.shape, generator=generator_for(1, i))).half())
    return model


def published(tiny, extra_frames=0):
    """The tiny decoder's file in half precision, its encoder beside it; time layers may grow more frames."""
    state = {k: v.half() for k, v in tiny.state_dict().items()} | {"encoder.0.weight": torch.zeros(64, 3, 3, 3)}
    for index, layer in enumerate(tiny.decoder):
        if isinstance(layer, TimeGrow) and extra_frames:
            name = f"decoder.{index}.conv.weight"
            state[name] = torch.cat([torch.full_like(state[name], 9.0)] * extra_frames + [state[name]])
    return state


@pytest.mark.parametrize("extra_frames", [0, 1])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_the_tiny_decoder(tiny, tmp_path, extra_frames, ending):
    path = tmp_path / f"taew2_1.{ending}"
    (torch.save if ending == "pth" else save_file)(published(tiny, extra_frames), path)
    model = load_tiny(path, channels=CHANNELS, latent_channels=4)
    z = torch.randn((1, 3, 4, 3, 5), generator=generator_for(0))
    with torch.no_grad():
        assert torch.equal(model.decode(z), tiny.decode(z)) and tiny.decode(z).std() > 0.1


def test_at_its_published_widths_the_decoder_has_the_papers_size():
    """Table 8: 9.84 M parameters."""
    with torch.device("meta"):
        model = TinyDecoder(TINY_CHANNELS, LATENT_CHANNELS)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == 9.84


def test_only_the_encoder_is_left_out_of_the_tiny_file(tiny, tmp_path):
    path = tmp_path / "taew2_1.safetensors"
    save_file(published(tiny) | {"adapter.weight": torch.zeros(1)}, path)
    with pytest.raises(ReproError, match=r"taew2_1\.safetensors does not fit TinyDecoder.*unexpected adapter\.weight"):
        load_tiny(path, channels=CHANNELS, latent_channels=4)
    state = published(tiny)
    state["decoder.13.conv.weight"] = state["decoder.13.conv.weight"][:-1]
    save_file(state, path)
    with pytest.raises(ReproError, match=r"decoder\.13\.conv\.weight has shape \(19, 10, 1, 1\), not \(20, 10, 1, 1\)"):
        load_tiny(path, channels=CHANNELS, latent_channels=4)
