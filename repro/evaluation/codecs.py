"""Table 8 at mini scale: the full decoder and the tiny one, on held-out clips that the VAE encoded.

Legend: B clips, t frames, D channels, P places of a frame.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as nnf
from rich.progress import track
from torch import nn

from repro.config import Profile
from repro.evaluation.quality import SHOWN_FRAMES, interval, load_judge
from repro.evaluation.sampling import load_decoder, to_uint8
from repro.files import write_atomic
from repro.generation.spans import Spans
from repro.models import weights
from repro.models.vae import Vae
from repro.reporting import records
from repro.training.data import pixel_pool, split_scenes
from repro.world.judge import FRAME_STEP, Judge

CODECS = {"full_vae": "full", "tiny_vae": "tiny"}
"""Rows of the paper's table → our decoders."""
MEASURES = {"psnr": "dB", "ssim": "", "perceptual": ""}
CODEC_VERSION = "1"
BATCH = 4


def decoder_parameters(decoder: nn.Module) -> int:
    """Of the half that decodes: the paper counts no encoder."""
    parts = [decoder.model.decoder, decoder.model.post_quant_conv] if isinstance(decoder, Vae) else [decoder]
    return sum(p.numel() for part in parts for p in part.parameters())


def psnr(a_uint8: np.ndarray, b_uint8: np.ndarray) -> float:
    """Of a whole clip, in dB. Equal clips have none: raises ZeroDivisionError."""
    error = np.mean((a_uint8.astype(float) - b_uint8.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / error.item() if error else 1 / 0))


def ssim(a_uint8: np.ndarray, b_uint8: np.ndarray) -> float:
    """Mean over the frames [t, 3, H, W], as Wang et al. (2004) define it: Gaussian window of σ 1.5."""
    from skimage.metrics import structural_similarity

    same = {"channel_axis": 0, "data_range": 255, "gaussian_weights": True, "use_sample_covariance": False}
    return float(np.mean([structural_similarity(x, y, **same) for x, y in zip(a_uint8, b_uint8, strict=True)]))


@torch.inference_mode()
def perceptual(judge: Judge, a_uint8: torch.Tensor, b_uint8: torch.Tensor) -> np.ndarray:
    """Distance in the judge's features, place by place and frame by frame: 1 − cosine, averaged, [B]."""
    a, b = (nnf.normalize(judge.features(x[:, ::FRAME_STEP])[0]["places"].float(), dim=2) for x in (a_uint8, b_uint8))
    return (1 - (a * b).sum(2)).mean((1, 2)).cpu().numpy()


@torch.inference_mode()
def compare(
    profile: Profile, decoders: dict[str, nn.Module], judge: Judge, device
) -> tuple[pd.DataFrame, dict[str, np.ndarray], torch.Tensor]:
    """Scores, one row a (decoder, clip); a few frames of the first clip, original first; the last latents."""
    scenes, codec, rows, shown = split_scenes("heldout", profile, profile.studies.codec_clips), None, [], {}
    codec = decoders["full_vae"]
    for start in track(range(0, len(scenes), BATCH), "encode and decode"):
        original = pixel_pool(scenes[start : start + BATCH], profile, device)
        latents = codec.encode(original.float() / 255)
        for name, decoder in decoders.items():
            decoded = to_uint8(decoder.decode(latents))
            far = perceptual(judge, original, torch.from_numpy(decoded).to(device))
            for i, (a, b) in enumerate(zip(original.cpu().numpy(), decoded, strict=True)):
                rows.append((name, start + i, psnr(a, b), ssim(a, b), far[i]))
            if not start:
                shown |= {"original": original[0].cpu().numpy(), name: decoded[0]}
    columns = ["codec", "prompt", *MEASURES]
    return pd.DataFrame(rows, columns=columns).sort_values(columns[:2]), shown, latents[:1]


@torch.inference_mode()
def clock(profile: Profile, decoders: dict[str, nn.Module], latents: torch.Tensor, device) -> pd.DataFrame:
    """Seconds to decode one video, whole and chunk by chunk, turn by turn: one row a run."""
    rows, timing = [], profile.timing
    chunks = latents.split(profile.geometry.chunk_frames, dim=1)
    for turn in range(timing.warmups + timing.runs):
        for name, decoder in decoders.items():
            spans = Spans(device)
            with spans("whole"):
                decoder.decode(latents)
            stream = decoder.stream()
            with spans("streamed"):
                for chunk in chunks:
                    stream.push(chunk)
            if turn >= timing.warmups:
                rows.append({"codec": name} | spans.seconds())
    return pd.DataFrame(rows)


def measure(profile: Profile, checkpoints: Path, out: Path, device) -> None:
    """Write `<out>/{codecs.json,scores.csv,frames.npz}`."""
    checkpoints, out = Path(checkpoints), Path(out)
    judge = load_judge(checkpoints, device)
    decoders = {name: load_decoder(profile, kind, checkpoints, device) for name, kind in CODECS.items()}
    scores, shown, latents = compare(profile, decoders, judge, device)
    timed = clock(profile, decoders, latents, device)
    common = {
        "profile": profile.name,
        "seeds": [0],
        "metric_version": CODEC_VERSION,
        "weights": weights.hashes(checkpoints, ("judge", "vae", "tiny")),
        **records.provenance(device),
    }
    rng, geometry, rows = np.random.default_rng(profile.evaluation.seed), profile.geometry, []
    for name, decoder in decoders.items():

        def add(metric, value, low, high, n, unit, name=name):
            rows.append(
                records.Record(run_id=name, metric=metric, value=value, low=low, high=high, n=n, unit=unit, **common)
            )

        add("decoder_params", decoder_parameters(decoder) / 1e6, None, None, 1, "M")
        add("compression_height", geometry.spatial_compression, None, None, 1, "x")
        add("compression_width", geometry.spatial_compression, None, None, 1, "x")
        add("compression_time", geometry.temporal_compression, None, None, 1, "x")
        mine = scores[scores["codec"] == name].assign(seed=0)
        for metric, unit in MEASURES.items():
            value, low, high, n = interval(mine, metric, rng, profile.evaluation.bootstrap)
            add(metric, value, low, high, n, unit)
        for metric, column in (("decoding_s", "whole"), ("streamed_s", "streamed")):
            low, value, high = (float(q) for q in timed.loc[timed["codec"] == name, column].quantile([0.25, 0.5, 0.75]))
            add(metric, value, low, high, profile.timing.runs, "s")
    index = np.linspace(0, geometry.frames - 1, SHOWN_FRAMES).round().astype(int)
    frames = np.stack([clip[index].transpose(0, 2, 3, 1) for clip in shown.values()])
    write_atomic(out / "scores.csv", lambda p: scores.to_csv(p, index=False, float_format="%.6g"))
    write_atomic(
        out / "frames.npz", lambda p: np.savez_compressed(p, frames=frames, rows=np.array(list(shown)), index=index)
    )
    records.write(out / "codecs.json", rows)
