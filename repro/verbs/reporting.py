"""Verbs that turn records into tables, notebooks and what is published."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from repro.config import (
    load_profile,
)
from repro.errors import ReproError
from repro.verbs.options import ProfileName, out_file, out_folder

app = typer.Typer()


@app.command()
def long_table(
    videos: Annotated[Path, typer.Option("--long", help="folder of the verbs `long` and `pace`")],
    out: Annotated[Path, out_folder("folder for tables/long.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """What changes in long videos as they go on, and what their chunks cost."""
    from repro.reporting.long_video import build

    build(videos, profile, out)


@app.command()
def windows_table(
    windows: Annotated[Path, typer.Option(help="folder that the verb `windows` wrote")],
    out: Annotated[Path, out_folder("folder for tables/table4.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """Table 4 beside the paper's numbers: where does the plateau of the attention window start?"""
    from repro.reporting.windows import build

    build(windows, profile, out)


@app.command()
def search_table(
    search: Annotated[Path, typer.Option(help="folder that the verb `search` wrote")],
    out: Annotated[Path, out_folder("folder for tables/search.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """The finalists and their front, monotone schedules against others, and what steps are worth where."""
    from repro.reporting.search import build

    build(search, profile, out)


@app.command()
def codecs_table(
    codecs: Annotated[Path, typer.Option(help="folder that the verb `codecs` wrote")],
    out: Annotated[Path, out_folder("folder for tables/table8.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """Table 8 beside the paper's numbers."""
    from repro.reporting.codecs import build

    build(codecs, profile, out)


@app.command()
def story_table(
    story: Annotated[Path, typer.Option(help="folder that the verb `story` wrote")],
    out: Annotated[Path, out_folder("folder for tables/story.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """Text alignment of every part of the story, and how smooth the changes are."""
    from repro.reporting.story import build

    build(story, profile, out)


@app.command("headroom-table")
def headroom_table(
    systems: Annotated[Path, typer.Option(help="folder of the verb `headroom`, <system>/headroom.json each")],
    out: Annotated[Path, out_folder("folder for tables/headroom.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """Systems side by side, and the targets of headroom_targets.csv with verdicts."""
    from repro.reporting.headroom import build

    build(systems, profile, out)


@app.command()
def speed_tables(
    folder: Annotated[Path, typer.Option("--records", help="folder of records that speed and numerics wrote")],
    out: Annotated[Path, out_folder("folder for tables/*.{csv,md,html,tex}")],
):
    """Tables of speed: the paper's value, ours, their ratio; the ladder; the errors."""
    from repro.reporting.speed import build

    for path in build(folder, out):
        typer.echo(path)


@app.command()
def table(
    number: Annotated[int, typer.Argument(min=1, max=9)],
    runs: Annotated[Path, typer.Option(help="folder of the runs' records")],
    out: Annotated[Path, out_folder("results folder: its tables/ receives tableN.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
    speed: Annotated[Path | None, typer.Option(help="records of the verb `speed`, for Tables 1 and 7")] = None,
):
    """Join records with the paper's numbers into one table."""
    from repro.reporting import ablations, tables

    if number in ablations.SPECS:
        ablations.build(number, load_profile(profile), runs, out, speed)
    elif speed is not None:
        raise ReproError(f"Table {number} tells of no speed, and has no use for {speed}: leave it out")
    else:
        tables.build(number, load_profile(profile), runs, out)


@app.command()
def figure(
    name: Annotated[Literal["5a", "5b", "10"], typer.Argument(help="which")],
    runs: Annotated[Path, typer.Option(help="folder of the runs' records")],
    out: Annotated[Path, out_folder("folder for tables/figureN.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """The numbers of one of the paper's figures of ablations."""
    from repro.reporting import strategies, sweeps

    builders = {n: partial(sweeps.build, n) for n in sweeps.SWEEPS} | {"10": strategies.build}
    builders[name](load_profile(profile), runs, out)


@app.command()
def validity_table(
    validity: Annotated[Path, typer.Option(help="folder that the verb `validity` wrote")],
    out: Annotated[Path, out_folder("folder for tables/validity.{csv,md,html,tex}")],
    profile: ProfileName = "mini",
):
    """Write the verdicts on the measures and the judge's agreement as tables."""
    from repro.reporting.validity import build

    build(validity, profile, out)


@app.command()
def audit(out: Annotated[Path, out_folder("folder for tables/audit.{csv,md,html,tex}")]):
    """The paper's printed numbers against one another: every relation of config/audit.csv, recomputed."""
    from repro.reporting.audit import build, counts

    typer.echo(counts(build(out)))


@app.command()
def claims(
    out: Annotated[Path, out_folder("folder for tables/{claims,scorecard}.*")],
    published: Annotated[Path, typer.Option(help="folder of what was published, by profile")] = Path(
        "results/published"
    ),
    profile: ProfileName = "mini",
):
    """Hold the paper's claims, rows of config/claims.csv, against what was published; a verdict each."""
    from repro.reporting import claim_tests
    from repro.reporting.claims import VERDICTS, build

    judged = claim_tests.judge(published, profile)
    build(judged, out)
    found = [j.verdict for j in judged]
    typer.echo(f"{len(found)} claims: {', '.join(f'{found.count(v)} {v}' for v in VERDICTS)}")


@app.command()
def notebook(
    source: Annotated[Path, typer.Argument(help="percent-format notebook, such as notebooks/table5.py")],
    out: Annotated[Path, out_file("executed notebook", ".ipynb")],
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
    kind: Annotated[
        Literal["world", "speed", "user_study", "paper"], typer.Option(help="speed: a profile that is timed only")
    ] = "world",
):
    """Copy tables, figures, notebooks and their records to results/published."""
    from repro.reporting.publish import publish as copy

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
def report(
    published: Annotated[Path, typer.Option(help="folder of published results, one folder a scale")] = Path(
        "results/published"
    ),
    out: Annotated[Path, typer.Option(help="folder of the site; an older report there is replaced")] = Path("site"),
):
    """Build the report: a site to browse from the file system, with the record behind every number."""
    from repro.reporting.site.build import build

    typer.echo(f"open {build(published, out)}")


@app.command()
def readme():
    """Write the generated tables between the markers of README.md."""
    from repro.reporting.readme import update

    update()
