"""Generated tables between the markers of README.md."""

from pathlib import Path

from repro.config import ROOT
from repro.errors import ReproError
from repro.files import write_text

README = ROOT / "README.md"
PUBLISHED = ROOT / "results" / "published"
TABLES = {"ladder": "wan-h100", "scorecard": "paper"}
"""Table → the published folder that it comes from."""


def update(readme: Path = README, published: Path = PUBLISHED, *, check: bool = False) -> bool:
    """Put every published table into the README; return whether it was out of date.

    With `check` nothing is written. Raises ReproError for a missing file or marker.
    """
    text = _read(readme, "restore it from the repository")
    current = text
    for name, folder in TABLES.items():
        table = _read(Path(published) / folder / "tables" / f"{name}.md", "make it with `snakemake publish`")
        current = between_markers(current, name, table, readme)
    if current != text and not check:
        write_text(readme, current)
    return current != text


def between_markers(text: str, name: str, table: str, readme: Path = README) -> str:
    """`text` with `table` between `<!-- name:begin -->` and `<!-- name:end -->`."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ReproError(f"{readme} needs one line {begin} and, below it, one line {end}: add them")
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    return f"{head}{begin}\n\n{table.strip()}\n\n{end}{tail}"


def _read(path: Path, remedy: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise ReproError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
