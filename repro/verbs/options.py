"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

from repro.config import (
    EvaluationSize,
)
from repro.errors import ReproError

ProfileName = Annotated[str, typer.Option("--profile", help="mini, smoke or wan: a file of config/")]


Checkpoints = Annotated[Path, typer.Option("--checkpoints", help="folder of the .safetensors files")]


Prompts = Annotated[Path, typer.Option("--prompts", help="encoded prompts, made by the verb `prompts`")]


Device = Annotated[str, typer.Option("--device", help="cpu or cuda")]


Threads = Annotated[int, typer.Option("--threads", help="CPU threads; 0 leaves PyTorch's choice")]


Evaluation = Annotated[
    EvaluationSize, typer.Option("--evaluation", help="prompts and training seeds, as the profile says")
]


def row_of(rows: dict, key: str, kind: str, file: str):
    if key not in rows:
        raise ReproError(f"no {kind} {key!r} in config/{file}; it has {', '.join(rows)}")
    return rows[key]


RunName = Annotated[str, typer.Option("--run", help="row of runs.csv: student, cache, window, decoder")]
