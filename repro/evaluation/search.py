"""Which schedule is best? All of them up to a number of steps, scored by successive halving over prompts.

Selection looks at captions of the split `heldout`, the verdicts rest on those of the split `prompts`: who was
chosen for its luck on the first does not keep it on the second.

Legend: S schedules, P prompts.
"""

from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.progress import Progress

from repro.config import Profile, Run, Search
from repro.errors import ReproError
from repro.evaluation import metrics, timing
from repro.evaluation.long_video import write_csv
from repro.evaluation.quality import interval, load_judge
from repro.evaluation.sampling import load_decoder
from repro.files import sha256, write_atomic
from repro.generation.branching import branch
from repro.generation.noise import prompt_noise
from repro.generation.student import Generator, load_student
from repro.models import text_encoder, weights
from repro.reporting import paper, records
from repro.schedule import Schedule
from repro.training.data import split_scenes

SCORES = ("total", "quality", "semantic")


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
    """The best `keep` of each kind at each number of forwards; `scores` by schedule. Ties go to the table's order."""
    ranked = table[table["schedule"].isin(scores.index)].assign(score=table["schedule"].map(scores))
    ranked = ranked.sort_values("score", ascending=False, kind="stable")
    return sorted(ranked.groupby(["forwards", "monotone"]).head(keep)["schedule"])


class Scorer:
    """Scores schedules on prompts of a split, with one student; counts the clips it made."""

    def __init__(self, profile: Profile, run: Run, split: str, prompts: int, checkpoints: Path, device):
        self.profile, self.run, self.checkpoints, self.device = profile, run, checkpoints, device
        self.captions = [s.caption for s in split_scenes(split, profile, prompts)]
        if len(self.captions) < prompts:
            raise ReproError(f"{prompts} prompts asked for, but the split {split!r} has {len(self.captions)}")
        self.judge, self.decoder = load_judge(checkpoints, device), load_decoder(profile, "tiny", checkpoints, device)
        with torch.inference_mode():
            self.text = text_encoder.load(profile, checkpoints, device)(self.captions)
        self.clips = 0

    def __call__(self, schedules: Sequence[str], prompts: range, seed: int, label: str) -> pd.DataFrame:
        """One row a (schedule, prompt): its scores, and the judge's features in `features`."""
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
                noise = prompt_noise(self.profile.evaluation.seed, ids, generator.geometry, self.device)
                group = max(1, size // len(ids))
                for start in range(0, len(ordered), group):
                    part = ordered[start : start + group]
                    clips = branch(generator, part, self.text[ids], noise)
                    tables.append(self._score(clips, part, ids).assign(seed=seed))
                    self.clips += len(part) * len(ids)
                    progress.advance(task, len(part) * len(ids))
        return pd.concat(tables, ignore_index=True)

    def _score(self, clips: torch.Tensor, schedules: list[str], ids: list[int]) -> pd.DataFrame:
        tables, features = [], []
        told, videos = [self.captions[i] for i in ids] * len(schedules), clips.flatten(0, 1)
        for start in range(0, len(videos), self.judged):
            part = slice(start, start + self.judged)
            reading = metrics.read(self.judge, videos[part])
            tables.append(metrics.aggregate(reading.against(told[part]))[list(SCORES)])
            features.extend(reading.features)
        rows = pd.concat(tables, ignore_index=True)
        rows.insert(0, "prompt", ids * len(schedules))
        rows.insert(0, "schedule", np.repeat(schedules, len(ids)))
        return rows.assign(features=features)

    @property
    def judged(self) -> int:
        """Clips that the judge looks at together."""
        return min(256, max(8, self.profile.studies.batch // 4))


def candidates(search: Search, chunks: int, seed: int) -> tuple[list[str], list[str]]:
    """Schedules of the first rung, and the probes among them; the paper's, where they fit, are always there."""
    everything = enumerate_schedules(search.choices, chunks, search.max_steps)
    rng = np.random.default_rng(seed)
    probes = [everything[i] for i in sorted(rng.choice(len(everything), search.probes, replace=False))]
    if search.candidates is None:
        return everything, probes
    drawn = [everything[i] for i in rng.choice(len(everything), search.candidates, replace=False)]
    # Few of all are monotone: a small draw takes as many of either kind.
    monotone = [s for s in everything if is_monotone(s)]
    drawn[: search.candidates // 2] = rng.choice(monotone, min(len(monotone), search.candidates // 2), replace=False)
    allowed = set(everything)
    return sorted({*map(str, drawn), *probes, *(s for s in paper_schedules(chunks) if s in allowed)}), probes


def screen(profile: Profile, run: Run, checkpoints: Path, device) -> tuple[pd.DataFrame, pd.DataFrame, list[str], int]:
    """Successive halving: (every schedule with its last score, the probes' scores, finalists, clips made)."""
    search, chunks = profile.studies.search, profile.geometry.chunks
    first, probes = candidates(search, chunks, profile.evaluation.seed)
    table, seed = describe(first, run), profile.evaluation.student_seeds[0]
    table["prompts"], table["score"] = 0, np.nan
    scorer = Scorer(profile, run, "heldout", search.rungs[-1].prompts, checkpoints, device)
    alive, seen, done = first, [], 0
    for number, rung in enumerate(search.rungs):
        scored = scorer([*{*alive, *probes}], range(done, rung.prompts), seed, f"rung {number + 1}")
        seen.append(scored.drop(columns="features"))
        means = pd.concat(seen).groupby("schedule")["total"].mean()
        scores = means[sorted({*alive, *probes})]
        places = table["schedule"].isin(scores.index)
        table.loc[places, "score"], table.loc[places, "prompts"] = table["schedule"].map(scores), rung.prompts
        alive, done = survivors(table, scores[sorted(alive)], rung.keep), rung.prompts
    probed = pd.concat(seen)
    return table, probed[probed["schedule"].isin(probes)], alive, scorer.clips


def finals(
    profile: Profile, run: Run, finalists: list[str], checkpoints: Path, device
) -> tuple[pd.DataFrame, np.ndarray, int]:
    """Scores of the finalists on the prompts that the tables use, with every training seed; features of each row."""
    count = profile.studies.search.prompts
    scorer, prompts = Scorer(profile, run, "prompts", count, checkpoints, device), range(count)
    tables = [scorer(finalists, prompts, seed, f"final, seed {seed}") for seed in profile.evaluation.student_seeds]
    scores = pd.concat(tables).sort_values(["schedule", "seed", "prompt"], ignore_index=True)
    return scores.drop(columns="features"), np.stack(scores["features"]), scorer.clips


def measure(profile: Profile, run: Run, prompts: Path, checkpoints: Path, out: Path, device) -> None:
    """Write `<out>/{search.json,screened.csv.gz,probes.csv.gz,scores.csv.gz}`."""
    checkpoints, out = Path(checkpoints), Path(out)
    screened, probed, best, made = screen(profile, run, checkpoints, device)
    finalists = sorted({*best, *paper_schedules(profile.geometry.chunks)})
    scores, features, more = finals(profile, run, finalists, checkpoints, device)
    rows = {s: run.model_copy(update={"run_id": s, "schedule": s}) for s in finalists}
    clock = profile.model_copy(update={"timing": profile.studies.search.timing})
    timed = timing.measure(clock, list(rows.values()), prompts, checkpoints, device)
    screened["finalist"] = screened["schedule"].isin(best)
    for name, table in (("screened", screened), ("probes", probed), ("scores", scores)):
        write_atomic(out / f"{name}.csv.gz", lambda p, t=table: write_csv(p, t))
    made = {"candidate_schedules": len(screened), "screening_clips": made, "final_clips": more}
    written = _records(profile, run, scores, features, timed, made, checkpoints, device)
    records.write(out / "search.json", written)


def _records(profile, run, scores, features, timed, made, checkpoints: Path, device) -> list[records.Record]:
    """Quality of every finalist with its interval, forwards, latencies; how much the search looked at."""
    seeds, rng = profile.evaluation.student_seeds, np.random.default_rng(profile.evaluation.seed)
    names = ["judge", "tiny", "text_encoder", *(f"{run.student}-s{s}" for s in seeds)]
    common = {
        "profile": profile.name,
        "seeds": list(seeds),
        "metric_version": metrics.METRIC_VERSION,
        "weights": {n: sha256(checkpoints / f"{n}.safetensors") for n in names},
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
        add("kernel_distance", metrics.kernel_distance(features[chosen], real), None, None, len(mine), "")
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
