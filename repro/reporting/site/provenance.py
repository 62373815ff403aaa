"""Every published record by run and metric, and the page of the site that shows it."""

import json
import math
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path

from repro.reporting import records
from repro.reporting.records import Record

CLOSE = 1e-4
"""Relative distance within which a number of a table, six digits long, is a record's."""


@dataclass(frozen=True)
class Entry:
    """A record, where it lies in the published folder, and where the site shows it."""

    record: Record
    file: Path

    @property
    def href(self) -> str:
        """Page and place, from the site's root."""
        return f"{page_of(self.file)}#{anchor(self.record)}"


@dataclass
class Group:
    """Records of one file that share a run and all that `Record` says of where they came from."""

    run_id: str
    records: list[Record] = field(default_factory=list)

    @property
    def first(self) -> Record:
        return self.records[0]


@dataclass(frozen=True)
class Index:
    """The records of one scale, `folder` under results/published."""

    folder: Path
    files: dict[Path, list[Record]]
    commits: dict[str, str]

    @property
    def profile(self) -> str | None:
        return next((r.profile for found in self.files.values() for r in found), None)

    @cached_property
    def _entries(self) -> dict[tuple[str, str], list[Entry]]:
        entries: dict[tuple[str, str], list[Entry]] = {}
        for path, found in self.files.items():
            for r in found:
                entries.setdefault((r.run_id, r.metric), []).append(Entry(r, path))
        return entries

    def named(self, run_id: str, metric: str) -> list[Entry]:
        return self._entries.get((run_id, metric), [])

    def find(self, run_id: str, metric: str, value: float) -> Entry | None:
        """The record that a table's number is, as it stands or in percent; else the only one of that name."""
        named = self.named(run_id, metric)
        same = [e for e in named if any(math.isclose(value, e.record.value * s, rel_tol=CLOSE) for s in (1, 100))]
        return same[0] if same else named[0] if len(named) == 1 else None

    def groups(self, path: Path) -> list[Group]:
        """Records of a file in its order, neighbours together that share run and origin."""
        origin = lambda r: (r.run_id, r.code, r.device, r.seeds, r.weights, r.versions)  # noqa: E731
        return [Group(key[0], list(found)) for key, found in groupby(self.files[path], origin)]


def anchor(record: Record) -> str:
    """The record's id in its page: runs of one file may share a metric's name."""
    return f"{record.run_id}.{record.metric}"


def page_of(file: Path) -> str:
    """`<scale>/runs/x/quality.json`, from the published folder, to its page from the site's root."""
    return f"records/{file.as_posix().removesuffix('.json')}.html"


def load(published: Path) -> dict[str, Index]:
    """Scale → its records; files by their path from `published`. Raises ReproError for records that cannot be read."""
    commits = publishing_commits(published)
    found = {}
    for folder in sorted(p for p in Path(published).iterdir() if (p / "tables").is_dir()):
        files = {p.relative_to(published): records.read(p) for p in sorted(folder.rglob("*.json")) if _has_records(p)}
        found[folder.name] = Index(folder, files, commits)
    return found


def _has_records(path: Path) -> bool:
    """A list of records, not the settings of a training; what cannot be read is left to `records.read` to refuse."""
    try:
        content = json.loads(path.read_text())
    except ValueError:
        return True
    return isinstance(content, list) and bool(content) and isinstance(content[0], dict) and "metric" in content[0]


def publishing_commits(published: Path) -> dict[str, str]:
    """File under `published` → the commit that last changed it; empty outside a git checkout."""
    command = ["git", "-C", str(published), "log", "--format=>%H", "--name-only", "--relative", "--", "."]
    try:
        log = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    commits: dict[str, str] = {}
    current = ""
    for line in filter(None, log.splitlines()):
        if line.startswith(">"):
            current = line[1:]
        else:
            commits.setdefault(line, current)
    return commits
