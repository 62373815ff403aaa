"""Sheets read: rows by their key, and what follows from a row and a profile together."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from repro.config.base import CONFIG_DIR, load_rows
from repro.config.profile import Fit, Profile, Scale
from repro.config.rows import FIXED_MODELS, REAL, Device, Expectation, LongSystem, Run, Student, System, Target
from repro.errors import ReproError
from repro.evaluation.dimensions import CORRUPTIONS, DIMENSIONS, DISTANCE, EXPECTATIONS


def runs_of(table: str, runs: Iterable[Run]) -> list[Run]:
    """The runs of a table or figure. Raises ReproError where there are none."""
    found = [run for run in runs if table in run.rows]
    if not found:
        raise ReproError(f"runs.csv gives {table} no run: write {table} in a row's `tables`")
    return found


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


def student_fit(profile: Scale, row: Student) -> Fit:
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
