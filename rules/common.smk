# What `--config` says, the profile and the sheets: all of it is checked before a job starts.
import fcntl
import os
import shlex
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from snakemake.exceptions import WorkflowError

from repro.config import (
    REAL,
    EvaluationSize,
    Profile,
    check_all,
    load_long,
    load_profile,
    load_runs,
    load_scale,
    load_students,
    load_systems,
    stage_settings,
    student_settings,
    students_of,
    training_seeds,
)
from repro.device import PER_CARD
from repro.errors import ReproError
from repro.evaluation.vbench.systems import load_vbench_systems
from repro.sources import find_weights

DEFAULTS = {
    "profile": "mini",
    "train": False,
    "checkpoints": "",
    "evaluation": "default",
    "device": "cpu",
    "per_card": 1,
    "results": "results",
    "responses": "",
    "design": "config/user_study/design.yaml",
    # VBench with published weights, paper scale only: a folder of weights starts it.
    "weights": "",
    "systems": "",
    "cache": "",
    "dimensions": "all",
    "static_filter": True,
    "originals": "",
    "extended": "",
    "shards": 1,
    # A trial: so many prompts of a dimension and videos of a prompt.
    "first": 0,
    "samples": 0,
}
# Snakemake itself knows True and False only.
WORDS = {"true": True, "false": False}
KINDS = {bool: "true or false", int: "a whole number", str: "text"}


def read_config(given):
    for key in given:
        if key not in DEFAULTS:
            near = get_close_matches(key, DEFAULTS, 1)
            raise WorkflowError(
                f"unknown config key {key!r}: "
                + (f"did you mean {near[0]!r}? " if near else "")
                + f"The keys are {', '.join(DEFAULTS)}"
            )
    values = DEFAULTS | given
    for key, value in list(values.items()):
        kind = type(DEFAULTS[key])
        if kind is bool and value in WORDS:
            value = values[key] = WORDS[value]
        if not isinstance(value, kind):
            raise WorkflowError(f"config key {key}={value!r} must be {KINDS[kind]}")
        if kind is int and value < DEFAULTS[key]:
            raise WorkflowError(
                f"config key {key}={value} must be at least {DEFAULTS[key]}"
            )
    sizes = get_args(EvaluationSize)
    if values["evaluation"] not in sizes:
        raise WorkflowError(
            f"config key evaluation={values['evaluation']!r} must be one of {', '.join(sizes)}"
        )
    return values


def refuse_folder(folder, why):
    raise WorkflowError(
        f"cannot write results to {folder}: {why}. "
        "Choose another folder with --config results=PATH"
    )


def check_writable(folder):
    """Refuse a results folder that cannot be made or written, before anything is planned."""
    nearest = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not nearest.is_dir():
        refuse_folder(folder, f"{nearest} is not a folder")
    if not os.access(nearest, os.W_OK):
        refuse_folder(folder, f"{nearest} is read-only")


def hold_lock():
    """One run at a time in a results folder.

    Snakemake's own lock outlives a killed run; the kernel drops this one with the process.
    """
    global lock_file
    folder = Path(OUT)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock_file = (folder / ".lock").open("w")
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        refuse_folder(folder, "another run is writing it; wait until that has ended")
    except OSError as error:
        refuse_folder(folder, error.strerror)


def not_measured(table):
    """Input function that stops the planning of a table of speed that no published record has."""

    def stop(wildcards):
        raise WorkflowError(
            f"{table} of profile {PROFILE.name} has no published record yet: measure it on a GPU with "
            f"--config profile={PROFILE.name} device=cuda"
        )

    return stop


def systems_with_weights():
    """Rows of vbench_systems.csv that are asked for; what any of them lacks is told before a job starts."""
    known = load_vbench_systems()
    names = config["systems"].split(",") if config["systems"] else list(known)
    try:
        for name in names:
            if name not in known:
                raise ReproError(
                    f"config key systems names {name!r}: vbench_systems.csv has {', '.join(known)}"
                )
            for provides in known[name].needs:
                find_weights(provides, WEIGHTS)
    except ReproError as error:
        raise WorkflowError(
            f"{error}\nOr choose other systems with --config systems=a,b"
        ) from None
    return {name: known[name] for name in names}


def runs_of(table):
    rows = [r.run_id for r in RUNS.values() if table in r.rows]
    if not rows:
        raise WorkflowError(
            f"config/runs.csv gives {table} no run: write {table} in a row's `tables`"
        )
    return rows


def checkpoints(*names, of_run=False):
    """Input function: paths of checkpoints, with `of_run` those of the wildcard's run as well.

    A missing one that no rule trains is refused by name.
    """

    def paths(wildcards):
        found = [*names, *(run_weights(wildcards.run_id, SEEDS) if of_run else ())]
        missing = [f for f in weights(*found) if not TRAIN and not Path(f).is_file()]
        if missing:
            raise WorkflowError(
                f"checkpoint {missing[0]} is missing: restore it with `git checkout {missing[0]}`, "
                "or train your own with --config train=true"
            )
        return weights(*found)

    return paths


def run_weights(run_id, seeds):
    """Names of the checkpoints that generating a run needs."""
    run = RUNS[run_id]
    return run.checkpoints(training_seeds(run, STUDENTS, seeds))


def system_weights(name, seeds):
    """Names of the checkpoints that sampling a system of headroom.csv needs."""
    system = SYSTEMS[name]
    return system.checkpoints(seeds, RUNS[system.run].decoder)


def row(wildcards):
    """The run's row of runs.csv: a changed row, and only that, is run again."""
    return RUNS[wildcards.run_id].model_dump_json()


def weights(*names):
    return [f"{CHECKPOINTS}/{name}.safetensors" for name in names]


def training_logs(wildcards):
    """What the logs come from: every stage's checkpoint, or the published logs."""
    if TRAIN:
        students = [
            f"{name}-s{seed}" for name in students_of("table5") for seed in SEEDS
        ]
        return weights("judge", "vae", "tiny", "teacher", "ode", *students)
    found = sorted(str(path) for path in Path(LOGS).glob("*/*.json*"))
    if not found:
        raise WorkflowError(
            f"{LOGS} holds no training log: train your own with --config train=true"
        )
    return found


def table_files(number):
    stem = f"{OUT}/tables/table{number}"
    return multiext(stem, ".csv", "_pairs.csv", "_ratios.csv", ".md", ".html", ".tex")


def report_files(number):
    """What the target `table<number>` asks for."""
    return [
        f"{OUT}/metrics.csv",
        *table_files(number),
        f"{OUT}/notebooks/table{number}.ipynb",
    ]


def headroom_files():
    """What the target `headroom` asks for."""
    return [
        *multiext(
            f"{OUT}/tables/headroom", ".csv", "_targets.csv", ".md", ".html", ".tex"
        ),
        f"{OUT}/notebooks/headroom.ipynb",
    ]


def sheet_files(name, *more):
    """Table and notebook of `audit` or `claims`."""
    return [
        *multiext(f"{PAPER}/tables/{name}", ".csv", *more, ".md", ".html", ".tex"),
        f"{PAPER}/notebooks/{name}.ipynb",
    ]


def published_evidence():
    """Published scores and records that a claim may rest on: new ones judge it anew."""
    parts = (
        "mini/runs/*/scores.csv",
        "wan-h100/speed/*.json",
        "mini/long/**/*.*",
        "mini/search/*.*",
        "mini/windows/*.*",
    )
    folder = Path("results/published")
    return sorted(str(path) for part in parts for path in folder.glob(part))


def ablation_folder(table):
    """Where the runs of a table are: evaluated here if every student is at hand, else published."""
    needed = [name for run in runs_of(table) for name in run_weights(run, SEEDS)]
    here = TRAIN or all(Path(path).is_file() for path in weights(*needed))
    return f"{OUT}/runs" if here else f"results/published/{PROFILE.name}/runs"


def ablation_inputs(table):
    """Scores of every run and of the real clips; of published ones those that there are."""
    folder = ablation_folder(table)
    files = [
        f"{folder}/{run}/{file}"
        for run in dict.fromkeys([*runs_of(table), REAL])
        for file in ("quality.json", "scores.csv", "chunks.csv")
    ]
    found = [f for f in files if folder.startswith(OUT) or Path(f).is_file()]
    if not any(f"/{run}/" in f for f in found for run in runs_of(table) if run != REAL):
        raise WorkflowError(
            f"{folder} has no run of {table}: train its students with --config train=true"
        )
    return found


def ablation_files(number):
    """What the target `table<number>` asks for."""
    stem = f"{OUT}/tables/table{number}"
    return [
        *multiext(stem, ".csv", "_pairs.csv", ".md", ".html", ".tex"),
        f"{OUT}/notebooks/table{number}.ipynb",
    ]


def figure_files(name):
    """Table of a figure and what is drawn of it."""
    stem = f"{OUT}/tables/figure{name}"
    ends = (".csv", "_pairs.csv", f"_{FIGURES[name]}.csv", ".md", ".html", ".tex")
    return multiext(stem, *ends)


def validity_files():
    """What the target `validity` asks for."""
    return [
        f"{OUT}/validity/validity.json",
        *multiext(
            f"{OUT}/tables/validity", ".csv", "_agreement.csv", ".md", ".html", ".tex"
        ),
        f"{OUT}/notebooks/validity.ipynb",
    ]


envvars:
    "PATH",


# Jobs run with the Python that runs Snakemake, whether or not its environment is activated.
os.environ["PATH"] = os.pathsep.join(
    [os.path.dirname(sys.executable), os.environ["PATH"]]
)
# What a clocked job claims, so that no other runs beside it: all that Snakemake was given, or, on a
# cluster, which gives none, CLUSTER_CORES.
CLUSTER_CORES = 8
ALL_CORES = workflow.resource_settings.cores or CLUSTER_CORES

config = read_config(config)
# Each job takes a GPU that fewer than so many others have.
os.environ[PER_CARD] = str(config["per_card"])
try:
    PROFILE, RUNS, STUDENTS, SYSTEMS = (
        load_scale(config["profile"]),
        load_runs(),
        load_students(),
        load_systems(),
    )
    # A scale without a world is timed only.
    TIMED_ONLY = not isinstance(PROFILE, Profile)
    if not TIMED_ONLY:
        PROFILE = load_profile(config["profile"], evaluation=config["evaluation"])
        check_all(PROFILE)
except ReproError as error:
    raise WorkflowError(str(error)) from None

DEVICE = config["device"]
GPU = int(DEVICE.startswith("cuda"))
SEEDS = () if TIMED_ONLY else PROFILE.evaluation.student_seeds
SUFFIX = "" if config["evaluation"] == "default" else f"-{config['evaluation']}"
OUT = f"{config['results']}/{PROFILE.name}{SUFFIX}"
# The smoke profile ships no checkpoints: it makes its own unless it is given some.
TRAIN = config["train"] or (PROFILE.name == "smoke" and not config["checkpoints"])
SHIPPED = f"results/published/{PROFILE.name}/checkpoints"
CHECKPOINTS = config["checkpoints"] or (f"{OUT}/checkpoints" if TRAIN else SHIPPED)
PAPER = f"{config['results']}/paper"
check_writable(Path(OUT))
WEIGHTS = config["weights"]
if WEIGHTS and not TIMED_ONLY:
    raise WorkflowError(
        "config key weights is for published weights: add profile=wan, or leave it out"
    )
DIMENSIONS = shlex.quote(config["dimensions"])
CACHE = f"--cache {shlex.quote(config['cache'])}" if config["cache"] else ""
FILTER = "--static-filter" if config["static_filter"] else "--no-static-filter"
TRIAL = f"--first {config['first']} --samples {config['samples']}"
EXTENDED = " ".join(
    f"--{key} {shlex.quote(config[key])}"
    for key in ("originals", "extended")
    if config[key]
)
# Options that most verbs share; as a rule's parameter, a changed one runs the rule again.
SCALE = f"--profile {PROFILE.name} --checkpoints {shlex.quote(CHECKPOINTS)}"
SETTINGS = f"{SCALE} --device {DEVICE}"
EVALUATION = f"--evaluation {config['evaluation']}"


wildcard_constraints:
    run_id="[a-z0-9_]+",


def has_weights(run):
    return TRAIN or all(Path(f).is_file() for f in weights(*student_weights(run)))


def student_weights(run):
    """Names of the checkpoints of a run's student; none for real clips."""
    if run.student == REAL:
        return []
    trained = STUDENTS[run.student].training_seeds(SEEDS)
    return [f"{run.student}-s{seed}" for seed in trained]


def user_study_files():
    """What the target `user_study` asks for: with `--config responses=PATH`, their analysis as well."""
    files = [
        f"{USER_STUDY}/plan/plan.csv",
        f"{USER_STUDY}/notebooks/user_study.ipynb",
    ]
    return (
        files + [f"{USER_STUDY}/tables/user_study_responses.md"] if RESPONSES else files
    )
