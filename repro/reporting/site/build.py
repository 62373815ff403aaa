"""The report: a static site of results/published that needs neither a network nor a server."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.progress import track

from repro.config import CONFIG_DIR, ROOT
from repro.errors import ReproError
from repro.reporting.notes import reading
from repro.reporting.site import cells, gallery, markup, models, provenance
from repro.reporting.site.provenance import Index

MARKER = ".repro-report"
"""Says that a folder is a report and may be replaced by the next one."""
PAPER_TABLES = tuple(f"table{n}" for n in range(1, 10))
LEADING = ("scorecard", "claims", "audit")
"""Studies listed before all others where they are published."""
REMEDY = "publish results first (snakemake publish), or restore them with `git checkout results/published`"


@dataclass(frozen=True)
class Link:
    title: str
    href: str
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """A rung of the ladder; `share` of the fastest one's throughput."""

    name: str
    throughput: cells.Value
    in_flight: cells.Value
    share: float


class Site:
    """Pages and files of the report, written below `folder`."""

    def __init__(self, published: Path, folder: Path, config_dir: Path):
        self.published, self.folder, self.config_dir = published, folder, config_dir
        self.scales = provenance.load(published)
        loader = PackageLoader("repro.reporting.site")
        self.env = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self.env.globals |= {"label": cells.label, "tone": markup.tone, "anchor": provenance.anchor}

    def page(self, href: str, template: str, title: str, **values) -> Link:
        """Render a page; `root` leads from it back to the site's top."""
        root = "../" * href.count("/")
        text = self.env.get_template(template).render(title=title, root=root, **values)
        self.write(href, text.encode())
        return Link(title, href)

    def write(self, href: str, content: bytes) -> str:
        path = self.folder / href
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return href

    def copy(self, file: Path) -> str:
        """A published file as it is, for the reader to take away."""
        return self.write(f"data/{file.relative_to(self.published).as_posix()}", file.read_bytes())

    def records(self, index: Index) -> Iterator[Link]:
        for path, found in index.files.items():
            devices = sorted({r.device for r in found})
            link = self.page(
                provenance.page_of(path),
                "records.html",
                path.as_posix(),
                groups=index.groups(path),
                commit=index.commits.get(path.as_posix()),
                source=self.copy(self.published / path),
            )
            yield Link(link.title, link.href, f"{len(found)} records, {', '.join(devices)}")

    def notebooks(self, index: Index) -> Iterator[Link]:
        scale = index.folder.name
        for path in sorted((index.folder / "notebooks").glob("*.ipynb")):
            title, body, pictures = markup.notebook(path)
            for name, data in pictures.items():
                self.write(f"notebooks/{scale}/{name}", data)
            href = f"notebooks/{scale}/{path.stem}.html"
            yield self.page(href, "notebook.html", title, body=Markup(body), source=self.copy(path))

    def section(self, name: str, index: Index, notebooks: list[Link]) -> dict:
        """One published table as the template shows it."""
        path = index.folder / "tables" / f"{name}.md"
        caption, table, rest = markup.published_table(path)
        grid = cells.grid(name, index, self.config_dir)
        related = {index.folder / "notebooks" / f"{n}.ipynb" for n in (name, "speed")}
        hrefs = {f"notebooks/{index.folder.name}/{p.stem}.html" for p in related}
        return {
            "scale": index.folder.name,
            "reading": reading(index.profile) if index.profile else "",
            "caption": caption,
            "grid": grid,
            # A grid says all that the published table says, and where it comes from.
            "rest": Markup(
                _linked(
                    markup.markdown(rest if grid and name in PAPER_TABLES else f"{table}\n\n{rest}"),
                    self.published,
                    "../" if name in PAPER_TABLES else "../../",
                )
            ),
            "files": [self.copy(p) for p in sorted(path.parent.glob(f"{name}*.csv")) if _belongs(p, name)],
            "notebooks": [n for n in notebooks if n.href in hrefs],
            "sources": [f for f in index.files if name in (f.stem, *f.parts)],
        }

    def bars(self, index: Index) -> list[Bar]:
        """The speed ladder of a scale, rung by rung; empty where it was not measured."""
        values = cells.measured(index.folder / "tables" / "ladder.csv", "ladder", index, self.config_dir)
        rungs = dict.fromkeys(row for row, _ in values)
        fastest = max((values[r, "throughput_fps"].value for r in rungs), default=0)
        return [
            Bar(
                r,
                values[r, "throughput_fps"],
                values[r, "in_flight_latency_s"],
                values[r, "throughput_fps"].value / fastest,
            )
            for r in rungs
        ]


def build(published: Path, out: Path, config_dir: Path = CONFIG_DIR) -> Path:
    """Write the report of `published` (a folder a scale) to `out`; returns its first page.

    Raises ReproError where there is nothing published, where a file of it cannot be read, and where `out` is a
    folder of something else. `out` is then left as it was.
    """
    published, out = Path(published), Path(out)
    if not published.is_dir() or not any(p.glob("tables/*.md") for p in published.iterdir()):
        raise ReproError(f"{published} holds no published tables: {REMEDY}")
    with _replacing(out) as folder:
        site = Site(published, folder, config_dir)
        if not site.scales:
            raise ReproError(f"{published} holds no published tables: {REMEDY}")
        _write(site)
    return out / "index.html"


def _write(site: Site) -> None:
    for asset in files("repro.reporting.site").joinpath("assets").iterdir():
        site.write(f"assets/{asset.name}", asset.read_bytes())
    site.write("assets/code.css", _code_style().encode())
    everything = list(site.scales.values())
    records = [link for index in track(everything, "records") for link in site.records(index)]
    notebooks = [link for index in track(everything, "notebooks") for link in site.notebooks(index)]
    of_scale = {index.folder.name: index for index in everything}
    tables, studies = [], []
    for name in PAPER_TABLES:
        shown = [site.section(name, i, notebooks) for i in everything if (i.folder / "tables" / f"{name}.md").is_file()]
        left = None if shown else cells.paper_only(name, site.config_dir)
        title = f"Table {name.removeprefix('table')}"
        link = site.page(f"tables/{name}.html", "table.html", title, sections=shown, left=left, bars=[])
        tables.append(Link(title, link.href, ", ".join(s["scale"] for s in shown) or cells.NOT_MEASURED))
    for name, index in _studies(everything):
        section = site.section(name, index, notebooks)
        bars = site.bars(index) if name == "ladder" else []
        href = f"studies/{index.folder.name}/{name}.html"
        link = site.page(
            href, "table.html", name.replace("_", " ").capitalize(), sections=[section], left=None, bars=bars
        )
        studies.append(Link(link.title, link.href, section["caption"]))
    _gallery(site, everything)
    site.page("models.html", "models.html", "Models", cards=_document("models"), checkpoints=_checkpoints(everything))
    site.page("method.html", "document.html", "The method as it is built here", body=_document("method"))
    site.page("ethics.html", "document.html", "Ethics and provenance", body=_document("ethics"))
    site.page("records/index.html", "listing.html", "Records", links=records)
    site.page(
        "index.html",
        "index.html",
        "Diagonal Distillation, reproduced",
        scales={n: reading(i.profile) for n, i in of_scale.items() if i.profile},
        score=scorecard(everything),
        summaries=[
            Markup(_linked(markup.markdown(p.read_text()), site.published, ""))
            for i in everything
            if (p := i.folder / "tables" / "scorecard.md").is_file()
        ],
        tables=tables,
        studies=studies,
        notebooks=notebooks,
        ladders={n: site.bars(i) for n, i in of_scale.items() if site.bars(i)},
    )


def _studies(everything: list[Index]) -> Iterator[tuple[str, Index]]:
    found = [
        (p.stem, i)
        for i in everything
        for p in sorted((i.folder / "tables").glob("*.md"))
        if p.stem not in PAPER_TABLES
    ]
    order = {name: place for place, name in enumerate(LEADING)}
    yield from sorted(found, key=lambda pair: order.get(pair[0], len(order)))


def _linked(html: str, published: Path, root: str) -> str:
    """Published tables that a text names, `<scale>/tables/<name>.md`, as links to their pages."""

    def link(match: re.Match) -> str:
        scale, name = match.groups()
        if not (published / match.group()).is_file():
            return match.group()
        page = f"tables/{name}.html" if name in PAPER_TABLES else f"studies/{scale}/{name}.html"
        return f'<a href="{root}{page}">{match.group()}</a>'

    return re.sub(r"([\w-]+)/tables/(\w+)\.md", link, html)


def _document(name: str) -> Markup:
    """A document of docs/ as HTML."""
    return Markup(markup.markdown((ROOT / "docs" / f"{name}.md").read_text()))


def _checkpoints(everything: list[Index]) -> dict[str, list[models.Checkpoint]]:
    found = {i.folder.name: models.checkpoints(i.folder / "checkpoints") for i in everything}
    return {scale: of_scale for scale, of_scale in found.items() if of_scale}


def _belongs(path: Path, name: str) -> bool:
    """Is a CSV the table's own or one of its comparisons, `<name>_pairs.csv`?"""
    return path.stem == name or path.stem.startswith(f"{name}_")


def _gallery(site: Site, everything: list[Index]) -> None:
    shown, strips = [], []
    for index in everything:
        scale = index.folder.name
        title, animations = gallery.animations(index.folder / "videos")
        for a in animations:
            name = f"gallery/{scale}/{a.gif.stem}"
            site.write(f"{name}.gif", a.gif.read_bytes())
            site.write(f"{name}.png", a.still)
            shown.append({"name": name, "caption": a.caption, "systems": title, "scale": scale, "size": a.size})
        for caption, of_runs in gallery.strips(index.folder / "runs").items():
            rows = []
            for strip in of_runs:
                href = site.write(f"gallery/{scale}/{strip.name}", strip.png)
                quality = Path(scale) / "runs" / strip.run_id / "quality.json"
                page = provenance.page_of(quality) if quality in index.files else None
                rows.append({"run": strip.run_id, "href": href, "size": strip.size, "page": page})
            strips.append({"caption": caption, "scale": scale, "rows": rows})
    site.page("gallery.html", "gallery.html", "Videos", animations=shown, strips=strips)


@dataclass(frozen=True)
class Score:
    """Verdicts of one table of comparisons, most frequent first."""

    name: str
    href: str
    counts: dict[str, int]


def scorecard(everything: list[Index]) -> list[Score]:
    """Verdicts by table and scale: of the claims where they are published, else of all comparisons."""
    found = []
    told = any((i.folder / "tables" / "claims.csv").is_file() for i in everything)
    for index in everything:
        folder = index.folder / "tables"
        for path in sorted(folder.glob("claims.csv" if told else "*.csv")):
            frame = pd.read_csv(path)
            owner = next((p.stem for p in folder.glob("*.md") if _belongs(path, p.stem)), None)
            if "verdict" not in frame or owner is None:
                continue
            scale = index.folder.name
            href = f"tables/{owner}.html" if owner in PAPER_TABLES else f"studies/{scale}/{owner}.html"
            counts = Counter(frame["verdict"].dropna())
            found.append(Score(f"{path.stem.replace('_', ' ')}, {scale}", href, dict(counts.most_common())))
    return found


def _code_style() -> str:
    """Colours of code in both schemes, from pygments."""
    from pygments.formatters import HtmlFormatter

    light, dark = (HtmlFormatter(style=s).get_style_defs(".highlight") for s in ("xcode", "github-dark"))
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place once it is whole."""
    if out.exists() and not (out / MARKER).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ReproError(f"{out} exists and is no report: remove it, or choose another folder with --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as holder:
            new, old = Path(holder) / "new", Path(holder) / "old"
            new.mkdir()
            yield new
            (new / MARKER).touch()
            if out.exists():
                out.rename(old)
            new.rename(out)
    except OSError as error:
        raise ReproError(f"cannot write {out}: {error.strerror or error}. Choose another folder with --out") from error
