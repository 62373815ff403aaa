"""Systems of Table 1 whose published weights make VBench's videos: rows of `config/vbench_systems.csv`."""

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from repro.config import CONFIG_DIR, Run, Section, load_rows
from repro.generation.cache_policy import POLICIES
from repro.schedule import CacheMode


class VBenchSystem(Section):
    """One row: which published weights, and how they are sampled."""

    system: str = Field(pattern=r"^[a-z0-9_]+$")
    paper_row: str
    """Row of the paper's Table 1 that it is held against."""
    sampler: Literal["bidirectional", "rollout"]
    generator: str
    """`provides` of weights.csv, as `lora`."""
    lora: str = ""
    cache: CacheMode | None = None
    schedule: str | None = None
    steps: str = "default"
    window_frames: PositiveInt | None = None
    decoder: Literal["full", "tiny"] = "full"
    note: str = ""

    @model_validator(mode="after")
    def _sampled(self):
        given = [name for name in ("cache", "schedule", "window_frames") if getattr(self, name) is not None]
        if len(given) != (3 if self.sampler == "rollout" else 0):
            raise ValueError(
                f"a rollout has cache, schedule and window_frames, a bidirectional system none of them; "
                f"{self.sampler} has {', '.join(given) or 'none'}"
            )
        return self

    @property
    def run(self) -> Run:
        return Run(
            run_id=self.system,
            tables="table1",
            student=self.generator,
            cache=self.cache,
            schedule=self.schedule,
            steps=self.steps,
            window_frames=self.window_frames,
            noise_level=POLICIES[self.cache].noise_level,
            decoder=self.decoder,
        )

    @property
    def needs(self) -> tuple[str, ...]:
        """What it needs, as `provides` of weights.csv."""
        decoder = "vae" if self.decoder == "full" else "taehv"
        return (self.generator, *([self.lora] if self.lora else []), "umt5", "tokenizer", decoder)


def load_vbench_systems(config_dir: Path = CONFIG_DIR) -> dict[str, VBenchSystem]:
    return load_rows(Path(config_dir) / "vbench_systems.csv", VBenchSystem, "system")
