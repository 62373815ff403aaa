"""VBench's sixteen dimensions and their weight files: `config/vbench_dimensions.csv`, `vbench_weights.csv`."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator

from repro.config import CONFIG_DIR, Section, load_rows
from repro.errors import ReproError
from repro.evaluation.dimensions import DIMENSIONS

STATIC_FILTER = "static_filter"
"""What leaves out videos that move before temporal flickering is scored; it needs weights of its own."""


class VBenchDimension(Section):
    """How one dimension enters VBench's scores (its scripts/constant.py), and the clips of VBench-Long."""

    dimension: Literal[DIMENSIONS]
    minimum: NonNegativeFloat
    maximum: PositiveFloat
    weight: PositiveFloat
    clip_seconds: PositiveInt
    """Length of the clips that VBench-Long cuts a video into (its clip_length_mix.yaml)."""
    custom: bool
    """Whether VBench scores it without its own prompts' annotations."""

    @model_validator(mode="after")
    def _range(self):
        if self.minimum >= self.maximum:
            raise ValueError(f"minimum {self.minimum} must be below maximum {self.maximum}")
        return self

    def normalise(self, score: float) -> float:
        return (score - self.minimum) / (self.maximum - self.minimum)


class VBenchWeight(Section):
    """One file or folder that dimensions need, where it comes from, and its place in the cache."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    dimensions: str
    path: str
    source: str = Field(pattern=r"^https://")
    needs: str = ""
    """Python module that must be installed too."""

    @field_validator("dimensions")
    @classmethod
    def _known(cls, names: str) -> str:
        for name in names.split():
            if name not in (*DIMENSIONS, STATIC_FILTER):
                raise ValueError(f"no dimension {name!r}")
        return names


def load_dimensions(config_dir: Path = CONFIG_DIR) -> dict[str, VBenchDimension]:
    """All sixteen. Raises ReproError naming the row that is wrong or missing."""
    rows = load_rows(Path(config_dir) / "vbench_dimensions.csv", VBenchDimension, "dimension")
    for name in DIMENSIONS:
        if name not in rows:
            raise ReproError(f"vbench_dimensions.csv has no row of {name}: restore it from the repository")
    return rows


def load_vbench_weights(config_dir: Path = CONFIG_DIR) -> list[VBenchWeight]:
    return list(load_rows(Path(config_dir) / "vbench_weights.csv", VBenchWeight, "name").values())


def parse(names: str) -> tuple[str, ...]:
    """Dimensions separated by commas, or all; in VBench's order. Raises ReproError naming one that there is not."""
    if names == "all":
        return DIMENSIONS
    given = names.split(",")
    for name in given:
        if name not in DIMENSIONS:
            raise ReproError(f"VBench has no dimension {name!r}: choose of {', '.join(DIMENSIONS)}")
    return tuple(d for d in DIMENSIONS if d in given)
