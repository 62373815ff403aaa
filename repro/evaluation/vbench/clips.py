"""VBench-Long cuts a video into clips of some seconds, and scores those: the same cut (its split_video_into_clips)."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from repro.evaluation.vbench.check import probe, read_clip
from repro.files import write_atomic


def cuts(frames: int, length: int) -> list[range]:
    """Frames of each clip. A rest at the end borrows from before it; a video shorter than a clip is one clip."""
    if frames < length:
        return [range(frames)]
    whole = [range(start, start + length) for start in range(0, frames - length + 1, length)]
    return whole if frames % length == 0 else [*whole, range(frames - length, frames)]


def write_clip(path: Path, frames_FCHW: np.ndarray, fps: int) -> Path:
    """H.264 at x264's default quality, as VBench-Long writes its clips: it measures them encoded once more."""
    import av

    def write(temporary: Path) -> None:
        with av.open(str(temporary), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(fps))
            stream.height, stream.width = frames_FCHW.shape[-2:]
            stream.pix_fmt = "yuv420p"
            for frame in frames_FCHW.transpose(0, 2, 3, 1):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
            container.mux(stream.encode())

    return write_atomic(path, write)


def split(video: Path, seconds: int, folder: Path) -> list[Path]:
    """Clips `<folder>/<seconds>s/<name>_000.mp4` …; those that are younger than the video stay."""
    seen = probe(video)
    fps = int(seen.fps)
    parts = cuts(seen.frames, fps * seconds)
    paths = [Path(folder) / f"{seconds}s" / f"{video.stem}_{i:03d}.mp4" for i in range(len(parts))]
    age = video.stat().st_mtime_ns
    if not all(p.is_file() and p.stat().st_mtime_ns >= age for p in paths):
        frames = read_clip(video)
        for path, part in zip(paths, parts, strict=True):
            write_clip(path, frames[part.start : part.stop], fps)
    return paths
