"""`python -m repro scaling …`: what more GPUs give, with random weights. Measured under torchrun, tabled without."""

from pathlib import Path
from typing import Annotated

import typer

from repro.config import load_scale, load_students
from repro.device import prepare
from repro.errors import ReproError
from repro.verbs.options import Device, ProfileName, Threads, out_file, out_folder

app = typer.Typer(no_args_is_help=True, help="What more GPUs give: training and generation at paper scale.")

Out = Annotated[Path, out_file("records", ".json")]


def _prepared(threads: int, device: str) -> None:
    from repro.training import distributed

    if not distributed.launched():
        raise ReproError("this verb counts the GPUs that torchrun gives it: torchrun --nproc-per-node 1 -m repro …")
    prepare(threads, device)


@app.command()
def iteration(
    out: Out,
    profile: ProfileName = "wan",
    student: Annotated[str, typer.Option(help="row of students.csv that trains on its own rollouts")] = "diagonal",
    videos: Annotated[int, typer.Option(min=1, help="videos a GPU in an iteration, one at a time")] = 1,
    iterations: Annotated[int, typer.Option(min=1, help="timed ones, after one to warm up")] = 3,
    compiled: Annotated[bool, typer.Option("--compiled/--eager", help="compile the blocks' halves")] = True,
    device: Device = "cuda",
    threads: Threads = 0,
):
    """Time whole distillation iterations; after each, the records of the ones so far are written."""
    from repro.evaluation.scaling.iteration import measure
    from repro.training import distributed

    known = load_students()
    if student not in known or not known[student].rolls_out:
        rows = ", ".join(name for name, row in known.items() if row.rolls_out)
        raise ReproError(f"no student {student!r} in config/students.csv that trains on its own rollouts: {rows}")
    _prepared(threads, device)
    with distributed.joined(device) as own:
        settings = {"videos": videos, "iterations": iterations, "compiled": compiled}
        measure(load_scale(profile), student, out, own, **settings)


@app.command()
def generation(
    out: Out,
    profile: ProfileName = "wan",
    row: Annotated[str, typer.Option(help="row of speed.csv, of table5")] = "diagonal_4322222",
    videos: Annotated[int, typer.Option(min=1, help="videos a GPU, after one to warm up")] = 8,
    engine: Annotated[str, typer.Option(help="row of engines.csv")] = "fast",
    device: Device = "cuda",
    threads: Threads = 0,
):
    """Time the generation of videos, a shard a GPU."""
    from repro.evaluation.scaling.generation import measure
    from repro.training import distributed

    _prepared(threads, device)
    with distributed.joined(device) as own:
        measure(load_scale(profile), row, out, own, videos=videos, engine=engine)


@app.command()
def table(
    folder: Annotated[Path, typer.Option("--records", help="folder of records that the other two wrote")],
    out: Annotated[Path, out_folder("folder for tables/scaling.{csv,md,html,tex}")],
):
    """Efficiencies from the records of one GPU and of more, and what 64 would take for VBench's videos."""
    from repro.reporting.scaling import build

    for path in build(folder, out):
        typer.echo(path)
