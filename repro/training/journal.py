"""What a training run tells of itself: `log.jsonl`, a line now and then, and `run.json`, where it ran.

`run.json` names the stage, the seed, the fit, and its pieces: the iteration at which each (re)start
went on, with device, versions and code. A log line holds `iteration`, `seconds` and the scalars.
`seconds` runs from the start of the first piece over all pieces, their compilation included; it
leaves out the time before a piece's first iteration, and what a killed piece did after its last checkpoint.
"""

import errno
import json
import os
from pathlib import Path

from repro.config import Fit
from repro.errors import ReproError
from repro.files import read_text, write_json, write_text
from repro.reporting.records import provenance

LOG, RUN = "log.jsonl", "run.json"


def read_log(path: Path) -> list[dict]:
    """Lines of a log; a last one that a kill or a full disk cut short is left out."""
    lines = read_text(path, "restore it or delete it").split("\n")
    try:
        return [json.loads(line) for line in lines[:-1] if line]
    except json.JSONDecodeError as error:
        raise ReproError(f"log {path} holds a line that is no JSON ({error}): restore it or delete it") from error


def read_run(folder: Path) -> dict | None:
    """Contents of run.json; None for a run made before there was one."""
    path = Path(folder) / RUN
    try:
        return json.loads(read_text(path, "restore it or delete it")) if path.is_file() else None
    except json.JSONDecodeError as error:
        raise ReproError(f"{path} is no JSON ({error}): restore it or delete it") from error


class Journal:
    """Opened at iteration `start`, it forgets what came later; both files are then of the same run."""

    def __init__(self, folder: Path, start: int, *, stage: str, seed: int, fit: Fit, device):
        self.path = Path(folder) / LOG
        before = read_log(self.path) if start and self.path.is_file() else []
        kept = [json.dumps(line) + "\n" for line in before if line["iteration"] < start]
        earlier = (read_run(folder) or {"pieces": []})["pieces"]
        pieces = [piece for piece in earlier if piece["start"] < start] + [{"start": start} | provenance(str(device))]
        whole = {"stage": stage, "seed": seed, "fit": fit.model_dump(mode="json"), "pieces": pieces}
        write_text(self.path, "".join(kept))
        write_json(Path(folder) / RUN, whole)

    def write(self, line: dict) -> None:
        """Append one line, whole or not at all as far as a reader can see."""
        try:
            with self.path.open("ab", buffering=0) as log:
                text = (json.dumps(line) + "\n").encode()
                if log.write(text) < len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise ReproError(
                f"cannot write {self.path}: {error.strerror or error}. Free some space or make the folder "
                "writable, and restart: the last checkpoint is whole"
            ) from error
