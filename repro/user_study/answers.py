"""Sentences about the paper's study, made from the tables of `report.build_paper`: what the notebook says."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from repro.user_study import paper
from repro.user_study.cells import METHODS, name, number, p_text, percent, read_measured
from repro.user_study.power import detectable

KEYS = ("intervals", "counts", "limits", "kappa", "needs", "grid", "power", "truth")


@dataclass(frozen=True)
class Found:
    """The printed study, and its tables by name."""

    printed: paper.Paper
    tables: dict[str, pd.DataFrame]
    folder: Path

    def __getitem__(self, key: str) -> pd.DataFrame:
        return self.tables[key]

    def figure(self, key: str) -> Path:
        return self.folder / "figures" / f"user_study_{key}.png"


def load(folder: Path) -> Found:
    """Raises ReproError naming a table that is missing."""
    folder = Path(folder)
    tables = {key: read_measured(folder / "tables" / f"user_study_{key}.csv", "paper") for key in KEYS}
    return Found(paper.load(), tables, folder)


def _listed(items) -> str:
    return ", ".join(items) or "none"


def independent(found: Found) -> str:
    """Which rates differ from one half if all votes are independent?"""
    lines = []
    for reading, own in found["intervals"].groupby("reading"):
        fails = own[own["p"] >= found.printed.alpha]
        lines.append(
            f"{own['votes'].iloc[0]} votes a pair ({reading}): p is not below {found.printed.alpha:g} for "
            + _listed(f"{name(r.baseline)} (p {p_text(r.p)})" for r in fails.itertuples())
            + "."
        )
    hours = paper.hours(found.printed)["each"]
    return (
        " ".join(lines)
        + f" The larger count takes each participant {hours:.1f} hours of watching at the longest length."
    )


def whole(found: Found) -> str:
    """Do the percentages match whole counts?"""
    table = found["counts"]
    lines = []
    for (reading, of), own in table.groupby(["reading", "of"], sort=False):
        missing = own[own["counts"] == 0]["what"].map(name)
        lines.append(f"{reading}, of {of}: {(own['counts'] > 0).sum()} of {len(own)} match, not {_listed(missing)}.")
    sizes = paper.possible_sizes(found.printed)
    return (
        " ".join(lines)
        + f" With the same number of votes for every pair, {sizes[0]} is the smallest that fits all five rates; "
        "of 13950 each rate fits several counts, so that a match says nothing."
    )


def variance(found: Found) -> str:
    """How much may raters and prompts differ before p < 0.01 fails?"""
    weakest = found["limits"][found["limits"]["reading"] == "each"].sort_values("rate").iloc[0]
    return (
        f"{percent(weakest['rate'])}% against {name(weakest['baseline'])} at 150 votes a participant: p < "
        f"{found.printed.alpha:g} fails once raters differ by an SD of {number(weakest['raters_sd'])} log-odds (95% of "
        f"them between {percent(weakest['raters_low'], 0)} and {percent(weakest['raters_high'], 0)}%), or, for prompts "
        f"at large, once prompts differ by {number(weakest['prompts_sd'])} (95% between "
        f"{percent(weakest['prompts_low'], 0)} and {percent(weakest['prompts_high'], 0)}%)."
    )


def kappa(found: Found) -> str:
    """What can κ mean with so many raters?"""
    table = found["kappa"]
    fails = table[table["p"] >= found.printed.alpha]
    weakest = table.sort_values("rate").iloc[0]
    kappa, alpha, prompts = found.printed.kappa, found.printed.alpha, found.printed.prompts
    return (
        f"Cohen's κ is of two raters; of {found.printed.participants} it can only be an average over pairs, or Fleiss' "
        f"κ. If {kappa:g} is that, two participants agree on {percent(weakest['agreement'], 0)}% of the votes, and "
        f"nearly every prompt has one winner for all. The rate then rests on {prompts} prompts, not on the votes, and "
        f"p < {alpha:g} cannot be for {_listed(name(b) for b in fails['baseline'])}: it takes a rate of "
        f"{percent(table['needed'].iloc[0])}%, or for {name(weakest['baseline'])} a κ of at most "
        f"{number(weakest['kappa_limit'], 3)}. Taken for these very prompts alone both can be true, and nothing is "
        "said of others. If κ is of two coders of the free text, or of repeats, it says nothing of the preferences."
    )


def needed(found: Found) -> str:
    """What would a study of given power need?"""
    sizes = ["participants", "prompts", "comparisons", "rater_sd", "prompt_sd"]
    told = [
        f"{key[0]:g} × {key[2]:g} on {key[1]:g} prompts (SD {key[3]:g}, {key[4]:g}): {percent(detectable(own))}%"
        for key, own in found["power"].groupby(sizes, sort=False)
    ]
    return "Smallest preference found with 80% power, participants × comparisons a pair: " + "; ".join(told) + "."


def covers(found: Found) -> str:
    """Which intervals cover, which tests cry wolf?"""
    table = found["truth"]
    lines = []
    for method, label in METHODS.items():
        own = table[table["method"] == method]
        null = own[own["null"]]
        lines.append(
            f"{label}: covers {percent(own['coverage'].min())} to {percent(own['coverage'].max())}%, false alarms "
            f"{percent(null['rejected'].min())} to {percent(null['rejected'].max())}%"
        )
    return (
        f"Over {len(table['scenario'].unique())} scenarios of {int(table['studies'].min())} simulated studies. "
        + "; ".join(lines)
        + "."
    )
