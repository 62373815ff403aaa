"""Records: one measured number with everything needed to trace it."""

import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from repro.config import ROOT
from repro.errors import ReproError
from repro.files import read_text, write_json

TRACED = ("torch", "numpy", "diffusers", "transformers", "opencv-python-headless")


class Record(BaseModel):
    """A value with its 95% interval (quality) or quartiles (timing), and where it came from."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    run_id: str
    profile: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int
    seeds: list[int]
    unit: str
    metric_version: str
    code: str
    weights: dict[str, str]
    device: str
    versions: dict[str, str]


RECORDS = TypeAdapter(list[Record])


@lru_cache
def code_hash() -> str:
    """One sha256 over the package's sources and configuration."""
    digest = hashlib.sha256()
    for path in sorted([*ROOT.glob("repro/**/*.py"), *ROOT.glob("config/*.*")]):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def device_name(device: str) -> str:
    if str(device).startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), platform.processor())
    import os

    return f"{model} CPU, {os.cpu_count()} cores"


def provenance(device: str) -> dict:
    """The fields of a Record that do not depend on the run."""
    versions = {"python": platform.python_version()}
    for name in TRACED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"code": code_hash(), "device": device_name(device), "versions": versions}


def write(path: Path, records: list[Record]) -> None:
    write_json(path, [r.model_dump() for r in records])


def read(path: Path, maker: str = "snakemake --cores all table5") -> list[Record]:
    """Raises ReproError for a file that is missing, naming the command that makes it, or cannot be read."""
    path = Path(path)
    if not path.is_file():
        raise ReproError(f"records {path} are missing: make them with {maker}")
    remedy = "delete the file and run again"
    try:
        found = RECORDS.validate_json(read_text(path, remedy))
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"])) or "the whole"
        raise ReproError(f"records {path} cannot be read ({place}: {wrong['msg']}): {remedy}") from error
    if not found:
        raise ReproError(f"{path} holds no records: {remedy}")
    return found


class Keyed(dict):
    """Records by key, from `where`; asking for one that is not there raises ReproError with its name."""

    def __init__(self, found: dict, where: str | Path):
        super().__init__(found)
        self.where = where

    def __missing__(self, key):
        name = " of ".join(map(str, reversed(key))) if isinstance(key, tuple) else key
        raise ReproError(f"{self.where} has no record of {name}: delete it and run again")


def keyed(rows: Iterable[Record], where: str | Path) -> Keyed:
    """By (run_id, metric)."""
    return Keyed({(r.run_id, r.metric): r for r in rows}, where)


def read_of(profile: str, path: Path, target: str) -> list[Record]:
    """Those of one profile. Raises ReproError where there are others or none."""
    rows = read(path, f"snakemake --cores all {target}")
    held = sorted({r.profile for r in rows})
    if held != [profile]:
        raise ReproError(
            f"{path} holds profile {', '.join(map(repr, held)) or 'none'}, not {profile!r}: choose another folder"
        )
    return rows


def of_one_device(folder: Path, remedy: str) -> list[Record]:
    """Every record of a folder's `*.json`. Raises ReproError where there is none, and for devices that differ."""
    found = [r for path in sorted(Path(folder).glob("*.json")) for r in read(path)]
    if not found:
        raise ReproError(f"{folder} holds no records: {remedy}")
    devices = sorted({r.device for r in found})
    if len(devices) > 1:
        raise ReproError(f"{folder} mixes devices ({', '.join(devices)}): keep one folder for each")
    return found
