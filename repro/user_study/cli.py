"""`python -m repro user-study <verb>`. Heavy imports live inside the verbs."""

from pathlib import Path
from typing import Annotated

import typer

from repro.errors import ReproError
from repro.verbs.options import Seed, out_file, out_folder

app = typer.Typer(no_args_is_help=True, help="Plan, run and analyse a study of paired comparisons.")

DesignFile = Annotated[Path, typer.Option("--design", help="design of the study, .yaml")]
ResponsesFile = Annotated[Path, typer.Option("--responses", help="answers: .csv, or a collector's .sqlite")]
DESIGN = Path("config/user_study/design.yaml")


def _design(path: Path, seed: int | None = None):
    from repro.user_study.design import load

    design = load(path)
    return design if seed is None else design.model_copy(update={"seed": seed})


def _track(items, what: str) -> list:
    from rich.progress import track

    return list(track(items, description=what))


DesignSeed = Annotated[
    int | None, typer.Option("--seed", min=0, help="in place of the design's; keep that of a real study to yourself")
]


@app.command()
def plan(
    out: Annotated[Path, out_file("plan", ".csv")],
    design: DesignFile = DESIGN,
    seed: DesignSeed = None,
):
    """Lay out who compares what, in which order, on which side."""
    from repro.files import write_text
    from repro.user_study.plan import make, summary

    found = _design(design, seed)
    table = make(found)
    write_text(out, table.to_csv(index=False))
    typer.echo(summary(found, table))


@app.command()
def power(
    out: Annotated[Path, out_file("power curves", ".csv")],
    sizes: Annotated[Path, typer.Option(help="sizes of studies, .csv")] = Path("config/user_study/power.csv"),
    seed: Seed = 0,
):
    """Simulate studies of several sizes: their power, and the smallest preference they find."""
    import pandas as pd

    from repro.files import write_text
    from repro.user_study.power import curve, detectable, load_sizes

    curves = _track((curve(size, seed) for size in load_sizes(sizes)), "sizes")
    write_text(out, pd.concat(curves).to_csv(index=False, float_format="%.6g"))
    for one in curves:
        size = one.iloc[0]
        typer.echo(
            f"{size['participants']:g} × {size['comparisons']:g} on {size['prompts']:g} prompts, "
            f"SD {size['rater_sd']:g} and {size['prompt_sd']:g}: finds {detectable(one):.1%} with 80% power"
        )


@app.command()
def truth(
    out: Annotated[Path, out_file("coverage and false alarms", ".csv")],
    scenarios: Annotated[Path, typer.Option(help="what is planted, .csv")] = Path("config/user_study/truth.csv"),
    seed: Seed = 0,
):
    """Simulate studies with planted effects: do the intervals cover them, do the tests cry wolf?"""
    import pandas as pd

    from repro.files import write_text
    from repro.user_study.simulate import load_truths
    from repro.user_study.truth import measure

    found = _track((measure(row, seed + i) for i, row in enumerate(load_truths(scenarios).values())), "scenarios")
    write_text(out, pd.concat(found).to_csv(index=False, float_format="%.6g"))


@app.command()
def paper(
    power: Annotated[Path, typer.Option(help="what the verb `power` wrote")],
    truth: Annotated[Path, typer.Option(help="what the verb `truth` wrote")],
    out: Annotated[Path, out_folder("folder for tables/user_study*")],
):
    """What the paper's published rates can bear, as tables."""
    from repro.user_study.report import build_paper

    typer.echo(f"{len(build_paper(power, truth, out))} files in {out / 'tables'}")


@app.command("test-cards")
def test_cards(
    out: Annotated[Path, out_folder("folder for videos/ and prompts.csv")],
    design: DesignFile = DESIGN,
    seed: DesignSeed = None,
):
    """Make coloured cards in place of videos, to try a survey out."""
    from repro.user_study.testcards import write

    typer.echo(f"{write(_design(design, seed), out)} test cards in {out / 'videos'}")


@app.command()
def survey(
    prompts: Annotated[Path, typer.Option(help="columns prompt,text for every prompt of the design, .csv")],
    videos: Annotated[Path, typer.Option(help="folder with <method>/<prompt>.mp4 or .webm")],
    out: Annotated[Path, typer.Option(help="new folder for page/, study.sqlite and links.csv")],
    design: DesignFile = DESIGN,
    address: Annotated[str, typer.Option(help="where the page will be served")] = "http://localhost:8000",
    seed: DesignSeed = None,
):
    """Write the survey: a static page, the collector's database, one link a participant."""
    from repro.user_study.survey import build

    count = build(_design(design, seed), prompts, videos, out, address)
    typer.echo(f"{count} videos in {out / 'page'}; send each participant a line of {out / 'links.csv'}")


@app.command()
def collect(
    survey: Annotated[Path, typer.Option(help="folder that the verb `survey` wrote")],
    host: Annotated[str, typer.Option(help="0.0.0.0 serves the whole network")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    add: Annotated[list[Path] | None, typer.Option(help="file that a participant exported: add it, and end")] = None,
):
    """Serve the page and keep the answers until interrupted."""
    import logging

    from repro.user_study.collect import add_file, serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for path in add or ():
        add_file(survey, path)
        typer.echo(f"{path} added")
    if not add:
        serve(survey, host, port)


@app.command()
def export(
    responses: ResponsesFile,
    out: Annotated[Path, out_file("answers with the names of the methods", ".csv")],
    design: DesignFile = DESIGN,
):
    """Write a collector's answers as CSV, exclusions not applied."""
    import pandas as pd

    from repro.files import write_text
    from repro.user_study.responses import COLUMNS, rows_of

    _, rows = rows_of(responses, _design(design))
    write_text(out, pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False))
    typer.echo(f"{len(rows)} answers in {out}")


@app.command()
def simulate(
    out: Annotated[Path, out_file("simulated answers", ".csv")],
    design: DesignFile = DESIGN,
    strengths: Annotated[str, typer.Option(help="method=log-odds, separated by commas; 0 for those not named")] = "",
    rater_sd: Annotated[float, typer.Option(min=0, max=10, help="spread of participants, log-odds")] = 0.5,
    prompt_sd: Annotated[float, typer.Option(min=0, max=10, help="spread of prompts, log-odds")] = 0.5,
    side_bias: Annotated[float, typer.Option(min=-10, max=10, help="leaning to the left video, log-odds")] = 0.1,
    seed: Seed = 0,
):
    """Simulated participants with planted effects, to try the analysis out. They are never human data."""
    import numpy as np

    from repro.files import write_text
    from repro.user_study.plan import make
    from repro.user_study.simulate import respondents

    found = _design(design)
    planted = dict.fromkeys(found.methods, 0.0)
    for item in filter(None, strengths.split(",")):
        method, _, value = item.partition("=")
        if method not in planted:
            raise ReproError(f"--strengths names {method!r}: the design has {', '.join(found.methods)}")
        try:
            planted[method] = float(value)
        except ValueError:
            raise ReproError(f"--strengths {item!r}: write method=number") from None
    rng = np.random.default_rng(seed)
    table = respondents(found, make(found), planted, rng, rater_sd=rater_sd, prompt_sd=prompt_sd, side_bias=side_bias)
    write_text(out, table.to_csv(index=False))
    typer.echo(f"{len(table)} simulated answers in {out}: not human data")


@app.command()
def analyse(
    responses: ResponsesFile,
    out: Annotated[Path, out_folder("folder for tables/ and figures/user_study_responses*")],
    design: DesignFile = DESIGN,
):
    """Check the answers, apply the exclusion rules, and write tables and figures."""
    from repro.user_study.figures import draw_responses
    from repro.user_study.report_responses import build_responses
    from repro.user_study.responses import read

    found = read(responses, _design(design))
    tables = build_responses(found, out)
    figures = draw_responses(out, found.simulated)
    typer.echo(f"{found.participants} participants, {found.excluded['participant'].nunique()} excluded: "
               f"{len(tables)} tables and {len(figures)} figures in {out}")  # fmt: skip


@app.command()
def code(
    out: Annotated[Path, out_file("coding sheet to fill in, or with --coded the counts of themes", ".csv")],
    responses: Annotated[Path | None, typer.Option(help="answers: .csv, or a collector's .sqlite")] = None,
    coded: Annotated[Path | None, typer.Option(help="the sheet, filled in by two people")] = None,
    codebook: Annotated[Path, typer.Option(help="themes, .csv")] = Path("config/user_study/themes.csv"),
    design: DesignFile = DESIGN,
):
    """Thematic coding: a sheet with suggestions from --responses, or counts and κ from --coded."""
    from repro.files import write_text
    from repro.user_study import coding
    from repro.user_study.responses import read

    if (responses is None) == (coded is None):
        raise ReproError("give one of --responses, to make a sheet, and --coded, to count a filled one")
    themes = coding.load_codebook(codebook)
    if coded:
        table = coding.themes(coding.read_sheet(coded, themes), themes)
    else:
        table = coding.sheet(read(responses, _design(design)), themes)
    write_text(out, table.to_csv(index=False, float_format="%.6g"))
    typer.echo(f"{len(table)} rows in {out}")
