"""Who sees what, in which order, on which side: balanced, side-randomised, seeded."""

import hashlib

import numpy as np
import pandas as pd

from repro.user_study.design import DEGRADED, Design

COLUMNS = ("participant", "position", "task", "part", "kind", "prompt", "left", "right", "repeats")


def shares(participants: int, prompts: int, comparisons: int) -> np.ndarray:
    """Votes [participant, prompt] of one pair: rows sum to `comparisons`, columns differ by one at most."""
    turn = np.arange(participants * comparisons)
    votes = np.zeros((participants, prompts), int)
    np.add.at(votes, (turn // comparisons, turn % prompts), 1)
    return votes


def make(design: Design) -> pd.DataFrame:
    """One row a task, `COLUMNS`; an empty `right` for a single video, an empty `left` for a page of questions.

    Of every pair each prompt is judged equally often (±1) and from either side equally often (±1). A repeat names
    the task that it shows again with sides swapped. The same design gives the same plan.
    """
    rng = np.random.default_rng(design.seed)
    everyone = rng.permutation(design.participants)
    rows: list[list[dict]] = [[] for _ in everyone]
    for pair in design.pairs:
        order, start = rng.permutation(design.prompts), int(rng.integers(2))
        for turn in range(design.participants * design.comparisons):
            visit, place = divmod(turn, design.prompts)
            # Sides alternate along a participant's run, and at every prompt from visit to visit.
            swapped = (visit + place + start) % 2
            left, right = pair[::-1] if swapped else pair
            prompt = design.prompt_names[order[place]]
            rows[everyone[turn // design.comparisons]].append(_task("comparison", "main", prompt, left, right))
    _singles(design, "quality", design.quality_videos, design.prompt_names, rng, rows)
    _singles(design, "consistency", design.consistency_videos, design.prompt_names, rng, rows)
    _singles(design, "dynamic", design.dynamic_videos, design.dynamic_names, rng, rows)
    plan = [row for i, own in enumerate(rows) for row in _session(design, f"p{i + 1:03}", own, rng)]
    return pd.DataFrame(plan, columns=COLUMNS)


def _task(part: str, kind: str = "main", prompt: str = "", left: str = "", right: str = "", repeats: str = "") -> dict:
    return {"part": part, "kind": kind, "prompt": prompt, "left": left, "right": right, "repeats": repeats}


def _singles(design: Design, part: str, count: int, prompts: tuple[str, ...], rng, rows: list[list[dict]]) -> None:
    """Single videos: every participant sees the methods in turn, every method all prompts in turn."""
    methods, order = rng.permutation(design.methods), rng.permutation(prompts)
    for turn in range(design.participants * count):
        lap, place = divmod(turn, len(methods))
        prompt = order[(lap + place) % len(prompts)]
        rows[turn // count].append(_task(part, prompt=str(prompt), left=str(methods[place])))


def _session(design: Design, participant: str, own: list[dict], rng) -> list[dict]:
    """A participant's tasks in order: parts as in the paper, shuffled within; repeats in the last half of theirs."""
    own = [own[i] for i in rng.permutation(len(own))]
    by_part = {part: [row for row in own if row["part"] == part] for part in design.parts}
    by_part["about"], by_part["feedback"] = [_task("about")], [_task("feedback")]
    compared = by_part["comparison"]
    for number, row in enumerate(own):
        digest = hashlib.sha256(f"{design.digest}/{participant}/{number}".encode())
        row["task"] = digest.hexdigest()[:12]
    half = max(len(compared) // 2, design.repeats)
    again = [
        row | {"kind": "repeat", "left": row["right"], "right": row["left"], "repeats": row["task"], "task": None}
        for row in compared[: design.repeats]
    ]
    checks = [_check(design, i, rng) for i in range(design.checks)]
    late = compared[half:] + again
    late = [late[i] for i in rng.permutation(len(late))]
    mixed = compared[:half] + late
    for check in checks:
        mixed.insert(int(rng.integers(len(mixed) + 1)), check)
    by_part["comparison"] = mixed
    session = [row for part in design.parts for row in by_part[part]]
    for position, row in enumerate(session, 1):
        name = f"{design.digest}/{participant}/at/{position}"
        row |= {"participant": participant, "position": position}
        row["task"] = row.get("task") or hashlib.sha256(name.encode()).hexdigest()[:12]
    return session


def _check(design: Design, number: int, rng) -> dict:
    """A video beside a spoilt one of itself; the spoilt one takes each side in turn."""
    prompt, method = str(rng.choice(design.prompt_names)), str(rng.choice(design.methods))
    left, right = (method, DEGRADED) if number % 2 else (DEGRADED, method)
    return _task("comparison", "check", prompt, left, right)


def summary(design: Design, plan: pd.DataFrame) -> str:
    """How balanced is it, and how long does it take?"""
    main = plan[(plan["part"] == "comparison") & (plan["kind"] == "main")]
    # The pair of a task, whichever side its first is on.
    rank = {method: i for i, method in enumerate(design.methods)}
    first_left = main["left"].map(rank) < main["right"].map(rank)
    pair = main[["left", "right"]].apply(frozenset, axis=1)
    votes = main.groupby([pair.map(lambda p: "/".join(sorted(p))), "prompt"]).size()
    each = plan[plan["participant"] == plan["participant"].iloc[0]]
    shown = each[each["left"] != ""]
    minutes = len(shown) * design.video_seconds / 60
    return (
        f"{design.participants} participants, {len(each)} tasks each, {len(shown)} of them with video: at least "
        f"{minutes:.0f} minutes a participant at {design.video_seconds:g} s a video. "
        f"{len(main)} comparisons, {len(main) // len(design.pairs)} a pair, {votes.min()} to {votes.max()} a pair and "
        f"prompt; the first of a pair is on the left in {first_left.mean():.1%}."
    )
