"""Verbs that train, and that say what training costs."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from repro.config import (
    load_profile,
    load_students,
)
from repro.device import prepare as _torch
from repro.errors import ReproError
from repro.verbs.options import (
    Checkpoints,
    Device,
    ProfileName,
    Seed,
    Threads,
    out_file,
    out_folder,
    row_of,
    seconds_option,
)

app = typer.Typer()


class Stage(StrEnum):
    judge = "judge"
    vae = "vae"
    tiny = "tiny"
    teacher = "teacher"
    ode = "ode"
    student = "student"


@app.command()
def train(
    stage: Stage,
    checkpoints: Checkpoints,
    work: Annotated[Path, typer.Option("--work", help="folder for training state and logs")],
    profile: ProfileName = "mini",
    student: Annotated[str, typer.Option(help="row of students.csv (stage student)")] = "diagonal",
    seed: Seed = 0,
    device: Device = "cpu",
    threads: Threads = 0,
    max_seconds: Annotated[
        float | None, seconds_option("stop with a checkpoint after training so long, data made before")
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="where the state in WORK is of other settings, another seed or other checkpoints, move it to earlier/ "
            "beside it and start over, or go on with what was moved there of this one",
        ),
    ] = False,
):
    """Train one stage; killed or stopped, the same command goes on where it was.

    Under torchrun (`torchrun --nproc-per-node 2 -m repro train student …`) a student is trained by several
    processes, one a GPU.
    """
    from repro.files import require_writable
    from repro.training import distributed
    from repro.training.loop import Piece

    for folder in (work, checkpoints):
        require_writable(folder)
    _torch(threads, device)
    config = load_profile(profile)
    if distributed.launched() and stage is not Stage.student:
        raise ReproError(f"stage {stage} is trained by one process: start it without torchrun")
    if distributed.launched() and restart:
        raise ReproError("--restart is for one process: under torchrun delete the state that is in the way")
    match stage:
        case Stage.judge:
            from repro.training.judge import train_judge as function
        case Stage.vae:
            from repro.training.autoencoder import train_vae as function
        case Stage.tiny:
            from repro.training.autoencoder import train_tiny as function
        case Stage.teacher:
            from repro.training.teacher import train_teacher as function
        case Stage.ode:
            from repro.training.ode_init import train_ode as function
        case Stage.student:
            from repro.training.student import train_student

            function = partial(train_student, row=row_of(load_students(), student, "student", "students.csv"))
    with distributed.joined(device) as own:
        piece = Piece(seed, own, max_seconds, restart)
        done = function(config, checkpoints=checkpoints, work=work, piece=piece)
        if distributed.rank() == 0:
            typer.echo(f"{stage}: {'finished' if done else 'stopped by --max-seconds; run again to go on'}")


@app.command()
def iterations(
    out: Annotated[Path, out_file("records", ".json")],
    profile: ProfileName = "mini",
    stages: Annotated[str, typer.Option(help="stages or students, separated by commas; Table 5's when not given")] = "",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Count the FLOPs of a training iteration of every stage, and time a few on the device."""
    from repro.evaluation.training_cost import FIXED_STAGES, write_measured
    from repro.evaluation.training_cost import stages as shown

    _torch(threads, device)
    names = stages.split(",") if stages else shown()
    for name in names:
        row_of(dict.fromkeys([*FIXED_STAGES, *load_students()]), name, "stage", "students.csv")
    write_measured(load_profile(profile), names, out, device)


@app.command()
def cost(
    logs: Annotated[Path, typer.Option(help="folder with <stage>/log.jsonl of every stage")],
    measured: Annotated[list[Path], typer.Option(help="records of the verb `iterations`, one file a device")],
    out: Annotated[Path, out_folder("folder for tables/cost.{csv,md,html,tex} and cost/*.json")],
    profile: ProfileName = "mini",
):
    """What training costs: the logs' wall time, counted FLOPs, and estimates from measured iterations."""
    from repro.reporting.cost import build

    build(load_profile(profile), logs, measured, out)
