"""What to generate: every video with its prompts, seed, file name and hash, before anything is made.

VBench names a video by its prompt. Some prompts are longer than file systems allow, differ by case alone, or hold
other letters than ASCII; their names are cut and carry a hash. VBench is told which file belongs to which prompt, so
that no name needs to be read back.
"""

import csv
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, PositiveInt, ValidationError

from repro.config import Section, explain, load_rows
from repro.errors import ReproError
from repro.evaluation.vbench.package import Package
from repro.files import sha256, write_atomic, write_json
from repro.geometry import Geometry

SAMPLES, STATIC_SAMPLES = 5, 25
"""Videos of a prompt, and of one for temporal flickering, of which VBench's filter keeps static ones."""
NAME_BYTES = 143
"""Longest file name that every usual file system takes (eCryptfs)."""
SEED_STRIDE = 100_000
UNSAFE = re.compile(r'[^\x20-\x7e]|[<>:"/\\|?*]')
VERSION = "1"
"""Of the naming and seed rules."""


class Entry(Section):
    """One video of the plan."""

    file: str
    prompt: str
    """VBench's own, which names the video."""
    generate: str
    """What the model is given: the extended prompt where there is one."""
    rows: str
    """Rows of VBench's prompt file that share this video; a prompt may stand there twice."""
    dimensions: str
    sample: int = Field(ge=0)
    seed: int = Field(ge=0)
    digest: str
    """Of prompt, extended prompt, sample and seed; a video carries it, so that one of another plan is found out."""


class PlanSettings(Section):
    """What every video of a plan shares, and what the plan rests on."""

    version: str = VERSION
    vbench: str
    prompts_sha256: str
    extended_sha256: str = ""
    complete: bool
    """All prompts and samples; scores of fewer are no VBench scores."""
    frames: PositiveInt
    fps: PositiveInt
    width: PositiveInt
    height: PositiveInt


def file_name(prompt: str, sample: int, *, safe: bool) -> str:
    """VBench's `<prompt>-<sample>.mp4`, or, where it is not safe, cut and with a hash before the dash.

    VBench reads the action of `human_action` from the name's start, up to an underscore or dash: those are never cut.
    """
    end = f"-{sample}.mp4"
    if safe:
        return prompt + end
    mark = f"_{hashlib.sha256(prompt.encode()).hexdigest()[:10]}"
    stem = UNSAFE.sub("", prompt)[: NAME_BYTES - len(mark) - len(f"-{STATIC_SAMPLES - 1}.mp4")]
    return stem.strip(" .") + mark + end


def safe_prompts(prompts: Iterable[str]) -> set[str]:
    """Those whose VBench names are short, ASCII and unlike all others even where case does not count."""
    prompts, longest = set(prompts), len(f"-{STATIC_SAMPLES - 1}.mp4")
    folded = [p.casefold() for p in prompts]
    return {
        p
        for p in prompts
        if not UNSAFE.search(p) and len(p) + longest <= NAME_BYTES and folded.count(p.casefold()) == 1
    }


def digest(*parts) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def read_extended(originals: Path, extended: Path, known: Iterable[str]) -> dict[str, str]:
    """Extended prompt by original, from two text files whose lines belong together.

    Raises ReproError where the files differ in length, a line is empty, or an original is not VBench's or has two.
    """
    lines = []
    for path in (originals, extended):
        try:
            lines.append([line.strip() for line in Path(path).read_text().splitlines()])
        except (OSError, UnicodeDecodeError) as error:
            raise ReproError(f"prompts {path} cannot be read ({error})") from error
    if len(lines[0]) != len(lines[1]):
        raise ReproError(
            f"{originals} has {len(lines[0])} lines and {extended} {len(lines[1])}: line by line, one must extend the "
            "other. Take both from the same release"
        )
    known, pairs = set(known), {}
    for number, (original, longer) in enumerate(zip(*lines, strict=True), start=1):
        if original not in known:
            raise ReproError(f"{originals}, line {number}: {original!r} is no prompt of this VBench: another release?")
        if not longer:
            raise ReproError(f"{extended}, line {number} is empty, which should extend {original!r}")
        # A prompt that VBench lists twice is one video: the first extension holds.
        pairs.setdefault(original, longer)
    missing = [p for p in known if p not in pairs]
    if missing:
        raise ReproError(f"{originals} lacks {len(missing)} of VBench's prompts, such as {sorted(missing)[0]!r}")
    return pairs


def make_plan(
    package: Package,
    geometry: Geometry,
    *,
    dimensions: tuple[str, ...],
    extended: tuple[Path, Path] | None = None,
    first: int = 0,
    samples: int = 0,
) -> tuple[PlanSettings, list[Entry]]:
    """Every video that the dimensions need; `first` prompts of each and `samples` of each prompt make a small trial."""
    rows = package.rows
    prompts = list(dict.fromkeys(r["prompt_en"] for r in rows))
    longer = read_extended(*extended, prompts) if extended else {}
    safe = safe_prompts(prompts)
    taken = dict.fromkeys(dimensions, 0)
    wanted: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        needed = [d for d in row["dimension"] if d in taken and (not first or taken[d] < first)]
        for d in needed:
            taken[d] += 1
        if needed:
            wanted.setdefault(row["prompt_en"], []).append(number)
    entries = []
    for prompt, numbers in wanted.items():
        serves = [d for d in dimensions if any(d in rows[n]["dimension"] for n in numbers)]
        count = STATIC_SAMPLES if "temporal_flickering" in serves else SAMPLES
        for sample in range(min(samples or count, count)):
            seed, given = SEED_STRIDE * numbers[0] + sample, longer.get(prompt, prompt)
            entries.append(
                Entry(
                    file=file_name(prompt, sample, safe=prompt in safe),
                    prompt=prompt,
                    generate=given,
                    rows=" ".join(map(str, numbers)),
                    dimensions=" ".join(serves),
                    sample=sample,
                    seed=seed,
                    digest=digest(prompt, given, sample, seed),
                )
            )
    settings = PlanSettings(
        vbench=package.version,
        prompts_sha256=package.prompt_hash,
        extended_sha256=sha256(extended[1]) if extended else "",
        complete=not first and not samples and len(dimensions) == len({d for r in rows for d in r["dimension"]}),
        frames=geometry.frames,
        fps=geometry.fps,
        width=geometry.width,
        height=geometry.height,
    )
    return settings, entries


def write_plan(folder: Path, settings: PlanSettings, entries: list[Entry]) -> None:
    """`plan.csv` and `plan.json`."""

    def write(path: Path) -> None:
        with path.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, Entry.model_fields, lineterminator="\n")
            writer.writeheader()
            writer.writerows(e.model_dump() for e in entries)

    write_atomic(Path(folder) / "plan.csv", write)
    write_json(Path(folder) / "plan.json", settings.model_dump())


def read_plan(folder: Path) -> tuple[PlanSettings, list[Entry]]:
    """Raises ReproError where a file is missing, was changed by hand, or is of other rules than these."""
    import json

    path = Path(folder) / "plan.json"
    if not path.is_file():
        raise ReproError(f"{path} is missing: make it with `python -m repro vbench plan --out {folder}`")
    try:
        settings = PlanSettings(**json.loads(path.read_text()))
    except ValidationError as error:
        raise explain(error, str(path)) from error
    except (ValueError, TypeError) as error:
        raise ReproError(f"{path} cannot be read ({error}): plan again") from error
    if settings.version != VERSION:
        raise ReproError(
            f"{path} follows version {settings.version} of the naming rules, this is {VERSION}: plan again"
        )
    entries = list(load_rows(Path(folder) / "plan.csv", Entry, "file").values())
    for entry in entries:
        if entry.digest != digest(entry.prompt, entry.generate, entry.sample, entry.seed):
            raise ReproError(f"{folder}/plan.csv: the row of {entry.file!r} was changed by hand: plan again")
    return settings, entries


def plan_hash(folder: Path) -> str:
    """One hash over both files of a plan."""
    return digest(*(sha256(Path(folder) / name) for name in ("plan.csv", "plan.json")))


def shard(entries: list[Entry], text: str) -> list[Entry]:
    """The part `i/n` of the entries, i from 0. Raises ReproError for a part that there is not."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise ReproError(f"--shard {text!r}: write i/n with i from 0 to n−1, such as 0/4")
    return entries[int(match[1]) :: int(match[2])]
