"""Profiles: frozen models of `config/<profile>.yaml`; unknown keys are refused."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from repro.config.base import CONFIG_DIR, Section, explain
from repro.errors import ReproError
from repro.files import read_text
from repro.geometry import Geometry


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
    generator_batches: PositiveInt = 1
    """Batches, the latest, that a generator update takes its gradient of. The student stands still while the critic
    trains, so the critic's videos are as much its own as the batch that is made for it."""
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
    """The best so many of each kind (monotone or not) at each number of forwards and of steps in the first chunk."""


class Probes(Rung):
    """Schedules drawn at random and scored on the same prompts: their steps' effects predict every schedule's score."""

    schedules: PositiveInt


class Search(Section):
    """Every schedule of at most `max_steps` steps in all: predicted from `probes`, the best scored rung by rung."""

    choices: tuple[PositiveInt, ...] = (1, 2, 3, 4, 5)
    max_steps: PositiveInt = 28
    probes: Probes
    rungs: tuple[Rung, ...]
    """On other prompts than the probes."""
    prompts: PositiveInt
    """Fresh prompts on which the finalists are compared."""
    timing: Timing

    @model_validator(mode="after")
    def _halving(self) -> "Search":
        prompts = [r.prompts for r in self.rungs]
        kept = [self.probes.keep, *(r.keep for r in self.rungs)]
        if not prompts or sorted(set(prompts)) != prompts or sorted(kept, reverse=True) != kept:
            raise ValueError("one rung at least, each with more prompts than the one before it and no more schedules")
        return self


class Windows(Roll):
    """The long video of every attention window, and how often it is timed."""

    timing: Timing


class Studies(Section):
    """How large the studies of inference are."""

    rolls: tuple[Roll, ...]
    search: Search
    windows: Windows
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
    long_timing: Timing = Timing(warmups=1, runs=3)
    """Of rows that take many steps: at paper scale a video of theirs takes over 10 s."""
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


def _read_yaml(name: str, config_dir: Path) -> dict:
    path = Path(config_dir) / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in Path(config_dir).glob("*.yaml")))
        raise ReproError(f"no profile {name!r}: {path} does not exist (profiles: {known})")
    try:
        data = yaml.safe_load(read_text(path, "restore it from the repository"))
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
