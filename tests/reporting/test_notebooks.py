"""Executed notebooks: parameters checked, bytes stable, failures named and nothing half-written."""

import json
import re
import shutil

import pytest

from repro.config import ROOT
from repro.errors import ReproError
from repro.reporting import notebooks

SOURCE = """# %% tags=["parameters"]
greeting = "hello"

# %%
import os, sys

print(greeting, os.getcwd() == {root!r})
sys.stdout.flush()
print("second piece")

# %%
{last}
"""


@pytest.fixture
def source(tmp_path):
    def write(last="greeting"):
        path = tmp_path / "source.py"
        path.write_text(SOURCE.format(root=str(ROOT), last=last))
        return path

    return write


def outputs(path):
    cells = json.loads(path.read_text())["cells"]
    return ["".join(o.get("text", o.get("data", {}).get("text/plain", ""))) for c in cells
            for o in c.get("outputs", [])]  # fmt: skip


def test_parameters_reach_the_cells_and_bytes_are_stable(source, tmp_path):
    first, second = (
        notebooks.execute(source(), tmp_path / name, {"greeting": "goodbye"}) for name in ("a.ipynb", "b.ipynb")
    )
    assert outputs(first) == ["goodbye True\nsecond piece\n", "'goodbye'"]
    assert first.read_bytes() == second.read_bytes()


def test_a_warning_that_names_a_folder_of_this_machine_is_left_out(source, tmp_path):
    made = notebooks.execute(source("import warnings\nwarnings.warn(sys.prefix)\n6 * 7"), tmp_path / "a.ipynb", {})
    assert outputs(made)[-1] == "42" and "stderr" not in made.read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "results/published").rglob("*.ipynb")), ids=lambda p: p.stem)
def test_published_notebooks_name_no_folder_of_a_machine(path):
    said = " ".join(outputs(path))
    assert not re.search(r"site-packages|/home/|/root/|/tmp/", said) and str(ROOT) not in said


def test_an_unknown_parameter_is_refused(source, tmp_path):
    with pytest.raises(ReproError, match=r"no parameter 'greetings': it has greeting"):
        notebooks.execute(source(), tmp_path / "a.ipynb", {"greetings": "x"})
    assert not (tmp_path / "a.ipynb").exists()


def test_a_failing_cell_is_named_and_the_old_notebook_stays(source, tmp_path):
    out = tmp_path / "out" / "a.ipynb"
    out.parent.mkdir()
    out.write_text("old")
    with pytest.raises(ReproError, match=r"source\.py, code cell 4 \(1 / 0\): ZeroDivisionError: division by zero"):
        notebooks.execute(source("1 / 0"), out, {"greeting": "x"})
    assert [p.name for p in out.parent.iterdir()] == ["a.ipynb"]
    assert out.read_text() == "old"


def test_sources_are_checked(tmp_path):
    with pytest.raises(ReproError, match=r"no notebook source .*nothing\.py"):
        notebooks.execute(tmp_path / "nothing.py", tmp_path / "a.ipynb", {})
    (tmp_path / "bare.py").write_text("# %%\n1\n")
    with pytest.raises(ReproError, match="one cell tagged parameters, it has 0"):
        notebooks.execute(tmp_path / "bare.py", tmp_path / "a.ipynb", {})


def test_table_5_answers_from_its_results(built, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(built, results)
    out = tmp_path / "table5.ipynb"
    notebooks.execute(ROOT / "notebooks" / "table5.py", out, {"results": str(results), "profile": "smoke"})
    text = "\n".join(outputs(out))
    assert "6 of 6 schedules have the same paper NFE in both modes; Diagonal makes 7 fewer forwards" in text
    assert "in-flight latency is 0.50 of Self's (paper: 0.53 to 0.67)" in text
    assert "temporal 6 reproduced; frame 6 contradicted; text 6 unresolved" in text
    assert "96 records of 12 runs: profile smoke, 12 prompts, training seeds 0" in text
    assert sorted(p.name for p in (results / "figures").iterdir()) == [
        f"table5_{name}.png" for name in ("frames", "pairs", "quality_latency")
    ]
    cells = json.loads(out.read_text())["cells"]
    assert sum("image/png" in o.get("data", {}) for c in cells for o in c.get("outputs", [])) == 3
