"""How numbers, methods and tables of a user study look: shared by its reports and figures."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from repro.files import write_text
from repro.reporting import render, stored
from repro.reporting.render import DASH, Document, Section

TEXT = ("scenario", "method")
"""Columns of words in what was measured."""
NAMES = {
    "diagdistill": "Diagonal Distillation",
    "causvid": "CausVid",
    "wan2_1": "Wan2.1",
    "skyreels_v2": "SkyReels-V2",
    "magi_1": "MAGI-1",
    "self_forcing": "Self-Forcing",
}
READINGS = {"all": "150 votes in all", "each": "150 votes a participant", "one a participant": "one a participant"}
METHODS = {
    "wilson": "Wilson, all votes independent",
    "paired_t_votes": "paired t over all votes",
    "paired_t_raters": "paired t over raters",
    "bootstrap_raters": "bootstrap over raters",
    "bootstrap_both": "bootstrap over raters and prompts",
    "two_way": "two-way cluster-robust",
    "mixed": "mixed-effects logistic",
}
"""Estimators as readers see them."""


def name(method: str) -> str:
    return NAMES.get(method, method.replace("_", " "))


def percent(value: float, digits: int = 1) -> str:
    return DASH if pd.isna(value) else f"{100 * value:.{digits}f}"


def span(low: float, high: float) -> str:
    return DASH if pd.isna(low) else f"[{percent(low)}, {percent(high)}]"


def p_text(p: float) -> str:
    return render.p_value(p, 4)


def number(value: float, digits: int = 2) -> str:
    if pd.isna(value):
        return DASH
    return "any" if value == float("inf") else f"{value:.{digits}f}"


def whole(value: float) -> str:
    return DASH if pd.isna(value) else f"{value:.0f}"


def section(key: str, caption: str, labels: list[str], rows) -> Section:
    return Section(key, caption, tuple(("", label) for label in labels), tuple(tuple(row) for row in rows))


def write(out: Path, stem: str, document: Document, frames: dict[str, pd.DataFrame]) -> list[Path]:
    """`<out>/tables/<stem>.{md,html,tex}` and `<stem>_<frame>.csv`."""
    tables = Path(out) / "tables"
    texts = {f"{stem}_{key}.csv": frame.to_csv(index=False, float_format="%.6g") for key, frame in frames.items()}
    texts |= {f"{stem}.{kind}": form(document) for kind, form in
              (("md", render.markdown), ("html", render.html), ("tex", render.latex))}  # fmt: skip
    return [write_text(tables / file, text) for file, text in texts.items()]


def read_measured(path: Path, verb: str, columns: Sequence[str] = (), keys: Sequence[str] = ()) -> pd.DataFrame:
    """Raises ReproError as `stored.table` does."""
    text = dict.fromkeys(TEXT, str)
    return stored.table(path, f"`python -m repro user-study {verb}`", (*keys, *columns), keys, dtype=text)
