"""Figure 5: quality against the noise level of the context (a), and against the weight of the flow loss (b)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from repro.config import CONFIG_DIR, Profile, Run, Student, load_runs, load_students, runs_of
from repro.errors import ReproError
from repro.reporting import ablations, render
from repro.reporting.ablations import MOTION, Measured, Spec, named
from repro.reporting.notes import NAMES
from repro.reporting.render import Document, Section, signed, with_range

TRAINED, CACHED = "in training", "in inference"


@dataclass(frozen=True)
class Point:
    """A setting of one curve, and the row of the run that shows it."""

    curve: str
    setting: float
    row: str


@dataclass(frozen=True)
class Sweep:
    """One panel of Figure 5. The reference's setting is the one that the paper finds best."""

    spec: Spec
    setting: str
    """What is varied, and its unit."""
    curves: Callable[[Run, Student, Run], tuple[str, ...]]
    """Of a run, its student and the reference's run: the curves that it is a point of."""
    value: Callable[[Run, Student], float]
    notes: tuple[str, ...]


def level_curves(run: Run, student: Student, reference: Run) -> tuple[str, ...]:
    """A student under the noise level of its training, and the reference's student under any; `self` trains at 0."""
    trained = student.forcing_timestep if student.forcing == "diagonal" else 0
    return (TRAINED,) * (run.noise_level == trained) + (CACHED,) * (run.student == reference.student)


SWEEPS = {
    "5a": Sweep(
        Spec("figure5a", "Noise level of Diagonal Forcing", "full_4322222"),
        "noise level, timestep",
        level_curves,
        lambda run, student: float(run.noise_level),
        (
            "In training: a student for each noise level, which its context has in training and in inference alike; "
            "level 0 is the student without Diagonal Forcing. In inference: the student trained at the paper's level, "
            "its cache written at another one. Levels are nominal timesteps; 1000 is complete noise.",
        ),
    ),
    "5b": Sweep(
        Spec("figure5b", "Weight of the flow loss", "full_4322222"),
        "weight γ",
        lambda run, student, reference: (TRAINED,),
        lambda run, student: student.gamma if student.flow else 0.0,
        ("Weight 0 is the student without the flow loss. The paper prints no weights but the best: these are ours.",),
    ),
}


def points(sweep: Sweep, config_dir: Path = CONFIG_DIR) -> list[Point]:
    """Every point that runs.csv plans, curve by curve. Raises ReproError where two are the same."""
    students, name = load_students(config_dir), sweep.spec.name
    runs = {run.rows[name]: run for run in runs_of(name, load_runs(config_dir).values())}
    found = {}
    for row, run in runs.items():
        for curve in sweep.curves(run, students[run.student], runs[sweep.spec.reference]):
            point = Point(curve, sweep.value(run, students[run.student]), row)
            other = found.setdefault((curve, point.setting), point)
            if other is not point:
                raise ReproError(
                    f"runs.csv gives {name} two rows for {sweep.setting} {point.setting:g} {curve}, {other.row} and "
                    f"{row}: take one of them out of it"
                )
    return sorted(found.values(), key=lambda p: (p.curve == CACHED, p.setting))


def build(name: str, profile: Profile, runs_dir: Path, out_dir: Path, config_dir: Path = CONFIG_DIR) -> None:
    """Write `tables/figure<name>{.csv,.md,.html,.tex,_pairs.csv,_best.csv}` in `out_dir` from `<runs_dir>/<run_id>`.

    Points that were not measured are left out and named.
    """
    sweep = SWEEPS[name]
    planned, measured = points(sweep, config_dir), ablations.load(sweep.spec, profile, runs_dir, config_dir)
    pairs = ablations.compare(sweep.spec, measured, {}, profile, config_dir)
    shown = [p for p in planned if p.row in measured.runs]
    values = pd.DataFrame([vars(p) for p in shown]).merge(ablations.with_seeds(measured), on="row", sort=False)
    best = best_settings(sweep, values, pairs)
    document = Document(
        (
            main_section(sweep, planned, values, measured, profile),
            best_section(sweep, planned, best),
            ablations.pair_section(sweep.spec, pairs),
        ),
        notes(sweep, measured, pairs, profile),
    )
    best_row = values["row"] == sweep.spec.reference
    values = values.assign(best_in_paper=best_row, device=" and ".join(measured.devices))
    ablations.write(sweep.spec, document, values, pairs, measured, profile, out_dir, best=best)


def best_settings(sweep: Sweep, values: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """One row a score and curve of several settings: the best of them, and by how much it leads the paper's, in points.

    Compared are the training seeds that both have, `seeds`: means over other seeds would compare trainings. `spread`
    is the lead of the best over the worst. Motion is left out: more of it is not always better.
    """
    reference, rows = sweep.spec.reference, []
    leads = -pairs.set_index(["row", "metric"])[["difference", "high", "low"]].set_axis(["lead", "low", "high"], axis=1)
    leads["seeds"] = pairs["seeds"].to_numpy()
    for (curve, metric), mine in values[values["metric"] != MOTION].groupby(["curve", "metric"], sort=False):
        own = mine.set_index("row")
        found = leads.xs(metric, level="metric").reindex(own.index).fillna(0.0)
        found.loc[reference, "seeds"] = own.loc[reference, "seeds"]
        if len(found) > 1:
            top = found["lead"].idxmax()
            told = {"curve": curve, "metric": metric, "settings": len(found)}
            told |= {"paper_best": own.loc[reference, "setting"], "best": own.loc[top, "setting"]}
            rows.append(told | found.loc[top].to_dict() | {"spread": found["lead"].max() - found["lead"].min()})
    return pd.DataFrame(rows).astype({"seeds": int})


def main_section(
    sweep: Sweep, planned: list[Point], values: pd.DataFrame, measured: Measured, profile: Profile
) -> Section:
    spec, known = sweep.spec, values.set_index(["curve", "setting", "metric"])
    columns = ["Varied", sweep.setting.capitalize(), "Training seeds", *(NAMES[m] for m in spec.measures)]
    rows = []
    for point in planned:
        cells = [point.curve, f"{point.setting:g}"]
        if point.row in measured.runs:
            found = [known.loc[(point.curve, point.setting, m)] for m in spec.measures]
            cells.append(str(measured.seeds(point.row)))
            cells += [with_range(r["value"], r["low"], r["high"], "{:.1f}".format) for r in found]
        else:
            cells += [render.DASH] * (1 + len(spec.measures))
        rows.append(tuple(cells))
    caption = f"{spec.label}. {spec.title}: profile {profile.name}, {measured.prompts} prompts"
    return Section(spec.name, caption, tuple(("", c) for c in columns), tuple(rows))


def best_section(sweep: Sweep, planned: list[Point], best: pd.DataFrame) -> Section:
    rows = tuple(
        (
            r.curve,
            NAMES[r.metric],
            f"{r.settings} of {sum(p.curve == r.curve for p in planned)}",
            f"{r.paper_best:g}",
            f"{r.best:g}",
            render.DASH if r.best == r.paper_best else with_range(r.lead, r.low, r.high, signed),
            str(r.seeds),
            f"{r.spread:.2f}",
        )
        for r in best.itertuples()
    )
    columns = ("Varied", "Measure", "Settings measured", "Best: paper", "Best: ours", "Ours minus the paper's")
    columns += ("Training seeds", "Spread of leads")
    caption = f"{sweep.spec.label}: the best {sweep.setting.partition(',')[0]}, and its lead in percentage points"
    return Section(f"{sweep.spec.name}-best", caption, tuple(("", c) for c in columns), rows)


def notes(sweep: Sweep, measured: Measured, pairs: pd.DataFrame, profile: Profile) -> tuple[str, ...]:
    once = [named(r) for r in measured.runs if measured.seeds(r) == 1]
    return (
        *ablations.common_notes(measured, pairs, profile),
        *sweep.notes,
        "The best setting is the one that leads the paper's by most, over the training seeds that both have. It is "
        "picked after looking, and its interval does not allow for that; with one training seed it may be the "
        "training that was lucky.",
        *([f"One training seed: {', '.join(once)}."] if once else []),
        "Paper: the curves of Figure 5 have no printed numbers; section 4.3 names the best setting.",
        ablations.MOTION_NOTE,
        *ablations.absent_notes(measured),
    )
