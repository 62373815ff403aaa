"""Verbs that make videos for people."""

from pathlib import Path
from typing import Annotated

import typer

from repro.config import load_scale
from repro.device import prepare as _torch
from repro.errors import ReproError
from repro.verbs.options import Device, ProfileName, RunName, Seed, Threads, out_file, row_of, student_run

app = typer.Typer()


Shipped = Annotated[Path, typer.Option("--checkpoints", help="folder of the .safetensors files (mini)")]


Weights = Annotated[Path, typer.Option("--weights", help="folder of published weights (wan)")]


Model = Annotated[str, typer.Option("--model", help="published transformer (wan): self_forcing, longlive or causvid")]


EngineName = Annotated[str, typer.Option("--engine", help="row of engines.csv")]


SHIPPED = Path("results/published/mini/checkpoints")


def _studio(profile: str, run, checkpoints: Path, folder: Path, model: str, engine: str, device: str):
    """What makes videos at a scale: with a world from its checkpoints, without one from published weights."""
    from repro.config import Profile
    from repro.engine.options import load_engines
    from repro.generation.studio import open_published, open_world

    scale, options = load_scale(profile), row_of(load_engines(), engine, "engine", "engines.csv")
    if isinstance(scale, Profile):
        return open_world(scale, run, checkpoints, device, options)
    return open_published(scale, run, model, folder, device, options)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="a caption; --prompts takes its place")] = "",
    out: Annotated[Path, out_file("video to write", ".mp4")] = Path("clip.mp4"),
    prompts: Annotated[
        Path | None, typer.Option(help="lines `second,prompt`: prompts that change as it goes on")
    ] = None,
    recache: Annotated[bool, typer.Option(help="at a new prompt, compute the window's cache again under it")] = False,
    run: RunName = "diagonal_4322222",
    schedule: Annotated[str, typer.Option(help="steps of every chunk; the row's when not given")] = "",
    cycle: Annotated[bool, typer.Option(help="repeat the schedule, not its last digit, in a long video")] = False,
    seconds: Annotated[
        float, typer.Option(help="length, rounded up to whole chunks; 0 ends a clip after the last prompt begins")
    ] = 0.0,
    seed: Seed = 0,
    scale: Annotated[
        int, typer.Option(min=0, max=64, help="enlarge each pixel so often; 0 makes small ones large")
    ] = 0,
    crf: Annotated[int, typer.Option(min=0, max=51, help="compression; 18 hardly loses anything")] = 18,
    profile: ProfileName = "mini",
    checkpoints: Shipped = SHIPPED,
    weights: Weights = Path("weights"),
    model: Model = "self_forcing",
    engine: EngineName = "eager",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Make a video from a prompt, written chunk by chunk."""
    from repro.generation.film import Cue, film, frames_for, read_cues

    if bool(prompt.strip()) == (prompts is not None):
        raise ReproError("give one prompt, such as 'a small red star moves left over stripes', or --prompts FILE")
    _torch(threads, device)
    cues = read_cues(prompts) if prompts else [Cue(0.0, prompt)]
    row = student_run(run)
    geometry = load_scale(profile).geometry.with_chunk_frames(row.chunk_frames)
    frames = frames_for(geometry, seconds or cues[-1].second + geometry.frames / geometry.fps)
    rolled = geometry.resized(frames=frames)
    # A short video takes as much of the row's schedule as it has chunks.
    row = row.model_copy(update={"schedule": schedule or row.schedule[: rolled.chunks], "cycle": cycle})
    row.schedule_for(rolled)
    studio = _studio(profile, row, checkpoints, weights, model, engine, device)
    scale = scale or geometry.enlargement
    typer.echo(film(studio, cues, out, frames=frames, seed=seed, scale=scale, crf=crf, recaches=recache))


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="0.0.0.0 shows the page to the whole network")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    run: RunName = "diagonal_4322222",
    profile: ProfileName = "mini",
    checkpoints: Shipped = SHIPPED,
    weights: Weights = Path("weights"),
    model: Model = "self_forcing",
    engine: EngineName = "eager",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """A page that shows a video while it is made, and takes new prompts on the way."""
    from repro.web.server import make_server

    _torch(threads, device)
    row = student_run(run)
    server = make_server(_studio(profile, row, checkpoints, weights, model, engine, device), host, port)
    typer.echo(f"http://{host}:{server.server_address[1]}  (Ctrl+C ends it)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
