"""Rows of `config/speed.csv`: what is timed at paper scale, and by which engine."""

from math import ceil
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat

from repro.config import CONFIG_DIR, FIXED_MODELS, Run, Sampling, Scale, load_rows
from repro.engine.options import EngineOptions, load_engines
from repro.errors import ReproError
from repro.generation.cache_policy import POLICIES

TABLES = ("ladder", *(f"table{n}" for n in (1, 3, 4, 5, 6, 7, 8)))
"""What the rows of speed.csv are shown in."""

WARMUP_STEPS = 2
"""Of a bidirectional row, whose forwards are all alike."""


class SpeedRow(Sampling):
    """One timed configuration: a row of a paper table, or a rung of the ladder."""

    row: str = Field(pattern=r"^[a-z0-9_]+$")
    tables: str
    sampler: Literal["rollout", "staircase", "bidirectional"] = "rollout"
    engine: str | None = None
    """Row of engines.csv; the one asked for where it is empty."""
    memory: bool = False
    """Measure its memory too, alone on the device."""
    predicted_s: PositiveFloat | None = None
    """Seconds a video that were expected before this row was measured."""

    @property
    def run(self) -> Run:
        kept = self.model_dump(include=set(Sampling.model_fields))
        if self.cache is not None:
            kept["noise_level"] = POLICIES[self.cache].noise_level
        return Run(run_id=self.row, tables=self.tables, student=FIXED_MODELS.get(self.sampler, "random"), **kept)


def load_speed(config_dir: Path = CONFIG_DIR) -> dict[str, SpeedRow]:
    """Rows of speed.csv. Raises ReproError naming the row and the value of what is wrong."""
    rows, engines = load_rows(Path(config_dir) / "speed.csv", SpeedRow, "row"), load_engines(config_dir)
    for name, row in rows.items():
        unknown = [table for table in row.tables.split(";") if table not in TABLES]
        if unknown:
            raise ReproError(f"speed.csv: row {name!r} is of {unknown[0]!r}: choose of {', '.join(TABLES)}")
        if row.engine not in (None, *engines):
            raise ReproError(f"speed.csv: row {name!r} has engine {row.engine!r}: engines.csv has {', '.join(engines)}")
    return rows


def rows_of(tables: list[str], names: list[str] | None = None, config_dir: Path = CONFIG_DIR) -> list[SpeedRow]:
    """Rows of any of these tables, or of the `ladder`, in the order of the sheet; those in `names` alone, if given."""
    sheet = load_speed(config_dir).values()
    known = {t for r in sheet for t in r.tables.split(";")}
    for table in tables:
        if table not in known:
            raise ReproError(f"speed.csv has no row of {table!r}: choose of {', '.join(sorted(known))}")
    rows = [r for r in sheet if set(tables) & set(r.tables.split(";"))]
    for name in names or []:
        if name not in {r.row for r in rows}:
            raise ReproError(f"{', '.join(tables)} has no row {name!r}: choose of {', '.join(r.row for r in rows)}")
    return [r for r in rows if names is None or r.row in names]


def engine_of(row: SpeedRow, default: str) -> EngineOptions:
    name, known = row.engine or default, load_engines()
    if name not in known:
        raise ReproError(f"no engine {name!r}: engines.csv has {', '.join(known)}")
    return known[name]


def shortened(scale: Scale, row: SpeedRow) -> tuple[Scale, SpeedRow]:
    """What a row is warmed up by: itself, or a few of its many steps, in which all shapes of its forwards come up.

    On a staircase those are the numbers of chunks in flight, each of which a lag of one step shows once.
    """
    if not row.many_step:
        return scale, row
    steps, lag = WARMUP_STEPS, None
    if row.sampler == "staircase":
        steps, lag = min(row.geometry(scale.geometry).chunks, ceil(scale.flow.teacher_steps / row.lag)), 1
    few = scale.flow.model_copy(update={"teacher_steps": steps})
    return scale.model_copy(update={"flow": few}), row.model_copy(update={"lag": lag})
