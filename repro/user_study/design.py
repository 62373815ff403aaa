"""What a study is: one YAML file of `config/user_study/`, its rules fixed before the first answer."""

import hashlib
from itertools import combinations
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from repro.config import CONFIG_DIR, Section, explain
from repro.errors import ReproError
from repro.files import read_text
from repro.user_study.questions import Part, parts

FOLDER = CONFIG_DIR / "user_study"
DEGRADED = "degraded"
"""Name of the spoilt video of an attention check: no method may have it."""
Kind = Literal["main", "repeat", "check"]


class Exclusions(Section):
    """A participant is left out, and counted, who misses one of these."""

    checks_passed: float = Field(0.75, ge=0, le=1)
    """Least share of attention checks answered for the unspoilt video."""
    one_side: float = Field(0.9, gt=0.5, le=1)
    """Least share of choices for the same side that counts as always clicking it."""
    seconds: float = Field(3.0, ge=0)
    """Least median time spent on a comparison."""
    completed: float = Field(0.5, ge=0, le=1)
    """Least share of planned comparisons answered."""


class Design(Section):
    """Who compares what how often."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    methods: tuple[str, ...] = Field(min_length=2)
    """The method under test first, then its baselines."""
    round_robin: bool = False
    """Compare baselines with each other as well."""
    participants: int = Field(ge=2)
    prompts: int = Field(ge=2)
    dynamic_prompts: int = Field(ge=0)
    video_seconds: PositiveFloat
    comparisons: PositiveInt
    """Of every pair, by every participant."""
    repeats: int = Field(ge=0)
    checks: int = Field(ge=0)
    quality_videos: int = Field(ge=0)
    consistency_videos: int = Field(ge=0)
    dynamic_videos: int = Field(ge=0)
    neutral: bool = False
    seed: int = 0
    bootstrap: PositiveInt = 2000
    exclusions: Exclusions = Exclusions()

    @model_validator(mode="after")
    def _possible(self):
        if len(set(self.methods)) != len(self.methods) or DEGRADED in self.methods:
            raise ValueError(f"methods {self.methods} must differ from each other and from {DEGRADED!r}")
        total = self.comparisons * len(self.pairs)
        if self.repeats > total:
            raise ValueError(f"repeats {self.repeats} are more than the {total} comparisons of a participant")
        if self.dynamic_videos and not self.dynamic_prompts:
            raise ValueError(f"dynamic_videos {self.dynamic_videos} need dynamic_prompts of at least 1")
        return self

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(first, second): a preference rate is the first's."""
        every = tuple(combinations(self.methods, 2))
        return every if self.round_robin else every[: len(self.methods) - 1]

    @property
    def parts(self) -> dict[str, Part]:
        return parts(self.neutral, self.video_seconds)

    @property
    def prompt_names(self) -> tuple[str, ...]:
        return tuple(f"prompt_{i:02}" for i in range(1, self.prompts + 1))

    @property
    def dynamic_names(self) -> tuple[str, ...]:
        return tuple(f"dynamic_{i:02}" for i in range(1, self.dynamic_prompts + 1))

    @property
    def digest(self) -> str:
        """Changes with every change of the design, its exclusion rules included."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def load(path: Path = FOLDER / "design.yaml") -> Design:
    """Raises ReproError naming the file, key and value of what is wrong."""
    path = Path(path)
    try:
        data = yaml.safe_load(read_text(path, f"start from {FOLDER.name}/design.yaml"))
    except yaml.YAMLError as error:
        raise ReproError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ReproError(f"{path.name} must be a mapping, not {type(data).__name__}: start from design.yaml")
    try:
        return Design(**data)
    except ValidationError as error:
        raise explain(error, path.name) from error
