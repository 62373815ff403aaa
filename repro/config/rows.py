"""Rows of the sheets: frozen models of `students.csv`, `runs.csv` and those beside them."""

from collections.abc import Sequence
from typing import Literal

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from repro.config.base import Section
from repro.evaluation.dimensions import CORRUPTIONS, DIMENSIONS, DISTANCE, EXPECTATIONS
from repro.geometry import Geometry
from repro.schedule import FORCING_TIMESTEP, CacheMode, Schedule

Forcing = Literal["teacher", "diffusion", "self", "diagonal", "pipelined"]
MANY_STEP = ("diffusion", "pipelined")
FlowTerm = Literal["raw", "difference", "correlation", "low_freq", "high_freq", "mlp", "conv_diff", "release_v1"]


class Student(Section):
    """One row of `students.csv`: how a causal model is distilled, or, without a schedule, trained for many steps."""

    student: str = Field(pattern=r"^[a-z0-9_]+$")
    forcing: Forcing
    """What a chunk is conditioned on in training (paper, Figure 10); `pipelined`: on chunks up to four ahead of it."""
    schedule: str | None = None
    window_frames: PositiveInt
    iterations: PositiveInt | None = None
    """Overrides the iterations of `dmd_fit`, or of `causal_fit`, when given."""
    chunk_frames: PositiveInt = 3
    forcing_timestep: int = Field(FORCING_TIMESTEP, ge=0, le=1000)
    """Nominal noise level of the chunks that `diagonal` forcing keeps (Figure 5a)."""
    ground_truth_beyond: int | None = Field(None, ge=0)
    """Chunks further back than this are ground truth in training (appendix C); never, when not given."""
    flow: FlowTerm | None = None
    """The motion feature 𝓕 of the flow terms (Table 9); without one there are none."""
    gamma: PositiveFloat = 1.0
    """Weight of the flow terms (eq. 12). The paper does not print Figure 5b's eight values; the sheet has 0 (the
    row without flow), 1/8, 1/4, 1/2, 1, 2, 4, 8."""
    reg_weight: float | None = Field(None, ge=0)
    """Overrides `dmd_fit.reg_weight` when given."""
    seeds: PositiveInt | None = None
    """How many of the evaluation's training seeds this row is trained with; all, when not given."""

    @model_validator(mode="after")
    def _one_context(self):
        if self.many_step and (self.forcing not in MANY_STEP or self.flow or self.reg_weight):
            raise ValueError(
                f"without a schedule a row is trained by flow matching: forcing must be one of {', '.join(MANY_STEP)} "
                f"(it is {self.forcing}), and flow and reg_weight must be empty"
            )
        if self.forcing == "pipelined" and not self.many_step:
            raise ValueError("pipelined forcing is for many-step models: leave schedule empty")
        if self.ground_truth_beyond is not None and not self.rolls_out:
            raise ValueError(f"{self.forcing} forcing has ground truth everywhere: leave ground_truth_beyond empty")
        return self

    @property
    def many_step(self) -> bool:
        """Is it trained by flow matching, and not distilled?"""
        return self.schedule is None

    @property
    def fit_name(self) -> str:
        """The profile's section that its training follows."""
        return "causal_fit" if self.many_step else "dmd_fit"

    @property
    def rolls_out(self) -> bool:
        """Is it trained on its own videos?"""
        return self.forcing in ("self", "diagonal")

    @property
    def needs_truth(self) -> bool:
        """Does its training read ground-truth latents?"""
        return not self.rolls_out or self.ground_truth_beyond is not None

    def training_seeds(self, seeds: tuple[int, ...]) -> tuple[int, ...]:
        """Those of the evaluation's seeds that the row is trained with."""
        return seeds[: self.seeds]


Sampler = Literal["rollout", "staircase", "bidirectional", "renderer"]
SAMPLER_NEEDS: dict[Sampler, tuple[str, ...]] = {
    "rollout": ("cache", "schedule", "window_frames"),
    "staircase": ("window_frames", "lag"),
    "bidirectional": (),
    "renderer": (),
}


FIXED_MODELS: dict[Sampler, str] = {"bidirectional": "teacher", "renderer": "real"}
"""Samplers whose `student` is no row of students.csv, and what it is called."""


class Sampling(Section):
    """How a row generates: its sampler, and what that one needs."""

    sampler: Sampler = "rollout"
    lag: PositiveInt | None = None
    """Steps that each chunk of a staircase is behind the one before."""
    cache: CacheMode | None = None
    schedule: str | None = None
    window_frames: PositiveInt | None = None
    chunk_frames: PositiveInt = 3
    decoder: Literal["tiny", "full"] = "tiny"
    frames: PositiveInt | None = None
    """Video frames, where they are not the profile's."""

    @model_validator(mode="after")
    def _one_sampler(self):
        needed = SAMPLER_NEEDS[self.sampler]
        for key in ("cache", "schedule", "window_frames", "lag"):
            if (getattr(self, key) is None) == (key in needed):
                raise ValueError(
                    f"sampler {self.sampler} needs {', '.join(needed) or 'no settings'}: "
                    f"{'give' if key in needed else 'leave empty'} {key}"
                )
        return self

    @property
    def many_step(self) -> bool:
        """Does it take the profile's `flow.teacher_steps`, with guidance?"""
        return self.sampler in ("staircase", "bidirectional")

    def geometry(self, whole: Geometry) -> Geometry:
        """Of its videos, where the profile's are `whole`."""
        return whole.resized(chunk_frames=self.chunk_frames, frames=self.frames or whole.frames)


class Run(Sampling):
    """One row of `runs.csv`: which model generates how, and which tables it belongs to.

    A student generates by `rollout`, the real clips come from the `renderer`. With guidance and in the profile's
    `flow.teacher_steps`, a causal model without a step list samples on a `staircase`, and the teacher, which has
    no row in students.csv, is `bidirectional`.
    """

    run_id: str = Field(pattern=r"^[a-z0-9_]+$")
    tables: str = Field(pattern=r"^[a-z0-9_]+(:[a-z0-9_]+)?(;[a-z0-9_]+(:[a-z0-9_]+)?)*$")
    """`table5;table2:without_flow_loss`: tables and figures, each with the run's row there where it is not its id."""
    student: str
    sink_frames: int = Field(0, ge=0)
    noise_level: int = Field(FORCING_TIMESTEP, ge=0, le=1000)
    cycle: bool = False
    steps: str = "default"

    @model_validator(mode="after")
    def _model_of_its_sampler(self):
        if self.sampler in FIXED_MODELS and self.student != FIXED_MODELS[self.sampler]:
            raise ValueError(f"sampler {self.sampler} is for student {FIXED_MODELS[self.sampler]}, not {self.student}")
        return self

    @property
    def rows(self) -> dict[str, str]:
        """Table or figure → the name of the run's row there."""
        pairs = (entry.partition(":") for entry in self.tables.split(";"))
        return {table: name or self.run_id for table, _, name in pairs}

    def checkpoints(self, seeds: Sequence[int]) -> list[str]:
        """Names of the models and of the decoder that make its clips."""
        if self.sampler == "renderer":
            return []
        models = ["teacher"] if self.sampler == "bidirectional" else [f"{self.student}-s{s}" for s in seeds]
        return [*models, "tiny" if self.decoder == "tiny" else "vae"]

    def schedule_for(self, geometry: Geometry) -> Schedule:
        """Its steps in a video of this size. Raises ReproError for a schedule that does not fit."""
        return Schedule.parse(self.schedule, geometry.chunks, cycle=self.cycle, steps=self.steps)


REAL = "real"
FIXED_SOURCES = (REAL, "reconstruction", "teacher", "ode")


class System(Section):
    """One row of `headroom.csv`: whose clips, and how they are sampled."""

    system: str = Field(pattern=r"^[a-z0-9_]+$")
    source: str
    """One of FIXED_SOURCES, or a student of students.csv."""
    run: str = "diagonal_4322222"
    """Row of runs.csv: schedule and cache of a causal source, and everyone's decoder."""
    steps: PositiveInt | None = None
    """Euler steps of the teacher; `flow.teacher_steps` when not given."""

    @property
    def trained_per_seed(self) -> bool:
        return self.source not in FIXED_SOURCES

    def checkpoints(self, seeds: tuple[int, ...], decoder: str) -> list[str]:
        """Names of the checkpoints that its clips need."""
        codec = "tiny" if decoder == "tiny" else "vae"
        match self.source:
            case "real":
                return []
            case "reconstruction":
                return sorted({"vae", codec})
            case "teacher":
                return ["teacher", "text_encoder", codec]
            case "ode":
                return ["teacher", "ode", "text_encoder", codec]
        return [*(f"{self.source}-s{s}" for s in seeds), "teacher", "text_encoder", codec]


class LongSystem(Section):
    """One row of `long.csv`: who makes long videos, and how."""

    system: str = Field(pattern=r"^[a-z0-9_]+$")
    run: str
    """Row of runs.csv: cache, schedule, window and decoder."""
    student: str | None = None
    """Whose weights, where they are not the run's own student's; `real`: rendered clips, for reference."""
    cycle: bool = False
    """Repeat the schedule, not its last digit."""


class Target(Section):
    """One row of `headroom_targets.csv`: a bound on what one system is to another (`reporting.headroom`)."""

    quantity: Literal["share", "floors", "change", "multiple", "recovered"]
    system: str
    reference: str
    at_least: PositiveFloat | None = None
    at_most: PositiveFloat | None = None

    @model_validator(mode="after")
    def _one_bound(self):
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give one of at_least and at_most")
        return self

    @property
    def bound(self) -> float:
        return self.at_most if self.at_least is None else self.at_least

    @property
    def key(self) -> tuple[str, str, str]:
        return self.quantity, self.system, self.reference


class Expectation(Section):
    """One row of `validity.csv`: what a measure should do under a corruption, from what it is meant to measure."""

    dimension: Literal[(*DIMENSIONS, DISTANCE)]
    corruption: Literal[CORRUPTIONS]
    expectation: Literal[EXPECTATIONS]
    reason: str

    @property
    def cell(self) -> tuple[str, str]:
        return self.dimension, self.corruption


class Device(Section):
    """One row of `devices.csv`: what a device can do at most."""

    device: str
    """Its name as PyTorch tells it."""
    bf16_tflops: PositiveFloat
    """Dense bf16 matrix peak, TFLOP/s."""
    source: str
