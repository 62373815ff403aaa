"""`python -m repro <verb>`: the workflow's jobs, one verb each. Heavy imports live inside the verbs."""

import sys

import typer

from repro.errors import ReproError
from repro.evaluation.scaling.verbs import app as scaling
from repro.evaluation.vbench.verbs import app as vbench
from repro.user_study.cli import app as user_study
from repro.verbs import evaluation, generation, reporting, speed, studies, training

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
for group in (evaluation, training, studies, generation, speed, reporting):
    app.add_typer(group.app)
app.add_typer(user_study, name="user-study")
app.add_typer(vbench, name="vbench")
app.add_typer(scaling, name="scaling")


def main() -> None:
    try:
        app()
    except ReproError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
