"""Markdown and notebooks → HTML that stands in a page: wide tables scroll, pictures say what they show."""

import re
from pathlib import Path

from repro.errors import ReproError

VERDICTS = {
    "good": ("reproduced", "met", "held", "holds", "consistent", "within rounding"),
    "bad": ("contradicted", "missed", "violated", "inconsistent", "misprint", "not within rounding"),
    "open": ("unresolved", "open", "one seed", "no claim", "not measured", "free", "ambiguous"),
}
"""Class of a verdict → the words that the tables use."""


def tone(word: str) -> str:
    """The class that colours a verdict; words that are none stay plain."""
    word = word.split(" (")[0].strip().lower()
    return next((name for name, words in VERDICTS.items() if word in words), "")


def markdown(text: str) -> str:
    """CommonMark with tables; HTML in the text is shown, not obeyed."""
    from markdown_it import MarkdownIt

    return scrolling(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def scrolling(html: str) -> str:
    """Tables in boxes that scroll by themselves and that the keyboard reaches, as code is; verdicts marked."""
    html = re.sub(r"<table\b", '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table', html)
    html = html.replace("</table>", "</table></div>").replace("<pre>", '<pre tabindex="0">')
    # Cells of the tables' own style carry their alignment.
    return re.sub(r"<td([^>]*)>([^<]{1,40})</td>", _marked, html)


def _marked(match: re.Match) -> str:
    attributes, word = match.groups()
    name = tone(word)
    return f'<td{attributes}><span class="verdict {name}">{word}</span></td>' if name else match.group()


def published_table(path: Path) -> tuple[str, str, str]:
    """A document of `render.markdown` as (caption, first table, the rest), the caption as plain text.

    Raises ReproError for a file that does not begin with a bold caption.
    """
    text = Path(path).read_text()
    caption, _, body = text.partition("\n\n")
    if not re.fullmatch(r"\*\*.+\*\*", caption.strip()):
        raise ReproError(f"{path} does not begin with a bold caption: make it again with the rule of its table")
    table, _, rest = body.partition("\n\n")
    return caption.strip().strip("*"), table, rest


def heading(text: str) -> str | None:
    """The first heading of a Markdown text."""
    found = re.search(r"^#+ +(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else None


def notebook(path: Path) -> tuple[str, str, dict[str, bytes]]:
    """An executed notebook's title, HTML body and pictures by file name.

    A picture's alternative text is the question above it. Raises ReproError for what is no notebook.
    """
    import nbformat
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import ExtractOutputPreprocessor
    from traitlets.config import Config

    try:
        content = nbformat.read(path, as_version=4)
    except Exception as error:
        raise ReproError(
            f"notebook {path} cannot be read ({error}): make it again with the rule of its table"
        ) from error
    _describe(content, path.stem)
    exporter = HTMLExporter(template_name="basic", exclude_anchor_links=True, config=Config())
    exporter.register_preprocessor(
        ExtractOutputPreprocessor(output_filename_template="{unique_key}-{cell_index}-{index}{extension}"), enabled=True
    )
    body, resources = exporter.from_notebook_node(content, {"unique_key": path.stem, "output_files_dir": ""})
    title = next((t for c in content.cells if c.cell_type == "markdown" and (t := heading(c.source))), path.stem)
    pictures = {Path(name).name: data for name, data in resources.get("outputs", {}).items()}
    return title, scrolling(body), pictures


def _describe(content, name: str) -> None:
    """Give every picture of a notebook its alternative text."""
    question = name
    for cell in content.cells:
        if cell.cell_type == "markdown":
            question = heading(cell.source) or question
            continue
        for number, output in enumerate(cell.get("outputs", []), start=1):
            if "image/png" in output.get("data", {}):
                output.metadata["image/png"] = {"alt": f"Figure {number} of {name}: {question}"}
