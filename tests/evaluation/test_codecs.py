"""Table 8: measures against closed forms and reference values, and a table at toy size."""

import numpy as np
import pandas as pd
import pytest
import torch

from repro.evaluation import codecs
from repro.evaluation.sampling import load_decoder
from repro.reporting import codecs as report
from repro.world.judge import Judge


def test_psnr_and_ssim_of_known_clips():
    rng = np.random.default_rng(0)
    a = rng.integers(60, 190, (3, 3, 32, 48), dtype=np.uint8)
    assert codecs.psnr(a, a + 5) == pytest.approx(20 * np.log10(255 / 5))
    assert codecs.ssim(a, a) == pytest.approx(1)
    # A constant shift leaves structure alone; noise of its own does not.
    noisy = np.clip(a + rng.normal(0, 40, a.shape), 0, 255).astype(np.uint8)
    assert codecs.ssim(a, a + 5) > 0.99 > 0.9 > codecs.ssim(a, noisy)


def test_the_perceptual_distance_grows_with_blur_and_is_nought_for_the_same():
    torch.manual_seed(0)
    judge = Judge().eval()
    a = torch.randint(0, 255, (2, 9, 3, 64, 112), dtype=torch.uint8)
    blurs = [torch.nn.functional.avg_pool2d(a.flatten(0, 1).float(), k, 1, k // 2).view(a.shape).byte() for k in (3, 7)]
    same, little, much = (codecs.perceptual(judge, a, b) for b in (a, *blurs))
    assert same == pytest.approx([0, 0], abs=1e-5) and (little > 1e-3).all() and (much > little).all()


def test_the_decoding_half_alone_is_counted(everything, smoke):
    full, tiny = (load_decoder(smoke, kind, everything, "cpu") for kind in ("full", "tiny"))
    assert codecs.decoder_parameters(tiny) == sum(p.numel() for p in tiny.parameters())
    encoder = sum(p.numel() for p in (*full.model.encoder.parameters(), *full.model.quant_conv.parameters()))
    assert codecs.decoder_parameters(full) + encoder == sum(p.numel() for p in full.parameters())


def test_both_decoders_are_measured_and_tabled(everything, smoke, tmp_path):
    codecs.measure(smoke, everything, tmp_path / "codecs", "cpu")
    scores = pd.read_csv(tmp_path / "codecs" / "scores.csv")
    assert scores.groupby("codec").size().to_dict() == dict.fromkeys(codecs.CODECS, smoke.studies.codec_clips)
    measured = report.load(tmp_path / "codecs", "smoke")
    assert measured["tiny_vae", "decoding_s"].value > 0 and measured["full_vae", "compression_time"].value == 4
    mean = scores.loc[scores["codec"] == "tiny_vae", "psnr"].mean()
    assert measured["tiny_vae", "psnr"].value == pytest.approx(mean, rel=1e-4)
    report.build(tmp_path / "codecs", "smoke", tmp_path)
    text = (tmp_path / "tables" / "table8.md").read_text()
    assert all(printed in text for printed in ("73.3", "9.84", "1.67", "0.12", "8 × 8 × 4"))
    assert "times fewer parameters (paper 7.4)" in report.answer(measured)
    assert len(report.frames(tmp_path / "codecs").axes) == 3
