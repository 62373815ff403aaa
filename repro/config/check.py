"""Every row against the profile, before any job starts."""

from collections.abc import Iterable
from pathlib import Path

from repro.config.base import CONFIG_DIR
from repro.config.profile import Profile
from repro.config.rows import FIXED_MODELS, FIXED_SOURCES, Run
from repro.config.sheets import load_expectations, load_long, load_runs, load_students, load_systems, load_targets
from repro.errors import ReproError
from repro.schedule import Schedule

TABLES = (
    *(f"table{n}" for n in (1, 2, 3, 5, 6, 7, 9)),
    *(f"figure{n}" for n in ("5a", "5b", "10")),
    "headroom",
)
"""What the runs of runs.csv are shown in."""


def _whole_chunks(where: str, chunk_frames: int, window_frames: int, sink_frames: int = 0) -> None:
    if window_frames % chunk_frames or sink_frames % chunk_frames:
        raise ReproError(
            f"{where}: window_frames {window_frames} and sink_frames {sink_frames} must be whole chunks of "
            f"{chunk_frames}"
        )


def _each_row_once(runs: Iterable[Run]) -> None:
    """A table shows each of its rows from one run."""
    taken = {}
    for run in runs:
        where = f"runs.csv: run {run.run_id!r} has tables {run.tables!r}"
        if len(run.rows) < len(run.tables.split(";")):
            raise ReproError(f"{where}, one of them twice: a run is one row of a table")
        for table, row in run.rows.items():
            if table not in TABLES:
                raise ReproError(f"{where}, but there is no {table!r}: choose of {', '.join(TABLES)}")
            first = taken.setdefault((table, row), run.run_id)
            if first != run.run_id:
                raise ReproError(f"{where}, but row {row!r} of {table} is run {first!r} already: name another row")


def check_all(profile: Profile, config_dir: Path = CONFIG_DIR) -> None:
    """Cross-check every row against the profile before any job starts."""
    students, runs = load_students(config_dir), load_runs(config_dir)
    _each_row_once(runs.values())
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
