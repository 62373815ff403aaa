"""The target `user_study`: answers are analysed when they are given, and a path that is no file is refused."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from repro.config import ROOT


@pytest.fixture
def dry_run(tmp_path):
    """Exit code and output of a dry run of the target; jobs by rule."""

    def run(**config):
        settings = [f"{k}={v}" for k, v in {"results": tmp_path / "results", **config}.items()]
        snakemake = str(Path(sys.executable).with_name("snakemake"))
        command = [snakemake, "--dry-run", "--nolock", "--cores", "1", "user_study", "--config", *settings]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout, set(re.findall(r"^(user_study\w*) +\d+$", done.stdout, re.MULTILINE))

    return run


def test_without_answers_the_papers_aggregates_are_analysed(dry_run):
    code, said, jobs = dry_run()
    assert code == 0, said
    assert {"user_study_plan", "user_study_simulate", "user_study_paper", "user_study_notebook"} <= jobs
    assert "user_study_responses" not in jobs


def test_answers_are_analysed_when_given(dry_run, answers, tmp_path):
    path = tmp_path / "answers.csv"
    answers.to_csv(path, index=False)
    code, said, jobs = dry_run(responses=path)
    assert code == 0 and {"user_study_responses", "user_study_paper"} <= jobs, said


@pytest.mark.parametrize("key", ["responses", "design"])
def test_a_path_that_is_no_file_is_named(dry_run, key):
    code, said, _ = dry_run(**{key: "none.csv"})
    assert code != 0 and f"config key {key}='none.csv' is no file: give the path of one" in said
