"""Copies what people read and what it rests on from a results folder into results/published/."""

import shutil
from pathlib import Path

from repro.errors import ReproError
from repro.files import write_atomic

WORLD_PARTS = (
    "metrics.csv",
    "tables/*",
    "figures/*.png",
    "notebooks/*.ipynb",
    "runs/*/quality.json",
    "runs/*/timing.json",
    "runs/*/scores.csv",
    "runs/*/chunks.csv",
    "runs/*/frames.npz",
    "validity/*.json",
    "validity/*.csv",
    "validity/frames.npz",
    "headroom/*/*.json",
    "headroom/*/*.csv",
    "headroom/*/frames.npz",
    "videos/*",
    "long/pace.*",
    "long/*/*",
    "search/*",
    "codecs/*",
    "story/*",
    "windows/*",
    "speed/*.json",
    "training/*/log.jsonl",
    "training/*/run.json",
    "cost/*.json",
    "real_clips/*.csv",
    "real_clips/*.md",
)
SPEED_PARTS = ("speed/*.json", "tables/*", "figures/*.png", "notebooks/*.ipynb")
USER_STUDY_PARTS = ("power/power.csv", "truth/truth.csv", "tables/*", "figures/*.png", "notebooks/*.ipynb")
PAPER_PARTS = ("tables/*", "figures/*.png", "notebooks/*.ipynb")
PARTS = {"world": WORLD_PARTS, "speed": SPEED_PARTS, "user_study": USER_STUDY_PARTS, "paper": PAPER_PARTS}
"""What a profile with a world publishes, one that is timed only, the user study, and the paper's audit and claims."""
OPTIONAL = ("training", "cost", "real_clips", "speed", "long", "search", "codecs", "story", "windows")
"""Parts of runs that trained, of targets that not every run asks for, or of a machine with a GPU."""
MAX_BYTES = 3_000_000


def publish(results: Path, out: Path, kind: str = "world") -> list[Path]:
    """Copy every file of a kind's `PARTS`; returns their paths in `out`. Checkpoints and clips are not copied.

    Raises ReproError where a part that every run makes is missing, or a file is too large for a repository.
    """
    results, found = Path(results), []
    for part in PARTS[kind]:
        files = sorted(p for p in results.glob(part) if p.is_file())
        if not files and not part.startswith(OPTIONAL):
            raise ReproError(f"{results} has no {part}: run the workflow first, snakemake --cores all publish")
        found += files
    large = [p for p in found if p.stat().st_size > MAX_BYTES]
    if large:
        raise ReproError(
            f"{large[0]} has {large[0].stat().st_size} bytes, more than {MAX_BYTES}: nothing was copied. Make "
            "it smaller, with fewer or smaller figures"
        )
    return [write_atomic(Path(out) / p.relative_to(results), lambda t, p=p: shutil.copyfile(p, t)) for p in found]
