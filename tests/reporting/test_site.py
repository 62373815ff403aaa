"""The report: every link leads somewhere, every number is a record, and nothing comes from the network."""

import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest

from repro.config import ROOT
from repro.errors import ReproError
from repro.reporting.site import cells, markup, provenance
from repro.reporting.site.build import MARKER, build

PUBLISHED = ROOT / "results" / "published"
PARTS = (
    "mini/tables/table2*",
    "mini/tables/table5*",
    "mini/tables/headroom*",
    "mini/headroom/*/headroom.json",
    "mini/runs/*/*.json",
    "mini/runs/real/frames.npz",
    "mini/notebooks/table2.ipynb",
    "mini/videos/README.md",
    "mini/videos/*.gif",
    "mini/checkpoints/tiny.safetensors",
    "wan-h100/tables/*",
    "wan-h100/speed/*.json",
)


class Page(HTMLParser):
    """Ids, links, pictures and the numbers that lead to a record, of one page."""

    def __init__(self, path: Path):
        super().__init__()
        self.path, self.ids, self.links, self.loaded, self.bare, self.numbers = path, Counter(), [], [], [], []
        self.number = None
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        has = dict(attributes)
        self.ids.update([has["id"]] if "id" in has else [])
        self.links += [has["href"]] if "href" in has else []
        self.loaded += [has[k] for k in ("src", "data-gif", "data-still") if k in has]
        self.loaded += [has["href"]] if tag == "link" else []
        if tag == "img" and not (has.get("alt") or "").strip():
            self.bare.append(has.get("src"))
        self.number = has["href"] if tag == "a" and has.get("class") == "number" else self.number

    def handle_data(self, data):
        if self.number:
            self.numbers.append((self.number, data))
            self.number = None


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    for part in PARTS:
        for path in PUBLISHED.glob(part):
            target = folder / path.relative_to(PUBLISHED)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return folder


@pytest.fixture(scope="module")
def pages(published, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "site"
    build(published, out)
    return {path: Page(path) for path in out.rglob("*.html")}


def target(page: Page, link: str) -> tuple[Path, str]:
    parts = urlsplit(link)
    path = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
    return path, unquote(parts.fragment)


def test_every_link_leads_to_a_file_and_to_a_place_in_it(pages):
    broken = []
    for page in pages.values():
        for link in [*page.links, *page.loaded]:
            if urlsplit(link).scheme == "data":
                continue
            path, place = target(page, link)
            if not path.is_file() or (place and place not in pages[path].ids):
                broken.append((page.path.name, link))
    assert len(pages) > 40
    assert broken == []


def test_nothing_is_loaded_from_the_network(pages):
    outside = [
        (page.path.name, link)
        for page in pages.values()
        for link in page.loaded
        if urlsplit(link).scheme not in ("", "data") or link.startswith("//")
    ]
    assert outside == []
    style = next(iter(pages)).parents
    root = next(p for p in style if (p / MARKER).is_file())
    assert not any("http" in f.read_text() or "@import" in f.read_text() for f in root.glob("assets/*.css"))


def test_pictures_say_what_they_show_and_ids_are_unique(pages):
    assert [p.path.name for p in pages.values() if p.bare] == []
    assert {p.path.name: i for p in pages.values() for i, n in p.ids.items() if n > 1} == {}


def test_every_measured_cell_of_the_tables_leads_to_the_record_it_is(pages, published):
    table = next(p for path, p in pages.items() if path.name == "table5.html")
    rows = pd.read_csv(published / "mini/tables/table5.csv")
    of_mini = [n for n in table.numbers if "records/mini/" in n[0]]
    assert len(of_mini) == 8 * len(rows)  # six measures, NFE and forwards
    links = {link.split("/records/")[1]: text for link, text in of_mini}
    shown = links["mini/runs/diagonal_4322222/quality.html#diagonal_4322222.temporal"]
    row = rows.set_index("run_id").loc["diagonal_4322222"]
    assert shown == f"{row.temporal:.1f} [{row.temporal_low:.1f}, {row.temporal_high:.1f}]"
    shown = links["mini/runs/diagonal_4322222/timing.html#diagonal_4322222.throughput_fps"]
    assert shown.startswith(f"{row.throughput_fps:.3g} [")


def test_a_cell_is_its_record_as_it_stands_or_in_percent(published):
    scales = provenance.load(published)
    for scale, name in (("mini", "table2"), ("mini", "table5"), ("wan-h100", "table4"), ("wan-h100", "ladder")):
        found = cells.grid(name, scales[scale])
        values = [c.ours for c in found.cells.values() if c.ours]
        assert len(values) > 20
        for (_, metric), cell in found.cells.items():
            if cell.ours and metric != "motion_amplitude":  # that is a share of the real clips' record
                ratio = cell.ours.value / cell.ours.entry.record.value if cell.ours.value else 1.0
                assert min(abs(ratio - 1), abs(ratio - 100) / 100) < 1e-3, (name, metric)


def test_verdicts_stand_in_the_row_that_the_paper_claims_to_be_better(published):
    grid = cells.grid("table5", provenance.load(published)["mini"])
    pairs = pd.read_csv(published / "mini/tables/table5_ratios.csv", dtype={"schedule": str})
    expected = {(f"diagonal_{r.schedule}", r.metric): r.verdict for r in pairs.itertuples()}
    assert {key: grid.cells[key].verdict.word for key in expected} == expected
    assert grid.cells["self_4322222", "throughput_fps"].verdict is None


def test_the_paper_s_numbers_stand_alone_where_nothing_is_published():
    grid = cells.paper_only("table6")
    said = [c for c in grid.cells.values() if c.paper]
    assert said and all(c.ours is None and c.verdict.word == cells.NOT_MEASURED for c in said)


def test_checkpoints_are_listed_with_hash_and_size(pages, published):
    text = next(path for path in pages if path.name == "models.html").read_text()
    listed = (PUBLISHED / "mini/checkpoints/SHA256SUMS").read_text()
    digest = next(line.split()[0] for line in listed.splitlines() if line.endswith("tiny.safetensors"))
    assert digest in text and "psnr_db" in text


def test_claims_become_the_scorecard(published, tmp_path):
    copy = shutil.copytree(published, tmp_path / "published")
    tables = copy / "mini" / "tables"
    (tables / "claims.csv").write_text("claim,verdict\none,reproduced\ntwo,contradicted\nthree,reproduced\n")
    (tables / "claims.md").write_text(
        "**Claims**\n\n| Claim | Verdict |\n|:--|:--|\n| one | reproduced |\n\n- A note.\n"
    )
    (tables / "scorecard.md").write_text("**By verdict**\n\n| All |\n|:--|\n| 3 |\n\n- See mini/tables/claims.md.\n")
    index = build(copy, tmp_path / "site").read_text()
    assert "2 reproduced" in index and "1 contradicted" in index
    assert '<a href="studies/mini/claims.html">mini/tables/claims.md</a>' in index
    assert '<span class="verdict good">reproduced</span>' in (tmp_path / "site/studies/mini/claims.html").read_text()


def test_html_in_published_text_is_shown_not_obeyed():
    assert "<script>" not in markup.markdown("**A**\n\n<script>alert(1)</script>\n")


@pytest.mark.parametrize("made", [False, True])
def test_nothing_published_is_one_clear_error(tmp_path, made):
    folder = tmp_path / "published"
    if made:
        (folder / "mini").mkdir(parents=True)
    with pytest.raises(ReproError, match=r"holds no published tables: publish results first"):
        build(folder, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_folder_of_something_else_is_not_replaced_and_a_broken_record_keeps_the_old_report(published, tmp_path):
    other = tmp_path / "mine"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(ReproError, match="is no report"):
        build(published, other)
    assert (other / "letter.txt").read_text() == "dear"
    small, site = tmp_path / "published", tmp_path / "site"
    shutil.copytree(published / "wan-h100", small / "wan-h100")
    before = build(small, site).read_text()
    (small / "wan-h100/speed/ladder.json").write_text('[{"metric": "total_s"')
    with pytest.raises(ReproError, match=r"ladder\.json cannot be read"):
        build(small, site)
    assert (site / "index.html").read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "published", "site"]
