"""Claims that rest on long videos and on the schedule search, from synthetic ones."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from repro.reporting import claim_tests, long_video, search
from repro.reporting.claims import Claim, Judged
from repro.reporting.verdicts import CONTRADICTED, NOT_MEASURED, ONE_SEED, REPRODUCED, UNRESOLVED

ROLL, PROMPTS = 45.0, 12


def claim(**values) -> Claim:
    return Claim(claim="c", statement="s", where="w", scale="mini", metrics="total", **values)


def long_of(seeds: int):
    """`diagonal` is steady and two points better; `self` falls by three points a minute."""
    rows = [
        {"system": s, "roll": ROLL, "seed": seed, "prompt": p, "segment": 0, "total": level + 0.001 * p}
        for s, level in (("diagonal", 0.82), ("self", 0.80))
        for seed in range(seeds)
        for p in range(PROMPTS)
    ]
    slopes = {"diagonal": (0.0, -0.001, 0.001, 0.9), "self": (-0.03, -0.04, -0.02, 0.001)}
    drift = pd.DataFrame(
        [
            {"roll": ROLL, "system": s, "measure": "total", "slope": a, "low": b, "high": c, "p": p, "p_holm": p}
            | {"n": seeds * PROMPTS}
            for s, (a, b, c, p) in slopes.items()
        ]
    )
    scores = pd.DataFrame(rows)
    return long_video.Long(scores, drift, scores, pd.DataFrame(), {}, (), ())


def published(long=None, found=None):
    made = claim_tests.Published("nowhere")
    made.__dict__ |= {"long": long, "search": found}
    return made


@pytest.mark.parametrize(
    ("seeds", "values", "verdict", "value"),
    [
        (3, {"test": "drift", "pairs": "self", "expectation": "falls"}, REPRODUCED, -3.0),
        (3, {"test": "drift", "pairs": "self", "expectation": "rises"}, CONTRADICTED, -3.0),
        (3, {"test": "drift", "pairs": "diagonal", "expectation": "no worse", "margin": 1}, REPRODUCED, 0.0),
        (3, {"test": "drift", "pairs": "self", "expectation": "no worse", "margin": 1}, CONTRADICTED, -3.0),
        (1, {"test": "drift", "pairs": "self", "expectation": "falls"}, ONE_SEED, -3.0),
        (3, {"test": "rolled", "pairs": "diagonal:self", "expectation": "better"}, REPRODUCED, 2.0),
        (3, {"test": "drift", "pairs": "causvid", "expectation": "falls"}, NOT_MEASURED, None),
    ],
)
def test_long_videos(seeds, values, verdict, value):
    judge = claim_tests.drift if values["test"] == "drift" else claim_tests.rolled
    (part,) = judge(claim(**values), published(long_of(seeds)))
    assert part.verdict == verdict
    if value is None:
        assert part.missing == "mini/long/causvid"
    else:
        assert part.value == pytest.approx(value) and part.low <= part.value <= part.high


@pytest.mark.parametrize(("gain", "verdict"), [(0.05, CONTRADICTED), (-0.05, REPRODUCED), (0.0, UNRESOLVED)])
def test_the_schedule_of_the_paper_on_the_front(gain, verdict):
    """A rival of as few forwards, better or worse by so much."""
    rng = np.random.default_rng(0)
    values = np.array([0.8 + 0 * np.arange(36), 0.8 + gain + rng.permutation(np.linspace(-0.01, 0.01, 36))])
    table = pd.DataFrame(
        {"schedule": [search.PAPER, "4222222"], "forwards": [17, 16], "monotone": [True, True], "chosen": [True, True]}
    )
    clips = pd.DataFrame({"seed": np.repeat(range(3), 12), "prompt": np.tile(range(12), 3)})
    made = search.Search(table, values, clips, pd.DataFrame(), pd.DataFrame(), ())
    (part,) = claim_tests.searched(claim(test="front"), published(found=made))
    assert part.verdict == verdict and part.value == pytest.approx(-100 * gain, abs=1e-9)
    assert part.what == "4322222 − 4222222"


def test_a_kind_of_schedules_is_judged_by_every_comparison(monkeypatch):
    made = SimpleNamespace(clips=pd.DataFrame({"seed": np.repeat(range(3), 4)}))
    columns = ["monotone", "other", "difference", "low", "high", "p_holm", "verdict"]
    rows = [("1111111", "1222212", -0.02, -0.03, -0.01, 0.01, CONTRADICTED)]
    rows += [("4322222", "4232222", 0.03, 0.02, 0.04, 0.02, REPRODUCED)]
    monkeypatch.setattr(search, "kinds", lambda found: (pd.DataFrame(rows, columns=columns), None))
    judged = claim_tests.searched(claim(test="monotone"), published(found=made))
    deciding = Judged(judged[0].claim, judged).deciding
    assert len(judged) == 2 and deciding.verdict == CONTRADICTED and deciding.what == "1111111 − 1222212"
    assert (deciding.value, deciding.low, deciding.high) == pytest.approx((-2, -3, -1)) and deciding.p_holm == 0.01
    (part,) = claim_tests.searched(claim(test="monotone"), published())
    assert part.verdict == NOT_MEASURED and part.missing == "mini/search"
