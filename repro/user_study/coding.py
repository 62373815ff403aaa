"""Thematic coding of the free text: suggestions for two people to correct, then their agreement and counts.

The codebook is `themes.csv`. Patterns only suggest; what is counted is what the two coders wrote.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from repro.config import Section, load_rows
from repro.errors import ReproError
from repro.user_study.design import FOLDER
from repro.user_study.reliability import cohen
from repro.user_study.responses import Responses

CODERS = ("coder_1", "coder_2")
COLUMNS = ("participant", "question", "text", "suggested", *CODERS)


class Theme(Section):
    """One row of the codebook: `pattern` is a regular expression that suggests the theme."""

    theme: str = Field(pattern=r"^[a-z0-9_]+$")
    pattern: str
    meaning: str

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return pattern


def load_codebook(path: Path = FOLDER / "themes.csv") -> dict[str, Theme]:
    return load_rows(Path(path), Theme, "theme")


def sheet(responses: Responses, codebook: dict[str, Theme]) -> pd.DataFrame:
    """One row a text, themes suggested, two empty columns in which coders write themes separated by spaces."""
    frame = responses.frame
    rows = frame[(frame["part"] == "feedback") & (frame["answer"].str.strip() != "")]
    suggested = [
        " ".join(t.theme for t in codebook.values() if re.search(t.pattern, text, re.IGNORECASE))
        for text in rows["answer"]
    ]
    table = rows[["participant", "question"]].assign(text=rows["answer"], suggested=suggested)
    return table.assign(**dict.fromkeys(CODERS, "")).reset_index(drop=True)


def read_sheet(path: Path, codebook: dict[str, Theme]) -> pd.DataFrame:
    """A sheet that both coders have filled in ("none" for a text without a theme)."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ReproError(f"coding sheet {path} cannot be read ({error}): make one with `user-study code`") from error
    missing = [c for c in COLUMNS if c not in table]
    if missing or table.empty:
        raise ReproError(f"{path} lacks {missing[0] if missing else 'rows'}: make a sheet with `user-study code`")
    for coder in CODERS:
        for line, cell in enumerate(table[coder], start=2):
            unknown = set(cell.split()) - {*codebook, "none"}
            if unknown or not cell.split():
                raise ReproError(
                    f"{path}, line {line}: {coder} wrote {cell!r}; write themes of the codebook "
                    f"({', '.join(codebook)}), or none"
                )
    return table


def themes(table: pd.DataFrame, codebook: dict[str, Theme]) -> pd.DataFrame:
    """One row a theme: texts that both, or either, gave it to, and Cohen's κ between the two coders."""
    rows = []
    for theme in codebook:
        said = np.array([[theme in cell.split() for cell in table[coder]] for coder in CODERS])
        both, either = int(said.all(0).sum()), int(said.any(0).sum())
        rows.append({"theme": theme, "both": both, "either": either, "texts": len(table), "kappa": cohen(*said)})
    return pd.DataFrame(rows)
