"""Execute a percent-format notebook: jupytext → papermill → the same bytes for the same results."""

import ast
import tempfile
from pathlib import Path

from repro.config import ROOT
from repro.errors import ReproError
from repro.files import write_atomic

KERNEL = "python3"
STRIPPED = ("metadata.papermill", "cell.metadata.papermill", "cell.metadata.execution")
CELL_TIMEOUT_S = 600


def execute(source: Path, out: Path, parameters: dict) -> Path:
    """Run `source` (jupytext percent format) with `parameters`, write the executed notebook to `out`.

    Cells run in the repository root. Raises ReproError for a missing source, an unknown parameter,
    and a failing cell, which it names; `out` is then left as it was.
    """
    import jupytext
    import nbformat

    source, out = Path(source), Path(out)
    if not source.is_file() or source.suffix != ".py":
        raise ReproError(f"there is no notebook source {source}, a .py file: choose one of notebooks/*.py")
    notebook = jupytext.read(source, fmt="py:percent")
    known = parameter_names(notebook, source)
    for name in parameters:
        if name not in known:
            raise ReproError(f"{source.name} has no parameter {name!r}: it has {', '.join(known)}")
    executed = normalise(_run(notebook, source, parameters))
    return write_atomic(out, lambda path: nbformat.write(executed, path))


def parameter_names(notebook, source: Path) -> list[str]:
    """Names assigned in the cell tagged `parameters` (papermill itself only warns of unknown ones)."""
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ReproError(f"{source.name} needs one cell tagged parameters, it has {len(cells)}")
    names = []
    for statement in ast.parse(cells[0].source).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        names += [t.id for t in targets if isinstance(t, ast.Name)]
    return names


def _run(notebook, source: Path, parameters: dict):
    """The executed notebook; everything on the way lives in a temporary folder."""
    import nbformat
    import papermill
    from papermill.exceptions import PapermillException, PapermillExecutionError

    notebook.metadata["kernelspec"] = {"name": KERNEL, "display_name": "Python 3", "language": "python"}
    with tempfile.TemporaryDirectory() as folder:
        unrun, run = Path(folder) / "in.ipynb", Path(folder) / "out.ipynb"
        nbformat.write(notebook, unrun)
        try:
            papermill.execute_notebook(
                str(unrun),
                str(run),
                parameters=parameters,
                kernel_name=KERNEL,
                cwd=str(ROOT),
                progress_bar=False,
                execution_timeout=CELL_TIMEOUT_S,
            )
        except PapermillExecutionError as error:
            first = next((line for line in error.source.splitlines() if line.strip()), "(empty)")
            where = f"{source.name}, code cell {error.exec_count} ({first.strip()})"
            raise ReproError(f"{where}: {error.ename}: {error.evalue}") from error
        except (PapermillException, RuntimeError, TimeoutError) as error:
            raise ReproError(f"{source.name} could not be executed: {error}") from error
        return nbformat.read(run, as_version=4)


def normalise(notebook):
    """Drop what differs from run to run or from machine to machine: times, counts, random cell ids, how output was cut
    into pieces, and what was written to stderr (progress, and warnings that name the folder of a package)."""
    from nbstripout import strip_output

    notebook = strip_output(notebook, keep_output=True, keep_count=False, keep_id=True, extra_keys=list(STRIPPED))
    # The minor Python version is the kernel's, not the notebook's.
    notebook.metadata.get("language_info", {}).pop("version", None)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        if cell.cell_type == "code":
            cell["outputs"] = _joined([o for o in cell.outputs if o.get("name") != "stderr"])
    return notebook


def _joined(outputs: list) -> list:
    """Neighbouring pieces of one stream as one: where a kernel flushes depends on the clock."""
    joined: list = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last["text"] += output.text
        else:
            joined.append(output)
    return joined
