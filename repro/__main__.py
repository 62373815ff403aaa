"""`python -m repro <verb>`: the workflow's jobs, one verb each. Heavy imports live inside the verbs."""

import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from repro.config import (
    REAL,
    EvaluationSize,
    check_all,
    for_run,
    load_long,
    load_profile,
    load_runs,
    load_scale,
    load_students,
    load_systems,
)
from repro.device import prepare as _torch
from repro.errors import ReproError
from repro.evaluation.scaling.verbs import app as scaling
from repro.evaluation.vbench.verbs import app as vbench
from repro.sources import load_needs
from repro.user_study.cli import app as user_study

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
app.add_typer(user_study, name="user-study")
app.add_typer(vbench, name="vbench")
app.add_typer(scaling, name="scaling")


ProfileName = Annotated[str, typer.Option("--profile", help="mini, smoke or wan: a file of config/")]
Checkpoints = Annotated[Path, typer.Option("--checkpoints", help="folder of the .safetensors files")]
Prompts = Annotated[Path, typer.Option("--prompts", help="encoded prompts, made by the verb `prompts`")]
Device = Annotated[str, typer.Option("--device", help="cpu or cuda")]
Threads = Annotated[int, typer.Option("--threads", help="CPU threads; 0 leaves PyTorch's choice")]
Evaluation = Annotated[
    EvaluationSize, typer.Option("--evaluation", help="prompts and training seeds, as the profile says")
]


class Stage(StrEnum):
    judge = "judge"
    vae = "vae"
    tiny = "tiny"
    teacher = "teacher"
    ode = "ode"
    student = "student"


def _row(rows: dict, key: str, kind: str, file: str):
    if key not in rows:
        raise ReproError(f"no {kind} {key!r} in config/{file}; it has {', '.join(rows)}")
    return rows[key]


@app.command()
def check(profile: ProfileName = "mini"):
    """Validate the profile and every row of the sheets in config/."""
    check_all(load_profile(profile))
    load_needs()
    typer.echo(f"{profile}: {len(load_runs())} runs, {len(load_students())} students, all valid")


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
def train(
    stage: Stage,
    checkpoints: Checkpoints,
    work: Annotated[Path, typer.Option("--work", help="folder for training state and logs")],
    profile: ProfileName = "mini",
    student: Annotated[str, typer.Option(help="row of students.csv (stage student)")] = "diagonal",
    seed: int = 0,
    device: Device = "cpu",
    threads: Threads = 0,
    max_seconds: Annotated[float | None, typer.Option(help="stop with a checkpoint after this long")] = None,
):
    """Train one stage; killed or stopped, the same command goes on where it was.

    Under torchrun (`torchrun --nproc-per-node 2 -m repro train student …`) a student is trained by several
    processes, one a GPU.
    """
    from repro.files import require_writable
    from repro.training import distributed

    for folder in (work, checkpoints):
        require_writable(folder)
    _torch(threads, device)
    config = load_profile(profile)
    if distributed.launched() and stage is not Stage.student:
        raise ReproError(f"stage {stage} is trained by one process: start it without torchrun")
    arguments = {"seed": seed, "max_seconds": max_seconds}
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

            function = partial(train_student, row=_row(load_students(), student, "student", "students.csv"))
    with distributed.joined(device) as own:
        done = function(config, checkpoints=checkpoints, work=work, device=own, **arguments)
        if distributed.rank() == 0:
            typer.echo(f"{stage}: {'finished' if done else 'stopped by --max-seconds; run again to go on'}")


@app.command()
def prompts(
    out: Annotated[Path, typer.Option()],
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
    out: Annotated[Path, typer.Option(help="folder for quality.json, scores.csv and frames.npz")],
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Generate the clips of one run and measure them: sixteen dimensions, their aggregates, distances to real clips."""
    from repro.evaluation.quality import evaluate as measure

    _torch(threads, device)
    row = _row(load_runs(), run, "run", "runs.csv")
    config = for_run(load_profile(profile, evaluation=evaluation), row, load_students())
    measure(config, row, prompts, checkpoints, out, device)


@app.command()
def preview(
    source: Annotated[str, typer.Argument(help="real, reconstruction, teacher, or a checkpoint such as ode")],
    checkpoints: Checkpoints,
    out: Annotated[Path, typer.Option(help="contact sheet, .png; the scores go beside it as .json")],
    profile: ProfileName = "mini",
    count: Annotated[int, typer.Option(help="held-out prompts")] = 16,
    steps: Annotated[int, typer.Option(help="Euler steps of the teacher; 0 takes the profile's")] = 0,
    run: Annotated[str, typer.Option(help="row of runs.csv that a causal checkpoint generates by")] = (
        "diagonal_4322222"
    ),
    decoder: Annotated[str, typer.Option(help="tiny or full")] = "tiny",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Sample a model, write a contact sheet and print its scores."""
    from repro.evaluation.preview import preview as look

    _torch(threads, device)
    config = load_profile(profile)
    row = _row(load_runs(), run, "run", "runs.csv").model_copy(update={"decoder": decoder})
    scores = look(config, source, row, checkpoints, count, steps or config.flow.teacher_steps, out, device)
    typer.echo(f"{source}: " + ", ".join(f"{k} {v:.4g}" for k, v in scores.items()))


@app.command()
def headroom(
    system: Annotated[str, typer.Argument(help="row of headroom.csv")],
    checkpoints: Checkpoints,
    out: Annotated[Path, typer.Option(help="folder for headroom.json, scores.csv, draws.csv and frames.npz")],
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Distance of one system's clips to real ones, over many held-out prompts."""
    from repro.evaluation.headroom import measure

    _torch(threads, device)
    row = _row(load_systems(), system, "system", "headroom.csv")
    run = _row(load_runs(), row.run, "run", "runs.csv")
    measure(load_profile(profile, evaluation=evaluation), row, run, checkpoints, out, device)


@app.command()
def videos(
    checkpoints: Checkpoints,
    out: Annotated[Path, typer.Option(help="folder for <prompt>.gif and README.md")],
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
    rows = [_row(known, name, "system", "headroom.csv") for name in systems.split(",")]
    pairs = [(row, _row(runs, row.run, "run", "runs.csv")) for row in rows]
    write_videos(load_profile(profile), pairs, count, checkpoints, out, device)


@app.command()
def long(
    system: Annotated[str, typer.Argument(help="row of long.csv")],
    checkpoints: Checkpoints,
    out: Annotated[Path, typer.Option(help="folder for long.json, scores.csv.gz, curves.csv, drift.csv, frames.npz")],
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Roll one system on for minutes: quality, saturation and motion against time, and their drift."""
    from repro.evaluation.long_video import measure

    _torch(threads, device)
    run, config = _row(load_long(), system, "system", "long.csv"), load_profile(profile, evaluation=evaluation)
    measure(config if run.student == REAL else for_run(config, run, load_students()), run, checkpoints, out, device)


@app.command()
def pace(
    systems: Annotated[str, typer.Option(help="rows of long.csv, separated by commas")],
    checkpoints: Checkpoints,
    out: Annotated[Path, typer.Option(help="folder for pace.csv and pace.json")],
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Latency and memory of every chunk of long videos."""
    from repro.evaluation.pace import measure

    _torch(threads, device)
    rows = [_row(load_long(), name, "system", "long.csv") for name in systems.split(",")]
    measure(load_profile(profile, evaluation=evaluation), rows, checkpoints, out, device)


@app.command()
def long_table(
    videos: Annotated[Path, typer.Option("--long", help="folder of the verbs `long` and `pace`")],
    out: Annotated[Path, typer.Option(help="folder for tables/long.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """What changes in long videos as they go on, and what their chunks cost."""
    from repro.reporting.long_video import build

    build(videos, profile, out)


@app.command()
def search(
    prompts: Prompts,
    checkpoints: Checkpoints,
    out: Annotated[Path, typer.Option(help="folder for search.json, screened, probes and scores .csv.gz")],
    run: Annotated[str, typer.Option(help="row of runs.csv: student, cache and window")] = "diagonal_4322222",
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Search all schedules for the best at every number of forwards, and time the finalists."""
    from repro.evaluation.search import measure

    _torch(threads, device)
    row = _row(load_runs(), run, "run", "runs.csv")
    measure(load_profile(profile, evaluation=evaluation), row, prompts, checkpoints, out, device)


@app.command()
def search_table(
    search: Annotated[Path, typer.Option(help="folder that the verb `search` wrote")],
    out: Annotated[Path, typer.Option(help="folder for tables/search.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """The finalists and their front, monotone schedules against others, and what a step is worth where."""
    from repro.reporting.search import build

    build(search, profile, out)


@app.command()
def codecs(
    checkpoints: Checkpoints,
    out: Annotated[Path, typer.Option(help="folder for codecs.json, scores.csv and frames.npz")],
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
def codecs_table(
    codecs: Annotated[Path, typer.Option(help="folder that the verb `codecs` wrote")],
    out: Annotated[Path, typer.Option(help="folder for tables/table8.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """Table 8 beside the paper's numbers."""
    from repro.reporting.codecs import build

    build(codecs, profile, out)


@app.command()
def story(
    checkpoints: Checkpoints,
    out: Annotated[Path, typer.Option(help="folder for story.json, scores.csv.gz, frames.npz and story.mp4")],
    runs: Annotated[str, typer.Option(help="rows of runs.csv, separated by commas")] = "diagonal_4322222",
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Tell config/story.csv, whose prompts change on the way, with and without recaching."""
    from repro.evaluation.story import measure

    _torch(threads, device)
    rows = [_row(load_runs(), name, "run", "runs.csv") for name in runs.split(",")]
    measure(load_profile(profile, evaluation=evaluation), rows, checkpoints, out, device)


@app.command()
def story_table(
    story: Annotated[Path, typer.Option(help="folder that the verb `story` wrote")],
    out: Annotated[Path, typer.Option(help="folder for tables/story.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """Text alignment of every part of the story, and how smooth the changes are."""
    from repro.reporting.story import build

    build(story, profile, out)


@app.command("headroom-table")
def headroom_table(
    systems: Annotated[Path, typer.Option(help="folder of the verb `headroom`, <system>/headroom.json each")],
    out: Annotated[Path, typer.Option(help="folder for tables/headroom.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """Systems side by side, and the targets of headroom_targets.csv with verdicts."""
    from repro.reporting.headroom import build

    build(systems, profile, out)


@app.command()
def validity(
    checkpoints: Checkpoints,
    out: Annotated[Path, typer.Option(help="folder for validity.json, five tables and frames.npz")],
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
    out: Annotated[Path, typer.Option(help="folder; <run_id>/timing.json each")],
    profile: ProfileName = "mini",
    evaluation: Evaluation = "default",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Time runs against each other in one process."""
    from repro.evaluation.timing import measure, write_records

    _torch(threads, device)
    config, known = load_profile(profile, evaluation=evaluation), load_runs()
    rows = [_row(known, r, "run", "runs.csv") for r in runs.split(",")]
    write_records(config, rows, measure(config, rows, prompts, checkpoints, device), checkpoints, out, device)


@app.command()
def speed(
    out: Annotated[Path, typer.Option(help="records, .json")],
    tables: Annotated[
        str, typer.Option(help="table1 … table8, ladder, or several with commas: their rows, interleaved")
    ],
    profile: ProfileName = "wan",
    engine: Annotated[str, typer.Option(help="row of engines.csv, for the rows that name none")] = "fast",
    device: Device = "cuda",
    threads: Threads = 0,
):
    """Time rows of speed.csv with random weights: speed does not depend on their values."""
    from repro.evaluation.speed import rows_of, write_measured
    from repro.files import require_writable

    require_writable(out.parent)
    _torch(threads, device)
    write_measured(load_scale(profile), rows_of(tables.split(",")), engine, out, device)


RunName = Annotated[str, typer.Option("--run", help="row of runs.csv: student, cache, window, decoder")]
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

    scale, options = load_scale(profile), _row(load_engines(), engine, "engine", "engines.csv")
    if isinstance(scale, Profile):
        return open_world(scale, run, checkpoints, device, options)
    return open_published(scale, run, model, folder, device, options)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="a caption; --prompts takes its place")] = "",
    out: Annotated[Path, typer.Option(help="video to write, .mp4")] = Path("clip.mp4"),
    prompts: Annotated[
        Path | None, typer.Option(help="lines `second,prompt`: prompts that change as it goes on")
    ] = None,
    recache: Annotated[bool, typer.Option(help="at a new prompt, compute the window's cache again under it")] = False,
    run: RunName = "diagonal_4322222",
    schedule: Annotated[str, typer.Option(help="steps of every chunk; the row's when not given")] = "",
    cycle: Annotated[bool, typer.Option(help="repeat the schedule, not its last digit, in a long video")] = False,
    seconds: Annotated[float, typer.Option(help="length, rounded up to whole chunks; 0 takes the profile's")] = 0.0,
    seed: int = 0,
    scale: Annotated[int, typer.Option(min=0, help="enlarge each pixel so many times; 0 makes small ones large")] = 0,
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

    if bool(prompt) == (prompts is not None):
        raise ReproError("give one prompt, such as 'a small red star moves left over stripes', or --prompts FILE")
    _torch(threads, device)
    cues = read_cues(prompts) if prompts else [Cue(0.0, prompt)]
    row = _row(load_runs(), run, "run", "runs.csv")
    row = row.model_copy(update={"schedule": schedule or row.schedule, "cycle": cycle})
    geometry = load_scale(profile).geometry.with_chunk_frames(row.chunk_frames)
    frames = frames_for(geometry, seconds) if seconds else geometry.frames
    row.schedule_for(geometry.resized(frames=frames))
    studio = _studio(profile, row, checkpoints, weights, model, engine, device)
    typer.echo(film(studio, cues, out, frames=frames, seed=seed, scale=scale or geometry.enlargement, recaches=recache))


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="0.0.0.0 shows the page to the whole network")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 8000,
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
    row = _row(load_runs(), run, "run", "runs.csv")
    server = make_server(_studio(profile, row, checkpoints, weights, model, engine, device), host, port)
    typer.echo(f"http://{host}:{server.server_address[1]}  (Ctrl+C ends it)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


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
    out: Annotated[Path | None, typer.Option(help="records, .json")] = None,
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
def speed_tables(
    folder: Annotated[Path, typer.Option("--records", help="folder of records that speed and numerics wrote")],
    out: Annotated[Path, typer.Option(help="folder for tables/*.{csv,md,html,tex}")],
):
    """Tables of speed: the paper's value, ours, their ratio; the ladder; the errors."""
    from repro.reporting.speed import build

    for path in build(folder, out):
        typer.echo(path)


@app.command()
def numerics(
    out: Annotated[Path, typer.Option(help="records, .json")],
    engines: Annotated[str, typer.Option(help="rows of engines.csv, separated by commas")] = "eager,fast,fp8",
    profile: ProfileName = "wan",
    seconds: Annotated[float, typer.Option(help="length of the long roll")] = 45.0,
    device: Device = "cuda",
    threads: Threads = 0,
):
    """What engines change in the numbers: their errors against the plain model in fp32, on the same latents."""
    from repro.evaluation.numerics import write_measured
    from repro.files import require_writable

    require_writable(out.parent)
    _torch(threads, device)
    write_measured(load_scale(profile), engines.split(","), seconds, out, device)


@app.command()
def iterations(
    out: Annotated[Path, typer.Option(help="records, .json")],
    profile: ProfileName = "mini",
    stages: Annotated[str, typer.Option(help="stages or students, separated by commas; Table 5's when not given")] = "",
    device: Device = "cpu",
    threads: Threads = 0,
):
    """Count the FLOPs of a training iteration of every stage, and time a few on the device."""
    from repro.evaluation.training_cost import FIXED_STAGES, write_measured
    from repro.evaluation.training_cost import stages as shown
    from repro.files import require_writable

    require_writable(out.parent)
    _torch(threads, device)
    names = stages.split(",") if stages else shown()
    for name in names:
        _row(dict.fromkeys([*FIXED_STAGES, *load_students()]), name, "stage", "students.csv")
    write_measured(load_profile(profile), names, out, device)


@app.command()
def cost(
    logs: Annotated[Path, typer.Option(help="folder with <stage>/log.jsonl of every stage")],
    measured: Annotated[list[Path], typer.Option(help="records of the verb `iterations`, one file a device")],
    out: Annotated[Path, typer.Option(help="folder for tables/cost.{csv,md,html,tex} and cost/*.json")],
    profile: ProfileName = "mini",
):
    """What training costs: the logs' wall time, counted FLOPs, and estimates from measured iterations."""
    from repro.reporting.cost import build

    build(load_profile(profile), logs, measured, out)


@app.command()
def table(
    number: Annotated[int, typer.Argument(min=1, max=9)],
    runs: Annotated[Path, typer.Option(help="folder of the runs' records")],
    out: Annotated[Path, typer.Option(help="folder for tableN.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """Join records with the paper's numbers into one table."""
    from repro.reporting import ablations, tables

    build = ablations.build if number in ablations.SPECS else tables.build
    build(number, load_profile(profile), runs, out)


@app.command()
def validity_table(
    validity: Annotated[Path, typer.Option(help="folder that the verb `validity` wrote")],
    out: Annotated[Path, typer.Option(help="folder for tables/validity.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """Write the verdicts on the measures and the judge's agreement as tables."""
    from repro.reporting.validity import build

    build(validity, profile, out)


@app.command()
def notebook(
    source: Annotated[Path, typer.Argument(help="percent-format notebook, such as notebooks/table5.py")],
    out: Annotated[Path, typer.Option(help="executed notebook, .ipynb")],
    parameter: Annotated[list[str] | None, typer.Option(help="name=value, as often as needed")] = None,
):
    """Execute a notebook with parameters; the same results give the same bytes."""
    from repro.reporting.notebooks import execute

    pairs = dict(p.partition("=")[::2] for p in parameter or [])
    execute(source, out, pairs)


@app.command()
def publish(
    results: Annotated[Path, typer.Option(help="results folder of a profile, such as results/mini")],
    out: Annotated[Path, typer.Option(help="folder under results/published")],
    kind: Annotated[str, typer.Option(help="world, or speed for a profile that is timed only")] = "world",
):
    """Copy tables, figures, notebooks and their records to results/published."""
    from repro.reporting.publish import PARTS
    from repro.reporting.publish import publish as copy

    _row(PARTS, kind, "kind", "this verb")
    typer.echo(f"{len(copy(results, out, kind))} files copied to {out}")


@app.command()
def regress(
    fresh: Annotated[Path, typer.Option(help="results folder with metrics.csv and runs/*/scores.csv")] = Path(
        "results/mini"
    ),
    published: Annotated[Path, typer.Option(help="what it is held against")] = Path("results/published/mini"),
    runs: Annotated[str, typer.Option(help="run_ids, separated by commas; all published ones when not given")] = "",
):
    """Hold fresh results against the published ones, by the tolerances of config/tolerances.csv."""
    from rich.console import Console

    from repro.reporting.regress import check

    check(fresh, published, runs.split(",") if runs else [], Console(width=110))


@app.command()
def readme():
    """Write the generated tables between the markers of README.md."""
    from repro.reporting.readme import update

    update()


def main() -> None:
    try:
        app()
    except ReproError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
