"""What the paper's aggregates can bear, as CSV, Markdown, HTML and LaTeX."""

from pathlib import Path

import pandas as pd

from repro.reporting.render import Document, Section
from repro.user_study import paper
from repro.user_study.cells import (
    METHODS,
    READINGS,
    name,
    number,
    p_text,
    percent,
    read_measured,
    section,
    span,
    whole,
    write,
)
from repro.user_study.power import WANTED, detectable

POWER = (
    ("studies", "two_way", "paired_t_votes"),
    ("participants", "prompts", "comparisons", "rater_sd", "prompt_sd", "rate"),
)
TRUTH = (
    ("studies", "truth", "coverage", "coverage_low", "coverage_high", "rejected", "rejected_low", "rejected_high"),
    ("scenario", "method"),
)
"""What the measured files must have: values, and keys."""


def build_paper(power: Path, truth: Path, out: Path) -> list[Path]:
    """The paper's aggregates recomputed, beside measured power and coverage. Raises ReproError for a missing file."""
    found = paper.load()
    curves, coverage = read_measured(power, "power", *POWER), read_measured(truth, "truth", *TRUTH)
    frames = {
        "intervals": paper.intervals(found),
        "counts": paper.counts(found),
        "limits": paper.limits(found),
        "kappa": paper.kappa_means(found),
        "needs": paper.needs(found),
        "grid": paper.p_grid(found, found.rates["magi_1"], found.readings["each"]),
        "power": curves,
        "truth": coverage,
    }
    sections = (
        _intervals(frames["intervals"]),
        _counts(frames["counts"]),
        _limits(frames["limits"]),
        _kappa(frames["kappa"], found),
        _needs(frames["needs"]),
        _power(curves),
        _truth(coverage),
    )
    return write(out, "user_study", Document(sections, paper_notes(found, curves, coverage)), frames)


def _intervals(table: pd.DataFrame) -> Section:
    rows = [
        (READINGS[r.reading], name(r.baseline), percent(r.rate), span(r.low, r.high), p_text(r.p), p_text(r.p_holm))
        for r in table.itertuples()
    ]
    labels = ["Reading", "Against", "Rate, %", "95% Wilson, %", "p", "p (Holm)"]
    return section("us-intervals", "The paper's rates if all votes were independent", labels, rows)


def _counts(table: pd.DataFrame) -> Section:
    rates = table[table["reading"] != "participants"]
    rows = []
    for what, own in rates.groupby("what", sort=False):
        by = own.set_index("reading")
        cells = [
            (whole(by.loc[r, "from"]) if by.loc[r, "counts"] == 1 else f"{by.loc[r, 'from']} to {by.loc[r, 'to']}")
            if by.loc[r, "counts"]
            else "none"
            for r in by.index
        ]
        rows.append((name(what), *cells))
    labels = [
        "Rate against",
        *(f"Wins of {own['of'].iloc[0]}: {READINGS[r]}" for r, own in rates.groupby("reading", sort=False)),
    ]
    return section("us-counts", "Whole counts that print as the paper's percentages", labels, rows)


def _limits(table: pd.DataFrame) -> Section:
    rows = [
        (
            READINGS[r.reading],
            name(r.baseline),
            percent(r.rate),
            number(r.raters_sd),
            span(r.raters_low, r.raters_high),
            number(r.prompts_sd),
            span(r.prompts_low, r.prompts_high),
        )
        for r in table.itertuples()
    ]
    labels = ["Reading", "Against", "Rate, %", "SD of raters", "95% of raters, %", "SD of prompts", "95% of prompts, %"]
    return section("us-limits", "How far raters, or prompts, may differ before p < 0.01 fails", labels, rows)


def _kappa(table: pd.DataFrame, found: paper.Paper) -> Section:
    rows = [
        (
            name(r.baseline),
            percent(r.rate),
            percent(r.agreement),
            span(r.low, r.high),
            p_text(r.p),
            number(r.kappa_limit, 3),
            percent(r.needed),
        )
        for r in table.itertuples()
    ]
    labels = [
        "Against",
        "Rate, %",
        "Two raters agree, %",
        "95% interval, %",
        "p",
        "κ that p < 0.01 allows",
        "Rate needed, %",
    ]
    caption = f"If κ = {found.kappa:g} is agreement on which model wins a prompt"
    return section("us-kappa", caption, labels, rows)


def _needs(table: pd.DataFrame) -> Section:
    sizes = [c for c in table if c.startswith("prompts_")]
    rows = [(name(r["baseline"]), percent(r["rate"]), *(whole(r[c]) for c in sizes)) for _, r in table.iterrows()]
    labels = ["Against", "Rate, %", *(f"{c.removeprefix('prompts_')} prompts" for c in sizes)]
    return section("us-needs", "Participants to find the paper's rates again with 80% power", labels, rows)


def _power(curves: pd.DataFrame) -> Section:
    sizes = ["participants", "prompts", "comparisons", "rater_sd", "prompt_sd"]
    rows = []
    for key, own in curves.groupby(sizes, sort=False):
        at = own.set_index("rate")
        rows.append(
            (
                *(f"{v:g}" for v in key),
                percent(detectable(own)),
                percent(at.loc[0.5, "two_way"]),
                percent(at.loc[0.5, "paired_t_votes"]),
                percent(at.loc[0.542, "two_way"]),
                percent(at.loc[0.593, "two_way"]),
            )
        )
    labels = ["Participants", "Prompts", "Comparisons", "SD raters", "SD prompts", f"Found with {WANTED:.0%} power, %",
              "False alarms, %", "of the naive t, %", "Power at 54.2, %", "Power at 59.3, %"]  # fmt: skip
    return section("us-power", "Power by simulation, two-way test at 5%", labels, rows)


def _truth(table: pd.DataFrame) -> Section:
    rows = []
    for method in METHODS:
        own = table[table["method"] == method]
        cells = [percent(r.coverage) + (f" ({percent(r.rejected)})" if r.null else "") for r in own.itertuples()]
        rows.append((METHODS[method], *cells))
    labels = ["Interval", *(s.replace("_", " ") for s in table["scenario"].unique())]
    caption = "Simulated studies: coverage of 95% intervals, % (in brackets: false alarms at 5% under the null, %)"
    return section("us-truth", caption, labels, rows)


def paper_notes(found: paper.Paper, curves: pd.DataFrame, coverage: pd.DataFrame) -> tuple[str, ...]:
    each = paper.hours(found)["each"]
    return (
        f"Paper: section 4.4 and appendix H: {found.participants} participants, {found.prompts} prompts and "
        f"{found.comparisons} comparisons per model pair, which its text counts as all votes in one place and as each "
        "participant's in another: both are computed. It publishes no raw data; there is no human data of ours.",
        f"Read as each participant's, one participant watches {each:.1f} hours of videos of {found.seconds:g} s.",
        "Deviations (SD) are in log-odds; 95% of raters, of prompts: the middle of their own rates then. any: no "
        "deviation undoes it; –: p is not below 0.01 even without any.",
        f"κ = {found.kappa:g}: a prompt's own rate then varies so much that other prompts could give any rate of the "
        "interval; p is of a t test over prompts. κ may be of something else: the paper does not say.",
        "Participants needed: two-way t test at 5%, 6 comparisons a pair each, SD 0.5 of raters and of prompts; –: no "
        "number suffices on so few prompts.",
        f"Power: {int(curves['studies'].min())} simulated studies a cell. Coverage: {int(coverage['studies'].min())} "
        f"to {int(coverage['studies'].max())} simulated studies a scenario (config/user_study/truth.csv), "
        "of the rate over all raters and prompts.",
    )
