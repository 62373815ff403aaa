"""Verbs that time, at paper scale above all."""

from pathlib import Path
from typing import Annotated

import typer

from repro.config import (
    load_scale,
)
from repro.device import prepare as _torch
from repro.errors import ReproError
from repro.verbs.options import Device, ProfileName, Threads, out_file, seconds_option

app = typer.Typer()


@app.command()
def preflight(
    profile: ProfileName = "wan",
    folder: Annotated[Path, typer.Option("--weights", help="folder of published weights (wan)")] = Path("weights"),
    checkpoints: Annotated[Path | None, typer.Option(help="folder of checkpoints (mini); the shipped one")] = None,
):
    """List weights that are there, missing or broken, where to get them, and what each paper table needs."""
    from rich.console import Console

    from repro import preflight as look

    match profile:
        case "wan":
            look.wan(folder, Console())
        case "mini":
            look.mini(checkpoints or look.SHIPPED, Console())
        case _:
            raise ReproError(f"preflight knows the profiles wan and mini, not {profile!r}: others train their own")


@app.command()
def speed(
    out: Annotated[Path, out_file("records", ".json")],
    tables: Annotated[
        str, typer.Option(help="table1 … table8, ladder, or several with commas: their rows, interleaved")
    ],
    rows: Annotated[str, typer.Option(help="rows of these tables, separated by commas; all when not given")] = "",
    profile: ProfileName = "wan",
    engine: Annotated[str, typer.Option(help="row of engines.csv, for the rows that name none")] = "fast",
    device: Device = "cuda",
    threads: Threads = 0,
):
    """Time rows of speed.csv with random weights: speed does not depend on their values.

    The records are written after every video, so that those of an interrupted call are kept.
    """
    from repro.evaluation.speed import write_measured
    from repro.evaluation.speed_rows import rows_of

    _torch(threads, device)
    chosen = rows_of(tables.split(","), rows.split(",") if rows else None)
    write_measured(load_scale(profile), chosen, engine, out, device)


@app.command()
def bench(
    schedule: Annotated[str, typer.Option(help="steps of every chunk, such as 4322222")] = "4322222",
    window: Annotated[int, typer.Option(min=1, help="latent frames, the current chunk included")] = 12,
    chunk: Annotated[int, typer.Option(min=1, help="latent frames of a chunk")] = 3,
    cache: Annotated[str, typer.Option(help="diagonal, or self for a clean cache pass after every chunk")] = "diagonal",
    decoder: Annotated[str, typer.Option(help="tiny or full")] = "tiny",
    engine: Annotated[str, typer.Option(help="row of engines.csv; its precision too")] = "",
    profile: Annotated[str, typer.Option(help="scale; wan on a GPU and mini elsewhere when not given")] = "",
    frames: Annotated[int, typer.Option(help="video frames; 0 takes the profile's")] = 0,
    out: Annotated[Path | None, out_file("records", ".json")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda; a GPU where there is one when not given")] = "",
    threads: Threads = 0,
):
    """Time one configuration with random weights on this machine: a table, and records if asked."""
    import torch

    from repro.evaluation.speed import bench as measure

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    cuda = device.startswith("cuda")
    _torch(threads, device)
    fields = {
        "cache": cache,
        "schedule": schedule,
        "window_frames": window,
        "chunk_frames": chunk,
        "decoder": decoder,
        "frames": frames or None,
        "engine": engine or ("fast" if cuda else "eager"),
    }
    measure(load_scale(profile or ("wan" if cuda else "mini")), fields, out, device)


@app.command()
def numerics(
    out: Annotated[Path, out_file("records", ".json")],
    engines: Annotated[str, typer.Option(help="rows of engines.csv, separated by commas")] = "eager,fast,fp8",
    profile: ProfileName = "wan",
    seconds: Annotated[float, seconds_option("length of the long roll")] = 45.0,
    device: Device = "cuda",
    threads: Threads = 0,
):
    """What engines change in the numbers: their errors against the plain model in fp32, on the same latents."""
    from repro.evaluation.numerics import write_measured

    _torch(threads, device)
    write_measured(load_scale(profile), engines.split(","), seconds, out, device)
