"""Profiles: frozen models of `config/<profile>.yaml`, `students.csv` and `runs.csv`; unknown keys are refused."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from repro.errors import ReproError
from repro.evaluation.dimensions import CORRUPTIONS, DIMENSIONS, DISTANCE, EXPECTATIONS
from repro.geometry import Geometry
from repro.schedule import FORCING_TIMESTEP, CacheMode, Schedule

ROOT = Path(__file__).resolve().parents[1]
CONFIG_DIR = ROOT / "config"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Dit(Section):
    """Widths of the DiT; everything else follows from the geometry."""

    dim: PositiveInt
    heads: PositiveInt
    layers: PositiveInt
    ffn_dim: PositiveInt
    text_dim: PositiveInt
    text_tokens: PositiveInt
    freq_dim: PositiveInt = 256


class Text(Section):
    """Small UMT5 encoder; its width is `dit.text_dim`."""

    layers: PositiveInt
    heads: PositiveInt
    ffn_dim: PositiveInt


class Autoencoders(Section):
    """Widths of the AutoencoderKLWan-class VAE and of the TAEHV-class tiny decoder."""

    base_dim: PositiveInt
    dim_mult: tuple[PositiveInt, ...]
    res_blocks: PositiveInt
    tiny_channels: tuple[PositiveInt, ...]


class World(Section):
    """How many clips of the sprite world each split holds."""

    train_clips: PositiveInt
    heldout_clips: PositiveInt


class Fit(Section):
    """One optimisation: linear warm-up and cosine decay to zero."""

    iterations: PositiveInt
    batch: PositiveInt
    lr: PositiveFloat
    warmup: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    clip_norm: PositiveFloat = 1.0
    ema: float = Field(0.999, ge=0, lt=1)
    save_every: PositiveInt = 500


class TeacherFit(Fit):
    text_dropout: float = 0.1
    train_shift: PositiveFloat = 3.0
    """Flow shift of the training noise levels (sampling uses `flow.shift`)."""


class OdeFit(Fit):
    trajectories: PositiveInt
    solver_steps: PositiveInt = 40


class DmdFit(Fit):
    critic_lr: PositiveFloat
    critic_updates: PositiveInt = 5
    critic_warmup: int = 40
    """Rounds of `critic_updates` critic updates before the first generator update."""
    real_guidance: float = 3.0
    reg_weight: float = Field(0.0, ge=0)
    """Weight of L_reg over that of DMD (the paper's formula: 1 over 4; the authors' later code: 0)."""
    timestep_range: tuple[int, int] = (20, 980)
    at_once: PositiveInt | None = None
    """Videos that a process rolls out, and takes a gradient of, at once; all of its share of an iteration when not
    given, which is faster and takes more memory. It changes no result."""


class FlowMatching(Section):
    """L_total of a student whose row names a motion feature (paper, eq. 12), and the training of that feature.

    All of L_total is divided by lambda_spatial, so that rows with and without the motion terms have the
    same spatial term: L_DMD + reg_weight·L_reg + γ(lambda_flow·L_flow_DMD + L_flow_reg) / lambda_spatial.
    """

    lambda_spatial: PositiveFloat = 4.0
    lambda_flow: float = Field(4.0, ge=0)
    lr: PositiveFloat = 1e-3
    ema: float = Field(0.95, ge=0, lt=1)
    """μ of the target head."""


class Flow(Section):
    shift: PositiveFloat = 5.0
    guidance: float = 3.0
    teacher_steps: PositiveInt = 50


class Evaluation(Section):
    prompts: PositiveInt
    batch: PositiveInt
    bootstrap: PositiveInt = 2000
    seed: int = 0
    student_seeds: tuple[int, ...] = (0,)
    """Training seeds of the students that quality cells average over."""


EvaluationSize = Literal["default", "full"]


class Headroom(Section):
    """Clips of one system: all for the distances, the first `scored` for the sixteen measures."""

    clips: PositiveInt
    scored: PositiveInt
    batch: PositiveInt


class Validity(Section):
    """Real clips that are corrupted and scored, and clips over which the judge is held against the truth."""

    clips: PositiveInt
    judged: PositiveInt
    batch: PositiveInt
    severities: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    margin: PositiveFloat = 0.1
    """The smallest change of a score that counts as one. Ruling out a smaller one, however rare the clips that
    change, takes more clips: some ln(1/p) / margin."""

    @field_validator("severities")
    @classmethod
    def _graded(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(values) < 3 or values[0] != 0 or values[-1] > 1 or sorted(set(values)) != list(values):
            raise ValueError("at least three severities that rise from 0 to at most 1")
        return values


class Timing(Section):
    warmups: PositiveInt = 3
    runs: PositiveInt = 10


class Roll(Section):
    """A long video: at least so many seconds, of so many held-out prompts."""

    seconds: PositiveFloat
    prompts: PositiveInt


class Rung(Section):
    """One round of successive halving: prompts each schedule has been scored on at its end, and who goes on."""

    prompts: PositiveInt
    keep: PositiveInt
    """The best so many of each kind (monotone or not) at each number of forwards."""


class Search(Section):
    """Every schedule of `max_steps` steps in all, or `candidates` drawn from them, scored rung by rung."""

    choices: tuple[PositiveInt, ...] = (1, 2, 3, 4, 5)
    max_steps: PositiveInt = 28
    candidates: PositiveInt | None = None
    probes: PositiveInt
    """Schedules drawn at random and scored on all the rungs' prompts: what a step is worth, chunk by chunk."""
    rungs: tuple[Rung, ...]
    prompts: PositiveInt
    """Fresh prompts on which the finalists are compared."""
    timing: Timing

    @field_validator("rungs")
    @classmethod
    def _halving(cls, rungs: tuple[Rung, ...]) -> tuple[Rung, ...]:
        prompts, kept = [r.prompts for r in rungs], [r.keep for r in rungs]
        if not rungs or sorted(set(prompts)) != prompts or sorted(kept, reverse=True) != kept:
            raise ValueError("one rung at least, each with more prompts than the one before it and no more schedules")
        return rungs


class Studies(Section):
    """How large the studies of inference are."""

    rolls: tuple[Roll, ...]
    search: Search
    codec_clips: PositiveInt
    """Held-out clips on which the decoders are compared."""
    stories: PositiveInt
    """Noise seeds under which the narrative is told."""
    batch: PositiveInt
    """Videos made together."""


class Cost(Section):
    """Training iterations measured on a CPU: the batch that it can take, and how often each is timed."""

    cpu_batch: PositiveInt
    warmups: PositiveInt = 1
    runs: PositiveInt = 3


class Scale(Section):
    """Sizes of a model and of its videos: all that timing needs. `wan` has no more than them and `dmd_fit`."""

    name: str
    geometry: Geometry
    dit: Dit
    autoencoders: Autoencoders
    flow: Flow
    timing: Timing
    dmd_fit: DmdFit | None = None
    flow_matching: FlowMatching = FlowMatching()
    umt5: dict[str, PositiveInt] | None = None
    """Sizes of the text encoder that published weights come with; UMT5-XXL's when not given."""


class Profile(Scale):
    """A scale with a world of its own, in which students are trained and measured: mini and smoke."""

    text: Text
    world: World
    judge_fit: Fit
    vae_fit: Fit
    tiny_fit: Fit
    teacher_fit: TeacherFit
    ode_fit: OdeFit
    causal_fit: TeacherFit
    dmd_fit: DmdFit
    evaluation: Evaluation
    full_evaluation: Evaluation
    """What published numbers rest on; takes the place of `evaluation` when asked for."""
    studies: Studies
    full_studies: Studies
    """The same for the studies."""
    headroom: Headroom
    validity: Validity
    cost: Cost


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


class Run(Section):
    """One row of `runs.csv`: which model generates how, and which tables it belongs to.

    A student generates by `rollout`, the real clips come from the `renderer`. With guidance and in the profile's
    `flow.teacher_steps`, a causal model without a step list samples on a `staircase`, and the teacher, which has
    no row in students.csv, is `bidirectional`.
    """

    run_id: str = Field(pattern=r"^[a-z0-9_]+$")
    tables: str = Field(pattern=r"^[a-z0-9_]+(:[a-z0-9_]+)?(;[a-z0-9_]+(:[a-z0-9_]+)?)*$")
    """`table5;table2:without_flow_loss`: tables and figures, each with the run's row there where it is not its id."""
    student: str
    sampler: Sampler = "rollout"
    lag: PositiveInt | None = None
    """Steps that each chunk of a staircase is behind the one before."""
    cache: CacheMode | None = None
    schedule: str | None = None
    window_frames: PositiveInt | None = None
    sink_frames: int = Field(0, ge=0)
    noise_level: int = Field(FORCING_TIMESTEP, ge=0, le=1000)
    chunk_frames: PositiveInt = 3
    decoder: Literal["tiny", "full"] = "tiny"
    frames: PositiveInt | None = None
    """Video frames, where they are not the profile's."""
    cycle: bool = False
    steps: str = "default"

    @model_validator(mode="after")
    def _one_sampler(self):
        needed = SAMPLER_NEEDS[self.sampler]
        for key in ("cache", "schedule", "window_frames", "lag"):
            if (getattr(self, key) is None) == (key in needed):
                raise ValueError(
                    f"sampler {self.sampler} needs {', '.join(needed) or 'no settings'}: "
                    f"{'give' if key in needed else 'leave empty'} {key}"
                )
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


def runs_of(table: str, runs: Iterable[Run]) -> list[Run]:
    """The runs of a table or figure. Raises ReproError where there are none."""
    found = [run for run in runs if table in run.rows]
    if not found:
        raise ReproError(f"runs.csv gives {table} no run: write {table} in a row's `tables`")
    return found


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


def explain(error: ValidationError, where: str) -> ReproError:
    """What is wrong with a file, row or set of options, field by field, the offending value in each line."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "(whole)"
        if item["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown key {key!r} (value {item['input']!r}); remove it or correct its spelling")
        else:
            lines.append(f"{where}: {key} = {item.get('input')!r}: {item['msg']}")
    return ReproError("\n".join(lines))


def _read_yaml(name: str, config_dir: Path) -> dict:
    path = Path(config_dir) / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in Path(config_dir).glob("*.yaml")))
        raise ReproError(f"no profile {name!r}: {path} does not exist (profiles: {known})")
    try:
        data = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ReproError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ReproError(f"{path.name} must be a mapping of sections, not {type(data).__name__}")
    return data


def load_scale(name: str, config_dir: Path = CONFIG_DIR) -> Scale:
    """Read and validate `config/<name>.yaml`, which need not have a world."""
    data = _read_yaml(name, config_dir)
    try:
        return (Profile if "world" in data else Scale)(name=name, **data)
    except ValidationError as error:
        raise explain(error, f"{name}.yaml") from error


def load_profile(name: str, config_dir: Path = CONFIG_DIR, evaluation: EvaluationSize = "default") -> Profile:
    """The same with its world; with `evaluation="full"`, `full_evaluation` and `full_studies` take their places."""
    profile = load_scale(name, config_dir)
    if not isinstance(profile, Profile):
        raise ReproError(
            f"profile {name!r} has no world to train or measure quality in: it is timed only "
            f"(snakemake speed --config profile={name} device=cuda)"
        )
    full = {"evaluation": profile.full_evaluation, "studies": profile.full_studies}
    return profile.model_copy(update=full) if evaluation == "full" else profile


def load_rows(path: Path, model: type[Section], key: str) -> dict:
    """A sheet's rows by their key. Raises ReproError naming line, column and value of what is wrong."""
    if not path.is_file():
        raise ReproError(f"{path} is missing: restore it from the repository")
    rows = {}
    with path.open(newline="") as handle:
        for number, row in enumerate(csv.DictReader(handle), start=2):
            where = f"{path.name}, line {number}"
            row = {k: v for k, v in row.items() if v != ""}
            if None in row:
                raise ReproError(f"{where}: more values than columns: {row[None]!r}")
            try:
                item = model(**row)
            except ValidationError as error:
                raise explain(error, where) from error
            if getattr(item, key) in rows:
                raise ReproError(f"{where}: {key} {getattr(item, key)!r} appears twice; every row needs its own")
            rows[getattr(item, key)] = item
    return rows


def load_students(config_dir: Path = CONFIG_DIR) -> dict[str, Student]:
    return load_rows(Path(config_dir) / "students.csv", Student, "student")


def load_runs(config_dir: Path = CONFIG_DIR) -> dict[str, Run]:
    return load_rows(Path(config_dir) / "runs.csv", Run, "run_id")


def students_of(table: str, config_dir: Path = CONFIG_DIR) -> dict[str, Student]:
    """The students whose runs a table shows, in the order of students.csv."""
    shown = {run.student for run in load_runs(config_dir).values() if table in run.rows}
    return {name: row for name, row in load_students(config_dir).items() if name in shown}


def load_systems(config_dir: Path = CONFIG_DIR) -> dict[str, System]:
    return load_rows(Path(config_dir) / "headroom.csv", System, "system")


def load_long(config_dir: Path = CONFIG_DIR) -> dict[str, Run]:
    """Rows of long.csv as runs: the named run with the student and the way of going on that the row says."""
    runs, students, found = load_runs(config_dir), load_students(config_dir), {}
    for name, row in load_rows(Path(config_dir) / "long.csv", LongSystem, "system").items():
        if row.run not in runs:
            raise ReproError(f"long.csv: system {name!r} names run {row.run!r}, which runs.csv lacks")
        run = runs[row.run]
        run = run.model_copy(update={"run_id": name, "student": row.student or run.student, "cycle": row.cycle})
        if run.student not in (REAL, *students):
            raise ReproError(f"long.csv: system {name!r} names student {run.student!r}, which students.csv lacks")
        found[name] = run
    return found


def load_targets(config_dir: Path = CONFIG_DIR) -> list[Target]:
    targets = list(load_rows(Path(config_dir) / "headroom_targets.csv", Target, "key").values())
    systems = load_systems(config_dir)
    for target in targets:
        for name in (target.system, target.reference):
            if name not in systems:
                raise ReproError(
                    f"headroom_targets.csv names system {name!r}, which headroom.csv lacks "
                    f"(it has {', '.join(systems)})"
                )
    return targets


def load_expectations(config_dir: Path = CONFIG_DIR) -> dict[tuple[str, str], Expectation]:
    """Every (measure, corruption), in the order of the measures."""
    rows = load_rows(Path(config_dir) / "validity.csv", Expectation, "cell")
    cells = [(d, c) for d in (*DIMENSIONS, DISTANCE) for c in CORRUPTIONS]
    for dimension, corruption in cells:
        if (dimension, corruption) not in rows:
            raise ReproError(
                f"validity.csv says nothing of {dimension} under {corruption}: add a row with "
                f"{', '.join(EXPECTATIONS[:-1])} or {EXPECTATIONS[-1]}"
            )
    return {cell: rows[cell] for cell in cells}


def load_devices(config_dir: Path = CONFIG_DIR) -> dict[str, Device]:
    return load_rows(Path(config_dir) / "devices.csv", Device, "device")


def _whole_chunks(where: str, chunk_frames: int, window_frames: int, sink_frames: int = 0) -> None:
    if window_frames % chunk_frames or sink_frames % chunk_frames:
        raise ReproError(
            f"{where}: window_frames {window_frames} and sink_frames {sink_frames} must be whole chunks of "
            f"{chunk_frames}"
        )


def student_fit(profile: Profile, row: Student) -> Fit:
    """How the profile trains the row."""
    fit = getattr(profile, row.fit_name)
    own = {"iterations": row.iterations, "reg_weight": row.reg_weight}
    return fit.model_copy(update={key: value for key, value in own.items() if value is not None})


def training_seeds(run: Run, students: Mapping[str, Student], seeds: tuple[int, ...]) -> tuple[int, ...]:
    """Those of the evaluation's training seeds that the run's model is trained with; one for a fixed model."""
    return seeds[:1] if run.sampler in FIXED_MODELS else students[run.student].training_seeds(seeds)


def for_run(profile: Profile, run: Run, students: Mapping[str, Student]) -> Profile:
    """The profile with those training seeds alone that the run's model has."""
    seeds = training_seeds(run, students, profile.evaluation.student_seeds)
    return profile.model_copy(update={"evaluation": profile.evaluation.model_copy(update={"student_seeds": seeds})})


def check_all(profile: Profile, config_dir: Path = CONFIG_DIR) -> None:
    """Cross-check every row against the profile before any job starts."""
    students, runs = load_students(config_dir), load_runs(config_dir)
    load_expectations(config_dir)
    load_targets(config_dir)
    load_long(config_dir)
    for name in ("clips", "judged"):
        if getattr(profile.validity, name) > profile.world.heldout_clips:
            raise ReproError(
                f"{profile.name}.yaml: validity.{name} = {getattr(profile.validity, name)} is more than the "
                f"{profile.world.heldout_clips} of world.heldout_clips: lower it"
            )
    for student in students.values():
        chunks = profile.geometry.with_chunk_frames(student.chunk_frames).chunks
        if not student.many_step:
            Schedule.parse(student.schedule, chunks)
        _whole_chunks(f"students.csv: student {student.student!r}", student.chunk_frames, student.window_frames)
    for run in runs.values():
        if run.sampler in FIXED_MODELS:
            continue
        if run.student not in students:
            raise ReproError(
                f"runs.csv: run {run.run_id!r} names student {run.student!r}, which students.csv lacks "
                f"(it has {', '.join(students)})"
            )
        if students[run.student].many_step != (run.sampler == "staircase"):
            raise ReproError(
                f"runs.csv: run {run.run_id!r} has sampler {run.sampler}, but student {run.student!r} "
                f"{'has no' if students[run.student].many_step else 'is distilled for a'} step list"
            )
        if run.sampler == "staircase":
            continue
        run.schedule_for(profile.geometry.with_chunk_frames(run.chunk_frames))
        _whole_chunks(f"runs.csv: run {run.run_id!r}", run.chunk_frames, run.window_frames, run.sink_frames)
    for system in load_systems(config_dir).values():
        if system.trained_per_seed and system.source not in students:
            raise ReproError(
                f"headroom.csv: system {system.system!r} has source {system.source!r}; choose one of "
                f"{', '.join((*FIXED_SOURCES, *students))}"
            )
        if system.run not in runs:
            raise ReproError(f"headroom.csv: system {system.system!r} names run {system.run!r}, which runs.csv lacks")


def json_schema(model: type[BaseModel]) -> str:
    """JSON Schema text of a model, with the `$schema` key Snakemake's validate() wants."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | model.model_json_schema()
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"
