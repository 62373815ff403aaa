"""What a study's answers say, as CSV, Markdown, HTML and LaTeX."""

from pathlib import Path

import pandas as pd

from repro.reporting.render import Document, Section
from repro.user_study import ordinal, preference, ranking, reliability
from repro.user_study.cells import name, number, p_text, percent, section, span, whole, write
from repro.user_study.responses import Responses


def build_responses(responses: Responses, out: Path) -> list[Path]:
    """Tables `user_study_responses*` of a study's answers."""
    frames = {
        "rates": preference.rates(responses),
        "aspects": preference.aspects(responses),
        "anova": preference.anova(responses),
        "ranking": ranking.bradley_terry(responses),
        "agreement": reliability.agreement(responses),
        "likert": ordinal.likert(responses),
        "decay": ordinal.decay(responses),
        "people": ordinal.people(responses),
        "excluded": responses.excluded,
    }
    sections = (
        _rates(frames["rates"]),
        _aspects(frames["aspects"]),
        _ranking(frames["ranking"]),
        _agreement(frames["agreement"]),
        _anova(frames["anova"]),
        _likert(frames["likert"]),
        _decay(frames["decay"]),
        _people(frames["people"]),
        _excluded(responses),
    )
    document = Document(tuple(s for s in sections if s.rows), response_notes(responses))
    return write(out, "user_study_responses", document, frames)


def _rates(table: pd.DataFrame) -> Section:
    rows = [
        (
            f"{name(r.first)} over {name(r.second)}",
            whole(r.votes),
            percent(r.rate),
            span(r.wilson_low, r.wilson_high),
            span(r.bootstrap_raters_low, r.bootstrap_raters_high),
            span(r.bootstrap_both_low, r.bootstrap_both_high),
            span(r.mixed_low, r.mixed_high),
            p_text(r.mixed_p),
            p_text(r.p_holm),
            p_text(r.paired_t_raters_p),
            p_text(r.paired_t_votes_p),
            number(r.mixed_rater_sd),
            number(r.mixed_prompt_sd),
            p_text(r.side_p),
        )
        for r in table.itertuples()
    ]
    labels = ["Preferred", "Votes", "Rate, %", "Wilson, %", "Bootstrap raters, %", "Bootstrap both, %", "Mixed, %",
              "p mixed", "p (Holm)", "p paired t raters", "p paired t votes", "SD raters", "SD prompts",
              "p side"]  # fmt: skip
    return section("us-rates", "Preference rates with 95% intervals; the test is the mixed model's", labels, rows)


def _aspects(table: pd.DataFrame) -> Section:
    rows = [
        (
            r.aspect.replace("_", " "),
            f"{name(r.first)} over {name(r.second)}",
            percent(r.equal),
            percent(r.rate),
            span(r.low, r.high),
            p_text(r.p_holm),
        )
        for r in table.itertuples()
    ]
    labels = ["Aspect", "Better", "Equal, %", "Rate of the others, %", "95% two-way, %", "p (Holm)"]
    return section("us-aspects", "Aspects", labels, rows)


def _ranking(table: pd.DataFrame) -> Section:
    rows = [
        (
            whole(r.rank),
            f"{r.rank_low} to {r.rank_high}",
            name(r.method),
            number(r.strength),
            f"[{number(r.low)}, {number(r.high)}]",
        )
        for r in table.itertuples()
    ]
    labels = ["Rank", "95% of draws", "Method", "Strength, log-odds", "95% interval"]
    return section("us-ranking", "Bradley–Terry ranking", labels, rows)


def _agreement(table: pd.DataFrame) -> Section:
    rows = [(r.coefficient, r.of, number(r.value, 3), whole(r.n)) for r in table.itertuples()]
    return section("us-agreement", "Agreement on which method wins", ["Coefficient", "Of", "Value", "n"], rows)


def _anova(table: pd.DataFrame) -> Section:
    rows = [(r.test, number(r.F), whole(r.df_between), whole(r.df_within), p_text(r.p)) for r in table.itertuples()]
    return section("us-anova", "Do the pairs' rates differ?", ["Test", "F", "df", "df within", "p"], rows)


def _likert(table: pd.DataFrame) -> Section:
    rows = [
        (
            r.question.replace("_", " "),
            name(r.method),
            whole(r.raters),
            number(r.mean),
            f"[{number(r.low)}, {number(r.high)}]",
            number(r.difference),
            p_text(r.p_holm),
        )
        for r in table.itertuples()
    ]
    labels = ["Item", "Method", "Raters", "Mean, 1 to 5", "95% interval", "First minus this", "p (Holm)"]
    return section("us-likert", "Ratings", labels, rows)


def _decay(table: pd.DataFrame) -> Section:
    rows = [
        (
            name(r.method),
            r.segment.replace("_", " "),
            whole(r.raters),
            number(r.mean),
            f"[{number(r.low)}, {number(r.high)}]",
            p_text(r.p_rises),
        )
        for r in table.itertuples()
    ]
    labels = ["Method", "Segment", "Raters", "Decay, 0 to 2", "95% interval", "p rising (Page)"]
    return section("us-decay", "Consistency over time", labels, rows)


def _people(table: pd.DataFrame) -> Section:
    rows = [(r.question, r.answer.replace("_", " "), whole(r.count_), percent(r.share)) for r in
            table.rename(columns={"count": "count_"}).itertuples()]  # fmt: skip
    return section("us-people", "Participants", ["Question", "Answer", "Count", "%"], rows)


def _excluded(responses: Responses) -> Section:
    rules = responses.design.exclusions.model_dump()
    counts = responses.excluded["rule"].value_counts()
    rows = [(rule.replace("_", " "), f"{limit:g}", whole(counts.get(rule, 0))) for rule, limit in rules.items()]
    return section("us-excluded", "Exclusion rules, fixed beforehand", ["Rule", "Limit", "Participants"], rows)


def response_notes(responses: Responses) -> tuple[str, ...]:
    out = responses.excluded["participant"].nunique()
    notes = (
        f"{responses.participants} participants, {out} excluded, {responses.duplicates} rows that repeated another; "
        f"design {responses.design.name} ({responses.design.digest[:12]}).",
        "Primary test: mixed-effects logistic regression with crossed raters and prompts and the side shown, Holm over "
        "pairs. Wilson and the paired t over votes take all votes as independent, which they are not; bootstrap raters "
        "and the paired t over raters speak of these prompts only.",
        "Undecided votes enter no model; rate_undecided_half in the CSV counts each as half.",
    )
    warning = "SIMULATED PARTICIPANTS: these are not human data, and say nothing about any model."
    return (warning, *notes) if responses.simulated else notes
