"""Which schedule is best? All of them up to a number of steps, by successive halving over prompts.

Prompts differ more than schedules do, and a prompt has its own favourites, so that one prompt each would choose the
favourites of that prompt. Instead some schedules, drawn at random, are scored on many prompts; the effects of their
steps predict the score of every schedule; the best predicted go through the rungs, on other prompts.

Selection looks at captions of the split `heldout`, the verdicts rest on those of the split `prompts`: who was
chosen for its luck on the first does not keep it on the second.

Scores are kept batch by batch in `<out>/parts` until the search is whole: stopped, the same command goes on.

Legend: S schedules, P prompts.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.progress import Progress

from repro.config import Profile, Run
from repro.errors import ReproError
from repro.evaluation import metrics, step_effects, timing
from repro.evaluation.long_video import write_csv
from repro.evaluation.quality import distance_interval, interval, load_judge
from repro.evaluation.sampling import load_decoder
from repro.files import write_atomic
from repro.generation.branching import branch
from repro.generation.noise import prompt_noise
from repro.generation.student import Generator, load_student
from repro.models import text_encoder, weights
from repro.reporting import paper, records
from repro.schedule import Schedule
from repro.training.data import split_scenes

SCORES = ("total", "quality", "semantic")
PARTS = "parts"


def enumerate_schedules(choices: Sequence[int], chunks: int, max_steps: int) -> list[str]:
    """Every schedule of `chunks` digits whose steps add up to at most `max_steps`."""
    return ["".join(map(str, s)) for s in product(sorted(choices), repeat=chunks) if sum(s) <= max_steps]


def is_monotone(schedule: str) -> bool:
    """Do later chunks never get more steps than earlier ones?"""
    return all(a >= b for a, b in pairwise(schedule))


def paper_schedules(chunks: int) -> list[str]:
    """Those of Tables 3, 5 and 6, as far as they have a digit for every chunk."""
    digits = (cell.row.rpartition("_")[2] for cell in paper.load() if cell.table in (3, 5, 6))
    return [s for s in dict.fromkeys(digits) if len(s) == chunks]


def describe(schedules: Sequence[str], run: Run) -> pd.DataFrame:
    """One row a schedule: forwards made, and whether it is monotone."""
    parsed = [Schedule.parse(s, len(s), steps=run.steps) for s in schedules]
    return pd.DataFrame(
        {
            "schedule": list(schedules),
            "forwards": [p.forwards(run.cache, run.noise_level) for p in parsed],
            "monotone": [is_monotone(s) for s in schedules],
        }
    )


def survivors(table: pd.DataFrame, scores: pd.Series, keep: int) -> list[str]:
    """The best `keep` of each kind at each number of forwards and of steps in the first chunk; `scores` by schedule.

    The first chunk's steps matter most, and which are best is known least: prompts differ in it. Without them, what
    the prompts of the screening like would stand for its kind. Ties go to the table's order.
    """
    ranked = table[table["schedule"].isin(scores.index)].assign(score=table["schedule"].map(scores))
    ranked = ranked.sort_values("score", ascending=False, kind="stable")
    return sorted(ranked.groupby(["forwards", "monotone", ranked["schedule"].str[0]]).head(keep)["schedule"])


class Scorer:
    """Scores schedules on prompts of a split, with one student; counts the clips it made.

    Each batch's scores are kept in the folder `parts`, under a name that stands for all that they depend on.
    """

    def __init__(self, profile: Profile, run: Run, split: str, prompts: int, checkpoints: Path, parts: Path, device):
        self.profile, self.run, self.checkpoints, self.device = profile, run, checkpoints, device
        self.captions = [s.caption for s in split_scenes(split, profile, prompts)]
        if len(self.captions) < prompts:
            raise ReproError(f"{prompts} prompts asked for, but the split {split!r} has {len(self.captions)}")
        self.judge, self.decoder = load_judge(checkpoints, device), load_decoder(profile, "tiny", checkpoints, device)
        with torch.inference_mode():
            self.text = text_encoder.load(profile, checkpoints, device)(self.captions)
        self.parts, self.clips = Path(parts), 0
        self.settings = {
            "split": split,
            "seed": profile.evaluation.seed,
            "run": run.model_dump(),
            "metric_version": metrics.METRIC_VERSION,
        }
        self.settings |= records.provenance(device) | {"weights": weights_of(run, profile, checkpoints)}

    def __call__(
        self, schedules: Sequence[str], prompts: range, seed: int, label: str, features: bool = False
    ) -> pd.DataFrame:
        """One row a (schedule, prompt): its scores, and the judge's features in `features` if asked for."""
        model = load_student(self.profile, self.run.student, seed, self.checkpoints, self.device)
        generator = Generator(self.profile, self.run, model, self.decoder, self.device)
        # Neighbours in order begin alike.
        ordered, size = sorted(schedules), self.profile.studies.batch
        at_once = min(len(prompts), size)
        tables = []
        with Progress() as progress:
            task = progress.add_task(label, total=len(ordered) * len(prompts))
            for first in range(prompts.start, prompts.stop, at_once):
                ids = list(range(first, min(first + at_once, prompts.stop)))
                group = max(1, size // len(ids))
                for start in range(0, len(ordered), group):
                    part = ordered[start : start + group]
                    tables.append(self._part(generator, part, ids, seed, features))
                    self.clips += len(part) * len(ids)
                    progress.advance(task, len(part) * len(ids))
        return pd.concat(tables, ignore_index=True)

    def _part(self, generator: Generator, part: list[str], ids: list[int], seed: int, features: bool) -> pd.DataFrame:
        settings = self.settings | {"schedules": part, "prompts": ids, "student_seed": seed, "features": features}
        name = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:24]
        path = self.parts / f"{name}.npz"
        if not path.is_file():
            noise = prompt_noise(self.profile.evaluation.seed, ids, generator.geometry, self.device)
            clips = branch(generator, part, self.text[ids], noise)
            values = self._score(clips, [self.captions[i] for i in ids] * len(part), features)
            write_atomic(path, lambda p: np.savez(p, **values))
        with np.load(path) as kept:
            rows = pd.DataFrame({c: kept[c] for c in SCORES})
            rows.insert(0, "prompt", ids * len(part))
            rows.insert(0, "schedule", np.repeat(part, len(ids)))
            extra = {"features": list(kept["features"])} if features else {}
        return rows.assign(**extra, seed=seed)

    def _score(self, clips: torch.Tensor, told: list[str], features: bool) -> dict[str, np.ndarray]:
        tables, read, videos = [], [], clips.flatten(0, 1)
        for start in range(0, len(videos), self.judged):
            part = slice(start, start + self.judged)
            reading = metrics.read(self.judge, videos[part])
            tables.append(metrics.aggregate(reading.against(told[part])))
            read.append(reading.features)
        rows = pd.concat(tables, ignore_index=True)
        values = {c: rows[c].to_numpy() for c in SCORES}
        return values | ({"features": np.concatenate(read)} if features else {})

    @property
    def judged(self) -> int:
        """Clips that the judge looks at together."""
        return min(256, max(8, self.profile.studies.batch // 4))


def weights_of(run: Run, profile: Profile, checkpoints: Path) -> dict[str, str]:
    """SHA-256 of every checkpoint that the scores depend on."""
    names = ["judge", "tiny", "text_encoder", *(f"{run.student}-s{s}" for s in profile.evaluation.student_seeds)]
    return weights.hashes(checkpoints, names)


def screen(
    profile: Profile, run: Run, checkpoints: Path, parts: Path, device
) -> tuple[pd.DataFrame, pd.DataFrame, list[str], int]:
    """(Every schedule with its predicted and its last measured score, the probes' scores, finalists, clips made)."""
    search, seeds = profile.studies.search, profile.evaluation.student_seeds
    everything = enumerate_schedules(search.choices, profile.geometry.chunks, search.max_steps)
    rng = np.random.default_rng(profile.evaluation.seed)
    drawn = rng.choice(len(everything), min(search.probes.schedules, len(everything)), replace=False)
    first = search.probes.prompts
    scorer = Scorer(profile, run, "heldout", first + search.rungs[-1].prompts, checkpoints, parts, device)

    def score(schedules: Sequence[str], start: int, stop: int, label: str) -> pd.DataFrame:
        """Of `stop - start` prompts, each with one training seed: seeds share the prompts."""
        ends = np.linspace(start, stop, len(seeds) + 1).round().astype(int).tolist()
        shares = [(seed, range(*part)) for seed, part in zip(seeds, pairwise(ends), strict=True)]
        return pd.concat([scorer(schedules, share, seed, f"{label}, seed {seed}") for seed, share in shares if share])

    probed = score([everything[i] for i in sorted(drawn)], 0, first, "probes")
    table = describe(everything, run)
    table["predicted"] = step_effects.fit(probed).predict(everything)
    table["prompts"], table["score"] = 0, np.nan
    alive, seen, done = survivors(table, table.set_index("schedule")["predicted"], search.probes.keep), [], 0
    for number, rung in enumerate(search.rungs):
        seen.append(score(alive, first + done, first + rung.prompts, f"rung {number + 1}"))
        scores = pd.concat(seen).groupby("schedule")["total"].mean()[alive]
        places = table["schedule"].isin(alive)
        table.loc[places, "score"], table.loc[places, "prompts"] = table["schedule"].map(scores), rung.prompts
        alive, done = survivors(table, scores, rung.keep), rung.prompts
    return table, probed, alive, scorer.clips


def finals(
    profile: Profile, run: Run, finalists: list[str], checkpoints: Path, parts: Path, device
) -> tuple[pd.DataFrame, np.ndarray, int]:
    """Scores of the finalists on the prompts that the tables use, with every training seed; features of each row."""
    count = profile.studies.search.prompts
    scorer, prompts = Scorer(profile, run, "prompts", count, checkpoints, parts, device), range(count)
    seeds = profile.evaluation.student_seeds
    tables = [scorer(finalists, prompts, seed, f"final, seed {seed}", features=True) for seed in seeds]
    scores = pd.concat(tables).sort_values(["schedule", "seed", "prompt"], ignore_index=True)
    return scores.drop(columns="features"), np.stack(scores["features"]), scorer.clips


def measure(profile: Profile, run: Run, prompts: Path, checkpoints: Path, out: Path, device) -> None:
    """Write `<out>/{search.json,screened.csv.gz,probes.csv.gz,scores.csv.gz}`."""
    checkpoints, out = Path(checkpoints), Path(out)
    parts = out / PARTS
    screened, probed, best, made = screen(profile, run, checkpoints, parts, device)
    finalists = sorted({*best, *paper_schedules(profile.geometry.chunks)})
    scores, features, more = finals(profile, run, finalists, checkpoints, parts, device)
    rows = {s: run.model_copy(update={"run_id": s, "schedule": s}) for s in finalists}
    clock = profile.model_copy(update={"timing": profile.studies.search.timing})
    timed = timing.measure(clock, list(rows.values()), prompts, checkpoints, device)
    screened["finalist"] = screened["schedule"].isin(best)
    for name, table in (("screened", screened), ("probes", probed), ("scores", scores)):
        write_atomic(out / f"{name}.csv.gz", lambda p, t=table: write_csv(p, t))
    made = {"candidate_schedules": len(screened), "screening_clips": made, "final_clips": more}
    written = _records(profile, run, scores, features, timed, made, checkpoints, device)
    records.write(out / "search.json", written)
    shutil.rmtree(parts)


def _records(profile, run, scores, features, timed, made, checkpoints: Path, device) -> list[records.Record]:
    """Quality of every finalist with its interval, forwards, latencies; how much the search looked at."""
    seeds, rng = profile.evaluation.student_seeds, np.random.default_rng(profile.evaluation.seed)
    common = {
        "profile": profile.name,
        "seeds": list(seeds),
        "metric_version": metrics.METRIC_VERSION,
        "weights": weights_of(run, profile, checkpoints),
        **records.provenance(device),
    }
    rows = []
    real = weights.load(checkpoints / "real.safetensors")[0]["features"].numpy()
    for row in describe(scores["schedule"].unique(), run).itertuples():
        chosen = scores["schedule"] == row.schedule
        mine = scores[chosen]

        def add(metric, value, low, high, n, unit, name=row.schedule):
            rows.append(
                records.Record(run_id=name, metric=metric, value=value, low=low, high=high, n=n, unit=unit, **common)
            )

        for column in SCORES:
            value, low, high, n = interval(mine, column, rng, profile.evaluation.bootstrap)
            add(column, value, low, high, n, "score")
        told = distance_interval(features[chosen], real, mine["seed"], rng, profile.evaluation.bootstrap)
        add("kernel_distance", *told, len(mine), "")
        add("forwards", row.forwards, None, None, 1, "forwards")
        sample = timed[row.schedule]
        chunks = len(row.schedule)
        sample = sample | {"mean_latency_s": (sample["total_s"] - sample["first_frame_latency_s"]) / (chunks - 1)}
        for metric in ("first_frame_latency_s", "mean_latency_s", "total_s"):
            low, value, high = (float(q) for q in np.quantile(sample[metric], [0.25, 0.5, 0.75]))
            add(metric, value, low, high, len(sample[metric]), "s")
    for metric, value in made.items():
        rows.append(
            records.Record(run_id="search", metric=metric, value=value, n=1, unit=metric.split("_")[-1], **common)
        )
    return rows
