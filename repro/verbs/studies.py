"""Verbs of the studies of inference."""

from pathlib import Path
from typing import Annotated

import typer

from repro.config import (
    REAL,
    for_run,
    load_long,
    load_profile,
    load_students,
)
from repro.device import prepare as _torch
from repro.errors import ReproError
from repro.verbs.options import (
    Checkpoints,
    Device,
    Evaluation,
    ProfileName,
    Prompts,
    RunName,
    Threads,
    out_folder,
    row_of,
    student_run,
)

app = typer.Typer()


@app.command()
def long(
    system: Annotated[str, typer.Argument(help="row of long.csv")],
    checkpoints: Checkpoints,
    out: Annotated[Path, out_folder("folder for long.json, scores.csv.gz, curves.csv, drift.csv, frames.npz")],
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Roll one system on for minutes: quality, saturation and motion against time, and their drift."""
    from repro.evaluation.long_video import measure

    _torch(threads, device)
    run, config = row_of(load_long(), system, "system", "long.csv"), load_profile(profile, evaluation=evaluation)
    measure(config if run.student == REAL else for_run(config, run, load_students()), run, checkpoints, out, device)


@app.command()
def pace(
    systems: Annotated[str, typer.Option(help="rows of long.csv, separated by commas")],
    checkpoints: Checkpoints,
    out: Annotated[Path, out_folder("folder for pace.csv and pace.json")],
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Latency and memory of every chunk of long videos."""
    from repro.evaluation.pace import measure

    _torch(threads, device)
    rows = {name: row_of(load_long(), name, "system", "long.csv") for name in systems.split(",")}
    if rendered := [name for name, run in rows.items() if run.student == REAL]:
        raise ReproError(f"system {rendered[0]!r} renders its clips and has no pace: leave it out of --systems")
    measure(load_profile(profile, evaluation=evaluation), list(rows.values()), checkpoints, out, device)


@app.command()
def windows(
    checkpoints: Checkpoints,
    out: Annotated[Path, out_folder("folder for windows.json, scores.csv.gz and latency.csv")],
    run: RunName = "diagonal_4322222",
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Attention windows of 3 to 27 latent frames, with and without a sink: quality, latency, memory (Table 4)."""
    from repro.evaluation.windows import measure

    _torch(threads, device)
    row, config = student_run(run), load_profile(profile, evaluation=evaluation)
    measure(for_run(config, row, load_students()), row, checkpoints, out, device)


@app.command()
def search(
    prompts: Prompts,
    checkpoints: Checkpoints,
    out: Annotated[Path, out_folder("folder for search.json, screened, probes and scores .csv.gz")],
    run: Annotated[str, typer.Option(help="row of runs.csv: student, cache and window")] = "diagonal_4322222",
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Search all schedules for the best at every number of forwards, and time the finalists."""
    from repro.evaluation.search import measure

    _torch(threads, device)
    row = student_run(run)
    measure(load_profile(profile, evaluation=evaluation), row, prompts, checkpoints, out, device)


@app.command()
def codecs(
    checkpoints: Checkpoints,
    out: Annotated[Path, out_folder("folder for codecs.json, scores.csv and frames.npz")],
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """The full decoder and the tiny one on held-out clips: size, speed, fidelity."""
    from repro.evaluation.codecs import measure

    _torch(threads, device)
    measure(load_profile(profile, evaluation=evaluation), checkpoints, out, device)


@app.command()
def story(
    checkpoints: Checkpoints,
    out: Annotated[Path, out_folder("folder for story.json, scores.csv.gz and frames.npz")],
    runs: Annotated[str, typer.Option(help="rows of runs.csv, separated by commas")] = "diagonal_4322222",
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Tell config/story.csv, whose prompts change on the way, with and without recaching."""
    from repro.evaluation.story import measure

    _torch(threads, device)
    rows = [student_run(name) for name in runs.split(",")]
    measure(load_profile(profile, evaluation=evaluation), rows, checkpoints, out, device)
