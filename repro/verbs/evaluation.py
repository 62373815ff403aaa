"""Verbs that sample and measure one run, one system, or the measures themselves."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from repro.config import (
    REAL,
    for_run,
    load_profile,
    load_runs,
    load_students,
    load_systems,
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
    out_file,
    out_folder,
    row_of,
    student_run,
)

app = typer.Typer()


@app.command()
def check(profile: ProfileName = "mini"):
    """Validate the profile and every row of the sheets in config/."""
    from repro.sheets import check as check_sheets

    files = check_sheets(load_profile(profile))
    typer.echo(f"{profile}: {len(load_runs())} runs, {len(load_students())} students; all of {files} sheets valid")


@app.command()
def prompts(
    out: Annotated[Path, out_file("encoded prompts", ".safetensors")],
    checkpoints: Checkpoints,
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
):
    """Encode the held-out captions."""
    from repro.evaluation.sampling import write_prompts

    _torch(1, "cpu")
    write_prompts(load_profile(profile, evaluation=evaluation), checkpoints, out)


@app.command()
def evaluate(
    run: Annotated[str, typer.Option(help="run_id of runs.csv")],
    prompts: Prompts,
    checkpoints: Checkpoints,
    out: Annotated[Path, out_folder("folder for quality.json, scores.csv and frames.npz")],
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Generate the clips of one run and measure them: sixteen dimensions, their aggregates, distances to real clips."""
    from repro.evaluation.quality import evaluate as measure

    _torch(threads, device)
    row = row_of(load_runs(), run, "run", "runs.csv")
    config = for_run(load_profile(profile, evaluation=evaluation), row, load_students())
    measure(config, row, prompts, checkpoints, out, device)


@app.command()
def preview(
    source: Annotated[str, typer.Argument(help="real, reconstruction, teacher, or a checkpoint such as ode")],
    checkpoints: Checkpoints,
    out: Annotated[Path, out_file("contact sheet, its scores go beside it as .json", ".png")],
    profile: ProfileName = "mini",
    count: Annotated[int, typer.Option(min=2, help="held-out prompts")] = 16,
    steps: Annotated[int, typer.Option(min=0, help="Euler steps of the teacher; 0 takes the profile's")] = 0,
    run: RunName = "diagonal_4322222",
    decoder: Annotated[Literal["tiny", "full"], typer.Option(help="which decoder")] = "tiny",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Sample a model, write a contact sheet and print its scores."""
    from repro.evaluation.preview import preview as look

    _torch(threads, device)
    config = load_profile(profile)
    row = student_run(run).model_copy(update={"decoder": decoder})
    scores = look(config, source, row, checkpoints, count, steps or config.flow.teacher_steps, out, device)
    typer.echo(f"{source}: " + ", ".join(f"{k} {v:.4g}" for k, v in scores.items()))


@app.command()
def headroom(
    system: Annotated[str, typer.Argument(help="row of headroom.csv")],
    checkpoints: Checkpoints,
    out: Annotated[Path, out_folder("folder for headroom.json, scores.csv, draws.csv and frames.npz")],
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Distance of one system's clips to real ones, over many held-out prompts."""
    from repro.evaluation.headroom import measure

    _torch(threads, device)
    row = row_of(load_systems(), system, "system", "headroom.csv")
    run = row_of(load_runs(), row.run, "run", "runs.csv")
    measure(load_profile(profile, evaluation=evaluation), row, run, checkpoints, out, device)


@app.command()
def videos(
    checkpoints: Checkpoints,
    out: Annotated[Path, out_folder("folder for <prompt>.gif and README.md")],
    systems: Annotated[str, typer.Option(help="rows of headroom.csv, separated by commas, from left to right")],
    profile: ProfileName = "mini",
    count: Annotated[int, typer.Option(min=1, help="held-out prompts")] = 12,
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Clips of several systems side by side, as animations."""
    from repro.evaluation.videos import write_videos

    _torch(threads, device)
    known, runs = load_systems(), load_runs()
    rows = [row_of(known, name, "system", "headroom.csv") for name in systems.split(",")]
    pairs = [(row, row_of(runs, row.run, "run", "runs.csv")) for row in rows]
    write_videos(load_profile(profile), pairs, count, checkpoints, out, device)


@app.command()
def validity(
    checkpoints: Checkpoints,
    out: Annotated[Path, out_folder("folder for validity.json, five tables and frames.npz")],
    profile: ProfileName = "mini",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Score real clips under graded corruptions, and hold the judge against the renderer's truth."""
    from repro.evaluation.validity import measure

    _torch(threads, device)
    measure(load_profile(profile), checkpoints, out, device)


@app.command("time")
def time_runs(
    runs: Annotated[str, typer.Option(help="run_ids, separated by commas; they are interleaved")],
    prompts: Prompts,
    checkpoints: Checkpoints,
    out: Annotated[Path, out_folder("folder; <run_id>/timing.json each")],
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Time runs against each other in one process."""
    from repro.evaluation.timing import measure, write_records

    _torch(threads, device)
    config, known = load_profile(profile, evaluation=evaluation), load_runs()
    rows = [row_of(known, name, "run", "runs.csv") for name in dict.fromkeys(runs.split(","))]
    if any(row.student == REAL for row in rows):
        raise ReproError(f"run {REAL!r} renders its clips and has no time of its own: leave it out of --runs")
    write_records(config, rows, measure(config, rows, prompts, checkpoints, device), checkpoints, out, device)
