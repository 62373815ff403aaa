"""What the headers of shipped checkpoints say, for the page of model cards."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from repro.errors import ReproError
from repro.files import sha256


@dataclass(frozen=True)
class Checkpoint:
    """`said` is the header: settings and scores of its training."""

    name: str
    parameters: int
    sha256: str
    said: dict


def checkpoints(folder: Path) -> list[Checkpoint]:
    """Every checkpoint of a folder. Raises ReproError for one that is no safetensors file."""
    found = []
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "np") as file:
                count = sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
                said = json.loads((file.metadata() or {}).get("repro", "{}"))
        except SafetensorError as error:
            raise ReproError(f"checkpoint {path} cannot be read ({error}): restore it with `git checkout`") from error
        found.append(Checkpoint(path.stem, count, sha256(path), said))
    return found
