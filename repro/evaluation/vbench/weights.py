"""What each dimension needs, and whether it is there: asked before anything is scored."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from repro.errors import ReproError
from repro.evaluation.dimensions import DIMENSIONS
from repro.evaluation.vbench.dimensions import STATIC_FILTER, load_vbench_weights
from repro.evaluation.vbench.package import Package

CACHE = Path.home() / ".cache" / "vbench"
"""Where VBench's code looks. Its own download scripts write one folder higher."""


def lacking(dimension: str, package: Package, cache: Path) -> dict[str, str]:
    """What a dimension needs and this machine has not → the remedy."""
    needs = {}
    for weight in load_vbench_weights():
        if dimension not in weight.dimensions.split():
            continue
        place = Path(cache) / weight.path
        if not place.exists():
            inside = f"{place.name} of " if weight.source.endswith(".zip") else ""
            needs[str(place)] = f"put {inside}{weight.source} there"
        if weight.needs and not package.has(weight.needs):
            where = f"git+https://github.com/facebookresearch/{weight.needs}"
            needs[f"Python module {weight.needs}"] = f"{package.python} -m pip install --no-build-isolation {where}"
    return needs


def require(dimensions: tuple[str, ...], package: Package, cache: Path) -> None:
    """Raise ReproError that lists everything that any of the dimensions lacks."""
    lines = [
        f"  {name} needs {what}: {remedy}"
        for name in dimensions
        for what, remedy in lacking(name, package, cache).items()
    ]
    if lines:
        raise ReproError(
            "\n".join(["VBench cannot score what was asked for; nothing was started:", *lines])
            + "\nOr ask for other --dimensions; those that are left out are reported as not measured"
        )


def show(package: Package, cache: Path, console: Console) -> None:
    """Print for each dimension whether it can be scored, then every missing file once, with its place and source."""
    needs = {name: lacking(name, package, cache) for name in (*DIMENSIONS, STATIC_FILTER)}
    table = Table("dimension", "state", title=f"VBench {package.version}, weights in {cache}")
    for name, missing in needs.items():
        table.add_row(name, f"[yellow]{len(missing)} missing[/]" if missing else "[green]ready[/]")
    console.print(table)
    for what, remedy in {w: r for missing in needs.values() for w, r in missing.items()}.items():
        serves = ", ".join(name for name, missing in needs.items() if what in missing)
        console.print(f"{what} (for {serves})\n  {remedy}", markup=False, highlight=False, soft_wrap=True)
