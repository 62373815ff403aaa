"""Engines by name: which of the speed options a run uses, rows of `config/engines.csv`."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from repro.config import CONFIG_DIR, Section, load_rows

TAKE_FP8 = ("fa3_fp8",)
"""Attention kernels whose queries, keys and values are fp8: the cache is, too."""


class EngineOptions(Section):
    """How forwards are carried out. Only `precision` and `attention` may change what they return, within rounding."""

    engine: str = Field(pattern=r"^[a-z0-9_]+$")
    attention: Literal["sdpa", "flash2", "cudnn", "fa3", "fa4", "fa3_fp8"] = "sdpa"
    compiled: bool = False
    graphs: bool = False
    fused: bool = False
    overlap: bool = False
    precision: Literal["bf16", "fp8"] = "bf16"

    @model_validator(mode="after")
    def _belongs_together(self):
        if self.precision == "fp8" and not self.fused:
            raise ValueError("precision fp8 exists only in the fused block: set fused to true")
        if self.attention in TAKE_FP8 and not self.fused:
            raise ValueError(
                f"attention {self.attention} needs the fused block, which writes an fp8 cache: set fused to true"
            )
        return self


EAGER = EngineOptions(engine="eager")


def load_engines(config_dir: Path = CONFIG_DIR) -> dict[str, EngineOptions]:
    """Rows of engines.csv by name. Raises ReproError naming line, column and value of what is wrong."""
    return load_rows(Path(config_dir) / "engines.csv", EngineOptions, "engine")
