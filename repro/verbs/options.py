"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

from repro.config import EvaluationSize, Run, load_runs
from repro.errors import ReproError

ProfileName = Annotated[str, typer.Option("--profile", help="mini, smoke or wan: a file of config/")]


Checkpoints = Annotated[Path, typer.Option("--checkpoints", help="folder of the .safetensors files")]


Prompts = Annotated[Path, typer.Option("--prompts", help="encoded prompts, made by the verb `prompts`")]


Device = Annotated[str, typer.Option("--device", help="cpu or cuda")]


Threads = Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0 leaves PyTorch's choice")]


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


Seed = Annotated[int, typer.Option("--seed", min=0, help="of the random numbers")]


RunName = Annotated[str, typer.Option("--run", help="row of runs.csv: student, cache, window, decoder")]
