"""Table 8: the full decoder and the tiny one beside the paper's numbers, from what `python -m repro codecs` wrote."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from repro.evaluation.codecs import CODECS
from repro.reporting import paper, records, render, stored
from repro.reporting.figures import side_by_side
from repro.reporting.notes import reading
from repro.reporting.render import Document, Section, significant, with_range

NAME = "table8"
TITLES = {"full_vae": "Full VAE", "tiny_vae": "Tiny VAE"}
Measured = records.Keyed


def load(folder: Path, profile: str) -> Measured:
    """Records of `<folder>/codecs.json` by (decoder, metric). Raises ReproError for another profile's."""
    path = Path(folder) / "codecs.json"
    rows = records.read_of(profile, path, NAME)
    return records.keyed(rows, path)


def build(folder: Path, profile: str, out: Path) -> None:
    """Write `<out>/tables/table8{.csv,.md,.html,.tex}`."""
    measured, stem = load(folder, profile), Path(out) / "tables" / NAME
    render.write(Document((section(measured),), notes(measured, profile)), stem)
    printed = paper.table(8)
    rows = [
        r.model_dump(include={"run_id", "metric", "value", "low", "high", "n", "unit", "device", "profile"})
        | {"paper": float(printed[key].value) if key in printed else None}
        for key, r in measured.items()
    ]
    render.write_csv(pd.DataFrame(rows), stem)


def section(measured: Measured) -> Section:
    printed = paper.table(8)

    def ours(row: str, metric: str, scale: float = 1) -> str:
        r = measured[row, metric]
        if r.low is None:
            return significant(scale * r.value)
        return with_range(*(scale * x for x in (r.value, r.low, r.high)), significant)

    def size(values) -> str:
        return " × ".join(f"{float(v):g}" for v in values)

    sides = [f"compression_{side}" for side in ("height", "width", "time")]
    rows = tuple(
        (
            TITLES[row],
            printed[row, "decoder_params"].printed,
            ours(row, "decoder_params"),
            size(printed[row, side].value for side in sides),
            size(measured[row, side].value for side in sides),
            printed[row, "decoding_s"].printed,
            ours(row, "decoding_s"),
            ours(row, "streamed_s"),
            *(ours(row, metric) for metric in ("psnr", "ssim")),
            ours(row, "perceptual", 1000),
        )
        for row in CODECS
    )
    columns = (
        ("", "Decoder"),
        ("Decoder parameters, M", "paper"),
        ("Decoder parameters, M", "ours"),
        ("Compression", "paper"),
        ("Compression", "ours"),
        ("Decoding 81 frames, s", "paper"),
        ("Decoding 81 frames, s", "ours"),
        ("Decoding 81 frames, s", "ours, chunk by chunk"),
        ("Fidelity, ours", "PSNR, dB"),
        ("Fidelity, ours", "SSIM"),
        ("Fidelity, ours", "perceptual distance, 1/1000"),
    )
    return Section(NAME, "Table 8. The full decoder and the tiny one", columns, rows)


def ratio(measured: Measured, metric: str) -> float:
    """Full over tiny."""
    return measured["full_vae", metric].value / measured["tiny_vae", metric].value


def notes(measured: Measured, profile: str) -> tuple[str, ...]:
    clips, clock = measured["tiny_vae", "psnr"], measured["tiny_vae", "decoding_s"]
    text = reading(profile)
    return (
        f"{text[0].upper()}{text[1:]}.",
        f"Fidelity: {clips.n} held-out clips, encoded by the full VAE and decoded by either; mean [95% bootstrap "
        "interval over clips]. Perceptual distance: 1 − cosine of the judge's features, place by place.",
        f"Time: median [quartiles] of {clock.n} interleaved runs at batch 1 on {clock.device}; the paper's: one NVIDIA "
        "H100 at 832×480.",
        "Parameters: the decoding half alone. The tiny decoder reads the full VAE's latents and has no encoder.",
        "Paper: Table 8, appendix F.",
    )


def answer(measured: Measured) -> str:
    """What does the tiny decoder save, and what does it cost?"""
    printed = paper.table(8)
    theirs = {
        metric: float(printed["full_vae", metric].value / printed["tiny_vae", metric].value)
        for metric in ("decoder_params", "decoding_s")
    }
    lost = measured["full_vae", "psnr"].value - measured["tiny_vae", "psnr"].value
    return (
        f"The tiny decoder has {ratio(measured, 'decoder_params'):.1f} times fewer parameters (paper "
        f"{theirs['decoder_params']:.1f}) and decodes {ratio(measured, 'decoding_s'):.1f} times faster (paper "
        f"{theirs['decoding_s']:.1f}); it loses {lost:.1f} dB of PSNR, and its pictures are "
        f"{1 / ratio(measured, 'perceptual'):.1f} times as far from the original in the judge's features."
    )


def frames(folder: Path) -> Figure:
    """Frames of one clip: original, full, tiny."""
    films, names, index = stored.arrays(
        Path(folder) / "frames.npz", f"snakemake --cores all {NAME}", ("frames", "rows", "index")
    )
    figure = Figure(figsize=(12, 1.3 * len(names) + 0.3), layout="constrained")
    for axis, film, name in zip(figure.subplots(len(names), 1), films, names, strict=True):
        axis.imshow(side_by_side(film), interpolation="nearest")
        axis.set_yticks([film.shape[1] / 2], [str(name).replace("_", " ")])
        wide = axis.get_images()[0].get_array().shape[1] / len(index)
        axis.set_xticks([wide * (i + 0.5) for i in range(len(index))], [f"frame {i}" for i in index], fontsize=7)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    return figure
