"""Do the measures measure? Real clips under graded corruptions, and the judge against the renderer's truth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.progress import track

from repro.config import Expectation, Profile, load_expectations
from repro.errors import ReproError
from repro.evaluation import curves, metrics
from repro.evaluation.agreement import agreement
from repro.evaluation.dimensions import CORRUPTIONS, DIMENSIONS, DISTANCE
from repro.evaluation.quality import SHOWN_FRAMES, load_judge
from repro.evaluation.sampling import to_uint8
from repro.files import write_atomic
from repro.models import weights
from repro.reporting import records
from repro.training.data import pixel_pool, split_scenes
from repro.training.loop import generator_for
from repro.world.degrade import degrade
from repro.world.judge import FRAME_STEP, Judge
from repro.world.mistell import mistell
from repro.world.render import render

CLEAN = "none"
"""The corruption of the clips at severity 0, which all corruptions share."""
WORDS = "wrong_caption"
"""The corruption that leaves the pixels alone."""


def spoil(clips_uint8: np.ndarray, ids: Sequence[int], kind: str, severity: float, seed: int) -> np.ndarray:
    """Corrupted pixels. A clip draws the same noise at every severity and in any batch."""
    video = torch.from_numpy(clips_uint8).float() / 255
    parts = [degrade(clip[None], kind, severity, generator_for(seed, i)) for clip, i in zip(video, ids, strict=True)]
    return to_uint8(torch.cat(parts))


def mistold(scenes: Sequence, ids: Sequence[int], severity: float, seed: int) -> list[str]:
    """Corrupted captions, each drawn for its clip alone."""
    told = [mistell(s, severity, np.random.default_rng([seed, i])) for s, i in zip(scenes, ids, strict=True)]
    return [s.caption for s in told]


def conditions(severities: Sequence[float], kinds: Sequence[str] = CORRUPTIONS) -> list[tuple[str, float]]:
    """(corruption, severity): the clean clips, then every kind at every other severity."""
    return [(CLEAN, 0.0), *((kind, s) for kind in kinds for s in severities[1:])]


def score(profile: Profile, judge: Judge, device) -> tuple[pd.DataFrame, dict[tuple[str, float], np.ndarray]]:
    """Sixteen dimensions, one row a (corruption, severity, clip), and judge features [clips, D] by condition."""
    size, seed = profile.validity, profile.evaluation.seed
    scenes = split_scenes("prompts", profile, size.clips)
    tables, features = [], {c: [] for c in conditions(size.severities)}
    for start in track(range(0, len(scenes), size.batch), "corrupt and score"):
        ids = range(start, min(start + size.batch, len(scenes)))
        rows = scenes[start : ids.stop]
        captions = [s.caption for s in rows]
        clean = render(rows, profile.geometry, device).cpu().numpy()
        unspoilt = metrics.read(judge, torch.from_numpy(clean).to(device))
        for kind, severity in features:
            told = mistold(rows, ids, severity, seed) if kind == WORDS else captions
            reading = unspoilt
            if kind not in (CLEAN, WORDS):
                video = torch.from_numpy(spoil(clean, ids, kind, severity, seed))
                reading = metrics.read(judge, video.to(device))
            features[kind, severity].append(reading.features)
            tables.append(reading.against(told).assign(corruption=kind, severity=severity, clip=list(ids)))
    keys = ["corruption", "severity", "clip"]
    scores = pd.concat(tables).sort_values(keys, ignore_index=True)[[*keys, *DIMENSIONS]]
    return scores, {c: np.concatenate(f) for c, f in features.items()}


def measure_curves(
    profile: Profile, scores: pd.DataFrame, features: dict, real_ND: np.ndarray, draws: int
) -> dict[tuple[str, str], curves.Curve]:
    """(measure, corruption) → its curve. A clip that does not define a measure takes no part in its curves."""
    severities, found = profile.validity.severities, {}
    by_condition = {c: rows.reset_index() for c, rows in scores.groupby(["corruption", "severity"])}
    distances = {c: metrics.KernelDistance(f, real_ND) for c, f in features.items()}
    for kind in CORRUPTIONS:
        keys = conditions(severities, (kind,))
        for name in (*DIMENSIONS, DISTANCE):
            if name == DISTANCE:
                n = len(features[keys[0]])
                statistics = [distances[k].of_each for k in keys]
            else:
                columns = [by_condition[k][name].to_numpy(float) for k in keys]
                defined = ~np.isnan(columns[0])
                n = int(defined.sum())
                if n < 2:
                    raise ReproError(
                        f"{name} is defined for {n} of {len(defined)} clips: raise validity.clips of profile "
                        f"{profile.name}"
                    )
                statistics = [curves.mean_of(c[defined]) for c in columns]
            # A stream of its own for each cell: a new corruption changes no other interval.
            rng = np.random.default_rng([profile.evaluation.seed, *f"{name} {kind}".encode()])
            found[name, kind] = curves.curve(severities, statistics, n, draws, rng)
    return found


def judge_curves(
    found: dict[tuple[str, str], curves.Curve], expected: dict[tuple[str, str], Expectation], margin: float
) -> pd.DataFrame:
    """One row a cell: what was expected, the trend with its interval, p values and the verdict."""
    rows = []
    for cell, row in expected.items():
        value, low, high = found[cell].trend()
        free = row.expectation == "free"
        p = dict.fromkeys(("expected", "contrary", "blind"), float("nan"))
        rows.append(
            {
                **row.model_dump(),
                "clean": found[cell].values[0],
                "worst": found[cell].values[-1],
                "trend": value,
                "low": low,
                "high": high,
                "n": found[cell].n,
                "margin": margin,
                **(p if free else curves.p_values(found[cell], row.expectation, margin)),
            }
        )
    return curves.judge_cells(pd.DataFrame(rows))


def example(profile: Profile) -> dict[str, np.ndarray]:
    """One clip, clean and at the worst of every corruption: `frames` uint8 [rows, shown, H, W, 3], what was told."""
    scenes, seed = split_scenes("prompts", profile, 1), profile.evaluation.seed
    worst, clean = profile.validity.severities[-1], render(scenes, profile.geometry).numpy()
    shown = np.linspace(0, clean.shape[1] - 1, SHOWN_FRAMES).round().astype(int)
    made = [clean] + [clean if k == WORDS else spoil(clean, [0], k, worst, seed) for k in CORRUPTIONS]
    true, wrong = scenes[0].caption, mistold(scenes, [0], worst, seed)[0]
    return {
        "frames": np.stack([clips[0][shown].transpose(0, 2, 3, 1) for clips in made]),
        "captions": np.array([true] + [wrong if k == WORDS else true for k in CORRUPTIONS]),
        "rows": np.array(["clean", *CORRUPTIONS]),
        "index": shown,
    }


def heldout_answers(profile: Profile, judge: Judge, device, draws: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Agreement and confusion counts over the `judged` first held-out clips."""
    scenes = split_scenes("heldout", profile, profile.validity.judged)
    video = pixel_pool(scenes, profile, device, step=FRAME_STEP)
    batch = profile.validity.batch
    with torch.inference_mode():
        features = torch.cat([judge.features(video[i : i + batch])[1] for i in range(0, len(scenes), batch)])
    return agreement(judge, features, scenes, draws, profile.evaluation.seed)


def measure(profile: Profile, checkpoints: Path, out: Path, device) -> None:
    """Write `<out>/{validity.json,scores,curves,cells,agreement,confusion .csv,frames.npz}`."""
    checkpoints, out, expected = Path(checkpoints), Path(out), load_expectations()
    judge = load_judge(checkpoints, device)
    real, _ = weights.load(checkpoints / "real.safetensors")
    asked = sum(row.expectation != "free" for row in expected.values())
    draws = curves.draws_needed(profile.evaluation.bootstrap, asked, len(profile.validity.severities))
    scores, features = score(profile, judge, device)
    found = measure_curves(profile, scores, features, real["features"].numpy(), draws)
    points = pd.concat([c.points().assign(dimension=d, corruption=k) for (d, k), c in found.items()], ignore_index=True)
    cells = judge_curves(found, expected, profile.validity.margin)
    agreed, confused = heldout_answers(profile, judge, device, profile.evaluation.bootstrap)

    for name, table in (
        ("scores", scores),
        ("curves", points[["dimension", "corruption", *points.columns.drop(["dimension", "corruption"])]]),
        ("cells", cells),
        ("agreement", agreed),
        ("confusion", confused),
    ):
        write_atomic(out / f"{name}.csv", lambda p, t=table: t.to_csv(p, index=False, float_format="%.6g"))
    shown = example(profile)
    write_atomic(out / "frames.npz", lambda p: np.savez_compressed(p, **shown))
    records.write(out / "validity.json", _records(profile, checkpoints, cells, agreed, device))


def _records(profile: Profile, checkpoints: Path, cells: pd.DataFrame, agreed: pd.DataFrame, device):
    """Trends as run `<corruption>`, agreement with the truth as run `judge`."""
    common = {
        "profile": profile.name,
        "seeds": [0],
        "metric_version": metrics.METRIC_VERSION,
        "weights": weights.hashes(checkpoints, ("judge", "real")),
        **records.provenance(device),
    }
    rows = [
        records.Record(
            run_id=c.corruption, metric=c.dimension, value=c.trend, low=c.low, high=c.high, n=c.n,
            unit="per severity", **common,
        )
        for c in cells.itertuples()
    ]  # fmt: skip
    for a in agreed.to_dict("records"):
        rows += [
            records.Record(
                run_id="judge", metric=f"{a['head']}_{name}", value=a[name], low=a[f"{name}_low"],
                high=a[f"{name}_high"], n=a["n"], unit=name, **common,
            )
            for name in ("accuracy", "kappa")
        ]  # fmt: skip
    return rows
