"""What is there and what is missing, before a long run: weights, disk and GPU memory, table by table."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from repro import footprint
from repro.config import ROOT, load_scale
from repro.errors import ReproError
from repro.models import presets, weights
from repro.models.external import autoencoders, files, generator, lora, text
from repro.models.wan import WanConfig
from repro.reporting import paper
from repro.sources import TableNeed, WeightSource, load_needs, load_weights

WAN_VIDEO = load_scale("wan").geometry
SHIPPED = ROOT / "results" / "published" / "mini" / "checkpoints"
GB = 1e9


@dataclass(frozen=True)
class Found:
    """State of one published file on this machine."""

    source: WeightSource
    place: Path
    missing: bool = False
    fault: str = ""

    @property
    def usable(self) -> bool:
        return not self.missing and not self.fault

    @property
    def words(self) -> str:
        if self.missing:
            return "missing"
        if self.fault:
            return "does not fit"
        return "present, not checked" if self.source.component == "pipeline" else "present, fits"


def look(source: WeightSource, root: Path, config: WanConfig) -> Found:
    """Read names and shapes of a file, if it is there, and hold them against the module they are for."""
    place = source.place(root)
    if not place.exists():
        return Found(source, place, missing=True)
    try:
        check(source, place, config)
    except ReproError as error:
        return Found(source, place, fault=str(error))
    return Found(source, place)


def check(source: WeightSource, place: Path, config: WanConfig) -> None:
    """Raise the ReproError that loading would raise; no weight is copied."""
    model = footprint.build(source.component, config) if source.component != "tokenizer" else None
    match source.component:
        case "generator":
            tensors, adapters = generator.read_generator(place)
            files.require_fit(model, tensors, place)
            lora.require_fit(adapters, tensors, f"weights {place}")
        case "lora":
            lora.require_fit(generator.read_adapter(place), model.state_dict(), f"weights {place}")
        case "text_encoder":
            files.require_fit(model, text.read_text_encoder(place), place)
        case "tokenizer":
            text.load_tokenizer(place, footprint.build("text_encoder", config).config)
        case "vae":
            files.require_fit(model, autoencoders.read_vae(place), place)
        case "tiny":
            files.require_fit(model, autoencoders.read_tiny(place, model), place)
        case "pipeline":
            files.read(place)


def wan(root: Path, console: Console, config: WanConfig = presets.WAN_T2V_1_3B) -> None:
    """Print what paper scale has and lacks. Raises ReproError where a file that is there does not fit."""
    found = [look(source, root, config) for source in load_weights().values()]
    name, gpu_bytes = gpu()
    console.print(_weights_table(found, config))
    console.print(_needs_table(found, config, gpu_bytes))
    console.print(f"GPU: {name}. Disk: {_free(root):.0f} GB free at {root}.", highlight=False)
    console.print(
        "Timing needs no published weights: speed does not depend on their values, and random ones serve. "
        "Quality columns need what the table names.",
        highlight=False,
    )
    fetch = to_fetch(found, config)
    if fetch:
        console.print("\nTo fetch what is missing, the smaller one where two provide the same:")
    for f in fetch:
        console.print(f.source.command(root), markup=False, highlight=False, soft_wrap=True)
    faults = [f.fault for f in found if f.fault]
    if faults:
        raise ReproError("\n".join(faults))


def _weights_table(found: list[Found], config: WanConfig) -> Table:
    table = Table("provides", "state", title="Published weights")
    table.add_column("where", overflow="fold")
    for name in ("about", "note"):
        table.add_column(name)
    for f in found:
        size = footprint.disk_bytes(f.source, config)
        size = f"{size / GB:.2f} GB" if size else "–"
        colour = "green" if f.usable else "red" if f.fault else "yellow"
        table.add_row(f.source.provides, f"[{colour}]{f.words}[/]", str(f.place), size, f.source.note)
    return table


def _needs_table(found: list[Found], config: WanConfig, gpu_bytes: int | None) -> Table:
    table = Table("table", "GPU", "with text encoder", "disk", "timing", "quality", "what no weights give")
    table.title = "What the tables of the paper need, at least"
    for need in load_needs().values():
        memory = footprint.run_bytes(need, WAN_VIDEO, config)
        timing, quality = cells(need.table)
        short = gpu_bytes is not None and memory.generation > gpu_bytes
        table.add_row(
            str(need.table),
            f"{memory.generation / GB:.1f} GB",
            f"{(memory.generation + memory.text_encoder) / GB:.1f} GB",
            f"{needed_bytes(need, found, config) / GB:.1f} GB",
            f"{timing} cells: " + ("[red]GPU too small[/]" if short else "ready") if timing else "none",
            _quality(need, found, quality),
            need.gap,
        )
    return table


def cells(table: int) -> tuple[int, int]:
    """How many of a paper table's cells rest on speed or size alone, and how many on what the videos look like."""
    quality = sum(cell.unit == "%" for cell in paper.load() if cell.table == table)
    return sum(cell.table == table for cell in paper.load()) - quality, quality


def lacking(need: TableNeed, found: list[Found]) -> list[str]:
    """What the quality columns need and no usable file provides."""
    have = {f.source.provides for f in found if f.usable}
    return [name for name in need.provides if name not in have]


def choose(name: str, found: list[Found], config: WanConfig) -> Found:
    """Of the rows that provide `name`, the smallest usable one, else the smallest."""
    rows = [f for f in found if f.source.provides == name]
    return min([f for f in rows if f.usable] or rows, key=lambda f: footprint.disk_bytes(f.source, config))


def needed_bytes(need: TableNeed, found: list[Found], config: WanConfig) -> int:
    """Disk space of what the quality columns of a table need."""
    return sum(footprint.disk_bytes(choose(name, found, config).source, config) for name in need.provides)


def to_fetch(found: list[Found], config: WanConfig) -> list[Found]:
    """One file for everything that no file here provides."""
    chosen = (choose(name, found, config) for name in dict.fromkeys(f.source.provides for f in found))
    return [f for f in chosen if not f.usable]


def _quality(need: TableNeed, found: list[Found], count: int) -> str:
    if not count:
        return "none"
    absent = lacking(need, found)
    return f"{count} cells: " + (f"[yellow]missing {', '.join(absent)}[/]" if absent else "[green]ready[/]")


def gpu() -> tuple[str, int | None]:
    """Name and memory in bytes of the first GPU, if there is one."""
    if not torch.cuda.is_available():
        return "none seen here; paper scale is timed on an H100", None
    device = torch.cuda.get_device_properties(0)
    return f"{device.name}, {device.total_memory / GB:.0f} GB", device.total_memory


def _free(root: Path) -> float:
    """Free space in GB of the file system that `root` lies on, or will."""
    nearest: Iterator[Path] = (p for p in (root.absolute(), *root.absolute().parents) if p.exists())
    return shutil.disk_usage(next(nearest)).free / GB


def mini(checkpoints: Path, console: Console) -> None:
    """Print the state of the shipped checkpoints. Raises ReproError where one is missing or altered."""
    states = weights.listed(checkpoints)
    if not states:
        raise ReproError(f"{checkpoints / weights.SUMS} lists no checkpoint. Restore it with git checkout")
    table = Table("checkpoint", "state", title=f"Checkpoints of mini, {checkpoints}")
    for name, state in states.items():
        table.add_row(name, f"[{'green' if state == 'present' else 'red'}]{state}[/]")
    console.print(table)
    wrong = [f"{name} is {state}" for name, state in states.items() if state != "present"]
    if wrong:
        raise ReproError(f"checkpoints in {checkpoints}: {', '.join(wrong)}. Restore them with git checkout")
