"""One document of tables → Markdown, HTML and LaTeX. The same input gives the same bytes."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from repro.files import write_text

DASH = "–"
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "–": "--",
    "Σ": r"$\Sigma$",
    "·": r"$\cdot$",
}


@dataclass(frozen=True)
class Section:
    """One table: `columns` are (group, label), the group empty for a column on its own; cells are text."""

    name: str
    caption: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Document:
    """Tables that belong together, and the notes a reader needs beside any of them."""

    sections: tuple[Section, ...]
    notes: tuple[str, ...]


def significant(value: float, digits: int = 3) -> str:
    """Fixed-point text with `digits` significant digits, never an exponent."""
    if pd.isna(value):
        return DASH
    exponent = int(f"{value:.{digits - 1}e}".split("e")[1])
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def signed(value: float, digits: int = 2) -> str:
    """Signed text with `digits` decimals; zero has no sign."""
    if pd.isna(value):
        return DASH
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def p_value(p: float, digits: int = 3) -> str:
    """A p value with `digits` decimals; a smaller one is told to be smaller, since none is 0."""
    if pd.isna(p):
        return DASH
    return f"{p:.{digits}f}" if round(p, digits) else f"< {10.0**-digits:.{digits}f}"


def with_range(value: float, low: float, high: float, form) -> str:
    return f"{form(value)} [{form(low)}, {form(high)}]"


def markdown(document: Document) -> str:
    """Captions are bold text, no headings: the text goes into other documents as it is."""
    parts = []
    for section in document.sections:
        headers = [f"{group} {label}".strip() for group, label in section.columns]
        frame = pd.DataFrame(section.rows, columns=headers)
        parts.append(f"**{section.caption}**\n\n{frame.to_markdown(index=False, disable_numparse=True)}")
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in document.notes)]) + "\n"


def write(document: Document, stem: Path) -> None:
    """`<stem>.md`, `.html` and `.tex`."""
    for suffix, form in ((".md", markdown), (".html", html), (".tex", latex)):
        write_text(stem.with_suffix(suffix), form(document))


def write_csv(table: pd.DataFrame, stem: Path) -> None:
    """`<stem>.csv`."""
    write_text(stem.with_suffix(".csv"), table.to_csv(index=False, float_format="%.6g"))


def html(document: Document) -> str:
    """great-tables, each with a fixed id: its default is drawn at random."""
    from great_tables import GT

    parts = []
    for section in document.sections:
        keys = [f"c{i}" for i in range(len(section.columns))]
        table = GT(pd.DataFrame(section.rows, columns=keys), id=section.name).tab_header(section.caption)
        table = table.cols_label(dict(zip(keys, (label for _, label in section.columns), strict=True))).cols_align(
            "left"
        )
        for group in dict.fromkeys(group for group, _ in section.columns if group):
            members = [k for k, (g, _) in zip(keys, section.columns, strict=True) if g == group]
            table = table.tab_spanner(label=group, columns=members)
        for note in document.notes:
            table = table.tab_source_note(note)
        parts.append(table.as_raw_html())
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<body>\n{body}\n</body>\n</html>\n'


def latex(document: Document) -> str:
    """Needs booktabs and multirow."""
    parts = []
    for section in document.sections:
        columns = pd.MultiIndex.from_tuples([(escape(g), escape(label)) for g, label in section.columns])
        frame = pd.DataFrame([[escape(c) for c in row] for row in section.rows], columns=columns)
        parts.append(
            frame.style.hide(axis="index").to_latex(
                hrules=True,
                environment="table*",
                column_format="l" * len(columns),
                multicol_align="c",
                caption=escape(section.caption),
                label=f"tab:{section.name}",
            )
        )
    notes = "\n".join(f"\\item {escape(note)}" for note in document.notes)
    return "\n".join([*parts, "\\begin{itemize}", notes, "\\end{itemize}", ""])


def escape(text: str) -> str:
    """Text with LaTeX's special characters, and the few symbols used here, made harmless."""
    return "".join(_LATEX.get(character, character) for character in text)
