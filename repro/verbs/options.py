"""Options that several verbs share."""

import math
from pathlib import Path
from typing import Annotated

import typer

from repro.config import EvaluationSize, Run, load_runs
from repro.errors import ReproError
from repro.files import require_writable

ProfileName = Annotated[str, typer.Option("--profile", help="mini, smoke or wan: a file of config/")]


Checkpoints = Annotated[Path, typer.Option("--checkpoints", help="folder of the .safetensors files")]


Prompts = Annotated[Path, typer.Option("--prompts", help="encoded prompts, made by the verb `prompts`")]


Device = Annotated[str, typer.Option("--device", help="cpu or cuda")]


Threads = Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0 leaves PyTorch's choice")]


def out_folder(told: str):
    """An option for a folder to write to, tried before any work."""

    def tried(folder: Path) -> Path:
        require_writable(folder)
        return folder

    return typer.Option(help=told, callback=tried)


def out_file(told: str, suffix: str):
    """The same for a file, whose name must end in `suffix`."""

    def tried(path: Path | None) -> Path | None:
        if path is not None:
            if path.suffix != suffix or path.is_dir():
                raise ReproError(f"{path} is no name for a {suffix} file: give one such as result{suffix}")
            require_writable(path.parent)
        return path

    return typer.Option(help=f"{told}, {suffix}", callback=tried)


def _positive(value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise ReproError(f"{value:g} seconds are no length of time: give a number above 0")
    return value


def seconds_option(told: str):
    """An option for a time in seconds, finite and above 0."""
    return typer.Option(help=told, callback=_positive)


Evaluation = Annotated[
    EvaluationSize, typer.Option("--evaluation", help="prompts and training seeds, as the profile says")
]


def row_of(rows: dict, key: str, kind: str, file: str):
    if key not in rows:
        raise ReproError(f"no {kind} {key!r} in config/{file}; it has {', '.join(rows)}")
    return rows[key]


def student_run(name: str) -> Run:
    """A row of runs.csv that rolls out a student. Raises ReproError for any other."""
    row = row_of(load_runs(), name, "run", "runs.csv")
    if row.sampler != "rollout":
        raise ReproError(
            f"run {name!r} of config/runs.csv does not roll out a student, its sampler is {row.sampler}: take one such "
            "as diagonal_4322222"
        )
    return row


Seed = Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, help="of the random numbers")]


RunName = Annotated[str, typer.Option("--run", help="row of runs.csv: student, cache, window, decoder")]
