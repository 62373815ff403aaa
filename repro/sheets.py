"""Every file of config/ that is not a profile, and what reads it: `python -m repro check` reads them all."""

from collections.abc import Callable
from pathlib import Path

from repro import sources
from repro.config import CONFIG_DIR, Profile, check_all, sheets
from repro.engine.options import load_engines
from repro.evaluation.speed_rows import load_speed
from repro.evaluation.story import load_story
from repro.evaluation.vbench.dimensions import load_dimensions, load_vbench_weights
from repro.evaluation.vbench.systems import load_vbench_systems
from repro.reporting import audit, claims, printed, regress
from repro.user_study import coding, design, paper, power, simulate

READERS: dict[str, Callable[[Path], object]] = {
    "students.csv": sheets.load_students,
    "runs.csv": sheets.load_runs,
    "headroom.csv": sheets.load_systems,
    "headroom_targets.csv": sheets.load_targets,
    "long.csv": sheets.load_long,
    "validity.csv": sheets.load_expectations,
    "devices.csv": sheets.load_devices,
    "engines.csv": load_engines,
    "speed.csv": load_speed,
    "tolerances.csv": regress.load_tolerances,
    "paper_tables.csv": printed.load,
    "paper_text.csv": printed.load,
    "claims.csv": claims.load,
    "audit.csv": audit.load,
    "weights.csv": sources.load_weights,
    "table_needs.csv": sources.load_needs,
    "vbench_dimensions.csv": load_dimensions,
    "vbench_weights.csv": load_vbench_weights,
    "vbench_systems.csv": load_vbench_systems,
    "user_study/paper.csv": lambda folder: paper.load(folder / "user_study" / "paper.csv"),
    "user_study/power.csv": lambda folder: power.load_sizes(folder / "user_study" / "power.csv"),
    "user_study/truth.csv": lambda folder: simulate.load_truths(folder / "user_study" / "truth.csv"),
    "user_study/themes.csv": lambda folder: coding.load_codebook(folder / "user_study" / "themes.csv"),
    "user_study/design.yaml": lambda folder: design.load(folder / "user_study" / "design.yaml"),
    "user_study/paper_design.yaml": lambda folder: design.load(folder / "user_study" / "paper_design.yaml"),
}


def check(profile: Profile, config_dir: Path = CONFIG_DIR) -> int:
    """Read every file and cross-check the rows against the profile: how many files. Raises ReproError for a bad one."""
    for read in READERS.values():
        read(config_dir)
    check_all(profile, config_dir)
    load_story(profile, config_dir)
    return len(READERS) + 1
